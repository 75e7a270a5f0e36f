//! Files of the server, by calls that wait.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Engine;
use crate::error::Error;
use crate::sftp_protocol::{Attributes, Name, OpenFlags};

/// An SFTP session: [`crate::Sftp`].
#[derive(Clone)]
pub struct Sftp {
    engine: Arc<Engine>,
    inner: crate::Sftp,
}

/// An open file of the server: [`crate::sftp::File`]. Dropping it closes it; [`close`](Self::close) also says whether
/// everything was written.
pub struct File {
    engine: Arc<Engine>,
    inner: crate::sftp::File,
}

/// An open directory of the server, its names one by one: [`crate::sftp::Directory`]. Dropping it closes it.
pub struct Directory {
    engine: Arc<Engine>,
    inner: crate::sftp::Directory,
}

impl Sftp {
    pub(super) fn new(engine: &Arc<Engine>, inner: crate::Sftp) -> Self {
        Self {
            engine: Arc::clone(engine),
            inner,
        }
    }

    fn file(&self, opening: impl Future<Output = Result<crate::sftp::File, Error>>) -> Result<File, Error> {
        Ok(File {
            inner: self.engine.run(opening)?,
            engine: Arc::clone(&self.engine),
        })
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::open`].
    pub fn open(&self, path: impl AsRef<[u8]>) -> Result<File, Error> {
        self.file(self.inner.open(path))
    }

    /// Makes a file, or empties it, for writing.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::create`].
    pub fn create(&self, path: impl AsRef<[u8]>) -> Result<File, Error> {
        self.file(self.inner.create(path))
    }

    /// Opens a file in any way.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::open_with`].
    pub fn open_with(
        &self,
        path: impl AsRef<[u8]>,
        flags: OpenFlags,
        attributes: Attributes,
    ) -> Result<File, Error> {
        self.file(self.inner.open_with(path, flags, attributes))
    }

    /// Copies a file of the server here, and says how many bytes it has.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::get`].
    pub fn get(&self, remote: impl AsRef<[u8]>, local: impl AsRef<Path>) -> Result<u64, Error> {
        self.engine.run(self.inner.get(remote, local))
    }

    /// Copies a file from here to the server, and says how many bytes it has.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::put`].
    pub fn put(&self, local: impl AsRef<Path>, remote: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.engine.run(self.inner.put(local, remote))
    }

    /// The attributes of what `path` leads to.
    ///
    /// # Errors
    /// What the server says.
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Attributes, Error> {
        self.engine.run(self.inner.stat(path))
    }

    /// The attributes of `path` itself, be it a symbolic link.
    ///
    /// # Errors
    /// What the server says.
    pub fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Attributes, Error> {
        self.engine.run(self.inner.lstat(path))
    }

    /// Whether there is something.
    ///
    /// # Errors
    /// What the server says, unless it is that there is nothing.
    pub fn exists(&self, path: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.engine.run(self.inner.exists(path))
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// What the server says.
    pub fn set_stat(&self, path: impl AsRef<[u8]>, attributes: Attributes) -> Result<(), Error> {
        self.engine.run(self.inner.set_stat(path, attributes))
    }

    /// What is in a directory.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::read_dir`].
    pub fn read_dir(&self, path: impl AsRef<[u8]>) -> Result<Vec<Name>, Error> {
        self.engine.run(self.inner.read_dir(path))
    }

    /// Opens a directory for reading its names one by one.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::open_dir`].
    pub fn open_dir(&self, path: impl AsRef<[u8]>) -> Result<Directory, Error> {
        Ok(Directory {
            inner: self.engine.run(self.inner.open_dir(path))?,
            engine: Arc::clone(&self.engine),
        })
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// What the server says.
    pub fn mkdir(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.engine.run(self.inner.mkdir(path))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the server says.
    pub fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.engine.run(self.inner.rmdir(path))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the server says.
    pub fn remove(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.engine.run(self.inner.remove(path))
    }

    /// Gives something another name.
    ///
    /// # Errors
    /// Those of [`crate::Sftp::rename`].
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Error> {
        self.engine.run(self.inner.rename(from, to))
    }

    /// The whole path of something.
    ///
    /// # Errors
    /// What the server says.
    pub fn real_path(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        self.engine.run(self.inner.real_path(path))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// What the server says.
    pub fn symlink(&self, target: impl AsRef<[u8]>, link: impl AsRef<[u8]>) -> Result<(), Error> {
        self.engine.run(self.inner.symlink(target, link))
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// What the server says.
    pub fn read_link(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        self.engine.run(self.inner.read_link(path))
    }
}

impl File {
    /// Its attributes.
    ///
    /// # Errors
    /// What the server says.
    pub fn stat(&self) -> Result<Attributes, Error> {
        self.engine.run(self.inner.stat())
    }

    /// Cuts it, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the server says.
    pub fn set_len(&self, size: u64) -> Result<(), Error> {
        self.engine.run(self.inner.set_len(size))
    }

    /// Waits until what was written is on the server's disk.
    ///
    /// # Errors
    /// Those of [`crate::sftp::File::sync`].
    pub fn sync(&self) -> Result<(), Error> {
        self.engine.run(self.inner.sync())
    }

    /// Waits for everything that was written, closes it, and says whether all of that went well.
    ///
    /// # Errors
    /// The first refusal of the server.
    pub fn close(self) -> Result<(), Error> {
        let Self { engine, inner } = self;
        engine.run(inner.close())
    }
}

/// What comes behind an error is worth nothing.
impl Iterator for Directory {
    type Item = Result<Name, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.engine.run(self.inner.next()).transpose()
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.engine
            .block_on(self.inner.read(into))
            .map_err(io::Error::other)?
    }
}

impl Write for File {
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

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (self.inner.position(), by),
            SeekFrom::End(by) => {
                let size = self.stat().map_err(io::Error::other)?.size;
                (size.ok_or(io::ErrorKind::Unsupported)?, by)
            }
        };
        let position = from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        // Asking where it is, as `stream_position` does, forgets nothing that was read ahead.
        if position != self.inner.position() {
            self.inner.set_position(position);
        }
        Ok(position)
    }
}
