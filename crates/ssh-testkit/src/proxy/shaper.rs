//! One direction, without I/O: bytes and the time go in, pieces, waits and the end come out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Fault;
use super::packets::{PacketCutter, Piece};
use crate::rng::Dice;

/// The largest piece that is taken from a side or sent at once.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// These bytes are to be sent.
    Send(Vec<u8>),
    /// Nothing until then.
    Wait(Instant),
    /// Nothing until more bytes have come.
    More,
    /// This direction is to end with FIN.
    HalfClose,
    /// Everything is to end with FIN.
    Cut,
    /// Everything is to end with RST.
    Reset,
}

/// The bytes of one direction on their way.
#[derive(Debug)]
pub struct Shaper {
    fault: Fault,
    dice: Dice,
    /// What has come, and when it may leave.
    held: VecDeque<(Instant, Vec<u8>)>,
    cutter: PacketCutter,
    /// Encrypted packets that have come.
    packets: usize,
    /// A packet that lets another pass.
    kept: Option<Vec<u8>>,
    /// Bytes that have come.
    came: usize,
    /// Bytes that have left.
    left: usize,
    /// When it goes on, once it is frozen.
    thaw: Option<Instant>,
    ended: bool,
}

impl Shaper {
    /// A direction in which this happens.
    pub fn new(fault: Fault, seed: u64) -> Self {
        Self {
            fault,
            dice: Dice::new(seed),
            held: VecDeque::new(),
            cutter: PacketCutter::default(),
            packets: 0,
            kept: None,
            came: 0,
            left: 0,
            thaw: None,
            ended: false,
        }
    }

    /// Whether so much waits that nothing more should be taken from the sender.
    pub fn is_full(&self) -> bool {
        self.held.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= 4 * BLOCK_BYTES
    }

    /// Bytes that have left.
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Bytes have come.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        let start = self.came;
        self.came += bytes.len();
        if self.fault.needs_packets() {
            self.cutter.push(bytes);
            while let Some(piece) = self.cutter.next() {
                self.push_piece(piece, now);
            }
            return;
        }
        let mut bytes = bytes.to_vec();
        let due = match self.fault {
            Fault::Corrupt { at, mask } => {
                if let Some(byte) = at.checked_sub(start).and_then(|place| bytes.get_mut(place)) {
                    *byte ^= mask;
                }
                now
            }
            Fault::Delayed { delay, jitter } => {
                let micros = self.dice.below(jitter.as_micros() as usize + 1);
                now + delay + Duration::from_micros(micros as u64)
            }
            // The first that waits decides when all leave.
            Fault::Coalesced(time) => self.held.front().map_or(now + time, |(due, _)| *due),
            _ => now,
        };
        // Their order stays.
        let due = self.held.back().map_or(due, |(last, _)| due.max(*last));
        match self.held.back_mut() {
            Some((last, held)) if *last == due => held.append(&mut bytes),
            _ => self.held.push_back((due, bytes)),
        }
    }

    fn push_piece(&mut self, piece: Piece, now: Instant) {
        let bytes = match piece {
            Piece::Clear(bytes) => bytes,
            Piece::Encrypted(bytes) => {
                let number = self.packets;
                self.packets += 1;
                match self.fault {
                    Fault::DropPacket(which) if which == number => return,
                    Fault::DoublePacket(which) if which == number => bytes.repeat(2),
                    Fault::SwapPackets(which) if which == number => {
                        self.kept = Some(bytes);
                        return;
                    }
                    _ => [bytes, self.kept.take().unwrap_or_default()].concat(),
                }
            }
        };
        self.held.push_back((now, bytes));
    }

    /// What is to be done now.
    pub fn step(&mut self, now: Instant) -> Step {
        if let Some(end) = self.end() {
            return end;
        }
        if let Fault::Frozen { after, time } = self.fault
            && self.left >= after
        {
            let thaw = *self.thaw.get_or_insert(now + time);
            if now < thaw {
                return Step::Wait(thaw);
            }
        }
        let Some((due, bytes)) = self.held.front_mut() else {
            return Step::More;
        };
        if *due > now {
            return Step::Wait(*due);
        }
        let room = match self.fault {
            Fault::Chunks(size) => size.max(1),
            Fault::RandomChunks(most) => 1 + self.dice.below(most),
            Fault::Crumbs { bytes } if self.left < bytes => 1,
            Fault::Crumbs { .. } => 1 + self.dice.below(BLOCK_BYTES),
            Fault::Throttled(rate) => (rate / 50).max(1),
            Fault::Frozen { after, .. } if self.left < after => after - self.left,
            Fault::Cut(at) | Fault::Reset(at) | Fault::HalfClosed(at) => at - self.left,
            _ => BLOCK_BYTES,
        };
        let rest = bytes.split_off(room.min(bytes.len()));
        let piece = std::mem::replace(bytes, rest);
        let is_spent = bytes.is_empty();
        if matches!(self.fault, Fault::Throttled(_)) {
            *due = now + Duration::from_millis(20);
        }
        if is_spent {
            self.held.pop_front();
        }
        self.left += piece.len();
        Step::Send(piece)
    }

    /// The end, where it is reached.
    fn end(&mut self) -> Option<Step> {
        let (at, end) = match self.fault {
            Fault::Cut(at) => (at, Step::Cut),
            Fault::Reset(at) => (at, Step::Reset),
            Fault::HalfClosed(at) => (at, Step::HalfClose),
            _ => return None,
        };
        if self.left < at {
            return None;
        }
        self.held.clear();
        if std::mem::replace(&mut self.ended, true) {
            return Some(Step::More);
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that leaves until more would have to come; the sizes of its pieces, and the time that it took.
    fn leave(shaper: &mut Shaper, mut now: Instant) -> (Vec<u8>, Vec<usize>, Duration, Option<Step>) {
        let (begin, mut all, mut sizes) = (now, Vec::new(), Vec::new());
        loop {
            match shaper.step(now) {
                Step::Send(piece) => {
                    sizes.push(piece.len());
                    all.extend(piece);
                }
                Step::Wait(until) => now = until,
                Step::More => return (all, sizes, now - begin, None),
                end => return (all, sizes, now - begin, Some(end)),
            }
        }
    }

    fn after(fault: Fault, bytes: &[u8]) -> (Vec<u8>, Vec<usize>, Duration, Option<Step>) {
        let now = Instant::now();
        let mut shaper = Shaper::new(fault, 3);
        shaper.push(bytes, now);
        leave(&mut shaper, now)
    }

    #[test]
    fn pieces_have_the_sizes_that_were_asked_for() {
        let data: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        for (fault, most, least_pieces) in [
            (Fault::None, BLOCK_BYTES, 4),
            (Fault::Chunks(1), 1, 200_000),
            (Fault::Chunks(1_000), 1_000, 200),
            (Fault::RandomChunks(64), 64, 4_000),
            (Fault::Crumbs { bytes: 100 }, BLOCK_BYTES, 103),
        ] {
            let (all, sizes, time, end) = after(fault, &data);
            assert!(all == data && end.is_none(), "{fault:?}");
            assert!(sizes.len() >= least_pieces && sizes.iter().all(|size| (1..=most).contains(size)));
            assert_eq!(time, Duration::ZERO);
        }
        let sizes = |seed| {
            let now = Instant::now();
            let mut shaper = Shaper::new(Fault::RandomChunks(64), seed);
            shaper.push(&data, now);
            leave(&mut shaper, now).1
        };
        assert_eq!(sizes(5), sizes(5), "the same seed, the same pieces");
        assert_ne!(sizes(5), sizes(6));
    }

    #[test]
    fn time_passes_as_was_asked_for() {
        let data = vec![1; 10_000];
        let second = Duration::from_secs(1);
        let (all, _, time, _) = after(Fault::Throttled(1_000), &data);
        assert_eq!(all.len(), 10_000);
        assert!(time > 9 * second && time <= 10 * second, "{time:?}");
        let (all, sizes, time, _) = after(
            Fault::Frozen {
                after: 100,
                time: second,
            },
            &data,
        );
        assert_eq!((all.len(), sizes[0], time), (10_000, 100, second));
        let now = Instant::now();
        let mut shaper = Shaper::new(
            Fault::Frozen {
                after: 1,
                time: second,
            },
            1,
        );
        for _ in 0..3 {
            shaper.push(b"a", now);
        }
        assert_eq!(shaper.step(now), Step::Send(b"a".to_vec()));
        for _ in 0..3 {
            shaper.push(b"more does not thaw it", now);
            assert_eq!(shaper.step(now), Step::Wait(now + second));
        }
        let jitter = Duration::from_millis(10);
        let (_, _, time, _) = after(
            Fault::Delayed {
                delay: second,
                jitter,
            },
            &data,
        );
        assert!(time >= second && time <= second + jitter);
        let now = Instant::now();
        let mut shaper = Shaper::new(Fault::Coalesced(second), 1);
        shaper.push(b"a", now);
        shaper.push(b"b", now + second / 2);
        assert_eq!(shaper.step(now + second / 2), Step::Wait(now + second));
        assert_eq!(shaper.step(now + second), Step::Send(b"ab".to_vec()));
    }

    #[test]
    fn ends_come_at_the_byte() {
        for (fault, expected) in [
            (Fault::Cut(5), Step::Cut),
            (Fault::Reset(5), Step::Reset),
            (Fault::HalfClosed(5), Step::HalfClose),
        ] {
            let (all, _, _, end) = after(fault, b"0123456789");
            assert_eq!((all.as_slice(), end), (&b"01234"[..], Some(expected)));
        }
        assert_eq!(after(Fault::Cut(0), b"x").0, b"");
        assert_eq!(after(Fault::Corrupt { at: 2, mask: 1 }, b"aaaa").0, b"aa`a");
    }

    #[test]
    fn encrypted_packets_are_dropped_doubled_and_swapped() {
        let newkeys = [0, 0, 0, 12, 10, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let packet = |mark: u8| [&[0, 0, 0, 1][..], &[mark; 17]].concat();
        let opening = [b"SSH-2.0-x\r\n", &newkeys[..]].concat();
        let stream = [opening.clone(), packet(1), packet(2), packet(3)].concat();
        let marks = |fault| {
            let all = after(fault, &stream).0;
            assert!(all.starts_with(&opening));
            let packets = all[opening.len()..].chunks(21);
            packets.map(|packet| packet[4]).collect::<Vec<_>>()
        };
        assert_eq!(marks(Fault::DropPacket(1)), [1, 3]);
        assert_eq!(marks(Fault::DoublePacket(0)), [1, 1, 2, 3]);
        assert_eq!(marks(Fault::SwapPackets(1)), [1, 3, 2]);
        assert_eq!(marks(Fault::SwapPackets(7)), [1, 2, 3]);
    }
}
