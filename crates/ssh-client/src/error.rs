//! What can go wrong for a client: each failure its own variant, with the host, the step or the path in it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::address::Address;
use crate::credentials::CredentialError;
use crate::host_keys::HostKeyError;
use crate::output::Output;
use crate::route::ProxyError;
use crate::sftp::SftpError;
use crate::tokio_driver::{self, ChannelError, OpenError};
use crate::{auth, kex};

/// Why something a client wanted did not happen. Showing it escapes the control characters in text from the peer; the
/// fields hold that text as it came.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none.
    #[error("{address:?} is no address: {problem}")]
    BadAddress {
        /// What was given.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The user name is none.
    #[error("{source}")]
    BadUser {
        /// What is wrong with it.
        source: auth::UserNameError,
    },
    /// There is no home directory to look for keys and known hosts in.
    #[error("there is no home directory: HOME is not set")]
    NoHome,
    /// The host's name has no address.
    #[error("could not resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// No address of the host could be connected to.
    #[error("connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the system said about the last of the host's addresses.
        source: io::Error,
    },
    /// A step of connecting took too long.
    #[error("{address}: {phase} took longer than {} seconds", limit.as_secs_f32())]
    Timeout {
        /// Where to.
        address: Address,
        /// Which step.
        phase: Phase,
        /// How long it may take.
        limit: Duration,
    },
    /// The stream failed, or ended without a word, before the login was done.
    #[error("{address}: {phase}: {source}")]
    Stream {
        /// Where to.
        address: Address,
        /// During which step.
        phase: Phase,
        /// What happened.
        source: io::Error,
    },
    /// The key exchange failed, or the peer ended the connection in it.
    #[error("{address}: {source}")]
    KeyExchange {
        /// Where to.
        address: Address,
        /// What went wrong.
        source: Box<kex::Error>,
    },
    /// The host is not believed to be the host. Nothing secret has been sent.
    #[error("{address}: host key verification failed: {source}")]
    HostKey {
        /// Where to.
        address: Address,
        /// Why not.
        source: Box<HostKeyError>,
    },
    /// A key file or passphrase cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The server let nobody in with what was tried.
    #[error("{user}@{address}: permission denied ({})", list(methods))]
    LoginRefused {
        /// Where to.
        address: Address,
        /// As whom.
        user: String,
        /// What was tried, in order.
        tried: Vec<String>,
        /// The methods the server would still have taken.
        methods: Vec<String>,
    },
    /// The login broke off.
    #[error("{user}@{address}: {source}")]
    Login {
        /// Where to.
        address: Address,
        /// As whom.
        user: String,
        /// What went wrong.
        source: Box<auth::Error>,
    },
    /// The connection is over.
    #[error("{address}: {source}")]
    ConnectionLost {
        /// Where to.
        address: Address,
        /// Why.
        source: Arc<tokio_driver::Error>,
    },
    /// The server took too long to open a channel, or to start what it was opened for. The connection lives on.
    #[error("{address}: {purpose}: no answer within {} seconds", limit.as_secs_f32())]
    OpenTimeout {
        /// Where to.
        address: Address,
        /// What was to be opened or started.
        purpose: String,
        /// How long it may take ([`Timeouts::open`](crate::Timeouts::open)).
        limit: Duration,
    },
    /// The server did not open a channel.
    #[error("{address}: {purpose}: {source}")]
    Open {
        /// Where to.
        address: Address,
        /// What the channel was for.
        purpose: String,
        /// Why not.
        source: OpenError,
    },
    /// The server refused a request on a channel: to run a command, to start a subsystem.
    #[error("{address}: the server refused {request}")]
    RequestRefused {
        /// Where to.
        address: Address,
        /// What was asked.
        request: String,
    },
    /// A ping was not answered.
    #[error("{address}: ping: {source}")]
    Ping {
        /// Where to.
        address: Address,
        /// Why not.
        source: tokio_driver::PingError,
    },
    /// Something on a channel failed.
    #[error("{address}: {step}: {source}")]
    Channel {
        /// Where to.
        address: Address,
        /// What was being done.
        step: &'static str,
        /// What went wrong.
        source: ChannelError,
    },
    /// Standard input, output or error of a remote program could not be moved.
    #[error("{address}: {step}: {source}")]
    Io {
        /// Where to.
        address: Address,
        /// What was being done.
        step: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// A program ended with another code than 0, or by a signal, and [`Exec::check`](crate::Exec::check) forbade it.
    #[error("{address}: the program failed: {}{}", output.status, last_words(output))]
    CommandFailed {
        /// Where to.
        address: Address,
        /// How it ended, and all it said that was not redirected.
        output: Box<Output>,
    },
    /// A stream of a program was redirected and handed to the caller at the same time.
    #[error("{address}: {stream} is redirected: start the program by `start`, not by `spawn`")]
    Redirected {
        /// Where to.
        address: Address,
        /// Which one.
        stream: &'static str,
    },
    /// A command wrote more than was to be collected.
    #[error("{address}: the output of the command is longer than {limit} bytes")]
    OutputTooLong {
        /// Where to.
        address: Address,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A command took too long; what it wrote until then is here.
    #[error("{address}: the command took longer than {} seconds", limit.as_secs_f32())]
    RunTimeout {
        /// Where to.
        address: Address,
        /// How long it may take.
        limit: Duration,
        /// What had come until then; its status is unknown.
        partial: Box<Output>,
    },
    /// A local port could not be listened on.
    #[error("listen on {bind}: {source}")]
    Listen {
        /// The local address.
        bind: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no tunnel device on this side.
    #[cfg(all(feature = "tunnel", target_os = "linux"))]
    #[error("{address}: a tunnel: {source}")]
    Tunnel {
        /// Where it was to lead.
        address: Address,
        /// Which step failed, and why.
        source: tokio_driver::tunnel::TunnelError,
    },
    /// The program that leads to the server could not be started.
    #[error("{address}: the proxy command {program}: {source}")]
    ProxyCommand {
        /// Where to.
        address: Address,
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A proxy gave no connection.
    #[error("the proxy {proxy}: {source}")]
    Proxy {
        /// The proxy.
        proxy: Address,
        /// Why not.
        source: ProxyError,
    },
    /// A server on the way failed: it could not be connected or logged in to, or leads no further.
    #[error("on the way through {hop}: {source}")]
    Hop {
        /// The server on the way.
        hop: Address,
        /// What went wrong there.
        source: Box<Error>,
    },
    /// The server's answer makes no sense.
    #[error("{address}: the answer to the request {request}: {problem}")]
    BadReply {
        /// Where to.
        address: Address,
        /// What was asked.
        request: String,
        /// What is wrong with the answer.
        problem: &'static str,
    },
    /// The server listens there for this client already, as far as this client knows.
    #[error("{address}: {listen} is forwarded already")]
    AlreadyForwarded {
        /// Where to.
        address: Address,
        /// Where it was to listen.
        listen: String,
    },
    /// What the server opens goes to the application, which has set [`Config::incoming`](crate::Config::incoming): nobody
    /// else can wait for it.
    #[error("{address}: the application takes what the server opens itself")]
    IncomingTaken {
        /// Where to.
        address: Address,
    },
    /// A connection that comes back was closed by this side.
    #[error("the connection is not made again: it was closed by this side")]
    ReconnectingClosed,
    /// Something over SFTP failed.
    #[error(transparent)]
    Sftp(#[from] SftpError),
    /// A local file failed.
    #[error("{step} {}: {source}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What was being done with it.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A blocking call was made inside of an async runtime, which it would have stopped.
    #[error("a blocking call inside of an async runtime: use the async one")]
    InsideRuntime,
    /// The thread of a blocking client could not be started.
    #[error("start the client's thread: {0}")]
    Runtime(#[source] io::Error),
    /// The operating system gave no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[source] io::Error),
}

impl Error {
    /// The server that the words of this error name: the one it was about, or the one on the way to it that failed. An
    /// error of an SFTP call names paths, and who made the call knows the server; one about this side names none.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Connect { address, .. }
            | Self::Timeout { address, .. }
            | Self::Stream { address, .. }
            | Self::KeyExchange { address, .. }
            | Self::HostKey { address, .. }
            | Self::LoginRefused { address, .. }
            | Self::Login { address, .. }
            | Self::ConnectionLost { address, .. }
            | Self::OpenTimeout { address, .. }
            | Self::Open { address, .. }
            | Self::RequestRefused { address, .. }
            | Self::Ping { address, .. }
            | Self::Channel { address, .. }
            | Self::Io { address, .. }
            | Self::CommandFailed { address, .. }
            | Self::Redirected { address, .. }
            | Self::OutputTooLong { address, .. }
            | Self::RunTimeout { address, .. }
            | Self::ProxyCommand { address, .. }
            | Self::Proxy { proxy: address, .. }
            | Self::Hop { hop: address, .. }
            | Self::BadReply { address, .. }
            | Self::AlreadyForwarded { address, .. }
            | Self::IncomingTaken { address } => Some(address),
            #[cfg(all(feature = "tunnel", target_os = "linux"))]
            Self::Tunnel { address, .. } => Some(address),
            Self::BadAddress { .. }
            | Self::BadUser { .. }
            | Self::NoHome
            | Self::Resolve { .. }
            | Self::Credential(_)
            | Self::Listen { .. }
            | Self::ReconnectingClosed
            | Self::Sftp(_)
            | Self::Local { .. }
            | Self::InsideRuntime
            | Self::Runtime(_)
            | Self::Randomness(_) => None,
        }
    }
}

/// The last line of a program's standard error, cut and made harmless, for the line that shows an error.
fn last_words(output: &Output) -> String {
    const MOST: usize = 200;
    let text = output.stderr_text();
    let Some(line) = text.lines().rev().find(|line| !line.trim().is_empty()) else {
        return String::new();
    };
    let shown: String = line
        .trim()
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    format!(": {shown}")
}

fn list(methods: &[String]) -> String {
    if methods.is_empty() {
        "the server named no method".to_owned()
    } else {
        methods.join(",")
    }
}

/// The steps of connecting, each with its own limit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Until the TCP connection stands.
    Connect,
    /// Until the server has said who it is.
    Identification,
    /// Until keys are in use.
    KeyExchange,
    /// Until the user is logged in.
    Login,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Identification => "the identification of the server",
            Self::KeyExchange => "the key exchange",
            Self::Login => "the login",
        })
    }
}
