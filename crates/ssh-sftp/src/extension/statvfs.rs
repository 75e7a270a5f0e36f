//! `statvfs@openssh.com` and `fstatvfs@openssh.com` (OpenSSH `PROTOCOL` §4.4): how full a file system is.

use crate::Reply;
use crate::extension::{extended_answer, extension};
use crate::messages::{Handle, Layout, Request, layout};
use crate::server::{ReplyDue, Response};
use crate::wire::Writer;

layout! {
    /// Asks about the file system that holds a path.
    pub struct StatVfs {
        /// Any path on it.
        pub path: Vec<u8>,
    }

    /// Asks about the file system that holds an open file.
    pub struct FStatVfs {
        /// The open file.
        pub handle: Handle,
    }

    /// POSIX's `struct statvfs`.
    pub struct StatVfsReply {
        /// Block size, in bytes.
        pub block_bytes: u64,
        /// Fragment size, in bytes: the unit of the block counts below.
        pub fragment_bytes: u64,
        /// Blocks there are.
        pub blocks: u64,
        /// Blocks that are free.
        pub free_blocks: u64,
        /// Blocks that are free for who is not root.
        pub available_blocks: u64,
        /// Files there can be.
        pub files: u64,
        /// Files that can still be made.
        pub free_files: u64,
        /// Files that can still be made by who is not root.
        pub available_files: u64,
        /// The file system's number.
        pub id: u64,
        /// [`READ_ONLY`](Self::READ_ONLY) and [`NO_SET_UID`](Self::NO_SET_UID).
        pub flags: u64,
        /// The longest file name, in bytes.
        pub max_name_bytes: u64,
    }
}

extension!(StatVfs = "statvfs@openssh.com", "2", StatVfsReply, false);
extension!(FStatVfs = "fstatvfs@openssh.com", "2", StatVfsReply, false);
extended_answer!(StatVfsReply);

impl StatVfsReply {
    /// The file system is mounted read-only.
    pub const READ_ONLY: u64 = 1;
    /// Set-user-id bits have no effect there.
    pub const NO_SET_UID: u64 = 2;
}

impl<R: Request<Answer = StatVfsReply>> ReplyDue<R> {
    /// Answers with the figures.
    pub fn statistics(self, figures: &StatVfsReply) -> Response {
        let mut body = Vec::new();
        figures.put(&mut Writer::new(&mut body));
        self.reply(&Reply::Extended(body.into()))
    }
}
