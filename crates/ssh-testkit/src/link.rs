//! The wire between two machines in memory: how bytes are cut, how long they travel, who listens.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ssh_client::wire::Layer;

use crate::rng::Dice;

/// How the bytes of one flush reach the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// As they left.
    Whole,
    /// One by one, each followed by a poll.
    Bytes,
    /// In pieces of random size, up to this many bytes.
    Cuts(usize),
}

/// One direction of the wire.
#[derive(Debug)]
pub struct Link {
    feed: Feed,
    dice: Dice,
    latency: Duration,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// All bytes that ever entered, for transcripts.
    pub carried: Vec<u8>,
    /// Whether `carried` is kept.
    pub records: bool,
    /// When set, bytes beyond this many are lost and the link is dead: the cable is cut there.
    pub cut_after: Option<usize>,
    /// XORed into the byte at this place of the direction.
    pub corrupt: Option<(usize, u8)>,
    count: usize,
}

impl Link {
    /// A wire that cuts as `feed` says.
    pub const fn new(feed: Feed, seed: u64, latency: Duration) -> Self {
        Self {
            feed,
            dice: Dice::new(seed),
            latency,
            under_way: VecDeque::new(),
            carried: Vec::new(),
            records: false,
            cut_after: None,
            corrupt: None,
            count: 0,
        }
    }

    /// Takes what `from` has to send.
    pub fn collect<L: Layer>(&mut self, from: &mut L, now: Instant) {
        let mut bytes = std::mem::take(from.transmit());
        from.transmitted(bytes.len());
        if bytes.is_empty() {
            return;
        }
        if self.records {
            self.carried.extend_from_slice(&bytes);
        }
        let start = self.count;
        self.count += bytes.len();
        if let Some((place, mask)) = self.corrupt
            && let Some(byte) = place.checked_sub(start).and_then(|offset| bytes.get_mut(offset))
        {
            *byte ^= mask;
        }
        if let Some(limit) = self.cut_after {
            bytes.truncate(limit.saturating_sub(start));
        }
        if !bytes.is_empty() {
            self.under_way.push_back((now + self.latency, bytes));
        }
    }

    /// Bytes that have entered so far.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// When the next bytes arrive.
    pub fn arrival(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// The next piece that has arrived.
    pub fn deliver(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (at, bytes) = self.under_way.front_mut()?;
        if *at > now {
            return None;
        }
        let size = match self.feed {
            Feed::Whole => bytes.len(),
            Feed::Bytes => 1,
            Feed::Cuts(most) => 1 + self.dice.below(most),
        };
        let rest = bytes.split_off(size.min(bytes.len()));
        let piece = std::mem::replace(bytes, rest);
        if bytes.is_empty() {
            self.under_way.pop_front();
        }
        Some(piece)
    }
}
