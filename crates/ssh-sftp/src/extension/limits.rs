//! `limits@openssh.com` (OpenSSH `PROTOCOL` §4.8): how large and how many.

use crate::extension::{extended_answer, extension};
use crate::messages::layout;

layout! {
    /// Asks for the server's limits. [`Client`](crate::Client) does so by itself, [`Server`](crate::Server) answers
    /// by itself.
    pub struct Limits {}

    /// What the server says; 0 means that it enforces no limit of its own. Numbers of a peer: use
    /// [`client::Limits`](crate::client::Limits), which are clamped.
    pub struct LimitsReply {
        /// The longest message, in bytes.
        pub max_packet_bytes: u64,
        /// The longest READ, in bytes.
        pub max_read_bytes: u64,
        /// The longest WRITE, in bytes.
        pub max_write_bytes: u64,
        /// The most handles open at once.
        pub max_open_handles: u64,
    }
}

extension!(Limits = "limits@openssh.com", "1", LimitsReply, false);
extended_answer!(LimitsReply);
