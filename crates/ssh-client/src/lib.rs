//! An SSH client: connect, run, forward, transfer.
//!
//! ```no_run
//! use ssh_client::{Client, Credentials, HostKeys};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ssh_client::Error> {
//!     let (host_keys, keys) = (HostKeys::known_hosts_default()?, Credentials::default_keys()?);
//!     let client = Client::connect("example.org", "alice", host_keys, keys).await?;
//!     let output = client.run("uname -a").await?;
//!     print!("{}", output.stdout_text());
//!     Ok(client.disconnect().await)
//! }
//! ```
//!
//! ```text
//!  Client::connect(address, user, HostKeys, Credentials)
//!    │ run, exec, shell, subsystem ─▶ Output, Process         RFC 4254 §6
//!    │ direct_tcpip, forward_… ────▶ Channel, Forward         RFC 4254 §7
//!    │ forward_tunnel ─────────────▶ Tunnel                   OpenSSH PROTOCOL §2.3; Linux, feature `tunnel`
//!    └ sftp ─▶ Sftp: File, get, put                           draft-ietf-secsh-filexfer-02
//! ```
//!
//! What lives here: policy and comfort. Whom to believe ([`HostKeys`]) and what to log in with ([`Credentials`]) are
//! arguments nobody can leave out; everything else has a default in [`Config`]. What does not, yet: agents,
//! keyboard-interactive, certificates. Protocol and sockets are below, in
//! [`tokio_driver`] and the crates under it, all reachable from here by name.

#![forbid(unsafe_code)]

mod address;
pub mod blocking;
mod client;
mod config;
pub mod config_file;
mod connect;
mod credentials;
mod error;
mod forward;
mod host_keys;
mod incoming;
mod login;
mod output;
mod process;
mod reader;
mod reconnect;
mod reverse;
mod route;
pub mod sftp;
pub mod terminal;

pub use address::{Address, DEFAULT_PORT, ToAddress};
pub use client::Client;
pub use config::{Config, ShowBanner, ShowWarning, Timeouts, Warning};
pub use connect::AddressFamily;
pub use credentials::{CredentialError, Credentials, DEFAULT_KEY_FILES, MAX_QUESTIONS, PasswordQuestion};
pub use error::{Error, Phase};
#[cfg(all(feature = "tunnel", target_os = "linux"))]
pub use forward::Tunnel;
pub use forward::{
    Arrival, Connections, DEFAULT_SOCKET_MASK, Forward, ForwardedStream, Forwarding, ListenOn, Listening,
    MAX_FORWARDED_CONNECTIONS, MAX_OPENING_CONNECTIONS, SocketFile, Target, X11Display, X11Error, X11Forward,
    X11Request,
};
pub use host_keys::{Answer, HostKeyError, HostKeys, MAX_KNOWN_HOSTS_BYTES, UnknownHostKey};
pub use output::{ExitStatus, Output};
pub use process::{
    DEFAULT_OUTPUT_LIMIT, Exec, Input, Job, Process, ProcessControl, ProcessEvent, RemoteOutput, Sink,
};
pub use reader::{DEFAULT_READ_LIMIT, MAX_PATTERNS, Match, ReadError, Reader};
pub use reconnect::{Backoff, KeptForward, Reconnecting, Standing};
pub use reverse::{Dialled, ReverseListener};
pub use route::{CommandError, Hop, MAX_HTTP_HEADER_BYTES, Proxy, ProxyCommand, ProxyError, Route};
pub use sftp::Sftp;
#[doc(no_inline)]
pub use ssh_tokio::{self as tokio_driver, auth, channel, kex, keys, sftp as sftp_protocol, wire};
pub use terminal::Terminal;
#[cfg(all(feature = "tunnel", target_os = "linux"))]
pub use tokio_driver::tunnel::{Traffic, TunnelError, TunnelMode};
pub use tokio_driver::{Channel, Keepalive, system_rng};

use std::path::PathBuf;

/// The user's home directory.
fn home() -> Result<PathBuf, Error> {
    match std::env::var_os("HOME") {
        Some(home) if !home.is_empty() => Ok(home.into()),
        _ => Err(Error::NoHome),
    }
}

/// Runs `work` where blocking is allowed; a panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels blocking work, and then nobody polls this any more.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

/// What the repository's front page shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
