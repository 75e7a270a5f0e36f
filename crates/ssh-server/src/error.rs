//! Why a server did not start, and why a connection is over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::auth;
use crate::kex;
use crate::keys::{CertificateError, Fingerprint, KeyError};
use crate::peer::Peer;
use crate::tokio_driver::{self, HandshakeError};

/// What can go wrong around a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A server without a host key cannot prove who it is.
    #[error("the server has no host key")]
    NoHostKey,
    /// A host key is smaller than `transport.required_rsa_bits` allows.
    #[error("a host key: {0}")]
    HostKey(KeyError),
    /// A certificate cannot be shown as a host's.
    #[error("the host certificate {id:?}: {source}")]
    HostCertificate {
        /// What its authority calls it.
        id: String,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// A certificate is for a key that is none of the server's.
    #[error("no host key is the one of the host certificate {id:?}, {key}")]
    CertificateWithoutKey {
        /// What its authority calls it.
        id: String,
        /// The fingerprint of the key it certifies.
        key: Fingerprint,
    },
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no randomness: nothing can be encrypted.
    #[error("no randomness from the system: {0}")]
    NoRandomness(#[source] io::Error),
    /// The connection ended before keys were exchanged.
    #[error("the key exchange failed: {0}")]
    KeyExchange(#[source] HandshakeError<kex::Error>),
    /// The connection ended before anybody had logged in.
    #[error("nobody logged in: {0}")]
    Login(#[source] HandshakeError<auth::Error>),
    /// A step took longer than its own limit.
    #[error("{peer}: {phase} took longer than {} seconds", limit.as_secs_f32())]
    Timeout {
        /// The client.
        peer: Peer,
        /// Which step: never the admission nor the login, which have what the other steps leave of the grace time.
        phase: Phase,
        /// How long it may take ([`Limits`](crate::Limits)).
        limit: Duration,
    },
    /// The time from the first byte to the login was over.
    #[error("{peer}: nobody logged in within {} seconds: {phase} was not done", limit.as_secs_f32())]
    GraceTimeOver {
        /// The client.
        peer: Peer,
        /// What was waited for when the time was over.
        phase: Phase,
        /// How long all of it may take ([`Limits::login_grace_time`](crate::Limits::login_grace_time)).
        limit: Duration,
    },
    /// The connection ended after the login, and not because the client said goodbye.
    #[error(transparent)]
    Connection(Arc<tokio_driver::Error>),
}

/// The steps from the first byte to the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Until [`Application::connection_made`](crate::Application::connection_made) has said whether it may come in.
    Admission,
    /// Until the client has said who it is.
    Identification,
    /// From there until keys are in use.
    KeyExchange,
    /// From there until somebody is logged in.
    Login,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Admission => "the application's answer whether it may come in",
            Self::Identification => "the identification of the client",
            Self::KeyExchange => "the key exchange",
            Self::Login => "the login",
        })
    }
}

impl From<kex::Phase> for Phase {
    fn from(phase: kex::Phase) -> Self {
        match phase {
            kex::Phase::Identification => Self::Identification,
            // There is no other exchange before the login is done.
            kex::Phase::KeyExchange | kex::Phase::Rekey => Self::KeyExchange,
        }
    }
}
