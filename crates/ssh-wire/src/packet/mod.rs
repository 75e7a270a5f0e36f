//! Binary packets (RFC 4253 §6): bytes become packets in an [`Opener`], messages become bytes in a [`Sealer`].
//!
//! ```text
//!  ┌──────────────┬────────────────┬─────────┬─────────┬─────┐
//!  │ length   u32 │ padding len u8 │ payload │ padding │ tag │
//!  └──────────────┴────────────────┴─────────┴─────────┴─────┘
//!                 └───────────── length ─────────────┘
//! ```
//!
//! The two directions share nothing but the moment of NEWKEYS. What the bytes mean is the business of the rooms above.

mod opener;
pub mod protection;
mod sealer;

use bytes::Bytes;

use crate::{Decode, DecodeError, Message, MessageNumber, decode_message};

pub use opener::Opener;
pub use sealer::Sealer;

/// The largest `packet_length` taken from a peer and the largest one sent. RFC 4253 §6.1 asks for 35000 at least;
/// this is what OpenSSH allows.
pub const MAX_PACKET_BYTES: usize = 256 * 1024;

/// The smallest `packet_length`: the padding length byte and the least padding.
pub const MIN_PACKET_BYTES: usize = 1 + MIN_PADDING_BYTES;

/// The least padding (RFC 4253 §6).
pub const MIN_PADDING_BYTES: usize = 4;

/// The largest payload a [`Sealer`] takes: what always fits [`MAX_PACKET_BYTES`], whatever the padding, and even when
/// compression makes it longer. Deflate adds far less than an eighth to what it cannot shrink.
pub const MAX_PAYLOAD_BYTES: usize = MAX_PACKET_BYTES / 8 * 7;

/// The most that compression may make of a payload: what always fits [`MAX_PACKET_BYTES`], whatever the padding.
const MAX_COMPRESSED_BYTES: usize = MAX_PACKET_BYTES - 1 - MAX_PADDING_BYTES;

/// The most packets one set of keys may protect. Every nonce and every MAC input holds a number that repeats after
/// that many. RFC 4344 §3.1 asks for new keys long before.
pub const MAX_PACKETS_PER_KEY: u64 = 1 << 32;

/// The most padding the length byte can say.
const MAX_PADDING_BYTES: usize = 255;

/// The `packet_length` field.
pub(crate) const LENGTH_BYTES: usize = 4;

/// What stands before the payload: `packet_length` and `padding_length`.
const HEADER_BYTES: usize = LENGTH_BYTES + 1;

/// A packet whose integrity has been checked: a value that is moved from room to room, upwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its sequence number, for UNIMPLEMENTED (RFC 4253 §11.4).
    pub sequence: u32,
    /// The payload: message number and fields. Never empty when it comes from an [`Opener`].
    pub payload: Bytes,
}

impl Packet {
    /// The message number: the payload's first byte.
    pub fn number(&self) -> u8 {
        self.payload.first().copied().unwrap_or_default()
    }

    /// The message number as it is shown in logs and errors.
    pub fn message_number(&self) -> MessageNumber {
        MessageNumber(self.number())
    }

    /// The payload as message `M`, complete.
    pub fn decode<'a, M: Message + Decode<'a>>(&'a self) -> Result<M, DecodeError> {
        decode_message(&self.payload)
    }
}

/// Both directions of one connection.
#[derive(Debug)]
pub struct Packetizer {
    /// What arrives.
    pub opener: Opener,
    /// What leaves.
    pub sealer: Sealer,
}

impl Packetizer {
    /// Two unprotected directions; `padding_seed` is for [`Sealer::new`].
    pub fn new(padding_seed: [u8; 32]) -> Self {
        Self {
            opener: Opener::new(),
            sealer: Sealer::new(padding_seed),
        }
    }
}
