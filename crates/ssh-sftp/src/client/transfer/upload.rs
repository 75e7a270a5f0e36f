//! Writing a file: many WRITEs at once, of a source that is read as it comes.

use super::{Ask, Flight, Window, lower};
use crate::MAX_OFFSET;
use crate::wire::{u32_saturating, usize_from};

/// The plan for writing one file, front to back, from a source whose length nobody needs to know.
///
/// ```text
///   room() bytes at most from the source ──▶ next_ask(length) ──▶ WRITE ──▶ written(ask) or failed(ask)
///   the source has ended ──▶ source_ended() … is_finished()
/// ```
///
/// A source that shrinks or grows while it is read just ends earlier or later.
#[derive(Debug)]
pub struct Upload {
    window: Window,
    /// Where the next piece goes.
    next: u64,
    flight: Flight,
    source_ended: bool,
    written: u64,
    /// The lowest piece that failed; nothing more is sent then.
    failed: Option<u64>,
}

impl Upload {
    /// A plan that writes from `offset` on: 0 for a whole file.
    pub fn new(offset: u64, window: Window) -> Self {
        Self {
            window: window.usable(),
            next: offset,
            flight: Flight::default(),
            source_ended: false,
            written: 0,
            failed: None,
        }
    }

    /// How many bytes the next piece may have; 0 while the window is full, and when nothing more will be sent.
    pub fn room(&self) -> usize {
        if self.source_ended || self.failed.is_some() {
            return 0;
        }
        let room = self.flight.room(&self.window);
        usize_from(super::before(self.next, room, MAX_OFFSET))
    }

    /// Gives a piece of `length` bytes its place. `None` when it is empty or longer than [`room`](Self::room).
    pub fn next_ask(&mut self, length: usize) -> Option<Ask> {
        if length == 0 || length > self.room() {
            return None;
        }
        let length = u32_saturating(length);
        let ask = self.flight.ask(self.next, length);
        self.next = self.next.saturating_add(u64::from(length));
        Some(ask)
    }

    /// Leaves out `bytes` bytes: a hole of the source. Where the file ends in a hole, set its size to
    /// [`length`](Self::length) when the plan is finished.
    pub fn skip(&mut self, bytes: u64) {
        self.next = self.next.saturating_add(bytes).min(MAX_OFFSET);
    }

    /// The source has no more.
    pub fn source_ended(&mut self) {
        self.source_ended = true;
    }

    /// The server wrote `ask`.
    pub fn written(&mut self, ask: Ask) {
        self.flight.land(&ask);
        self.written = self.written.saturating_add(u64::from(ask.length));
    }

    /// `ask` failed. Nothing more is sent; the plan is finished when everything that is out has come back.
    pub fn failed(&mut self, ask: Ask) {
        self.flight.land(&ask);
        self.failed = lower(self.failed, ask.offset);
    }

    /// Whether nothing is under way and nothing more will be sent.
    pub fn is_finished(&self) -> bool {
        self.flight.is_empty() && (self.source_ended || self.failed.is_some())
    }

    /// Where the file ends, once everything before that has been written.
    pub fn length(&self) -> Option<u64> {
        (self.is_finished() && self.failed.is_none()).then_some(self.next)
    }

    /// Everything from the beginning of the plan up to here has been written: where a broken transfer can be resumed.
    pub fn complete_to(&self) -> u64 {
        let gaps = [self.flight.lowest(), self.failed];
        gaps.into_iter().flatten().min().unwrap_or(self.next)
    }

    /// Bytes that were written.
    pub const fn written_bytes(&self) -> u64 {
        self.written
    }
}
