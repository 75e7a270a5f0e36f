//! `expand-path@openssh.com` (OpenSSH `PROTOCOL` §4.9): REALPATH that knows `~` and `~user`.

use crate::extension::extension;
use crate::messages::layout;

layout! {
    /// Asks for the canonical form of a path that may begin with a tilde.
    pub struct ExpandPath {
        /// The path.
        pub path: Vec<u8>,
    }
}

extension!(ExpandPath = "expand-path@openssh.com", "1", Vec<u8>, false);
