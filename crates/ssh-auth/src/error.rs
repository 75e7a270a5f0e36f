//! What ends a login, by who is at fault.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::kex::{self, Blame, Fatal, SendError, Transport};
use crate::wire::{DecodeError, MessageNumber};

/// Why the connection is over. It comes from `poll` only; the DISCONNECT it deserves stands in the outbox by then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke a rule of the protocol, or a limit of ours.
    #[error("the peer {0}")]
    PeerMisbehaved(#[from] Misbehaviour),
    /// The peer asked for a service that is not offered (RFC 4253 §10).
    #[error("the peer asked for the service {service}, which is not offered")]
    ServiceNotAvailable {
        /// The service, escaped and shortened.
        service: String,
    },
    /// Too many of the peer's attempts to log in failed.
    #[error("the peer made too many attempts to log in")]
    TooManyAttempts,
    /// Nobody had logged in when the time for it was over.
    #[error("the peer did not log in within {0:?}")]
    LoginTimeout(Duration),
    /// The application has nothing left to log in with.
    #[error("nothing is left to log in with; the server takes {}", list(methods))]
    GaveUp {
        /// The methods the server named last, escaped and shortened.
        methods: Vec<String>,
    },
    /// A message could not be sent.
    #[error("a message could not be sent: {0}")]
    Send(#[from] SendError),
    /// The transport ended.
    #[error(transparent)]
    Below(#[from] kex::Error),
}

fn list(methods: &[String]) -> String {
    if methods.is_empty() {
        "no method it told of".to_owned()
    } else {
        methods.join(",")
    }
}

/// What a peer did that it must not do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A message has no place where the conversation stands.
    #[error("sent message {number} {place}")]
    Unexpected {
        /// The message.
        number: MessageNumber,
        /// Where the conversation stands.
        place: Place,
    },
    /// A message does not decode.
    #[error("sent a malformed {message}: {error}")]
    Malformed {
        /// The message, by its RFC's name.
        message: &'static str,
        /// What is wrong.
        error: DecodeError,
    },
    /// It accepted a service nobody had asked for.
    #[error("accepted the service {0}, which was not asked for")]
    WrongService(String),
    /// It accepted a key nobody had offered (RFC 4252 §7).
    #[error("accepted a key that was not offered")]
    WrongKey,
    /// It sent more of something than it may.
    #[error("sent more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

impl Misbehaviour {
    /// For a message that does not decode.
    pub(crate) fn malformed(message: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |error| Self::Malformed { message, error }
    }
}

/// Where a conversation stands, as far as message numbers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Before the service was asked for, or accepted.
    Service,
    /// Before login, where a request to log in or an answer to one was expected.
    Login,
    /// Before login, while it is our turn.
    OurTurn,
    /// Somebody is logged in.
    AfterLogin,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "before the authentication service was agreed on",
            Self::Login => "before login",
            Self::OurTurn => "before login, out of turn",
            Self::AfterLogin => "after login",
        })
    }
}

impl Fatal for Error {
    fn blame(&self) -> Blame {
        match self {
            // What OpenSSH says on too many attempts, too, is PROTOCOL_ERROR.
            Self::PeerMisbehaved(_) | Self::TooManyAttempts | Self::Send(SendError::HoldQueueFull) => {
                Blame::Protocol
            }
            Self::ServiceNotAvailable { .. } => Blame::Service,
            Self::LoginTimeout(_) => Blame::Timeout,
            Self::GaveUp { .. } => Blame::AuthExhausted,
            Self::Send(_) => Blame::Ourselves,
            Self::Below(error) => error.blame(),
        }
    }
}

impl Error {
    /// What the peer is told.
    fn farewell(&self) -> String {
        match self {
            Self::PeerMisbehaved(misbehaviour) => format!("you {misbehaviour}"),
            // Word for word what OpenSSH says: scripts look for it.
            Self::TooManyAttempts => "Too many authentication failures".to_owned(),
            Self::ServiceNotAvailable { service } => format!("the service {service} is not offered"),
            Self::LoginTimeout(_) => "you took too long to log in".to_owned(),
            Self::GaveUp { .. } => "nothing is left to log in with".to_owned(),
            Self::Send(_) | Self::Below(_) => "internal fault".to_owned(),
        }
    }

    /// Says farewell with the reason this error deserves. The transport has done so already for its own.
    pub(crate) fn say_to(&self, transport: &mut Transport) {
        let below = matches!(self, Self::Below(_));
        if let Some(reason) = self.blame().reason().filter(|_| !below) {
            transport.disconnect(reason, &self.farewell());
        }
    }
}
