//! What can go wrong between a machine and the world: sockets, silence, handles that outlive their connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::{channel, kex};

/// Why a connection is over. Handles share one value of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The protocol ended it: the peer's DISCONNECT, its misbehaviour, a deadline of a layer.
    #[error(transparent)]
    Below(channel::Error),
    /// The stream failed.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The stream ended without a DISCONNECT.
    #[error("the peer closed the connection without saying why")]
    PeerClosed,
    /// Nothing came from the peer, not even answers to keepalives ([`Keepalive`](crate::Keepalive)).
    #[error("the peer is dead: no answer to {probes} keepalives, and silent for {} seconds", silent.as_secs())]
    KeepaliveTimeout {
        /// How many times it was asked for a sign of life since it was last heard.
        probes: u32,
        /// For how long nothing has come.
        silent: Duration,
    },
    /// This side ended it: on request, or because the last handle was dropped.
    #[error("the connection was closed by this side")]
    Closed,
    /// The future that drives the connection was dropped before the connection was over.
    #[error("the connection's driver was stopped")]
    DriverStopped,
}

/// Why an operation on a channel could not be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The whole connection is over.
    #[error("the connection is over: {0}")]
    Ended(#[source] Arc<Error>),
    /// The channel is closed.
    #[error("the channel is closed")]
    ChannelClosed,
    /// The call does not fit the state of the channel; the connection lives on.
    #[error(transparent)]
    Misuse(#[from] channel::Misuse),
}

/// Why a channel was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer refused (RFC 4254 §5.1).
    #[error("the peer refused the channel: {0}")]
    Refused(channel::OpenFailure),
    /// The whole connection is over.
    #[error("the connection is over: {0}")]
    Ended(#[source] Arc<Error>),
    /// The call was wrong or beyond a limit of this side; the connection lives on.
    #[error(transparent)]
    Misuse(#[from] channel::Misuse),
}

/// Why a ping was not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PingError {
    /// It was not sent; the connection lives on.
    #[error(transparent)]
    Refused(#[from] kex::PingError),
    /// The peer answered with other bytes than it was sent.
    #[error("the peer answered a ping with other bytes")]
    Mangled,
    /// The connection is over.
    #[error("the connection is over: {0}")]
    Ended(#[source] Arc<Error>),
}

impl From<ChannelError> for OpenError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Ended(why) => Self::Ended(why),
            ChannelError::Misuse(misuse) => Self::Misuse(misuse),
            // The one call that opens a channel says this of no other channel.
            ChannelError::ChannelClosed => Self::Misuse(channel::Misuse::Over),
        }
    }
}

impl From<ChannelError> for io::Error {
    fn from(error: ChannelError) -> Self {
        let kind = match &error {
            ChannelError::Ended(_) => io::ErrorKind::ConnectionAborted,
            ChannelError::ChannelClosed => io::ErrorKind::BrokenPipe,
            ChannelError::Misuse(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
