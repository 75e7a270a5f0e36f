//! Where a remote program's standard input comes from and where its output goes, when its own streams are not wanted.
//!
//! ```text
//!  Input:  piped  null  bytes  file  reader ──▶ stdin     the end is passed on as EOF
//!  stdout, stderr ──▶ Sink:  piped  null  file  append  writer  merge      their end shuts the sink down
//! ```
//!
//! Local child processes, sockets and other remote programs are readers and writers like any. Nothing is read before
//! there is room for it: a slow sink closes the channel's window and holds up the remote program, a slow remote program
//! holds up the reader. Files are opened before the program is started.
//!
//! When something fails here:
//!
//! * an input that cannot be read ends the run with [`Error::Io`]. No EOF is sent: the program must not take half of its
//!   input for all of it;
//! * a sink that takes no more ends the run with [`Error::Io`], as a broken pipe ends a program here;
//! * a remote program that does not want all of its input is no failure: what is left of it is dropped.
//!
//! In the first two cases the program is sent `TERM` and its channel is closed.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::error::Error;
use crate::tokio_driver::{ChannelError, ChannelReader, ChannelWriter};
use crate::wire::bytes::{Buf, Bytes, BytesMut};

/// What an input is read by at once, in bytes.
const INPUT_BYTES: usize = 64 * 1024;

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Where standard input comes from. Bytes and text turn into one by themselves.
pub struct Input(Source);

pub(crate) enum Source {
    Piped,
    Bytes(Vec<u8>),
    File(PathBuf),
    Reader(Reader),
}

impl Input {
    /// From the program that started it: [`Job::stdin`](super::Job::stdin). Where nobody can write there, nothing.
    pub const fn piped() -> Self {
        Self(Source::Piped)
    }

    /// Nothing: the input ends at once.
    pub const fn null() -> Self {
        Self(Source::Bytes(Vec::new()))
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Source::Bytes(bytes.into()))
    }

    /// A local file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// What a reader says until it ends: a local child's output, a socket, another remote program's output.
    pub fn reader(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self(Source::Reader(Box::new(reader)))
    }

    pub(super) const fn is_piped(&self) -> bool {
        matches!(self.0, Source::Piped)
    }

    pub(super) async fn open(self) -> Result<OpenInput, Error> {
        Ok(match self.0 {
            Source::Piped => OpenInput::Piped,
            Source::Bytes(bytes) => OpenInput::Bytes(bytes),
            Source::Reader(reader) => OpenInput::Reader(reader),
            Source::File(path) => match File::open(&path).await {
                Ok(file) => OpenInput::Reader(Box::new(file)),
                Err(source) => return Err(local(path, "open", source)),
            },
        })
    }
}

impl<T: Into<Vec<u8>>> From<T> for Input {
    fn from(bytes: T) -> Self {
        Self::bytes(bytes)
    }
}

/// An input whose file is open.
pub(super) enum OpenInput {
    Piped,
    Bytes(Vec<u8>),
    Reader(Reader),
}

impl OpenInput {
    /// Writes everything there is to standard input, and ends it. Fails if the input cannot be read: then the remote
    /// one is not ended. A program need not take all of it.
    pub(super) async fn feed(self, mut stdin: ChannelWriter) -> io::Result<()> {
        let taken = match self {
            Self::Piped => Ok(()),
            Self::Bytes(bytes) => stdin.write_all(&bytes).await,
            Self::Reader(mut reader) => {
                let mut buffer = BytesMut::with_capacity(INPUT_BYTES);
                loop {
                    match reader.read_buf(&mut buffer).await {
                        Ok(0) => break Ok(()),
                        Ok(_) => {}
                        // Without a shutdown: no EOF.
                        Err(error) => return Err(error),
                    }
                    if let Err(error) = stdin.write_all(&buffer).await {
                        break Err(error);
                    }
                    buffer.clear();
                }
            }
        };
        let ended = match taken {
            Ok(()) => stdin.shutdown().await,
            refused => refused,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "the program did not take all of its input");
        }
        Ok(())
    }
}

/// Where standard output or error goes.
pub struct Sink(Target);

pub(super) enum Target {
    Piped,
    Null,
    File { path: PathBuf, append: bool },
    Writer(Writer),
    Merge,
}

impl Sink {
    /// To the program that started it: [`Job::stdout`](super::Job::stdout), or the
    /// [`Output`](crate::Output) of [`Exec::output`](super::Exec::output).
    pub const fn piped() -> Self {
        Self(Target::Piped)
    }

    /// Nowhere: it is read and thrown away.
    pub const fn null() -> Self {
        Self(Target::Null)
    }

    /// To a local file, which is made or emptied.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Target::File {
            path: path.into(),
            append: false,
        })
    }

    /// To the end of a local file, which is made if there is none.
    pub fn append(path: impl Into<PathBuf>) -> Self {
        Self(Target::File {
            path: path.into(),
            append: true,
        })
    }

    /// To a writer: a local child's input, a socket, another remote program's input. It is shut down at the end.
    pub fn writer(writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Target::Writer(Box::new(writer)))
    }

    /// For standard error only: where standard output goes. Pieces of both stand there in the order in which they were
    /// found here, which need not be the order in which the program wrote them: they are two streams. Of standard output
    /// it says that it stays where it is.
    pub const fn merge() -> Self {
        Self(Target::Merge)
    }

    pub(super) const fn is_piped(&self) -> bool {
        matches!(self.0, Target::Piped)
    }

    pub(super) const fn is_merge(&self) -> bool {
        matches!(self.0, Target::Merge)
    }

    pub(super) async fn open(self) -> Result<OpenSink, Error> {
        let (path, append) = match self.0 {
            Target::Piped | Target::Merge => return Ok(OpenSink::Piped),
            Target::Null => return Ok(OpenSink::Null),
            Target::Writer(writer) => return Ok(OpenSink::Writer(writer)),
            Target::File { path, append } => (path, append),
        };
        let mut options = OpenOptions::new();
        options.create(true).append(append).write(true).truncate(!append);
        match options.open(&path).await {
            Ok(file) => Ok(OpenSink::Writer(Box::new(file))),
            Err(source) => Err(local(path, "open", source)),
        }
    }
}

fn local(path: PathBuf, step: &'static str, source: io::Error) -> Error {
    Error::Local { path, step, source }
}

/// A sink whose file is open.
pub(super) enum OpenSink {
    Piped,
    Null,
    Writer(Writer),
}

/// Why a stream was not moved to its end.
pub(super) enum Stuck {
    /// The remote stream broke off.
    Remote(ChannelError),
    /// The sink takes no more.
    Sink(io::Error),
    /// More came than is to be collected.
    TooLong,
}

/// Writes all of a remote stream to `writer` and shuts it down.
pub(super) async fn pour(mut from: RemoteOutput, mut writer: Writer) -> Result<(), Stuck> {
    while let Some(chunk) = from.next_chunk().await.map_err(Stuck::Remote)? {
        writer.write_all(&chunk).await.map_err(Stuck::Sink)?;
        // What waits in a buffer reaches nobody while the program is silent, and neither does its failure.
        writer.flush().await.map_err(Stuck::Sink)?;
    }
    writer.shutdown().await.map_err(Stuck::Sink)
}

/// Reads a remote stream to its end for nobody.
pub(super) async fn discard(mut from: RemoteOutput) -> Result<(), Stuck> {
    while from.next_chunk().await.map_err(Stuck::Remote)?.is_some() {}
    Ok(())
}

/// Collects a remote stream, up to `limit` bytes.
pub(super) async fn gather(mut from: RemoteOutput, into: &mut Vec<u8>, limit: usize) -> Result<(), Stuck> {
    while let Some(chunk) = from.next_chunk().await.map_err(Stuck::Remote)? {
        if into.len().saturating_add(chunk.len()) > limit {
            return Err(Stuck::TooLong);
        }
        into.extend_from_slice(&chunk);
    }
    Ok(())
}

/// A remote program's output: one of its streams, or both of them merged.
pub struct RemoteOutput {
    /// Whose turn it is; an ended one is let go.
    next: Option<ChannelReader>,
    other: Option<ChannelReader>,
    /// The rest of a piece of which a part was read.
    rest: Bytes,
}

impl RemoteOutput {
    pub(super) fn new(stream: ChannelReader, merged: Option<ChannelReader>) -> Self {
        Self {
            next: Some(stream),
            other: merged,
            rest: Bytes::new(),
        }
    }

    /// The next piece as it arrived, without a copy; `None` at the end. May be dropped: nothing is lost.
    ///
    /// # Errors
    /// If the connection ended, or the channel was closed here.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, ChannelError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        std::future::poll_fn(|cx| self.poll_next_chunk(cx)).await
    }

    fn poll_next_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ChannelError>> {
        // Each is asked once, so that none of them waits behind the other for ever.
        for _ in 0..2 {
            std::mem::swap(&mut self.next, &mut self.other);
            let Some(reader) = &mut self.other else { continue };
            match reader.poll_next_chunk(cx)? {
                Poll::Ready(Some(chunk)) => return Poll::Ready(Ok(Some(chunk))),
                Poll::Ready(None) => self.other = None,
                Poll::Pending => {}
            }
        }
        if self.next.is_none() && self.other.is_none() {
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }
}

impl AsyncRead for RemoteOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.poll_next_chunk(cx))? {
                Some(chunk) => self.rest = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(into.remaining());
        into.put_slice(self.rest.get(..count).unwrap_or_default());
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}
