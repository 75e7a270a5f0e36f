//! The blocks that the socket is read into, used in turn.
//!
//! ```text
//!  quiet ──a read fills the small block──▶ bulk ──nothing came for a while──▶ quiet (no block is held)
//! ```
//!
//! Opened packets are slices of the block they arrived in. A block is used again when all of its slices are gone;
//! until then another one is filled. A connection without traffic holds a small block only.

use crate::wire::bytes::BytesMut;

/// Bytes of a block while data streams in: large enough that few reads are needed, small enough that what was read,
/// opened and taken by its reader never leaves the second-level cache. Twice as much was a fifth slower.
const BULK_BYTES: usize = 128 * 1024;

/// The least that a read of bulk data may ask for; below it the next block is begun.
const BULK_READ_BYTES: usize = 64 * 1024;

/// Bytes of a block while little comes in: a key press, an answer.
const QUIET_BYTES: usize = 4 * 1024;

/// The least that a read may ask for while little comes in.
const QUIET_READ_BYTES: usize = 1024;

/// Most blocks kept for another use: as many as hold a window of 2 MiB. A block that is not kept is new memory, whose
/// pages the system has to clear. More may exist while readers are slow: the windows bound them.
const KEPT: usize = 16;

/// Which block is next.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    kept: Vec<BytesMut>,
    bulk: bool,
}

impl Blocks {
    /// Sees to it that `block`, which may hold the beginning of a packet, has room for a read.
    pub(crate) fn make_room(&mut self, block: &mut BytesMut) {
        let (block_bytes, read_bytes) = match self.bulk {
            true => (BULK_BYTES, BULK_READ_BYTES),
            false => (QUIET_BYTES, QUIET_READ_BYTES),
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
        let mut next = self.next_block(block_bytes.max(block.len().saturating_add(read_bytes)));
        next.extend_from_slice(block);
        let mut used = std::mem::replace(block, next);
        used.clear();
        if self.bulk && self.kept.len() < KEPT {
            self.kept.push(used);
        }
    }

    /// A read of `room` bytes brought `count`: decides which kind of block is next.
    pub(crate) fn filled(&mut self, count: usize, room: usize) {
        if count == room {
            self.bulk = true;
        }
    }

    /// Nothing moved for a while: gives the memory back.
    pub(crate) fn rest(&mut self, block: &mut BytesMut) {
        self.bulk = false;
        self.kept = Vec::new();
        if block.capacity() > QUIET_BYTES {
            *block = BytesMut::from(&block[..]);
        }
    }

    /// Whether more memory is held than a quiet connection needs.
    pub(crate) const fn is_bulk(&self) -> bool {
        self.bulk
    }

    fn next_block(&mut self, bytes: usize) -> BytesMut {
        for index in 0..self.kept.len() {
            if self
                .kept
                .get_mut(index)
                .is_some_and(|block| block.try_reclaim(bytes))
            {
                return self.kept.swap_remove(index);
            }
        }
        if self.kept.len() == KEPT {
            self.kept.clear();
        }
        BytesMut::with_capacity(bytes)
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
        assert!(blocks.is_bulk());
        assert!(fill(&mut blocks, &mut block).len() >= BULK_READ_BYTES);
        blocks.rest(&mut block);
        assert!(block.capacity() <= QUIET_BYTES && !blocks.is_bulk());
    }

    #[test]
    fn blocks_are_used_again_when_their_slices_are_gone() {
        let mut blocks = Blocks {
            bulk: true,
            kept: Vec::new(),
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
        assert!(places.len() <= KEPT + 1, "{} blocks were made", places.len());
    }

    #[test]
    fn the_beginning_of_a_packet_moves_along() {
        let mut blocks = Blocks {
            bulk: true,
            kept: Vec::new(),
        };
        let mut block = BytesMut::new();
        let _held = fill(&mut blocks, &mut block);
        block.extend_from_slice(b"beginning");
        blocks.make_room(&mut block);
        assert_eq!(&block[..], b"beginning");
        assert!(block.capacity() - block.len() >= BULK_READ_BYTES);
    }
}
