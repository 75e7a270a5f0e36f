//! `direct-tcpip` (RFC 4254 §7.2): a TCP connection to be made by the other side.

use crate::payload::payload;

payload! {
    /// RFC 4254 §7.2: connect to `host`:`port` and join the connection to this channel.
    pub struct DirectTcpip = "direct-tcpip" {
        /// The host to connect to: a name or an address, for the other side to resolve.
        pub host: String,
        /// The port to connect to.
        pub port: u16,
        /// Where the connection came from: an address, as the peer says.
        pub originator: String,
        /// The port it came from, as the peer says.
        pub originator_port: u32,
    }
}
