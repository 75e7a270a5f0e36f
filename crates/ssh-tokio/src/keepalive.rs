//! Signs of life: whether a silent peer is still there.
//!
//! ```text
//!  bytes arrived ──interval──▶ ask ──interval──▶ ask ──interval──▶ … after count_max intervals: the peer is gone
//!        ▲─────────────────────────────── any byte from the peer ────────────────────────────┘
//! ```

use std::time::{Duration, Instant};

/// When to ask a silent peer for a sign of life, and when to give it up: after `interval` × `count_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// After this much silence the peer is asked.
    pub interval: Duration,
    /// After this many silent intervals the connection is over.
    pub count_max: u32,
}

impl Default for Keepalive {
    /// Fifteen seconds, three times: a dead peer is noticed within 45 seconds.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            count_max: 3,
        }
    }
}

/// Counts the silent intervals of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    policy: Option<Keepalive>,
    heard: Instant,
    /// When the peer was last heard or asked: a machine that slept through many intervals still gives it a whole one.
    since: Instant,
    silent: u32,
}

impl Pulse {
    pub(crate) fn new(policy: Option<Keepalive>, now: Instant) -> Self {
        Self {
            policy: policy.filter(|policy| !policy.interval.is_zero()),
            heard: now,
            since: now,
            silent: 0,
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.since = now;
        self.silent = 0;
    }

    /// When [`beat`](Self::beat) has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.checked_add(self.policy?.interval)
    }

    /// True: ask the peer now. An error: it has been silent for that long, give it up.
    pub(crate) fn beat(&mut self, now: Instant) -> Result<bool, Duration> {
        let (Some(policy), Some(due)) = (self.policy, self.due()) else {
            return Ok(false);
        };
        if now < due {
            return Ok(false);
        }
        self.silent = self.silent.saturating_add(1);
        self.since = now;
        if self.silent >= policy.count_max {
            return Err(now.saturating_duration_since(self.heard));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Some(Keepalive::default()), start);
        assert_eq!(pulse.beat(after(14)), Ok(false));
        assert_eq!(pulse.beat(after(15)), Ok(true));
        assert_eq!(pulse.beat(after(15)), Ok(false), "once an interval");
        assert_eq!(pulse.beat(after(30)), Ok(true));
        assert_eq!(pulse.beat(after(45)), Err(Duration::from_secs(45)));
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Some(Keepalive::default()), start);
        assert_eq!(pulse.beat(after(30)), Ok(true));
        pulse.heard(after(40));
        assert_eq!(pulse.due(), Some(after(55)));
        assert_eq!(pulse.beat(after(54)), Ok(false));
    }

    #[test]
    fn a_machine_that_slept_does_not_blame_the_peer() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Some(Keepalive::default()), start);
        assert_eq!(pulse.beat(after(600)), Ok(true));
        assert_eq!(pulse.beat(after(600)), Ok(false));
        assert_eq!(pulse.due(), Some(after(615)));
    }

    #[test]
    fn without_a_policy_nothing_is_due() {
        let start = Instant::now();
        for policy in [
            None,
            Some(Keepalive {
                interval: Duration::ZERO,
                count_max: 3,
            }),
        ] {
            let mut pulse = Pulse::new(policy, start);
            assert_eq!(pulse.due(), None);
            assert_eq!(pulse.beat(start + Duration::from_secs(1 << 20)), Ok(false));
        }
    }
}
