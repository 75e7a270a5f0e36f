//! The channels of a connection by our number of them.
//!
//! Numbers are given in rising order and come round only after 2^32 of them, so one is never used again before both
//! sides have closed its channel, and a late user of a closed channel does not meet a new one.

use std::collections::BTreeMap;
use std::fmt;

use crate::channel::Channel;
use crate::error::Misbehaviour;

/// A channel by our number of it: the one the peer's messages name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(crate) u32);

impl ChannelId {
    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {}", self.0)
    }
}

/// All channels that are not both closed and read to the end.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Boxed: the tree has room for eleven in its smallest node, and most connections have one channel.
    channels: BTreeMap<u32, Box<Channel>>,
    next: u32,
}

impl Table {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.channels.len()
    }

    /// Takes in a channel and gives it a number.
    pub(crate) fn insert(&mut self, channel: Channel) -> ChannelId {
        // The number of channels is limited far below 2^32: a free number is found at once, or after those in a row
        // that have been open since the numbers last came round.
        while self.channels.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.channels.insert(number, Box::new(channel));
        ChannelId(number)
    }

    /// The channel.
    pub(crate) fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(&id.0).map(AsRef::as_ref)
    }

    /// The channel, to change it.
    pub(crate) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels.get_mut(&id.0).map(AsMut::as_mut)
    }

    /// The channel a message of the peer's names.
    pub(crate) fn heard(
        &mut self,
        id: ChannelId,
        message: &'static str,
    ) -> Result<&mut Channel, Misbehaviour> {
        self.get_mut(id).ok_or(Misbehaviour::UnknownChannel {
            message,
            channel: id.0,
        })
    }

    /// Lets go of the channel.
    pub(crate) fn remove(&mut self, id: ChannelId) -> Option<Channel> {
        self.channels.remove(&id.0).map(|channel| *channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::ReceiveWindow;

    #[test]
    fn numbers_in_use_are_not_given_again() {
        let mut table = Table::default();
        let insert = |table: &mut Table| table.insert(Channel::opening(ReceiveWindow::new(0))).number();
        assert_eq!([insert(&mut table), insert(&mut table)], [0, 1]);
        table.remove(ChannelId(0));
        assert_eq!(
            insert(&mut table),
            2,
            "not even those that are free, before they come round"
        );
        table.next = u32::MAX;
        assert_eq!(
            [insert(&mut table), insert(&mut table), insert(&mut table)],
            [u32::MAX, 0, 3]
        );
        assert_eq!(table.len(), 5);
        assert!(table.get(ChannelId(7)).is_none());
    }
}
