//! OpenSSH's own channel requests (its `PROTOCOL` file).
//!
//! `eow@openssh.com` has no fields: its name is all there is.
//! [`keepalive@openssh.com`](crate::KEEPALIVE) comes from OpenSSH's server on a channel where one is open: the connection answers it, and
//! nobody else hears of it.

/// The name of the request that nobody reads any more (OpenSSH `PROTOCOL` §2.1).
pub const EOW: &str = "eow@openssh.com";
