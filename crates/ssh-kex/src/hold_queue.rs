//! What is held back while keys are being changed (RFC 4253 §7.1): bounded, in order, wiped.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use crate::wire::{Encode, Message, Sealer, Writer};

/// Messages that wait for our NEWKEYS.
#[derive(Default)]
pub(crate) struct HoldQueue {
    messages: VecDeque<Held>,
    bytes: usize,
}

enum Held {
    Message {
        // A password may be among them.
        payload: Zeroizing<Vec<u8>>,
        hides_length: bool,
    },
    /// What was said last tells the peer that it is logged in.
    LoggedIn,
}

/// What one held message costs beside its payload, in bytes, so that tiny ones cannot pile up for free.
const OVERHEAD_BYTES: usize = 32;

impl HoldQueue {
    /// Takes a payload; `false` if it would go over `limit` bytes.
    pub(crate) fn push(&mut self, payload: Vec<u8>, hides_length: bool, limit: usize) -> bool {
        let payload = Zeroizing::new(payload);
        let bytes = self
            .bytes
            .saturating_add(payload.len())
            .saturating_add(OVERHEAD_BYTES);
        if bytes > limit {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(Held::Message {
            payload,
            hides_length,
        });
        true
    }

    /// Remembers that somebody is logged in from here on: [`Sealer::log_in`] in its turn.
    pub(crate) fn log_in(&mut self) {
        self.messages.push_back(Held::LoggedIn);
    }

    /// What is held, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Seals everything, in order.
    pub(crate) fn flush(&mut self, sealer: &mut Sealer) {
        self.bytes = 0;
        for held in std::mem::take(&mut self.messages) {
            match held {
                Held::LoggedIn => sealer.log_in(),
                Held::Message {
                    payload,
                    hides_length: true,
                } => {
                    sealer.seal_hiding_length(&Encoded(&payload));
                }
                Held::Message {
                    payload,
                    hides_length: false,
                } => {
                    sealer.seal_payload(&payload);
                }
            }
        }
    }
}

/// A message that is encoded already. Its number stands in its bytes.
struct Encoded<'a>(&'a [u8]);

impl Encode for Encoded<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}

impl Message for Encoded<'_> {
    const NUMBER: u8 = 0;
    const NAME: &'static str = "an encoded message";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Opener, compression};

    #[test]
    fn order_is_kept_and_the_limit_holds() {
        let mut queue = HoldQueue::default();
        let limit = 2 * OVERHEAD_BYTES + 10;
        assert!(queue.push(vec![80; 4], false, limit));
        assert!(!queue.push(vec![81; 7], false, limit));
        assert!(queue.push(vec![82; 6], true, limit));
        assert!(!queue.push(vec![83], false, limit));
        let mut sealer = Sealer::new([0; 32]);
        queue.flush(&mut sealer);
        assert!(queue.push(vec![84; 4], false, limit), "empty again");
        let mut opener = Opener::new();
        opener.read_buffer().extend_from_slice(sealer.outbox());
        for expected in [vec![80; 4], vec![82; 6]] {
            assert_eq!(opener.next().unwrap().unwrap().payload, expected);
        }
        assert_eq!(opener.next().unwrap(), None);
    }

    #[test]
    fn what_is_held_behind_a_login_is_compressed() {
        let mut queue = HoldQueue::default();
        for _ in 0..2 {
            assert!(queue.push(vec![80; 600], false, 4096));
            queue.log_in();
        }
        let mut sealer = Sealer::new([0; 32]);
        sealer.set_compression(&compression::ZLIB_OPENSSH);
        queue.flush(&mut sealer);
        let mut opener = Opener::new();
        opener.set_compression(&compression::ZLIB_OPENSSH);
        opener.read_buffer().extend_from_slice(sealer.outbox());
        assert!(sealer.outbox_len() < 700, "one of them is");
        for _ in 0..2 {
            assert_eq!(opener.next().unwrap().unwrap().payload, vec![80; 600]);
            opener.log_in();
        }
    }
}
