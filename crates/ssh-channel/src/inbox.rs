//! What has arrived on one stream of a channel and has not been read.
//!
//! Chunks stay slices of the packets they came in, so that nothing is copied between the socket and the reader, with
//! exceptions that keep memory in proportion to what is held: small chunks are gathered, and once a reader is far
//! behind all but large chunks leave the read blocks, which live as long as one byte of them is unread. Where there are
//! other channels a block is full of their bytes as well: there chunks that are not large leave it at once, and all
//! that is unread when more arrives in a later turn.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::{BORROWED_BYTES, LARGE_CHUNK_BYTES, MAX_UNREAD_DATAGRAMS, SMALL_CHUNK_BYTES};
use crate::wire::bytes::Bytes;

/// Small chunks are gathered into pieces of about this size.
const GATHERED_BYTES: usize = 31 * 1024;

/// The memory for one: the last chunk may be of any size that is gathered.
const MOST_GATHERED_BYTES: usize = GATHERED_BYTES + SMALL_CHUNK_BYTES;

/// Bytes in the order of their arrival. Bounded by the window that was granted.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    chunks: VecDeque<Bytes>,
    /// So many of the oldest chunks have left the blocks they came in, for certain.
    owned: usize,
    /// When the last of them came.
    turn: Option<Instant>,
    /// Small chunks gathered, behind all others.
    tail: Vec<u8>,
    len: usize,
}

/// The circumstances in which a chunk arrives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival {
    /// There are other channels.
    pub(crate) is_crowded: bool,
    /// The time of the poll: what came before it could have been read.
    pub(crate) turn: Option<Instant>,
}

impl Inbox {
    /// How many bytes are held.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Takes in the next bytes.
    pub(crate) fn push(&mut self, chunk: Bytes, arrival: Arrival) {
        let before = self.len;
        self.len = self.len.saturating_add(chunk.len());
        if chunk.len() < SMALL_CHUNK_BYTES {
            self.gather(&chunk);
            return;
        }
        self.gather_end();
        if arrival.is_crowded {
            self.push_in_crowd(chunk, arrival.turn);
        } else if self.len > BORROWED_BYTES {
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

    /// Takes in the next datagram as a chunk of its own; false if too many wait already.
    pub(crate) fn push_datagram(&mut self, datagram: &[u8]) -> bool {
        if self.chunks.len() >= MAX_UNREAD_DATAGRAMS {
            return false;
        }
        self.len = self.len.saturating_add(datagram.len());
        self.chunks.push_back(Bytes::copy_from_slice(datagram));
        true
    }

    fn push_in_crowd(&mut self, chunk: Bytes, turn: Option<Instant>) {
        if self.turn != turn {
            self.turn = turn;
            for held in self.chunks.range_mut(self.owned.min(self.chunks.len())..) {
                *held = Bytes::copy_from_slice(held);
            }
            self.owned = self.chunks.len();
        }
        // Whoever left something over is behind already.
        if self.owned > 0 {
            self.chunks.push_back(Bytes::copy_from_slice(&chunk));
            self.owned = self.chunks.len();
        } else {
            self.chunks.push_back(chunk);
            self.chunks.back_mut().into_iter().for_each(own);
        }
    }

    /// Gives out up to `max` of the oldest bytes; `None` when there are none.
    pub(crate) fn pop(&mut self, max: usize) -> Option<Bytes> {
        if max == 0 || self.len == 0 {
            return None;
        }
        if self.chunks.is_empty() && !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail).into());
        }
        let front = self.chunks.front_mut()?;
        let taken = if front.len() > max {
            front.split_to(max)
        } else {
            self.owned = self.owned.saturating_sub(1);
            self.chunks.pop_front()?
        };
        self.len = self.len.saturating_sub(taken.len());
        if self.len == 0 {
            // An idle channel holds no buffer.
            *self = Self::default();
        }
        Some(taken)
    }

    /// Small chunks lie behind one another in memory that is little more than they need.
    fn gather(&mut self, chunk: &[u8]) {
        if self.tail.len() >= GATHERED_BYTES {
            self.gather_end();
        }
        let needed = self.tail.len().saturating_add(chunk.len());
        if needed > self.tail.capacity() {
            let wanted = needed.saturating_mul(2).min(MOST_GATHERED_BYTES).max(needed);
            self.tail.reserve_exact(wanted.saturating_sub(self.tail.len()));
        }
        self.tail.extend_from_slice(chunk);
    }

    /// What was gathered is a chunk from now on, as large as its bytes. Its place is used again.
    fn gather_end(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(Bytes::copy_from_slice(&self.tail));
            self.tail.clear();
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

    const ALONE: Arrival = Arrival {
        is_crowded: false,
        turn: None,
    };

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
                inbox.push(Bytes::from(chunk), ALONE);
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
        inbox.push(block.slice(10..5_000), ALONE);
        assert_eq!(
            inbox.pop(usize::MAX).map(|chunk| chunk.as_ptr()),
            Some(block[10..].as_ptr())
        );
        for _ in 0..1_000 {
            inbox.push(block.slice(0..1), ALONE);
        }
        assert_eq!(inbox.pop(usize::MAX).map(|chunk| chunk.len()), Some(1_000));
    }

    #[test]
    fn a_reader_far_behind_holds_no_foreign_bytes() {
        let block = Bytes::from(vec![1; 64 * 1024]);
        let mut inbox = Inbox::default();
        let mut held = 0;
        while held <= BORROWED_BYTES {
            inbox.push(block.slice(0..2_000), ALONE);
            held += 2_000;
        }
        inbox.push(block.slice(0..2_000), ALONE);
        assert!(block.is_unique(), "every chunk has left the block");
        assert_eq!(drained(&mut inbox, usize::MAX).len(), held + 2_000);
    }

    #[test]
    fn large_chunks_are_never_copied() {
        let block = Bytes::from(vec![1; LARGE_CHUNK_BYTES]);
        let mut inbox = Inbox::default();
        for _ in 0..BORROWED_BYTES / LARGE_CHUNK_BYTES + 2 {
            inbox.push(block.clone(), ALONE);
        }
        while let Some(chunk) = inbox.pop(usize::MAX) {
            assert_eq!(chunk.as_ptr(), block.as_ptr());
        }
    }

    #[test]
    fn in_a_crowd_only_large_chunks_of_this_turn_stay_in_their_block() {
        let block = Bytes::from(vec![1; 128 * 1024]);
        let begin = Instant::now();
        let at = |turn: u64| Arrival {
            is_crowded: true,
            turn: Some(begin + std::time::Duration::from_millis(turn)),
        };
        let mut inbox = Inbox::default();
        inbox.push(block.slice(0..5_000), at(0));
        assert!(block.is_unique(), "a chunk that is not large has left the block");
        inbox.push(block.slice(0..LARGE_CHUNK_BYTES), at(0));
        inbox.push(block.slice(0..LARGE_CHUNK_BYTES), at(0));
        assert!(!block.is_unique(), "nobody could have read it yet");
        let held = inbox.chunks.front().map(|chunk| chunk.as_ptr());
        inbox.push(block.slice(0..2_000), at(1));
        assert!(block.is_unique(), "it was there to be read for a turn");
        inbox.push(block.slice(0..LARGE_CHUNK_BYTES), at(2));
        assert!(block.is_unique(), "nothing is lent to a reader that is behind");
        let second = inbox.chunks.get(1).map(|chunk| chunk.as_ptr());
        inbox.push(block.slice(0..2_000), at(3));
        assert_eq!(
            inbox.chunks.get(1).map(|chunk| chunk.as_ptr()),
            second,
            "copied once"
        );
        assert!(held.is_some() && second.is_some());
        let all = 5_000 + 3 * LARGE_CHUNK_BYTES + 2 * 2_000;
        assert_eq!(drained(&mut inbox, usize::MAX).len(), all);
    }

    #[test]
    fn datagrams_keep_their_borders_and_are_bounded() {
        let mut inbox = Inbox::default();
        for length in [1, 1, 5_000, 3, 40_000] {
            assert!(inbox.push_datagram(&vec![7; length]));
        }
        let lengths: Vec<usize> = std::iter::from_fn(|| inbox.pop(usize::MAX))
            .map(|datagram| datagram.len())
            .collect();
        assert_eq!(lengths, [1, 1, 5_000, 3, 40_000]);
        for _ in 0..MAX_UNREAD_DATAGRAMS {
            assert!(inbox.push_datagram(b"x"));
        }
        assert!(!inbox.push_datagram(b"x"));
        assert_eq!(drained(&mut inbox, usize::MAX).len(), MAX_UNREAD_DATAGRAMS);
    }

    #[test]
    fn gathered_chunks_take_little_more_memory_than_they_hold() {
        let mut inbox = Inbox::default();
        for _ in 0..5_000 {
            inbox.push(Bytes::from_static(&[1; 100]), ALONE);
            assert!(inbox.tail.capacity() <= MOST_GATHERED_BYTES);
        }
        assert_eq!(drained(&mut inbox, 7_000).len(), 500_000);
        assert_eq!(inbox.tail.capacity(), 0, "an idle channel holds no buffer");
    }
}
