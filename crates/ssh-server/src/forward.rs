//! Connections through the server: `direct-tcpip` channels (RFC 4254 §7.2).
//!
//! ```text
//!  open ──▶ the login's permissions ──▶ Application::direct_tcpip ──▶ connect ──▶ both directions until both ended
//!                 │ no                        │ Refuse                   │ failed
//!                 └────▶ PROHIBITED ◀─────────┘                          └─▶ CONNECT_FAILED
//! ```
//!
//! A target is compared as the client wrote it, never after looking its name up: what a name leads to can change
//! between two questions. A list of addresses therefore does not cover names, nor the other way round.

use std::fmt;
use std::io;
use std::str::FromStr;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::application::{Application, Login};
use crate::channel::{DirectTcpip, OpenFailureReason};
use crate::limits::Limits;
use crate::peer::Printable;
use crate::pump;
use crate::tokio_driver::{Channel, IncomingOpen, Parts};

/// Where a client wants to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// A name or an address, as the client wrote it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address the client says its own client comes from. It may say anything.
    pub originator: String,
    /// That client's port.
    pub originator_port: u32,
}

/// The answer to a request for a connection through the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forward {
    /// No.
    Refuse,
    /// The server connects to the target over TCP and passes everything on.
    Connect,
}

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

/// Serves one `direct-tcpip` channel from the question to the end.
pub(crate) async fn serve<A: Application>(
    application: &A,
    login: &Login,
    limits: &Limits,
    wanted: DirectTcpip,
    open: IncomingOpen,
) {
    let target = Target {
        host: wanted.host,
        port: wanted.port,
        originator: wanted.originator,
        originator_port: wanted.originator_port,
    };
    let (peer, host, port) = (&login.peer, Printable(target.host.as_bytes()), target.port);
    let allowed = login.permissions.may_open(&target.host, target.port)
        && application.direct_tcpip(login, &target).await == Forward::Connect;
    if !allowed {
        tracing::info!(%peer, %host, port, "forward refused");
        return open.refuse(OpenFailureReason::ADMINISTRATIVELY_PROHIBITED, "open failed");
    }
    let connecting = timeout(
        limits.forward_connect_time,
        TcpStream::connect((target.host.as_str(), target.port)),
    );
    match connecting
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
    {
        Ok(stream) => {
            tracing::info!(%peer, %host, port, "forward opened");
            if let Ok(channel) = open.accept() {
                join(channel, stream).await;
            }
        }
        Err(error) => {
            tracing::info!(%peer, %host, port, %error, "forward target not reached");
            let reason = match error.raw_os_error() {
                // No descriptor is left in this process or on this system: that says nothing about the target.
                Some(code) if OUT_OF_DESCRIPTORS.contains(&code) => OpenFailureReason::RESOURCE_SHORTAGE,
                _ => OpenFailureReason::CONNECT_FAILED,
            };
            open.refuse(reason, "open failed");
        }
    }
}

/// Passes everything on in both directions, each until its own end.
async fn join(channel: Channel, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the forward stays as slow as the system makes it");
    }
    let (from_target, to_target) = stream.into_split();
    let Parts {
        mut reader,
        stderr_reader,
        mut writer,
        mut control,
        ..
    } = channel.split();
    let up = pump::from_channel(&mut reader, to_target);
    let down = async {
        let result = tokio::select! {
            result = pump::to_channel(&from_target, &mut writer) => result,
            // Nobody takes what the target may still say, and a target that says nothing would be waited for for ever.
            () = control.closed() => Ok(()),
        };
        let _gone = control.eof();
        result
    };
    let both = async { tokio::try_join!(up, down) };
    tokio::select! {
        ended = both => if let Err(stopped) = ended {
            tracing::debug!(?stopped, "forward stopped");
        },
        () = pump::discard(stderr_reader) => {}
    }
    control.close();
}

const OUT_OF_DESCRIPTORS: [i32; 2] = [
    rustix::io::Errno::MFILE.raw_os_error(),
    rustix::io::Errno::NFILE.raw_os_error(),
];

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
}
