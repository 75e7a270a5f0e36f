//! What a log says about who came, who tried to log in, and how it ended: in the words and at the levels of OpenSSH's
//! server (its `auth.c`, `packet.c` and `monitor.c`), so that tools which read that log (fail2ban and its like) read this
//! one.
//!
//! | sentence | level |
//! |---|---|
//! | `Connection from … on …` | verbose |
//! | `Invalid user …`, once for each name | info |
//! | `Failed password for …` | info |
//! | `Failed publickey for …` | verbose; info from half of the permitted tries on (`MaxAuthTries` of sshd_config(5)) |
//! | `Failed …` of any other method, or of a user there is not | verbose |
//! | `maximum authentication attempts exceeded for …`, `Timeout before authentication for …` | error |
//! | `Accepted … for …` | info |
//! | `Unable to negotiate with …`, `Connection closed by …`, `Disconnected from …` | info; after a login, a bare end is verbose |
//! | `Received disconnect from …` | info where the reason is 11, else error |
//!
//! OpenSSH's verbose is `DEBUG` here. A stranger's words are escaped, spaces too, and shortened: none of them can pass for
//! a sentence of this module.

use std::fmt;
use std::io;

use crate::auth;
use crate::channel;
use crate::error::Error;
use crate::kex::{self, DisconnectReason};
use crate::keys::PublicKey;
use crate::peer::{Peer, Printable};
use crate::tokio_driver::{self, HandshakeError};
use crate::wire::identification::IdentificationError;

/// The target of what this crate traces about who comes, who tries to log in and how connections end, in OpenSSH's words.
/// A program that keeps such a log shows this target's messages alone on their lines.
pub const JOURNAL: &str = module_path!();

/// The journal of one connection until somebody is logged in.
pub(crate) struct Journal<'a> {
    peer: &'a Peer,
    /// How many tries are permitted.
    tries: u32,
    refused: u32,
    /// The name that was given last.
    user: Option<User>,
    /// What is tried now, if the application was asked about it.
    tried: Option<Tried>,
}

struct User {
    name: Name,
    exists: bool,
}

struct Tried {
    key: Option<String>,
}

impl<'a> Journal<'a> {
    pub(crate) fn begin(peer: &'a Peer, tries: u32) -> Self {
        if let Some(local) = peer.local() {
            tracing::debug!(
                "Connection from {} on {} port {}",
                Place(peer),
                local.ip(),
                local.port()
            );
        }
        Self {
            peer,
            tries,
            refused: 0,
            user: None,
            tried: None,
        }
    }

    /// Whether nobody of this name has been talked about just before.
    pub(crate) fn is_news(&self, name: &Name) -> bool {
        self.user.as_ref().is_none_or(|known| known.name != *name)
    }

    /// Somebody of another name is talked about from now on.
    pub(crate) fn meets(&mut self, name: Name, exists: bool) {
        if !exists {
            tracing::info!("Invalid user {name} from {}", Place(self.peer));
        }
        self.user = Some(User { name, exists });
    }

    /// The application is asked about an attempt of the user who is talked about.
    pub(crate) fn tries(&mut self, key: Option<&PublicKey>) {
        self.tried = Some(Tried { key: key.map(named) });
    }

    /// What was asked about was no attempt yet, and was not refused.
    pub(crate) fn goes_on(&mut self) {
        self.tried = None;
    }

    /// Whether the last attempt was refused without asking the application.
    pub(crate) fn is_unasked(&self) -> bool {
        self.tried.is_none()
    }

    /// An attempt of the user who is talked about was refused.
    pub(crate) fn refused(&mut self, method: &str) {
        let key = self.tried.take().and_then(|tried| tried.key);
        let Some(user) = &self.user else { return };
        let is_password = method == auth::method::PASSWORD.name;
        let is_key = method == auth::method::PUBLICKEY.name;
        let is_loud = is_password || is_key && user.exists && self.refused >= self.tries / 2;
        let line = format!(
            "Failed {} for {user} from {} ssh2{}",
            Name::of_shown(method),
            Place(self.peer),
            behind(key.as_deref())
        );
        if is_loud {
            tracing::info!("{line}");
        } else {
            tracing::debug!("{line}");
        }
        if is_password || is_key {
            self.refused = self.refused.saturating_add(1);
        }
    }

    /// Somebody is logged in.
    pub(crate) fn accepted(&self, method: &str, name: &str, key: Option<&PublicKey>) {
        let key = key.map(named);
        let (name, place) = (Name::of(name), Place(self.peer));
        tracing::info!(
            "Accepted {method} for {name} from {place} ssh2{}",
            behind(key.as_deref())
        );
    }

    /// The connection is over, and nobody was logged in.
    pub(crate) fn turned_away(&self, why: &Error) {
        let place = Place(self.peer);
        let who = Who {
            kind: match &self.user {
                Some(User { exists: true, .. }) => "authenticating user ",
                Some(_) => "invalid user ",
                None => "",
            },
            name: self.user.as_ref().map(|user| &user.name),
            place,
        };
        match why {
            Error::GraceTimeOver { .. } | Error::Timeout { .. } => {
                tracing::error!("Timeout before authentication for {place}");
            }
            Error::Login(HandshakeError::PeerClosed) | Error::KeyExchange(HandshakeError::PeerClosed) => {
                tracing::info!("Connection closed by {who} [preauth]");
            }
            Error::Login(HandshakeError::Io(error)) | Error::KeyExchange(HandshakeError::Io(error)) => {
                broken(error, &who, " [preauth]");
            }
            Error::Login(HandshakeError::Layer(auth::Error::TooManyAttempts)) => {
                if let Some(user) = &self.user {
                    tracing::error!(
                        "maximum authentication attempts exceeded for {user} from {place} ssh2 [preauth]"
                    );
                }
                tracing::info!("Disconnecting {who}: Too many authentication failures [preauth]");
            }
            Error::Login(HandshakeError::Layer(auth::Error::Below(error)))
            | Error::KeyExchange(HandshakeError::Layer(error)) => turned_away_below(error, &who),
            other => tracing::error!("Connection from {who}: {other} [preauth]"),
        }
    }
}

/// The same for what ended in the transport.
fn turned_away_below(why: &kex::Error, who: &Who<'_>) {
    let place = who.place;
    match why {
        kex::Error::Disconnected { reason, description } => farewell(*reason, description, who, " [preauth]"),
        kex::Error::Closed | kex::Error::Identification(IdentificationError::Closed { .. }) => {
            tracing::info!("Connection closed by {who} [preauth]");
        }
        kex::Error::PeerIncompatible(error) => {
            let what = error.what.to_string();
            let what = what.split(" (").next().unwrap_or_default();
            let offer = error.theirs.join(",");
            tracing::info!(
                "Unable to negotiate with {place}: no matching {what} found. Their offer: {} [preauth]",
                Printable(offer.as_bytes())
            );
        }
        kex::Error::Identification(_) => {
            tracing::info!("banner exchange: Connection from {place}: invalid format");
        }
        other => tracing::error!("Connection from {who}: {other} [preauth]"),
    }
}

/// The connection of a user who was logged in is over.
pub(crate) fn left(peer: &Peer, name: &str, why: &tokio_driver::Error) {
    let (place, name) = (Place(peer), Name::of(name));
    let who = Who {
        kind: "user ",
        name: Some(&name),
        place,
    };
    match why {
        tokio_driver::Error::Below(channel::Error::Below(auth::Error::Below(kex::Error::Disconnected {
            reason,
            description,
        }))) => farewell(*reason, description, &who, ""),
        tokio_driver::Error::PeerClosed => tracing::debug!("Connection closed by {place}"),
        tokio_driver::Error::Closed => tracing::debug!("Closing connection to {place}"),
        tokio_driver::Error::KeepaliveTimeout { .. } => {
            tracing::info!("Timeout, client not responding from {who}");
        }
        tokio_driver::Error::Io(error) => broken(error, &who, ""),
        other => tracing::error!("Connection from {who}: {other}"),
    }
}

/// The peer said goodbye.
fn farewell(reason: DisconnectReason, words: &str, who: &Who<'_>, when: &str) {
    let (place, words) = (who.place, Printable(words.as_bytes()));
    let line = format!(
        "Received disconnect from {place}:{}: {words}{when}",
        reason.code()
    );
    if reason == DisconnectReason::ByApplication {
        tracing::info!("{line}");
    } else {
        tracing::error!("{line}");
    }
    tracing::info!("Disconnected from {who}{when}");
}

/// The stream failed.
fn broken(error: &io::Error, who: &Who<'_>, when: &str) {
    match error.kind() {
        io::ErrorKind::ConnectionReset => tracing::info!("Connection reset by {who}{when}"),
        _ => tracing::info!("Connection from {who}: {error}{when}"),
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.exists { "" } else { "invalid user " };
        write!(f, "{kind}{}", self.name)
    }
}

/// Where somebody comes from.
#[derive(Clone, Copy)]
struct Place<'a>(&'a Peer);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.remote() {
            Some(remote) => write!(f, "{} port {}", remote.ip(), remote.port()),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Somebody, as far as is known.
struct Who<'a> {
    kind: &'static str,
    name: Option<&'a Name>,
    place: Place<'a>,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name {
            write!(f, "{}{name} ", self.kind)?;
        }
        self.place.fmt(f)
    }
}

/// A name that a stranger gave: one printable word of bounded length.
#[derive(PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// A name as it came.
    pub(crate) fn of(name: &str) -> Self {
        let name = name.as_bytes();
        match name.get(..MAX_NAME_BYTES) {
            Some(start) if name.len() > MAX_NAME_BYTES => {
                Self::of_shown(&format!("{}…", start.escape_ascii()))
            }
            _ => Self::of_shown(&name.escape_ascii().to_string()),
        }
    }

    /// A name that the login's layer has escaped and shortened already, in the same way.
    pub(crate) fn of_shown(text: &str) -> Self {
        Self(text.replace(' ', "\\x20").replace('…', "..."))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key as OpenSSH's log names it.
fn named(key: &PublicKey) -> String {
    format!("{} {}", key.type_word(), key.fingerprint())
}

fn behind(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(": {key}"))
}

/// Bytes of a name that a sentence shows.
const MAX_NAME_BYTES: usize = 64;
