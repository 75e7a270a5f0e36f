//! Flow control (RFC 4254 §5.2): the two windows of a channel, one for each direction.
//!
//! ```text
//!  ReceiveWindow      ┌───────────── size ──────────────┐
//!                     │ granted │    unread   │  owed   │      granted + unread + owed = size, always
//!                     └─────────┴─────────────┴─────────┘
//!     data arrives:        ──────▶             application consumes: unread ──▶ owed
//!     WINDOW_ADJUST: owed ──▶ granted, once it is worth a message
//!
//!  SendWindow         what the peer has granted us and we have not used
//! ```
//!
//! Credit returns when the application has consumed, not when data arrived, so what lies unread is bounded by the size.
//! All arithmetic on the peer's numbers is checked: what it cannot hold ends the connection.

use std::time::{Duration, Instant};

use crate::config::WindowPolicy;
use crate::limits::{MIN_WINDOW_BYTES, MODEST_WINDOW_BYTES};

/// Credit is returned at the latest when this many of the largest messages have been consumed: often enough that the
/// peer of a large window never runs dry, seldom enough to cost nothing.
const PACKETS_PER_ADJUST: u32 = 4;

/// A window grows only where it is used up faster than this: a slow stream gains nothing.
const QUICK: Duration = Duration::from_secs(1);

/// Nor does it grow where it is used up faster than this: on so short a path a larger one is a longer queue and little
/// else. Keystrokes of another channel wait in it, too, and OpenSSH's client, which reads ahead as far as the window
/// goes, slows down by moving what it has read.
const SHORT: Duration = Duration::from_millis(20);

/// What the peer may send us, and where the rest of the window is.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    granted: u32,
    unread: u32,
    owed: u32,
    pace: Pace,
}

impl ReceiveWindow {
    /// A window of `size` bytes, all of it granted.
    pub(crate) fn new(size: u32) -> Self {
        Self {
            granted: size,
            unread: 0,
            owed: 0,
            pace: Pace::default(),
        }
    }

    /// What the peer may still send.
    pub(crate) const fn granted(&self) -> u32 {
        self.granted
    }

    /// Granted, unread and owed together.
    pub(crate) const fn size(&self) -> u32 {
        self.granted.saturating_add(self.unread).saturating_add(self.owed)
    }

    /// `count` bytes arrived. `None` if that is more than was granted.
    pub(crate) fn received(&mut self, count: u32) -> Option<()> {
        self.granted = self.granted.checked_sub(count)?;
        self.unread = self.unread.saturating_add(count);
        Some(())
    }

    /// The application consumed `count` bytes; more than are unread do not count. Returns whether a larger window
    /// would pay.
    pub(crate) fn consumed(&mut self, count: u32, now: Option<Instant>) -> bool {
        let count = count.min(self.unread);
        self.unread = self.unread.saturating_sub(count);
        self.owed = self.owed.saturating_add(count);
        let size = self.size();
        now.is_some_and(|now| self.pace.consumed(count, size, now))
    }

    /// The window is `extra` bytes larger from now on.
    pub(crate) fn grow(&mut self, extra: u32) {
        self.owed = self.owed.saturating_add(extra);
    }

    /// The credit to return now, if it is worth a message; it counts as granted.
    pub(crate) fn grant(&mut self, max_packet: u32) -> Option<u32> {
        let worth = (self.size() / 2)
            .min(max_packet.saturating_mul(PACKETS_PER_ADJUST))
            .max(1);
        if self.owed < worth {
            return None;
        }
        self.granted = self.granted.saturating_add(self.owed);
        Some(std::mem::take(&mut self.owed))
    }
}

/// How fast a window is used up, and whether the last growth made that faster.
///
/// On a long path a peer sends one window per round trip, so twice the window is twice the speed. Where the network or
/// the reader is what is slow it changes nothing, and growing ends after one attempt.
#[derive(Debug, Default)]
struct Pace {
    /// When the count began.
    since: Option<Instant>,
    /// Bytes consumed since.
    bytes: u64,
    /// The speed at which the window last grew, in bytes per second.
    grown_at: u64,
    /// The window being counted was sent in part before the last growth (or before the first byte was consumed): it
    /// says nothing.
    settling: bool,
}

impl Pace {
    /// Counts `count` bytes of a window of `size`; whether a larger one would pay.
    fn consumed(&mut self, count: u32, size: u32, now: Instant) -> bool {
        let Some(since) = self.since else {
            self.since = Some(now);
            self.settling = true;
            self.bytes = u64::from(count);
            return false;
        };
        self.bytes = self.bytes.saturating_add(u64::from(count));
        if self.bytes < u64::from(size) {
            return false;
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.since = Some(now);
        let elapsed = now.saturating_duration_since(since);
        if std::mem::take(&mut self.settling) || !(SHORT..=QUICK).contains(&elapsed) {
            return false;
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        let speed = bytes.saturating_mul(1_000_000) / micros;
        let pays = speed.saturating_mul(4) >= self.grown_at.saturating_mul(5);
        if pays {
            self.grown_at = speed;
            self.settling = true;
        }
        pays
    }
}

/// What we may send to the peer.
#[derive(Debug)]
pub(crate) struct SendWindow {
    credit: u32,
    max_packet: u32,
}

impl SendWindow {
    /// As the peer said when the channel was opened.
    pub(crate) const fn new(credit: u32, max_packet: u32) -> Self {
        Self { credit, max_packet }
    }

    /// What we may still send.
    pub(crate) const fn credit(&self) -> u32 {
        self.credit
    }

    /// The most data of one message, in bytes.
    pub(crate) const fn max_packet(&self) -> u32 {
        self.max_packet
    }

    /// The most data the next message may hold.
    pub(crate) const fn packet_room(&self) -> u32 {
        if self.credit < self.max_packet {
            self.credit
        } else {
            self.max_packet
        }
    }

    /// `count` bytes were sent.
    pub(crate) const fn sent(&mut self, count: u32) {
        self.credit = self.credit.saturating_sub(count);
    }

    /// The peer grants `count` bytes more. `None` if the window would pass 2^32 - 1.
    pub(crate) fn adjusted(&mut self, count: u32) -> Option<()> {
        self.credit = self.credit.checked_add(count)?;
        Some(())
    }
}

/// What the windows of all channels of a connection sum up to, and what that leaves for another.
#[derive(Debug)]
pub(crate) struct WindowBudget {
    policy: WindowPolicy,
    used: u64,
}

impl WindowBudget {
    /// Nothing used.
    pub(crate) const fn new(policy: WindowPolicy) -> Self {
        Self { policy, used: 0 }
    }

    /// The window of a new channel.
    pub(crate) fn open(&mut self) -> ReceiveWindow {
        let fits = |size: u32, budget: u64| self.used.saturating_add(u64::from(size)) <= budget;
        let initial = self.policy.initial;
        let size = if fits(initial, self.policy.budget / 2) {
            initial
        } else if fits(MODEST_WINDOW_BYTES, self.policy.budget) {
            initial.min(MODEST_WINDOW_BYTES)
        } else {
            initial.min(MIN_WINDOW_BYTES)
        };
        self.used = self.used.saturating_add(u64::from(size));
        ReceiveWindow::new(size)
    }

    /// Doubles a window as far as the policy and the budget allow.
    pub(crate) fn grow(&mut self, window: &mut ReceiveWindow) {
        let size = window.size();
        let wanted = size.min(self.policy.max.saturating_sub(size));
        let left = self.policy.budget.saturating_sub(self.used);
        let extra = u32::try_from(left).map_or(wanted, |left| left.min(wanted));
        self.used = self.used.saturating_add(u64::from(extra));
        window.grow(extra);
    }

    /// A channel is gone.
    pub(crate) fn close(&mut self, window: &ReceiveWindow) {
        self.used = self.used.saturating_sub(u64::from(window.size()));
    }

    /// The sum.
    pub(crate) const fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;

    #[test]
    fn credit_returns_when_consumed_and_is_coalesced() {
        let mut window = ReceiveWindow::new(1_000);
        assert_eq!(window.received(600), Some(()));
        assert_eq!(window.grant(10_000), None, "nothing was consumed");
        window.consumed(499, None);
        assert_eq!(window.grant(10_000), None, "not worth a message");
        window.consumed(1, None);
        assert_eq!(window.grant(10_000), Some(500), "half the window is");
        assert_eq!(window.granted(), 900);
        window.consumed(1_000, None);
        assert_eq!(
            (window.owed, window.unread),
            (100, 0),
            "only what was unread counts"
        );
        assert_eq!(window.size(), 1_000);
    }

    #[test]
    fn large_windows_are_credited_by_packets() {
        let mut window = ReceiveWindow::new(2_048 * KIB);
        window.received(2_048 * KIB).unwrap();
        window.consumed(127 * KIB, None);
        assert_eq!(window.grant(32 * KIB), None);
        window.consumed(KIB, None);
        assert_eq!(window.grant(32 * KIB), Some(128 * KIB));
    }

    #[test]
    fn a_window_of_one_byte_works() {
        let mut window = ReceiveWindow::new(1);
        for _ in 0..3 {
            window.received(1).unwrap();
            assert_eq!(window.received(1), None);
            window.consumed(1, None);
            assert_eq!(window.grant(KIB), Some(1));
        }
    }

    #[test]
    fn more_than_was_granted_is_refused() {
        let mut window = ReceiveWindow::new(10);
        assert_eq!(window.received(11), None);
        assert_eq!(window.received(10), Some(()));
        assert_eq!(window.received(0), Some(()));
        assert_eq!(window.received(1), None);
    }

    #[test]
    fn the_send_window_holds_what_32_bits_hold() {
        let mut window = SendWindow::new(0, 100);
        assert_eq!(window.packet_room(), 0);
        window.adjusted(u32::MAX).unwrap();
        assert_eq!(window.packet_room(), 100);
        assert_eq!(window.adjusted(1), None);
        window.sent(u32::MAX - 7);
        assert_eq!((window.credit(), window.packet_room()), (7, 7));
    }

    /// Uses up windows until growing stops paying, on a path where speed is `window / round trip` up to `line` bytes
    /// a second; how large the window became.
    fn settled_size(round_trip_ms: u64, line: u64) -> u32 {
        let mut budget = WindowBudget::new(WindowPolicy::default());
        let mut window = budget.open();
        let mut now = Instant::now();
        for _ in 0..100 {
            let size = window.size();
            for _ in 0..8 {
                let piece = size / 8;
                window.received(piece).unwrap();
                let path = Duration::from_micros(round_trip_ms * 1_000 / 8);
                now += path.max(Duration::from_micros(u64::from(piece) * 1_000_000 / line));
                if window.consumed(piece, Some(now)) {
                    budget.grow(&mut window);
                }
                window.grant(64 * KIB);
            }
        }
        assert_eq!(budget.used(), u64::from(window.size()));
        window.size()
    }

    #[test]
    fn windows_grow_while_growing_pays() {
        let mib = u64::from(1_024 * KIB);
        assert_eq!(
            settled_size(100, 120 * mib),
            16 * 1_024 * KIB,
            "a long fast path gets what it needs"
        );
        assert_eq!(
            settled_size(1, 50 * mib),
            4 * 1_024 * KIB,
            "a short path gets one attempt"
        );
        assert_eq!(
            settled_size(1, 1_000 * mib),
            2 * 1_024 * KIB,
            "loopback would gain nothing but a queue"
        );
        assert_eq!(
            settled_size(2_000, 1_000 * mib),
            2 * 1_024 * KIB,
            "a slow stream gains nothing"
        );
    }

    #[test]
    fn windows_stay_inside_the_budget() {
        let policy = WindowPolicy {
            initial: 1_024 * KIB,
            max: 8 * 1_024 * KIB,
            budget: u64::from(4 * 1_024 * KIB),
        };
        let mut budget = WindowBudget::new(policy);
        let windows: Vec<ReceiveWindow> = (0..100).map(|_| budget.open()).collect();
        let sizes: Vec<u32> = windows.iter().map(ReceiveWindow::size).collect();
        assert_eq!(sizes[..3], [1_024 * KIB, 1_024 * KIB, 64 * KIB]);
        assert_eq!(sizes[33..35], [64 * KIB, MIN_WINDOW_BYTES]);
        assert_eq!(budget.used(), policy.budget + 66 * u64::from(MIN_WINDOW_BYTES));
        let mut first = ReceiveWindow::new(1_024 * KIB);
        budget.grow(&mut first);
        assert_eq!(first.size(), 1_024 * KIB, "nothing is left to grow into");
        for window in &windows {
            budget.close(window);
        }
        assert_eq!(budget.used(), 0);
        budget.used = policy.budget - 5;
        budget.grow(&mut first);
        assert_eq!(first.size(), 1_024 * KIB + 5);
    }
}
