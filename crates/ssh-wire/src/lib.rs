//! The bottom room of the house: SSH's data types, messages, identification line and binary packets.
//!
//! | RFC 4251 §5 | here |
//! |---|---|
//! | `byte`, `byte[n]` | `u8`, `[u8; N]` |
//! | `boolean` | `bool` |
//! | `uint32`, `uint64` | `u32`, `u64` |
//! | `string` | `&[u8]`, `&str` where the RFC says UTF-8 |
//! | `mpint` | [`Mpint`] |
//! | `name-list` | [`NameList`] |
//!
//! ```text
//!           ┌────────────────────────┐   ┌────────────────────────────────┐
//!  bytes ──▶│ IdentificationReader   │──▶│ Opener: length, Open, Inflate  │──▶ Packet ──▶ rooms above
//!           └────────────────────────┘   └────────────────────────────────┘
//!                                        ┌────────────────────────────────┐
//!  bytes ◀───────────────────────────────│ Sealer: encode, Deflate, Seal  │◀── a message
//!                                        └────────────────────────────────┘
//!                          Open and Seal are made from a Cipher, a Mac and keys: `protection`
//!                          Inflate and Deflate, where agreed on, from a Compression
//! ```
//!
//! What lives here: [`Reader`] and [`Writer`], the [`message!`] table form, the identification exchange
//! (RFC 4253 §4.2), packets with their ciphers and MACs (RFC 4253 §6, RFC 4344, 4418, 5647, 6668, OpenSSH's `PROTOCOL`),
//! and [`Layer`], the door every room above has. What does not: the meaning of any message, the role (client or
//! server), sockets, clocks, system randomness, and blocks of memory to read into, which a driver brings.
//!
//! What is deliberately absent: ciphers and MACs that no maintained peer needs and no preset holds (blowfish, RC4,
//! RIPEMD-160, `none`).

#![forbid(unsafe_code)]

pub mod cipher;
mod codec;
pub mod compression;
mod error;
pub mod identification;
mod layer;
pub mod mac;
mod message;
mod mpint;
mod name_list;
pub mod number;
mod packet;
mod reader;
mod tier;
mod wipe;
mod writer;

pub use bytes;
pub use cipher::Cipher;
pub use codec::{Decode, Encode, Rest, Secret};
pub use compression::{Compression, CompressionError};
pub use error::{DecodeError, IntegrityError, KeysError, PacketError, SealError};
pub use identification::{Identification, IdentificationError};
pub use layer::Layer;
pub use mac::Mac;
pub use message::{Message, decode_message, expect_number};
pub use mpint::Mpint;
pub use name_list::{MAX_NAME_BYTES, MAX_NAMES, NameList};
pub use number::MessageNumber;
pub use packet::protection::{self, DirectionKeys, Open, Seal};
pub use packet::{
    MAX_PACKET_BYTES, MAX_PACKETS_PER_KEY, MAX_PAYLOAD_BYTES, MIN_PACKET_BYTES, MIN_PADDING_BYTES, Opener,
    Packet, Packetizer, Sealer,
};
pub use rand_core;
pub use reader::Reader;
pub use tier::Tier;
pub use writer::Writer;

/// `value` as a `usize`: lossless wherever this crate runs (32 bits and more).
pub fn usize_from(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// `value` as a `u32`, or the largest one.
pub fn u32_saturating(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
