//! Every number a peer may choose, with the most this crate takes and why.

/// The most bytes of a peer's description of a failure that are kept: it is for people.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;

/// What one channel may write in its turn while others wait for room in the outbox, in bytes.
pub const TURN_BYTES: usize = 64 * 1024;

/// Chunks shorter than this are copied out of the packet they came in: a small chunk must not keep a large read block
/// alive.
pub const SMALL_CHUNK_BYTES: usize = 1024;

/// What may lie unread in one stream of a channel before its chunks are copied out of the read blocks they came in,
/// all but those of [`LARGE_CHUNK_BYTES`], on a connection with no other channel: a reader that stands still holds on to
/// its own bytes and to few others. Less would make readers copy that are only a few reads of the socket behind.
pub const BORROWED_BYTES: usize = 512 * 1024;

/// A chunk of at least this many bytes is a slice of its read block however long it lies unread: it is a quarter of the
/// block, so that what is held stays within four windows, while copying it would cost a reader that is behind more
/// time than it lacks already, in new memory above all.
pub const LARGE_CHUNK_BYTES: usize = 32 * 1024;

/// Datagrams of a channel that lie unread; what comes beyond them is lost, as a network loses it, and its credit goes
/// back. Those of the usual 1,500 bytes fill a window of 2 MiB before; without the number small ones would cost many
/// times their bytes in bookkeeping.
pub const MAX_UNREAD_DATAGRAMS: usize = 4_096;

/// The window a channel gets when the connection's budget is used up: it works, slowly, and the sum over all channels
/// stays small.
pub const MIN_WINDOW_BYTES: u32 = 4 * 1024;

/// The window a channel gets when half of the connection's budget is used up.
pub const MODEST_WINDOW_BYTES: u32 = 64 * 1024;

/// The largest `max_packet` this crate offers or makes use of: what fits into a packet with its fields, padding and
/// integrity check.
pub const MAX_PACKET_DATA_BYTES: u32 = 255 * 1024;

/// The longest fields of a request or an open that are sent, in bytes.
pub const MAX_FIELDS_BYTES: usize = 255 * 1024;

/// What may wait of control messages while keys are being changed, in bytes, before the application's own requests and
/// opens are refused.
pub const BUSY_BYTES: usize = 256 * 1024;

/// What a peer may make us owe it while keys are being changed (answers, refusals), in bytes. That is ten thousand
/// answers; one that asks for more ends the connection.
pub const OWED_BYTES: usize = 64 * 1024;

/// What it may make us owe it besides, in bytes for each channel: a confirmation, a few replies, credit, EOF and CLOSE.
/// With all the channels there may be that is 2 MiB.
pub const OWED_BYTES_PER_CHANNEL: usize = 128;

/// The most that is owed while keys are being changed, with so many channels.
pub const fn owed_limit(channels: usize) -> usize {
    OWED_BYTES.saturating_add(OWED_BYTES_PER_CHANNEL.saturating_mul(channels))
}

/// How much of a connection a peer may use up. Each bound ends the connection or refuses, as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Channels at a time, both sides' and those included that are closed but not yet read to the end. An open beyond
    /// it is refused with RESOURCE_SHORTAGE, one of our own with [`Misuse::TooManyChannels`](crate::Misuse).
    pub channels: usize,
    /// Opens of the peer that wait for the application's answer. One beyond it is refused with RESOURCE_SHORTAGE.
    pub pending_opens: usize,
    /// Requests of the peer on one channel, or about the connection, that wait for an answer. One beyond it ends the
    /// connection: no peer in use sends more than a handful ahead.
    pub replies_due: usize,
    /// Our own requests on one channel, or about the connection, that wait for an answer. One beyond it is
    /// [`Misuse::TooManyRequests`](crate::Misuse).
    pub replies_expected: usize,
    /// The fields of one request or open, in bytes. Longer ones are answered with FAILURE. One argument of a program
    /// may have 128 KiB on Linux.
    pub request_bytes: usize,
    /// Messages of data without data that may come in a row on a channel; one more ends the connection.
    pub empty_data: u32,
    /// Replies to nothing that are passed over on a connection; one more ends it. Some servers answer requests that
    /// wanted no reply, every window change among them.
    pub unsolicited_replies: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 16_384,
            pending_opens: 1_024,
            replies_due: 1_024,
            replies_expected: 1_024,
            request_bytes: 160 * 1024,
            empty_data: 1_000,
            unsolicited_replies: 10_000,
        }
    }
}
