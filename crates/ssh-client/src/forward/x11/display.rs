//! A display of this side: where it is, and its own cookie.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use zeroize::Zeroizing;

use super::cookies::COOKIE_BYTES;
use crate::address::Address;

/// Where displays are: TCP ports from here on, and Unix sockets of this name.
const FIRST_PORT: u16 = 6_000;
const SOCKETS: &str = "/tmp/.X11-unix/X";

/// A display of this side.
#[derive(Clone)]
pub struct X11Display {
    pub(super) name: String,
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
    /// `xauth` could not be asked for the display's cookie, or the display makes none for programs it does not trust.
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
}
