//! The blocks that the socket is read into, used in turn.
//!
//! ```text
//!    ┌──────────a read brought something──────────┐
//!    ▼                                            │
//!  quiet ──a read fills the small block──▶ bulk   │
//!    └─────nothing came for a while─────────┴──▶ rest (the smallest block is held)
//! ```
//!
//! Opened packets are slices of the block they arrived in. A block is used again when all of its slices are gone;
//! until then another one is filled. A connection without traffic holds the smallest block only.

use crate::wire::bytes::BytesMut;

/// Bytes of a block while data streams in: large enough that few reads are needed, small enough that what was read,
/// opened and taken by its reader never leaves the second-level cache. Twice as much was a fifth slower.
const BULK_BYTES: usize = 128 * 1024;

/// The same where packets are opened two at a time: then it holds four of 64 KiB, and the reader of a stream has less to
/// wait for than its cipher and MAC to do (docs/decisions/0017).
const PAIRS_BYTES: usize = 272 * 1024;

/// The least that a read of bulk data may ask for; below it the next block is begun.
const BULK_READ_BYTES: usize = 64 * 1024;

/// Bytes of a block while little comes in: a key press, an answer.
const QUIET_BYTES: usize = 4 * 1024;

/// The least that a read may ask for while little comes in.
const QUIET_READ_BYTES: usize = 1024;

/// Bytes of a block while nothing comes in: a key press or the question whether this side is still alive, so that nothing
/// larger is made for those. There are servers with ten thousand connections of which a hundred say something.
const REST_BYTES: usize = 256;

/// The least that the first read after a rest may ask for.
const REST_READ_BYTES: usize = 128;

/// Blocks are made in multiples of this, so that one message which is a little longer than the others does not make all
/// that are kept useless.
const BLOCK_STEP_BYTES: usize = 16 * 1024;

/// Most bytes of blocks kept for another use: more than hold a window of 2 MiB. A block that is not kept is new memory,
/// whose pages the system has to clear. More may exist while readers are slow: the windows bound them.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// What is expected to come in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pace {
    #[default]
    Quiet,
    Bulk,
    Rest,
}

/// Which block is next.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// All of `size` bytes; the last one was filled last.
    kept: Vec<BytesMut>,
    pace: Pace,
    /// Packets are opened two at a time.
    pairs: bool,
    /// Bytes of a block of bulk data: grows with what has to stand in one piece.
    size: usize,
    /// Bytes of the block that is being filled.
    filling: usize,
}

impl Blocks {
    /// Whether packets are opened two at a time, from now on.
    pub(crate) const fn open_pairs(&mut self, pairs: bool) {
        self.pairs = pairs;
    }

    /// Sees to it that `block`, which may hold the beginning of a packet, has room for a read.
    pub(crate) fn make_room(&mut self, block: &mut BytesMut) {
        let (block_bytes, read_bytes) = match self.pace {
            Pace::Bulk if self.pairs => (PAIRS_BYTES, BULK_READ_BYTES),
            Pace::Bulk => (BULK_BYTES, BULK_READ_BYTES),
            Pace::Quiet => (QUIET_BYTES, QUIET_READ_BYTES),
            Pace::Rest => (REST_BYTES, REST_READ_BYTES),
        };
        let room = block.capacity().saturating_sub(block.len());
        if room >= read_bytes && !(block.is_empty() && room < block_bytes) {
            return;
        }
        // All slices of this very block may be gone: then its beginning is free.
        if block.try_reclaim(block_bytes.saturating_sub(block.len()).max(read_bytes)) {
            return;
        }
        if room >= read_bytes {
            return;
        }
        let filled = self.filling;
        let mut next = self.next_block(block_bytes.max(block.len().saturating_add(read_bytes)));
        next.extend_from_slice(block);
        let mut used = std::mem::replace(block, next);
        used.clear();
        // A block of another size could never be used again, and would hide those that can.
        let kept = self.kept.len().saturating_mul(self.size);
        if self.pace == Pace::Bulk && filled == self.size && kept < KEPT_BYTES {
            self.kept.push(used);
        }
    }

    /// A read of `room` bytes brought `count`: decides which kind of block is next.
    pub(crate) fn filled(&mut self, count: usize, room: usize) {
        self.pace = match self.pace {
            Pace::Rest => Pace::Quiet,
            Pace::Quiet if count == room => Pace::Bulk,
            pace => pace,
        };
    }

    /// Nothing moved for a while: gives the memory back.
    pub(crate) fn rest(&mut self, block: &mut BytesMut) {
        *self = Self {
            pace: Pace::Rest,
            pairs: self.pairs,
            ..Self::default()
        };
        if block.capacity() > REST_BYTES {
            *block = BytesMut::from(&block[..]);
        }
    }

    /// Whether no more memory is held than a connection needs that says nothing.
    pub(crate) const fn is_at_rest(&self) -> bool {
        matches!(self.pace, Pace::Rest)
    }

    fn next_block(&mut self, bytes: usize) -> BytesMut {
        self.filling = bytes;
        if self.pace != Pace::Bulk {
            return BytesMut::with_capacity(bytes);
        }
        if bytes > self.size {
            self.size = bytes.next_multiple_of(BLOCK_STEP_BYTES);
            self.kept.clear();
        }
        self.filling = self.size;
        // From the one that was filled last: what is free there was free last, and is in the cache most likely.
        let free = self
            .kept
            .iter_mut()
            .rposition(|block| block.try_reclaim(self.size));
        match free {
            Some(index) => self.kept.remove(index),
            None => BytesMut::with_capacity(self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills `block` as a read would, and hands the bytes out as a packet would be.
    fn fill(blocks: &mut Blocks, block: &mut BytesMut) -> crate::wire::bytes::Bytes {
        blocks.make_room(block);
        let room = block.capacity() - block.len();
        block.resize(block.capacity(), 7);
        blocks.filled(room, room);
        block.split().freeze()
    }

    #[test]
    fn a_quiet_connection_holds_little_and_a_busy_one_gets_large_blocks() {
        let mut blocks = Blocks::default();
        let mut block = BytesMut::new();
        let first = fill(&mut blocks, &mut block);
        assert!(first.len() <= QUIET_BYTES);
        drop(first);
        assert_eq!(blocks.pace, Pace::Bulk);
        assert!(fill(&mut blocks, &mut block).len() >= BULK_READ_BYTES);
        blocks.rest(&mut block);
        assert!(block.capacity() <= REST_BYTES && blocks.is_at_rest());
    }

    #[test]
    fn a_rest_ends_with_the_first_read_and_costs_a_partial_packet_nothing() {
        let mut blocks = Blocks::default();
        let mut block = BytesMut::new();
        blocks.make_room(&mut block);
        block.extend_from_slice(b"the first half");
        blocks.rest(&mut block);
        blocks.make_room(&mut block);
        assert_eq!(&block[..], b"the first half");
        let room = block.capacity() - block.len();
        assert!((REST_READ_BYTES..=REST_BYTES).contains(&room), "{room} bytes");
        block.resize(block.capacity(), 7);
        blocks.filled(room, room);
        assert!(!blocks.is_at_rest());
        blocks.make_room(&mut block);
        assert!(block.starts_with(b"the first half"));
        assert!(block.capacity() - block.len() >= QUIET_READ_BYTES);
    }

    #[test]
    fn blocks_are_used_again_when_their_slices_are_gone() {
        let mut blocks = Blocks {
            pace: Pace::Bulk,
            ..Blocks::default()
        };
        let mut block = BytesMut::new();
        let mut places = std::collections::HashSet::new();
        let mut held = std::collections::VecDeque::new();
        for _ in 0..64 {
            let packet = fill(&mut blocks, &mut block);
            places.insert(packet.as_ptr());
            held.push_back(packet);
            if held.len() > 2 {
                held.pop_front();
            }
        }
        assert!(
            places.len() <= KEPT_BYTES / BULK_BYTES + 1,
            "{} blocks were made",
            places.len()
        );
    }

    #[test]
    fn blocks_of_another_size_do_not_hide_those_that_are_free() {
        let mut blocks = Blocks::default();
        let mut block = BytesMut::new();
        // The small block is held for ever, and a long message makes the later blocks larger than the first.
        let _small = fill(&mut blocks, &mut block);
        let mut places = std::collections::HashSet::new();
        for round in 0..64 {
            drop(fill(&mut blocks, &mut block));
            block.extend_from_slice(&vec![7; if round == 8 { BULK_READ_BYTES + 1 } else { 9 }]);
            blocks.make_room(&mut block);
            places.insert(block.as_ptr());
        }
        assert!(places.len() <= 8, "{} blocks were made", places.len());
    }

    #[test]
    fn the_beginning_of_a_packet_moves_along() {
        let mut blocks = Blocks {
            pace: Pace::Bulk,
            ..Blocks::default()
        };
        let mut block = BytesMut::new();
        let _held = fill(&mut blocks, &mut block);
        block.extend_from_slice(b"beginning");
        blocks.make_room(&mut block);
        assert_eq!(&block[..], b"beginning");
        assert!(block.capacity() - block.len() >= BULK_READ_BYTES);
    }
}
