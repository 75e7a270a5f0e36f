//! The application behind the servers that are measured: a source, a sink and an echo. Its commands are a shell's, so
//! that OpenSSH's server does the same for the same words.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::roles::{BLOCK, Direction};

/// The command that moves `bytes`. Up, it says one byte when it has them all.
pub(crate) fn bulk(direction: Direction, bytes: u64) -> String {
    match direction {
        Direction::Up => format!("head -c {bytes} >/dev/null && printf x"),
        Direction::Down => format!("head -c {bytes} /dev/zero"),
    }
}

/// The command that says again what it hears.
pub(crate) const ECHO: &str = "cat";

/// Does what `command` says.
pub(crate) async fn serve(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), command: &str) {
    let number = command.split(' ').nth(2).and_then(|word| word.parse().ok());
    // A peer that goes away in the middle ends the work; nothing is to be told.
    let _ = match number {
        None => echo(stream).await,
        Some(bytes) if command == bulk(Direction::Down, bytes) => send(stream, bytes).await,
        Some(bytes) => sink(stream, bytes).await,
    };
    let _ = stream.shutdown().await;
    // Closing at once would be allowed; a program would still be asked for its end.
    let _ = stream.read(&mut [0]).await;
}

/// Writes `bytes` zeros.
pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: u64) -> std::io::Result<()> {
    let block = vec![0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(BLOCK as u64) as usize;
        stream.write_all(&block[..part]).await?;
        left -= part as u64;
    }
    stream.flush().await
}

async fn sink(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: u64) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut seen = 0;
    while seen < bytes {
        match stream.read(&mut block).await? {
            0 => return Ok(()),
            count => seen += count as u64,
        }
    }
    stream.write_all(b"x").await
}

/// Small blocks, as `cat` would have for small input: an echo that waits should cost its connection, not its buffer.
async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut block = [0; 512];
    loop {
        let count = stream.read(&mut block).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&block[..count]).await?;
        stream.flush().await?;
    }
}
