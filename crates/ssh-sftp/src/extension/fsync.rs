//! `fsync@openssh.com` (OpenSSH `PROTOCOL` §4.6): have an open file written to its medium.

use crate::extension::extension;
use crate::messages::{Handle, layout};

layout! {
    /// Returns when everything written to the file is on its medium.
    pub struct Fsync {
        /// The open file.
        pub handle: Handle,
    }
}

extension!(Fsync = "fsync@openssh.com", "1", (), true);
