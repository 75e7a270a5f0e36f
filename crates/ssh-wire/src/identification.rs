//! The identification line each side sends first (RFC 4253 §4.2): `SSH-2.0-software comments CR LF`.
//!
//! ```text
//!                      text line (client seat only)
//!                    ┌────────┐
//!                    ▼        │         SSH-2.0-… or SSH-1.99-…
//!  ExpectIdentification ──────┴────────────────────────────────▶ an Identification; what follows are packets
//!                    │ too long, too many lines, another protocol, NUL
//!                    ▼
//!                  an IdentificationError, with the bytes seen
//! ```
//!
//! Nothing is known of the peer yet, so every limit here is small, and every error shows what arrived instead: a web
//! server, a proxy's apology, a daemon that refuses more connections.

use std::fmt;

use bytes::{Buf, BytesMut};
use thiserror::Error;

/// The longest identification line, with its CR LF (RFC 4253 §4.2).
pub const MAX_LINE_BYTES: usize = 255;

/// The longest line of text before a server's identification, with its line end.
pub const MAX_TEXT_LINE_BYTES: usize = 1024;

/// The most lines of text before a server's identification.
pub const MAX_TEXT_LINES: usize = 50;

/// The most text before a server's identification, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// How much of what arrived an error shows, in bytes.
pub const MAX_SEEN_BYTES: usize = 256;

const PREFIX: &[u8] = b"SSH-";

/// A checked identification line, without its line end: what is hashed in the key exchange (RFC 4253 §8).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identification {
    text: String,
}

impl Identification {
    /// Our own line: `SSH-2.0-software` or `SSH-2.0-software comments`. The software version is printable US-ASCII
    /// without blanks and minus signs, comments are printable US-ASCII.
    pub fn ours(software: &str, comments: Option<&str>) -> Result<Self, IdentificationError> {
        let name_is_fine = !software.is_empty()
            && software
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'-');
        if !name_is_fine {
            return Err(IdentificationError::NotSendable(
                "the software version is empty or holds a blank, a minus sign or a byte that is not US-ASCII",
            ));
        }
        let comments_are_fine = comments
            .unwrap_or_default()
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !comments_are_fine {
            return Err(IdentificationError::NotSendable(
                "the comments hold a byte that is not printable US-ASCII",
            ));
        }
        let text = match comments {
            Some(comments) => format!("SSH-2.0-{software} {comments}"),
            None => format!("SSH-2.0-{software}"),
        };
        if text.len().saturating_add(2) > MAX_LINE_BYTES {
            return Err(IdentificationError::NotSendable(
                "the line is longer than 255 bytes",
            ));
        }
        Ok(Self { text })
    }

    /// The line without its line end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The software version, for instance `OpenSSH_10.2`.
    pub fn software(&self) -> &str {
        self.after_version()
            .split_once(' ')
            .map_or(self.after_version(), |(software, _)| software)
    }

    /// The comments, if there are any: for people, not for programs.
    pub fn comments(&self) -> Option<&str> {
        self.after_version().split_once(' ').map(|(_, comments)| comments)
    }

    fn after_version(&self) -> &str {
        self.text
            .strip_prefix("SSH-2.0-")
            .or_else(|| self.text.strip_prefix("SSH-1.99-"))
            .unwrap_or_default()
    }

    /// Reads a line without its line end that begins with `SSH-`.
    fn parse(line: &[u8]) -> Result<Self, Problem> {
        if line.contains(&0) {
            return Err(Problem::Nul);
        }
        let text = std::str::from_utf8(line).map_err(|_| Problem::Malformed("not UTF-8"))?;
        // RFC 4253 §5.1: 1.99 is a server that speaks both protocols.
        let Some(software) = text
            .strip_prefix("SSH-2.0-")
            .or_else(|| text.strip_prefix("SSH-1.99-"))
        else {
            let numbered = text
                .strip_prefix("SSH-")
                .and_then(|rest| rest.split_once('-'))
                .is_some();
            return Err(if numbered {
                Problem::Version
            } else {
                Problem::Malformed("without a version and a software version")
            });
        };
        if software.is_empty() {
            return Err(Problem::Malformed("without a software version"));
        }
        if text.chars().any(char::is_control) {
            return Err(Problem::Malformed("holding a control character"));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identification({:?})", self.text)
    }
}

/// The seat from which a peer's line is read. It decides one thing only: whether text may stand before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We are the client: a server may send lines of text first.
    Client,
    /// We are the server: a client's first line is its identification.
    Server,
}

/// Finds the peer's identification line at the front of what arrives.
#[derive(Debug)]
pub struct IdentificationReader {
    side: Side,
    /// How many bytes of the unread ones hold no line end.
    searched: usize,
    text_lines: usize,
    text_bytes: usize,
    seen: Vec<u8>,
}

impl IdentificationReader {
    /// A reader in that seat.
    pub const fn new(side: Side) -> Self {
        Self {
            side,
            searched: 0,
            text_lines: 0,
            text_bytes: 0,
            seen: Vec::new(),
        }
    }

    /// Takes complete lines from the front of `buffer` up to and with the identification; `None` while it is not
    /// there. What stands behind it, packets already, is left.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Identification>, IdentificationError> {
        loop {
            let may_identify = buffer.starts_with(PREFIX) || PREFIX.starts_with(buffer);
            let limit = match (may_identify, self.side) {
                (true, _) => MAX_LINE_BYTES,
                (false, Side::Client) => MAX_TEXT_LINE_BYTES,
                (false, Side::Server) => return Err(self.error(Problem::NotSsh, buffer)),
            };
            let window = buffer.get(..limit).unwrap_or(buffer);
            let unsearched = window.get(self.searched..).unwrap_or_default();
            let Some(at) = unsearched.iter().position(|&byte| byte == b'\n') else {
                if window.len() == limit {
                    return Err(self.error(Problem::LineTooLong(limit), buffer));
                }
                self.searched = window.len();
                return Ok(None);
            };
            let line_bytes = self.searched.saturating_add(at).saturating_add(1);
            self.searched = 0;
            if may_identify {
                let line = buffer.get(..line_bytes).unwrap_or_default();
                let parsed = Identification::parse(without_line_end(line))
                    .map_err(|problem| self.error(problem, buffer))?;
                buffer.advance(line_bytes);
                return Ok(Some(parsed));
            }
            self.pass_over(buffer, line_bytes)?;
        }
    }

    /// What to report when the stream ended before the identification: `unread` is what was left in the buffer.
    pub fn closed(&self, unread: &[u8]) -> IdentificationError {
        self.error(Problem::Closed, unread)
    }

    /// A line of text before the identification.
    fn pass_over(&mut self, buffer: &mut BytesMut, line_bytes: usize) -> Result<(), IdentificationError> {
        self.text_lines = self.text_lines.saturating_add(1);
        self.text_bytes = self.text_bytes.saturating_add(line_bytes);
        if self.text_lines > MAX_TEXT_LINES || self.text_bytes > MAX_TEXT_BYTES {
            return Err(self.error(Problem::TooMuchText, buffer));
        }
        let line = buffer.get(..line_bytes).unwrap_or_default();
        if line.contains(&0) {
            return Err(self.error(Problem::Nul, buffer));
        }
        let room = MAX_SEEN_BYTES.saturating_add(1).saturating_sub(self.seen.len());
        self.seen.extend_from_slice(line.get(..room).unwrap_or(line));
        buffer.advance(line_bytes);
        Ok(())
    }

    fn error(&self, problem: Problem, unread: &[u8]) -> IdentificationError {
        let seen = Seen::new(&self.seen, unread);
        match problem {
            Problem::NotSsh => IdentificationError::NotSsh { seen },
            Problem::LineTooLong(limit) => IdentificationError::LineTooLong { limit, seen },
            Problem::TooMuchText => IdentificationError::TooMuchText { seen },
            Problem::Nul => IdentificationError::Nul { seen },
            Problem::Version => IdentificationError::Version { seen },
            Problem::Malformed(problem) => IdentificationError::Malformed { problem, seen },
            Problem::Closed => IdentificationError::Closed { seen },
        }
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Some peers end their line with LF alone.
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[derive(Debug, Clone, Copy)]
enum Problem {
    NotSsh,
    LineTooLong(usize),
    TooMuchText,
    Nul,
    Version,
    Malformed(&'static str),
    Closed,
}

/// The first bytes that arrived, escaped so that they can be shown and logged, and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    text: String,
}

impl Seen {
    fn new(passed: &[u8], unread: &[u8]) -> Self {
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
