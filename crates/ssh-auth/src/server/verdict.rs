//! How the application's answer finds its way back to its question.

use crate::method::{Dialogue, Method};
use crate::session::Factor;
use crate::ticket::Ticket;
use crate::user::UserName;

/// Who asks to be let in, and which question about it an answer belongs to. Every attempt holds one and spends it on its
/// verdict.
#[derive(Debug)]
pub(crate) struct Claim {
    ticket: Ticket,
    user: UserName,
}

impl Claim {
    pub(super) const fn new(ticket: Ticket, user: UserName) -> Self {
        Self { ticket, user }
    }

    pub(crate) fn user(&self) -> &str {
        self.user.as_str()
    }

    pub(crate) fn accept(self, factor: Factor) -> Verdict {
        self.verdict(Decision::Accept(factor))
    }

    pub(crate) fn partial(self, factor: Factor, methods: &[&'static Method]) -> Verdict {
        self.verdict(Decision::Partial(factor, methods.to_vec()))
    }

    pub(crate) fn reject(self) -> Verdict {
        self.verdict(Decision::Refuse)
    }

    pub(crate) fn reply(self, dialogue: Box<dyn Dialogue>) -> Verdict {
        self.verdict(Decision::Reply(dialogue))
    }

    fn verdict(self, decision: Decision) -> Verdict {
        Verdict {
            ticket: self.ticket,
            decision,
        }
    }
}

/// The answer to an [`Attempt`](super::Attempt); only the attempt makes one.
#[derive(Debug)]
#[must_use = "a verdict does nothing until it is handed to `answer`"]
pub struct Verdict {
    pub(super) ticket: Ticket,
    pub(super) decision: Decision,
}

/// What was decided.
#[derive(Debug)]
pub(super) enum Decision {
    /// Logged in: this completes what was proved before.
    Accept(Factor),
    /// Proved, and one of these methods must follow.
    Partial(Factor, Vec<&'static Method>),
    /// No.
    Refuse,
    /// The method says something first.
    Reply(Box<dyn Dialogue>),
}
