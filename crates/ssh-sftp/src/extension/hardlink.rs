//! `hardlink@openssh.com` (OpenSSH `PROTOCOL` §4.5): hard links, which version 3 lacks.

use crate::extension::extension;
use crate::messages::layout;

layout! {
    /// Makes `new_path` another name of `old_path`.
    pub struct HardLink {
        /// The file as it is called.
        pub old_path: Vec<u8>,
        /// Its second name; must not exist.
        pub new_path: Vec<u8>,
    }
}

extension!(HardLink = "hardlink@openssh.com", "1", (), true);
