//! An open file on the server.
//!
//! ```text
//!  read_at, write_at, stat, … ──▶ one request each; several may be under way
//!  AsyncRead  ──▶ READs ahead of the reader: one at first, more the more it has read one after the other, 16 MiB at most
//!  AsyncWrite ──▶ WRITEs under way while the writer goes on ──flush, close──▶ all answered, or the first error
//!                 512 of them and 16 MiB at most, however small the pieces are
//! ```

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::error::{SessionEnd, SftpFault};
use super::read_ahead::ReadAhead;
use super::reads::Unanswered;
use super::session::Session;
use crate::error::Error;
use crate::sftp_protocol::client::transfer::{MAX_REQUESTS, WINDOW_BYTES};
use crate::sftp_protocol::extension::Fsync;
use crate::sftp_protocol::messages::{Close, FSetStat, FStat, Read, Write};
use crate::sftp_protocol::{Attributes, Handle, Request, StatusCode};
use crate::wire::bytes::Bytes;
use crate::wire::{u32_saturating, usize_from};

type Pending<T> = oneshot::Receiver<Result<T, SftpFault>>;

/// An open file. Dropping it closes it on the server; [`close`](Self::close) also says whether that went well, which
/// is where some servers report a full disk.
pub struct File {
    session: Session,
    /// `None` once the file is being closed.
    handle: Option<Handle>,
    path: Vec<u8>,
    /// Where the next read or write of a stream begins.
    position: u64,
    /// What is read ahead of the stream's reader.
    reading: Option<ReadAhead>,
    /// All that was ever read ahead and has not come.
    unanswered: Arc<Unanswered>,
    /// WRITEs under way, with their lengths in bytes.
    writing: VecDeque<(u64, Pending<()>)>,
    /// All those lengths.
    writing_bytes: u64,
    closing: Option<Pending<()>>,
}

impl File {
    pub(super) fn new(session: Session, handle: Handle, path: Vec<u8>) -> Self {
        Self {
            session,
            handle: Some(handle),
            path,
            position: 0,
            reading: None,
            unanswered: Arc::default(),
            writing: VecDeque::new(),
            writing_bytes: 0,
            closing: None,
        }
    }

    /// The way to the server.
    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    /// The server's name for it.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone().unwrap_or_else(|| Handle::new(b""))
    }

    /// The path it was opened by.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Up to `length` bytes from `offset` on: none at the end of the file, fewer for a reason of the server's.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Error> {
        let length = u32_saturating(length).min(self.session.limits().read_bytes);
        let request = Read {
            handle: self.handle(),
            offset,
            length,
        };
        let answer = end_is_empty(self.session.call(request).await);
        Ok(answer.map_err(|fault| fault.at("read", &self.path))?)
    }

    /// Writes all of `data` at `offset`, in as many requests as it takes, all under way at once.
    ///
    /// # Errors
    /// The first refusal of the server; other parts may have been written.
    pub async fn write_at(&self, offset: u64, data: impl Into<Bytes>) -> Result<(), Error> {
        let mut data = data.into();
        let mut offset = offset;
        let mut under_way = Vec::new();
        while !data.is_empty() {
            let part = data.split_to(data.len().min(usize_from(self.session.limits().write_bytes)));
            let length = part.len();
            under_way.push(self.ask(Write {
                handle: self.handle(),
                offset,
                data: part,
            }));
            offset = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
        for answer in under_way {
            arrived(answer.await).map_err(|fault| fault.at("write", &self.path))?;
        }
        Ok(())
    }

    /// Its attributes.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn stat(&self) -> Result<Attributes, Error> {
        self.request(
            FStat {
                handle: self.handle(),
            },
            "stat",
        )
        .await
    }

    /// Sets those attributes that are there.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn set_stat(&self, attributes: Attributes) -> Result<(), Error> {
        let request = FSetStat {
            handle: self.handle(),
            attributes,
        };
        self.request(request, "set attributes of").await
    }

    /// Cuts or extends it to `size` bytes.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn set_len(&self, size: u64) -> Result<(), Error> {
        self.set_stat(Attributes::with_size(size)).await
    }

    /// Waits until it is on the server's disk (`fsync@openssh.com`).
    ///
    /// # Errors
    /// What the server answers, or [`SftpFault::Unsupported`].
    pub async fn sync(&self) -> Result<(), Error> {
        if !self.session.extensions().supports::<Fsync>() {
            return Err(SftpFault::Unsupported("fsync@openssh.com")
                .at("sync", &self.path)
                .into());
        }
        self.request(
            Fsync {
                handle: self.handle(),
            },
            "sync",
        )
        .await
    }

    /// Where the next read or write of the stream begins.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Moves there. What was read ahead is forgotten; what was written goes on to where it was written.
    pub fn set_position(&mut self, position: u64) {
        self.position = position;
        self.reading = None;
    }

    /// Waits for everything that was written, closes it, and says whether all of that went well.
    ///
    /// # Errors
    /// The first refusal of the server.
    pub async fn close(mut self) -> Result<(), Error> {
        let closed = poll_fn(|cx| self.poll_close(cx)).await;
        Ok(closed.map_err(|fault| fault.at("close", &self.path))?)
    }

    /// The same, for a transfer that has an error of its own to wrap it in.
    pub(super) async fn closed(mut self) -> Result<(), SftpFault> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    async fn request<R: Request>(&self, request: R, operation: &'static str) -> Result<R::Answer, Error> {
        let answer = self.session.call(request).await;
        Ok(answer.map_err(|fault| fault.at(operation, &self.path))?)
    }

    fn ask<R: Request>(&self, request: R) -> Pending<R::Answer> {
        let (sender, receiver) = oneshot::channel();
        self.session.send(request, move |answer| {
            // Nobody waits: the file was dropped.
            let _unheard = sender.send(answer);
        });
        receiver
    }

    /// Waits until no more than `requests` WRITEs, with `bytes` bytes, are under way; the first refusal wins.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        requests: usize,
        bytes: u64,
    ) -> Poll<Result<(), SftpFault>> {
        while self.writing.len() > requests || self.writing_bytes > bytes {
            let Some((length, oldest)) = self.writing.front_mut() else {
                break;
            };
            let answer = arrived(ready!(Pin::new(oldest).poll(cx)));
            self.writing_bytes = self.writing_bytes.saturating_sub(*length);
            self.writing.pop_front();
            answer?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SftpFault>> {
        self.reading = None;
        let written = ready!(self.poll_written(cx, 0, 0));
        if let Some(handle) = self.handle.take() {
            self.closing = Some(self.ask(Close { handle }));
        }
        let Some(closing) = &mut self.closing else {
            return Poll::Ready(written);
        };
        let closed = arrived(ready!(Pin::new(closing).poll(cx)));
        self.closing = None;
        Poll::Ready(written.and(closed))
    }

    fn io_error(&self, operation: &'static str, fault: SftpFault) -> io::Error {
        let kind = match &fault {
            SftpFault::Refused(status) => status.code.io_kind(),
            SftpFault::Ended(_) => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, fault.at(operation, &self.path))
    }
}

/// Reading on asks ever further ahead, by the rule of [`Window::reach`] up to [`WINDOW_BYTES`], so that a long link is
/// used as by [`get`](super::Sftp::get); a reader that takes a hundred bytes costs one request. What a reader that stops
/// holds is bounded by the same. Data is as old as its request: what others write behind the reader's place, and what
/// [`write_at`](File::write_at) does, may be seen only after [`set_position`](File::set_position).
///
/// [`Window::reach`]: crate::sftp_protocol::client::transfer::Window::reach
///
/// What was asked for at another place comes all the same, and is dropped: reading begins anew only while fewer than
/// [`MAX_REQUESTS`] requests of the file are unanswered, so whoever seeks on and on makes no more of them.
///
/// At the end nothing is read, and reading again asks again, for what the file has grown by. An error comes behind all
/// data before its place, and reading again asks again, too.
impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(handle) = this.handle.clone() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if this.reading.is_none() {
            ready!(this.unanswered.poll_fewer_than(usize_from(MAX_REQUESTS), cx));
        }
        let ahead = this.reading.get_or_insert_with(|| {
            let unanswered = Arc::clone(&this.unanswered);
            ReadAhead::new(this.session.clone(), handle, this.position, unanswered)
        });
        let read = ready!(ahead.poll_chunk(cx)).map(|chunk| {
            let count = chunk.len().min(into.remaining());
            into.put_slice(chunk.get(..count).unwrap_or_default());
            count
        });
        match read {
            Ok(count @ 1..) => {
                ahead.take(count);
                this.position = ahead.position();
            }
            Ok(0) => this.reading = None,
            Err(fault) => {
                this.reading = None;
                return Poll::Ready(Err(this.io_error("read", fault)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for File {
    /// Sends a WRITE; a refusal is reported by a later write, by flush, or by close.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let count = data.len().min(usize_from(this.session.limits().write_bytes));
        let length = u64::from(u32_saturating(count));
        let (requests, bytes) = (
            usize_from(MAX_REQUESTS).saturating_sub(1),
            u64::from(WINDOW_BYTES).saturating_sub(length),
        );
        ready!(this.poll_written(cx, requests, bytes)).map_err(|fault| this.io_error("write", fault))?;
        let Some(handle) = this.handle.clone() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let part = Bytes::copy_from_slice(data.get(..count).unwrap_or_default());
        if count > 0 {
            this.reading = None;
            let written = this.ask(Write {
                handle,
                offset: this.position,
                data: part,
            });
            this.writing.push_back((length, written));
            this.writing_bytes = this.writing_bytes.saturating_add(length);
            this.position = this.position.saturating_add(length);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let written = ready!(this.poll_written(cx, 0, 0));
        Poll::Ready(written.map_err(|fault| this.io_error("write", fault)))
    }

    /// Closes the file on the server.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closed = ready!(this.poll_close(cx));
        Poll::Ready(closed.map_err(|fault| this.io_error("close", fault)))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.session.send(Close { handle }, |answer| {
                if let Err(fault) = answer {
                    tracing::debug!(%fault, "a dropped file could not be closed");
                }
            });
        }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({})", super::shown(&self.path))
    }
}

fn arrived<T>(answer: Result<Result<T, SftpFault>, oneshot::error::RecvError>) -> Result<T, SftpFault> {
    answer.unwrap_or_else(|_gone| Err(SftpFault::Ended(SessionEnd::Closed.into())))
}

/// The end of a file is no error: nothing more is there.
fn end_is_empty(answer: Result<Bytes, SftpFault>) -> Result<Bytes, SftpFault> {
    match answer {
        Err(SftpFault::Refused(status)) if status.code == StatusCode::EOF => Ok(Bytes::new()),
        answer => answer,
    }
}
