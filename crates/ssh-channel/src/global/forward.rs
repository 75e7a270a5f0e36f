//! Asking the other side to listen (RFC 4254 §7.1; OpenSSH `PROTOCOL` §2.4 for Unix sockets).

use crate::payload::payload;
use crate::wire::Reader;

payload! {
    /// RFC 4254 §7.1: listen on `address`:`port`; connections come as `forwarded-tcpip` channels. The answer to a
    /// request for port 0 holds the port that was bound: see [`bound_port`].
    pub struct TcpipForward = "tcpip-forward" {
        /// Where to listen: an address or name; empty means everywhere, `localhost` this machine only.
        pub address: String,
        /// The port; 0 lets the other side choose.
        pub port: u16,
    }

    /// RFC 4254 §7.1: stop listening.
    pub struct CancelTcpipForward = "cancel-tcpip-forward" {
        /// The address as it was asked for.
        pub address: String,
        /// The port that was bound.
        pub port: u16,
    }

    /// OpenSSH `PROTOCOL` §2.4: listen on a Unix socket.
    pub struct StreamlocalForward = "streamlocal-forward@openssh.com" {
        /// The socket's path.
        pub path: Vec<u8>,
    }

    /// OpenSSH `PROTOCOL` §2.4: stop listening on a Unix socket.
    pub struct CancelStreamlocalForward = "cancel-streamlocal-forward@openssh.com" {
        /// The path as it was asked for.
        pub path: Vec<u8>,
    }
}

impl TcpipForward {
    /// Listen on `address`:`port`.
    pub fn new(address: impl Into<String>, port: u16) -> Self {
        Self {
            address: address.into(),
            port,
        }
    }
}

impl CancelTcpipForward {
    /// Stop listening on `address`:`port`.
    pub fn new(address: impl Into<String>, port: u16) -> Self {
        Self {
            address: address.into(),
            port,
        }
    }
}

/// The port in the answer to a [`TcpipForward`] that asked for port 0.
pub fn bound_port(reply: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(reply);
    let port = reader.uint32().ok()?;
    reader.finish().ok()?;
    u16::try_from(port).ok()
}

/// The answer to a [`TcpipForward`] that asked for port 0.
pub fn bound_port_reply(port: u16) -> Vec<u8> {
    u32::from(port).to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_port_comes_back_as_it_went() {
        assert_eq!(bound_port(&bound_port_reply(40_000)), Some(40_000));
        for wrong in [&b""[..], b"\0\0\0", b"\0\x01\0\0", b"\0\0\0\x16\0"] {
            assert_eq!(bound_port(wrong), None);
        }
    }
}
