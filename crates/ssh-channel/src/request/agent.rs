//! `auth-agent-req@openssh.com` (OpenSSH `PROTOCOL.agent`, "Agent forwarding"): the session's programs may reach the
//! client's agent; their connections come as [`auth-agent@openssh.com`](crate::AUTH_AGENT) channels. It has no fields.

/// The name on the wire.
pub const AUTH_AGENT_REQ: &str = "auth-agent-req@openssh.com";
