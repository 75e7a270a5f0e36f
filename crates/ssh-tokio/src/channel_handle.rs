//! A channel as its owner sees it: byte streams both ways, stderr beside them, requests both ways.
//!
//! ```text
//!  Channel ──split──▶ Parts { reader, stderr_reader, writer, stderr_writer, control }
//!     the channel is closed when the last of them is dropped
//! ```
//!
//! Every future here may be dropped at any point: what has been read or sealed is accounted for under the lock, and
//! nothing is held outside of it but the rest of one chunk, which stays in the reader.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use crate::wire::bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::channel::{ChannelId, ChannelRequest, ReplyDue, Stream};
use crate::error::{ChannelError, Error, OpenError};
use crate::handle::{Alive, Handle};
use crate::shared::{Phase, State, sleep};

/// The most that one read takes out of the inbox at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// An open channel. Reading and writing move its data; [`split`](Self::split) gives everything apart.
///
/// `shutdown` sends EOF and leaves the other direction open. Dropping the channel closes it.
pub struct Channel {
    reader: ChannelReader,
    writer: ChannelWriter,
    control: ChannelControl,
}

/// The parts of a channel, each to be moved to where it is used.
pub struct Parts {
    /// The peer's data.
    pub reader: ChannelReader,
    /// The peer's standard error (RFC 4254 §5.2).
    pub stderr_reader: ChannelReader,
    /// Data to the peer.
    pub writer: ChannelWriter,
    /// Standard error to the peer: for servers.
    pub stderr_writer: ChannelWriter,
    /// Requests both ways, and the end.
    pub control: ChannelControl,
}

/// Shared by all parts of one channel: the last one to go closes it.
pub(crate) struct Link {
    pub(crate) id: ChannelId,
    alive: Arc<Alive>,
}

impl Link {
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        self.alive.shared.with(act)
    }

    /// The same, and wakes those whom `act` names when the lock is free.
    fn with_waking<R>(&self, act: impl FnOnce(&mut State, &mut Vec<Waker>) -> R) -> R {
        let mut wakes = Vec::new();
        let result = self.with(|state| act(state, &mut wakes));
        for task in wakes {
            task.wake();
        }
        result
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let id = self.id;
        self.with(|state| state.release(id));
    }
}

impl Channel {
    pub(crate) fn new(id: ChannelId, alive: Arc<Alive>) -> Self {
        let link = Arc::new(Link { id, alive });
        Self {
            reader: ChannelReader::new(&link, Stream::Data),
            writer: ChannelWriter::new(&link, Stream::Data),
            control: ChannelControl { link },
        }
    }

    /// Waits for the peer's answer to the open.
    pub(crate) async fn opened(self) -> Result<Self, OpenError> {
        let link = Arc::clone(&self.control.link);
        poll_fn(|cx| link.with(|state| state.poll_opened(link.id, cx))).await?;
        Ok(self)
    }

    /// The number of the channel on this side, for logs.
    pub fn id(&self) -> ChannelId {
        self.control.link.id
    }

    /// The connection that the channel belongs to.
    pub fn connection(&self) -> Handle {
        Handle::of(&self.control.link.alive)
    }

    /// The peer's standard error.
    pub fn stderr(&self) -> ChannelReader {
        ChannelReader::new(&self.control.link, Stream::Stderr)
    }

    /// A writer to the peer's standard error: for servers.
    pub fn stderr_writer(&self) -> ChannelWriter {
        ChannelWriter::new(&self.control.link, Stream::Stderr)
    }

    /// Requests both ways, and the end.
    pub const fn control(&mut self) -> &mut ChannelControl {
        &mut self.control
    }

    /// The reader, for [`ChannelReader::next_chunk`].
    pub const fn reader(&mut self) -> &mut ChannelReader {
        &mut self.reader
    }

    /// Asks the peer for something and waits for its answer: true if it agreed.
    pub async fn request(&self, request: &ChannelRequest) -> Result<bool, ChannelError> {
        self.control.request(request).await
    }

    /// Tells the peer something it shall not answer.
    pub fn send_request(&self, request: &ChannelRequest) -> Result<(), ChannelError> {
        self.control.send_request(request)
    }

    /// The peer's next request, or `None` when there will be none.
    pub async fn next_request(&mut self) -> Option<IncomingRequest> {
        self.control.next_request().await
    }

    /// No more data will come from this side; the peer's may go on (RFC 4254 §5.3).
    pub fn eof(&self) -> Result<(), ChannelError> {
        self.control.eof()
    }

    /// Closes the channel in both directions. Nobody reads any more: what waits in the inbox is thrown away.
    pub fn close(&self) {
        self.control.close();
    }

    /// Waits until both sides have closed the channel, or the connection is over.
    pub async fn closed(&mut self) {
        self.control.closed().await;
    }

    /// A look at the channel from outside, which does not keep it open.
    pub fn watch(&self) -> ChannelWatch {
        ChannelWatch {
            link: Arc::downgrade(&self.control.link),
        }
    }

    /// Everything apart.
    pub fn split(self) -> Parts {
        Parts {
            stderr_reader: self.stderr(),
            stderr_writer: self.stderr_writer(),
            reader: self.reader,
            writer: self.writer,
            control: self.control,
        }
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

/// One stream of the peer's data. Credit goes back to the peer as it is consumed. When the last reader of a stream is
/// dropped, what still arrives on it is thrown away, so that it cannot hold up the other stream.
pub struct ChannelReader {
    link: Arc<Link>,
    stream: Stream,
    /// What was taken out of the inbox and not yet handed on.
    chunk: Bytes,
    /// Bytes handed on for which the peer has not got credit yet.
    consumed: usize,
}

impl ChannelReader {
    fn new(link: &Arc<Link>, stream: Stream) -> Self {
        link.with(|state| state.reader_made(link.id, stream));
        Self {
            link: Arc::clone(link),
            stream,
            chunk: Bytes::new(),
            consumed: 0,
        }
    }

    /// The next piece as it arrived, without a copy; `None` at the end of the stream.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, ChannelError> {
        poll_fn(|cx| self.poll_next_chunk(cx)).await
    }

    /// [`next_chunk`](Self::next_chunk) for futures written by hand.
    pub fn poll_next_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ChannelError>> {
        if self.chunk.is_empty() && !ready!(self.poll_fill(cx))? {
            return Poll::Ready(Ok(None));
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.consumed = self.consumed.saturating_add(chunk.len());
        Poll::Ready(Ok(Some(chunk)))
    }

    /// Takes the next chunk out of the inbox and pays for the last one, under one lock. False at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ChannelError>> {
        let (id, stream, paid) = (self.link.id, self.stream, std::mem::take(&mut self.consumed));
        let next = self.link.with(|state| {
            if paid > 0 {
                state.connection.consumed(id, paid);
            }
            state.poll_read(id, stream, CHUNK_BYTES, cx)
        });
        next.map_ok(|chunk| match chunk {
            Some(chunk) => {
                self.chunk = chunk;
                true
            }
            None => false,
        })
    }
}

impl Drop for ChannelReader {
    fn drop(&mut self) {
        let unread = self.chunk.len().saturating_add(self.consumed);
        let (id, stream) = (self.link.id, self.stream);
        self.link.with(|state| state.reader_dropped(id, stream, unread));
    }
}

impl AsyncRead for ChannelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut any = false;
        while into.remaining() > 0 {
            if this.chunk.is_empty() {
                match this.poll_fill(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => break,
                    // What was read before is reported first; the error comes again.
                    Poll::Ready(Err(_)) | Poll::Pending if any => break,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let count = this.chunk.len().min(into.remaining());
            into.put_slice(this.chunk.get(..count).unwrap_or_default());
            this.chunk.advance(count);
            if this.chunk.is_empty() {
                // Even without a byte it would hold the block it came in.
                this.chunk = Bytes::new();
            }
            this.consumed = this.consumed.saturating_add(count);
            any = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// One stream of data to the peer. Writes wait while the peer's window is closed or the outbox is full.
pub struct ChannelWriter {
    pub(crate) link: Arc<Link>,
    stream: Stream,
}

impl ChannelWriter {
    fn new(link: &Arc<Link>, stream: Stream) -> Self {
        Self {
            link: Arc::clone(link),
            stream,
        }
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (id, stream) = (self.link.id, self.stream);
        self.link.with(|state| state.poll_write(id, stream, data, cx))
    }

    /// What was written is sealed already and leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends EOF, which stands for both data and standard error.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = self.link.id;
        Poll::Ready(
            self.link
                .with_waking(|state, wakes| state.send_eof(id, wakes))
                .map_err(io::Error::from),
        )
    }
}

/// Requests both ways, and the end of a channel.
pub struct ChannelControl {
    link: Arc<Link>,
}

impl ChannelControl {
    /// Asks the peer for something and waits for its answer: true if it agreed.
    ///
    /// Dropping the future only forgets the answer. Several requests may be under way: answers come in order (RFC 4254 §5.4).
    pub async fn request(&self, request: &ChannelRequest) -> Result<bool, ChannelError> {
        self.ask(request).await?.answer().await
    }

    /// Like [`request`](Self::request), in two steps: what is asked has left when this is ready, its answer can be
    /// awaited later.
    pub async fn ask(&self, request: &ChannelRequest) -> Result<PendingReply, ChannelError> {
        let id = self.link.id;
        let ask = |state: &mut State| {
            state.usable(id)?;
            state.connection.request(id, request, true)?;
            let (sender, receiver) = oneshot::channel();
            if let Some(slot) = state.slots.get_mut(&id) {
                slot.replies.push_back(sender);
            }
            Ok(receiver)
        };
        let receiver = self.link.alive.shared.ask(ask).await?;
        Ok(PendingReply {
            link: Arc::clone(&self.link),
            receiver,
        })
    }

    /// Tells the peer something it shall not answer.
    pub fn send_request(&self, request: &ChannelRequest) -> Result<(), ChannelError> {
        let id = self.link.id;
        self.link.with(|state| {
            state.usable(id)?;
            state.connection.request(id, request, false)?;
            Ok(())
        })
    }

    /// The peer's next request, or `None` when there will be none.
    pub async fn next_request(&mut self) -> Option<IncomingRequest> {
        let id = self.link.id;
        let (request, reply) = poll_fn(|cx| self.link.with(|state| state.poll_request(id, cx))).await?;
        Some(IncomingRequest {
            link: Arc::clone(&self.link),
            request,
            reply,
        })
    }

    /// No more data will come from this side; the peer's may go on (RFC 4254 §5.3).
    pub fn eof(&self) -> Result<(), ChannelError> {
        let id = self.link.id;
        self.link.with_waking(|state, wakes| state.send_eof(id, wakes))
    }

    /// Closes the channel in both directions. Nobody reads any more: what waits in the inbox is thrown away.
    pub fn close(&self) {
        let id = self.link.id;
        self.link.with_waking(|state, wakes| state.close(id, wakes));
    }

    /// Why the connection ended, if it did so before the channel was closed: what was to come on it is lost.
    pub fn lost(&self) -> Option<Arc<Error>> {
        let id = self.link.id;
        self.link.with(|state| match state.slots.get(&id) {
            Some(slot) if slot.phase == Phase::Closed => None,
            _ => state.ended.clone(),
        })
    }

    /// Waits until both sides have closed the channel, or the connection is over.
    pub async fn closed(&mut self) {
        let id = self.link.id;
        poll_fn(|cx| self.link.with(|state| state.poll_closed(id, cx))).await;
    }
}

/// A look at a channel from outside: whether anything moves, and a way to end it. It does not keep the channel open.
#[derive(Clone)]
pub struct ChannelWatch {
    link: Weak<Link>,
}

impl ChannelWatch {
    /// How many bytes the channel has moved so far, in both directions and all streams; `None` when nobody holds the
    /// channel any more. Bytes count when they are read here, and when they are sealed for the peer.
    pub fn moved(&self) -> Option<u64> {
        let link = self.link.upgrade()?;
        link.with(|state| state.slots.get(&link.id).map(|slot| slot.moved))
    }

    /// Whether it is open: somebody holds it, neither side has closed it, and the connection lives.
    pub fn is_open(&self) -> bool {
        let Some(link) = self.link.upgrade() else {
            return false;
        };
        link.with(|state| state.usable(link.id).is_ok_and(|slot| !slot.closed_here))
    }

    /// Closes the channel in both directions, as [`ChannelControl::close`] does.
    pub fn close(&self) {
        if let Some(link) = self.link.upgrade() {
            link.with_waking(|state, wakes| state.close(link.id, wakes));
        }
    }
}

impl std::fmt::Debug for ChannelWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelWatch").finish_non_exhaustive()
    }
}

/// A request on its way; its answer is still to come.
#[must_use = "the answer is heard by awaiting it"]
pub struct PendingReply {
    link: Arc<Link>,
    receiver: oneshot::Receiver<bool>,
}

impl PendingReply {
    /// Waits for the answer: true if the peer agreed.
    pub async fn answer(self) -> Result<bool, ChannelError> {
        match self.receiver.await {
            Ok(success) => Ok(success),
            Err(_closed) => Err(self.link.with(|state| state.why_gone())),
        }
    }
}

/// A request of the peer's about this channel. Unanswered, it is refused when dropped.
pub struct IncomingRequest {
    link: Arc<Link>,
    request: ChannelRequest,
    reply: Option<ReplyDue>,
}

impl IncomingRequest {
    /// What is asked.
    pub const fn request(&self) -> &ChannelRequest {
        &self.request
    }

    /// Whether the peer waits for an answer.
    pub const fn wants_reply(&self) -> bool {
        self.reply.is_some()
    }

    /// Agrees.
    pub fn accept(mut self) {
        self.answer(true);
    }

    /// Refuses.
    pub fn refuse(self) {}

    fn answer(&mut self, success: bool) {
        if let Some(reply) = self.reply.take() {
            self.link.with(|state| state.connection.answer(reply, success));
        }
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        self.answer(false);
    }
}

impl State {
    fn poll_opened(&mut self, id: ChannelId, cx: &Context<'_>) -> Poll<Result<(), OpenError>> {
        let ended = self.ended.clone();
        let gone = || ended.clone().unwrap_or_else(|| Arc::new(Error::Closed));
        let Some(slot) = self.slots.get_mut(&id) else {
            return Poll::Ready(Err(OpenError::Ended(gone())));
        };
        match &slot.phase {
            Phase::Open | Phase::Closed => Poll::Ready(Ok(())),
            Phase::Refused(failure) => Poll::Ready(Err(OpenError::Refused(failure.clone()))),
            Phase::Opening if ended.is_some() => Poll::Ready(Err(OpenError::Ended(gone()))),
            Phase::Opening => {
                sleep(&mut slot.wakers.phase, cx);
                Poll::Pending
            }
        }
    }

    fn poll_request(
        &mut self,
        id: ChannelId,
        cx: &Context<'_>,
    ) -> Poll<Option<(ChannelRequest, Option<ReplyDue>)>> {
        let ended = self.ended.is_some();
        let Some(slot) = self.slots.get_mut(&id) else {
            return Poll::Ready(None);
        };
        match slot.requests.pop_front() {
            Some((request, reply)) => {
                slot.request_bytes = slot.request_bytes.saturating_sub(request.fields().len());
                Poll::Ready(Some((request, reply)))
            }
            None if ended || slot.phase == Phase::Closed => Poll::Ready(None),
            None => {
                sleep(&mut slot.wakers.request, cx);
                Poll::Pending
            }
        }
    }

    fn poll_closed(&mut self, id: ChannelId, cx: &Context<'_>) -> Poll<()> {
        let ended = self.ended.is_some();
        match self.slots.get_mut(&id) {
            Some(slot) if !ended && slot.phase != Phase::Closed => {
                sleep(&mut slot.wakers.phase, cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn send_eof(&mut self, id: ChannelId, wakes: &mut Vec<Waker>) -> Result<(), ChannelError> {
        self.usable(id)?;
        self.connection.eof(id)?;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.wakers.writers(wakes);
        }
        Ok(())
    }

    fn close(&mut self, id: ChannelId, wakes: &mut Vec<Waker>) {
        if let Ok(slot) = self.usable(id) {
            // Whoever waits on the channel hears of it now: the peer's CLOSE may never come.
            slot.closed_here = true;
            slot.wakers.writers(wakes);
            slot.wakers.readers(wakes);
            if let Err(misuse) = self.connection.close(id) {
                tracing::debug!(%misuse, "the channel was closed already");
            }
            self.driver.needed = true;
        }
    }

    /// Why something that was waited for will not come.
    pub(crate) fn why_gone(&self) -> ChannelError {
        match &self.ended {
            Some(why) => ChannelError::Ended(Arc::clone(why)),
            None => ChannelError::ChannelClosed,
        }
    }
}
