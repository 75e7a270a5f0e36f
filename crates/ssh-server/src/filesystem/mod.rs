//! What stands behind the SFTP subsystem: a file system as the requests of draft-ietf-secsh-filexfer-02 see it.
//!
//! ```text
//!  Filesystem ──open──▶ Arc<dyn File>              read_at, write_at: at the same time from several threads
//!             └─open_directory──▶ Box<dyn Directory>    one reader, entry by entry
//! ```
//!
//! Three decisions:
//!
//! * Names and paths are bytes. Nothing here assumes a character set.
//! * The methods may block: they are called on threads kept for that, several requests in one go, never on the threads
//!   of the asynchronous runtime. Storage that is asynchronous itself enters it with
//!   [`Handle::block_on`](tokio::runtime::Handle::block_on).
//! * Every method has a default that refuses with [`Unsupported`](io::ErrorKind::Unsupported), so that a read-only or
//!   virtual file system implements what it has.
//!
//! [`Local`] is the file system of this machine. A file system confined to a directory, a read-only one and one in
//! memory are further implementations of the same trait.

mod local;
mod longname;

use std::io;
use std::sync::Arc;

use crate::sftp::extension::StatVfsReply;
use crate::sftp::{Attributes, Name, OpenFlags, Status, StatusCode};

pub use local::Local;

/// A tree of files behind the SFTP subsystem. Paths may be relative: to where a session starts.
///
/// An error becomes the status of its kind with its text as the message. To answer with a status of one's own,
/// return it as the error: `Err(Status::failure("not today").into())`.
pub trait Filesystem: Send + Sync + 'static {
    /// Opens a file (§6.3). `attributes` count only for a file that is created.
    fn open(&self, path: &[u8], flags: OpenFlags, attributes: &Attributes) -> io::Result<Arc<dyn File>> {
        let _ = (path, flags, attributes);
        unsupported()
    }

    /// Opens a directory for reading its entries (§6.7).
    fn open_directory(&self, path: &[u8]) -> io::Result<Box<dyn Directory>> {
        let _ = path;
        unsupported()
    }

    /// The attributes of what `path` leads to, symbolic links followed (§6.8).
    fn stat(&self, path: &[u8]) -> io::Result<Attributes> {
        let _ = path;
        unsupported()
    }

    /// The attributes of `path` itself, even if it is a symbolic link (§6.8).
    fn lstat(&self, path: &[u8]) -> io::Result<Attributes> {
        let _ = path;
        unsupported()
    }

    /// Changes those attributes that are there (§6.9). A size cuts or extends the file and leaves the rest of its
    /// content alone.
    fn set_stat(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let _ = (path, attributes);
        unsupported()
    }

    /// As [`set_stat`](Filesystem::set_stat), but of a symbolic link itself (`lsetstat@openssh.com`).
    fn set_link_stat(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let _ = (path, attributes);
        unsupported()
    }

    /// Removes a file, never a directory (§6.5).
    fn remove(&self, path: &[u8]) -> io::Result<()> {
        let _ = path;
        unsupported()
    }

    /// Makes a directory (§6.6).
    fn make_directory(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let _ = (path, attributes);
        unsupported()
    }

    /// Removes an empty directory (§6.6).
    fn remove_directory(&self, path: &[u8]) -> io::Result<()> {
        let _ = path;
        unsupported()
    }

    /// Renames; it is an error if `to` exists (§6.5).
    fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let _ = (from, to);
        unsupported()
    }

    /// Renames and replaces `to` atomically (`posix-rename@openssh.com`).
    fn posix_rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let _ = (from, to);
        unsupported()
    }

    /// Gives `existing` a second name (`hardlink@openssh.com`).
    fn hard_link(&self, existing: &[u8], new: &[u8]) -> io::Result<()> {
        let _ = (existing, new);
        unsupported()
    }

    /// Makes the symbolic link `link` with the content `target` (§6.10).
    fn symlink(&self, target: &[u8], link: &[u8]) -> io::Result<()> {
        let _ = (target, link);
        unsupported()
    }

    /// What the symbolic link `path` contains (§6.10).
    fn read_link(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let _ = path;
        unsupported()
    }

    /// The absolute path of `path` without links, `.` and `..` (§6.11). Its last component need not exist; an empty
    /// path is where the session starts.
    fn real_path(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let _ = path;
        unsupported()
    }

    /// Space and limits of the volume that holds `path` (`statvfs@openssh.com`).
    fn volume(&self, path: &[u8]) -> io::Result<StatVfsReply> {
        let _ = path;
        unsupported()
    }
}

/// An open file. Its methods are called from several threads at once, never twice at once for ranges that overlap.
pub trait File: Send + Sync {
    /// Appends up to `length` bytes from `offset` on to `into` and says how many; 0 is the end of the file (§6.4).
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        let _ = (offset, length, into);
        unsupported()
    }

    /// Writes all of `data` at `offset` (§6.4).
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _ = (offset, data);
        unsupported()
    }

    /// The attributes of this file (§6.8).
    fn stat(&self) -> io::Result<Attributes> {
        unsupported()
    }

    /// Changes those attributes that are there (§6.9).
    fn set_stat(&self, attributes: &Attributes) -> io::Result<()> {
        let _ = attributes;
        unsupported()
    }

    /// Returns when what was written has reached the storage (`fsync@openssh.com`).
    fn sync(&self) -> io::Result<()> {
        unsupported()
    }

    /// Space and limits of the volume that holds this file (`fstatvfs@openssh.com`).
    fn volume(&self) -> io::Result<StatVfsReply> {
        unsupported()
    }
}

/// An open directory.
pub trait Directory: Send {
    /// The next entry in any order, `None` at the end. Its attributes are those of the entry itself (a link is not
    /// followed). An entry that vanished while it was looked at is left out.
    fn next(&mut self) -> io::Result<Option<Name>>;
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The status an error is answered with: its own if it is one; the code of its kind and its text otherwise. "No space
/// left on device" has no code in version 3, so the words matter.
pub(crate) fn status(error: &io::Error) -> Status {
    if let Some(status) = error.get_ref().and_then(|inner| inner.downcast_ref::<Status>()) {
        return status.clone();
    }
    let code = match error.kind() {
        // A volume that is read-only is no matter of the user's rights, and there is no code for it.
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::UnexpectedEof => StatusCode::FAILURE,
        kind => StatusCode::from_io(kind),
    };
    let text = error.to_string();
    // The standard library adds the number of the error, which says nothing to people on another system.
    Status::with_message(code, text.split(" (os error").next().unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn errors_of_the_system_keep_their_meaning() {
        let check = |errno: Errno, code: StatusCode, message: &str| {
            assert_eq!(
                status(&errno.into()),
                Status::with_message(code, message),
                "{errno:?}"
            );
        };
        check(
            Errno::NOENT,
            StatusCode::NO_SUCH_FILE,
            "No such file or directory",
        );
        check(Errno::NOTDIR, StatusCode::NO_SUCH_FILE, "Not a directory");
        check(Errno::ACCESS, StatusCode::PERMISSION_DENIED, "Permission denied");
        check(
            Errno::PERM,
            StatusCode::PERMISSION_DENIED,
            "Operation not permitted",
        );
        check(
            Errno::NOSYS,
            StatusCode::OP_UNSUPPORTED,
            "Function not implemented",
        );
        check(
            Errno::OPNOTSUPP,
            StatusCode::OP_UNSUPPORTED,
            "Operation not supported",
        );
        check(Errno::NOSPC, StatusCode::FAILURE, "No space left on device");
        check(Errno::ROFS, StatusCode::FAILURE, "Read-only file system");
        check(Errno::EXIST, StatusCode::FAILURE, "File exists");
        check(Errno::NOTEMPTY, StatusCode::FAILURE, "Directory not empty");
        check(Errno::DQUOT, StatusCode::FAILURE, "Disk quota exceeded");
        check(Errno::IO, StatusCode::FAILURE, "Input/output error");
    }

    #[test]
    fn a_status_of_ones_own_is_answered_as_it_is() {
        let own = Status::with_message(StatusCode::PERMISSION_DENIED, "not today");
        assert_eq!(status(&own.clone().into()), own);
    }

    #[test]
    fn what_a_file_system_does_not_implement_is_unsupported() {
        struct Nothing;
        impl Filesystem for Nothing {}
        impl File for Nothing {}
        let check = |error: Option<io::Error>| {
            assert_eq!(status(&error.unwrap()).code, StatusCode::OP_UNSUPPORTED);
        };
        check(Nothing.open(b"/", OpenFlags::READ, &Attributes::default()).err());
        check(Nothing.open_directory(b"/").err());
        check(Nothing.remove(b"/").err());
        check(Nothing.real_path(b".").err());
        check(Nothing.write_at(0, b"x").err());
        check(Nothing.sync().err());
    }
}
