//! X11 (RFC 4254 §6.3; X Window System Protocol, "Connection Setup"): programs at the server draw on a display of this
//! side.
//!
//! ```text
//!  x11-req with a cookie made up for this session ──▶ server ──▶ its programs
//!  x11 channel ──▶ the first bytes: byte order, versions, protocol, cookie
//!                    │ the cookie is one we made up          │ anything else
//!                    ▼                                       ▼
//!                  the display, told its own cookie        closed, the display untouched
//! ```
//!
//! The display's own cookie never leaves this side: whoever reads it at the server, or out of a program there, can do
//! nothing with it once the session is over.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use super::{Forward, Forwarding, ListenOn, Listening, Target};
use crate::channel::{ChannelRequest, X11Req};
use crate::client::Client;
use crate::error::Error;
use crate::tokio_driver::system_rng;

/// The one way of authentication there is for forwarded displays.
const PROTOCOL: &str = "MIT-MAGIC-COOKIE-1";

/// How long a cookie is, in bytes.
const COOKIE_BYTES: usize = 16;

/// The longest protocol name and cookie that are read, in bytes each.
const MAX_AUTHENTICATION_BYTES: u16 = 256;

/// How long a program may take to say its first words.
const SETUP_TIME: Duration = Duration::from_secs(60);

/// How long `xauth` may take.
const XAUTH_TIME: Duration = Duration::from_secs(10);

/// Where displays are: TCP ports from here on, and Unix sockets of this name.
const FIRST_PORT: u16 = 6_000;
const SOCKETS: &str = "/tmp/.X11-unix/X";

/// A display of this side.
#[derive(Clone)]
pub struct X11Display {
    name: String,
    place: Place,
    screen: u32,
    cookie: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Socket(PathBuf),
    Port(String, u16),
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
            host => Place::Port(host.to_owned(), FIRST_PORT.checked_add(number).ok_or_else(bad)?),
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

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A cookie made up for one session.
struct Session {
    cookie: Zeroizing<Vec<u8>>,
    /// It is good for one connection.
    single: bool,
}

type Sessions = Arc<Mutex<Vec<Session>>>;

/// A display that programs at the server may draw on. Dropping it ends their connections.
#[derive(Debug)]
#[must_use = "dropping it ends the connections to the display"]
pub struct X11Forward {
    forward: Forward,
    sessions: Held,
    screen: u32,
}

/// The cookies that are good now.
struct Held(Sessions);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl X11Forward {
    /// The request for one session, with a cookie of its own: give it to [`Exec::request`](crate::Exec::request).
    /// `single_connection` asks for one connection only, and lets no second one in.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn request(&self, single_connection: bool) -> Result<ChannelRequest, Error> {
        let mut cookie = Zeroizing::new(vec![0; COOKIE_BYTES]);
        system_rng().map_err(Error::Randomness)?.fill_bytes(&mut cookie);
        let request = X11Req {
            single_connection,
            protocol: PROTOCOL.to_owned(),
            cookie: to_hex(&cookie),
            screen: self.screen,
        };
        let mut sessions = self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push(Session {
            cookie,
            single: single_connection,
        });
        Ok(request.into())
    }

    /// The connections that came, and how it ends.
    pub const fn forward(&self) -> &Forward {
        &self.forward
    }
}

impl Client {
    /// Lets programs at the server draw on `display`, once a session has asked for it with
    /// [`X11Forward::request`]. A program there can read what is typed into every window of the display: only for
    /// servers that are trusted with that.
    ///
    /// # Errors
    /// [`Error::AlreadyForwarded`]: there is one already; [`Error::IncomingTaken`].
    pub async fn forward_x11(&self, display: X11Display) -> Result<X11Forward, Error> {
        let sessions = Sessions::default();
        let screen = display.screen;
        let (display, known) = (Arc::new(display), Arc::clone(&sessions));
        let target = Target::serve(move |mut stream| {
            let (display, known) = (Arc::clone(&display), Arc::clone(&known));
            async move {
                match admitted(&mut stream, &display, &known).await {
                    Ok(mut shown) => {
                        let joined = tokio::io::copy_bidirectional(&mut stream, &mut *shown).await;
                        tracing::debug!(?joined, "a program has left the display");
                    }
                    Err(error) => tracing::warn!(%error, "a program was not let in to the display"),
                }
            }
        });
        let forward = self.forward(&Forwarding::new(ListenOn::X11, target)).await?;
        debug_assert_eq!(forward.address(), &Listening::X11);
        Ok(X11Forward {
            forward,
            sessions: Held(sessions),
            screen,
        })
    }
}

/// Why a program was not let in.
#[derive(Debug, Error)]
enum Refused {
    #[error("its first words: {0}")]
    Setup(io::Error),
    #[error("it said nothing for {} seconds", SETUP_TIME.as_secs())]
    Timeout,
    #[error("its first words are not those of X11")]
    Malformed,
    #[error("it does not know the cookie")]
    WrongCookie,
    #[error("the display: {0}")]
    Display(io::Error),
}

/// What a program says first, up to its authentication.
#[derive(Debug)]
struct Setup {
    /// Byte order, an unused byte, the two version numbers.
    head: [u8; 6],
    protocol: Vec<u8>,
    cookie: Zeroizing<Vec<u8>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Reads a program's first words; if it knows a cookie, connects to the display and says them there with its own.
async fn admitted<S: AsyncRead + Unpin>(
    stream: &mut S,
    display: &X11Display,
    sessions: &Sessions,
) -> Result<Box<dyn Stream>, Refused> {
    let setup = match tokio::time::timeout(SETUP_TIME, Setup::read(stream)).await {
        Ok(setup) => setup?,
        Err(_elapsed) => return Err(Refused::Timeout),
    };
    if !is_known(&setup, sessions) {
        return Err(Refused::WrongCookie);
    }
    let mut shown: Box<dyn Stream> = match &display.place {
        Place::Socket(path) => Box::new(UnixStream::connect(path).await.map_err(Refused::Display)?),
        Place::Port(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            Box::new(stream.map_err(Refused::Display)?)
        }
    };
    let words = setup.with_cookie(display.cookie.as_deref());
    shown.write_all(&words).await.map_err(Refused::Display)?;
    Ok(shown)
}

/// Whether the cookie is one that was made up for a session. All are compared, each in constant time.
fn is_known(setup: &Setup, sessions: &Sessions) -> bool {
    let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = None;
    for (place, session) in sessions.iter().enumerate() {
        if constant_time_eq(&session.cookie, &setup.cookie) {
            found = Some((place, session.single));
        }
    }
    if let Some((place, true)) = found {
        sessions.remove(place);
    }
    found.is_some() && setup.protocol == PROTOCOL.as_bytes()
}

/// Compares without telling by its time where two cookies differ.
fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    let differences = one
        .iter()
        .zip(other)
        .fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

impl Setup {
    async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Self, Refused> {
        let mut fixed = [0; 12];
        stream.read_exact(&mut fixed).await.map_err(Refused::Setup)?;
        let [order, unused, v1, v2, v3, v4, p1, p2, c1, c2, ..] = fixed;
        let number: fn([u8; 2]) -> u16 = match order {
            b'B' => u16::from_be_bytes,
            b'l' => u16::from_le_bytes,
            _ => return Err(Refused::Malformed),
        };
        let (protocol_bytes, cookie_bytes) = (number([p1, p2]), number([c1, c2]));
        if protocol_bytes > MAX_AUTHENTICATION_BYTES || cookie_bytes > MAX_AUTHENTICATION_BYTES {
            return Err(Refused::Malformed);
        }
        Ok(Self {
            head: [order, unused, v1, v2, v3, v4],
            protocol: read_padded(stream, protocol_bytes).await?,
            cookie: Zeroizing::new(read_padded(stream, cookie_bytes).await?),
        })
    }

    /// The same words with the display's own cookie, or with none.
    fn with_cookie(&self, cookie: Option<&Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let [order, ..] = self.head;
        let number: fn(u16) -> [u8; 2] = if order == b'B' {
            u16::to_be_bytes
        } else {
            u16::to_le_bytes
        };
        let (protocol, cookie) = match cookie {
            Some(cookie) => (PROTOCOL.as_bytes(), cookie.as_slice()),
            None => (&b""[..], &b""[..]),
        };
        let mut words = Zeroizing::new(self.head.to_vec());
        for text in [protocol, cookie] {
            words.extend(number(u16::try_from(text.len()).unwrap_or_default()));
        }
        words.extend([0, 0]);
        for text in [protocol, cookie] {
            words.extend_from_slice(text);
            let padded = words.len().next_multiple_of(4);
            words.resize(padded, 0);
        }
        words
    }
}

/// Text that is filled up to a multiple of four bytes.
async fn read_padded<S: AsyncRead + Unpin>(stream: &mut S, bytes: u16) -> Result<Vec<u8>, Refused> {
    let bytes = usize::from(bytes);
    let mut text = vec![0; bytes.next_multiple_of(4)];
    stream.read_exact(&mut text).await.map_err(Refused::Setup)?;
    text.truncate(bytes);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_people_spell_them() {
        let socket = |path: &str| Place::Socket(path.into());
        for (name, place, screen) in [
            (":0", socket("/tmp/.X11-unix/X0"), 0),
            ("unix:12.3", socket("/tmp/.X11-unix/X12"), 3),
            ("/run/x.socket:0", socket("/run/x.socket"), 0),
            ("localhost:10.0", Place::Port("localhost".to_owned(), 6_010), 0),
            ("::1:1", Place::Port("::1".to_owned(), 6_001), 0),
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
        assert_eq!(to_hex(&cookie), "00112233445566778899aabbccddeeff");
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

    /// The first words of a program.
    fn words(order: u8, protocol: &[u8], cookie: &[u8]) -> Vec<u8> {
        let setup = Setup {
            head: [order, 0, 11, 0, 0, 0],
            protocol: protocol.to_vec(),
            cookie: Zeroizing::new(Vec::new()),
        };
        let mut words = setup.with_cookie(Some(&cookie.to_vec())).to_vec();
        if protocol != PROTOCOL.as_bytes() {
            let at = words.windows(3).position(|part| part == b"MIT").unwrap();
            words[at..at + protocol.len()].copy_from_slice(protocol);
        }
        words
    }

    #[tokio::test]
    async fn only_a_cookie_made_up_here_gets_to_the_display_and_only_as_often_as_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("X");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let own = [7; COOKIE_BYTES];
        let display = X11Display::new(&format!("{}:0", path.display())).unwrap();
        let display = display.cookie(own).unwrap();
        let sessions = Sessions::default();
        for (cookie, single) in [([1; COOKIE_BYTES], false), ([2; COOKIE_BYTES], true)] {
            let cookie = Zeroizing::new(cookie.to_vec());
            sessions.lock().unwrap().push(Session { cookie, single });
        }
        let knock = async |said: &[u8]| match admitted(&mut &said[..], &display, &sessions).await {
            Ok(stream) => {
                drop(stream);
                let (mut shown, _) = listener.accept().await.unwrap();
                let mut heard = Vec::new();
                shown.read_to_end(&mut heard).await.unwrap();
                Ok(heard)
            }
            Err(refused) => Err(refused.to_string()),
        };
        let protocol = PROTOCOL.as_bytes();
        for order in [b'B', b'l'] {
            let heard = knock(&words(order, protocol, &[1; COOKIE_BYTES])).await;
            assert_eq!(heard, Ok(words(order, protocol, &own)));
        }
        assert!(knock(&words(b'l', protocol, &[2; COOKIE_BYTES])).await.is_ok());
        let wrong = Err("it does not know the cookie".to_owned());
        for (protocol, cookie) in [
            (protocol, &[2; COOKIE_BYTES][..]),
            (protocol, &own),
            (protocol, &[1; COOKIE_BYTES - 1]),
            (protocol, &[1; COOKIE_BYTES + 1]),
            (protocol, b""),
            (b"NIT-MAGIC-COOKIE-1", &[1; COOKIE_BYTES]),
        ] {
            assert_eq!(knock(&words(b'l', protocol, cookie)).await, wrong, "{cookie:?}");
        }
        let malformed = Err("its first words are not those of X11".to_owned());
        assert_eq!(knock(b"GET / HTTP/1.1\r\n\r\n").await, malformed);
        assert_eq!(knock(b"l\0\x0b\0\0\0\x01\x01\x10\0\0\0").await, malformed);
        assert_eq!(knock(b"l\0\x0b\0\0\0\x12\0\x01\x01\0\0").await, malformed);
        assert!(knock(b"l\0\x0b").await.is_err());
    }
}
