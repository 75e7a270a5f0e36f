//! Signs of life: whether a silent peer is still there.
//!
//! ```text
//!  bytes arrived ──interval──▶ ask ──interval──▶ ask ──interval──▶ … count_max times, ──interval──▶ the peer is gone
//!        ▲─────────────────────────────── any byte from the peer ────────────────────────────┘
//! ```

use std::time::{Duration, Instant};

/// When to ask a silent peer for a sign of life, and when to give it up: OpenSSH's `ServerAliveInterval` and
/// `ServerAliveCountMax`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// After this much silence the peer is asked.
    pub interval: Duration,
    /// So many times it is asked; an interval after the last time the connection is over, so that every question can be
    /// answered. Zero: it is asked for ever and never given up.
    pub count_max: u32,
}

impl Default for Keepalive {
    /// Every fifteen seconds, twice: a dead peer is noticed after 45 seconds, three intervals.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            count_max: 2,
        }
    }
}

/// The peer is dead: what it was asked, and for how long it has been silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) probes: u32,
    pub(crate) silent: Duration,
}

/// Counts the questions without an answer of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    policy: Option<Keepalive>,
    heard: Instant,
    /// When the peer was last heard or asked: a machine that slept through many intervals still gives it a whole one.
    since: Instant,
    /// How often the peer was asked since it was heard.
    asked: u32,
}

impl Pulse {
    pub(crate) fn new(policy: Option<Keepalive>, now: Instant) -> Self {
        Self {
            policy: policy.filter(|policy| !policy.interval.is_zero()),
            heard: now,
            since: now,
            asked: 0,
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.since = now;
        self.asked = 0;
    }

    /// When [`beat`](Self::beat) has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.checked_add(self.policy?.interval)
    }

    /// True: ask the peer now. An error: give it up.
    pub(crate) fn beat(&mut self, now: Instant) -> Result<bool, Dead> {
        let (Some(policy), Some(due)) = (self.policy, self.due()) else {
            return Ok(false);
        };
        if now < due {
            return Ok(false);
        }
        if policy.count_max > 0 && self.asked >= policy.count_max {
            return Err(Dead {
                probes: self.asked,
                silent: now.saturating_duration_since(self.heard),
            });
        }
        self.asked = self.asked.saturating_add(1);
        self.since = now;
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
        assert_eq!(
            pulse.beat(after(44)),
            Ok(false),
            "the second has its interval too"
        );
        let (probes, silent) = (2, Duration::from_secs(45));
        assert_eq!(pulse.beat(after(45)), Err(Dead { probes, silent }));
    }

    #[test]
    fn even_a_single_question_can_be_answered() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let once = Keepalive {
            interval: Duration::from_secs(15),
            count_max: 1,
        };
        let mut pulse = Pulse::new(Some(once), start);
        assert_eq!(pulse.beat(after(15)), Ok(true));
        pulse.heard(after(16));
        assert_eq!(pulse.beat(after(31)), Ok(true));
        let (probes, silent) = (1, Duration::from_secs(30));
        assert_eq!(pulse.beat(after(46)), Err(Dead { probes, silent }));
    }

    #[test]
    fn with_a_count_of_zero_nobody_is_given_up() {
        let start = Instant::now();
        let patient = Keepalive {
            interval: Duration::from_secs(1),
            count_max: 0,
        };
        let mut pulse = Pulse::new(Some(patient), start);
        for second in 1..10_000 {
            assert_eq!(pulse.beat(start + Duration::from_secs(second)), Ok(true));
        }
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
