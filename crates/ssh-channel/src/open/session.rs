//! `session` (RFC 4254 §6.1): the channel a program, a shell or a subsystem runs on. It has no fields.

/// The name on the wire.
pub const SESSION: &str = "session";
