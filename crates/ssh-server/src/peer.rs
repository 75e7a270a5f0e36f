//! Who is at the other end of a stream, as far as the stream itself can tell.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The far and the near end of a connection, for limits, logs and the programs it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
    name: String,
}

impl Peer {
    /// A TCP connection from `remote` to `local`. Addresses of IPv4 inside IPv6 are shown as what they are.
    pub fn tcp(remote: SocketAddr, local: SocketAddr) -> Self {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let remote = canonical(remote);
        Self {
            remote: Some(remote),
            local: Some(canonical(local)),
            name: remote.to_string(),
        }
    }

    /// A stream without addresses, called `name` in logs. Limits for each source do not concern it, and a key that
    /// may only be used from certain addresses cannot be used over it.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            remote: None,
            local: None,
            name: name.into(),
        }
    }

    /// The far end's address and port.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// The near end's address and port.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The far end's address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.remote.map(|remote| remote.ip())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Text that a stranger chose, as one printable line of bounded length for logs.
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..MAX_PRINTED_BYTES).unwrap_or(self.0);
        write!(f, "{}", shown.escape_ascii())?;
        let left_out = self.0.len().saturating_sub(shown.len());
        if left_out > 0 {
            write!(f, " and {left_out} bytes more")
        } else {
            Ok(())
        }
    }
}

/// Bytes of a stranger's text that a log line shows.
const MAX_PRINTED_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_what_they_are() {
        let peer = Peer::tcp(
            "[::ffff:192.0.2.1]:2000".parse().unwrap(),
            "[::1]:22".parse().unwrap(),
        );
        assert_eq!(peer.to_string(), "192.0.2.1:2000");
        assert_eq!(peer.ip(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(Peer::named("standard input").ip(), None);
    }

    #[test]
    fn a_strangers_text_stays_on_its_line() {
        let check = |text: &[u8], expected: &str| assert_eq!(Printable(text).to_string(), expected);
        check(b"alice", "alice");
        check(b"a\nsshd: Accepted password", "a\\nsshd: Accepted password");
        check(b"root\0\x1b[2J\xff", "root\\x00\\x1b[2J\\xff");
        check(
            &[b'a'; 64 * 1024],
            &format!("{} and {} bytes more", "a".repeat(128), 64 * 1024 - 128),
        );
    }
}
