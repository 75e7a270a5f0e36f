//! The messages of version 3, grouped as the draft groups them; each layout is written once.
//!
//! ```text
//!   uint32 length │ byte type │ uint32 request-id │ fields …          (INIT and VERSION have no request-id)
//! ```
//!
//! A [`Request`] says by its types what answers it: `Stat` is answered by [`Attributes`], `Open` by a [`Handle`],
//! each of them by a failing [`Status`] too. The client hands its caller the answer of that type, the server offers
//! the application only the methods that give it.

mod attribute;
mod directory;
mod file;
mod init;
mod path;
mod reply;

use std::fmt::Debug;

pub use attribute::{FSetStat, FStat, LStat, SetStat, Stat};
pub use directory::{MkDir, Name, OpenDir, ReadDir, RmDir};
pub use file::{Close, Handle, MAX_HANDLE_BYTES, Open, Read, Write};
pub use init::{ExtensionPair, Extensions, Init, MAX_EXTENSION_PAIRS, Version};
pub use path::{ReadLink, RealPath, Remove, Rename, Symlink};
pub use reply::Reply;

pub(crate) use init::{INIT, VERSION};
pub(crate) use reply::NAME;

#[cfg(doc)]
use crate::Attributes;
use crate::wire::bytes::Bytes;
use crate::wire::{DecodeError, Reader, Writer};
use crate::{Status, StatusCode};

/// How a value stands in a message: written once, for both directions.
pub trait Layout: Sized {
    /// Appends the value, but for its [`payload`](Self::payload).
    fn put(&self, out: &mut Writer<'_>);

    /// Reads the value.
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError>;

    /// File data that stands behind everything [`put`](Self::put) writes, and is never copied there.
    fn payload(&self) -> Option<&Bytes> {
        None
    }

    /// What a server answers at once, without asking the application: the value can be read, but no file system
    /// could do anything with it.
    fn objection(&self) -> Option<Status> {
        None
    }
}

/// What a client asks for.
pub trait Request: Layout + Debug + Clone + Send + 'static {
    /// What a server that did it answers with; `()` for a bare status.
    type Answer: Answer;
    /// The message type.
    const NUMBER: u8;
    /// The draft's name, or the extension's.
    const NAME: &'static str;
    /// For an extension, what a server that has it says behind the name in VERSION.
    const EXTENSION_VERSION: Option<&'static str> = None;

    /// Whether the request can change anything on the server: a read-only server refuses those.
    fn writes(&self) -> bool;

    /// The most bytes of file data that may answer it.
    fn asked_bytes(&self) -> usize {
        0
    }
}

/// What can answer a request, beside a failing status.
pub trait Answer: Sized + Send + 'static {
    /// Whether `reply`, which is not a failing status, is such an answer.
    fn fits(reply: &Reply) -> bool;

    /// The answer in `reply`; `None` where it does not fit.
    fn from_reply(reply: Reply) -> Option<Self>;
}

/// A message's fields while they are read: a cursor that can also give out slices of the message it stands on.
#[derive(Debug)]
pub struct Body<'a> {
    reader: Reader<'a>,
    message: &'a Bytes,
}

impl<'a> Body<'a> {
    /// A cursor at the start of `message`.
    pub fn new(message: &'a Bytes) -> Self {
        Self {
            reader: Reader::new(message),
            message,
        }
    }

    /// Reads bytes that hold one value and nothing else.
    pub fn decode<T: Layout>(bytes: &'a Bytes) -> Result<T, DecodeError> {
        let mut body = Self::new(bytes);
        let value = T::take(&mut body)?;
        body.finish()?;
        Ok(value)
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.reader.remaining() == 0
    }

    /// `byte`.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.reader.byte()
    }

    /// `string`.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        self.reader.string()
    }

    /// `string`, as a slice of the message that shares its memory.
    pub fn shared_string(&mut self) -> Result<Bytes, DecodeError> {
        // The reader stands on this very message, so what it gives is a part of it.
        Ok(self.message.slice_ref(self.reader.string()?))
    }

    /// All bytes that are left, as a slice of the message that shares its memory.
    pub fn shared_rest(&mut self) -> Bytes {
        self.message.slice_ref(self.reader.rest())
    }

    /// Ends the reading: nothing may be left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        self.reader.finish()
    }
}

/// The draft's name of a message type, for errors and logs.
pub const fn message_name(number: u8) -> &'static str {
    match number {
        INIT => "SSH_FXP_INIT",
        VERSION => "SSH_FXP_VERSION",
        Open::NUMBER => Open::NAME,
        Close::NUMBER => Close::NAME,
        Read::NUMBER => Read::NAME,
        Write::NUMBER => Write::NAME,
        LStat::NUMBER => LStat::NAME,
        FStat::NUMBER => FStat::NAME,
        SetStat::NUMBER => SetStat::NAME,
        FSetStat::NUMBER => FSetStat::NAME,
        OpenDir::NUMBER => OpenDir::NAME,
        ReadDir::NUMBER => ReadDir::NAME,
        Remove::NUMBER => Remove::NAME,
        MkDir::NUMBER => MkDir::NAME,
        RmDir::NUMBER => RmDir::NAME,
        RealPath::NUMBER => RealPath::NAME,
        Stat::NUMBER => Stat::NAME,
        Rename::NUMBER => Rename::NAME,
        ReadLink::NUMBER => ReadLink::NAME,
        Symlink::NUMBER => Symlink::NAME,
        reply::STATUS => "SSH_FXP_STATUS",
        reply::HANDLE => "SSH_FXP_HANDLE",
        reply::DATA => "SSH_FXP_DATA",
        NAME => "SSH_FXP_NAME",
        reply::ATTRS => "SSH_FXP_ATTRS",
        EXTENDED => "SSH_FXP_EXTENDED",
        reply::EXTENDED_REPLY => "SSH_FXP_EXTENDED_REPLY",
        _ => "unknown",
    }
}

/// `SSH_FXP_EXTENDED` (draft §8).
pub(crate) const EXTENDED: u8 = 200;

/// The longest path a server takes; Linux takes no longer one.
pub const MAX_PATH_BYTES: usize = 4096;

impl Layout for u32 {
    fn put(&self, out: &mut Writer<'_>) {
        out.uint32(*self);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        body.reader.uint32()
    }
}

impl Layout for u64 {
    fn put(&self, out: &mut Writer<'_>) {
        out.uint64(*self);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        body.reader.uint64()
    }
}

/// In every request, a `string` that is not a handle or file data is a path or a name: bytes, in no encoding.
impl Layout for Vec<u8> {
    fn put(&self, out: &mut Writer<'_>) {
        out.string(self);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        Ok(body.string()?.to_vec())
    }
    fn objection(&self) -> Option<Status> {
        if self.len() > MAX_PATH_BYTES {
            Some(Status::failure("path too long"))
        } else if self.contains(&0) {
            Some(Status::with_message(
                StatusCode::NO_SUCH_FILE,
                "no path holds a NUL byte",
            ))
        } else {
            None
        }
    }
}

/// The answer to a request that only succeeds or fails.
impl Answer for () {
    fn fits(reply: &Reply) -> bool {
        matches!(reply, Reply::Status(status) if status.is_ok())
    }
    fn from_reply(reply: Reply) -> Option<Self> {
        Self::fits(&reply).then_some(())
    }
}

/// Declares structs whose fields stand in wire order.
macro_rules! layout {
    ($( $(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )*
    } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )* }

        impl $crate::messages::Layout for $name {
            fn put(&self, out: &mut $crate::wire::Writer<'_>) {
                $( $crate::messages::Layout::put(&self.$field, out); )*
                let _ = out; // a struct without fields writes nothing
            }
            fn take(
                body: &mut $crate::messages::Body<'_>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                $( let $field = $crate::messages::Layout::take(body)?; )*
                let _ = body;
                Ok(Self { $($field),* })
            }
            fn objection(&self) -> Option<$crate::Status> {
                $( if let Some(status) = $crate::messages::Layout::objection(&self.$field) {
                    return Some(status);
                } )*
                None
            }
        }
    )*};
}
pub(crate) use layout;

/// Says of layouts which request they are: `Type = number, "name", answered by, whether it writes`.
macro_rules! requests {
    ($( $name:ident = $number:literal, $draft_name:literal, $answer:ty, $writes:expr
        $(, asks $asked:expr)?; )*) => {$(
        impl $crate::messages::Request for $name {
            type Answer = $answer;
            const NUMBER: u8 = $number;
            const NAME: &'static str = $draft_name;
            fn writes(&self) -> bool {
                let writes: fn(&Self) -> bool = $writes;
                writes(self)
            }
            $( fn asked_bytes(&self) -> usize {
                let asked: fn(&Self) -> usize = $asked;
                asked(self)
            } )?
        }
    )*};
}
pub(crate) use requests;

/// Hands the list of the draft's requests to another macro: the one place where they are all named.
macro_rules! each_request {
    ($then:ident) => {
        $then! {
            Open, Close, Read, Write, LStat, FStat, SetStat, FSetStat, OpenDir, ReadDir, Remove, MkDir, RmDir,
            RealPath, Stat, Rename, ReadLink, Symlink
        }
    };
}
pub(crate) use each_request;
