//! Moving bytes between a channel and something local, and the end of a channel.
//!
//! Both directions are as lazy as the slower side: from the channel comes the received chunk itself, and its credit
//! goes back to the peer only when it has been written; to the channel goes what one read gave, and the next read
//! waits until the channel has taken it. While nothing moves, no buffer is held.

use std::future::Future;
use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{tcp, unix};

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

/// Which side stopped a transfer that did not reach its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The channel or the connection is gone.
    Channel,
    /// The local side failed.
    Local(io::Error),
}

/// Everything from `source` to the channel; it is left to the caller to say EOF.
pub(crate) async fn to_channel(source: &impl Source, writer: &mut ChannelWriter) -> Result<(), Stopped> {
    loop {
        source.readable().await.map_err(Stopped::Local)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        loop {
            match source.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    writer.write_all(&buffer).await.map_err(|_| Stopped::Channel)?;
                    buffer.clear();
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
const BUFFER_BYTES: usize = 128 * 1024;
