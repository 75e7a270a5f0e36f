//! What can be wrong with bytes: a value that does not decode, a packet that does not open.

use thiserror::Error;

use crate::compression::CompressionError;

/// Why bytes are not the SSH value they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The value is longer than the bytes that are left.
    #[error("the message ends too early: {needed} more bytes were declared than the {left} left")]
    TooShort {
        /// Bytes that were declared or needed.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes stand behind the last field.
    #[error("{0} bytes stand behind the last field")]
    TrailingBytes(usize),
    /// A message of another number was expected.
    #[error("message {found} where {expected} was expected")]
    WrongMessage {
        /// The number that was expected.
        expected: u8,
        /// The number that was found.
        found: u8,
    },
    /// The payload is empty: not even a message number.
    #[error("the payload is empty")]
    EmptyPayload,
    /// A text field is not UTF-8 (RFC 4251 §5 asks for it).
    #[error("a text field is not UTF-8")]
    NotUtf8,
    /// An `mpint` has needless leading bytes or is negative where it may not be (RFC 4251 §5).
    #[error("an mpint is {0}")]
    BadMpint(&'static str),
    /// A name-list breaks RFC 4251 §5 or a limit of this crate.
    #[error("a name-list is {0}")]
    BadNameList(&'static str),
    /// A field holds a value its specification does not allow.
    #[error("the field {field} is {problem}")]
    BadField {
        /// The field, by the specification's name.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why a received packet is refused (RFC 4253 §6). Each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The declared length leaves no room for the padding every packet has.
    #[error("a packet length of {length} is shorter than a packet can be")]
    TooShort {
        /// The declared `packet_length`.
        length: u32,
    },
    /// The declared length is over [`MAX_PACKET_BYTES`](crate::MAX_PACKET_BYTES).
    #[error("a packet length of {length} is longer than the 262144 allowed")]
    TooLong {
        /// The declared `packet_length`.
        length: u32,
    },
    /// The declared length is not a multiple of the cipher's block (or of 8).
    #[error("a packet length of {length} does not fill blocks of {block_bytes} bytes")]
    NotAligned {
        /// The declared `packet_length`.
        length: u32,
        /// The block length it must fill, in bytes.
        block_bytes: usize,
    },
    /// The MAC or the AEAD tag is wrong, or a length that is deciphered before anything is authenticated is impossible,
    /// which is the same: the packet was changed, or one before it is missing.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
    /// Less padding than the four bytes every packet has.
    #[error("{padding} bytes of padding where 4 is the least")]
    PaddingTooShort {
        /// The declared `padding_length`.
        padding: u8,
    },
    /// More padding than the packet has room for.
    #[error("{padding} bytes of padding do not fit a packet of {length}")]
    PaddingTooLong {
        /// The declared `padding_length`.
        padding: u8,
        /// The declared `packet_length`.
        length: u32,
    },
    /// The packet has no payload: not even a message number.
    #[error("a packet without a payload")]
    EmptyPayload,
    /// The payload could not be decompressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The sequence number came round before any keys were agreed.
    #[error("the sequence number came round during the first key exchange")]
    SequenceWrapped,
    /// 2^32 packets arrived under the same keys.
    #[error("2^32 packets arrived under the same keys")]
    KeyWornOut,
}

/// The MAC or AEAD tag does not match: the bytes are not what the holder of the keys sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the integrity check of a packet failed")]
pub struct IntegrityError;

/// Why a packet was not sealed. Nothing of it stands in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The payload is over [`MAX_PAYLOAD_BYTES`](crate::MAX_PAYLOAD_BYTES).
    #[error("a message of {0} bytes does not fit a packet")]
    TooLong(usize),
    /// The message has no bytes at all.
    #[error("a message without a number")]
    EmptyPayload,
    /// The sequence number came round before any keys were agreed.
    #[error("the sequence number came round during the first key exchange")]
    SequenceWrapped,
    /// 2^32 packets left under the same keys.
    #[error("2^32 packets left under the same keys")]
    KeyWornOut,
    /// The payload could not be compressed: a fault of the method.
    #[error("a payload could not be compressed")]
    Compression,
    /// The cipher refused the packet: its keys cannot protect it.
    #[error("the cipher refused to protect a packet")]
    Refused,
}

/// Why keys do not fit the algorithms they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A key, an initialisation vector or a MAC key has the wrong length.
    #[error("{algorithm} takes {needed} bytes of {what}, not {found}")]
    Length {
        /// The algorithm's name.
        algorithm: &'static str,
        /// Which of its inputs.
        what: &'static str,
        /// The length it has, in bytes.
        needed: usize,
        /// The length that was given, in bytes.
        found: usize,
    },
    /// The cipher does not authenticate and no MAC was given.
    #[error("{cipher} needs a MAC beside it")]
    MacMissing {
        /// The cipher's name.
        cipher: &'static str,
    },
}
