//! The simulator: two whole connections, client and server, on a wire with latency and cuts, under a virtual clock,
//! while both applications do everything they can in any order.
//!
//! ```text
//!   Choices (a seed, or a fuzzer's bytes) ──▶ Schedule: open · accept · refuse · write · read · consume · EOF · CLOSE ·
//!                                             request · answer · change keys · carry bytes · let time pass · cut
//!                                                │ after each step: bytes, windows, memory
//!                                                ▼
//!                                             at rest: everything arrived, nobody waits, nothing is left
//! ```
//!
//! What must hold, whatever the schedule: no panic; nobody accuses an honest peer; bytes delivered are a prefix of bytes
//! sent; no window below zero or above what it was granted; memory within its formula; and no deadlock: once both sides
//! read, everything that was to be sent arrives, and each writer that waits is called without asking again.

mod checks;
mod choices;
mod lane;
mod schedule;

pub use choices::Choices;
use schedule::Schedule;

/// Steps of a schedule that comes from a seed.
const STEPS: usize = 160;

/// What a schedule did: a schedule that did nothing proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Channels that were asked for.
    pub channels: u64,
    /// Bytes that arrived and were read.
    pub bytes: u64,
    /// Writes that found no room and were called later.
    pub waits: u64,
    /// Changes of keys, both sides counted.
    pub rekeys: u64,
    /// Schedules that ended with a cut cable.
    pub cuts: u64,
    /// Schedules that ended with a farewell while channels were open.
    pub farewells: u64,
}

impl Told {
    /// The sum of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            channels: self.channels + other.channels,
            bytes: self.bytes + other.bytes,
            waits: self.waits + other.waits,
            rekeys: self.rekeys + other.rekeys,
            cuts: self.cuts + other.cuts,
            farewells: self.farewells + other.farewells,
        }
    }
}

/// The schedule of a seed: the same seed, the same schedule.
///
/// # Panics
/// Something that must hold does not.
pub fn run(seed: u64) -> Told {
    replay(Choices::of_seed(seed, STEPS))
}

/// The schedule that these choices make.
///
/// # Panics
/// Something that must hold does not.
pub fn replay(choices: Choices<'_>) -> Told {
    Schedule::new(choices).play()
}
