//! X11 for a session (RFC 4254 §6.3.1).

use crate::payload::payload;

payload! {
    /// RFC 4254 §6.3.1: make a display for the session's programs; their connections come as `x11` channels.
    pub struct X11Req = "x11-req" {
        /// Whether one connection is all there will be.
        pub single_connection: bool,
        /// The authentication protocol, `MIT-MAGIC-COOKIE-1` as a rule. Chosen by the peer: look at every byte of it
        /// before it reaches a command or a file.
        pub protocol: String,
        /// The cookie in hexadecimal: one made for this session, never the display's own. Chosen by the peer, as
        /// `protocol` is.
        pub cookie: String,
        /// The number of the screen.
        pub screen: u32,
    }
}
