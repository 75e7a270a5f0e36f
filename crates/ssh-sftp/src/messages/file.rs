//! Opening and closing files (draft §6.3), reading and writing them (§6.4).

use crate::messages::{Answer, Body, Layout, Reply, layout, requests};
use crate::wire::bytes::Bytes;
use crate::wire::{DecodeError, Writer, u32_saturating, usize_from};
use crate::{Attributes, OpenFlags, Status};

/// The longest handle the draft allows (§7).
pub const MAX_HANDLE_BYTES: usize = 256;

layout! {
    /// `SSH_FXP_OPEN` (§6.3).
    pub struct Open {
        /// The file.
        pub path: Vec<u8>,
        /// How to open it.
        pub flags: OpenFlags,
        /// Attributes for a file that is created; most servers heed the permissions alone.
        pub attributes: Attributes,
    }
    /// `SSH_FXP_CLOSE` (§6.3): of a file or a directory.
    pub struct Close {
        /// What to close.
        pub handle: Handle,
    }
    /// `SSH_FXP_READ` (§6.4).
    pub struct Read {
        /// The file.
        pub handle: Handle,
        /// Where to begin.
        pub offset: u64,
        /// The most bytes to give. Fewer may come without the end of the file being near.
        pub length: u32,
    }
}

/// `SSH_FXP_WRITE` (§6.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The file.
    pub handle: Handle,
    /// Where to begin; behind the end of the file, the gap reads as zeros.
    pub offset: u64,
    /// What to write: all of it, or the request fails.
    pub data: Bytes,
}

requests! {
    Open = 3, "SSH_FXP_OPEN", Handle, |open| open.flags.writes();
    Close = 4, "SSH_FXP_CLOSE", (), |_| false;
    Read = 5, "SSH_FXP_READ", Bytes, |_| false, asks |read| usize_from(read.length);
    Write = 6, "SSH_FXP_WRITE", (), |_| true;
}

/// An open file or directory, as the server names it: opaque bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Bytes);

impl Handle {
    /// A handle of these bytes; a server makes its own.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the handle is no longer than the draft allows.
    pub fn has_legal_length(&self) -> bool {
        self.0.len() <= MAX_HANDLE_BYTES
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.0.escape_ascii())
    }
}

impl Layout for Handle {
    fn put(&self, out: &mut Writer<'_>) {
        out.string(&self.0);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        // Copied: a handle lives long, the message it came in should not.
        Ok(Self::new(body.string()?))
    }
    fn objection(&self) -> Option<Status> {
        (!self.has_legal_length()).then(|| Status::failure("invalid handle"))
    }
}

impl Layout for Write {
    fn put(&self, out: &mut Writer<'_>) {
        self.handle.put(out);
        out.uint64(self.offset);
        out.uint32(u32_saturating(self.data.len()));
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            handle: Handle::take(body)?,
            offset: u64::take(body)?,
            data: body.shared_string()?,
        })
    }
    fn payload(&self) -> Option<&Bytes> {
        Some(&self.data)
    }
    fn objection(&self) -> Option<Status> {
        self.handle.objection()
    }
}

impl Answer for Handle {
    fn fits(reply: &Reply) -> bool {
        matches!(reply, Reply::Handle(_))
    }
    fn from_reply(reply: Reply) -> Option<Self> {
        match reply {
            Reply::Handle(handle) => Some(handle),
            _ => None,
        }
    }
}

/// The answer to READ.
impl Answer for Bytes {
    fn fits(reply: &Reply) -> bool {
        matches!(reply, Reply::Data(_))
    }
    fn from_reply(reply: Reply) -> Option<Self> {
        match reply {
            Reply::Data(data) => Some(data),
            _ => None,
        }
    }
}
