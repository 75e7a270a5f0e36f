//! Reading a file: many READs at once, any order of answers, files that are not as long as was said.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Ask, Flight, Window, before, lower};
use crate::MAX_OFFSET;
use crate::wire::{u32_saturating, usize_from};

/// The plan for reading one file from an offset to its end.
///
/// * Up to the size that was said, the window is kept full. Behind it one READ at a time looks for more, and the
///   number doubles with every full answer: so a file of unknown size (`/proc` says 0) is read to its end, a growing
///   one too, and an empty one costs one request.
/// * A short answer is not the end: what is missing is asked for again, first. It is the end when it stops exactly
///   where the size said.
/// * The end is the lowest place where the server said EOF. What was received beyond it does not count: cut the
///   local file to [`length`](Self::length) when the plan is finished.
#[derive(Debug)]
pub struct Download {
    window: Window,
    /// The size the server named; `None` for an unknown one.
    expected: Option<u64>,
    /// The first byte that was never asked for.
    next: u64,
    /// Nothing is asked for from here on: the end that was found, or that was asked for.
    end: u64,
    flight: Flight,
    /// What short answers left out: lengths by offset.
    missing: BTreeMap<u64, u32>,
    /// How many requests may be out at once behind the expected size.
    pace: usize,
    received: u64,
    /// The lowest range that failed; nothing more is asked for then.
    failed: Option<u64>,
}

/// An answer to READ that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Neither data nor EOF: asking again would go on for ever.
    #[error("the server answered a READ with no data")]
    NoData,
    /// More data than was asked for. [`Client`](crate::Client) lets no such answer through.
    #[error("the server gave {given} bytes where {asked} were asked for")]
    TooMuchData {
        /// Bytes that were asked for.
        asked: u32,
        /// Bytes that came.
        given: usize,
    },
}

impl Download {
    /// A plan for a whole file; `size` is what the server says of it, if it says anything.
    pub fn new(size: Option<u64>, window: Window) -> Self {
        Self::of_range(0, MAX_OFFSET, size, window)
    }

    /// A plan for the rest of a file, from `offset` on.
    pub fn from_offset(offset: u64, size: Option<u64>, window: Window) -> Self {
        Self::of_range(offset, MAX_OFFSET, size, window)
    }

    /// A plan for the bytes from `offset` up to `end`, as far as the file has them.
    pub fn of_range(offset: u64, end: u64, size: Option<u64>, window: Window) -> Self {
        Self {
            window: window.usable(),
            expected: size.filter(|&size| size > 0),
            next: offset,
            end: end.min(MAX_OFFSET).max(offset),
            flight: Flight::default(),
            missing: BTreeMap::new(),
            pace: 1,
            received: 0,
            failed: None,
        }
    }

    /// The next range to READ; `None` while the window is full, and when everything has been asked for.
    pub fn next_ask(&mut self) -> Option<Ask> {
        self.next_ask_before(u64::MAX)
    }

    /// The same for somebody who takes the bytes in their order and holds the rest: of what was never asked for, only
    /// whole requests that end at `stop` or before it. What short answers left out is asked for wherever it is.
    ///
    /// With [`Window::reach`] as the distance to `stop`, what is asked for follows what was taken.
    pub fn next_ask_before(&mut self, stop: u64) -> Option<Ask> {
        let room = self.flight.room(&self.window);
        if room == 0 || self.failed.is_some() {
            return None;
        }
        if let Some((offset, length)) = self.missing.pop_first() {
            let asked = length.min(room);
            self.keep_missing(
                offset.saturating_add(u64::from(asked)),
                length.saturating_sub(asked),
            );
            return Some(self.flight.ask(offset, asked));
        }
        // Cheap ones first: somebody who reads in small pieces comes here with each.
        if self.next >= self.end || self.next.saturating_add(u64::from(room)) > stop {
            return None;
        }
        let expected = self.expected.unwrap_or(0);
        if self.next >= expected && self.flight.count_beyond(expected) >= self.pace {
            return None;
        }
        let length = before(self.next, room, self.end);
        let ask = self.flight.ask(self.next, length);
        self.next = self.next.saturating_add(u64::from(length));
        Some(ask)
    }

    /// `given` bytes came for `ask`. Write them at the ask's offset.
    pub fn received(&mut self, ask: Ask, given: usize) -> Result<(), ReadError> {
        self.flight.land(&ask);
        let asked = ask.length;
        let length = u32_saturating(given);
        if length == 0 || given > usize_from(asked) {
            self.failed = lower(self.failed, ask.offset);
            return Err(match length {
                0 => ReadError::NoData,
                _ => ReadError::TooMuchData { asked, given },
            });
        }
        self.received = self.received.saturating_add(u64::from(length));
        let stop = ask.offset.saturating_add(u64::from(length));
        if length == asked {
            self.go_faster_behind_the_expected_size(&ask);
        } else if self.expected == Some(stop) {
            self.ends_at(stop);
        } else {
            self.keep_missing(stop, asked.saturating_sub(length));
        }
        Ok(())
    }

    /// The server said EOF for `ask`.
    pub fn eof(&mut self, ask: Ask) {
        self.flight.land(&ask);
        self.ends_at(ask.offset);
    }

    /// `ask` failed. Nothing more is asked for; the plan is finished when everything that is out has come back.
    pub fn failed(&mut self, ask: Ask) {
        self.flight.land(&ask);
        self.failed = lower(self.failed, ask.offset);
    }

    /// Whether nothing is under way and nothing more will be asked for.
    pub fn is_finished(&self) -> bool {
        let all_asked = self.missing.is_empty() && self.next >= self.end;
        self.flight.is_empty() && (self.failed.is_some() || all_asked)
    }

    /// Where the file ended, once everything before that has come.
    pub fn length(&self) -> Option<u64> {
        (self.is_finished() && self.failed.is_none()).then_some(self.end)
    }

    /// Everything from the beginning of the plan up to here has come: where a broken transfer can be resumed.
    pub fn complete_to(&self) -> u64 {
        let missing = self.missing.keys().next().copied();
        let gaps = [self.flight.lowest(), missing, self.failed];
        let beginning = gaps.into_iter().flatten().min().unwrap_or(self.next);
        beginning.min(self.next).min(self.end)
    }

    /// How many asks are under way.
    pub fn under_way(&self) -> usize {
        self.flight.ranges.len()
    }

    /// Where the file ends, as far as is known: before it has been found, where files do at the latest.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that came.
    pub const fn received_bytes(&self) -> u64 {
        self.received
    }

    fn go_faster_behind_the_expected_size(&mut self, ask: &Ask) {
        if ask.offset >= self.expected.unwrap_or(0) {
            self.pace = self.pace.saturating_mul(2).min(self.window.requests);
        }
    }

    fn keep_missing(&mut self, offset: u64, length: u32) {
        let length = before(offset, length, self.end);
        if length > 0 {
            self.missing.insert(offset, length);
        }
    }

    fn ends_at(&mut self, offset: u64) {
        self.end = self.end.min(offset);
        // Whatever begins at the end or behind it is not there; a range that only reaches beyond it is asked for as
        // it is, since the server cuts it.
        drop(self.missing.split_off(&self.end));
    }
}
