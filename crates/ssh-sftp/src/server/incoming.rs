//! Requests as they come out of the server machine: one variant for each of the draft, typed by its answer.

use std::sync::mpsc::Sender;

use crate::extension::{ExtendedQuestion, Extension};
use crate::messages::{
    Body, Close, FSetStat, FStat, LStat, Layout, MkDir, Open, OpenDir, Read, ReadDir, ReadLink, RealPath,
    Remove, Rename, Request, RmDir, SetStat, Stat, Symlink, Write, each_request,
};
use crate::server::question::Abandoned;
use crate::server::{Question, Response};
use crate::wire::DecodeError;
use crate::{MAX_OFFSET, Status};

macro_rules! incoming {
    ($($name:ident),*) => {
        /// What the client asks for. Answer every one of them (see [`ReplyDue`](crate::server::ReplyDue)).
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Incoming {
            $(
                #[doc = concat!("A [`struct@", stringify!($name), "`].")]
                $name(Question<$name>),
            )*
            /// A request of an extension the application claimed.
            Extended(ExtendedQuestion),
        }

        impl Incoming {
            /// Reads the fields of request `number`; `None` where the draft has no such request.
            pub(super) fn take(
                number: u8,
                id: u32,
                body: &mut Body<'_>,
            ) -> Option<Result<Self, DecodeError>> {
                Some(match number {
                    $( $name::NUMBER => {
                        $name::take(body).map(|request| Self::$name(Question::new(id, request)))
                    } )*
                    _ => return None,
                })
            }

            /// The request's name: the draft's, or the extension's.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$name(_) => $name::NAME, )*
                    Self::Extended(question) => question.extension().name(),
                }
            }

            /// Whether the request can change anything: a read-only server refuses those.
            pub fn writes(&self) -> bool {
                match self {
                    $( Self::$name(question) => question.request.writes(), )*
                    Self::Extended(question) => question.writes(),
                }
            }

            /// Answers with a status, whatever was asked.
            pub fn status(self, status: impl Into<Status>) -> Response {
                match self {
                    $( Self::$name(question) => question.reply.status(status), )*
                    Self::Extended(question) => question.status(status),
                }
            }

            /// The client's number for the request, for logs: a client may use one number twice.
            pub fn id(&self) -> u32 {
                match self {
                    $( Self::$name(question) => question.reply.id(), )*
                    Self::Extended(question) => question.id(),
                }
            }

            fn layout_objection(&self) -> Option<Status> {
                match self {
                    $( Self::$name(question) => question.request.objection(), )*
                    Self::Extended(question) => question.objection(),
                }
            }

            /// Takes a place among the requests in work; what the request weighs there.
            pub(super) fn begin(&mut self, message_bytes: usize, left: Sender<Abandoned>) -> usize {
                match self {
                    $( Self::$name(question) => question.reply.begin(message_bytes, left), )*
                    Self::Extended(question) => question.begin(message_bytes, left),
                }
            }
        }
    };
}

each_request!(incoming);

impl Incoming {
    pub(super) fn extended(extension: Extension, id: u32, body: &mut Body<'_>) -> Result<Self, DecodeError> {
        ExtendedQuestion::take(extension, id, body).map(Self::Extended)
    }

    /// A request of a client that follows the draft where OpenSSH does not.
    pub(super) fn in_draft_order(self) -> Self {
        match self {
            Self::Symlink(Question { request, reply }) => Self::Symlink(Question {
                request: request.in_draft_order(),
                reply,
            }),
            other => other,
        }
    }

    /// Cuts what the client asks for down to the server's limit.
    pub(super) fn limit_data(&mut self, bytes: u32) {
        if let Self::Read(question) = self {
            question.request.length = question.request.length.min(bytes);
            question.reply.limit_data(crate::wire::usize_from(bytes));
        }
    }

    /// What is answered at once because no file system could do anything with the request.
    pub(super) fn objection(&self) -> Option<Status> {
        match self {
            Self::Read(question) if question.request.offset > MAX_OFFSET => Some(Status::eof()),
            Self::Write(question) if ends_beyond_all_files(&question.request) => {
                Some(Status::failure("no file is that long"))
            }
            _ => self.layout_objection(),
        }
    }
}

fn ends_beyond_all_files(write: &Write) -> bool {
    let length = u64::try_from(write.data.len()).unwrap_or(u64::MAX);
    write.offset.saturating_add(length) > MAX_OFFSET
}
