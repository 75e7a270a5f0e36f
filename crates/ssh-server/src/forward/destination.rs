//! Where connections may lead to, and where the server may listen: `PermitOpen` and `PermitListen`.

use std::fmt;
use std::str::FromStr;

use crate::keys::pattern;

/// A place that connections may lead to, as `PermitOpen` names it: `host:port`, `[address]:port`, `*` for any host or
/// any port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// `None`: any.
    host: Option<String>,
    /// `None`: any.
    port: Option<u16>,
}

/// The text does not name a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port, [address]:port, with * for any host or any port")]
pub struct NotADestination;

impl Destination {
    /// Connections to `host`, or any host, at `port`, or any port.
    pub fn new(host: Option<String>, port: Option<u16>) -> Self {
        Self { host, port }
    }

    /// Whether a connection to `host` and `port` leads here. Hosts are compared as they are written, letters alike in
    /// both cases.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        self.host
            .as_ref()
            .is_none_or(|own| own.eq_ignore_ascii_case(host))
            && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Destination {
    type Err = NotADestination;

    fn from_str(text: &str) -> Result<Self, NotADestination> {
        let (host, port) = text.rsplit_once(':').ok_or(NotADestination)?;
        let bracketed = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        // An address of IPv6 has colons of its own: without brackets nobody could tell where its port begins.
        if bracketed.is_none() && host.contains(':') {
            return Err(NotADestination);
        }
        let host = match bracketed.unwrap_or(host) {
            "" => return Err(NotADestination),
            "*" => None,
            host => Some(host.to_owned()),
        };
        let port = match port {
            "*" => None,
            number => Some(
                number
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or(NotADestination)?,
            ),
        };
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:")?,
            Some(host) => write!(f, "{host}:")?,
            None => f.write_str("*:")?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

/// A place where the server may listen for a client, as `PermitListen` names it: `port`, `host:port`, `[address]:port`,
/// with `*` and `?` as in patterns, and `*` for any port.
///
/// The host is compared as the client wrote it: a client that asks for nothing particular asks for `localhost`, which is
/// neither `127.0.0.1` nor `::1` here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenPlace {
    host: String,
    /// `None`: any.
    port: Option<u16>,
}

impl ListenPlace {
    /// Listening at hosts that fit the pattern `host`, at `port` or any port.
    pub fn new(host: impl Into<String>, port: Option<u16>) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Whether listening at `host` and `port` is listening here. Port 0, by which a client leaves the choice to the
    /// server, is covered by any port alone.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && pattern::matches(self.host.as_bytes(), host.as_bytes())
    }
}

impl FromStr for ListenPlace {
    type Err = NotADestination;

    fn from_str(text: &str) -> Result<Self, NotADestination> {
        let whole = if text.contains(':') {
            text.to_owned()
        } else {
            format!("*:{text}")
        };
        let Destination { host, port } = whole.parse()?;
        Ok(Self::new(host.unwrap_or_else(|| "*".to_owned()), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_openssh_writes_them() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<Destination>().ok().map(|read| read.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("example.org:22", Some("example.org:22"));
        check("*:80", Some("*:80"));
        check("10.0.0.1:*", Some("10.0.0.1:*"));
        check("[::1]:22", Some("[::1]:22"));
        check("[example.org]:22", Some("example.org:22"));
        check("::1:22", None);
        check("example.org", None);
        check(":22", None);
        check("[]:22", None);
        check("host:0", None);
        check("host:65536", None);
        check("host:-1", None);
        check("host:", None);
        check("", None);
    }

    #[test]
    fn a_destination_covers_exactly_what_it_says() {
        let check = |text: &str, host, port, expected| {
            assert_eq!(
                text.parse::<Destination>().unwrap().covers(host, port),
                expected,
                "{text} {host} {port}"
            );
        };
        check("example.org:22", "example.org", 22, true);
        check("example.org:22", "EXAMPLE.org", 22, true);
        check("example.org:22", "example.org", 23, false);
        check("example.org:22", "example.org.", 22, false);
        check("example.org:22", "xexample.org", 22, false);
        check("example.org:*", "example.org", 1, true);
        check("*.example.org:*", "a.example.org", 1, false);
        check("127.0.0.1:80", "localhost", 80, false);
        check("127.0.0.1:80", "127.0.0.1", 80, true);
        check("[::1]:80", "::1", 80, true);
        check("*:80", "anything", 80, true);
    }

    #[test]
    fn a_place_to_listen_covers_exactly_what_it_says() {
        let check = |text: &str, host, port, expected| {
            let place: ListenPlace = text.parse().unwrap();
            assert_eq!(place.covers(host, port), expected, "{text} {host} {port}");
        };
        check("8080", "localhost", 8080, true);
        check("8080", "", 8080, true);
        check("8080", "localhost", 8081, false);
        check("8080", "localhost", 0, false);
        check("*", "localhost", 0, true);
        check("*:*", "", 1, true);
        check("localhost:8080", "localhost", 8080, true);
        check("localhost:8080", "127.0.0.1", 8080, false);
        check("127.0.0.1:8080", "localhost", 8080, false);
        check("127.0.0.*:8080", "127.0.0.7", 8080, true);
        check("[::1]:*", "::1", 1, true);
        for text in ["", ":1", "localhost:", "localhost:0", "0", "::1:1", "x:65536"] {
            assert_eq!(text.parse::<ListenPlace>(), Err(NotADestination), "{text}");
        }
    }
}
