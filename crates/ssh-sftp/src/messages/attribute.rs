//! Retrieving file attributes (draft §6.8), setting them (§6.9).

use crate::Attributes;
use crate::messages::{Answer, Handle, Reply, layout, requests};

layout! {
    /// `SSH_FXP_STAT` (§6.8): follows symbolic links.
    pub struct Stat {
        /// The file.
        pub path: Vec<u8>,
    }
    /// `SSH_FXP_LSTAT` (§6.8): does not follow a last symbolic link.
    pub struct LStat {
        /// The file.
        pub path: Vec<u8>,
    }
    /// `SSH_FXP_FSTAT` (§6.8).
    pub struct FStat {
        /// The open file.
        pub handle: Handle,
    }
    /// `SSH_FXP_SETSTAT` (§6.9).
    pub struct SetStat {
        /// The file.
        pub path: Vec<u8>,
        /// What to change.
        pub attributes: Attributes,
    }
    /// `SSH_FXP_FSETSTAT` (§6.9).
    pub struct FSetStat {
        /// The open file.
        pub handle: Handle,
        /// What to change.
        pub attributes: Attributes,
    }
}

requests! {
    LStat = 7, "SSH_FXP_LSTAT", Attributes, |_| false;
    FStat = 8, "SSH_FXP_FSTAT", Attributes, |_| false;
    SetStat = 9, "SSH_FXP_SETSTAT", (), |_| true;
    FSetStat = 10, "SSH_FXP_FSETSTAT", (), |_| true;
    Stat = 17, "SSH_FXP_STAT", Attributes, |_| false;
}

impl Answer for Attributes {
    fn fits(reply: &Reply) -> bool {
        matches!(reply, Reply::Attributes(_))
    }
    fn from_reply(reply: Reply) -> Option<Self> {
        match reply {
            Reply::Attributes(attributes) => Some(attributes),
            _ => None,
        }
    }
}
