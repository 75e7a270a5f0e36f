//! What can be wrong: the peer broke the protocol (fatal), or the caller asked for what cannot be.

use thiserror::Error;

use crate::wire::DecodeError;

/// Why the conversation is over. Close the channel: after this error a machine reads nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol.
    #[error("the SFTP peer broke the protocol: {0}")]
    PeerMisbehaved(#[from] Misbehaviour),
    /// The peer speaks no version that this crate speaks.
    #[error("the SFTP peer speaks version {theirs}, not version 3")]
    PeerIncompatible {
        /// The version the peer named.
        theirs: u32,
    },
}

/// What a peer did that the protocol forbids.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A message of length 0: it has not even a type.
    #[error("a message of length 0")]
    EmptyMessage,
    /// A message longer than [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES) was announced.
    #[error("a message of {length} bytes was announced")]
    MessageTooLong {
        /// The length that was announced.
        length: u32,
    },
    /// Text came where the first message was expected: a start-up file of the login shell prints something.
    /// This is how it begins.
    #[error("text came where SFTP was expected: {0:?}")]
    TextBeforeVersion(String),
    /// A message does not decode.
    #[error("{message} does not decode: {error}")]
    Undecodable {
        /// The message, by the draft's name.
        message: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A message of this type is not expected now, or not from this side.
    #[error("a message of type {number} ({name}) was not expected", name = crate::messages::message_name(*.number))]
    UnexpectedMessage {
        /// The type.
        number: u8,
    },
    /// A reply names a request that is not waiting for one: never made, or answered before.
    #[error("a reply to request {0}, which waits for none")]
    UnknownRequest(u32),
    /// A reply is of a kind that cannot answer its request.
    #[error("{request} was answered by {reply}")]
    WrongReply {
        /// The request, by its name.
        request: &'static str,
        /// The reply, by the draft's name.
        reply: &'static str,
    },
    /// More data than a READ asked for.
    #[error("{given} bytes came where {asked} were asked for")]
    TooMuchData {
        /// Bytes that were asked for.
        asked: usize,
        /// Bytes that came.
        given: usize,
    },
}

/// What the caller did that cannot be; the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// A request before [`client::Event::Ready`](crate::client::Event::Ready).
    #[error("the SFTP server has not said its version yet")]
    NotReady,
    /// The message would be longer than any peer takes.
    #[error("the message would have {bytes} bytes, more than an SFTP peer takes")]
    MessageTooLong {
        /// The message's length.
        bytes: usize,
    },
    /// The conversation ended with a fatal error.
    #[error("the SFTP conversation has ended")]
    Ended,
}
