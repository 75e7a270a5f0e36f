//! Moving bytes between a channel and something local, and the end of a channel.
//!
//! Both directions are as lazy as the slower side: from the channel comes the received chunk itself, and its credit
//! goes back to the peer only when it has been written; to the channel goes what one read gave, and the next read
//! waits until the channel has taken it. While nothing moves, no buffer is held; what a peer gives no credit for is held,
//! in a large buffer as long as its connection has not too many of them ([`Buffers`]).

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{tcp, unix};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::channel::ChannelRequest;
use crate::tokio_driver::{ChannelControl, ChannelReader, ChannelWriter};

/// Something that can be asked whether it has bytes before a buffer is held out.
pub(crate) trait Source {
    /// Waits until reading is worth a try.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Appends what is there to `buffer`, within its capacity; 0 is the end.
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

impl Source for pipe::Receiver {
    async fn readable(&self) -> io::Result<()> {
        pipe::Receiver::readable(self).await
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }
}

impl Source for tcp::OwnedReadHalf {
    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }
}

impl Source for unix::OwnedReadHalf {
    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }
}

/// The buffers of one connection: some are large, all others small. A client that opens a thousand channels and gives no
/// credit on any has this much held for it, and no more. Clones are the same buffers.
#[derive(Clone, Debug)]
pub(crate) struct Buffers(Arc<Semaphore>);

impl Default for Buffers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_BUFFERS)))
    }
}

impl Buffers {
    fn take(&self) -> Buffer {
        let large = Arc::clone(&self.0).try_acquire_owned().ok();
        let size = if large.is_some() { LARGE_BYTES } else { SMALL_BYTES };
        Buffer {
            bytes: Vec::with_capacity(size),
            _large: large,
        }
    }
}

/// A buffer, until it is dropped.
struct Buffer {
    bytes: Vec<u8>,
    _large: Option<OwnedSemaphorePermit>,
}

/// Which side stopped a transfer that did not reach its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The channel or the connection is gone.
    Channel,
    /// The local side failed.
    Local(io::Error),
}

/// Everything from `source` to the channel; it is left to the caller to say EOF.
pub(crate) async fn to_channel(
    source: &impl Source,
    writer: &mut ChannelWriter,
    buffers: &Buffers,
) -> Result<(), Stopped> {
    loop {
        source.readable().await.map_err(Stopped::Local)?;
        let mut buffer = buffers.take();
        loop {
            match source.try_read(&mut buffer.bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    writer
                        .write_all(&buffer.bytes)
                        .await
                        .map_err(|_| Stopped::Channel)?;
                    buffer.bytes.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Stopped::Local(error)),
            }
        }
    }
}

/// Everything from the channel to `sink`, which is shut down at the channel's EOF.
pub(crate) async fn from_channel(
    reader: &mut ChannelReader,
    mut sink: impl AsyncWrite + Unpin,
) -> Result<(), Stopped> {
    while let Some(chunk) = reader.next_chunk().await.map_err(|_| Stopped::Channel)? {
        sink.write_all(&chunk).await.map_err(Stopped::Local)?;
    }
    sink.shutdown().await.map_err(Stopped::Local)
}

/// Takes what nobody wants, so that the peer's window moves on, until there will be no more; then waits for ever.
pub(crate) async fn discard(mut reader: ChannelReader) {
    while let Ok(Some(_)) = reader.next_chunk().await {}
    std::future::pending().await
}

/// Says how it ended, then EOF, then CLOSE. What was written before is on its way already.
pub(crate) fn finish(control: &ChannelControl, how: ChannelRequest) {
    let said = control.send_request(&how).and_then(|()| control.eof());
    if let Err(error) = said {
        tracing::debug!(%error, "the channel was gone before its end could be told");
    }
    control.close();
}

/// What one read may bring. A large one saves wake-ups; it is held only while data flows.
const LARGE_BYTES: usize = 128 * 1024;
/// How many of them a connection has at once: 8 MiB.
const LARGE_BUFFERS: usize = 64;
/// What one read may bring on its other streams.
const SMALL_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_holds_few_large_buffers_and_small_ones_besides() {
        let buffers = Buffers::default();
        let take = || {
            let buffer = buffers.clone().take();
            (buffer.bytes.capacity(), buffer)
        };
        let mut held: Vec<_> = (0..LARGE_BUFFERS + 1).map(|_| take()).collect();
        let sizes: Vec<_> = held.iter().map(|(size, _)| *size).collect();
        assert!(sizes[..LARGE_BUFFERS].iter().all(|size| *size == LARGE_BYTES));
        assert_eq!(sizes[LARGE_BUFFERS], SMALL_BYTES);
        // One that comes back is there for the next stream, whichever that is.
        drop(held.remove(0));
        assert_eq!(take().0, LARGE_BYTES);
        assert_eq!(
            Buffers::default().take().bytes.capacity(),
            LARGE_BYTES,
            "another connection"
        );
    }
}
