//! The local side of a transfer: a file read or written by a thread where blocking is allowed, beside the network.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::wire::bytes::Bytes;

/// Pieces that may wait between the network and the disk.
const PIECES: usize = 16;

/// Opens `path` for reading; only a regular file, since others may block for ever. Also its size and its mode.
pub(super) async fn open(path: &Path) -> io::Result<(File, u64, u32)> {
    let path = path.to_owned();
    crate::blocking(move || {
        check_regular(&path)?;
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata.len(), mode(&metadata)))
    })
    .await
}

/// The pieces of a file, read ahead.
pub(super) struct Source {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl Source {
    /// Reads `file` in pieces of `piece_bytes`.
    pub(super) fn new(mut file: File, piece_bytes: usize) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            loop {
                let piece = read_piece(&mut file, piece_bytes);
                let last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
                // An end, a failure, or nobody there to take it.
                if sender.blocking_send(piece).is_err() || last {
                    return;
                }
            }
        });
        Self { pieces }
    }

    /// The next piece, full but for the last; an empty one is the end.
    pub(super) async fn next(&mut self) -> io::Result<Bytes> {
        self.pieces.recv().await.unwrap_or_else(|| Ok(Bytes::new()))
    }
}

fn read_piece(file: &mut File, bytes: usize) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(bytes);
    let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut piece)?;
    Ok(piece.into())
}

/// A file written at any offset, by a thread of its own.
pub(super) struct Sink {
    pieces: mpsc::Sender<(u64, Bytes)>,
    thread: JoinHandle<io::Result<File>>,
}

impl Sink {
    /// Creates or empties `path`. A file that is made gets these permission bits, as far as the umask lets it.
    pub(super) async fn create(path: &Path, permissions: u32) -> io::Result<Self> {
        let path = path.to_owned();
        let file = crate::blocking(move || create(path, permissions)).await?;
        let (pieces, mut arriving) = mpsc::channel::<(u64, Bytes)>(PIECES);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some((offset, piece)) = arriving.blocking_recv() {
                write_all_at(&file, &piece, offset)?;
            }
            Ok(file)
        });
        Ok(Self { pieces, thread })
    }

    /// Hands a piece to the disk, and waits while it is far behind. False if writing has failed:
    /// [`finish`](Self::finish) says why.
    pub(super) async fn write(&self, offset: u64, piece: Bytes) -> bool {
        self.pieces.send((offset, piece)).await.is_ok()
    }

    /// Waits until everything is written, and cuts the file to `length`.
    pub(super) async fn finish(self, length: u64) -> io::Result<()> {
        drop(self.pieces);
        let file = match self.thread.await {
            Ok(written) => written?,
            Err(error) => return Err(io::Error::other(error)),
        };
        crate::blocking(move || {
            // What is no regular file has no length to set: /dev/null, a terminal.
            let metadata = file.metadata()?;
            if metadata.is_file() && metadata.len() != length {
                file.set_len(length)?;
            }
            Ok(())
        })
        .await
    }
}

fn create(path: PathBuf, permissions: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, permissions | 0o600);
    if path.exists() {
        check_writable_kind(&path)?;
    }
    options.open(path)
}

fn check_regular(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// A named pipe blocks until somebody reads it, which may be never.
#[cfg(unix)]
fn check_writable_kind(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_writable_kind(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, piece: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, piece, offset)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, piece: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(piece)
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
}

#[cfg(not(unix))]
fn mode(_metadata: &std::fs::Metadata) -> u32 {
    0o644
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_and_end_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("source");
        std::fs::write(&path, b"abcdefg").unwrap();
        let (file, size, _) = open(&path).await.unwrap();
        assert_eq!(size, 7);
        let mut source = Source::new(file, 3);
        for expected in [&b"abc"[..], b"def", b"g", b"", b""] {
            assert_eq!(source.next().await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_sink_takes_pieces_in_any_order_and_is_cut_to_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sink");
        std::fs::write(&path, b"what was there before").unwrap();
        let sink = Sink::create(&path, 0o600).await.unwrap();
        assert!(sink.write(3, Bytes::from_static(b"defgh")).await);
        assert!(sink.write(0, Bytes::from_static(b"abc")).await);
        sink.finish(7).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdefg");
    }

    #[tokio::test]
    async fn what_is_no_regular_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path(), Path::new("/dev/zero")] {
            let error = open(path).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}", path.display());
        }
        assert!(Sink::create(directory.path(), 0o600).await.is_err());
    }

    #[tokio::test]
    async fn a_full_disk_is_reported_when_the_transfer_finishes() {
        let sink = Sink::create(Path::new("/dev/full"), 0o600).await.unwrap();
        sink.write(0, Bytes::from_static(b"x")).await;
        let error = sink.finish(1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
