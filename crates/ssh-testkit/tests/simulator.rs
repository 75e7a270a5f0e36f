//! Random two-sided schedules in the simulator (promise 26 of the security page): whatever two applications do in
//! whatever order, over a wire that cuts and delays, nothing is lost and nobody waits for ever.
//!
//! `BOWLINE_SCHEDULES=1000000 cargo test --release -p ssh-testkit --test simulator` plays as many as are named, and
//! `BOWLINE_FIRST_SCHEDULE` says where to begin: the seed that a failure names is played alone that way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

use std::panic::catch_unwind;
use std::thread;

use ssh_testkit::simulator::{Choices, Told, replay, run};

/// What is played where nothing is named: a part of a minute without optimisation.
const SCHEDULES: u64 = 3_000;

fn named(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value}")))
}

/// Plays every `step`th schedule from `first` on.
fn play(first: u64, end: u64, step: u64) -> Told {
    let seeds = (first..end).step_by(usize::try_from(step).unwrap());
    seeds.fold(Told::default(), |told, seed| {
        let schedule = catch_unwind(|| run(seed));
        told.and(schedule.unwrap_or_else(|_| panic!("schedule {seed} went wrong")))
    })
}

#[test]
fn no_schedule_loses_a_byte_or_leaves_anybody_waiting() {
    let first = named("BOWLINE_FIRST_SCHEDULE").unwrap_or(0);
    let count = named("BOWLINE_SCHEDULES").unwrap_or(SCHEDULES);
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let told = thread::scope(|scope| {
        let players: Vec<_> = (0..threads)
            .map(|each| scope.spawn(move || play(first + each, first + count, threads)))
            .collect();
        let each = players.into_iter().map(|player| player.join());
        each.fold(Told::default(), |told, more| {
            told.and(more.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    });
    println!("{count} schedules: {told:?}");
    if count >= SCHEDULES {
        assert!(
            told.bytes > 10_000 * count && told.channels > count && told.waits > count,
            "the schedules prove little: {told:?}"
        );
        let rare = [told.rekeys, told.cuts, told.farewells];
        assert!(rare.iter().all(|times| *times > count / 50), "{told:?}");
    }
}

#[test]
fn the_same_seed_plays_the_same_schedule() {
    let twice = [11, 11].map(run);
    assert_eq!(twice[0], twice[1]);
    assert_ne!(run(11), run(12));
}

#[test]
fn any_bytes_are_a_schedule() {
    assert_eq!(replay(Choices::of_bytes(b"")).channels, 0);
    let bytes: Vec<u8> = (0..2_000_u32)
        .map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[1])
        .collect();
    assert!(replay(Choices::of_bytes(&bytes)).bytes > 0);
}
