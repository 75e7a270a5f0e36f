//! Drives any [`Layer`] up to its next event, over a stream that is only borrowed: how a connection grows from
//! the identification line to the login, before a [`Driver`](crate::Driver) takes it over.
//!
//! ```text
//! loop {  poll until an event ──▶ return it   (unsent bytes stay in the layer and leave with the next call's)
//!         nothing? write what is there, read what arrives, wait for the deadline: whichever comes first  }
//! ```
//!
//! What an answer adds to the outbox is not flushed before the next call, so messages of two steps (NEWKEYS and the
//! first login request) leave in one write.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::wire::Layer;

/// What one read asks for before the login: the longest message of a handshake (KEXINIT, a hybrid key) fits.
const READ_BYTES: usize = 4 * 1024;

/// How long a last DISCONNECT may take to leave before the stream is given up.
pub(crate) const FAREWELL: Duration = Duration::from_millis(500);

/// Why a layer could not be driven to its next event.
#[derive(Debug, Error)]
pub enum HandshakeError<E> {
    /// The layer itself failed; the DISCONNECT that is due has been sent.
    #[error(transparent)]
    Layer(E),
    /// The stream failed.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The peer closed the stream without saying why.
    #[error("the peer closed the connection without saying why")]
    PeerClosed,
}

/// Drives `layer` over `stream` until it has an event.
///
/// The future may be dropped at any point: every byte that moved is accounted for in the layer. Wrap it in a timeout
/// for a limit on the whole phase; the layer's own deadlines are kept here.
pub async fn next_event<L, S>(layer: &mut L, stream: &mut S) -> Result<L::Event, HandshakeError<L::Error>>
where
    L: Layer,
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match layer.poll(now()) {
            Ok(Some(event)) => return Ok(event),
            Ok(None) => {}
            Err(error) => {
                farewell(layer, stream).await;
                return Err(HandshakeError::Layer(error));
            }
        }
        let deadline = layer.deadline();
        let moved = poll_fn(|cx| exchange(layer, stream, cx));
        match deadline {
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), moved).await {
                Ok(moved) => moved?,
                Err(_elapsed) => {}
            },
            None => moved.await?,
        }
    }
}

/// Sends what `layer` still holds — a DISCONNECT, as a rule — and closes the stream; gives up after half a second.
pub async fn farewell<L, S>(layer: &mut L, stream: &mut S)
where
    L: Layer,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = std::mem::take(layer.transmit());
    layer.transmitted(bytes.len());
    let sent = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(FAREWELL, sent).await, Ok(Ok(()))) {
        tracing::debug!("the peer took no farewell");
    }
}

/// The clock of every machine: tokio's, so that tests may hold it.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Ready as soon as bytes arrived; writes meanwhile, so that neither direction waits for the other.
fn exchange<L, S>(
    layer: &mut L,
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError<L::Error>>>
where
    L: Layer,
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A failed write is no reason to stop before the read side says what happened: a peer that refuses us sends its
    // DISCONNECT and closes, and the reason is in our receive buffer.
    let written = write_some(layer, stream, cx);
    let buffer = layer.read_buffer();
    buffer.reserve(READ_BYTES);
    let read = pin!(stream.read_buf(buffer)).poll(cx);
    match read {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(HandshakeError::PeerClosed)),
        Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(HandshakeError::Io(error))),
        Poll::Pending => match ready!(written) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(HandshakeError::Io(error))),
        },
    }
}

/// Writes until the outbox is empty or the stream takes no more.
fn write_some<L, S>(layer: &mut L, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
where
    L: Layer,
    S: AsyncWrite + Unpin,
{
    while !layer.transmit().is_empty() {
        let outbox = layer.transmit();
        let count = match ready!(pin!(stream.write(outbox)).poll(cx)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(error)),
        };
        outbox.drain(..count);
        layer.transmitted(count);
    }
    pin!(stream.flush()).poll(cx)
}
