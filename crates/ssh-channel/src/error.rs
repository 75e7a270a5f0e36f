//! What ends a connection, and what does not: a peer that breaks the protocol ends it, a caller that misuses this
//! crate gets its call refused.

use thiserror::Error as ThisError;

use crate::ChannelId;
use crate::auth;
use crate::kex::{Blame, Fatal};
use crate::wire::DecodeError;

/// Why the connection is over.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke RFC 4254 or used up a limit.
    #[error("the peer {0}")]
    PeerMisbehaved(#[from] Misbehaviour),
    /// It ended in a room below.
    #[error(transparent)]
    Below(#[from] auth::Error),
}

impl Fatal for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::PeerMisbehaved(_) => Blame::Protocol,
            Self::Below(error) => error.blame(),
        }
    }
}

/// What the peer did that it may not do. Channels are named by our number of them.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A message that does not decode.
    #[error("sent a malformed {message}: {error}")]
    Malformed {
        /// The message.
        message: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A message about a channel that does not exist: never opened, or closed by both sides.
    #[error("sent {message} for channel {channel}, which does not exist")]
    UnknownChannel {
        /// The message.
        message: &'static str,
        /// The number it names.
        channel: u32,
    },
    /// A message about a channel whose open the peer has not yet confirmed.
    #[error("sent {message} for channel {channel} before confirming it")]
    NotConfirmed {
        /// The message.
        message: &'static str,
        /// The channel.
        channel: u32,
    },
    /// An answer to an open that has been answered, or that was the peer's own.
    #[error("sent {message} for channel {channel}, which waits for none")]
    UnexpectedAnswer {
        /// The message.
        message: &'static str,
        /// The channel.
        channel: u32,
    },
    /// Data or EOF after EOF.
    #[error("sent {message} for channel {channel} after its EOF")]
    AfterEof {
        /// The message.
        message: &'static str,
        /// The channel.
        channel: u32,
    },
    /// Anything after CLOSE.
    #[error("sent {message} for channel {channel} after its CLOSE")]
    AfterClose {
        /// The message.
        message: &'static str,
        /// The channel.
        channel: u32,
    },
    /// More data than was granted.
    #[error("sent {sent} bytes for channel {channel}, whose window had {granted} left")]
    WindowExceeded {
        /// The channel.
        channel: u32,
        /// Bytes of data in the message.
        sent: usize,
        /// Bytes that were still granted.
        granted: u32,
    },
    /// More data in one message than was offered.
    #[error("sent {sent} bytes in one message for channel {channel}, of {max} at most")]
    PacketTooLong {
        /// The channel.
        channel: u32,
        /// Bytes of data in the message.
        sent: usize,
        /// The most that was offered.
        max: u32,
    },
    /// A WINDOW_ADJUST that lifts a window over 2^32 - 1.
    #[error("added {added} bytes of credit for channel {channel} to {credit}: over 2^32 - 1")]
    WindowOverflow {
        /// The channel.
        channel: u32,
        /// The credit there was.
        credit: u32,
        /// The credit that was added.
        added: u32,
    },
    /// A channel on which no message could hold any data.
    #[error("sent {message} with a maximum packet size of 0")]
    ZeroMaxPacket {
        /// The message.
        message: &'static str,
    },
    /// More requests than may wait for a reply.
    #[error("sent more than {limit} requests ahead of their replies")]
    TooManyRequests {
        /// The limit: [`Limits::replies_due`](crate::Limits::replies_due).
        limit: usize,
    },
    /// More replies to nothing than are passed over.
    #[error("sent more than {limit} replies that answer nothing")]
    TooManyReplies {
        /// The limit: [`Limits::unsolicited_replies`](crate::Limits::unsolicited_replies).
        limit: u32,
    },
    /// More messages of data without data than are passed over.
    #[error("sent more than {limit} messages of no data in a row for channel {channel}")]
    TooMuchEmptyData {
        /// The channel.
        channel: u32,
        /// The limit: [`Limits::empty_data`](crate::Limits::empty_data).
        limit: u32,
    },
    /// It asked for more answers than are kept while keys are being changed.
    #[error("asked for more than {limit} bytes of answers while keys were being changed")]
    TooManyAnswersDue {
        /// The limit: [`owed_limit`](crate::limits::owed_limit).
        limit: usize,
    },
}

/// A call that makes no sense now. The connection lives on.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Misuse {
    /// The channel does not exist: it failed to open, or both sides have closed it.
    #[error("{0} does not exist (any more)")]
    UnknownChannel(ChannelId),
    /// The peer has not yet confirmed the channel.
    #[error("{0} is not open yet")]
    NotOpenYet(ChannelId),
    /// Data after our EOF.
    #[error("{0} takes no data after its EOF")]
    AfterEof(ChannelId),
    /// Anything after our CLOSE, or after the peer's.
    #[error("{0} is closed")]
    Closed(ChannelId),
    /// As many channels as [`Limits::channels`](crate::Limits::channels) allows.
    #[error("no more than {limit} channels at a time")]
    TooManyChannels {
        /// The limit.
        limit: usize,
    },
    /// As many requests wait for a reply as [`Limits::replies_expected`](crate::Limits::replies_expected) allows.
    #[error("no more than {limit} requests at a time that wait for a reply")]
    TooManyRequests {
        /// The limit.
        limit: usize,
    },
    /// An `Unknown` request can be received but not sent.
    #[error("a request of unknown form cannot be sent")]
    NotSendable,
    /// Fields that do not fit a packet.
    #[error("the fields are {bytes} bytes long, of {limit} at most")]
    TooLong {
        /// Their length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Keys are being changed and enough waits for that already: try again after [`Event::Rekeyed`](crate::Event).
    #[error("keys are being changed: try again afterwards")]
    Busy,
    /// The connection is over.
    #[error("the connection is over")]
    Over,
}
