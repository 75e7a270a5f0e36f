//! User names: the one text of a stranger's that ends up in logs, paths and environments.

use std::fmt;

use thiserror::Error;

use crate::text;

/// The longest user name, in bytes. POSIX systems stop at 256; bastions put targets into the name (`alice@host#port`).
pub const MAX_USER_BYTES: usize = 1024;

/// A user name (RFC 4252 §5) that is fit to be shown, logged and looked up: not empty, at most
/// [`MAX_USER_BYTES`] long, without control characters, line separators or characters that turn the text around.
///
/// Names are compared byte by byte. They are not brought into SASLprep's form (RFC 4013).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// The name, checked.
    pub fn new(name: &str) -> Result<Self, UserNameError> {
        if name.is_empty() {
            return Err(UserNameError::Empty);
        }
        if name.len() > MAX_USER_BYTES {
            return Err(UserNameError::TooLong(name.len()));
        }
        match name.chars().find(|&character| text::unprintable(character)) {
            Some(character) => Err(UserNameError::Unprintable(character)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name as a peer sent it.
    pub(crate) fn from_wire(name: &[u8]) -> Option<Self> {
        Self::new(std::str::from_utf8(name).ok()?).ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is no user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UserNameError {
    /// It is empty.
    #[error("a user name cannot be empty")]
    Empty,
    /// It is longer than [`MAX_USER_BYTES`].
    #[error("a user name of {0} bytes is longer than the 1024 allowed")]
    TooLong(usize),
    /// It holds a character that would damage a log line or a terminal.
    #[error("a user name cannot hold the character {}", .0.escape_unicode())]
    Unprintable(char),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_and_of_bastions_pass() {
        for name in [
            "root",
            "alice@example.org",
            "grüße",
            "a b",
            "root:style",
            "%n%s",
            &"x".repeat(MAX_USER_BYTES),
        ] {
            assert_eq!(UserName::new(name).unwrap().as_str(), name);
            assert_eq!(
                UserName::from_wire(name.as_bytes()),
                Some(UserName::new(name).unwrap())
            );
        }
    }

    #[test]
    fn names_that_would_damage_a_log_are_refused() {
        let long = "x".repeat(MAX_USER_BYTES + 1);
        let bad = [
            "",
            "root\0x",
            "a\nsshd: Accepted",
            "a\r",
            "\x1b[2J",
            "a\u{7f}",
            "a\u{9b}31m",
            "a\u{2028}b",
            "\u{202e}toor",
        ];
        for name in bad.into_iter().chain([long.as_str()]) {
            assert!(UserName::new(name).is_err(), "{name:?}");
            assert_eq!(UserName::from_wire(name.as_bytes()), None);
        }
        assert_eq!(UserName::from_wire(b"\xff"), None);
        assert_eq!(
            UserNameError::Unprintable('\n').to_string(),
            "a user name cannot hold the character \\u{a}"
        );
    }
}
