//! Plans for moving whole files and listings: what to ask for next, how much at once, and what the answers mean.
//!
//! ```text
//!   plan.next() ──▶ Ask { offset, length } ──▶ READ or WRITE ──▶ its answer ──▶ plan.received(ask, …) …
//!        ▲            as many as the Window lets out at once                             │
//!        └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! No I/O and no data here: a plan counts ranges. An [`Ask`] is handed out once and handed back with its answer, in
//! any order; dropping one leaves the plan waiting for ever, so every ask must come back, if only as
//! [`failed`](Download::failed).

mod download;
mod listing;
mod upload;

use std::collections::BTreeMap;

pub use download::{Download, ReadError};
pub use listing::{Listing, TooManyNames};
pub use upload::Upload;

use crate::client::Limits;
use crate::wire::u32_saturating;

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests.
    pub requests: usize,
    /// Bytes those requests ask for or carry.
    pub bytes: u64,
    /// Bytes of one request.
    pub chunk_bytes: u32,
}

/// What one file may have under way, in bytes: enough for 120 MiB/s over a round trip of 130 ms.
pub const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Requests at once if they are large: as many as OpenSSH's `sftp` keeps.
const LEAST_REQUESTS: u32 = 64;

/// Requests at once if they are small: [`WINDOW_BYTES`] of what every server takes, 32 KiB. The requests for so much data
/// are 16 KiB or so, which wait in the window of any server that is still busy with answers; thousands of them make some
/// servers (Serv-U) forget to answer.
pub const MAX_REQUESTS: u32 = 512;

impl Window {
    /// The window for reading: requests of the largest size the server takes, as many as make up [`WINDOW_BYTES`]: 64
    /// of 255 KiB, or 512 of 32 KiB where the server does not know `limits@openssh.com`.
    pub fn for_reading(limits: &Limits) -> Self {
        Self::of_chunks(limits.read_bytes)
    }

    /// The window for writing.
    pub fn for_writing(limits: &Limits) -> Self {
        Self::of_chunks(limits.write_bytes)
    }

    /// How far ahead of a reader to ask, in bytes, when it has taken `taken` of them one after the other: one request at
    /// first, and as much as it took from there on, up to the whole window. So what is fetched in vain is never more than
    /// what was of use and one request.
    pub fn reach(&self, taken: u64) -> u64 {
        taken.min(self.bytes).max(u64::from(self.chunk_bytes))
    }

    fn of_chunks(chunk_bytes: u32) -> Self {
        let fitting = WINDOW_BYTES.checked_div(chunk_bytes).unwrap_or(MAX_REQUESTS);
        let requests = fitting.clamp(LEAST_REQUESTS, MAX_REQUESTS);
        Self {
            requests: crate::wire::usize_from(requests),
            bytes: u64::from(chunk_bytes).saturating_mul(u64::from(requests)),
            chunk_bytes,
        }
    }

    /// The same with at least one request of at least one byte, so that no plan can stand still.
    fn usable(self) -> Self {
        Self {
            requests: self.requests.max(1),
            bytes: self.bytes.max(1),
            chunk_bytes: self.chunk_bytes.max(1),
        }
    }
}

/// A range of the file that is under way.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a plan waits for every ask it gave out"]
pub struct Ask {
    offset: u64,
    length: u32,
}

impl Ask {
    /// Where the range begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// How long it is.
    pub const fn length(&self) -> u32 {
        self.length
    }
}

/// The ranges that are under way.
#[derive(Debug, Default)]
struct Flight {
    /// Lengths by offset; no two asks begin at one place.
    ranges: BTreeMap<u64, u32>,
    bytes: u64,
}

impl Flight {
    fn ask(&mut self, offset: u64, length: u32) -> Ask {
        self.ranges.insert(offset, length);
        self.bytes = self.bytes.saturating_add(u64::from(length));
        Ask { offset, length }
    }

    fn land(&mut self, ask: &Ask) {
        if self.ranges.remove(&ask.offset).is_some() {
            self.bytes = self.bytes.saturating_sub(u64::from(ask.length));
        }
    }

    /// How many bytes one more ask may have; 0 while the window is full. One ask is always let out.
    fn room(&self, window: &Window) -> u32 {
        if self.ranges.is_empty() {
            return window.chunk_bytes;
        }
        let left = window.bytes.saturating_sub(self.bytes);
        if self.ranges.len() >= window.requests || left < u64::from(window.chunk_bytes) {
            return 0;
        }
        window.chunk_bytes
    }

    fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many asks reach beyond `offset`. Ranges do not overlap, so at most one begins before it and does.
    fn count_beyond(&self, offset: u64) -> usize {
        let last_before = self.ranges.range(..offset).next_back();
        let crossing =
            last_before.is_some_and(|(&begin, &length)| begin.saturating_add(u64::from(length)) > offset);
        self.ranges
            .range(offset..)
            .count()
            .saturating_add(usize::from(crossing))
    }

    fn lowest(&self) -> Option<u64> {
        self.ranges.keys().next().copied()
    }
}

/// The part of `length` bytes at `offset` that lies before `end`.
fn before(offset: u64, length: u32, end: u64) -> u32 {
    let left = end.saturating_sub(offset);
    usize::try_from(left).map_or(length, |left| length.min(u32_saturating(left)))
}

/// The smaller of an offset and one that may be there.
fn lower(known: Option<u64>, offset: u64) -> Option<u64> {
    Some(known.map_or(offset, |known| known.min(offset)))
}
