//! A display of this side: where it is, and its own cookie.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use super::cookies::{COOKIE_BYTES, PROTOCOL};
use crate::address::Address;

/// How long `xauth` may take.
const XAUTH_TIME: Duration = Duration::from_secs(10);

/// Where displays are: TCP ports from here on, and Unix sockets of this name.
const FIRST_PORT: u16 = 6_000;
const SOCKETS: &str = "/tmp/.X11-unix/X";

/// A display of this side.
#[derive(Clone)]
pub struct X11Display {
    name: String,
    pub(super) place: Place,
    pub(super) screen: u32,
    pub(super) cookie: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Socket(PathBuf),
    Port(Address),
}

/// Why there is no display.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum X11Error {
    /// Nobody said which: `DISPLAY` is not set.
    #[error("DISPLAY is not set")]
    NoDisplay,
    /// The name is none.
    #[error("{name:?} is no display")]
    BadDisplay {
        /// What was given.
        name: String,
    },
    /// A cookie is none.
    #[error("an X11 cookie has {COOKIE_BYTES} bytes, not {bytes}")]
    BadCookie {
        /// How many it has.
        bytes: usize,
    },
    /// `xauth` could not be asked for the display's cookie.
    #[error("{program}: {source}")]
    Xauth {
        /// What was run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl X11Display {
    /// The display `name` as `DISPLAY` spells it: `:0`, `unix:0.1`, `host:10.0`, `/path/of/a/socket:0`. Without a
    /// [`cookie`](Self::cookie), programs reach it only as far as it lets everybody in.
    ///
    /// # Errors
    /// [`X11Error::BadDisplay`].
    pub fn new(name: &str) -> Result<Self, X11Error> {
        let bad = || X11Error::BadDisplay {
            name: name.to_owned(),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"./:-_+".contains(&byte);
        if name.starts_with('-') || !name.bytes().all(allowed) {
            return Err(bad());
        }
        let (host, rest) = name.rsplit_once(':').ok_or_else(bad)?;
        let (number, screen) = rest.split_once('.').unwrap_or((rest, "0"));
        let number: u16 = number.parse().map_err(|_| bad())?;
        let place = match host {
            "" | "unix" => Place::Socket(format!("{SOCKETS}{number}").into()),
            path if path.starts_with('/') => Place::Socket(path.into()),
            host => Place::Port(Address {
                host: host.to_owned(),
                port: FIRST_PORT.checked_add(number).ok_or_else(bad)?,
            }),
        };
        Ok(Self {
            name: name.to_owned(),
            place,
            screen: screen.parse().map_err(|_| bad())?,
            cookie: None,
        })
    }

    /// The display of `DISPLAY`, with the cookie that `xauth` has for it, if any.
    ///
    /// # Errors
    /// [`X11Error`].
    pub async fn from_environment() -> Result<Self, X11Error> {
        let name = std::env::var("DISPLAY").unwrap_or_default();
        if name.is_empty() {
            return Err(X11Error::NoDisplay);
        }
        Self::new(&name)?.ask_xauth("xauth").await
    }

    /// The same display with the cookie that the program `xauth` has for it, if any (`XAuthLocation` of
    /// `ssh_config(5)`).
    ///
    /// # Errors
    /// [`X11Error::Xauth`]: the program cannot be run, or takes too long.
    pub async fn ask_xauth(mut self, xauth: impl Into<OsString>) -> Result<Self, X11Error> {
        let xauth = xauth.into();
        let failed = |source| X11Error::Xauth {
            program: xauth.to_string_lossy().into_owned(),
            source,
        };
        // Cookies of this machine's displays stand under `unix`, wherever they are reached.
        let name = match (&self.place, self.name.split_once(':')) {
            (Place::Socket(_), Some(("", rest))) => format!("unix:{rest}"),
            (_, Some(("localhost", rest))) => format!("unix:{rest}"),
            _ => self.name.clone(),
        };
        let asked = tokio::process::Command::new(&xauth)
            .args(["list", &name])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let listed = match tokio::time::timeout(XAUTH_TIME, asked).await {
            Ok(listed) => listed.map_err(failed)?,
            Err(_elapsed) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        let text = Zeroizing::new(listed.stdout);
        self.cookie = find_cookie(&String::from_utf8_lossy(&text));
        Ok(self)
    }

    /// The display's own cookie (MIT-MAGIC-COOKIE-1).
    ///
    /// # Errors
    /// [`X11Error::BadCookie`].
    pub fn cookie(mut self, cookie: impl Into<Vec<u8>>) -> Result<Self, X11Error> {
        let cookie = Zeroizing::new(cookie.into());
        if cookie.len() != COOKIE_BYTES {
            return Err(X11Error::BadCookie { bytes: cookie.len() });
        }
        self.cookie = Some(cookie);
        Ok(self)
    }

    /// Whether its cookie is known.
    pub const fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }
}

impl std::fmt::Debug for X11Display {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "X11Display({})", self.name)
    }
}

/// The first cookie in what `xauth list` says: `host/unix:0  MIT-MAGIC-COOKIE-1  hexadecimal`.
fn find_cookie(listed: &str) -> Option<Zeroizing<Vec<u8>>> {
    listed.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let protocol = words.next()?;
        let cookie = words.next().and_then(from_hex)?;
        (protocol == PROTOCOL && cookie.len() == COOKIE_BYTES).then_some(cookie)
    })
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(COOKIE_BYTES));
    for pair in text.as_bytes().chunks(2) {
        let [high, low] = *pair else { return None };
        let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_people_spell_them() {
        let socket = |path: &str| Place::Socket(path.into());
        let port = |host: &str, port| {
            let host = host.to_owned();
            Place::Port(Address { host, port })
        };
        for (name, place, screen) in [
            (":0", socket("/tmp/.X11-unix/X0"), 0),
            ("unix:12.3", socket("/tmp/.X11-unix/X12"), 3),
            ("/run/x.socket:0", socket("/run/x.socket"), 0),
            ("localhost:10.0", port("localhost", 6_010), 0),
            ("::1:1", port("::1", 6_001), 0),
        ] {
            let display = X11Display::new(name).unwrap();
            assert_eq!((display.place, display.screen), (place, screen), "{name}");
        }
        for name in [
            "",
            "0",
            ":",
            ":x",
            ":0.x",
            "host:59536",
            "host:-1",
            "-f:0",
            ":0;id",
            "$(id):0",
            "a b:0",
            ":0\n",
        ] {
            assert!(
                matches!(X11Display::new(name), Err(X11Error::BadDisplay { .. })),
                "{name:?}"
            );
        }
    }

    #[test]
    fn the_cookie_is_found_in_what_xauth_lists() {
        let listed = "me/unix:0  XDM-AUTHORIZATION-1  00112233445566778899aabbccddeeff\n\
                      me/unix:0  MIT-MAGIC-COOKIE-1  short\n\
                      me/unix:0  MIT-MAGIC-COOKIE-1  00112233445566778899aabbccddeefF\n";
        let cookie = find_cookie(listed).unwrap();
        let expected = [
            0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ];
        assert_eq!(*cookie, expected);
        for nothing in [
            "",
            "me/unix:0",
            "me/unix:0 MIT-MAGIC-COOKIE-1",
            "x MIT-MAGIC-COOKIE-1 zz",
            "x MIT-MAGIC-COOKIE-1 0",
        ] {
            assert!(find_cookie(nothing).is_none(), "{nothing:?}");
        }
    }
}
