//! Connections through the server: `direct-tcpip` channels (RFC 4254 §7.2), and to Unix sockets on its side
//! (`direct-streamlocal@openssh.com`, OpenSSH `PROTOCOL` §2.4).
//!
//! ```text
//!  open ──▶ the login's permissions ──▶ Application ──▶ connect, or serve ──▶ both directions until both ended
//!                 │ no                       │ Refuse       │ failed
//!                 └────▶ PROHIBITED ◀────────┘              └─▶ CONNECT_FAILED
//! ```
//!
//! A target is compared as the client wrote it, never after looking its name up: what a name leads to can change
//! between two questions. A list of addresses therefore does not cover names, nor the other way round.

mod destination;
mod join;
mod tunnel;

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::application::Application;
use crate::aside::{Threads, aside};
use crate::channel::{DirectStreamlocal, DirectTcpip, OpenFailureReason};
use crate::lookup::lookup;
use crate::peer::Printable;
use crate::pump::Buffers;
use crate::timeouts::within;
use crate::tokio_driver::{Channel, IncomingOpen, check_socket_path};
use crate::visit::Visit;

pub use destination::{Destination, ListenPlace, NotADestination};
use join::join;
pub(crate) use tunnel::tun;
pub use tunnel::{PermitTunnel, TunnelEnd};

/// Where a client wants to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// A name or an address, as the client wrote it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address the client says its own client comes from. It may say anything.
    pub originator: String,
    /// That client's port.
    pub originator_port: u32,
}

/// The answer to a request for a connection through the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Forward {
    /// No.
    Refuse,
    /// The server connects to where the client wants and passes everything on.
    Connect,
    /// The server connects to somewhere else and passes everything on.
    ConnectTo(Endpoint),
    /// The application serves the stream itself: see [`Forward::serve`].
    Serve(Handler),
}

impl Forward {
    /// The application serves the stream itself: `handler` gets the channel, and the connection is over when its future
    /// is, if not before. The client counts it as connected at once.
    ///
    /// ```
    /// use ssh_server::Forward;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// let greeting = Forward::serve(|mut channel| async move {
    ///     let _gone = channel.write_all(b"hello\n").await;
    /// });
    /// ```
    pub fn serve<F>(handler: impl FnOnce(Channel) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::Serve(Handler::new(handler))
    }

    /// Connects if `yes`.
    pub fn connect_if(yes: bool) -> Self {
        if yes { Self::Connect } else { Self::Refuse }
    }
}

/// A place the server can connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host, by name or address, and a port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{} port {port}", Printable(host.as_bytes())),
            Self::Unix(path) => write!(f, "{}", Printable(path.as_os_str().as_encoded_bytes())),
        }
    }
}

/// What of the application serves a stream. See also [`Forward::serve`].
pub struct Handler(Box<dyn FnOnce(Channel) -> Served + Send>);

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Handler {
    /// `handler` gets the channel; the channel is over when its future is, if not before.
    pub fn new<F>(handler: impl FnOnce(Channel) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(move |channel| Box::pin(handler(channel))))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

/// Serves one `direct-tcpip` channel from the question to the end.
pub(crate) async fn tcpip<A: Application>(visit: &Visit<A>, wanted: DirectTcpip, open: IncomingOpen) {
    let target = Target {
        host: wanted.host,
        port: wanted.port,
        originator: wanted.originator,
        originator_port: wanted.originator_port,
    };
    let login = &visit.login;
    let answer = if login.permissions.may_open(&target.host, target.port) {
        visit.shared.application.direct_tcpip(login, &target).await
    } else {
        Forward::Refuse
    };
    let wanted = Endpoint::Tcp(target.host, target.port);
    serve(visit, DirectTcpip::NAME, wanted, answer, open).await;
}

/// Serves one `direct-streamlocal@openssh.com` channel from the question to the end.
pub(crate) async fn streamlocal<A: Application>(
    visit: &Visit<A>,
    wanted: DirectStreamlocal,
    open: IncomingOpen,
) {
    let path = PathBuf::from(std::ffi::OsString::from_vec(wanted.path));
    // What a relative path leads to would depend on where the server was started.
    let login = &visit.login;
    let answer = if login.permissions.may_open_socket() && path.is_absolute() {
        visit.shared.application.direct_streamlocal(login, &path).await
    } else {
        Forward::Refuse
    };
    serve(visit, DirectStreamlocal::NAME, Endpoint::Unix(path), answer, open).await;
}

async fn serve<A: Application>(
    visit: &Visit<A>,
    kind: &str,
    wanted: Endpoint,
    answer: Forward,
    open: IncomingOpen,
) {
    let (peer, limits) = (&visit.login.peer, &visit.shared.limits);
    let target = match answer {
        Forward::Refuse => {
            tracing::info!(%peer, target = %wanted, "forward refused");
            return prohibit(open);
        }
        Forward::Serve(handler) => {
            tracing::info!(%peer, target = %wanted, "forward served");
            return hand_over(visit, kind, open, handler).await;
        }
        Forward::Connect => wanted,
        Forward::ConnectTo(elsewhere) => elsewhere,
    };
    let connecting = timeout(limits.forward_connect_time, connect(&target, &visit.threads)).await;
    match connecting.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            tracing::info!(%peer, %target, "forward opened");
            if let Ok(channel) = open.accept() {
                let (limit, watch) = (limits.channel_timeouts.of(kind), channel.watch());
                within(limit, watch, stream.join(channel, &visit.buffers)).await;
            }
        }
        Err(error) => {
            tracing::info!(%peer, %target, %error, "forward target not reached");
            let reason = match error.raw_os_error() {
                // No descriptor is left in this process or on this system: that says nothing about the target.
                Some(code) if OUT_OF_DESCRIPTORS.contains(&code) => OpenFailureReason::RESOURCE_SHORTAGE,
                _ => OpenFailureReason::CONNECT_FAILED,
            };
            open.refuse(reason, "open failed");
        }
    }
}

fn prohibit(open: IncomingOpen) {
    open.refuse(OpenFailureReason::ADMINISTRATIVELY_PROHIBITED, "open failed");
}

async fn hand_over<A: Application>(
    visit: &Visit<A>,
    kind: &str,
    open: IncomingOpen,
    Handler(handler): Handler,
) {
    if let Ok(channel) = open.accept() {
        let limit = visit.shared.limits.channel_timeouts.of(kind);
        within(limit, channel.watch(), handler(channel)).await;
    }
}

/// A connection to a target.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(crate) async fn join(self, channel: Channel, buffers: &Buffers) {
        match self {
            Self::Tcp(stream) => {
                hurry(&stream);
                let (from, to) = stream.into_split();
                join(channel, buffers, from, to).await;
            }
            Self::Unix(stream) => {
                let (from, to) = stream.into_split();
                join(channel, buffers, from, to).await;
            }
        }
    }
}

/// Small pieces leave at once: what passes through a forward is somebody's conversation.
fn hurry(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the forward stays as slow as the system makes it");
    }
}

async fn connect(target: &Endpoint, threads: &Threads) -> io::Result<Stream> {
    match target {
        Endpoint::Tcp(host, port) => {
            let addresses = lookup(host, *port).await?;
            TcpStream::connect(addresses.as_slice()).await.map(Stream::Tcp)
        }
        Endpoint::Unix(path) => {
            check_socket_path(path)?;
            let path = path.clone();
            let connected = aside(threads, move || connect_unix(&path)).await?;
            UnixStream::from_std(connected).map(Stream::Unix)
        }
    }
}

/// Connects to a Unix socket. It takes as long as the file system does, and does not wait for who listens there.
fn connect_unix(path: &Path) -> io::Result<net::UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

const OUT_OF_DESCRIPTORS: [i32; 2] = [
    rustix::io::Errno::MFILE.raw_os_error(),
    rustix::io::Errno::NFILE.raw_os_error(),
];
