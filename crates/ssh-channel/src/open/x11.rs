//! `x11` (RFC 4254 §6.3.2): a program of a session wants to draw on the client's display.

use crate::payload::payload;

payload! {
    /// RFC 4254 §6.3.2: an X11 client on the server's side connected to the display that `x11-req` had made.
    pub struct X11 = "x11" {
        /// Where the connection came from: an address, as the peer says.
        pub originator: String,
        /// The port it came from, as the peer says.
        pub originator_port: u32,
    }
}
