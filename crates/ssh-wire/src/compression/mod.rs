//! Compression of payloads (RFC 4253 §6.2): one static descriptor each, in one list whose order is the order of
//! preference.
//!
//! ```text
//!  Sealer:  message ──▶ payload ──▶ Deflate ──▶ pad ──▶ Seal ──▶ outbox
//!  Opener:  bytes ──▶ Open ──▶ unpad ──▶ Inflate ──▶ Packet
//! ```
//!
//! One stream per direction: what a packet holds helps to shrink the next, each packet ends with a flush, and a stream
//! begins anew with every change of keys. When the first one begins is the method's own: [`Start`].
//!
//! To add one: its file beside this one with a `pub static` [`Compression`], and its line in [`ALL`].

mod zlib;

use bytes::Bytes;
use thiserror::Error;

use crate::packet::MAX_PACKET_BYTES;
use crate::{SealError, Tier};

pub use zlib::{ZLIB, ZLIB_OPENSSH};

/// The most a packet may hold when it is inflated, in bytes: as much as one could hold that is not compressed. More is
/// refused while it is being inflated, before there is memory for it.
pub const MAX_INFLATED_BYTES: usize = MAX_PACKET_BYTES;

/// Every compression method, the preferred one first.
pub static ALL: &[&Compression] = &[&NONE, &ZLIB_OPENSSH, &ZLIB];

/// The compression method of that name.
pub fn find(name: &str) -> Option<&'static Compression> {
    ALL.iter().copied().find(|method| method.name == name)
}

/// No compression.
pub static NONE: Compression = Compression {
    name: "none",
    tier: Tier::Recommended,
    start: Start::NewKeys,
    construction: None,
};

/// What a compression method is called, when it begins, and how its streams are made.
pub struct Compression {
    /// Its name in KEXINIT.
    pub name: &'static str,
    /// Who should use it.
    pub tier: Tier,
    /// When it begins.
    pub start: Start,
    /// How its streams are made; `None` for a method that leaves payloads as they are.
    pub construction: Option<&'static dyn Construction>,
}

/// When the first stream of a connection begins. Later ones begin with every NEWKEYS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the packet after NEWKEYS (RFC 4253 §6.2).
    NewKeys,
    /// With the packet after USERAUTH_SUCCESS (draft-miller-secsh-compression-delayed): who is not logged in reaches
    /// no decompressor.
    Login,
}

/// The constructor of a compression method.
pub trait Construction: Sync {
    /// A stream that has compressed nothing yet.
    fn deflating(&self) -> Box<dyn Deflate>;

    /// A stream that has decompressed nothing yet.
    fn inflating(&self) -> Box<dyn Inflate>;
}

/// The stream that compresses one direction's payloads.
pub trait Deflate: Send {
    /// Appends to `compressed` what stands for `payload`, flushed so that the peer can have all of it now.
    fn deflate(&mut self, payload: &[u8], compressed: &mut Vec<u8>) -> Result<(), SealError>;
}

/// The stream that decompresses one direction's payloads.
pub trait Inflate: Send {
    /// The payload that stands in `compressed`. After an error the stream is of no use.
    fn inflate(&mut self, compressed: &[u8]) -> Result<Bytes, CompressionError>;
}

/// Why a packet could not be decompressed. Each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The bytes are no compressed data.
    #[error("compressed data that is damaged")]
    Damaged,
    /// The stream wants a preset dictionary (RFC 1950 §2.2), of which SSH knows none.
    #[error("a compressed stream that asks for a dictionary")]
    Dictionary,
    /// The stream says that it is over: it lasts as long as its keys do.
    #[error("a compressed stream that ends before the connection does")]
    Ended,
    /// More than [`MAX_INFLATED_BYTES`] come out of one packet.
    #[error("a compressed packet that holds more than {MAX_INFLATED_BYTES} bytes")]
    TooLong,
    /// Nothing comes out of a packet: not even a message number.
    #[error("a compressed packet that holds nothing")]
    Empty,
}

impl std::fmt::Debug for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Compression {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Compression {}

/// Where one direction's compression stands: which method was agreed on, whether somebody is logged in, and the stream
/// once it has begun.
pub(crate) struct Stage<T: ?Sized> {
    method: &'static Compression,
    logged_in: bool,
    make: fn(&dyn Construction) -> Box<T>,
    stream: Option<Box<T>>,
}

impl<T: ?Sized> Stage<T> {
    /// No compression.
    pub(crate) const fn new(make: fn(&dyn Construction) -> Box<T>) -> Self {
        Self {
            method: &NONE,
            logged_in: false,
            make,
            stream: None,
        }
    }

    /// The stream, if it has begun.
    pub(crate) fn stream(&mut self) -> Option<&mut T> {
        self.stream.as_deref_mut()
    }

    /// New keys: the stream there was ends.
    pub(crate) fn change(&mut self, method: &'static Compression) {
        self.method = method;
        self.stream = None;
        if self.logged_in || method.start == Start::NewKeys {
            self.begin();
        }
    }

    /// Somebody is logged in: what waited for that begins. Once is enough.
    pub(crate) fn log_in(&mut self) {
        if !self.logged_in {
            self.logged_in = true;
            if self.method.start == Start::Login {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        self.stream = self.method.construction.map(self.make);
    }
}
