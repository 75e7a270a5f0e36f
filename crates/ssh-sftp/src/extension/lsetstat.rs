//! `lsetstat@openssh.com` (OpenSSH `PROTOCOL` §4.7): SETSTAT that does not follow a last symbolic link.

use crate::Attributes;
use crate::extension::extension;
use crate::messages::layout;

layout! {
    /// Sets attributes of the file itself, even when it is a symbolic link.
    pub struct LSetStat {
        /// The file.
        pub path: Vec<u8>,
        /// What to change.
        pub attributes: Attributes,
    }
}

extension!(LSetStat = "lsetstat@openssh.com", "1", (), true);
