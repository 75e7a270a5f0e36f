//! `no-more-sessions@openssh.com` (OpenSSH `PROTOCOL` §2.2): the sender promises to open no further session, so that
//! whoever takes over its end of the connection cannot either. Once it has arrived, a `session` is refused.

/// The name on the wire.
pub const NO_MORE_SESSIONS: &str = "no-more-sessions@openssh.com";
