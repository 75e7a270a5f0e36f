//! One channel (RFC 4254 §5): its phases, and the rules of each half.
//!
//! ```text
//!        we open                                        the peer opens, the application accepts
//!           │                                                          │
//!   ExpectConfirmation ───CONFIRMATION─────────▶ Open ◀────────────────┘
//!        │      │ close()                         │
//!        │   ExpectConfirmationToClose ─CONF.─▶ CLOSE is sent, Open with ours = Closed
//!        │      │
//!        └──OPEN_FAILURE──▶ gone                  each half by itself:
//!
//!   ours:    Data ──EOF sent──▶ Eof ──CLOSE sent──▶ Closed           (CLOSE may come without EOF)
//!   theirs:  ExpectData ──EOF──▶ ExpectClose ──CLOSE──▶ Ended        (data before EOF is always delivered)
//!
//!   Closed and Ended, and the inbox read to the end or nobody left to read it ──▶ gone
//! ```
//!
//! The peer's CLOSE is answered with ours at once: it will read nothing more. After our CLOSE the peer's data is
//! discarded until its own.

use crate::error::Misbehaviour;
use crate::inbox::{Arrival, Inbox};
use crate::replies::RepliesDue;
use crate::table::ChannelId;
use crate::window::{ReceiveWindow, SendWindow};
use crate::wire::bytes::Bytes;
use crate::{Misuse, Stream};

/// A channel.
#[derive(Debug)]
pub(crate) struct Channel {
    phase: Phase,
    pub(crate) window: ReceiveWindow,
    data: Inbox,
    stderr: Inbox,
    /// Replies we owe.
    pub(crate) replies_due: RepliesDue<bool>,
    /// Replies we are owed.
    pub(crate) replies_expected: usize,
    /// A writer waits for credit.
    pub(crate) wants_credit: bool,
    /// The application has let go of it: nobody will read the inbox.
    abandoned: bool,
    empty_in_a_row: u32,
    /// Each message of data is a datagram.
    has_datagrams: bool,
}

/// Where a channel stands.
#[derive(Debug)]
enum Phase {
    ExpectConfirmation,
    ExpectConfirmationToClose,
    Open(Link),
}

/// An open channel's way to the peer.
#[derive(Debug)]
pub(crate) struct Link {
    /// The peer's number of the channel.
    pub(crate) number: u32,
    pub(crate) window: SendWindow,
    pub(crate) ours: Sending,
    pub(crate) theirs: Receiving,
}

/// Our half: what we have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    Data,
    Eof,
    Closed,
}

/// The peer's half: what it may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiving {
    ExpectData,
    ExpectClose,
    Ended,
}

/// Under which terms data arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The most data of one message that was offered.
    pub(crate) max_packet: u32,
    /// How many empty messages may come in a row.
    pub(crate) empty_limit: u32,
    pub(crate) arrival: Arrival,
}

/// What became of data that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It lies in the inbox of this stream.
    Inbox(Stream),
    /// It belongs to no stream, or is a datagram too many: its credit goes back.
    Dropped,
    /// It is passed over: nothing was in it, or the channel is closed on our side.
    Ignored,
}

impl Link {
    /// A channel both sides have agreed on.
    pub(crate) const fn new(number: u32, credit: u32, max_packet: u32) -> Self {
        Self {
            number,
            window: SendWindow::new(credit, max_packet),
            ours: Sending::Data,
            theirs: Receiving::ExpectData,
        }
    }
}

impl Channel {
    /// A channel we have asked for.
    pub(crate) fn opening(window: ReceiveWindow) -> Self {
        Self {
            phase: Phase::ExpectConfirmation,
            window,
            data: Inbox::default(),
            stderr: Inbox::default(),
            replies_due: RepliesDue::default(),
            replies_expected: 0,
            wants_credit: false,
            abandoned: false,
            empty_in_a_row: 0,
            has_datagrams: false,
        }
    }

    /// The same where each message of data is a datagram, if `has_datagrams`.
    pub(crate) fn with_datagrams(self, has_datagrams: bool) -> Self {
        Self {
            has_datagrams,
            ..self
        }
    }

    /// A channel the peer has asked for.
    pub(crate) fn opened(link: Link, window: ReceiveWindow) -> Self {
        Self {
            phase: Phase::Open(link),
            ..Self::opening(window)
        }
    }

    /// The peer's CONFIRMATION. Whether the channel is to be closed at once.
    pub(crate) fn confirmed(&mut self, link: Link) -> Option<bool> {
        let close = match self.phase {
            Phase::ExpectConfirmation => false,
            Phase::ExpectConfirmationToClose => true,
            Phase::Open(_) => return None,
        };
        self.phase = Phase::Open(link);
        Some(close)
    }

    /// Whether the peer has yet to answer our open.
    pub(crate) const fn is_opening(&self) -> bool {
        !matches!(self.phase, Phase::Open(_))
    }

    /// The way to the peer, for one of its messages: only of a channel it may still speak about.
    pub(crate) const fn hear(
        &mut self,
        id: ChannelId,
        message: &'static str,
    ) -> Result<&mut Link, Misbehaviour> {
        match &mut self.phase {
            Phase::Open(link) => match link.theirs {
                Receiving::ExpectData | Receiving::ExpectClose => Ok(link),
                Receiving::Ended => Err(Misbehaviour::AfterClose {
                    message,
                    channel: id.number(),
                }),
            },
            _ => Err(Misbehaviour::NotConfirmed {
                message,
                channel: id.number(),
            }),
        }
    }

    /// The way to the peer, for something of ours: only of a channel we may still speak on.
    pub(crate) fn speak(&mut self, id: ChannelId) -> Result<&mut Link, Misuse> {
        match &mut self.phase {
            Phase::Open(link) if link.ours == Sending::Closed => Err(Misuse::Closed(id)),
            Phase::Open(link) => Ok(link),
            _ => Err(Misuse::NotOpenYet(id)),
        }
    }

    /// Data arrived. `stream` is where it belongs.
    pub(crate) fn received(
        &mut self,
        id: ChannelId,
        message: &'static str,
        stream: Option<Stream>,
        data: Bytes,
        terms: Terms,
    ) -> Result<Delivery, Misbehaviour> {
        let Terms {
            max_packet,
            empty_limit,
            arrival,
        } = terms;
        let channel = id.number();
        let link = self.hear(id, message)?;
        if link.theirs != Receiving::ExpectData {
            return Err(Misbehaviour::AfterEof { message, channel });
        }
        let silenced = link.ours == Sending::Closed;
        let sent = data.len();
        let length = u32::try_from(sent).ok().filter(|length| *length <= max_packet);
        let length = length.ok_or(Misbehaviour::PacketTooLong {
            channel,
            sent,
            max: max_packet,
        })?;
        let granted = self.window.granted();
        self.window.received(length).ok_or(Misbehaviour::WindowExceeded {
            channel,
            sent,
            granted,
        })?;
        if length == 0 {
            return self.received_nothing(channel, empty_limit);
        }
        self.empty_in_a_row = 0;
        match stream {
            _ if silenced => Ok(Delivery::Ignored),
            None => Ok(Delivery::Dropped),
            Some(Stream::Data) if self.has_datagrams => Ok(match self.data.push_datagram(&data) {
                true => Delivery::Inbox(Stream::Data),
                false => Delivery::Dropped,
            }),
            Some(stream) => {
                self.inbox_mut(stream).push(data, arrival);
                Ok(Delivery::Inbox(stream))
            }
        }
    }

    fn received_nothing(&mut self, channel: u32, limit: u32) -> Result<Delivery, Misbehaviour> {
        self.empty_in_a_row = self.empty_in_a_row.saturating_add(1);
        if self.empty_in_a_row > limit {
            return Err(Misbehaviour::TooMuchEmptyData { channel, limit });
        }
        Ok(Delivery::Ignored)
    }

    /// The inbox of a stream.
    pub(crate) const fn inbox(&self, stream: Stream) -> &Inbox {
        match stream {
            Stream::Data => &self.data,
            Stream::Stderr => &self.stderr,
        }
    }

    /// The inbox of a stream, to take from.
    pub(crate) const fn inbox_mut(&mut self, stream: Stream) -> &mut Inbox {
        match stream {
            Stream::Data => &mut self.data,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Whether the peer will send no more data.
    pub(crate) const fn is_eof(&self) -> bool {
        matches!(&self.phase, Phase::Open(link) if !matches!(link.theirs, Receiving::ExpectData))
    }

    /// What we may still send.
    pub(crate) const fn credit(&self) -> u32 {
        match &self.phase {
            Phase::Open(link) => link.window.credit(),
            _ => 0,
        }
    }

    /// The peer's number of the channel, if credit is still of use to it and may still be given.
    pub(crate) fn credited(&self) -> Option<u32> {
        match &self.phase {
            Phase::Open(link) if link.ours != Sending::Closed && link.theirs == Receiving::ExpectData => {
                Some(link.number)
            }
            _ => None,
        }
    }

    /// The application lets go: what lies in the inbox is thrown away. The number to send CLOSE to, if it is due now.
    pub(crate) fn close(&mut self) -> Option<u32> {
        self.abandoned = true;
        self.data = Inbox::default();
        self.stderr = Inbox::default();
        self.wants_credit = false;
        match &mut self.phase {
            Phase::Open(link) if link.ours != Sending::Closed => {
                link.ours = Sending::Closed;
                Some(link.number)
            }
            Phase::Open(_) => None,
            _ => {
                self.phase = Phase::ExpectConfirmationToClose;
                None
            }
        }
    }

    /// The peer has closed its half. The number to send our CLOSE to, if it is still due.
    pub(crate) fn closed_by_peer(
        &mut self,
        id: ChannelId,
        message: &'static str,
    ) -> Result<Option<u32>, Misbehaviour> {
        let link = self.hear(id, message)?;
        link.theirs = Receiving::Ended;
        let due = (link.ours != Sending::Closed).then_some(link.number);
        link.ours = Sending::Closed;
        self.wants_credit = false;
        Ok(due)
    }

    /// Whether the application has let go of it.
    pub(crate) const fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether both sides have closed it.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&self.phase, Phase::Open(link)
            if link.ours == Sending::Closed && link.theirs == Receiving::Ended)
    }

    /// Whether nothing is left that anybody could want of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_closed() && self.data.len() == 0 && self.stderr.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ChannelId = ChannelId(5);

    fn open() -> Channel {
        Channel::opened(Link::new(9, 100, 10), ReceiveWindow::new(20))
    }

    fn data(channel: &mut Channel, length: usize) -> Result<Delivery, Misbehaviour> {
        let bytes = Bytes::from(vec![7; length]);
        let terms = Terms {
            max_packet: 10,
            empty_limit: 3,
            arrival: Arrival::default(),
        };
        channel.received(ID, "DATA", Some(Stream::Data), bytes, terms)
    }

    fn theirs(channel: &mut Channel, half: Receiving) {
        channel.hear(ID, "X").unwrap().theirs = half;
    }

    #[test]
    fn a_channel_that_is_not_confirmed_hears_and_says_nothing() {
        let mut channel = Channel::opening(ReceiveWindow::new(20));
        assert!(matches!(
            data(&mut channel, 1),
            Err(Misbehaviour::NotConfirmed { channel: 5, .. })
        ));
        assert_eq!(channel.speak(ID).err(), Some(Misuse::NotOpenYet(ID)));
        assert_eq!(channel.confirmed(Link::new(9, 1, 1)), Some(false));
        assert!(channel.speak(ID).is_ok());
        assert_eq!(
            channel.confirmed(Link::new(9, 1, 1)),
            None,
            "one confirmation is enough"
        );
    }

    #[test]
    fn a_channel_given_up_while_opening_is_closed_when_confirmed() {
        let mut channel = Channel::opening(ReceiveWindow::new(20));
        assert_eq!(channel.close(), None);
        assert_eq!(channel.confirmed(Link::new(9, 1, 1)), Some(true));
        assert_eq!(channel.close(), Some(9));
        assert_eq!(channel.close(), None, "once");
        assert!(!channel.is_closed());
        theirs(&mut channel, Receiving::Ended);
        assert!(channel.is_closed() && channel.is_gone());
    }

    #[test]
    fn data_goes_to_its_inbox_within_window_and_packet() {
        let mut channel = open();
        assert_eq!(data(&mut channel, 10), Ok(Delivery::Inbox(Stream::Data)));
        assert!(matches!(
            data(&mut channel, 11),
            Err(Misbehaviour::PacketTooLong {
                sent: 11,
                max: 10,
                ..
            })
        ));
        assert_eq!(data(&mut channel, 9), Ok(Delivery::Inbox(Stream::Data)));
        assert!(matches!(
            data(&mut channel, 2),
            Err(Misbehaviour::WindowExceeded {
                sent: 2,
                granted: 1,
                ..
            })
        ));
        assert_eq!(channel.inbox(Stream::Data).len(), 19);
        assert_eq!(channel.inbox(Stream::Stderr).len(), 0);
    }

    #[test]
    fn after_eof_there_is_no_data_and_after_close_nothing() {
        let mut channel = open();
        theirs(&mut channel, Receiving::ExpectClose);
        assert!(channel.is_eof());
        assert!(matches!(
            data(&mut channel, 1),
            Err(Misbehaviour::AfterEof { .. })
        ));
        assert!(
            channel.hear(ID, "REQUEST").is_ok(),
            "exit-status may come after EOF"
        );
        theirs(&mut channel, Receiving::Ended);
        assert!(matches!(
            channel.hear(ID, "REQUEST"),
            Err(Misbehaviour::AfterClose { .. })
        ));
    }

    #[test]
    fn after_our_close_data_is_discarded_but_still_counted() {
        let mut channel = open();
        assert_eq!(data(&mut channel, 5), Ok(Delivery::Inbox(Stream::Data)));
        assert_eq!(channel.close(), Some(9));
        assert_eq!(channel.inbox(Stream::Data).len(), 0);
        assert_eq!(data(&mut channel, 10), Ok(Delivery::Ignored));
        assert_eq!(channel.credited(), None);
        assert!(matches!(
            data(&mut channel, 6),
            Err(Misbehaviour::WindowExceeded { .. })
        ));
        assert_eq!(channel.speak(ID).err(), Some(Misuse::Closed(ID)));
    }

    #[test]
    fn a_closed_channel_stays_until_its_inbox_is_read() {
        let mut channel = open();
        data(&mut channel, 3).unwrap();
        let link = channel.hear(ID, "CLOSE").unwrap();
        link.ours = Sending::Closed;
        link.theirs = Receiving::Ended;
        assert!(channel.is_closed() && !channel.is_gone());
        assert!(channel.inbox_mut(Stream::Data).pop(3).is_some());
        assert!(channel.is_gone());
    }

    #[test]
    fn empty_messages_are_passed_over_up_to_the_limit() {
        let mut channel = open();
        for _ in 0..3 {
            assert_eq!(data(&mut channel, 0), Ok(Delivery::Ignored));
        }
        data(&mut channel, 1).unwrap();
        for _ in 0..3 {
            assert_eq!(data(&mut channel, 0), Ok(Delivery::Ignored));
        }
        assert_eq!(
            data(&mut channel, 0),
            Err(Misbehaviour::TooMuchEmptyData { channel: 5, limit: 3 })
        );
    }
}
