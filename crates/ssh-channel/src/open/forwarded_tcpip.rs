//! `forwarded-tcpip` (RFC 4254 §7.2): a TCP connection that arrived where `tcpip-forward` had asked to listen.

use crate::payload::payload;

payload! {
    /// RFC 4254 §7.2: a connection arrived at `address`:`port`.
    pub struct ForwardedTcpip = "forwarded-tcpip" {
        /// The address that was listened on, as the request spelled it.
        pub address: String,
        /// The port that was listened on.
        pub port: u16,
        /// Where the connection came from: an address, as the peer says.
        pub originator: String,
        /// The port it came from, as the peer says.
        pub originator_port: u32,
    }
}
