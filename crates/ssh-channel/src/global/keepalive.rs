//! `keepalive@openssh.com`: a request whose only purpose is that it must be answered. Whether the answer says success
//! or failure means nothing: OpenSSH itself does not know the name and says failure.

/// The name on the wire, of the global request and of the channel request.
pub const KEEPALIVE: &str = "keepalive@openssh.com";
