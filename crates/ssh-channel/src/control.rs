//! Control messages on their way out: everything but data.
//!
//! While keys are being changed nothing of this room may leave (RFC 4253 §7.1), and the transport holds back only a
//! little. So control messages wait here, in their order: an answer, a CLOSE or credit may come late, but is not lost.
//! What the application asks for is refused when too much waits ([`Misuse::Busy`](crate::Misuse)); what a peer makes us
//! owe it is bounded by [`MAX_BACKLOG_BYTES`].

use std::collections::VecDeque;

use crate::auth::Session;
use crate::limits::{BUSY_BYTES, MAX_BACKLOG_BYTES};
use crate::wire::{Encode, Message, Writer};

/// What a waiting message costs beside its bytes.
const OVERHEAD_BYTES: usize = 32;

/// Control messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Control {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// A message that is encoded already.
#[derive(Debug)]
struct Waiting(Vec<u8>);

impl Waiting {
    fn cost(&self) -> usize {
        self.0.len().saturating_add(OVERHEAD_BYTES)
    }
}

impl Encode for Waiting {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.0);
    }
}

/// The true number stands in the bytes; this one is any of the connection protocol's.
impl Message for Waiting {
    const NUMBER: u8 = crate::wire::number::GLOBAL_REQUEST;
    const NAME: &'static str = "a message of the connection protocol";
}

impl Control {
    /// Sends a message, now or as soon as keys have been changed.
    pub(crate) fn send(&mut self, session: &mut Session, message: &impl Message) {
        if self.waiting.is_empty() && !session.is_changing_keys() {
            // All that can fail here is a connection that is over; whoever polls it hears why.
            let _ = session.send(message);
            return;
        }
        let waiting = Waiting(message.to_bytes());
        self.bytes = self.bytes.saturating_add(waiting.cost());
        self.waiting.push_back(waiting);
    }

    /// Hands over what waits, if it may leave now.
    pub(crate) fn flush(&mut self, session: &mut Session) {
        while !session.is_changing_keys() {
            let Some(waiting) = self.waiting.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(waiting.cost());
            let _ = session.send(&waiting);
        }
    }

    /// Whether so much waits that the application's wishes have to.
    pub(crate) const fn is_busy(&self) -> bool {
        self.bytes > BUSY_BYTES
    }

    /// Whether more waits than is kept.
    pub(crate) const fn is_over_limit(&self) -> bool {
        self.bytes > MAX_BACKLOG_BYTES
    }
}
