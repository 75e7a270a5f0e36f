//! Where to connect: a host and a port, in the forms people write them.

use std::net::{IpAddr, SocketAddr};

use crate::error::Error;

/// The port of SSH (RFC 4253 §4.1).
pub const DEFAULT_PORT: u16 = 22;

/// The longest host name taken, in bytes (RFC 1035 §2.3.4 allows 255).
const MAX_HOST_BYTES: usize = 255;

/// A host, by name or number, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The name or number, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Anything that says where to connect: `"host"`, `"host:22"`, `"[::1]:22"`, `("host", 22)`, a socket address.
pub trait ToAddress {
    /// The address, or what is wrong with it.
    fn to_address(&self) -> Result<Address, Error>;
}

impl ToAddress for Address {
    fn to_address(&self) -> Result<Address, Error> {
        checked(&self.host, self.port)
    }
}

impl ToAddress for str {
    fn to_address(&self) -> Result<Address, Error> {
        let bad = |problem| Error::BadAddress {
            address: self.to_owned(),
            problem,
        };
        let (host, port) = if let Some(rest) = self.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| bad("a bracket is not closed"))?;
            match after {
                "" => (host, None),
                _ => (
                    host,
                    Some(
                        after
                            .strip_prefix(':')
                            .ok_or_else(|| bad("something stands behind the bracket"))?,
                    ),
                ),
            }
        } else if self.parse::<IpAddr>().is_ok() {
            (self, None)
        } else {
            match self.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (self, None),
            }
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .map_err(|_| bad("the port is no number up to 65535"))?,
        };
        checked(host, port)
    }
}

impl ToAddress for String {
    fn to_address(&self) -> Result<Address, Error> {
        self.as_str().to_address()
    }
}

impl ToAddress for SocketAddr {
    fn to_address(&self) -> Result<Address, Error> {
        checked(&self.ip().to_string(), self.port())
    }
}

impl<H: AsRef<str>> ToAddress for (H, u16) {
    fn to_address(&self) -> Result<Address, Error> {
        checked(self.0.as_ref(), self.1)
    }
}

impl<A: ToAddress + ?Sized> ToAddress for &A {
    fn to_address(&self) -> Result<Address, Error> {
        (**self).to_address()
    }
}

fn checked(host: &str, port: u16) -> Result<Address, Error> {
    let bad = |problem| Error::BadAddress {
        address: host.to_owned(),
        problem,
    };
    match () {
        () if host.is_empty() => Err(bad("the host name is empty")),
        () if host.len() > MAX_HOST_BYTES => Err(bad("the host name is too long")),
        () if host.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') => {
            Err(bad("the host name holds a blank or a control character"))
        }
        () => Ok(Address {
            host: host.to_owned(),
            port,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_people_write() {
        for (text, host, port) in [
            ("example.org", "example.org", 22),
            ("example.org:2222", "example.org", 2222),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("::1", "::1", 22),
            ("[::1]", "::1", 22),
            ("[fe80::1%eth0]:2022", "fe80::1%eth0", 2022),
        ] {
            let address = text.to_address().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
        }
        assert_eq!(("host", 7).to_address().unwrap().to_string(), "host:7");
        assert_eq!("[::1]:7".to_address().unwrap().to_string(), "[::1]:7");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in [
            "",
            ":22",
            "host:",
            "host:99999",
            "host:x",
            "[::1",
            "[::1]22",
            "a b",
            "a\nb",
            &"x".repeat(256),
        ] {
            let error = text.to_address().unwrap_err();
            assert!(matches!(error, Error::BadAddress { .. }), "{text:?}: {error}");
        }
    }
}
