//! Replies in the order of their requests (RFC 4254 §4, §5.4): a reply names no request, its place does.

use std::collections::VecDeque;

/// Replies we owe: answered in any order, given out in the order of the requests.
#[derive(Debug)]
pub(crate) struct RepliesDue<Answer> {
    /// The number of the oldest request in the queue.
    first: u64,
    queue: VecDeque<Option<Answer>>,
}

impl<Answer> Default for RepliesDue<Answer> {
    fn default() -> Self {
        Self {
            first: 0,
            queue: VecDeque::new(),
        }
    }
}

impl<Answer> RepliesDue<Answer> {
    /// How many requests have not been replied to.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// An idle queue holds no room.
    pub(crate) fn rest(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// A request wants a reply: the number by which it is answered.
    pub(crate) fn expect(&mut self) -> u64 {
        let number = self
            .first
            .saturating_add(u64::try_from(self.queue.len()).unwrap_or(u64::MAX));
        self.queue.push_back(None);
        number
    }

    /// The answer to request `number`.
    pub(crate) fn answer(&mut self, number: u64, answer: Answer) {
        let place = number
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = place.and_then(|index| self.queue.get_mut(index)) {
            *slot = Some(answer);
        }
    }

    /// The next reply to send, if its request has been answered.
    pub(crate) fn next_ready(&mut self) -> Option<Answer> {
        self.queue.front()?.as_ref()?;
        self.first = self.first.saturating_add(1);
        self.queue.pop_front()?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_leave_in_the_order_of_their_requests() {
        let mut due = RepliesDue::default();
        let numbers: Vec<u64> = (0..4).map(|_| due.expect()).collect();
        due.answer(numbers[1], 'b');
        assert_eq!(due.next_ready(), None);
        due.answer(numbers[0], 'a');
        assert_eq!(due.next_ready(), Some('a'));
        assert_eq!(due.next_ready(), Some('b'));
        assert_eq!(due.next_ready(), None);
        due.answer(numbers[3], 'd');
        due.answer(numbers[0], 'x');
        due.answer(99, 'x');
        assert_eq!(due.next_ready(), None);
        due.answer(numbers[2], 'c');
        assert_eq!(
            (due.next_ready(), due.next_ready(), due.next_ready()),
            (Some('c'), Some('d'), None)
        );
        assert_eq!(due.len(), 0);
    }
}
