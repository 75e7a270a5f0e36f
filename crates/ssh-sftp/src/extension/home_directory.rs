//! `home-directory` (draft-ietf-secsh-filexfer-extensions-00 §5, OpenSSH `PROTOCOL` §4.11): where a user lives.

use crate::extension::extension;
use crate::messages::layout;

layout! {
    /// Asks for a user's home directory.
    pub struct HomeDirectory {
        /// The user; empty for whoever is logged in.
        pub user: Vec<u8>,
    }
}

extension!(HomeDirectory = "home-directory", "1", Vec<u8>, false);
