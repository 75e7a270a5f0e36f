//! Control messages on their way out: everything but data.
//!
//! While keys are being changed nothing of this room may leave (RFC 4253 §7.1), and the transport holds back only a
//! little. So control messages wait here, in their order: an answer, a CLOSE or credit may come late, but is not lost.
//! What the application asks for is refused when too much waits ([`Misuse::Busy`](crate::Misuse)); what a peer makes us
//! owe it is bounded by [`owed_limit`].

use crate::auth::Session;
use crate::limits::{BUSY_BYTES, owed_limit};
use crate::wire::{Encode, Message, Reader, Writer, number};

/// Control messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Each behind its length, so that many small ones take little room.
    waiting: Vec<u8>,
    /// Of these bytes, what the peer made us owe it.
    owed: usize,
    /// The most channels there have been since they began to wait: those that close meanwhile have a right to their
    /// CLOSE.
    channels: usize,
}

/// A message that is encoded already.
struct Encoded<'a>(&'a [u8]);

impl Encode for Encoded<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}

/// The true number stands in the bytes; this one is any of the connection protocol's.
impl Message for Encoded<'_> {
    const NUMBER: u8 = number::GLOBAL_REQUEST;
    const NAME: &'static str = "a message of the connection protocol";
}

impl Control {
    /// Sends a message, now or as soon as keys have been changed. There are so many channels now.
    pub(crate) fn send<M: Message>(&mut self, session: &mut Session, channels: usize, message: &M) {
        if self.waiting.is_empty() && !session.is_changing_keys() {
            // All that can fail here is a connection that is over; whoever polls it hears why.
            let _ = session.send(message);
            return;
        }
        let before = self.waiting.len();
        Writer::new(&mut self.waiting).string(&message.to_bytes());
        if !is_wish(M::NUMBER) {
            let bytes = self.waiting.len().saturating_sub(before);
            self.owed = self.owed.saturating_add(bytes);
        }
        self.channels = self.channels.max(channels);
    }

    /// Hands over what waits, if it may leave now. Sending does not begin a change of keys, so that is all of it.
    pub(crate) fn flush(&mut self, session: &mut Session) {
        if self.waiting.is_empty() || session.is_changing_keys() {
            return;
        }
        let Self { waiting, .. } = std::mem::take(self);
        let mut reader = Reader::new(&waiting);
        while let Ok(message) = reader.string() {
            let _ = session.send(&Encoded(message));
        }
    }

    /// Whether so much waits that the application's wishes have to.
    pub(crate) const fn is_busy(&self) -> bool {
        self.waiting.len() > BUSY_BYTES
    }

    /// The limit on what is owed, if more is.
    pub(crate) fn exceeded_limit(&self) -> Option<usize> {
        let limit = owed_limit(self.channels);
        (self.owed > limit).then_some(limit)
    }
}

/// Whether messages of this number are wishes of the application: they are refused in time, and nobody else's fault.
const fn is_wish(number: u8) -> bool {
    matches!(
        number,
        number::GLOBAL_REQUEST | number::CHANNEL_OPEN | number::CHANNEL_REQUEST
    )
}
