//! Responses from the server to the client (draft §7).

use crate::messages::{Answer, Body, Handle, Layout, Name, Request};
use crate::wire::bytes::Bytes;
use crate::wire::{DecodeError, Writer, u32_saturating};
use crate::{Attributes, Status, StatusCode};

pub(crate) const STATUS: u8 = 101;
pub(crate) const HANDLE: u8 = 102;
pub(crate) const DATA: u8 = 103;
pub(crate) const NAME: u8 = 104;
pub(crate) const ATTRS: u8 = 105;
pub(crate) const EXTENDED_REPLY: u8 = 201;

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `SSH_FXP_STATUS`.
    Status(Status),
    /// `SSH_FXP_HANDLE`.
    Handle(Handle),
    /// `SSH_FXP_DATA`.
    Data(Bytes),
    /// `SSH_FXP_NAME`.
    Names(Vec<Name>),
    /// `SSH_FXP_ATTRS`.
    Attributes(Attributes),
    /// `SSH_FXP_EXTENDED_REPLY`: what the extension says.
    Extended(Bytes),
}

impl Reply {
    /// The answer to an `R`, or the status it failed with. A reply that [`Client`](crate::Client) gave for the
    /// request always fits; one of another request is reported as [`BAD_MESSAGE`](StatusCode::BAD_MESSAGE).
    pub fn answer<R: Request>(self) -> Result<R::Answer, Status> {
        match self {
            Self::Status(status) if !status.is_ok() => Err(status),
            reply => R::Answer::from_reply(reply).ok_or_else(|| {
                Status::with_message(StatusCode::BAD_MESSAGE, "this reply answers another request")
            }),
        }
    }

    /// The message type.
    pub const fn number(&self) -> u8 {
        match self {
            Self::Status(_) => STATUS,
            Self::Handle(_) => HANDLE,
            Self::Data(_) => DATA,
            Self::Names(_) => NAME,
            Self::Attributes(_) => ATTRS,
            Self::Extended(_) => EXTENDED_REPLY,
        }
    }

    /// Appends what stands behind the request id, but for the [`payload`](Self::payload).
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        match self {
            Self::Status(status) => status.put(out),
            Self::Handle(handle) => handle.put(out),
            Self::Data(data) => out.uint32(u32_saturating(data.len())),
            Self::Names(names) => {
                out.uint32(u32_saturating(names.len()));
                for name in names {
                    name.put(out);
                }
            }
            Self::Attributes(attributes) => attributes.put(out),
            Self::Extended(bytes) => out.raw(bytes),
        }
    }

    pub(crate) const fn payload(&self) -> Option<&Bytes> {
        match self {
            Self::Data(data) => Some(data),
            _ => None,
        }
    }

    /// Whether a message of type `number` is a reply.
    pub(crate) const fn is_reply(number: u8) -> bool {
        matches!(number, STATUS | HANDLE | DATA | NAME | ATTRS | EXTENDED_REPLY)
    }

    /// Reads what stands behind the request id of a message for which [`is_reply`](Self::is_reply) holds.
    pub(crate) fn take(number: u8, body: &mut Body<'_>) -> Result<Self, DecodeError> {
        match number {
            STATUS => Status::take(body).map(Self::Status),
            HANDLE => legal_handle(body).map(Self::Handle),
            DATA => body.shared_string().map(Self::Data),
            NAME => names(body).map(Self::Names),
            ATTRS => Attributes::take(body).map(Self::Attributes),
            _ => Ok(Self::Extended(body.shared_rest())),
        }
    }
}

fn legal_handle(body: &mut Body<'_>) -> Result<Handle, DecodeError> {
    let handle = Handle::take(body)?;
    if handle.has_legal_length() {
        return Ok(handle);
    }
    Err(DecodeError::BadField {
        field: "handle",
        problem: "longer than 256 bytes",
    })
}

/// Most names in one answer. An entry as servers write it has a hundred bytes and more, so that no message they send holds
/// as many; the shortest one has twelve, and takes more than ten times as much once it is decoded.
pub(crate) const MAX_NAMES: u32 = 4096;

/// The count is only a promise: the list grows by what is there.
fn names(body: &mut Body<'_>) -> Result<Vec<Name>, DecodeError> {
    let count = u32::take(body)?;
    if count > MAX_NAMES {
        return Err(DecodeError::BadField {
            field: "count",
            problem: "more than 4096 names",
        });
    }
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(Name::take(body)?);
    }
    Ok(names)
}
