//! Asynchronous streams as those of the standard library.

use std::io::{self, Read, Write};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Engine;
use crate::error::Error;
use crate::reader::{Match, ReadError};

/// An asynchronous stream to be read by calls that wait.
pub struct ReadStream<R> {
    engine: Arc<Engine>,
    inner: R,
}

impl<R: AsyncRead + Unpin> ReadStream<R> {
    pub(super) fn new(engine: &Arc<Engine>, inner: R) -> Self {
        Self {
            engine: Arc::clone(engine),
            inner,
        }
    }

    /// The stream itself: for [`Input::reader`](crate::Input::reader), say.
    pub fn into_async(self) -> R {
        self.inner
    }

    /// Reads it by lines, patterns and counts.
    pub fn reader(self) -> Reader<R> {
        Reader {
            engine: self.engine,
            inner: crate::Reader::new(self.inner),
        }
    }
}

impl<R: AsyncRead + Unpin> Read for ReadStream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.engine
            .block_on(self.inner.read(into))
            .map_err(io::Error::other)?
    }
}

/// An asynchronous stream to be written by calls that wait.
pub struct WriteStream<W> {
    engine: Arc<Engine>,
    inner: W,
}

impl<W: AsyncWrite + Unpin> WriteStream<W> {
    pub(super) fn new(engine: &Arc<Engine>, inner: W) -> Self {
        Self {
            engine: Arc::clone(engine),
            inner,
        }
    }

    /// Ends the stream: the other side reads its end.
    ///
    /// # Errors
    /// If it is closed already, or the connection is over.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.engine
            .block_on(self.inner.shutdown())
            .map_err(io::Error::other)?
    }

    /// The stream itself: for [`Sink::writer`](crate::Sink::writer), say.
    pub fn into_async(self) -> W {
        self.inner
    }
}

impl<W: AsyncWrite + Unpin> Write for WriteStream<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.engine
            .block_on(self.inner.write(data))
            .map_err(io::Error::other)?
    }

    fn flush(&mut self) -> io::Result<()> {
        self.engine
            .block_on(self.inner.flush())
            .map_err(io::Error::other)?
    }
}

/// A stream read by lines, patterns and counts: [`crate::Reader`].
pub struct Reader<R> {
    engine: Arc<Engine>,
    inner: crate::Reader<R>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The longest line, or text up to a pattern, that is looked for, in bytes.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self {
            inner: self.inner.limit(bytes),
            ..self
        }
    }

    /// The next line, without its end; `None` at the end of the stream.
    ///
    /// # Errors
    /// Those of [`crate::Reader::next_line`].
    pub fn next_line(&mut self) -> Result<Option<String>, ReadError> {
        self.engine.block_on(self.inner.next_line()).map_err(inside)?
    }

    /// Everything up to `pattern`, which is read and left out.
    ///
    /// # Errors
    /// Those of [`crate::Reader::read_until`].
    pub fn read_until(&mut self, pattern: &[u8]) -> Result<Vec<u8>, ReadError> {
        self.engine
            .block_on(self.inner.read_until(pattern))
            .map_err(inside)?
    }

    /// Everything up to the first of several patterns.
    ///
    /// # Errors
    /// Those of [`crate::Reader::read_until_any`].
    pub fn read_until_any(&mut self, patterns: &[&[u8]]) -> Result<Match, ReadError> {
        self.engine
            .block_on(self.inner.read_until_any(patterns))
            .map_err(inside)?
    }

    /// So many bytes, no less and no more.
    ///
    /// # Errors
    /// Those of [`crate::Reader::read_exactly`].
    pub fn read_exactly(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        self.engine
            .block_on(self.inner.read_exactly(count))
            .map_err(inside)?
    }

    /// The next piece of text as it comes; `None` at the end.
    ///
    /// # Errors
    /// Those of [`crate::Reader::next_text`].
    pub fn next_text(&mut self) -> Result<Option<String>, ReadError> {
        self.engine.block_on(self.inner.next_text()).map_err(inside)?
    }
}

fn inside(error: Error) -> ReadError {
    ReadError::Io(io::Error::other(error))
}
