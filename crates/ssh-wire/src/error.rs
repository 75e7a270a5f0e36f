//! What can be wrong with bytes: a value that does not decode, a packet that does not open.

use thiserror::Error;

/// Why bytes are not the SSH value they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The value is longer than the bytes that are left.
    #[error("the message ends too early: {needed} more bytes were declared than the {left} left")]
    TooShort {
        /// Bytes that were declared or needed.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes stand behind the last field.
    #[error("{0} bytes stand behind the last field")]
    TrailingBytes(usize),
    /// A message of another number was expected.
    #[error("message {found} where {expected} was expected")]
    WrongMessage {
        /// The number that was expected.
        expected: u8,
        /// The number that was found.
        found: u8,
    },
    /// The payload is empty: not even a message number.
    #[error("the payload is empty")]
    EmptyPayload,
    /// A text field is not UTF-8 (RFC 4251 §5 asks for it).
    #[error("a text field is not UTF-8")]
    NotUtf8,
    /// An `mpint` has needless leading bytes or is negative where it may not be (RFC 4251 §5).
    #[error("an mpint is {0}")]
    BadMpint(&'static str),
    /// A name-list breaks RFC 4251 §5 or a limit of this crate.
    #[error("a name-list is {0}")]
    BadNameList(&'static str),
    /// A field holds a value its specification does not allow.
    #[error("the field {field} is {problem}")]
    BadField {
        /// The field, by the specification's name.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}
