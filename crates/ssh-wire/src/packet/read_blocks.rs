//! The blocks of memory that received bytes stand in.
//!
//! Payloads are handed upwards as slices of the block they arrived in, so a block can be written again only when
//! nobody holds a slice of it any more. A steady stream goes round a few blocks; a connection that is quiet holds none.
//!
//! ```text
//!  in use   ░░░░░ handed out ░░░░░│ unread bytes │      room      │
//!  resting  ░░░░░░░░░░░░░░░░░░░░░ handed out, not free yet ░░░░░░░│
//!  resting  (all slices dropped: the next one in use)             │
//! ```

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// The smallest block, in bytes: what a quiet connection reads into.
pub const MIN_BLOCK_BYTES: usize = 32 * 1024;

/// The largest block, in bytes: what a busy connection reads into. Blocks grow by doubling, each time one was filled
/// to the brim, so that a peer has sent what its memory costs.
pub const MAX_BLOCK_BYTES: usize = 256 * 1024;

/// With so many bytes unread there is no new room: two packets of the largest size.
pub const MAX_UNREAD_BYTES: usize = 2 * (super::MAX_PACKET_BYTES + MAX_BLOCK_BYTES);

/// A fill below this, with nothing left over, means that the connection is quiet: all blocks are let go.
const QUIET_FILL_BYTES: usize = 4 * 1024;

/// How many blocks wait for their slices to be dropped.
const MAX_RESTING: usize = 3;

/// Payloads below this are copied, so that a small one never keeps a block alive.
const SMALL_PAYLOAD_BYTES: usize = 1024;

/// The same while every block is held by somebody: then slices are kept for long, and one of a few KiB must not keep
/// hundreds (a channel nobody reads from beside one that flows).
const SMALL_PAYLOAD_WHILE_HELD_BYTES: usize = 16 * 1024;

/// The block in use, those at rest, and how large the next one is.
#[derive(Debug)]
pub(super) struct ReadBlocks {
    /// Unread bytes and the room behind them. The driver may have taken it out.
    pub(super) unread: BytesMut,
    resting: VecDeque<BytesMut>,
    block_bytes: usize,
    /// How many of the unread bytes were there when the last packet was asked for.
    known: usize,
    /// How many bytes came since `unread` was last looked at and empty.
    fill: usize,
    /// Room was offered, and `unread` may be out with the driver.
    lent: bool,
    /// All blocks were held by somebody when room was last needed.
    held: bool,
}

impl ReadBlocks {
    pub(super) fn new() -> Self {
        Self {
            unread: BytesMut::new(),
            resting: VecDeque::new(),
            block_bytes: MIN_BLOCK_BYTES,
            known: 0,
            fill: 0,
            lent: false,
            held: false,
        }
    }

    /// The place of the unread bytes, with room behind them, unless the block was taken out: then the empty place
    /// to put it back into.
    pub(super) fn with_room(&mut self) -> &mut BytesMut {
        if self.lent && self.unread.capacity() == 0 {
            self.lent = false;
            return &mut self.unread;
        }
        self.lent = true;
        let unread_bytes = self.unread.len();
        let room = self.unread.capacity().saturating_sub(unread_bytes);
        if room < self.block_bytes / 4 && unread_bytes < MAX_UNREAD_BYTES {
            self.renew();
        }
        &mut self.unread
    }

    /// Goes on in a block with enough room: the same one if nobody holds it, one at rest, or a new one.
    fn renew(&mut self) {
        let unread_bytes = self.unread.len();
        let needed = if unread_bytes.saturating_mul(2) <= self.block_bytes {
            self.block_bytes
        } else {
            unread_bytes.saturating_add(self.block_bytes)
        };
        if self.unread.capacity() > 0 && self.unread.try_reclaim(needed.saturating_sub(unread_bytes)) {
            return;
        }
        let reusable = self
            .resting
            .iter_mut()
            .position(|block| block.try_reclaim(needed));
        self.held = reusable.is_none() && self.resting.len() == MAX_RESTING;
        let mut next = reusable
            .and_then(|index| self.resting.remove(index))
            .unwrap_or_else(|| BytesMut::with_capacity(needed));
        next.extend_from_slice(&self.unread);
        let mut last = std::mem::replace(&mut self.unread, next);
        if last.capacity() > 0 {
            last.clear();
            if self.resting.len() == MAX_RESTING {
                self.resting.pop_front();
            }
            self.resting.push_back(last);
        }
    }

    /// Looks at what the driver put in since the last call.
    pub(super) fn note_arrivals(&mut self) {
        let arrived = self.unread.len().saturating_sub(self.known);
        if arrived == 0 {
            return;
        }
        self.known = self.unread.len();
        self.fill = self.fill.saturating_add(arrived);
        if self.unread.len() == self.unread.capacity() {
            self.block_bytes = self.block_bytes.saturating_mul(2).min(MAX_BLOCK_BYTES);
        }
    }

    /// Nothing more can be made of the unread bytes. If there are none and only a few came, lets all blocks go.
    pub(super) fn rest(&mut self) {
        if !self.unread.is_empty() || self.fill == 0 {
            return;
        }
        let quiet = self.fill < QUIET_FILL_BYTES;
        self.fill = 0;
        if quiet {
            self.release();
        }
    }

    /// Lets all memory go that holds no unread bytes.
    pub(super) fn release(&mut self) {
        self.resting = VecDeque::new();
        self.block_bytes = MIN_BLOCK_BYTES;
        self.held = false;
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
            self.lent = false;
        }
    }

    /// Takes a packet of `whole` bytes from the front and returns the `length` bytes that begin at `start` in it.
    pub(super) fn take(&mut self, whole: usize, start: usize, length: usize) -> Bytes {
        self.known = self.known.saturating_sub(whole);
        let small = if self.held {
            SMALL_PAYLOAD_WHILE_HELD_BYTES
        } else {
            SMALL_PAYLOAD_BYTES
        };
        if length < small {
            let end = start.saturating_add(length);
            let payload = Bytes::copy_from_slice(self.unread.get(start..end).unwrap_or_default());
            self.unread.advance(whole.min(self.unread.len()));
            payload
        } else {
            let mut packet = self.unread.split_to(whole.min(self.unread.len()));
            packet.advance(start.min(packet.len()));
            packet.truncate(length);
            packet.freeze()
        }
    }

    /// Bytes of memory that are held for reading.
    pub(super) fn memory(&self) -> usize {
        let resting = self
            .resting
            .iter()
            .fold(0, |sum: usize, block| sum.saturating_add(block.capacity()));
        self.unread.capacity().saturating_add(resting)
    }
}
