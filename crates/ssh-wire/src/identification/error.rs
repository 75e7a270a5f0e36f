//! Why there is no identification, and what arrived instead.

use std::fmt;

use thiserror::Error;

use super::MAX_SEEN_BYTES;

/// The first bytes that arrived, escaped so that they can be shown and logged, and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    text: String,
}

impl Seen {
    pub(super) fn new(passed: &[u8], unread: &[u8]) -> Self {
        let mut text: String = passed
            .iter()
            .chain(unread)
            .take(MAX_SEEN_BYTES)
            .flat_map(|&byte| std::ascii::escape_default(byte))
            .map(char::from)
            .collect();
        if passed.len().saturating_add(unread.len()) > MAX_SEEN_BYTES {
            text.push('…');
        }
        Self { text }
    }

    /// The escaped text; empty if nothing arrived.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            f.write_str("nothing arrived")
        } else {
            write!(f, "received \"{}\"", self.text)
        }
    }
}

/// Why there is no identification.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentificationError {
    /// A client's first line is something else than an identification.
    #[error("the peer does not speak SSH: {seen}")]
    NotSsh {
        /// What arrived.
        seen: Seen,
    },
    /// A line goes on beyond its limit.
    #[error("a line of more than {limit} bytes where an SSH identification was expected: {seen}")]
    LineTooLong {
        /// The limit, in bytes.
        limit: usize,
        /// What arrived.
        seen: Seen,
    },
    /// More text before the identification than is read.
    #[error("more than 50 lines or 16 KiB of text before the SSH identification: {seen}")]
    TooMuchText {
        /// What arrived.
        seen: Seen,
    },
    /// A NUL (RFC 4253 §4.2 forbids it).
    #[error("a NUL byte where an SSH identification was expected: {seen}")]
    Nul {
        /// What arrived.
        seen: Seen,
    },
    /// Another version of the protocol than 2.0.
    #[error("the peer speaks another version of the SSH protocol than 2.0: {seen}")]
    Version {
        /// What arrived.
        seen: Seen,
    },
    /// The line is not what RFC 4253 §4.2 describes.
    #[error("an SSH identification {problem}: {seen}")]
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
        /// What arrived.
        seen: Seen,
    },
    /// The stream ended first.
    #[error("the connection was closed before the SSH identification: {seen}")]
    Closed {
        /// What arrived.
        seen: Seen,
    },
    /// Our own line may not be sent like that.
    #[error("not an identification that may be sent: {0}")]
    NotSendable(&'static str),
}
