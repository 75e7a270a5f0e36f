//! Joins a channel to a stream: what forwarding does with its connections.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::channel_handle::{Channel, ChannelReader, ChannelWriter};
use crate::wire::bytes::BytesMut;

/// What one read of the stream asks for, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Moves bytes between `channel` and `stream` until both directions have ended. The end of one direction is passed on
/// and leaves the other open; a failure ends both, and once the channel is closed the stream is not waited for. Bytes
/// for the stream are written as they arrived, without a copy.
pub async fn relay<S: AsyncRead + AsyncWrite>(channel: Channel, stream: S) -> io::Result<()> {
    let mut parts = channel.split();
    // Nobody reads standard error here: kept, this reader would let it fill the window that the data needs.
    drop(parts.stderr_reader);
    let (from_stream, to_stream) = tokio::io::split(stream);
    let collected = async {
        tokio::select! {
            collected = collect(from_stream, parts.writer) => collected,
            // Nobody takes what the stream may still say.
            () = parts.control.closed() => Ok(()),
        }
    };
    tokio::try_join!(deliver(parts.reader, to_stream), collected)?;
    Ok(())
}

async fn deliver(mut channel: ChannelReader, mut stream: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(chunk) = channel.next_chunk().await? {
        stream.write_all(&chunk).await?;
    }
    stream.shutdown().await
}

async fn collect(mut stream: impl AsyncRead + Unpin, mut channel: ChannelWriter) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    while stream.read_buf(&mut buffer).await? > 0 {
        channel.write_all(&buffer).await?;
        buffer.clear();
    }
    channel.shutdown().await
}
