//! Listening for a client: what connects to the server is led to the client (RFC 4254 §7.1; OpenSSH `PROTOCOL` §2.4 for
//! Unix sockets).
//!
//! ```text
//!  tcpip-forward ──▶ the login's permissions ──▶ Application ──▶ bind ──▶ arrivals ──▶ forwarded-tcpip channels
//!                          │ no                      │ Refuse     │ failed    │
//!                          └───────▶ FAILURE ◀───────┴────────────┘           └── until cancelled, or the connection ends
//! ```
//!
//! A Unix socket is a file: it is made with its final mode, in place of an older one only if that was this user's own,
//! and removed when the listening ends.

mod arrivals;
mod bind;
mod desk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

pub(crate) use arrivals::{Client, Purpose, lead};
pub(crate) use bind::{Listener, tcp, unix};
pub(crate) use desk::attend;

/// Where a client wants the server to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenTarget {
    /// An address or a name, as the client wrote it; empty or `*`: everywhere.
    pub address: String,
    /// The port; 0 leaves it to the server.
    pub port: u16,
}

/// The answer to a request to listen at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listen {
    /// No.
    Refuse,
    /// The server listens where the client wants, as far as these let it.
    Bind(GatewayPorts),
    /// The server listens somewhere else. Where a port is 0, it is the one the client asked for. At least one of the
    /// addresses must be had.
    BindTo(Vec<SocketAddr>),
}

/// The answer to a request to listen at a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenSocket {
    /// No.
    Refuse,
    /// The server listens where the client wants.
    Bind(SocketPolicy),
    /// The server listens somewhere else.
    BindTo(PathBuf, SocketPolicy),
}

/// Who may connect to the ports at which the server listens for a client (`GatewayPorts` of sshd_config(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayPorts {
    /// Programs of this machine alone: whatever the client asks for, the loopback addresses are bound.
    #[default]
    No,
    /// Everybody: whatever the client asks for, all addresses are bound.
    Yes,
    /// As the client says: empty and `*` bind all addresses, `localhost` both loopback addresses, anything else that
    /// address alone, `0.0.0.0` and `::` those of their family.
    ClientSpecified,
}

/// What a client's words about an address come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bindings {
    Addresses(Vec<IpAddr>),
    /// A name to be looked up.
    Name(String),
}

impl GatewayPorts {
    pub(crate) fn bindings(self, asked: &str) -> Bindings {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let all = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
        let address = asked.parse::<IpAddr>().ok();
        match self {
            Self::No => Bindings::Addresses(match address {
                // Which family, the client may choose.
                Some(one) if loopback.contains(&one) => vec![one],
                _ => loopback.into(),
            }),
            Self::Yes => Bindings::Addresses(all.into()),
            Self::ClientSpecified => match (asked, address) {
                ("" | "*", _) => Bindings::Addresses(all.into()),
                (_, Some(address)) => Bindings::Addresses(vec![address]),
                (name, None) if name.eq_ignore_ascii_case("localhost") => {
                    Bindings::Addresses(loopback.into())
                }
                (name, None) => Bindings::Name(name.to_owned()),
            },
        }
    }
}

/// How Unix sockets are made for clients (`StreamLocalBindUnlink` and `StreamLocalBindMask` of sshd_config(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPolicy {
    /// Whether a socket that is there already, and belongs to the user the server runs as, makes way. Anything else that
    /// is there never does.
    pub unlink: bool,
    /// The bits of the mode that the new socket shall not have. 0177 unless set: nobody else may connect.
    pub mask: u32,
}

impl Default for SocketPolicy {
    fn default() -> Self {
        Self {
            unlink: false,
            mask: 0o177,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_addresses_mean_what_gatewayports_lets_them() {
        let addresses = |list: &[&str]| {
            Bindings::Addresses(list.iter().map(|address| address.parse().unwrap()).collect())
        };
        let loopback = addresses(&["127.0.0.1", "::1"]);
        let all = addresses(&["0.0.0.0", "::"]);
        // What the client asks for, and what it gets with no, yes and clientspecified.
        for (asked, no, specified) in [
            ("", &loopback, &all),
            ("*", &loopback, &all),
            ("localhost", &loopback, &loopback),
            ("LocalHost", &loopback, &loopback),
            ("0.0.0.0", &loopback, &addresses(&["0.0.0.0"])),
            ("::", &loopback, &addresses(&["::"])),
            (
                "127.0.0.1",
                &addresses(&["127.0.0.1"]),
                &addresses(&["127.0.0.1"]),
            ),
            ("::1", &addresses(&["::1"]), &addresses(&["::1"])),
            ("127.0.0.2", &loopback, &addresses(&["127.0.0.2"])),
            ("192.0.2.1", &loopback, &addresses(&["192.0.2.1"])),
            (
                "example.org",
                &loopback,
                &Bindings::Name("example.org".to_owned()),
            ),
        ] {
            assert_eq!(&GatewayPorts::No.bindings(asked), no, "{asked:?}");
            assert_eq!(&GatewayPorts::Yes.bindings(asked), &all, "{asked:?}");
            assert_eq!(
                &GatewayPorts::ClientSpecified.bindings(asked),
                specified,
                "{asked:?}"
            );
        }
    }
}
