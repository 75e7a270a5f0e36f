//! Which requests may be under way at the same time.
//!
//! A client may send its next request before it has the answer to the last, and relies on both being done as if one
//! after the other (draft-ietf-secsh-filexfer-02 §6 asks it of requests for one file). So two requests run at the same
//! time only if nobody could tell in which order they ran: when both only look, or when they touch different open
//! files, or different parts of one.
//!
//! ```text
//!  push ──▶ waiting (in order) ──next_batch──▶ running (up to MAX_BATCHES) ──finished──▶ gone
//!                    ▲ the first one that conflicts with something running stops there, and all behind it
//! ```
//!
//! Within a batch everything runs in order on one thread, so members of one batch may conflict.

use std::collections::VecDeque;

/// What a request touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    /// An open file, by its number in this conversation; `None`: the tree of names.
    file: Option<u64>,
    /// The first byte touched, and the first one after.
    start: u64,
    end: u64,
    /// Whether it changes what it touches.
    writes: bool,
}

impl Touch {
    /// A request that goes by path.
    pub(super) fn names(writes: bool) -> Self {
        Self {
            file: None,
            start: 0,
            end: u64::MAX,
            writes,
        }
    }

    /// A request that concerns a whole open file.
    pub(super) fn whole(file: u64, writes: bool) -> Self {
        Self {
            file: Some(file),
            start: 0,
            end: u64::MAX,
            writes,
        }
    }

    /// A request that concerns `length` bytes of an open file.
    pub(super) fn range(file: u64, start: u64, length: usize, writes: bool) -> Self {
        let end = start.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        Self {
            file: Some(file),
            start,
            end,
            writes,
        }
    }

    /// Whether somebody could tell in which order the two ran.
    fn conflicts(&self, other: &Self) -> bool {
        if !self.writes && !other.writes {
            return false;
        }
        match (self.file, other.file) {
            (Some(one), Some(two)) => one == two && self.start < other.end && other.start < self.end,
            // A path may lead to any open file, and an open file may be looked at by its path.
            _ => true,
        }
    }
}

/// Requests that wait and requests under way.
#[derive(Debug)]
pub(super) struct Schedule<W> {
    waiting: VecDeque<Entry<W>>,
    running: Vec<(BatchId, Vec<Touch>)>,
    next_id: u64,
}

#[derive(Debug)]
struct Entry<W> {
    touch: Touch,
    weight_bytes: usize,
    work: W,
}

/// One batch under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchId(u64);

impl<W> Default for Schedule<W> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            running: Vec::new(),
            next_id: 0,
        }
    }
}

impl<W> Schedule<W> {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Queues `work`, which touches `touch` and moves about `weight_bytes`.
    pub(super) fn push(&mut self, touch: Touch, weight_bytes: usize, work: W) {
        self.waiting.push_back(Entry {
            touch,
            weight_bytes,
            work,
        });
    }

    /// Whether there is something for one more thread.
    pub(super) fn may_begin(&self) -> bool {
        let next = self.waiting.front();
        self.running.len() < MAX_BATCHES && next.is_some_and(|next| !self.is_in_the_way(&next.touch))
    }

    /// What one thread shall do next, in this order; `None` if nothing may begin now.
    pub(super) fn next_batch(&mut self) -> Option<(BatchId, Vec<W>)> {
        if !self.may_begin() {
            return None;
        }
        let (mut batch, mut touches, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        while let Some(next) = self.waiting.front() {
            let full = batch.len() >= BATCH_REQUESTS || (!batch.is_empty() && bytes >= BATCH_BYTES);
            if full || self.is_in_the_way(&next.touch) {
                break;
            }
            bytes = bytes.saturating_add(next.weight_bytes);
            touches.push(next.touch);
            batch.extend(self.waiting.pop_front().map(|entry| entry.work));
        }
        let id = BatchId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.running.push((id, touches));
        Some((id, batch))
    }

    /// A batch is done.
    pub(super) fn finished(&mut self, id: BatchId) {
        self.running.retain(|(running, _)| *running != id);
    }

    fn is_in_the_way(&self, touch: &Touch) -> bool {
        self.running
            .iter()
            .flat_map(|(_, touches)| touches)
            .any(|running| running.conflicts(touch))
    }
}

/// Batches of one conversation under way at once: one thread each. Two keep a disk and the channel busy at the same
/// time; more help storage that answers late.
const MAX_BATCHES: usize = 4;
/// Requests in one batch. Small enough that half of what a client has in flight is still waiting for another thread.
const BATCH_REQUESTS: usize = 16;
/// Bytes after which a batch takes no further request, so that answers come while the next batch works.
const BATCH_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(schedule: &mut Schedule<u32>) -> Option<(BatchId, Vec<u32>)> {
        schedule.next_batch()
    }

    #[test]
    fn only_what_nobody_could_tell_apart_runs_at_once() {
        let check = |one: Touch, two: Touch, expected: bool| {
            assert_eq!(one.conflicts(&two), expected, "{one:?} {two:?}");
            assert_eq!(two.conflicts(&one), expected, "{two:?} {one:?}");
        };
        let (read, write) = (
            |s, l| Touch::range(1, s, l, false),
            |s, l| Touch::range(1, s, l, true),
        );
        check(read(0, 10), read(5, 10), false);
        check(read(0, 10), write(10, 10), false);
        check(read(0, 11), write(10, 10), true);
        check(write(0, 10), write(10, 10), false);
        check(write(0, 10), write(9, 1), true);
        check(write(u64::MAX - 1, 10), write(u64::MAX - 1, 1), true);
        check(write(5, 0), write(0, 10), true);
        check(write(0, 10), Touch::range(2, 0, 10, true), false);
        check(write(0, 10), Touch::whole(1, true), true);
        check(read(0, 10), Touch::whole(1, false), false);
        check(read(0, 10), Touch::whole(2, true), false);
        check(Touch::names(false), Touch::names(false), false);
        check(Touch::names(false), Touch::names(true), true);
        check(Touch::names(false), write(0, 1), true);
        check(Touch::names(false), read(0, 1), false);
        check(Touch::names(true), read(0, 1), true);
    }

    #[test]
    fn what_conflicts_waits_and_nothing_overtakes_it() {
        let mut schedule = Schedule::default();
        schedule.push(Touch::range(1, 0, 10, true), BATCH_BYTES, 1);
        schedule.push(Touch::range(1, 5, 10, true), 10, 2);
        schedule.push(Touch::range(2, 0, 10, true), 10, 3);
        let (first, work) = batch(&mut schedule).unwrap();
        assert_eq!(work, [1]);
        assert_eq!(batch(&mut schedule), None);
        schedule.finished(first);
        assert_eq!(batch(&mut schedule).unwrap().1, [2, 3]);
    }

    #[test]
    fn a_batch_may_hold_what_conflicts_because_it_runs_in_order() {
        let mut schedule = Schedule::default();
        for n in 0..5 {
            schedule.push(Touch::names(true), 0, n);
        }
        assert_eq!(batch(&mut schedule).unwrap().1, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn batches_are_bounded_in_number_and_size() {
        let mut schedule = Schedule::default();
        for n in 0..1000 {
            schedule.push(Touch::range(1, u64::from(n) * 10, 10, true), 10, n);
        }
        let batches: Vec<_> = std::iter::from_fn(|| batch(&mut schedule)).collect();
        assert_eq!(batches.len(), MAX_BATCHES);
        assert!(batches.iter().all(|(_, work)| work.len() == BATCH_REQUESTS));
        schedule.finished(batches[2].0);
        assert_eq!(batch(&mut schedule).unwrap().1.len(), BATCH_REQUESTS);
        assert_eq!(batch(&mut schedule), None);

        let mut schedule = Schedule::default();
        for n in 0..4 {
            schedule.push(Touch::range(1, u64::from(n), 1, false), BATCH_BYTES, n);
        }
        assert_eq!(batch(&mut schedule).unwrap().1, [0]);
    }
}
