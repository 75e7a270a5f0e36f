//! A directory that nobody else can look into, for the sockets and files of one connection.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::tokio_driver::system_rng;

/// Such a directory; dropping it removes it with all that is in it.
#[derive(Debug)]
pub(crate) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one in the system's directory for temporary files. That nobody guesses the name is a courtesy: one that is
    /// there already is never used.
    pub(crate) fn make() -> io::Result<Self> {
        let mut noise = [0_u8; 10];
        system_rng()?.fill_bytes(&mut noise);
        let name: String = noise
            .iter()
            .filter_map(|byte| char::from_digit(u32::from(*byte) % 36, 36))
            .collect();
        let path = std::env::temp_dir().join(format!("ssh-{name}"));
        DirBuilder::new().mode(PRIVATE).create(&path)?;
        let directory = Self(path);
        // This process's own mask may have taken bits that the user needs; nobody else can have got at it since.
        fs::set_permissions(directory.path(), Permissions::from_mode(PRIVATE))?;
        Ok(directory)
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

/// The user's alone.
const PRIVATE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

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
}
