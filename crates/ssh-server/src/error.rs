//! Why a server did not start, and why a connection is over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::auth;
use crate::kex;
use crate::tokio_driver::{self, HandshakeError};

/// What can go wrong around a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A server without a host key cannot prove who it is.
    #[error("the server has no host key")]
    NoHostKey,
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
    /// The time for the login was over.
    #[error("nobody logged in within {} seconds", .0.as_secs())]
    GraceTimeOver(Duration),
    /// The connection ended after the login, and not because the client said goodbye.
    #[error(transparent)]
    Connection(Arc<tokio_driver::Error>),
}
