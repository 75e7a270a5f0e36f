//! Whose turn it is to write, when more channels want to than the outbox has room for.
//!
//! ```text
//!   write, no room ──▶ waiting (a ticket) ──room, in the order of tickets──▶ called ──write──▶ done, or a new ticket
//!                          ▲                                                   │
//!                          └───────────── no room again: the old ticket ───────┘
//! ```
//!
//! Everybody who waits is called as soon as there is room: a channel whose writer has gone away blocks nobody. While
//! others wait or have been called, a channel writes no more than its turn, in however many pieces. So one bulk transfer
//! cannot starve a shell.

use std::collections::BTreeMap;

use crate::limits::TURN_BYTES;

/// The channels that want to write, by their tickets.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next_ticket: u64,
    waiting: BTreeMap<u64, u32>,
    /// The same, by channel.
    tickets: BTreeMap<u32, u64>,
    /// Called in this round and not yet come.
    called: BTreeMap<u32, u64>,
    /// Bytes that channels wrote in turns they have not used up while others waited.
    spent: BTreeMap<u32, usize>,
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

    /// How many bytes are left of the turn of `channel`: any number where nobody else wants to write.
    pub(crate) fn left(&self, channel: u32) -> usize {
        if !self.contended(channel) {
            return usize::MAX;
        }
        let spent = self.spent.get(&channel).copied().unwrap_or(0);
        TURN_BYTES.saturating_sub(spent)
    }

    /// `channel` wrote `bytes`, and could write more if it had more room. Where others want to write, its turn is over
    /// then, and when it is used up.
    pub(crate) fn wrote(&mut self, channel: u32, bytes: usize, wants_more: bool) {
        let spent = self.spent.get(&channel).copied().unwrap_or(0);
        let spent = spent.saturating_add(bytes);
        self.leave(channel);
        if !self.contended(channel) {
            return;
        }
        if wants_more || spent >= TURN_BYTES {
            self.wait(channel);
        } else {
            self.spent.insert(channel, spent);
        }
    }

    /// `channel` wants to write and found no room. It keeps the ticket it was called with.
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

    /// `channel` wants to write no more, or is gone.
    pub(crate) fn leave(&mut self, channel: u32) {
        self.spent.remove(&channel);
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
        self.spent.remove(&channel);
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
        turns.wrote(1, TURN_BYTES, true);
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
    fn a_turn_is_as_long_in_pieces_as_at_once() {
        let mut turns = Turns::default();
        assert_eq!(turns.left(1), usize::MAX);
        turns.wrote(1, usize::MAX, true);
        assert!(
            turns.left(1) == usize::MAX && !turns.must_wait(1),
            "nobody else came"
        );
        turns.wait(2);
        for piece in 0..4 {
            assert_eq!(turns.left(1), TURN_BYTES - piece * TURN_BYTES / 4);
            assert!(!turns.must_wait(1));
            turns.wrote(1, TURN_BYTES / 4, false);
        }
        assert!(turns.must_wait(1), "it has had its turn");
        assert_eq!(round(&mut turns), [2, 1]);
        assert_eq!(turns.left(1), TURN_BYTES, "a new turn");
        turns.wrote(1, 1, false);
        turns.leave(2);
        assert_eq!(turns.left(1), usize::MAX);
        turns.leave(1);
        assert!(turns.spent.is_empty());
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
