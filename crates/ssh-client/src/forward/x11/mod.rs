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

mod cookies;
mod display;
mod setup;
mod xauth;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::{Forward, Forwarding, ListenOn, Listening, Target};
use crate::channel::{ChannelRequest, X11Req};
use crate::client::Client;
use crate::connect::{self, LocalEnd};
use crate::error::Error;
use crate::tokio_driver::{ChannelWatch, system_rng};

pub use display::{X11Display, X11Error};

use cookies::{COOKIE_BYTES, Cookies, PROTOCOL, Unbound};
use display::Place;
use setup::{Setup, SetupError};

/// How long a program may take to say its first words.
const SETUP_TIME: Duration = Duration::from_secs(60);

/// Two digits for each byte. Nothing is left of them where they have been.
fn to_hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().saturating_mul(2)));
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

/// A display that programs at the server may draw on. Dropping it ends their connections.
#[must_use = "dropping it ends the connections to the display"]
pub struct X11Forward {
    forward: Forward,
    cookies: Cookies,
    screen: u32,
}

impl std::fmt::Debug for X11Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("X11Forward")
            .field("forward", &self.forward)
            .finish_non_exhaustive()
    }
}

/// What a session asks the server for a display with, and its cookie, which nobody else has. Give it to
/// [`Exec::x11`](crate::Exec::x11). Dropped, it is as if it had never been made.
#[must_use = "a session is to ask with it"]
pub struct X11Request {
    request: ChannelRequest,
    cookie: Unbound,
}

impl X11Request {
    /// The request, for a session that is opened by hand: send it on the channel of `session`, with which its cookie
    /// ends.
    pub fn bound_to(self, session: ChannelWatch) -> ChannelRequest {
        self.cookie.bind(session);
        self.request
    }
}

impl std::fmt::Debug for X11Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("X11Request")
    }
}

impl X11Forward {
    /// The request for one session, with a cookie of its own. It lets programs in as long as that session's channel is
    /// open; those that are in may stay. `single_connection` asks for one connection only, and lets no second one in.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn request(&self, single_connection: bool) -> Result<X11Request, Error> {
        let mut cookie = Zeroizing::new(vec![0; COOKIE_BYTES]);
        system_rng().map_err(Error::Randomness)?.fill_bytes(&mut cookie);
        let request = X11Req {
            single_connection,
            protocol: PROTOCOL.to_owned(),
            cookie: to_hex(&cookie).into(),
            screen: self.screen,
        };
        Ok(X11Request {
            request: request.into(),
            cookie: self.cookies.add(cookie, single_connection),
        })
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
        let cookies = Cookies::default();
        let screen = display.screen;
        let (display, known) = (Arc::new(display), cookies.clone());
        let limit = self.connect_limit();
        let target = Target::serve(move |mut stream| {
            let (display, known) = (Arc::clone(&display), known.clone());
            async move {
                match admitted(&mut stream, &display, &known, limit).await {
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
            cookies,
            screen,
        })
    }
}

/// Why a program was not let in.
#[derive(Debug, Error)]
enum Refused {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("it said nothing for {} seconds", SETUP_TIME.as_secs())]
    Timeout,
    #[error("it does not know the cookie")]
    WrongCookie,
    #[error("the display: {0}")]
    Display(#[from] io::Error),
    #[error("the display: {0}")]
    Unreached(#[from] Error),
    #[error("the display does not answer within {} seconds", .0.as_secs_f32())]
    Silent(Duration),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Reads a program's first words; if it knows a cookie, connects to the display within `limit` and says them there with
/// its own.
async fn admitted<S: AsyncRead + Unpin>(
    stream: &mut S,
    display: &X11Display,
    cookies: &Cookies,
    limit: Duration,
) -> Result<Box<dyn Stream>, Refused> {
    let setup = match tokio::time::timeout(SETUP_TIME, Setup::read(stream)).await {
        Ok(setup) => setup?,
        Err(_elapsed) => return Err(Refused::Timeout),
    };
    // The cookie first: where it was right, a single one is used up by a wrong protocol, too.
    if !cookies.admit(&setup.cookie) || setup.protocol != PROTOCOL.as_bytes() {
        return Err(Refused::WrongCookie);
    }
    let words = setup.with_cookie(display.cookie.as_deref());
    let introduced = async {
        let mut shown: Box<dyn Stream> = match &display.place {
            Place::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Place::Port(address) => Box::new(connect::tcp(address, limit, LocalEnd::default()).await?),
        };
        shown.write_all(&words).await?;
        Ok(shown)
    };
    match tokio::time::timeout(limit, introduced).await {
        Ok(shown) => shown,
        Err(_elapsed) => Err(Refused::Silent(limit)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::address::ToAddress;

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
        let cookies = Cookies::default();
        let add = |byte, single| cookies.add(Zeroizing::new(vec![byte; COOKIE_BYTES]), single);
        let _kept = (add(1, false), add(2, true));
        let limit = Duration::from_secs(60);
        let knock = async |said: &[u8]| match admitted(&mut &said[..], &display, &cookies, limit).await {
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

    #[tokio::test]
    async fn a_display_that_does_not_answer_is_given_up() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // The house is full: whoever else knocks hears nothing.
        let mut waiting: Vec<_> = (0..8)
            .map(|_| Box::pin(tokio::net::TcpStream::connect(address)))
            .collect();
        std::future::poll_fn(|cx| {
            for each in &mut waiting {
                let _under_way = each.as_mut().poll(cx);
            }
            std::task::Poll::Ready(())
        })
        .await;
        let mut display = X11Display::new("127.0.0.1:0").unwrap();
        display.place = Place::Port(address.to_address().unwrap());
        let cookies = Cookies::default();
        let _kept = cookies.add(Zeroizing::new(vec![1; COOKIE_BYTES]), false);
        let words = words(b'l', PROTOCOL.as_bytes(), &[1; COOKIE_BYTES]);
        let limit = Duration::from_millis(50);
        let Err(refused) = admitted(&mut &words[..], &display, &cookies, limit).await else {
            panic!("it was let in")
        };
        let told = refused.to_string();
        assert!(told.starts_with("the display"), "{told}");
        assert!(
            matches!(
                refused,
                Refused::Silent(_) | Refused::Unreached(Error::Timeout { .. })
            ),
            "{told}"
        );
    }
}
