//! X11 forwarding (RFC 4254 §6.3): a display for a session's programs, which is the client's.
//!
//! ```text
//!  x11-req ──▶ well formed? permitted? ──▶ Application::x11 ──▶ a free display from 10 on: port 6000 and its number
//!                                                               Xauthority: the client's cookie for that display
//!  program ──DISPLAY, XAUTHORITY──▶ port ──▶ x11 channel ──▶ the client, which checks the cookie and puts its own there
//! ```
//!
//! The cookie is written to a file of the session's own, by this module: no command ever gets to see what the client
//! sent, and the user's own `.Xauthority` is not touched.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::application::Application;
use crate::aside::{EndsAside, OWN_PATHS, aside};
use crate::channel::{X11, X11Req};
use crate::listen::{Listener, Purpose, lead, tcp};
use crate::places::Place;
use crate::private_directory::PrivateDirectory;
use crate::visit::Visit;

/// Which display a session gets (`X11DisplayOffset` and `X11UseLocalhost` of sshd_config(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayPolicy {
    /// The first number that may be used; 10 unless set, so that displays of this machine's own are left alone.
    pub first: u16,
    /// Whether programs of this machine alone can reach it, which is so unless set.
    pub localhost: bool,
}

impl Default for DisplayPolicy {
    fn default() -> Self {
        Self {
            first: 10,
            localhost: true,
        }
    }
}

/// The display of a session.
#[derive(Debug)]
pub(crate) struct Display {
    /// The value of `DISPLAY`.
    pub(crate) name: String,
    /// The value of `XAUTHORITY`.
    pub(crate) authority: PathBuf,
}

impl Display {
    /// The variables that lead there.
    pub(crate) fn environment(self) -> [(&'static str, Vec<u8>); 2] {
        let authority = self.authority.as_os_str().as_bytes().to_vec();
        [("DISPLAY", self.name.into_bytes()), ("XAUTHORITY", authority)]
    }
}

/// Whether a request has a protocol of letters, digits and dashes, and a cookie of hexadecimal digits, each of a sane
/// length.
pub(crate) fn is_well_formed(wanted: &X11Req) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_PROTOCOL_BYTES).contains(&wanted.protocol.len())
        && wanted.protocol.bytes().all(is_name)
        && cookie_bytes(wanted.cookie.as_str()).is_some()
}

/// The bytes of a cookie.
fn cookie_bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !(1..=MAX_COOKIE_DIGITS).contains(&text.len()) || !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for &[high, low] in pairs {
        let byte = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
        bytes.push(u8::try_from(byte).ok()?);
    }
    Some(bytes)
}

/// Makes a display, and leads what connects there to the client until the session is over.
pub(crate) async fn listen<A: Application>(
    visit: &Visit<A>,
    wanted: &X11Req,
    policy: DisplayPolicy,
    mut over: watch::Receiver<()>,
    place: Place,
) -> io::Result<Display> {
    // Where all displays are taken, looking for one is a thousand calls: a client may have one thread do them.
    let turn = Arc::clone(&visit.display_turn).acquire_owned().await;
    let turn = turn.map_err(io::Error::other)?;
    let single_connection = wanted.single_connection;
    let wanted = wanted.clone();
    let made = aside(&OWN_PATHS, move || {
        let _turn = turn;
        make(&wanted, policy)
    });
    let (listener, display, directory) = made.await?;
    let purpose = Purpose {
        channel: Box::new(|arrival| {
            X11 {
                originator: arrival.originator.clone(),
                originator_port: arrival.port,
            }
            .into()
        }),
        timeout: "x11-connection",
        single: single_connection,
        own_user_only: false,
    };
    let client = visit.client();
    visit.spawn(async move {
        lead(listener, purpose, client, async {
            while over.changed().await.is_ok() {}
        })
        .await;
        directory.end().await;
        drop(place);
    });
    Ok(display)
}

/// A free display, and the file with its cookie in a directory of its own.
fn make(
    wanted: &X11Req,
    policy: DisplayPolicy,
) -> io::Result<(Listener, Display, EndsAside<PrivateDirectory>)> {
    let (listener, number) = bind(policy)?;
    let directory = PrivateDirectory::make()?;
    let authority = directory.path().join("Xauthority");
    let host = rustix::system::uname().nodename().to_bytes().to_vec();
    write_authority(&authority, wanted, policy, &host, number)?;
    let name = if policy.localhost {
        format!("localhost:{number}.{}", wanted.screen)
    } else {
        format!("{}:{number}.{}", String::from_utf8_lossy(&host), wanted.screen)
    };
    let directory = EndsAside::new(&OWN_PATHS, directory);
    Ok((listener, Display { name, authority }, directory))
}

/// The first free display.
fn bind(policy: DisplayPolicy) -> io::Result<(Listener, u16)> {
    let addresses: [IpAddr; 2] = if policy.localhost {
        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
    } else {
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    };
    for number in policy.first..policy.first.saturating_add(MAX_DISPLAYS) {
        let Some(port) = number.checked_add(FIRST_PORT) else {
            break;
        };
        match tcp(&addresses, port, true) {
            Ok((listener, _port)) => return Ok((listener, number)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Writes the file in which programs look for the cookie (Xau's format: numbers big-endian, each string behind its
/// length).
fn write_authority(
    path: &Path,
    wanted: &X11Req,
    policy: DisplayPolicy,
    host: &[u8],
    number: u16,
) -> io::Result<()> {
    // A connection to a loopback address counts as one of this machine's own.
    let (family, address) = if policy.localhost {
        (FAMILY_LOCAL, host)
    } else {
        (FAMILY_WILD, &b""[..])
    };
    let cookie = cookie_bytes(wanted.cookie.as_str()).unwrap_or_default();
    // With room for all of it: what grows leaves copies behind.
    let mut entry = Zeroizing::new(Vec::with_capacity(MAX_ENTRY_BYTES));
    entry.extend_from_slice(&family.to_be_bytes());
    for text in [
        address,
        number.to_string().as_bytes(),
        wanted.protocol.as_bytes(),
        &cookie,
    ] {
        let length = u16::try_from(text.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        entry.extend_from_slice(&length.to_be_bytes());
        entry.extend_from_slice(text);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // This process's own mask may have taken bits that the user's programs need.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&entry)
}

/// Display N is at this port and N.
const FIRST_PORT: u16 = 6000;
/// How many displays are tried.
const MAX_DISPLAYS: u16 = 1000;
/// The longest name of a protocol that is taken; that in use has 18 letters.
const MAX_PROTOCOL_BYTES: usize = 64;
/// The longest cookie that is taken; that in use has 32 digits.
const MAX_COOKIE_DIGITS: usize = 256;
/// Longer than an entry in a file of cookies can be: a host's name has 64 bytes on Linux.
const MAX_ENTRY_BYTES: usize = 1024;
/// Xau's families: this machine, and any.
const FAMILY_LOCAL: u16 = 256;
const FAMILY_WILD: u16 = 65535;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn request(protocol: &str, cookie: &str) -> X11Req {
        X11Req {
            single_connection: false,
            protocol: protocol.to_owned(),
            cookie: cookie.into(),
            screen: 0,
        }
    }

    #[test]
    fn only_names_and_hexadecimal_digits_are_taken() {
        let check = |protocol: &str, cookie: &str, expected| {
            assert_eq!(
                is_well_formed(&request(protocol, cookie)),
                expected,
                "{protocol:?} {cookie:?}"
            );
        };
        check("MIT-MAGIC-COOKIE-1", "00ffAB", true);
        check(&"x".repeat(64), &"ab".repeat(128), true);
        check(&"x".repeat(65), "00", false);
        check("MIT-MAGIC-COOKIE-1", &"ab".repeat(129), false);
        for protocol in ["", "a b", "a\nadd :0 . 00", "a;b", "a/b", "caf\u{e9}", "a\0"] {
            check(protocol, "00", false);
        }
        for cookie in [
            "",
            "0",
            "0g",
            "00\nadd :0 . 00",
            "00 11",
            "\u{661}\u{661}",
            "00\0",
            "-1",
        ] {
            check("MIT-MAGIC-COOKIE-1", cookie, false);
        }
    }

    #[test]
    fn the_file_of_cookies_is_as_xau_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Xauthority");
        let wanted = request("P-1", "00ff");
        write_authority(&path, &wanted, DisplayPolicy::default(), b"host", 12).unwrap();
        assert_eq!(
            std::fs::read(&path).unwrap(),
            b"\x01\x00\x00\x04host\x00\x0212\x00\x03P-1\x00\x02\x00\xff"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // A file that is there already is nobody's to write to.
        assert!(write_authority(&path, &wanted, DisplayPolicy::default(), b"host", 12).is_err());
    }

    #[tokio::test]
    async fn each_display_has_a_number_of_its_own() {
        let policy = DisplayPolicy {
            first: 900,
            localhost: true,
        };
        let (first, one) = bind(policy).unwrap();
        let (_second, other) = bind(policy).unwrap();
        assert!(one >= 900 && other > one);
        drop(first);
        let last = DisplayPolicy {
            first: u16::MAX,
            ..policy
        };
        assert!(bind(last).is_err(), "there is no such port");
    }
}
