//! A directory that nobody else can look into, for the sockets and files of one connection.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fd::AsRawFd;
use rustix::fs::{Mode, OFlags};

use crate::aside::{EndsAside, OWN_PATHS, aside};
use crate::tokio_driver::system_rng;

/// Such a directory; dropping it removes it with all that is in it.
#[derive(Debug)]
pub(crate) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one without holding up the event loop: its path, and what it goes with.
    pub(crate) async fn make_aside() -> io::Result<(PathBuf, EndsAside<Self>)> {
        let made = || Self::make().map(|made| (made.path().to_owned(), EndsAside::new(&OWN_PATHS, made)));
        aside(&OWN_PATHS, made).await
    }

    /// Makes one in the system's directory for temporary files. That nobody guesses the name is a courtesy: one that is
    /// there already is never used.
    pub(crate) fn make() -> io::Result<Self> {
        let mut noise = [0_u8; 10];
        system_rng()?.fill_bytes(&mut noise);
        let name: String = noise
            .iter()
            .filter_map(|byte| char::from_digit(u32::from(*byte) % 36, 36))
            .collect();
        let path = absolute(&std::env::temp_dir()).join(format!("ssh-{name}"));
        DirBuilder::new().mode(PRIVATE).create(&path)?;
        let directory = Self(path);
        directory.give_to_its_user()?;
        Ok(directory)
    }

    /// Gives the directory bits that this process's own mask has taken. Where others may write to the directory around
    /// it, somebody may have put something else in its place: only what is this user's directory is changed.
    fn give_to_its_user(&self) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = File::from(rustix::fs::open(&self.0, flags, Mode::empty())?);
        let found = directory.metadata()?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if found.mode() & 0o777 == PRIVATE {
            return Ok(());
        }
        let own = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        fs::set_permissions(own, Permissions::from_mode(PRIVATE))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a directory stays behind");
        }
    }
}

/// The directory by a name that is right everywhere: the programs that are told it run in a user's home. One that has no
/// such name (an empty one has none) gives way to the system's own.
fn absolute(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| PathBuf::from("/tmp"))
}

/// The user's alone.
const PRIVATE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_users_alone_and_goes_with_all_that_is_in_it() {
        let directory = PrivateDirectory::make().unwrap();
        let path = directory.path().to_owned();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.is_dir());
        assert_eq!(found.mode() & 0o7777, 0o700);
        assert_eq!(found.uid(), rustix::process::geteuid().as_raw());
        fs::write(path.join("file"), "text").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn its_name_is_right_in_every_working_directory() {
        let here = std::env::current_dir().unwrap();
        for (named, expected) in [
            ("relative/place", here.join("relative/place")),
            (".", here.clone()),
            ("/var/tmp", PathBuf::from("/var/tmp")),
            ("", PathBuf::from("/tmp")),
        ] {
            assert_eq!(absolute(Path::new(named)), expected, "{named:?}");
        }
    }

    #[test]
    fn what_somebody_put_in_its_place_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        DirBuilder::new().mode(0o750).create(&target).unwrap();
        let mode = || fs::metadata(&target).unwrap().mode() & 0o777;
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let replaced = PrivateDirectory(link.clone());
        assert!(replaced.give_to_its_user().is_err());
        assert_eq!(mode(), 0o750);
        drop(replaced);
        assert!(target.exists() && !link.exists());
        // And bits that are missing come back.
        let own = PrivateDirectory(target.clone());
        fs::set_permissions(&target, Permissions::from_mode(0o0)).unwrap();
        own.give_to_its_user().unwrap();
        assert_eq!(mode(), 0o700);
    }
}
