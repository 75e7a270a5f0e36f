//! Time that moves when a test says so.

use std::time::{Duration, Instant};

/// A virtual clock. It starts at the moment it is made and never moves by itself.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: Instant::now() }
    }
}

impl Clock {
    /// The present.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Moves on.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// Moves on to `to`, unless that lies behind.
    pub fn advance_to(&mut self, to: Instant) {
        self.now = self.now.max(to);
    }
}
