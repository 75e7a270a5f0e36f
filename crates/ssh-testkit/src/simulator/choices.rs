//! Where a schedule's choices come from: dice that a seed sets, or a fuzzer's bytes.

use crate::rng::Dice;

/// Steps after which bytes make no more of them, so that every input ends soon.
const MOST_STEPS: usize = 4_000;

/// The choices of one schedule, in their order.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    source: Source<'a>,
    steps: usize,
}

#[derive(Debug, Clone)]
enum Source<'a> {
    Dice(Dice),
    Bytes(&'a [u8]),
}

impl Choices<'static> {
    /// Dice that fall the same way for the same seed, for so many steps.
    pub const fn of_seed(seed: u64, steps: usize) -> Self {
        Self {
            source: Source::Dice(Dice::new(seed)),
            steps,
        }
    }
}

impl<'a> Choices<'a> {
    /// Choices made by bytes: one byte for a choice among up to 256, two or three for one among more. The schedule is
    /// over with the bytes.
    pub const fn of_bytes(bytes: &'a [u8]) -> Self {
        Self {
            source: Source::Bytes(bytes),
            steps: MOST_STEPS,
        }
    }

    /// Whether another step is to be made.
    pub(super) fn another_step(&mut self) -> bool {
        let spent = matches!(&self.source, Source::Bytes(bytes) if bytes.is_empty());
        if spent || self.steps == 0 {
            return false;
        }
        self.steps -= 1;
        true
    }

    /// A number below `limit`, which is at least 1. Where the bytes are spent it is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        match &mut self.source {
            Source::Dice(dice) => dice.below(limit),
            Source::Bytes(bytes) => {
                let width = match limit {
                    0..=0x100 => 1,
                    0x101..=0x1_0000 => 2,
                    _ => 3,
                };
                let (taken, rest) = bytes.split_at(width.min(bytes.len()));
                *bytes = rest;
                let number = taken
                    .iter()
                    .fold(0, |number, byte| number << 8 | usize::from(*byte));
                number % limit.max(1)
            }
        }
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
