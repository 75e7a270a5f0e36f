//! What can go wrong over SFTP: what was being done, with which file on which side.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::sftp_protocol::client::transfer::{ReadError, TooManyNames};
use crate::sftp_protocol::{self, Misuse, Status};
use crate::tokio_driver::ChannelError;

/// Why something over SFTP did not happen. Remote paths in it are fit to be shown: escaped where they hold control
/// characters.
#[derive(Debug, Error)]
#[error("{operation} {remote}{}: {source}", beside(local.as_ref()))]
pub struct SftpError {
    /// What was being done.
    pub operation: &'static str,
    /// The remote path.
    pub remote: String,
    /// The local path, of a transfer.
    pub local: Option<PathBuf>,
    /// What went wrong.
    pub source: SftpFault,
}

fn beside(local: Option<&PathBuf>) -> String {
    local
        .map(|local| format!(" ({})", local.display()))
        .unwrap_or_default()
}

/// What went wrong over SFTP.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SftpFault {
    /// The server refused.
    #[error("{0}")]
    Refused(Status),
    /// A local file failed.
    #[error("local file: {0}")]
    Local(#[source] io::Error),
    /// The server answered a READ with something that is neither data nor an end.
    #[error(transparent)]
    BadRead(#[from] ReadError),
    /// The server listed more names than are taken.
    #[error(transparent)]
    TooManyNames(#[from] TooManyNames),
    /// The names the server listed are longer, all together, than is taken.
    #[error("the names in it take more than {limit} bytes")]
    NamesTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// What was named is no regular file.
    #[error("not a regular file")]
    NotAFile,
    /// The server does not have what the call needs.
    #[error("the server does not support {0}")]
    Unsupported(&'static str),
    /// The request cannot be made.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The SFTP session is over.
    #[error("the SFTP session is over: {0}")]
    Ended(#[source] Arc<SessionEnd>),
}

/// Why an SFTP session is over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The server broke the protocol, or speaks another version.
    #[error(transparent)]
    Protocol(#[from] sftp_protocol::Error),
    /// The channel failed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The channel failed while bytes were moved.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server closed the channel.
    #[error("the server closed the channel")]
    ClosedByServer,
    /// The server left a request unanswered for too long.
    #[error("no answer within {} seconds", limit.as_secs_f32())]
    Timeout {
        /// How long it may take ([`Timeouts::sftp`](crate::Timeouts::sftp)).
        limit: Duration,
    },
    /// This side closed the session.
    #[error("closed by this side")]
    Closed,
}

impl SftpFault {
    /// The fault with what was being done, and with which file.
    pub(super) fn at(self, operation: &'static str, remote: &[u8]) -> SftpError {
        SftpError {
            operation,
            remote: shown(remote),
            local: None,
            source: self,
        }
    }
}

/// A path fit to be shown: control characters and what is not UTF-8 are escaped.
pub fn shown(path: &[u8]) -> String {
    let mut shown = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            shown.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_harm() {
        for (path, expected) in [
            (&b"/home/a b"[..], "/home/a b"),
            ("grüße".as_bytes(), "grüße"),
            (b"a\x1b[2J\n", "a\\u{1b}[2J\\n"),
            (b"x\xffy", "x\\xffy"),
        ] {
            assert_eq!(shown(path), expected);
        }
    }

    #[test]
    fn an_error_names_both_sides() {
        let error = SftpError {
            local: Some("/tmp/here".into()),
            ..SftpFault::Local(io::Error::other("no space left")).at("get", b"/there")
        };
        assert_eq!(
            error.to_string(),
            "get /there (/tmp/here): local file: no space left"
        );
    }
}
