//! Requests that arrived while another one is being decided (RFC 4252 §5.1: each is completed before the next).

use std::collections::VecDeque;

use crate::error::Misbehaviour;
use crate::wire::Packet;

/// The most requests a peer may send ahead.
pub const MAX_WAITING_REQUESTS: usize = 8;
/// The most bytes of requests a peer may send ahead; also the longest single request.
pub const MAX_WAITING_BYTES: usize = 128 * 1024;

/// A short, bounded queue.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    packets: VecDeque<Packet>,
    bytes: usize,
}

impl Waiting {
    pub(crate) fn push(&mut self, packet: Packet) -> Result<(), Misbehaviour> {
        self.bytes = self.bytes.saturating_add(packet.payload.len());
        if self.packets.len() >= MAX_WAITING_REQUESTS {
            return Err(Misbehaviour::TooMany {
                what: "requests ahead",
                limit: MAX_WAITING_REQUESTS,
            });
        }
        if self.bytes > MAX_WAITING_BYTES {
            return Err(Misbehaviour::TooMany {
                what: "bytes of requests ahead",
                limit: MAX_WAITING_BYTES,
            });
        }
        self.packets.push_back(packet);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.bytes = self.bytes.saturating_sub(packet.payload.len());
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::Bytes;

    fn packet(bytes: usize) -> Packet {
        Packet {
            sequence: 0,
            payload: Bytes::from(vec![50; bytes]),
        }
    }

    #[test]
    fn the_queue_is_bounded_in_requests_and_in_bytes() {
        let mut waiting = Waiting::default();
        for _ in 0..MAX_WAITING_REQUESTS {
            waiting.push(packet(1)).unwrap();
        }
        assert!(matches!(
            waiting.push(packet(1)),
            Err(Misbehaviour::TooMany {
                limit: MAX_WAITING_REQUESTS,
                ..
            })
        ));

        let mut waiting = Waiting::default();
        waiting.push(packet(MAX_WAITING_BYTES)).unwrap();
        assert!(waiting.pop().is_some() && waiting.pop().is_none());
        waiting.push(packet(MAX_WAITING_BYTES)).unwrap();
        assert!(matches!(
            waiting.push(packet(1)),
            Err(Misbehaviour::TooMany {
                limit: MAX_WAITING_BYTES,
                ..
            })
        ));
    }
}
