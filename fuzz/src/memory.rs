//! What a peer can make a machine hold: never more than what really arrived from it and a fixed room, however much its
//! bytes declare. Every body that stands for a peer runs under this account, in a fuzzer and in the replay.

use allocation_counter::measure;
use ssh_testkit::hostile::{Target, Victim};

/// What a machine may hold beside what arrived, in bytes; with channels, as much again for each of them. What a window
/// grants arrives before it is held, so it counts as that.
pub(crate) const ROOM_BYTES: usize = 64 * 1024;

/// What one machine holds.
#[derive(Debug, Default)]
pub(crate) struct Account {
    live: i64,
    received: usize,
    /// The most it ever held beyond what had arrived.
    most: i64,
}

impl Account {
    /// `count` bytes arrive, and the machine acts on them: it may hold `room` bytes beside all that arrived so far.
    pub(crate) fn received<T>(&mut self, count: usize, room: usize, act: impl FnOnce() -> T) -> T {
        self.received = self.received.saturating_add(count);
        let mut outcome = None;
        let used = measure(|| outcome = Some(act()));
        let peak = self.live.saturating_add(used.bytes_max.cast_signed());
        self.most = self.most.max(peak.saturating_sub(signed(self.received)));
        assert!(
            peak <= signed(self.received.saturating_add(room)),
            "{peak} bytes are held after {} arrived",
            self.received
        );
        self.live = self.live.saturating_add(used.bytes_current);
        outcome.expect("it acted")
    }

    /// Bytes that the machine made leave it.
    pub(crate) fn gave(&mut self, bytes: &Vec<u8>) {
        self.live = self.live.saturating_sub(signed(bytes.capacity()));
    }
}

/// One act on bytes that are all there: what it holds at most.
pub(crate) fn bounded<T>(received: usize, room: usize, act: impl FnOnce() -> T) -> T {
    Account::default().received(received, room, act)
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A victim on account, from the moment it was made.
pub(crate) struct Counted {
    pub(crate) victim: Victim,
    account: Account,
}

impl Counted {
    pub(crate) fn new(make: impl FnOnce() -> Victim) -> Self {
        let mut account = Account::default();
        let victim = account.received(0, ROOM_BYTES, make);
        Self { victim, account }
    }
}

impl Target for Counted {
    fn give(&mut self, bytes: &[u8]) {
        self.account
            .received(bytes.len(), ROOM_BYTES, || self.victim.give(bytes));
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = self.account.received(0, ROOM_BYTES, || self.victim.take());
        self.account.gave(&bytes);
        bytes
    }

    fn is_over(&self) -> bool {
        self.victim.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_believed_is_found_out() {
        bounded(1, ROOM_BYTES, || vec![0_u8; ROOM_BYTES]);
        let believed = std::panic::catch_unwind(|| bounded(4, ROOM_BYTES, || vec![0_u8; ROOM_BYTES + 5]));
        assert!(believed.is_err());
        // What goes again at once counts too.
        let passing = || drop(vec![0_u8; 1 << 20]);
        assert!(std::panic::catch_unwind(|| bounded(4, ROOM_BYTES, passing)).is_err());
    }

    #[test]
    fn what_was_given_away_is_held_no_more() {
        let mut account = Account::default();
        for _ in 0..10 {
            let bytes = account.received(0, ROOM_BYTES, || vec![1_u8; ROOM_BYTES]);
            account.gave(&bytes);
        }
    }
}
