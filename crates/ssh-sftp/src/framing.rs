//! Messages out of a stream of chunks: `uint32 length`, then that many bytes (draft §3).
//!
//! Memory follows the bytes that arrived, never a length that was only declared. A message that lies in one chunk
//! is handed on as a slice of it; one that spans chunks is put together once, when all of it is there. Chunks
//! under 1 KiB are copied on arrival, so that a few bytes never pin the large block they were received in.

use std::collections::VecDeque;

use crate::Misbehaviour;
use crate::wire::bytes::{Bytes, BytesMut};
use crate::wire::usize_from;

/// The longest message taken and sent, without its length field: OpenSSH's limit.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Chunks shorter than this are copied instead of kept.
const SMALL_CHUNK_BYTES: usize = 1024;

/// Collects chunks and gives out messages.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// Chunks in their order; what stands in `small` comes after them.
    chunks: VecDeque<Bytes>,
    /// Small chunks, joined.
    small: BytesMut,
    /// Bytes in `chunks`.
    chunk_bytes: usize,
}

impl Framing {
    /// Takes received bytes.
    pub(crate) fn receive(&mut self, chunk: Bytes) {
        if chunk.len() < SMALL_CHUNK_BYTES {
            self.small.extend_from_slice(&chunk);
        } else {
            self.keep_small();
            self.push(chunk);
        }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.chunk_bytes.saturating_add(self.small.len())
    }

    /// The next whole message, without its length field. After an error nothing sensible follows.
    pub(crate) fn take(&mut self) -> Result<Option<Bytes>, Misbehaviour> {
        let Some(length) = self.declared() else {
            return Ok(None);
        };
        let wanted = usize_from(length);
        if wanted == 0 {
            return Err(Misbehaviour::EmptyMessage);
        }
        if wanted > MAX_MESSAGE_BYTES {
            return Err(Misbehaviour::MessageTooLong { length });
        }
        if self.len() < wanted.saturating_add(4) {
            self.unpin();
            return Ok(None);
        }
        self.keep_small();
        self.discard(4);
        Ok(Some(self.split(wanted)))
    }

    /// The bytes that wait, in their order.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        let chunks = self.chunks.iter().map(|chunk| &**chunk);
        chunks.chain([&*self.small]).flatten().copied()
    }

    fn declared(&self) -> Option<u32> {
        let mut bytes = self.bytes();
        let length = [bytes.next()?, bytes.next()?, bytes.next()?, bytes.next()?];
        Some(u32::from_be_bytes(length))
    }

    fn push(&mut self, chunk: Bytes) {
        self.chunk_bytes = self.chunk_bytes.saturating_add(chunk.len());
        self.chunks.push_back(chunk);
    }

    fn keep_small(&mut self) {
        if !self.small.is_empty() {
            let small = self.small.split().freeze();
            self.push(small);
        }
    }

    /// The beginning of a message that ends in a small piece of a large block may wait for long: copy it out.
    fn unpin(&mut self) {
        if self.small.is_empty() && self.chunk_bytes < SMALL_CHUNK_BYTES {
            for chunk in self.chunks.drain(..) {
                self.small.extend_from_slice(&chunk);
            }
            self.chunk_bytes = 0;
        }
    }

    fn discard(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(piece) = self.piece(left) else { return };
            left = left.saturating_sub(piece.len());
        }
    }

    /// The next `count` bytes, which are all there.
    fn split(&mut self, count: usize) -> Bytes {
        let whole = self.piece(count).unwrap_or_default();
        if whole.len() == count {
            return whole;
        }
        let mut joined = BytesMut::with_capacity(count);
        joined.extend_from_slice(&whole);
        while let Some(piece) = self.piece(count.saturating_sub(joined.len())) {
            joined.extend_from_slice(&piece);
        }
        joined.freeze()
    }

    /// At most `most` bytes from the front, all of one chunk; `None` when `most` is 0 or nothing waits.
    fn piece(&mut self, most: usize) -> Option<Bytes> {
        let front = self.chunks.front_mut().filter(|_| most > 0)?;
        let piece = front.split_to(most.min(front.len()));
        if front.is_empty() {
            self.chunks.pop_front();
        }
        self.chunk_bytes = self.chunk_bytes.saturating_sub(piece.len());
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    fn all(framing: &mut Framing) -> Vec<Bytes> {
        std::iter::from_fn(|| framing.take().unwrap()).collect()
    }

    #[test]
    fn any_cut_gives_the_same_messages() {
        let bodies: Vec<Vec<u8>> = [1usize, 5, 900, 1024, 3000, 70_000]
            .iter()
            .map(|&length| vec![u8::try_from(length % 251).unwrap(); length])
            .collect();
        let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        for cut in [1, 2, 3, 4, 7, 1000, 1023, 1024, 1025, 32_768, stream.len()] {
            let mut framing = Framing::default();
            let mut got = Vec::new();
            for chunk in stream.chunks(cut) {
                framing.receive(Bytes::copy_from_slice(chunk));
                got.extend(all(&mut framing));
            }
            assert_eq!(got, bodies, "cut {cut}");
            assert_eq!(framing.len(), 0);
        }
    }

    #[test]
    fn mixed_cuts_keep_their_order() {
        let body: Vec<u8> = (0..9000u32).map(|n| u8::try_from(n % 256).unwrap()).collect();
        let stream = frame(&body);
        let mut framing = Framing::default();
        let mut rest = &stream[..];
        for length in [3, 2000, 1, 1, 1500, 1024, 5, 1023, 4000].into_iter().cycle() {
            let (chunk, tail) = rest.split_at(length.min(rest.len()));
            framing.receive(Bytes::copy_from_slice(chunk));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(framing.take().unwrap().unwrap(), body);
    }

    #[test]
    fn a_message_in_one_chunk_is_not_copied() {
        let stream = Bytes::from(frame(&[7; 4000]));
        let mut framing = Framing::default();
        framing.receive(stream.clone());
        let message = framing.take().unwrap().unwrap();
        assert_eq!(message.as_ptr(), stream[4..].as_ptr());
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_kept_for_them() {
        for (length, error) in [
            (0, Misbehaviour::EmptyMessage),
            (262_145, Misbehaviour::MessageTooLong { length: 262_145 }),
            (u32::MAX, Misbehaviour::MessageTooLong { length: u32::MAX }),
        ] {
            let mut framing = Framing::default();
            framing.receive(Bytes::copy_from_slice(&length.to_be_bytes()));
            assert_eq!(framing.take(), Err(error));
        }
        let mut framing = Framing::default();
        framing.receive(Bytes::copy_from_slice(&262_144u32.to_be_bytes()));
        assert_eq!(framing.take(), Ok(None));
        assert!(framing.small.capacity() < 1024);
    }

    #[test]
    fn a_short_beginning_does_not_pin_a_large_block() {
        let mut stream = frame(&[1; 5000]);
        stream.extend_from_slice(&frame(&[2; 5000])[..100]);
        let mut framing = Framing::default();
        framing.receive(Bytes::from(stream));
        assert_eq!(all(&mut framing).len(), 1);
        assert!(framing.chunks.is_empty());
        assert_eq!(framing.small.len(), 100);
    }
}
