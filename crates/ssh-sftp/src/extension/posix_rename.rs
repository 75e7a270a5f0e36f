//! `posix-rename@openssh.com` (OpenSSH `PROTOCOL` §4.3): rename as POSIX has it, over whatever is there.

use crate::extension::extension;
use crate::messages::layout;

layout! {
    /// Renames a file, atomically replacing `new_path` where it exists.
    pub struct PosixRename {
        /// The file as it is called.
        pub old_path: Vec<u8>,
        /// What it will be called.
        pub new_path: Vec<u8>,
    }
}

extension!(PosixRename = "posix-rename@openssh.com", "1", (), true);
