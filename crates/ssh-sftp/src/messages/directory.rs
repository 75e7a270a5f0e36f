//! Creating and deleting directories (draft §6.6), scanning them (§6.7).

use crate::Attributes;
use crate::messages::{Answer, Handle, Reply, layout, requests};

layout! {
    /// `SSH_FXP_MKDIR` (§6.6).
    pub struct MkDir {
        /// The new directory.
        pub path: Vec<u8>,
        /// Its attributes; most servers heed the permissions alone.
        pub attributes: Attributes,
    }
    /// `SSH_FXP_RMDIR` (§6.6).
    pub struct RmDir {
        /// The directory, which must be empty.
        pub path: Vec<u8>,
    }
    /// `SSH_FXP_OPENDIR` (§6.7).
    pub struct OpenDir {
        /// The directory.
        pub path: Vec<u8>,
    }
    /// `SSH_FXP_READDIR` (§6.7): the next names; the status EOF when there are no more.
    pub struct ReadDir {
        /// A handle that OPENDIR gave.
        pub handle: Handle,
    }
    /// One entry of `SSH_FXP_NAME` (§7).
    pub struct Name {
        /// The name, without its directory. The server's word: see [`is_plain`](Self::is_plain).
        pub filename: Vec<u8>,
        /// A line as `ls -l` shows it: for the eye, never to be parsed.
        pub longname: Vec<u8>,
        /// The attributes the server chose to add.
        pub attributes: Attributes,
    }
}

requests! {
    MkDir = 14, "SSH_FXP_MKDIR", (), |_| true;
    RmDir = 15, "SSH_FXP_RMDIR", (), |_| true;
    OpenDir = 11, "SSH_FXP_OPENDIR", Handle, |_| false;
    ReadDir = 12, "SSH_FXP_READDIR", Vec<Name>, |_| false;
}

impl Name {
    /// Whether the name is a single component that stays inside its directory: not empty, not `.` or `..`, no
    /// slash, no NUL. A client joins no other name to a local path (CVE-2019-6111 and its family).
    pub fn is_plain(&self) -> bool {
        !matches!(&*self.filename, b"" | b"." | b"..")
            && !self.filename.iter().any(|byte| matches!(byte, b'/' | 0))
    }
}

impl Answer for Vec<Name> {
    fn fits(reply: &Reply) -> bool {
        matches!(reply, Reply::Names(_))
    }
    fn from_reply(reply: Reply) -> Option<Self> {
        match reply {
            Reply::Names(names) => Some(names),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_told_apart() {
        for (filename, plain) in [
            (&b"a"[..], true),
            (b"..a", true),
            (b"\xff\n", true),
            (b"", false),
            (b".", false),
            (b"..", false),
            (b"/", false),
            (b"../a", false),
            (b"a/b", false),
            (b"a\0b", false),
        ] {
            let name = Name {
                filename: filename.to_vec(),
                longname: Vec::new(),
                attributes: Attributes::default(),
            };
            assert_eq!(name.is_plain(), plain, "{}", filename.escape_ascii());
        }
    }
}
