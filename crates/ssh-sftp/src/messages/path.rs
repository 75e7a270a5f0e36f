//! Removing and renaming files (draft §6.5), symbolic links (§6.10), canonical names (§6.11).

use crate::messages::{Answer, Reply, layout, requests};

layout! {
    /// `SSH_FXP_REMOVE` (§6.5): files, not directories.
    pub struct Remove {
        /// The file.
        pub path: Vec<u8>,
    }
    /// `SSH_FXP_RENAME` (§6.5): fails where `new_path` exists.
    pub struct Rename {
        /// The file as it is called.
        pub old_path: Vec<u8>,
        /// What it will be called.
        pub new_path: Vec<u8>,
    }
    /// `SSH_FXP_READLINK` (§6.10).
    pub struct ReadLink {
        /// The symbolic link.
        pub path: Vec<u8>,
    }
    /// `SSH_FXP_SYMLINK` (§6.10), in the order that stands on the wire almost everywhere: OpenSSH's first release sent
    /// the two paths the other way round than the draft has them, and servers and clients followed it (OpenSSH
    /// `PROTOCOL` §4.1). For the others there is [`in_draft_order`](Symlink::in_draft_order).
    pub struct Symlink {
        /// What the link will point to, stored as it is.
        pub target: Vec<u8>,
        /// The link to create.
        pub link: Vec<u8>,
    }
    /// `SSH_FXP_REALPATH` (§6.11).
    pub struct RealPath {
        /// Any path, mostly a relative one.
        pub path: Vec<u8>,
    }
}

requests! {
    Remove = 13, "SSH_FXP_REMOVE", (), |_| true;
    RealPath = 16, "SSH_FXP_REALPATH", Vec<u8>, |_| false;
    Rename = 18, "SSH_FXP_RENAME", (), |_| true;
    ReadLink = 19, "SSH_FXP_READLINK", Vec<u8>, |_| false;
    Symlink = 20, "SSH_FXP_SYMLINK", (), |_| true;
}

impl Symlink {
    /// The same request for a peer that has the two paths in the order of the draft
    /// ([`Quirk::DraftSymlink`](crate::kex::Quirk)).
    #[must_use]
    pub fn in_draft_order(self) -> Self {
        Self {
            target: self.link,
            link: self.target,
        }
    }
}

/// One path, as NAME with exactly one entry.
impl Answer for Vec<u8> {
    fn fits(reply: &Reply) -> bool {
        matches!(reply, Reply::Names(names) if names.len() == 1)
    }
    fn from_reply(reply: Reply) -> Option<Self> {
        match reply {
            Reply::Names(names) if names.len() == 1 => names.into_iter().next().map(|name| name.filename),
            _ => None,
        }
    }
}
