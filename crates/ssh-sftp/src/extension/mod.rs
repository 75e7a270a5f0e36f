//! Extensions (draft §8), one file each: a name, a version, a request and its answer.
//!
//! Most are OpenSSH's, described in §4 of its `PROTOCOL` file; `copy-data` and `home-directory` are from
//! draft-ietf-secsh-filexfer-extensions-00. To add one: its file, its `mod` line, and its line in the `extensions!`
//! list below. From the list come its advertisement in VERSION, its way to the application as a typed question, and
//! the answer "operation unsupported" where the application does not claim it.

mod copy_data;
mod expand_path;
mod fsync;
mod hardlink;
mod home_directory;
mod limits;
mod lsetstat;
mod posix_rename;
mod statvfs;

pub use copy_data::CopyData;
pub use expand_path::ExpandPath;
pub use fsync::Fsync;
pub use hardlink::HardLink;
pub use home_directory::HomeDirectory;
pub use limits::{Limits, LimitsReply};
pub use lsetstat::LSetStat;
pub use posix_rename::PosixRename;
pub use statvfs::{FStatVfs, StatVfs, StatVfsReply};

use std::sync::mpsc::Sender;

use crate::Status;
use crate::messages::{Body, ExtensionPair, Extensions, Layout, Request};
use crate::server::{Abandoned, Question, Response};
use crate::wire::DecodeError;

extensions! {
    PosixRename,
    StatVfs,
    FStatVfs,
    HardLink,
    Fsync,
    LSetStat,
    ExpandPath,
    CopyData,
    HomeDirectory,
}

impl Extension {
    /// The pairs a server announces that claims `claimed`; `limits@openssh.com` is answered by the machine itself.
    pub(crate) fn announced(claimed: &[Self]) -> Extensions {
        let pair = |name: &str, version: &str| ExtensionPair {
            name: name.as_bytes().to_vec(),
            data: version.as_bytes().to_vec(),
        };
        let limits = pair(Limits::NAME, Limits::EXTENSION_VERSION.unwrap_or_default());
        let claimed = claimed
            .iter()
            .map(|extension| pair(extension.name(), extension.version()));
        Extensions(claimed.chain([limits]).collect())
    }
}

/// Says of a layout that it is an extension's request: `Type = "name", "version", answered by, whether it writes`.
macro_rules! extension {
    ($name:ident = $extension:literal, $version:literal, $answer:ty, $writes:literal) => {
        impl $crate::messages::Request for $name {
            type Answer = $answer;
            const NUMBER: u8 = $crate::messages::EXTENDED;
            const NAME: &'static str = $extension;
            const EXTENSION_VERSION: Option<&'static str> = Some($version);
            fn writes(&self) -> bool {
                $writes
            }
        }
    };
}
use extension;

/// What an extension answers with when that is neither a status nor one of the draft's replies.
macro_rules! extended_answer {
    ($name:ident) => {
        impl $crate::messages::Answer for $name {
            fn fits(reply: &$crate::Reply) -> bool {
                matches!(reply, $crate::Reply::Extended(body)
                    if $crate::messages::Body::decode::<Self>(body).is_ok())
            }
            fn from_reply(reply: $crate::Reply) -> Option<Self> {
                match reply {
                    $crate::Reply::Extended(body) => $crate::messages::Body::decode(&body).ok(),
                    _ => None,
                }
            }
        }
    };
}
use extended_answer;

/// The list of extensions an application may claim.
macro_rules! extensions {
    ($($name:ident,)*) => {
        /// An extension an application can claim for its server.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Extension {
            $( #[doc = concat!("The extension of [`struct@", stringify!($name), "`].")] $name, )*
        }

        impl Extension {
            /// Every extension of the list.
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// The name, as VERSION announces it.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => $name::NAME, )* }
            }

            /// What VERSION says behind the name.
            pub const fn version(self) -> &'static str {
                match self {
                    $( Self::$name => match $name::EXTENSION_VERSION {
                        Some(version) => version,
                        None => "",
                    }, )*
                }
            }
        }

        /// A request of an extension, as the application gets it.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum ExtendedQuestion {
            $( #[doc = concat!("A request of [`struct@", stringify!($name), "`].")] $name(Question<$name>), )*
        }

        impl ExtendedQuestion {
            /// Reads the fields of `extension`'s request.
            pub(crate) fn take(
                extension: Extension,
                id: u32,
                body: &mut Body<'_>,
            ) -> Result<Self, DecodeError> {
                Ok(match extension {
                    $( Extension::$name => Self::$name(Question::new(id, $name::take(body)?)), )*
                })
            }

            /// Which extension this is of.
            pub const fn extension(&self) -> Extension {
                match self { $( Self::$name(_) => Extension::$name, )* }
            }

            /// Whether the request can change anything: a read-only server refuses those.
            pub fn writes(&self) -> bool {
                match self { $( Self::$name(question) => question.request.writes(), )* }
            }

            /// Answers with a status, whatever was asked.
            pub fn status(self, status: impl Into<Status>) -> Response {
                match self { $( Self::$name(question) => question.reply.status(status), )* }
            }

            pub(crate) fn id(&self) -> u32 {
                match self { $( Self::$name(question) => question.reply.id(), )* }
            }

            pub(crate) fn objection(&self) -> Option<Status> {
                match self { $( Self::$name(question) => question.request.objection(), )* }
            }

            pub(crate) fn begin(&mut self, message_bytes: usize, left: Sender<Abandoned>) -> usize {
                match self { $( Self::$name(question) => question.reply.begin(message_bytes, left), )* }
            }
        }
    };
}
use extensions;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_versions_are_said() {
        for (index, extension) in Extension::ALL.iter().enumerate() {
            assert!(!extension.version().is_empty(), "{extension:?}");
            let earlier = &Extension::ALL[..index];
            assert!(
                earlier.iter().all(|other| other.name() != extension.name()),
                "{extension:?}"
            );
        }
    }

    #[test]
    fn a_server_announces_what_is_claimed_and_its_limits() {
        let announced = Extension::announced(&[Extension::PosixRename, Extension::StatVfs]);
        assert!(announced.supports::<PosixRename>());
        assert!(announced.supports::<StatVfs>());
        assert!(announced.supports::<Limits>());
        assert!(!announced.supports::<Fsync>());
        assert_eq!(announced.0.len(), 3);
    }
}
