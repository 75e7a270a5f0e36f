//! The transfer plans against simulated files: any order of answers, short reads, files that change, failures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::Rng;
use proptest::prelude::*;
use ssh_sftp::client::Limits;
use ssh_sftp::client::transfer::{Ask, Download, MAX_REQUESTS, ReadError, Upload, WINDOW_BYTES, Window};

const SIZES: [u64; 10] = [0, 1, 2, 4095, 32_767, 32_768, 32_769, 65_536, 300_000, 1_000_000];

fn window(requests: usize, chunk_bytes: u32) -> Window {
    Window {
        requests,
        bytes: u64::from(chunk_bytes) * requests as u64,
        chunk_bytes,
    }
}

/// A file on a server, seen from `base` on, and what of it has been received.
struct Simulation {
    base: u64,
    size: u64,
    /// How often each byte came, from `base` on.
    came: Vec<u8>,
    /// The most bytes of one answer.
    cap: usize,
    /// One answer in so many is cut to a random length; 0 for never.
    short_every: usize,
    rng: Rng,
    requests: usize,
}

impl Simulation {
    fn new(base: u64, size: u64, seed: u64) -> Self {
        Self {
            base,
            size,
            came: Vec::new(),
            cap: usize::MAX,
            short_every: 0,
            rng: Rng::new(seed),
            requests: 0,
        }
    }

    /// Answers one ask as a server would.
    fn answer(&mut self, plan: &mut Download, ask: Ask) {
        self.requests += 1;
        let left = self.size.saturating_sub(ask.offset());
        if left == 0 {
            return plan.eof(ask);
        }
        let mut given = (ask.length() as usize).min(left as usize).min(self.cap);
        if self.short_every > 0 && self.rng.below(self.short_every) == 0 {
            given = 1 + self.rng.below(given);
        }
        let from = (ask.offset() - self.base) as usize;
        if self.came.len() < from + given {
            self.came.resize(from + given, 0);
        }
        for byte in &mut self.came[from..from + given] {
            *byte = byte.saturating_add(1);
        }
        plan.received(ask, given).unwrap();
    }

    /// Runs the plan to its end, answering in random order; `disturb` is called before every answer.
    fn run(&mut self, plan: &mut Download, window: Window, mut disturb: impl FnMut(&mut Self)) {
        let mut out = Vec::new();
        while !plan.is_finished() {
            while let Some(ask) = plan.next_ask() {
                assert!(ask.length() > 0 && ask.length() <= window.chunk_bytes);
                out.push(ask);
            }
            let bytes: u64 = out.iter().map(|ask| u64::from(ask.length())).sum();
            assert!(out.len() <= window.requests);
            assert!(bytes <= window.bytes || out.len() == 1);
            assert!(!out.is_empty(), "the plan stands still");
            disturb(self);
            let ask = out.swap_remove(self.rng.below(out.len()));
            self.answer(plan, ask);
        }
        assert!(out.is_empty());
        assert_eq!(plan.next_ask(), None);
    }

    /// Every byte before `end` came, and none of them twice.
    fn check(&self, end: u64) {
        let length = (end - self.base) as usize;
        assert!(self.came.len() >= length);
        assert!(self.came[..length].iter().all(|&times| times == 1));
    }
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![proptest::sample::select(&SIZES[..]), 0..400_000u64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_download_gets_every_byte_once(
        size in sizes(),
        said in prop_oneof![Just(None), Just(Some(0)), Just(Some(u64::MAX)), sizes().prop_map(Some)],
        says_the_truth in any::<bool>(),
        requests in 1..70usize,
        budget in prop_oneof![Just(u64::MAX), 1..200_000u64],
        chunk in prop_oneof![Just(32_768u32), Just(261_120), 1000..70_000u32],
        cap in prop_oneof![Just(usize::MAX), Just(32_768usize), 500..40_000usize],
        short_every in 0..5usize,
        seed in any::<u64>(),
    ) {
        let said = if says_the_truth { Some(size) } else { said };
        let window = Window { bytes: budget, ..window(requests, chunk) };
        let mut plan = Download::new(said, window);
        let mut simulation = Simulation { cap, short_every, ..Simulation::new(0, size, seed) };
        simulation.run(&mut plan, window, |_| {});
        let length = plan.length().unwrap();
        // A short answer that stops exactly where the size said is the end; all else is read to EOF.
        prop_assert!(length == size || (said == Some(length) && length < size));
        simulation.check(length);
        prop_assert_eq!(plan.complete_to(), length);
        prop_assert!(plan.received_bytes() >= length);
    }

    #[test]
    fn a_download_of_a_changing_file_has_no_gaps(
        sizes in proptest::collection::vec(0..300_000u64, 1..6),
        said in prop_oneof![Just(None), sizes().prop_map(Some)],
        change_every in 1..40usize,
        seed in any::<u64>(),
    ) {
        let window = window(16, 8192);
        let mut plan = Download::new(said, window);
        let mut simulation = Simulation { short_every: 3, ..Simulation::new(0, sizes[0], seed) };
        let mut step = 0;
        simulation.run(&mut plan, window, |simulation| {
            step += 1;
            simulation.size = sizes[(step / change_every).min(sizes.len() - 1)];
        });
        let length = plan.length().unwrap();
        prop_assert!(length <= *sizes.iter().max().unwrap());
        simulation.check(length);
    }

    #[test]
    fn a_failed_download_tells_how_far_it_is_complete(
        size in 100_000..500_000u64,
        fail_at in 0..60usize,
        seed in any::<u64>(),
    ) {
        let window = window(64, 8192);
        let mut plan = Download::new(Some(size), window);
        let mut simulation = Simulation { short_every: 4, ..Simulation::new(0, size, seed) };
        let mut out = Vec::new();
        let mut answers = 0;
        let mut failed_at = None;
        while !plan.is_finished() {
            while let Some(ask) = plan.next_ask() {
                prop_assert!(failed_at.is_none(), "asked after a failure");
                out.push(ask);
            }
            let ask = out.swap_remove(simulation.rng.below(out.len()));
            if answers == fail_at {
                failed_at = Some(ask.offset());
                plan.failed(ask);
            } else {
                simulation.answer(&mut plan, ask);
            }
            answers += 1;
        }
        prop_assert!(out.is_empty());
        match failed_at {
            None => prop_assert_eq!(plan.length(), Some(size)),
            Some(offset) => {
                prop_assert_eq!(plan.length(), None);
                prop_assert!(plan.complete_to() <= offset);
                simulation.check(plan.complete_to());
            }
        }
    }

    #[test]
    fn a_download_resumes_across_4_gib(
        begin in 1..200_000u64,
        over in prop_oneof![Just(-1i64), Just(0), Just(1), -70_000..70_000i64],
        seed in any::<u64>(),
    ) {
        let base = (1u64 << 32) - begin;
        let size = ((1u64 << 32).wrapping_add_signed(over)).max(base);
        let window = window(64, 32_768);
        let mut plan = Download::from_offset(base, Some(size), window);
        let mut simulation = Simulation { short_every: 3, ..Simulation::new(base, size, seed) };
        simulation.run(&mut plan, window, |_| {});
        prop_assert_eq!(plan.length(), Some(size));
        simulation.check(size);
    }

    #[test]
    fn an_upload_writes_every_byte_once(
        size in sizes(),
        base in prop_oneof![Just(0u64), Just((1 << 32) - 1), Just(1 << 32), Just((1 << 32) + 1)],
        requests in 1..70usize,
        chunk in 1000..70_000u32,
        fail_at in prop_oneof![Just(usize::MAX), 0..100usize],
        seed in any::<u64>(),
    ) {
        let window = window(requests, chunk);
        let mut plan = Upload::new(base, window);
        let mut rng = Rng::new(seed);
        let mut left = size as usize;
        let mut written = vec![0u8; left];
        let (mut out, mut answers, mut failed) = (Vec::new(), 0, false);
        while !plan.is_finished() {
            while plan.room() > 0 {
                if left == 0 {
                    plan.source_ended();
                    break;
                }
                // A source gives what it has: sometimes less than fits.
                let length = 1 + rng.below(plan.room().min(left));
                left -= length;
                out.push(plan.next_ask(length).unwrap());
            }
            let bytes: u64 = out.iter().map(|ask: &Ask| u64::from(ask.length())).sum();
            prop_assert!(out.len() <= requests && bytes <= window.bytes);
            if out.is_empty() {
                continue;
            }
            let ask = out.swap_remove(rng.below(out.len()));
            if answers == fail_at {
                plan.failed(ask);
                failed = true;
                prop_assert_eq!(plan.room(), 0);
            } else {
                let from = (ask.offset() - base) as usize;
                written[from..from + ask.length() as usize].iter_mut().for_each(|times| *times += 1);
                plan.written(ask);
            }
            answers += 1;
        }
        let complete = (plan.complete_to() - base) as usize;
        prop_assert!(written[..complete].iter().all(|&times| times == 1));
        prop_assert_eq!(plan.length(), (!failed).then_some(base + size));
        prop_assert_eq!(complete == size as usize, !failed);
    }
}

/// What a plan for a file of `size` bytes, said to have `said`, costs in requests and in turns of the wire.
fn cost(size: u64, said: Option<u64>, window: Window) -> (usize, usize) {
    let mut plan = Download::new(said, window);
    let mut simulation = Simulation::new(0, size, 1);
    let mut turns = 0;
    while !plan.is_finished() {
        let asks: Vec<Ask> = std::iter::from_fn(|| plan.next_ask()).collect();
        for ask in asks {
            simulation.answer(&mut plan, ask);
        }
        turns += 1;
    }
    assert_eq!(plan.length(), Some(size));
    (simulation.requests, turns)
}

#[test]
fn files_cost_no_request_and_no_turn_too_many() {
    let window = Window::for_reading(&Limits::default());
    assert_eq!(
        (window.requests, window.chunk_bytes, window.bytes),
        (512, 32_768, 16 << 20)
    );
    // A small file whose size is known: one READ.
    assert_eq!(cost(4096, Some(4096), window), (1, 1));
    assert_eq!(cost(1, Some(1), window), (1, 1));
    // An empty one: the READ that says so.
    assert_eq!(cost(0, Some(0), window), (1, 1));
    // A whole window, with the look behind the end in its second turn only.
    assert_eq!(cost(32_768, Some(32_768), window), (2, 1));
    assert_eq!(cost(511 * 32_768, Some(511 * 32_768), window), (512, 1));
    assert_eq!(cost(512 * 32_768, Some(512 * 32_768), window), (513, 2));
    assert_eq!(cost(512 * 32_768 - 1, Some(512 * 32_768 - 1), window), (512, 1));
}

/// A server's word about sizes cannot make more requests or more bytes than the named bounds.
#[test]
fn as_much_is_under_way_whatever_sizes_a_server_takes() {
    for chunk in [1, 32_768, 40_000, 64_512, 261_120, u32::MAX] {
        let limits = Limits {
            read_bytes: chunk,
            write_bytes: chunk,
            handles: None,
        };
        for window in [Window::for_reading(&limits), Window::for_writing(&limits)] {
            assert!((64..=MAX_REQUESTS as usize).contains(&window.requests), "{chunk}");
            if (32_768..=261_120).contains(&chunk) {
                let most = u64::from(WINDOW_BYTES);
                assert!(
                    (most - u64::from(chunk)..=most).contains(&window.bytes),
                    "{window:?}"
                );
            }
        }
    }
}

#[test]
fn a_file_of_unknown_size_is_read_ever_faster() {
    let window = Window::for_reading(&Limits::default());
    let (requests, turns) = cost(64 << 20, None, window);
    assert!(requests <= 2048 + 512, "{requests}");
    assert!(turns <= 16, "{turns}");
}

#[test]
fn a_file_of_proc_is_read_one_page_after_the_other() {
    let window = Window::for_reading(&Limits::default());
    let mut plan = Download::new(Some(0), window);
    let mut simulation = Simulation {
        cap: 4096,
        ..Simulation::new(0, 10_000, 1)
    };
    while let Some(ask) = plan.next_ask() {
        assert_eq!(plan.next_ask(), None, "one at a time");
        simulation.answer(&mut plan, ask);
    }
    assert_eq!(plan.length(), Some(10_000));
    simulation.check(10_000);
}

/// Somebody who takes the bytes in order and stops somewhere: what was asked for is bounded by what was taken.
#[test]
fn a_reader_is_never_more_than_its_reach_ahead() {
    let window = Window::for_reading(&Limits::default());
    let chunk = u64::from(window.chunk_bytes);
    assert_eq!((window.reach(0), window.reach(chunk + 1)), (chunk, chunk + 1));
    assert_eq!(window.reach(u64::MAX), window.bytes);
    for seed in [0, 2] {
        let begin = seed * 12_345;
        let mut plan = Download::from_offset(begin, None, window);
        let mut simulation = Simulation {
            short_every: seed as usize,
            ..Simulation::new(begin, u64::MAX, seed)
        };
        let (mut out, mut taken) = (Vec::new(), 0);
        while taken < 18 << 20 {
            while let Some(ask) = plan.next_ask_before(begin + taken + window.reach(taken)) {
                assert!(ask.offset() + u64::from(ask.length()) <= begin + taken + window.reach(taken));
                out.push(ask);
            }
            assert_eq!(plan.under_way(), out.len());
            let ask = out.swap_remove(simulation.rng.below(out.len()));
            simulation.answer(&mut plan, ask);
            taken = plan.complete_to() - begin;
        }
        assert_eq!(plan.end(), ssh_sftp::MAX_OFFSET, "no end was found");
    }
}

#[test]
fn nothing_is_asked_for_behind_the_end() {
    let window = window(4, 1000);
    let mut plan = Download::new(Some(4000), window);
    let mut asks: Vec<Ask> = std::iter::from_fn(|| plan.next_ask()).collect();
    assert_eq!(asks.len(), 4);
    // The file is only 1500 bytes long: what the last two asks missed is no longer worth a request.
    plan.received(asks.remove(3), 10).unwrap();
    plan.received(asks.remove(2), 10).unwrap();
    plan.received(asks.remove(0), 1000).unwrap();
    plan.received(asks.remove(0), 500).unwrap();
    let rest = plan.next_ask().unwrap();
    assert_eq!((rest.offset(), rest.length()), (1500, 500));
    plan.eof(rest);
    assert!(plan.is_finished());
    assert_eq!((plan.next_ask(), plan.length()), (None, Some(1500)));
}

#[test]
fn the_third_of_64_fails() {
    let window = window(64, 1000);
    let mut plan = Download::new(Some(64_000), window);
    let mut asks: Vec<Ask> = std::iter::from_fn(|| plan.next_ask()).collect();
    assert_eq!(asks.len(), 64);
    plan.failed(asks.remove(2));
    assert_eq!(plan.next_ask(), None);
    for ask in asks {
        assert!(!plan.is_finished());
        plan.received(ask, 1000).unwrap();
    }
    assert!(plan.is_finished());
    assert_eq!(
        (plan.length(), plan.complete_to(), plan.received_bytes()),
        (None, 2000, 63_000)
    );
}

#[test]
fn answers_that_cannot_be_end_the_plan() {
    let mut plan = Download::new(None, window(4, 1000));
    let ask = plan.next_ask().unwrap();
    assert_eq!(plan.received(ask, 0), Err(ReadError::NoData));
    assert!(plan.is_finished() && plan.length().is_none());
    let mut plan = Download::new(None, window(4, 1000));
    let ask = plan.next_ask().unwrap();
    let error = ReadError::TooMuchData {
        asked: 1000,
        given: 1001,
    };
    assert_eq!(plan.received(ask, 1001), Err(error));
    assert!(plan.is_finished() && plan.length().is_none());
}

#[test]
fn a_range_is_asked_for_exactly() {
    let window = window(4, 1000);
    let mut plan = Download::of_range(500, 2600, Some(1 << 40), window);
    let mut asks: Vec<Ask> = std::iter::from_fn(|| plan.next_ask()).collect();
    let ranges: Vec<_> = asks.iter().map(|ask| (ask.offset(), ask.length())).collect();
    assert_eq!(ranges, [(500, 1000), (1500, 1000), (2500, 100)]);
    for ask in asks.drain(..) {
        let length = ask.length() as usize;
        plan.received(ask, length).unwrap();
    }
    assert_eq!(plan.length(), Some(2600));
    let mut empty = Download::of_range(7, 7, None, window);
    assert_eq!((empty.next_ask(), empty.length()), (None, Some(7)));
}

#[test]
fn offsets_end_where_files_do() {
    let largest = ssh_sftp::MAX_OFFSET;
    let window = window(4, 1000);
    let mut plan = Download::from_offset(largest - 1500, Some(u64::MAX), window);
    let asks: Vec<Ask> = std::iter::from_fn(|| plan.next_ask()).collect();
    let last = asks.last().unwrap();
    assert_eq!(last.offset() + u64::from(last.length()), largest);
    let mut plan = Upload::new(largest - 1500, window);
    let ask = plan.next_ask(1000).unwrap();
    assert_eq!((ask.length(), plan.room()), (1000, 500));
    plan.skip(u64::MAX);
    assert_eq!(plan.room(), 0);
}

#[test]
fn an_upload_may_leave_holes() {
    let mut plan = Upload::new(0, window(4, 1000));
    let first = plan.next_ask(10).unwrap();
    plan.skip(1 << 32);
    let second = plan.next_ask(10).unwrap();
    assert_eq!(second.offset(), (1 << 32) + 10);
    assert_eq!(plan.next_ask(0), None);
    assert_eq!(plan.next_ask(1001), None);
    plan.source_ended();
    plan.written(second);
    assert_eq!(plan.complete_to(), 0);
    plan.written(first);
    assert_eq!(plan.length(), Some((1 << 32) + 20));
    assert_eq!(plan.written_bytes(), 20);
}

#[test]
fn a_window_without_room_still_moves() {
    let nothing = Window {
        requests: 0,
        bytes: 0,
        chunk_bytes: 0,
    };
    let mut plan = Download::new(Some(3), nothing);
    let mut simulation = Simulation::new(0, 3, 1);
    let one = Window {
        requests: 1,
        bytes: 1,
        chunk_bytes: 1,
    };
    simulation.run(&mut plan, one, |_| {});
    assert_eq!(plan.length(), Some(3));
    assert_eq!(Upload::new(0, nothing).room(), 1);
}
