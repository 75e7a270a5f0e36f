//! Method `none` (RFC 4252 §5.2): a request that proves nothing. Its use is the list of methods in the refusal.

use super::{Conversation, Judgement, Method, Outbox, Request, Step, Weight};
use crate::client;
use crate::error::{Misbehaviour, Place};
use crate::kex::SendError;
use crate::server::{Claim, Verdict};
use crate::session::Factor;
use crate::wire::{DecodeError, Packet, Reader};

/// Method `none`.
pub(super) static METHOD: Method = Method {
    name: "none",
    forms: &[],
    request: requested,
};

fn requested(request: Request<'_>) -> Result<Judgement, DecodeError> {
    Reader::new(request.fields).finish()?;
    Ok(Judgement::Ask(
        NoneAttempt { claim: request.claim }.into(),
        Weight::Attempt,
    ))
}

/// Somebody wants to log in without proving anything.
#[derive(Debug)]
#[must_use = "the peer waits until a verdict is handed to `answer`"]
pub struct NoneAttempt {
    claim: Claim,
}

impl NoneAttempt {
    /// Who.
    pub fn user(&self) -> &str {
        self.claim.user()
    }

    /// Yes: whoever it is may log in.
    pub fn accept(self) -> Verdict {
        self.claim.accept(Factor::new(&METHOD, None))
    }

    /// No.
    pub fn reject(self) -> Verdict {
        self.claim.reject()
    }
}

impl client::Turn {
    /// Asks to be let in without proof, as a rule to learn the server's list of methods.
    pub fn none(self) -> client::Attempt {
        self.start(Box::new(NoneRequest))
    }
}

#[derive(Debug)]
struct NoneRequest;

impl Conversation for NoneRequest {
    fn factor(&self) -> Factor {
        Factor::new(&METHOD, None)
    }

    fn start(self: Box<Self>, outbox: &mut Outbox<'_>) -> Result<Step, SendError> {
        outbox.request(METHOD.name, b"")?;
        Ok(Step::ExpectReply(self))
    }

    fn message(self: Box<Self>, packet: &Packet, _outbox: &mut Outbox<'_>) -> Result<Step, Misbehaviour> {
        Err(Misbehaviour::Unexpected {
            number: packet.message_number(),
            place: Place::Login,
        })
    }
}
