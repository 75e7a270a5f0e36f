//! What a remote program said, and how it ended (RFC 4254 §6.10).

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

use crate::channel::ExitSignal;

/// What a remote program said, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
}

impl Output {
    /// Standard output as text; what is not UTF-8 is replaced.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard output as text, if all of it is UTF-8.
    ///
    /// # Errors
    /// Where it is not.
    pub fn stdout_utf8(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.stdout)
    }

    /// Standard error as text, if all of it is UTF-8.
    ///
    /// # Errors
    /// Where it is not.
    pub fn stderr_utf8(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.stderr)
    }

    /// Standard error as text; what is not UTF-8 is replaced.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}

/// How a remote program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u32),
    /// By a signal.
    Signal(ExitSignal),
    /// The server did not say.
    #[default]
    None,
}

impl ExitStatus {
    /// Whether it ended with code 0.
    pub const fn success(&self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// The code, if it ended with one.
    pub const fn code(&self) -> Option<u32> {
        match self {
            Self::Code(code) => Some(*code),
            Self::Signal(_) | Self::None => None,
        }
    }

    /// What shells mean by the code, where they agree on something.
    pub fn meaning(&self) -> Option<&'static str> {
        Some(match self.code()? {
            0 => "success",
            1 => "a general error",
            2 => "wrong usage",
            126 => "the command cannot be executed",
            127 => "the command was not found",
            128 => "the command asked for a status that is none",
            129 => "ended by SIGHUP",
            130 => "ended by an interrupt",
            131 => "ended by SIGQUIT",
            134 => "ended by SIGABRT",
            136 => "ended by SIGFPE",
            137 => "ended by SIGKILL",
            139 => "ended by SIGSEGV",
            141 => "ended by SIGPIPE",
            143 => "ended by SIGTERM",
            255 => "an error of the remote shell or of ssh itself",
            _ => return None,
        })
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {}", signal.name.escape_debug()),
            Self::None => f.write_str("no exit status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_zero_is_success() {
        for (status, success, code) in [
            (ExitStatus::Code(0), true, Some(0)),
            (ExitStatus::Code(7), false, Some(7)),
            (ExitStatus::Signal(ExitSignal::new("KILL")), false, None),
            (ExitStatus::None, false, None),
        ] {
            assert_eq!((status.success(), status.code()), (success, code), "{status}");
        }
        assert_eq!(ExitStatus::Code(127).meaning(), Some("the command was not found"));
    }
}
