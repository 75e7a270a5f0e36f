//! Whose turn it is to write, when more channels want to than the outbox has room for.
//!
//! ```text
//!   write, no room ──▶ waiting (a ticket) ──room, in the order of tickets──▶ called ──write──▶ done, or a new ticket
//!                          ▲                                                   │
//!                          └───────────── no room again: the old ticket ───────┘
//! ```
//!
//! Everybody who waits is called as soon as there is room: a channel whose writer has gone away blocks nobody. While
//! others wait or have been called, a channel writes no more than its turn. So one bulk transfer cannot starve a shell.

use std::collections::BTreeMap;

/// The channels that want to write, by their tickets.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next_ticket: u64,
    waiting: BTreeMap<u64, u32>,
    /// The same, by channel.
    tickets: BTreeMap<u32, u64>,
    /// Called in this round and not yet come.
    called: BTreeMap<u32, u64>,
    /// Everybody who waited was called: the next call begins a round.
    round_over: bool,
}

impl Turns {
    /// Whether another channel than `channel` wants to write.
    pub(crate) fn contended(&self, channel: u32) -> bool {
        let others = |of: &BTreeMap<u32, u64>| of.len() > usize::from(of.contains_key(&channel));
        others(&self.tickets) || others(&self.called)
    }

    /// Whether `channel` has used its turn and is to wait until it is called.
    pub(crate) fn must_wait(&self, channel: u32) -> bool {
        self.tickets.contains_key(&channel) && self.contended(channel)
    }

    /// `channel` wants to write and found no room, or no more of it. It keeps the ticket it was called with.
    pub(crate) fn wait(&mut self, channel: u32) {
        if self.tickets.contains_key(&channel) {
            return;
        }
        let ticket = self.called.remove(&channel).unwrap_or_else(|| {
            self.next_ticket = self.next_ticket.wrapping_add(1);
            self.next_ticket
        });
        self.waiting.insert(ticket, channel);
        self.tickets.insert(channel, ticket);
    }

    /// `channel` wrote, or is gone.
    pub(crate) fn leave(&mut self, channel: u32) {
        self.called.remove(&channel);
        if let Some(ticket) = self.tickets.remove(&channel) {
            self.waiting.remove(&ticket);
        }
    }

    /// The next channel to call, now that there is room.
    pub(crate) fn call(&mut self) -> Option<u32> {
        let Some((ticket, channel)) = self.waiting.pop_first() else {
            self.round_over = true;
            return None;
        };
        if std::mem::take(&mut self.round_over) {
            self.called.clear();
        }
        self.tickets.remove(&channel);
        self.called.insert(channel, ticket);
        Some(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(turns: &mut Turns) -> Vec<u32> {
        std::iter::from_fn(|| turns.call()).collect()
    }

    #[test]
    fn channels_are_called_in_the_order_they_began_to_wait() {
        let mut turns = Turns::default();
        for channel in [3, 1, 2, 1] {
            turns.wait(channel);
        }
        assert_eq!(round(&mut turns), [3, 1, 2]);
        assert_eq!(round(&mut turns), [0; 0]);
    }

    #[test]
    fn who_was_called_and_found_no_room_stays_first() {
        let mut turns = Turns::default();
        for channel in 1..=3 {
            turns.wait(channel);
        }
        assert_eq!(round(&mut turns), [1, 2, 3]);
        turns.leave(1); // wrote its turn ...
        turns.wait(1); // ... and wants more
        turns.wait(2);
        turns.wait(3);
        assert_eq!(round(&mut turns), [2, 3, 1]);
    }

    #[test]
    fn only_company_makes_a_channel_wait() {
        let mut turns = Turns::default();
        turns.wait(1);
        assert!(!turns.contended(1) && !turns.must_wait(1));
        assert!(turns.contended(2) && !turns.must_wait(2));
        turns.wait(2);
        assert!(turns.must_wait(1) && turns.must_wait(2));
        assert_eq!(round(&mut turns), [1, 2]);
        assert!(
            turns.contended(1) && !turns.must_wait(1),
            "called: it may write its turn"
        );
        turns.leave(2);
        assert!(!turns.contended(1));
    }

    #[test]
    fn who_does_not_come_is_forgotten_in_the_next_round() {
        let mut turns = Turns::default();
        turns.wait(1);
        turns.wait(2);
        assert_eq!(round(&mut turns), [1, 2]);
        turns.wait(2);
        assert!(turns.contended(2), "1 may still come");
        assert_eq!(round(&mut turns), [2]);
        assert!(!turns.contended(2));
        turns.leave(2);
        assert!(turns.waiting.is_empty() && turns.tickets.is_empty() && turns.called.is_empty());
    }
}
