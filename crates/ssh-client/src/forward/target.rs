//! Where the connections of a forward go, and who decides which of them may.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::address::Address;

/// Where the connections of a forward go: from the server on if it listens here, from here on if the server listens.
#[derive(Clone)]
pub enum Target {
    /// To a TCP port.
    Port(Address),
    /// To a Unix socket.
    Socket(PathBuf),
    /// Whoever connects says where, in the words of SOCKS 4, 4a or 5.
    Socks,
    /// To the application: see [`Target::serve`].
    Serve(Handler),
}

impl Target {
    /// A TCP port of a host, by name or number.
    pub fn port(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self::Port(Address { host, port })
    }

    /// A Unix socket.
    pub fn socket(path: impl AsRef<Path>) -> Self {
        Self::Socket(path.as_ref().to_owned())
    }

    /// The application serves each connection itself, in a task that is ended with the forward.
    ///
    /// ```
    /// use ssh_client::Target;
    /// use tokio::io::AsyncWriteExt;
    /// let target = Target::serve(|mut stream| async move {
    ///     let _gone = stream.write_all(b"hello\n").await;
    ///     let _gone = stream.shutdown().await;
    /// });
    /// ```
    pub fn serve<F, S>(handler: F) -> Self
    where
        F: Fn(ForwardedStream) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::Serve(Handler(Arc::new(move |stream| Box::pin(handler(stream)))))
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(address) => write!(f, "Port({address})"),
            Self::Socket(path) => write!(f, "Socket({})", path.display()),
            Self::Socks => f.write_str("Socks"),
            Self::Serve(_) => f.write_str("Serve"),
        }
    }
}

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An application that serves connections itself: made by [`Target::serve`].
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(ForwardedStream) -> Task<()> + Send + Sync>);

impl Handler {
    pub(super) async fn serve(&self, stream: ForwardedStream) {
        (self.0)(stream).await;
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handler")
    }
}

/// Decides about connections.
#[derive(Clone)]
pub(crate) struct Decision(Arc<dyn Fn(Arrival) -> Task<bool> + Send + Sync>);

impl Decision {
    pub(super) fn new<F, D>(decide: F) -> Self
    where
        F: Fn(Arrival) -> D + Send + Sync + 'static,
        D: Future<Output = bool> + Send + 'static,
    {
        Self(Arc::new(move |arrival| Box::pin(decide(arrival))))
    }

    pub(super) async fn accepts(&self, arrival: Arrival) -> bool {
        (self.0)(arrival).await
    }
}

impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decision")
    }
}

/// A connection that came to a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrival {
    /// Where it came from, address and port, if it came over TCP. Of a connection to the server it is what the server
    /// says: text of a stranger's that proves nothing.
    pub originator: Option<(String, u32)>,
    /// Where it is to go, if that is a port: the forward's, or the one a SOCKS request names.
    pub destination: Option<Address>,
}

/// What can be read and written.
trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A connection that came to a forward, for the application to serve ([`Target::serve`]).
pub struct ForwardedStream {
    arrival: Arrival,
    stream: Pin<Box<dyn Stream>>,
}

impl ForwardedStream {
    pub(super) fn new(arrival: Arrival, stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let stream = Box::pin(stream);
        Self { arrival, stream }
    }

    /// Where it came from.
    pub const fn arrival(&self) -> &Arrival {
        &self.arrival
    }
}

impl std::fmt::Debug for ForwardedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ForwardedStream").field(&self.arrival).finish()
    }
}

impl AsyncRead for ForwardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for ForwardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}
