//! Files on the server (draft-ietf-secsh-filexfer-02, version 3, with OpenSSH's extensions).
//!
//! ```text
//!  client.sftp() ──▶ Sftp ── stat, read_dir, rename, … ──▶ one request, one answer
//!                     ├── open ──▶ File ── read_at, write_at, AsyncRead, AsyncWrite, close
//!                     ├── open_dir ──▶ Directory ── names one by one
//!                     └── get, put ──▶ many requests at once, progress, errors that name both files
//! ```
//!
//! Paths are bytes, as they are on the server. Every call may be dropped at any point; what is open is closed then.

mod deadline;
mod directory;
mod error;
mod file;
mod local;
mod read_ahead;
mod reads;
mod session;
mod transfer;

use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;
use crate::kex::Quirk;
use crate::sftp_protocol::client::Limits;
use crate::sftp_protocol::extension::PosixRename;
use crate::sftp_protocol::messages::{
    LStat, MkDir, Open, ReadLink, RealPath, Remove, Rename, RmDir, SetStat, Stat, Symlink,
};
use crate::sftp_protocol::{Attributes, Extensions, Handle, Name, OpenFlags, Request, StatusCode};
use session::Session;

pub use directory::Directory;
pub use error::{SessionEnd, SftpError, SftpFault, shown};
pub use file::File;
pub use transfer::Progress;

/// The most bytes of names and long names that one listing takes: some millions of files.
pub const MAX_LISTING_BYTES: usize = 512 * 1024 * 1024;

/// An SFTP session. Clones share it; it ends when the last one and the last open [`File`] are gone.
#[derive(Clone)]
pub struct Sftp {
    session: Session,
    /// The server has the paths of a symbolic link in the order of the draft.
    draft_symlink: bool,
}

impl Client {
    /// Starts an SFTP session.
    ///
    /// # Errors
    /// [`Error::RequestRefused`] if the server has no such subsystem, [`Error::OpenTimeout`] if it does not answer
    /// within [`Timeouts::open`](crate::Timeouts::open).
    pub async fn sftp(&self) -> Result<Sftp, Error> {
        let process = self.subsystem("sftp").spawn().await?;
        match self
            .in_time("an SFTP session", Session::start(process, self.sftp_limit()))
            .await?
        {
            Ok(session) => Ok(Sftp {
                session,
                draft_symlink: self.handle().quirks().has(Quirk::DraftSymlink),
            }),
            Err(end) => Err(SftpFault::Ended(Arc::new(end)).at("start", b"sftp").into()),
        }
    }
}

impl Sftp {
    /// What the server announced.
    pub fn extensions(&self) -> &Extensions {
        self.session.extensions()
    }

    /// How large single reads and writes may be; safe values until the first request was answered.
    pub fn limits(&self) -> Limits {
        self.session.limits()
    }

    /// Why the session is over, if it is: no call on it will succeed any more. The connection may live on.
    pub fn why_ended(&self) -> Option<Arc<SessionEnd>> {
        self.session.why_ended()
    }

    /// Any request of the protocol. `operation` and `path` are for the error.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn request<R: Request>(
        &self,
        request: R,
        operation: &'static str,
        path: &[u8],
    ) -> Result<R::Answer, Error> {
        Ok(self
            .session
            .call(request)
            .await
            .map_err(|fault| fault.at(operation, path))?)
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn open(&self, path: impl AsRef<[u8]>) -> Result<File, Error> {
        self.open_with(path, OpenFlags::READ, Attributes::default()).await
    }

    /// Opens a file for writing; it is created, or emptied.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn create(&self, path: impl AsRef<[u8]>) -> Result<File, Error> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        self.open_with(path, flags, Attributes::default()).await
    }

    /// Opens a file in any way; `attributes` are for one that is created.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn open_with(
        &self,
        path: impl AsRef<[u8]>,
        flags: OpenFlags,
        attributes: Attributes,
    ) -> Result<File, Error> {
        let path = path.as_ref();
        Ok(self
            .open_raw(path, flags, attributes)
            .await
            .map_err(|fault| fault.at("open", path))?)
    }

    async fn open_raw(
        &self,
        path: &[u8],
        flags: OpenFlags,
        attributes: Attributes,
    ) -> Result<File, SftpFault> {
        let open = Open {
            path: path.to_vec(),
            flags,
            attributes,
        };
        self.opened(open, path).await
    }

    /// Opens a file or a directory. It is made where the answer arrives: if nobody waits any more, dropping it closes
    /// the handle.
    async fn opened<R: Request<Answer = Handle>>(&self, request: R, path: &[u8]) -> Result<File, SftpFault> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (session, path) = (self.session.clone(), path.to_vec());
        self.session.send(request, move |answer| {
            let _closed = sender.send(answer.map(|handle| File::new(session, handle, path)));
        });
        receiver
            .await
            .unwrap_or_else(|_gone| Err(SftpFault::Ended(SessionEnd::Closed.into())))
    }

    /// The attributes of what `path` leads to.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn stat(&self, path: impl AsRef<[u8]>) -> Result<Attributes, Error> {
        let path = path.as_ref();
        self.request(Stat { path: path.to_vec() }, "stat", path).await
    }

    /// The attributes of `path` itself, even if it is a symbolic link.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Attributes, Error> {
        let path = path.as_ref();
        self.request(LStat { path: path.to_vec() }, "lstat", path).await
    }

    /// Whether `path` leads to anything.
    ///
    /// # Errors
    /// What the server answers, but for "no such file".
    pub async fn exists(&self, path: impl AsRef<[u8]>) -> Result<bool, Error> {
        match self.stat(path).await {
            Ok(_) => Ok(true),
            Err(Error::Sftp(SftpError {
                source: SftpFault::Refused(status),
                ..
            })) if status.code == StatusCode::NO_SUCH_FILE => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets those attributes that are there.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn set_stat(&self, path: impl AsRef<[u8]>, attributes: Attributes) -> Result<(), Error> {
        let path = path.as_ref();
        let request = SetStat {
            path: path.to_vec(),
            attributes,
        };
        self.request(request, "set attributes of", path).await
    }

    /// The names in a directory, [`MAX_LISTING_BYTES`] of them at most, `.` and `..` left out, in the server's order. A
    /// name that could lead elsewhere (one with a slash or a NUL in it) is left out: no honest server sends one.
    /// [`open_dir`](Self::open_dir) gives them one by one, and holds none.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn read_dir(&self, path: impl AsRef<[u8]>) -> Result<Vec<Name>, Error> {
        let path = path.as_ref();
        let mut directory = self.open_dir(path).await?;
        let mut names = Vec::new();
        let mut bytes: usize = 0;
        while let Some(name) = directory.next().await? {
            let taken = name.filename.len().saturating_add(name.longname.len());
            bytes = bytes.saturating_add(taken);
            if bytes > MAX_LISTING_BYTES {
                let fault = SftpFault::NamesTooLong {
                    limit: MAX_LISTING_BYTES,
                };
                return Err(fault.at("list", path).into());
            }
            names.push(name);
        }
        directory.close().await?;
        Ok(names)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn mkdir(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = path.as_ref();
        let request = MkDir {
            path: path.to_vec(),
            attributes: Attributes::default(),
        };
        self.request(request, "make directory", path).await
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = path.as_ref();
        self.request(RmDir { path: path.to_vec() }, "remove directory", path)
            .await
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn remove(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = path.as_ref();
        self.request(Remove { path: path.to_vec() }, "remove", path).await
    }

    /// Gives a file another name. What had that name before is replaced at once where the server can
    /// (`posix-rename@openssh.com`), and is in the way where it cannot.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Error> {
        let (old_path, new_path) = (from.as_ref().to_vec(), to.as_ref().to_vec());
        if self.extensions().supports::<PosixRename>() {
            self.request(PosixRename { old_path, new_path }, "rename", from.as_ref())
                .await
        } else {
            self.request(Rename { old_path, new_path }, "rename", from.as_ref())
                .await
        }
    }

    /// The absolute path of `path`, as the server sees it. That of `.` is where relative paths begin.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn real_path(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let path = path.as_ref();
        self.request(RealPath { path: path.to_vec() }, "resolve", path)
            .await
    }

    /// Makes `link` lead to `target`.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn symlink(&self, target: impl AsRef<[u8]>, link: impl AsRef<[u8]>) -> Result<(), Error> {
        let request = Symlink {
            target: target.as_ref().to_vec(),
            link: link.as_ref().to_vec(),
        };
        let request = if self.draft_symlink {
            request.in_draft_order()
        } else {
            request
        };
        self.request(request, "make link", link.as_ref()).await
    }

    /// Where a link leads. The server's bytes: check them before following them.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn read_link(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let path = path.as_ref();
        self.request(ReadLink { path: path.to_vec() }, "read link", path)
            .await
    }
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sftp")
            .field("limits", &self.limits())
            .finish_non_exhaustive()
    }
}
