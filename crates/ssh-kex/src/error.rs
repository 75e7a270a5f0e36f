//! What ends a transport, by who is at fault.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::disconnect::{Blame, DisconnectReason, Fatal};
use crate::keys::SignatureError;
use crate::messages::printable;
use crate::method::MethodError;
use crate::wire::identification::IdentificationError;
use crate::wire::number::MessageNumber;
use crate::wire::{DecodeError, KeysError, PacketError, SealError};

/// Why the connection is over. It comes from `poll` only; the DISCONNECT it deserves stands in the outbox by then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke a rule of the protocol, or a limit of ours.
    #[error("the peer {0}")]
    PeerMisbehaved(#[from] Misbehaviour),
    /// The peer and we have nothing in common.
    #[error(transparent)]
    PeerIncompatible(#[from] Incompatible),
    /// What the peer sent first is not the identification of an SSH 2 implementation.
    #[error(transparent)]
    Identification(#[from] IdentificationError),
    /// A packet of the peer was refused below.
    #[error("the peer sent {0}")]
    Packet(#[from] PacketError),
    /// The peer ended the connection.
    #[error("the peer ended the connection: {reason}{}", shown(description))]
    Disconnected {
        /// Its reason.
        reason: DisconnectReason,
        /// Its words as they came, shortened to [`MAX_PEER_TEXT_BYTES`](crate::messages::MAX_PEER_TEXT_BYTES). Showing
        /// the error escapes control characters in them; showing this field does not.
        description: String,
    },
    /// The stream ended without a farewell ([`Handshake::closed`](crate::Handshake::closed)).
    #[error("the connection was closed in the middle of the key exchange")]
    Closed,
    /// The application did not trust the server's host key.
    #[error("the host key was not accepted: {why}")]
    HostKeyRejected {
        /// What the application said.
        why: String,
    },
    /// The peer's software is known to get what was agreed on wrong.
    #[error("the peer's software {software} gets {algorithm} wrong: leave it out with this peer")]
    Unreliable {
        /// Its software version.
        software: String,
        /// What was agreed on.
        algorithm: &'static str,
    },
    /// The peer did not do in time what was its turn.
    #[error("the peer took too long over {phase}: more than {} seconds", limit.as_secs_f32())]
    Timeout {
        /// What it was to do.
        phase: Phase,
        /// How long that may take ([`Limits`](crate::Limits)).
        limit: Duration,
    },
    /// Our own host key could not sign.
    #[error("the host key could not sign: {0}")]
    Signing(SignatureError),
    /// The algorithms agreed on refused their keys: a fault of a cipher's or MAC's descriptor.
    #[error("the agreed keys cannot be used: {0}")]
    Keys(#[from] KeysError),
    /// A message could not be sealed.
    #[error("a message could not be sent: {0}")]
    Seal(#[from] SealError),
}

/// A peer's words behind our own, on one line and without control characters: errors end up in logs and on terminals.
fn shown(description: &str) -> String {
    if description.is_empty() {
        return String::new();
    }
    format!(": {}", printable(description))
}

/// A part of the conversation that has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Until the peer's identification line has arrived.
    Identification,
    /// From there until the first keys are in use.
    KeyExchange,
    /// From our KEXINIT until new keys are in use.
    Rekey,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identification => "its identification",
            Self::KeyExchange => "the key exchange",
            Self::Rekey => "a change of keys",
        })
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
    /// It announced strict key exchange, and its KEXINIT was not its first packet.
    #[error("announced strict key exchange but sent its KEXINIT as packet {sequence}")]
    StrictKexInitNotFirst {
        /// The KEXINIT's sequence number.
        sequence: u32,
    },
    /// A message of the key exchange method is unacceptable.
    #[error("sent {0}")]
    Method(#[from] MethodError),
    /// The host key is not one, or not of the kind that was agreed on.
    #[error("showed an unusable host key: {0}")]
    HostKey(String),
    /// The host key's signature over the exchange is wrong.
    #[error("could not prove that it holds its host key: {0}")]
    HostKeySignature(SignatureError),
    /// It sent more of something than it may.
    #[error("sent more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// It made us owe it more answers during a change of keys than we hold back.
    #[error("caused more than {limit} bytes of answers during a change of keys")]
    HoldQueueFull {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Where a conversation stands, as far as message numbers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Before the peer's first KEXINIT.
    FirstKexInit,
    /// Between the first KEXINITs and the peer's first NEWKEYS.
    FirstExchange,
    /// Keys are there, nobody is logged in.
    BeforeLogin,
    /// Somebody is logged in.
    AfterLogin,
    /// On a rekey, between the peer's KEXINIT and its NEWKEYS.
    Rekey,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstKexInit => "where its KEXINIT was expected",
            Self::FirstExchange => "in the middle of the first key exchange",
            Self::BeforeLogin => "before login",
            Self::AfterLogin => "after login",
            Self::Rekey => "in the middle of a change of keys",
        })
    }
}

/// Nothing in common: what was sought, and what both sides offered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "no {what} in common: we offer {}, the peer offers {}",
    list(ours),
    list(theirs)
)]
pub struct Incompatible {
    /// What was sought.
    pub what: Negotiable,
    /// Our list, preferred first.
    pub ours: Vec<String>,
    /// The peer's list, preferred first.
    pub theirs: Vec<String>,
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(",")
    }
}

/// Something KEXINIT has a list for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Negotiable {
    /// The key exchange method.
    Kex,
    /// The signature algorithm of the host key.
    HostKey,
    /// The cipher from client to server.
    CipherClientToServer,
    /// The cipher from server to client.
    CipherServerToClient,
    /// The MAC from client to server.
    MacClientToServer,
    /// The MAC from server to client.
    MacServerToClient,
    /// Compression from client to server.
    CompressionClientToServer,
    /// Compression from server to client.
    CompressionServerToClient,
}

impl fmt::Display for Negotiable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kex => "key exchange method",
            Self::HostKey => "host key algorithm",
            Self::CipherClientToServer => "cipher (client to server)",
            Self::CipherServerToClient => "cipher (server to client)",
            Self::MacClientToServer => "MAC (client to server)",
            Self::MacServerToClient => "MAC (server to client)",
            Self::CompressionClientToServer => "compression (client to server)",
            Self::CompressionServerToClient => "compression (server to client)",
        })
    }
}

impl Fatal for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::PeerMisbehaved(misbehaviour) => misbehaviour.blame(),
            Self::PeerIncompatible(_) | Self::Unreliable { .. } => Blame::KeyExchange,
            Self::Identification(IdentificationError::Version { .. }) => Blame::Version,
            Self::Identification(IdentificationError::Closed { .. }) => Blame::Gone,
            Self::Packet(PacketError::Integrity(_)) => Blame::Integrity,
            Self::Packet(PacketError::Compression(_)) => Blame::Compression,
            Self::Identification(_) | Self::Packet(_) => Blame::Protocol,
            Self::Disconnected { .. } | Self::Closed => Blame::Gone,
            Self::HostKeyRejected { .. } => Blame::HostKey,
            Self::Timeout { .. } => Blame::Timeout,
            Self::Signing(_) | Self::Keys(_) | Self::Seal(_) => Blame::Ourselves,
        }
    }
}

impl Misbehaviour {
    const fn blame(&self) -> Blame {
        match self {
            Self::Method(_) | Self::HostKey(_) | Self::HostKeySignature(_) => Blame::KeyExchange,
            Self::Unexpected { .. }
            | Self::Malformed { .. }
            | Self::StrictKexInitNotFirst { .. }
            | Self::TooMany { .. }
            | Self::HoldQueueFull { .. } => Blame::Protocol,
        }
    }

    /// For a message that does not decode.
    pub(crate) fn malformed(message: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |error| Self::Malformed { message, error }
    }
}

impl Error {
    /// What the peer is told. Not the lists it sent itself, and nothing about our own faults.
    pub(crate) fn farewell(&self) -> String {
        match self {
            Self::PeerIncompatible(incompatible) => format!("no {} in common", incompatible.what),
            Self::Signing(_) | Self::Keys(_) | Self::Seal(_) => "internal fault".to_owned(),
            Self::HostKeyRejected { .. } => "the host key was not accepted".to_owned(),
            told => told.to_string(),
        }
    }
}

/// Why a message was not taken. The connection lives on as far as this call is concerned; whether it is over, `poll`
/// says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Keys are being changed and as much is held back as may be. The message is lost and the next `poll` ends the
    /// connection: only a peer that floods us gets there.
    #[error("too much is held back while keys are being changed")]
    HoldQueueFull,
    /// The message is longer than a packet can be.
    #[error("the message does not fit a packet")]
    TooLong,
    /// The connection has ended.
    #[error("the connection has ended")]
    Ended,
}

/// Why a ping was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PingError {
    /// The peer did not say that it answers pings (`ping@openssh.com`).
    #[error("the peer does not answer pings")]
    NotAnnounced,
    /// Nobody is logged in yet.
    #[error("pings are answered after login only")]
    BeforeLogin,
    /// As many as may wait for their answers do ([`MAX_PINGS`](crate::MAX_PINGS)).
    #[error("too many pings wait for their answers")]
    TooMany,
    /// The message was not taken.
    #[error(transparent)]
    Send(#[from] SendError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_cannot_forge_a_log_line() {
        let error = Error::Disconnected {
            reason: DisconnectReason::ByApplication,
            description: "bye\r\nall is well \u{1b}[2J".to_owned(),
        };
        let expected = "the peer ended the connection: BY_APPLICATION (11): bye\\r\\nall is well \\u{1b}[2J";
        assert_eq!(error.to_string(), expected);
        let silent = Error::Disconnected {
            reason: DisconnectReason::Unassigned(77),
            description: String::new(),
        };
        assert_eq!(silent.to_string(), "the peer ended the connection: reason 77");
    }

    #[test]
    fn both_lists_are_told_to_us_and_none_to_the_peer() {
        let error = Error::from(Incompatible {
            what: Negotiable::Kex,
            ours: vec!["a".to_owned(), "b".to_owned()],
            theirs: Vec::new(),
        });
        assert_eq!(
            error.to_string(),
            "no key exchange method in common: we offer a,b, the peer offers nothing"
        );
        assert_eq!(error.farewell(), "no key exchange method in common");
        assert_eq!(error.blame().reason(), Some(DisconnectReason::KeyExchangeFailed));
    }
}
