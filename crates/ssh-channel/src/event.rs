//! What a connection reports, and the tokens by which its questions are answered.

use crate::kex::{DebugMessage, HostKeyOffer};
use crate::table::ChannelId;
use crate::{ChannelRequest, ChannelType, GlobalRequest, OpenFailureReason};

/// Something that happened. Every channel ends with exactly one [`OpenFailed`](Event::OpenFailed) or
/// [`Closed`](Event::Closed).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer wants to open a channel of a type it may open: answer with
    /// [`accept`](crate::Connection::accept) or [`refuse`](crate::Connection::refuse).
    Open(Opening),
    /// The peer has confirmed a channel we opened.
    Opened(ChannelId),
    /// The peer has refused a channel we opened, which is gone now.
    OpenFailed {
        /// The channel.
        id: ChannelId,
        /// Why.
        reason: OpenFailureReason,
        /// The same for people: not safe to show on a terminal as it stands.
        description: String,
    },
    /// Data arrived and lies in the inbox: once for every message.
    Readable(ChannelId, Stream),
    /// A [`write`](crate::Connection::write) that took nothing is worth another attempt.
    Writable(ChannelId),
    /// The peer asks something about a channel.
    Request {
        /// The channel.
        id: ChannelId,
        /// What it asks.
        request: ChannelRequest,
        /// Present if it wants an answer: give it with [`answer`](crate::Connection::answer). Answers leave in the
        /// order of the requests, so one that is never given holds up those behind it.
        reply: Option<ReplyDue>,
    },
    /// The answer to the oldest [`request`](crate::Connection::request) on this channel that wanted one.
    Reply {
        /// The channel.
        id: ChannelId,
        /// Whether it was granted.
        success: bool,
    },
    /// The peer will send no more data on this channel; what arrived before may still lie in the inbox.
    Eof(ChannelId),
    /// Both sides have closed the channel. What arrived before may still lie in the inbox; requests without an answer
    /// will not get one.
    Closed(ChannelId),
    /// The peer asks something about the connection.
    GlobalRequest {
        /// What it asks.
        request: GlobalRequest,
        /// Present if it wants an answer: give it with [`answer_global`](crate::Connection::answer_global).
        reply: Option<GlobalReplyDue>,
    },
    /// The answer to the oldest [`global_request`](crate::Connection::global_request) that wanted one: what it yields,
    /// or `None` if it was not granted.
    GlobalReply(Option<Vec<u8>>),
    /// The answer to a [`keepalive`](crate::Connection::keepalive): the peer is there.
    KeepaliveReply,
    /// The answer to a [`ping`](crate::Connection::ping): the bytes it was sent with.
    Pong(Vec<u8>),
    /// The peer says something to our people (RFC 4253 §11.3).
    Debug(DebugMessage),
    /// The peer did not understand the packet with this sequence number of ours (RFC 4253 §11.4).
    Unimplemented {
        /// The sequence number.
        sequence: u32,
    },
    /// The peer has told more about itself (RFC 8308): see [`Session::extensions`](crate::auth::Session::extensions).
    Extensions,
    /// Keys have been changed.
    Rekeyed,
    /// While keys are being changed the peer showed another host key than the accepted one: answer with
    /// [`answer_host_key`](crate::Connection::answer_host_key).
    HostKey(HostKeyOffer),
}

/// A stream of a channel. Both share the channel's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// CHANNEL_DATA: standard input or standard output.
    Data,
    /// CHANNEL_EXTENDED_DATA of type 1: standard error.
    Stderr,
}

/// A channel the peer wants to open. The question is open until this value is given back.
#[derive(Debug)]
#[must_use = "the peer waits for an answer: accept or refuse it"]
pub struct Opening {
    pub(crate) channel_type: ChannelType,
    pub(crate) number: u32,
    pub(crate) credit: u32,
    pub(crate) max_packet: u32,
}

impl Opening {
    /// What the channel is for.
    pub const fn channel_type(&self) -> &ChannelType {
        &self.channel_type
    }
}

/// A channel request that wants an answer.
#[derive(Debug)]
#[must_use = "the peer waits for an answer"]
pub struct ReplyDue {
    pub(crate) id: ChannelId,
    pub(crate) number: u64,
}

impl ReplyDue {
    /// The channel it is about.
    pub const fn id(&self) -> ChannelId {
        self.id
    }
}

/// A global request that wants an answer.
#[derive(Debug)]
#[must_use = "the peer waits for an answer"]
pub struct GlobalReplyDue {
    pub(crate) number: u64,
}
