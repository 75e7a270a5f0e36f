//! Answers in the order of their requests.
//!
//! Replies may come in any order (draft-ietf-secsh-filexfer-02 §6), and OpenSSH's server gives them in the order of the
//! requests. Clients have come to rely on that: paramiko sends a hundred WRITEs and then waits for the answer of each,
//! first to last, throwing away every other that it meets on the way.
//!
//! ```text
//!  place() ──▶ empty ──fill──▶ answered ──next(), when nothing empty stands before it──▶ sent
//! ```

use std::collections::VecDeque;

/// The answers that are due, oldest first.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// The number of the first slot.
    first: u64,
    /// `None` until the answer is there.
    slots: VecDeque<Option<T>>,
}

/// Where one answer stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u64);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
        }
    }
}

impl<T> InOrder<T> {
    /// A place behind all others.
    pub(super) fn place(&mut self) -> Place {
        let behind = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        self.slots.push_back(None);
        Place(self.first.wrapping_add(behind))
    }

    /// The answer for a place.
    pub(super) fn fill(&mut self, place: Place, answer: T) {
        let index = usize::try_from(place.0.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(answer);
        }
    }

    /// The next answer that may be sent.
    pub(super) fn next(&mut self) -> Option<T> {
        let answered = self.slots.front().is_some_and(Option::is_some);
        if !answered {
            return None;
        }
        self.first = self.first.wrapping_add(1);
        self.slots.pop_front().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_in_the_order_of_their_places() {
        let mut order = InOrder::default();
        let places: Vec<Place> = (0..4).map(|_| order.place()).collect();
        order.fill(places[2], "third");
        assert_eq!(order.next(), None);
        order.fill(places[0], "first");
        assert_eq!((order.next(), order.next()), (Some("first"), None));
        order.fill(places[1], "second");
        assert_eq!(
            (order.next(), order.next(), order.next()),
            (Some("second"), Some("third"), None)
        );
        let fifth = order.place();
        order.fill(fifth, "fifth");
        order.fill(places[3], "fourth");
        assert_eq!(
            (order.next(), order.next(), order.next()),
            (Some("fourth"), Some("fifth"), None)
        );
    }
}
