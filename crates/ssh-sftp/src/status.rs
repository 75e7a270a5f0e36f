//! How a request went: the codes of `SSH_FXP_STATUS` (draft §7) and what they mean to `std::io`.

use std::fmt;
use std::io;

use crate::messages::{Body, Layout};
use crate::wire::{DecodeError, Writer};

/// A status code. Codes 9 to 31 belong to versions 4 to 6; servers send some of them in version 3 too, so they
/// are known by name, and any other number survives as it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusCode(pub u32);

macro_rules! status_codes {
    ($( $(#[$meta:meta])* $name:ident = $code:literal, $text:literal, $kind:ident; )*) => {
        impl StatusCode {
            $( $(#[$meta])* pub const $name: Self = Self($code); )*

            /// The draft's name, without its prefix `SSH_FX_`.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $( $code => stringify!($name), )*
                    _ => "UNKNOWN",
                }
            }

            /// What happened, in a few words.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $( $code => $text, )*
                    _ => "unknown status",
                }
            }

            /// The `std::io` kind that comes nearest.
            pub const fn io_kind(self) -> io::ErrorKind {
                match self.0 {
                    $( $code => io::ErrorKind::$kind, )*
                    _ => io::ErrorKind::Other,
                }
            }

            #[cfg(test)]
            const NAMED: &'static [Self] = &[$( Self::$name, )*];
        }
    };
}

status_codes! {
    /// Success.
    OK = 0, "success", Other;
    /// The end of the file, or of the list of names.
    EOF = 1, "end of file", UnexpectedEof;
    /// There is no such file.
    NO_SUCH_FILE = 2, "no such file", NotFound;
    /// The user may not do this.
    PERMISSION_DENIED = 3, "permission denied", PermissionDenied;
    /// It went wrong; the message may say why.
    FAILURE = 4, "failure", Other;
    /// The request was badly formed.
    BAD_MESSAGE = 5, "bad message", InvalidData;
    /// The client has no connection (never sent by a server).
    NO_CONNECTION = 6, "no connection", NotConnected;
    /// The client lost its connection (never sent by a server).
    CONNECTION_LOST = 7, "connection lost", ConnectionAborted;
    /// The server does not do this.
    OP_UNSUPPORTED = 8, "operation unsupported", Unsupported;
    /// The handle is not one of an open file (version 4).
    INVALID_HANDLE = 9, "invalid handle", InvalidInput;
    /// The directory of the path does not exist (version 4).
    NO_SUCH_PATH = 10, "no such path", NotFound;
    /// There is such a file already (version 4).
    FILE_ALREADY_EXISTS = 11, "file already exists", AlreadyExists;
    /// The file system is read-only (version 4).
    WRITE_PROTECT = 12, "write protected", ReadOnlyFilesystem;
    /// There is no medium in the drive (version 4).
    NO_MEDIA = 13, "no media", Other;
    /// The file system is full (version 5).
    NO_SPACE_ON_FILESYSTEM = 14, "no space on file system", StorageFull;
    /// The user's quota is used up (version 5).
    QUOTA_EXCEEDED = 15, "quota exceeded", QuotaExceeded;
    /// No such user or group (version 5).
    UNKNOWN_PRINCIPAL = 16, "unknown principal", InvalidInput;
    /// Another lock is in the way (version 5).
    LOCK_CONFLICT = 17, "lock conflict", WouldBlock;
    /// The directory is not empty (version 6).
    DIR_NOT_EMPTY = 18, "directory not empty", DirectoryNotEmpty;
    /// Not a directory (version 6).
    NOT_A_DIRECTORY = 19, "not a directory", NotADirectory;
    /// The file name is not allowed (version 6).
    INVALID_FILENAME = 20, "invalid file name", InvalidInput;
    /// Too many symbolic links (version 6).
    LINK_LOOP = 21, "too many symbolic links", InvalidInput;
    /// The file cannot be deleted (version 6).
    CANNOT_DELETE = 22, "cannot delete", PermissionDenied;
    /// A parameter is out of its range (version 6).
    INVALID_PARAMETER = 23, "invalid parameter", InvalidInput;
    /// The file is a directory (version 6).
    FILE_IS_A_DIRECTORY = 24, "is a directory", IsADirectory;
    /// Another byte range lock is in the way (version 6).
    BYTE_RANGE_LOCK_CONFLICT = 25, "byte range lock conflict", WouldBlock;
    /// The byte range lock was refused (version 6).
    BYTE_RANGE_LOCK_REFUSED = 26, "byte range lock refused", Other;
    /// The file is being deleted (version 6).
    DELETE_PENDING = 27, "delete pending", Other;
    /// The file is corrupt (version 6).
    FILE_CORRUPT = 28, "file corrupt", InvalidData;
    /// No such owner (version 6).
    OWNER_INVALID = 29, "owner invalid", InvalidInput;
    /// No such group (version 6).
    GROUP_INVALID = 30, "group invalid", InvalidInput;
    /// There is no such lock (version 6).
    NO_MATCHING_BYTE_RANGE_LOCK = 31, "no matching byte range lock", InvalidInput;
}

impl StatusCode {
    /// The version 3 code for an error of the operating system.
    pub const fn from_io(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NO_SUCH_FILE,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::PERMISSION_DENIED,
            io::ErrorKind::Unsupported => Self::OP_UNSUPPORTED,
            io::ErrorKind::UnexpectedEof => Self::EOF,
            _ => Self::FAILURE,
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "UNKNOWN" => write!(f, "status {}", self.0),
            _ => f.write_str(self.text()),
        }
    }
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

/// A whole `SSH_FXP_STATUS`: the code and what the server says about it. An error wherever the code is not
/// [`OK`](StatusCode::OK).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How it went.
    pub code: StatusCode,
    /// The server's words, possibly none; bytes that are not UTF-8 are replaced.
    pub message: String,
    /// The language of those words (RFC 1766), possibly empty.
    pub language: String,
}

impl Status {
    /// A status with our own words for its code.
    pub fn new(code: StatusCode) -> Self {
        Self::with_message(code, code.text())
    }

    /// A status with a message.
    pub fn with_message(code: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            language: String::new(),
        }
    }

    /// Success.
    pub fn ok() -> Self {
        Self::new(StatusCode::OK)
    }

    /// The end of a file or of a list.
    pub fn eof() -> Self {
        Self::new(StatusCode::EOF)
    }

    /// [`FAILURE`](StatusCode::FAILURE) with its reason.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::with_message(StatusCode::FAILURE, message)
    }

    /// Whether this is success.
    pub fn is_ok(&self) -> bool {
        self.code == StatusCode::OK
    }

    /// Whether this is the end of a file or of a list.
    pub fn is_eof(&self) -> bool {
        self.code == StatusCode::EOF
    }
}

impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        Self::new(code)
    }
}

impl From<&io::Error> for Status {
    /// The version 3 code, with the operating system's words for it.
    fn from(error: &io::Error) -> Self {
        Self::with_message(StatusCode::from_io(error.kind()), error.to_string())
    }
}

impl From<Status> for io::Error {
    fn from(status: Status) -> Self {
        Self::new(status.code.io_kind(), status)
    }
}

impl fmt::Display for Status {
    /// The code's text, then the server's words where they say more, with control characters escaped: they come
    /// from the peer and end up on a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.code.to_string();
        f.write_str(&text)?;
        if self.message.is_empty() || self.message.eq_ignore_ascii_case(&text) {
            return Ok(());
        }
        f.write_str(": ")?;
        for character in self.message.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Status {}

impl Layout for Status {
    fn put(&self, out: &mut Writer<'_>) {
        out.uint32(self.code.0);
        out.string(self.message.as_bytes());
        out.string(self.language.as_bytes());
    }

    /// Old servers leave out the language, or both texts.
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        let code = StatusCode(u32::take(body)?);
        let mut text = || -> Result<String, DecodeError> {
            if body.is_empty() {
                return Ok(String::new());
            }
            Ok(String::from_utf8_lossy(body.string()?).into_owned())
        };
        Ok(Self {
            code,
            message: text()?,
            language: text()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::Bytes;

    fn decoded(bytes: &'static [u8]) -> Result<Status, DecodeError> {
        Body::decode(&Bytes::from_static(bytes))
    }

    #[test]
    fn texts_may_be_missing() {
        for (bytes, message, language) in [
            (&b"\0\0\0\x02"[..], "", ""),
            (b"\0\0\0\x02\0\0\0\x04gone", "gone", ""),
            (b"\0\0\0\x02\0\0\0\x04gone\0\0\0\x02en", "gone", "en"),
            (b"\0\0\0\x02\0\0\0\x01\xff\0\0\0\0", "\u{fffd}", ""),
        ] {
            let status = decoded(bytes).unwrap();
            assert_eq!(status.code, StatusCode::NO_SUCH_FILE);
            assert_eq!((&*status.message, &*status.language), (message, language));
        }
        assert!(decoded(b"\0\0\0\x02\0\0\0\x05gone").is_err());
        assert!(decoded(b"\0\0\0\x02\0\0\0\0\0\0\0\0\0").is_err());
    }

    #[test]
    fn every_code_has_a_name_and_a_text() {
        assert_eq!(StatusCode::NAMED.len(), 32);
        for (number, code) in StatusCode::NAMED.iter().enumerate() {
            assert_eq!(code.0, u32::try_from(number).unwrap());
            assert_ne!(code.name(), "UNKNOWN");
        }
        assert_eq!(StatusCode(77).to_string(), "status 77");
        assert_eq!(StatusCode(77).io_kind(), io::ErrorKind::Other);
    }

    #[test]
    fn a_server_answers_with_codes_of_version_3_only() {
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull,
            io::ErrorKind::IsADirectory,
            io::ErrorKind::Unsupported,
        ] {
            assert!(StatusCode::from_io(kind).0 <= 8, "{kind:?}");
        }
    }

    #[test]
    fn the_servers_words_cannot_drive_a_terminal() {
        let status = Status::failure("\x1b[2Jgone");
        assert_eq!(status.to_string(), "failure: \\u{1b}[2Jgone");
        assert_eq!(
            Status::with_message(StatusCode::FAILURE, "Failure").to_string(),
            "failure"
        );
        let error = io::Error::from(Status::new(StatusCode::NO_SUCH_FILE));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
