//! How a program ended (RFC 4254 §6.10). Some servers send neither: wait for the channel to close.

use std::borrow::Cow;

use crate::payload::payload;

payload! {
    /// RFC 4254 §6.10: the program ended by itself. Sent without asking for a reply; may come after EOF.
    pub struct ExitStatus = "exit-status" {
        /// What it returned.
        pub status: u32,
    }

    /// RFC 4254 §6.10: the program was ended by a signal. Sent without asking for a reply; may come after EOF.
    pub struct ExitSignal = "exit-signal" {
        /// The signal's name without `SIG`: one of [`signals`](crate::signals), or a private one with `@` in it.
        pub name: String,
        /// Whether it left a core file.
        pub core_dumped: bool,
        /// For people; UTF-8 where the peer keeps to the RFC.
        pub message: Vec<u8>,
        /// The language of the message (RFC 3066).
        pub language: Vec<u8>,
    }
}

impl ExitSignal {
    /// Ended by the signal `name`, and nothing more to say.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            core_dumped: false,
            message: Vec::new(),
            language: Vec::new(),
        }
    }

    /// The message as text; what is not UTF-8 is replaced. Not safe to show on a terminal as it stands.
    pub fn message_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.message)
    }
}
