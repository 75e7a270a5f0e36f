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

mod error;

use std::fmt;

use bytes::{Buf, BytesMut};

pub use error::{IdentificationError, Seen};

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of `bytes` that arrive in these pieces, and what it leaves.
    fn read(
        side: Side,
        pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> (Result<Option<Identification>, IdentificationError>, BytesMut) {
        let mut reader = IdentificationReader::new(side);
        let mut buffer = BytesMut::new();
        for piece in pieces {
            buffer.extend_from_slice(piece.as_ref());
            match reader.next(&mut buffer) {
                Ok(None) => {}
                done => return (done, buffer),
            }
        }
        (Ok(None), buffer)
    }

    /// Whole, byte by byte, and cut in two at every place: always the same.
    fn check(side: Side, bytes: &[u8], expected: &Result<Option<&str>, IdentificationError>) {
        let mut feedings = vec![vec![bytes], bytes.chunks(1).collect()];
        feedings.extend((0..bytes.len().min(400)).map(|at| {
            let (head, tail) = bytes.split_at(at);
            vec![head, tail]
        }));
        for pieces in feedings {
            let cuts = pieces.len();
            let (found, _) = read(side, pieces);
            let found = match &found {
                Ok(found) => Ok(found.as_ref().map(Identification::as_str)),
                Err(error) => Err(std::mem::discriminant(error)),
            };
            let expected = expected.as_ref().map_err(std::mem::discriminant).copied();
            assert_eq!(
                found,
                expected,
                "{side:?} {cuts} pieces of {}",
                bytes.escape_ascii()
            );
        }
    }

    fn seen() -> Seen {
        Seen::new(&[], &[])
    }

    #[test]
    fn identifications_are_taken_from_both_seats() {
        for (line, text) in [
            (
                &b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"[..],
                "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
            ),
            (b"SSH-2.0-billsSSH_3.6.3q3\r\n", "SSH-2.0-billsSSH_3.6.3q3"), // the RFC's own example
            (b"SSH-1.99-Cisco-1.25\r\n", "SSH-1.99-Cisco-1.25"),
            (b"SSH-2.0-dropbear\n", "SSH-2.0-dropbear"),
            (b"SSH-2.0-a b  c \r\n", "SSH-2.0-a b  c "),
        ] {
            for side in [Side::Client, Side::Server] {
                check(side, line, &Ok(Some(text)));
                check(side, line.strip_suffix(b"\n").unwrap(), &Ok(None));
            }
        }
    }

    #[test]
    fn parts_of_the_line_are_told_apart() {
        for (line, software, comments) in [
            (
                "SSH-2.0-OpenSSH_9.2p1 Debian-2 x\r\n",
                "OpenSSH_9.2p1",
                Some("Debian-2 x"),
            ),
            ("SSH-1.99-x-y\n", "x-y", None),
        ] {
            let found = read(Side::Client, [line]).0.unwrap().unwrap();
            assert_eq!((found.software(), found.comments()), (software, comments));
        }
    }

    #[test]
    fn what_follows_the_line_is_left() {
        let (found, left) = read(Side::Server, [b"SSH-2.0-x\r\n\0\0\x01\x02SSH-2.0-y\r\n"]);
        assert_eq!(found.unwrap().unwrap().as_str(), "SSH-2.0-x");
        assert_eq!(&left[..], b"\0\0\x01\x02SSH-2.0-y\r\n");
    }

    #[test]
    fn text_before_the_line_is_for_clients_only() {
        let bytes = b"Welcome\r\n\nto SSH-2.0-here\nSSH-2.0-x\r\n";
        check(Side::Client, bytes, &Ok(Some("SSH-2.0-x")));
        check(
            Side::Server,
            bytes,
            &Err(IdentificationError::NotSsh { seen: seen() }),
        );
        check(
            Side::Server,
            b"GET / HTTP/1.1\r\n",
            &Err(IdentificationError::NotSsh { seen: seen() }),
        );
        check(
            Side::Server,
            b"SSX",
            &Err(IdentificationError::NotSsh { seen: seen() }),
        );
        check(
            Side::Server,
            b"\r\nSSH-2.0-x\r\n",
            &Err(IdentificationError::NotSsh { seen: seen() }),
        );
    }

    #[test]
    fn limits_of_the_text_hold() {
        let last = b"SSH-2.0-x\r\n";
        let lines = |count: usize, bytes: usize| [vec![b'a'; bytes - 1], vec![b'\n']].concat().repeat(count);
        let fine = Ok(Some("SSH-2.0-x"));
        let too_much = Err(IdentificationError::TooMuchText { seen: seen() });
        let too_long = Err(IdentificationError::LineTooLong {
            limit: 0,
            seen: seen(),
        });
        for (text, expected) in [
            (lines(MAX_TEXT_LINES, 5), &fine),
            (lines(MAX_TEXT_LINES + 1, 5), &too_much),
            (lines(2000, 1), &too_much),
            (lines(16, MAX_TEXT_LINE_BYTES), &fine),
            (lines(17, MAX_TEXT_LINE_BYTES), &too_much),
            (lines(1, MAX_TEXT_LINE_BYTES + 1), &too_long),
        ] {
            check(Side::Client, &[&text[..], last].concat(), expected);
        }
    }

    #[test]
    fn long_lines_end_the_reading_at_once() {
        for (side, limit) in [(Side::Client, MAX_TEXT_LINE_BYTES), (Side::Server, 0)] {
            let mut reader = IdentificationReader::new(side);
            let mut buffer = BytesMut::new();
            let flood = vec![b'x'; 8 * 1024 * 1024];
            let refused_at = flood.chunks(512).position(|piece| {
                buffer.extend_from_slice(piece);
                reader.next(&mut buffer).is_err()
            });
            assert_eq!(refused_at, Some(limit.saturating_sub(1) / 512), "{side:?}");
        }
        let too_long = Err(IdentificationError::LineTooLong {
            limit: 0,
            seen: seen(),
        });
        for side in [Side::Client, Side::Server] {
            let line =
                |bytes: usize| [b"SSH-2.0-".to_vec(), vec![b'x'; bytes - 10], b"\r\n".to_vec()].concat();
            check(side, &line(300), &too_long);
            check(side, &line(MAX_LINE_BYTES + 1), &too_long);
            let longest = line(MAX_LINE_BYTES);
            let text = std::str::from_utf8(&longest).unwrap().trim_end();
            check(side, &longest, &Ok(Some(text)));
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        let malformed = Err(IdentificationError::Malformed {
            problem: "",
            seen: seen(),
        });
        let version = Err(IdentificationError::Version { seen: seen() });
        let nul = Err(IdentificationError::Nul { seen: seen() });
        for (line, expected) in [
            (&b"SSH-1.5-old\r\n"[..], &version),
            (b"SSH-3.0-new\r\n", &version),
            (b"SSH-2.00-x\r\n", &version),
            (b"SSH-2.0\n", &malformed),
            (b"SSH-2.0-\r\n", &malformed),
            (b"SSH-\r\n", &malformed),
            (b"SSH-2.0-x\x1b[2J\r\n", &malformed),
            (b"SSH-2.0-x\r\r\n", &malformed),
            (b"SSH-2.0-\xff\xfe\r\n", &malformed),
            (b"SSH-2.0-x\0y\r\n", &nul),
        ] {
            check(Side::Client, line, expected);
            check(Side::Server, line, expected);
        }
        check(Side::Client, b"te\0xt\r\nSSH-2.0-x\r\n", &nul);
    }

    #[test]
    fn errors_show_what_arrived_escaped_and_cut() {
        let (found, _) = read(Side::Server, ["GET /\x1b[2J HTTP/1.1\r\n"]);
        assert_eq!(
            found.unwrap_err().to_string(),
            r#"the peer does not speak SSH: received "GET /\x1b[2J HTTP/1.1\r\n""#
        );

        let mut reader = IdentificationReader::new(Side::Client);
        let mut buffer = BytesMut::from(&b"Exceeded MaxStartups\r\nBye"[..]);
        assert_eq!(reader.next(&mut buffer), Ok(None));
        assert_eq!(
            reader.closed(&buffer).to_string(),
            r#"the connection was closed before the SSH identification: received "Exceeded MaxStartups\r\nBye""#
        );
        assert!(
            IdentificationReader::new(Side::Client)
                .closed(&[])
                .to_string()
                .ends_with("nothing arrived")
        );

        let (found, _) = read(Side::Client, [vec![b'\xff'; 5000]]);
        let IdentificationError::LineTooLong { seen, .. } = found.unwrap_err() else {
            panic!()
        };
        assert_eq!(seen.as_str(), r"\xff".repeat(MAX_SEEN_BYTES) + "…");
    }

    #[test]
    fn our_own_line_is_checked() {
        let ours = Identification::ours("Bowline_0.1", None).unwrap();
        assert_eq!(ours.as_str(), "SSH-2.0-Bowline_0.1");
        let ours = Identification::ours("Bowline_0.1", Some("a b-c")).unwrap();
        assert_eq!(ours.as_str(), "SSH-2.0-Bowline_0.1 a b-c");
        assert_eq!((ours.software(), ours.comments()), ("Bowline_0.1", Some("a b-c")));
        for (software, comments) in [
            ("", None),
            ("a-b", None),
            ("a b", None),
            ("é", None),
            ("a", Some("b\r\n")),
            ("a", Some("é")),
        ] {
            assert!(
                Identification::ours(software, comments).is_err(),
                "{software} {comments:?}"
            );
        }
        assert!(Identification::ours(&"a".repeat(245), None).is_ok());
        assert!(Identification::ours(&"a".repeat(246), None).is_err());
    }
}
