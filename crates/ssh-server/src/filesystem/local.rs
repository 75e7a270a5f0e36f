//! The file system of this machine, with the rights of this process.
//!
//! Paths mean what they mean to any program: links are followed, `..` goes up, nothing is confined (a confined file
//! system is another implementation of [`Filesystem`]). What is special to serving:
//!
//! * Nothing that opens can wait for somebody: a FIFO or a device is opened without blocking, a directory is not a
//!   file.
//! * Changing attributes never goes through an open that truncates.
//! * Reads and writes carry their offset, so that any number of them may be under way on one file.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, StatVfs, StatVfsMountFlags, Timespec,
    Timestamps, Uid,
};
use rustix::io::{Errno, retry_on_intr};

use super::longname::LongNames;
use super::{Directory, File, Filesystem};
use crate::sftp::extension::StatVfsReply;
use crate::sftp::{Attributes, Name, OpenFlags};

/// The file system of this machine; relative paths begin in one directory, usually the user's home.
#[derive(Clone, Debug)]
pub struct Local {
    start: PathBuf,
    long_names: Arc<OnceLock<LongNames>>,
}

impl Local {
    /// The file system with `start` as the directory that relative paths begin in.
    pub fn new(start: impl Into<PathBuf>) -> Self {
        Self {
            start: start.into(),
            long_names: Arc::default(),
        }
    }

    /// `path` as the system shall see it. An empty path and a NUL lead nowhere.
    fn resolve(&self, path: &[u8]) -> io::Result<PathBuf> {
        if path.is_empty() || path.contains(&0) {
            return Err(Errno::NOENT.into());
        }
        Ok(self.start.join(OsStr::from_bytes(path)))
    }
}

impl Filesystem for Local {
    fn open(&self, path: &[u8], flags: OpenFlags, attributes: &Attributes) -> io::Result<Arc<dyn File>> {
        let path = self.resolve(path)?;
        let mode = Mode::from_raw_mode(attributes.permissions.unwrap_or(NEW_FILE_MODE) & MODE_BITS);
        let file = retry_on_intr(|| fs::open(&path, open_flags(flags), mode))?;
        let file = std::fs::File::from(file);
        if file.metadata()?.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        Ok(Arc::new(LocalFile(file)))
    }

    fn open_directory(&self, path: &[u8]) -> io::Result<Box<dyn Directory>> {
        let path = self.resolve(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| fs::open(&path, flags, Mode::empty()))?;
        let entries = fs::Dir::read_from(&directory)?;
        Ok(Box::new(LocalDirectory {
            directory,
            entries,
            long_names: self.long_names.clone(),
            opened: SystemTime::now(),
        }))
    }

    fn stat(&self, path: &[u8]) -> io::Result<Attributes> {
        Ok(of_metadata(&std::fs::metadata(self.resolve(path)?)?))
    }

    fn lstat(&self, path: &[u8]) -> io::Result<Attributes> {
        Ok(of_metadata(&std::fs::symlink_metadata(self.resolve(path)?)?))
    }

    fn set_stat(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let path = self.resolve(path)?;
        apply(
            &Target::Path {
                path: &path,
                follow: AtFlags::empty(),
            },
            attributes,
        )
    }

    fn set_link_stat(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let path = self.resolve(path)?;
        apply(
            &Target::Path {
                path: &path,
                follow: AtFlags::SYMLINK_NOFOLLOW,
            },
            attributes,
        )
    }

    fn remove(&self, path: &[u8]) -> io::Result<()> {
        std::fs::remove_file(self.resolve(path)?)
    }

    fn make_directory(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let mode = Mode::from_raw_mode(attributes.permissions.unwrap_or(NEW_DIRECTORY_MODE) & MODE_BITS);
        Ok(fs::mkdir(self.resolve(path)?, mode)?)
    }

    fn remove_directory(&self, path: &[u8]) -> io::Result<()> {
        std::fs::remove_dir(self.resolve(path)?)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        match fs::renameat_with(fs::CWD, &from, fs::CWD, &to, RenameFlags::NOREPLACE) {
            // File systems and kernels that cannot promise it in one step. Looking first leaves a gap in which the
            // target can appear, which is as good as it gets there.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if std::fs::symlink_metadata(&to).is_ok() {
                    return Err(Errno::EXIST.into());
                }
                Ok(std::fs::rename(&from, &to)?)
            }
            result => Ok(result?),
        }
    }

    fn posix_rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        std::fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn hard_link(&self, existing: &[u8], new: &[u8]) -> io::Result<()> {
        std::fs::hard_link(self.resolve(existing)?, self.resolve(new)?)
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> io::Result<()> {
        // The target is the link's content: it is stored as it came, relative or not.
        if target.is_empty() || target.contains(&0) {
            return Err(Errno::NOENT.into());
        }
        std::os::unix::fs::symlink(OsStr::from_bytes(target), self.resolve(link)?)
    }

    fn read_link(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        Ok(std::fs::read_link(self.resolve(path)?)?
            .into_os_string()
            .into_vec())
    }

    fn real_path(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        // Clients ask for the real path of nothing at all to learn where they are.
        let path = self.resolve(if path.is_empty() { b"." } else { path })?;
        let real = match std::fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match (path.parent(), path.file_name()) {
                    (Some(parent), Some(leaf)) => std::fs::canonicalize(parent)?.join(leaf),
                    _ => return Err(error),
                }
            }
            result => result?,
        };
        Ok(real.into_os_string().into_vec())
    }

    fn volume(&self, path: &[u8]) -> io::Result<StatVfsReply> {
        Ok(of_statvfs(&fs::statvfs(self.resolve(path)?)?))
    }
}

#[derive(Debug)]
struct LocalFile(std::fs::File);

impl File for LocalFile {
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        if length == 0 {
            return Ok(0);
        }
        let before = into.len();
        into.reserve_exact(length);
        // The system fills memory that was never zeroed. A vector may hold more room than was asked for; what lies
        // beyond the wanted length is cut off again.
        let count = retry_on_intr(|| rustix::io::pread(&self.0, spare_capacity(into), offset))?.min(length);
        into.truncate(before.saturating_add(count));
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn stat(&self) -> io::Result<Attributes> {
        Ok(of_metadata(&self.0.metadata()?))
    }

    fn set_stat(&self, attributes: &Attributes) -> io::Result<()> {
        apply(&Target::File(&self.0), attributes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn volume(&self) -> io::Result<StatVfsReply> {
        Ok(of_statvfs(&fs::fstatvfs(&self.0)?))
    }
}

struct LocalDirectory {
    directory: OwnedFd,
    entries: fs::Dir,
    long_names: Arc<OnceLock<LongNames>>,
    opened: SystemTime,
}

impl Directory for LocalDirectory {
    fn next(&mut self) -> io::Result<Option<Name>> {
        while let Some(entry) = self.entries.read() {
            let entry = entry?;
            let stat = match fs::statat(&self.directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let name = entry.file_name().to_bytes().to_vec();
            let long_name = self
                .long_names
                .get_or_init(LongNames::load)
                .line(&name, &stat, self.opened);
            return Ok(Some(Name {
                filename: name,
                longname: long_name,
                attributes: of_stat(&stat),
            }));
        }
        Ok(None)
    }
}

/// What attributes are changed on.
enum Target<'a> {
    Path { path: &'a Path, follow: AtFlags },
    File(&'a std::fs::File),
}

/// Changes everything that `attributes` name and reports the first thing that failed.
///
/// All of it is tried: a client that keeps times and modes sends both in one request, and a mode that cannot be set is no
/// reason to lose the time. The order matters: a new size sets the time, a new owner clears set-user-id bits.
fn apply(target: &Target<'_>, attributes: &Attributes) -> io::Result<()> {
    let mut first = Ok(());
    let mut note = |result: Result<(), Errno>| {
        if first.is_ok() {
            first = result.map_err(io::Error::from);
        }
    };
    if let Some(size) = attributes.size {
        note(set_size(target, size));
    }
    if let Some((uid, gid)) = attributes.uid_gid {
        note(set_owner(target, Uid::from_raw(uid), Gid::from_raw(gid)));
    }
    if let Some(permissions) = attributes.permissions {
        note(set_mode(target, Mode::from_raw_mode(permissions & MODE_BITS)));
    }
    if let Some((accessed, modified)) = attributes.atime_mtime {
        let at = |seconds: u32| Timespec {
            tv_sec: seconds.into(),
            tv_nsec: 0,
        };
        note(set_times(
            target,
            &Timestamps {
                last_access: at(accessed),
                last_modification: at(modified),
            },
        ));
    }
    first
}

fn set_size(target: &Target<'_>, size: u64) -> Result<(), Errno> {
    match target {
        Target::File(file) => fs::ftruncate(file, size),
        Target::Path { follow, .. } if !follow.is_empty() => Err(Errno::INVAL),
        Target::Path { path, .. } => {
            // Opened without truncating, so that a file that cannot be opened for writing keeps its content, and
            // without blocking, should the path lead to a FIFO.
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = retry_on_intr(|| fs::open(*path, flags, Mode::empty()))?;
            fs::ftruncate(file.as_fd(), size)
        }
    }
}

fn set_owner(target: &Target<'_>, uid: Uid, gid: Gid) -> Result<(), Errno> {
    match target {
        Target::File(file) => fs::fchown(file, Some(uid), Some(gid)),
        Target::Path { path, follow } => fs::chownat(fs::CWD, *path, Some(uid), Some(gid), *follow),
    }
}

fn set_mode(target: &Target<'_>, mode: Mode) -> Result<(), Errno> {
    match target {
        Target::File(file) => fs::fchmod(file, mode),
        Target::Path { path, follow } if follow.is_empty() => fs::chmod(*path, mode),
        Target::Path { path, .. } => set_own_mode(path, mode),
    }
}

/// Changes the mode of `path` itself; a symbolic link has none that could be changed. Linux has no call for this that
/// all its file systems know: what was opened without following is reached by the name of its descriptor.
fn set_own_mode(path: &Path, mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = retry_on_intr(|| fs::open(path, flags, Mode::empty()))?;
    if FileType::from_raw_mode(fs::fstat(&found)?.st_mode) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), mode)
}

fn set_times(target: &Target<'_>, times: &Timestamps) -> Result<(), Errno> {
    match target {
        Target::File(file) => fs::futimens(file, times),
        Target::Path { path, follow } => fs::utimensat(fs::CWD, *path, times, *follow),
    }
}

fn open_flags(flags: OpenFlags) -> OFlags {
    let mut system = match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    for (flag, equivalent) in [
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::CREATE, OFlags::CREATE),
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::EXCLUSIVE, OFlags::EXCL),
    ] {
        if flags.contains(flag) {
            system |= equivalent;
        }
    }
    // A FIFO without a peer or a modem without carrier must not hold a thread for ever, and no terminal may become
    // this process's own.
    system | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

fn of_metadata(found: &Metadata) -> Attributes {
    Attributes {
        size: Some(found.size()),
        uid_gid: Some((found.uid(), found.gid())),
        permissions: Some(found.mode()),
        atime_mtime: Some((seconds(found.atime()), seconds(found.mtime()))),
        ..Attributes::default()
    }
}

fn of_stat(found: &Stat) -> Attributes {
    Attributes {
        size: u64::try_from(found.st_size).ok(),
        uid_gid: Some((found.st_uid, found.st_gid)),
        permissions: Some(found.st_mode),
        atime_mtime: Some((seconds(found.st_atime), seconds(found.st_mtime))),
        ..Attributes::default()
    }
}

fn of_statvfs(found: &StatVfs) -> StatVfsReply {
    let flag = |set: StatVfsMountFlags, flag: u64| if found.f_flag.contains(set) { flag } else { 0 };
    StatVfsReply {
        block_bytes: found.f_bsize,
        fragment_bytes: found.f_frsize,
        blocks: found.f_blocks,
        free_blocks: found.f_bfree,
        available_blocks: found.f_bavail,
        files: found.f_files,
        free_files: found.f_ffree,
        available_files: found.f_favail,
        id: found.f_fsid,
        flags: flag(StatVfsMountFlags::RDONLY, StatVfsReply::READ_ONLY)
            | flag(StatVfsMountFlags::NOSUID, StatVfsReply::NO_SET_UID),
        max_name_bytes: found.f_namemax,
    }
}

/// The protocol counts seconds in 32 bits without a sign: times outside are the nearest there is.
fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// Permissions of files and directories whose creator names none; the process's umask takes its share.
const NEW_FILE_MODE: u32 = 0o666;
const NEW_DIRECTORY_MODE: u32 = 0o777;
/// The part of a mode that can be set.
const MODE_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests;
