//! What has arrived on one stream of a channel and has not been read.
//!
//! Chunks stay slices of the packets they came in, so that nothing is copied between the socket and the reader, with
//! two exceptions that keep memory in proportion to what is held: small chunks are gathered, and once a reader is far
//! behind all but large chunks leave the read blocks, which live as long as one byte of them is unread.

use std::collections::VecDeque;

use crate::limits::{BORROWED_BYTES, LARGE_CHUNK_BYTES, SMALL_CHUNK_BYTES};
use crate::wire::bytes::{Bytes, BytesMut};

/// Small chunks are gathered into pieces of about this size.
const GATHERED_BYTES: usize = 31 * 1024;

/// Bytes in the order of their arrival. Bounded by the window that was granted.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    chunks: VecDeque<Bytes>,
    /// Small chunks gathered, behind all others.
    tail: BytesMut,
    len: usize,
}

impl Inbox {
    /// How many bytes are held.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Takes in the next bytes.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        let before = self.len;
        self.len = self.len.saturating_add(chunk.len());
        if chunk.len() < SMALL_CHUNK_BYTES {
            if self.tail.len() >= GATHERED_BYTES {
                self.end_tail();
            }
            self.tail.extend_from_slice(&chunk);
            return;
        }
        self.end_tail();
        if self.len > BORROWED_BYTES {
            if before <= BORROWED_BYTES {
                for held in &mut self.chunks {
                    own(held);
                }
            }
            self.chunks.push_back(chunk);
            self.chunks.back_mut().into_iter().for_each(own);
        } else {
            self.chunks.push_back(chunk);
        }
    }

    /// Gives out up to `max` of the oldest bytes; `None` when there are none.
    pub(crate) fn pop(&mut self, max: usize) -> Option<Bytes> {
        if max == 0 || self.len == 0 {
            return None;
        }
        if self.chunks.is_empty() {
            self.end_tail();
        }
        let front = self.chunks.front_mut()?;
        let taken = if front.len() > max {
            front.split_to(max)
        } else {
            self.chunks.pop_front()?
        };
        self.len = self.len.saturating_sub(taken.len());
        if self.len == 0 {
            // An idle channel holds no buffer.
            *self = Self::default();
        }
        Some(taken)
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}

/// Makes a chunk leave the block it came in, unless it is most of what the block is kept for.
fn own(chunk: &mut Bytes) {
    if chunk.len() < LARGE_CHUNK_BYTES {
        *chunk = Bytes::copy_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(inbox: &mut Inbox, max: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = inbox.pop(max) {
            assert!(chunk.len() <= max);
            all.extend_from_slice(&chunk);
        }
        assert_eq!(inbox.len(), 0);
        all
    }

    #[test]
    fn bytes_come_out_in_the_order_they_came_in() {
        for max in [1, 7, 1_000, 5_000, usize::MAX] {
            let mut inbox = Inbox::default();
            let mut sent = Vec::new();
            for (index, length) in [1_usize, 2, 1_500, 3, 5_000, 1_023, 1_024, 0, 9]
                .into_iter()
                .enumerate()
            {
                let chunk = vec![u8::try_from(index).unwrap(); length];
                sent.extend_from_slice(&chunk);
                inbox.push(Bytes::from(chunk));
                assert_eq!(inbox.len(), sent.len());
            }
            assert_eq!(drained(&mut inbox, max), sent);
        }
        assert_eq!(Inbox::default().pop(1), None);
    }

    #[test]
    fn large_chunks_are_not_copied_and_small_ones_are_gathered() {
        let block = Bytes::from(vec![1; 10_000]);
        let mut inbox = Inbox::default();
        inbox.push(block.slice(10..5_000));
        assert_eq!(
            inbox.pop(usize::MAX).map(|chunk| chunk.as_ptr()),
            Some(block[10..].as_ptr())
        );
        for _ in 0..1_000 {
            inbox.push(block.slice(0..1));
        }
        assert_eq!(inbox.pop(usize::MAX).map(|chunk| chunk.len()), Some(1_000));
    }

    #[test]
    fn a_reader_far_behind_holds_no_foreign_bytes() {
        let block = Bytes::from(vec![1; 64 * 1024]);
        let mut inbox = Inbox::default();
        let mut held = 0;
        while held <= BORROWED_BYTES {
            inbox.push(block.slice(0..2_000));
            held += 2_000;
        }
        inbox.push(block.slice(0..2_000));
        assert!(block.is_unique(), "every chunk has left the block");
        assert_eq!(drained(&mut inbox, usize::MAX).len(), held + 2_000);
    }

    #[test]
    fn large_chunks_are_never_copied() {
        let block = Bytes::from(vec![1; LARGE_CHUNK_BYTES]);
        let mut inbox = Inbox::default();
        for _ in 0..BORROWED_BYTES / LARGE_CHUNK_BYTES + 2 {
            inbox.push(block.clone());
        }
        while let Some(chunk) = inbox.pop(usize::MAX) {
            assert_eq!(chunk.as_ptr(), block.as_ptr());
        }
    }
}
