//! Which question an answer belongs to: an answer given to another connection, or given late, must change nothing.

use std::fmt;
use std::sync::Arc;

/// The mark of one question, carried by the event that asks it and by its answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The session identifier: no two connections share it.
    session: Arc<[u8]>,
    number: u64,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}

/// Numbers the questions of one connection.
#[derive(Debug)]
pub(crate) struct Questions {
    last: Ticket,
}

impl Questions {
    pub(crate) fn new(session_id: &[u8]) -> Self {
        Self {
            last: Ticket {
                session: session_id.into(),
                number: 0,
            },
        }
    }

    /// The ticket of a new question.
    pub(crate) fn next(&mut self) -> Ticket {
        self.last.number = self.last.number.saturating_add(1);
        self.last.clone()
    }

    /// Whether `ticket` is that of the question asked last.
    pub(crate) fn asked_last(&self, ticket: &Ticket) -> bool {
        self.last == *ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ticket_of_the_same_connection_counts() {
        let mut ours = Questions::new(b"one");
        let mut theirs = Questions::new(b"two");
        let first = ours.next();
        assert!(ours.asked_last(&first));
        let second = ours.next();
        assert!(ours.asked_last(&second) && !ours.asked_last(&first));
        theirs.next();
        assert!(
            !ours.asked_last(&theirs.next()),
            "the same number in another connection"
        );
    }
}
