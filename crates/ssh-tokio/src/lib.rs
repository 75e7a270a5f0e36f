//! The only event loop of the house: sockets, clock, tasks and wakers for the machines below.
//!
//! ```text
//!   before the login                                after it
//!   ────────────────                                ────────
//!   next_event(&mut handshake, &mut stream)         start(connection, stream, config)
//!   next_event(&mut authenticator, &mut stream)        │                      │
//!                                                   Driver: spawn it       Handle: open, incoming, disconnect
//!                                                      └──── Shared: one lock, ────┘└─▶ Channel: read, write, requests
//!                                                            wakers
//! ```
//!
//! What lives here: [`next_event`], which drives any machine over a borrowed stream up to its next event; [`start`],
//! which gives a [`Connection`](channel::Connection) its event loop; [`Channel`], a channel as byte streams and
//! requests; [`system_rng`], the one source of randomness; [`terminal`], the modes of a terminal of this system;
//! with the feature `tunnel`, on Linux, `tunnel`: its network devices. What does not: who to trust and what to allow,
//! which is the business of the two front doors above.
//!
//! The stream is anything that reads and writes: a socket, one end of `tokio::io::duplex`, another connection's
//! channel.

#![forbid(unsafe_code)]

mod accepting;
mod blocks;
mod channel_handle;
mod datagrams;
mod driver;
mod error;
mod events;
mod handle;
mod handshake;
mod keepalive;
mod relay;
mod rng;
mod shared;
mod shares;
#[cfg(unix)]
mod socket_path;
#[cfg(unix)]
pub mod terminal;
#[cfg(all(feature = "tunnel", target_os = "linux"))]
pub mod tunnel;

pub use accepting::Accepting;
pub use channel_handle::{
    Channel, ChannelControl, ChannelReader, ChannelWatch, ChannelWriter, IncomingRequest, Parts, PendingReply,
};
pub use driver::{Config, Driver, READ_STOP_BYTES, start};
pub use error::{ChannelError, Error, OpenError, PingError};
pub use events::{MAX_WAITING_REQUEST_BYTES, MAX_WAITING_REQUESTS};
pub use handle::{Handle, Incoming, IncomingGlobal, IncomingOpen};
pub use handshake::{HandshakeError, farewell, next_event, now};
pub use keepalive::Keepalive;
pub use relay::relay;
pub use rng::system_rng;
pub use shares::may_take;
#[cfg(unix)]
pub use socket_path::{MAX_SOCKET_PATH_BYTES, check_socket_path};
pub use ssh_sftp::{self as sftp, auth, channel, kex, keys, wire};
