//! `auth-agent@openssh.com` (OpenSSH `PROTOCOL.agent`, "Agent forwarding"): a program of a session wants to talk to the
//! client's agent. It has no fields.

/// The name on the wire.
pub const AUTH_AGENT: &str = "auth-agent@openssh.com";
