//! Standard streams as asynchronous ones, fast: a thread each, large blocks, blocks that are used again.
//!
//! Tokio's own standard streams send every block through its thread pool; for a program whose whole work is to move
//! bytes that is most of the cost.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Signal, getpid, kill_process};
use ssh_client::tokio_driver::ChannelReader;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Bytes read or written with one call.
const BLOCK_BYTES: usize = 128 * 1024;
/// Blocks on their way between a thread and the program.
const BLOCKS: usize = 4;

/// A standard stream as blocks of bytes, read by a thread ahead of whoever takes them.
pub(crate) struct Blocks {
    filled: mpsc::Receiver<io::Result<Vec<u8>>>,
    spare: mpsc::Sender<Vec<u8>>,
}

impl Blocks {
    /// Starts the thread. One that waits for a terminal cannot be woken: it is left behind when the program ends.
    ///
    /// # Errors
    /// The stream is closed.
    pub(crate) fn read(from: impl AsFd) -> io::Result<Self> {
        let mut file = duplicate(from)?;
        let (sender, filled) = mpsc::channel::<io::Result<Vec<u8>>>(BLOCKS);
        let (spare, mut spares) = mpsc::channel::<Vec<u8>>(BLOCKS);
        std::thread::spawn(move || {
            loop {
                let mut block = spares.try_recv().unwrap_or_else(|_| vec![0; BLOCK_BYTES]);
                block.resize(BLOCK_BYTES, 0);
                let sent = match file.read(&mut block) {
                    Ok(0) => break,
                    Ok(count) => {
                        block.truncate(count);
                        sender.blocking_send(Ok(block))
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => sender.blocking_send(Err(error)),
                };
                if sent.is_err() {
                    break;
                }
            }
        });
        Ok(Self { filled, spare })
    }

    /// The next one; `None` at the end. May be dropped: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.filled.recv().await
    }

    /// Gives one back to be filled again.
    pub(crate) fn give_back(&self, block: Vec<u8>) {
        let _ = self.spare.try_send(block);
    }
}

/// Reads a standard stream to its end into `to`, then ends `to` as well. Ends early, without an error, when `to` takes
/// no more: the other side may have seen enough.
pub(crate) async fn pump_in(from: impl AsFd, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut blocks = Blocks::read(from)?;
    while let Some(block) = blocks.next().await {
        let block = block?;
        if to.write_all(&block).await.is_err() {
            return Ok(());
        }
        blocks.give_back(block);
    }
    // A remote program that has ended already does not need to hear that its input has, too.
    let _ = to.shutdown().await;
    Ok(())
}

/// A standard stream as a place to write blocks to, in order; the thread behind it ends with this value.
pub(crate) struct Out {
    blocks: mpsc::Sender<Vec<u8>>,
    spares: mpsc::Receiver<Vec<u8>>,
    done: tokio::task::JoinHandle<io::Result<()>>,
}

impl Out {
    /// Starts the thread.
    ///
    /// # Errors
    /// The stream is closed.
    pub(crate) fn start(to: impl AsFd) -> io::Result<Self> {
        let mut file = duplicate(to)?;
        let (blocks, mut filled) = mpsc::channel::<Vec<u8>>(BLOCKS);
        let (spare, spares) = mpsc::channel(BLOCKS);
        let done = tokio::task::spawn_blocking(move || {
            while let Some(block) = filled.blocking_recv() {
                file.write_all(&block)?;
                let _ = spare.try_send(block);
            }
            Ok(())
        });
        Ok(Self { blocks, spares, done })
    }

    /// An empty block to fill.
    pub(crate) fn block(&mut self) -> Vec<u8> {
        let mut block = self
            .spares
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(BLOCK_BYTES));
        block.clear();
        block
    }

    /// Hands a block over. False when the stream takes no more.
    pub(crate) async fn write(&self, block: Vec<u8>) -> bool {
        self.blocks.send(block).await.is_ok()
    }

    /// Waits until everything has been written.
    ///
    /// # Errors
    /// What the stream said: a full disk, a reader that went away.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.blocks);
        self.done
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Writes what a remote stream brings to one of ours, until it ends.
///
/// # Errors
/// Ours takes no more, and why. What the remote stream still brings is thrown away then: its other stream must not be
/// held up by our trouble.
pub(crate) async fn drain(mut from: ChannelReader, mut to: Out) -> io::Result<()> {
    loop {
        let mut block = to.block();
        match from.read_buf(&mut block).await {
            Ok(1..) if to.write(block).await => {}
            // The end of the connection is told by whoever waits for the program.
            _ => break,
        }
    }
    drop(from);
    to.finish().await
}

/// Ends a remote program's input at once.
pub(crate) async fn end(mut input: impl AsyncWrite + Unpin) -> io::Result<()> {
    let _ = input.shutdown().await;
    Ok(())
}

/// Stops this program, as `^Z` does, until somebody goes on with it.
///
/// # Errors
/// The system does not send the signal.
pub(crate) fn suspend() -> io::Result<()> {
    kill_process(getpid(), Signal::TSTP)?;
    Ok(())
}

fn duplicate(stream: impl AsFd) -> io::Result<File> {
    let own: OwnedFd = stream.as_fd().try_clone_to_owned()?;
    Ok(File::from(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocks_arrive_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let data: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut out = Out::start(File::create(&path).unwrap()).unwrap();
        for part in data.chunks(50_000) {
            let mut block = out.block();
            block.extend_from_slice(part);
            assert!(out.write(block).await);
        }
        out.finish().await.unwrap();
        let mut copy = io::Cursor::new(Vec::new());
        pump_in(File::open(&path).unwrap(), &mut copy).await.unwrap();
        assert!(copy.into_inner() == data);
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        let Ok(full) = File::options().write(true).open("/dev/full") else {
            return;
        };
        let out = Out::start(full).unwrap();
        out.write(vec![0; 10]).await;
        assert_eq!(out.finish().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
