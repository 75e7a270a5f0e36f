//! Proxies that are asked for a TCP connection: SOCKS 5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 §9.3.6).

use std::io;
use std::net::IpAddr;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::address::{Address, ToAddress};
use crate::config::Config;
use crate::connect;
use crate::error::{Error, Phase};

/// The longest answer of an HTTP proxy that is read, in bytes.
pub const MAX_HTTP_HEADER_BYTES: usize = 16 * 1024;

/// The longest piece of a proxy's own words that is kept, in bytes.
const MAX_WORDS_BYTES: usize = 200;

/// A proxy, and whom it knows us as.
#[derive(Clone)]
pub struct Proxy {
    address: Address,
    login: Option<(String, Zeroizing<String>)>,
}

impl Proxy {
    /// The proxy at `address`; it wants to know nobody.
    ///
    /// # Errors
    /// [`Error::BadAddress`].
    pub fn new(address: impl ToAddress) -> Result<Self, Error> {
        Ok(Self {
            address: address.to_address()?,
            login: None,
        })
    }

    /// Logs in, if the proxy asks for it (SOCKS), or at once (HTTP). The password goes over the wire as it stands.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), Zeroizing::new(password.into())));
        self
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.address)
    }
}

/// Why a proxy gave no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The connection to it broke, or ended too soon.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not speak the protocol.
    #[error("it does not answer as such a proxy does: {0}")]
    Malformed(&'static str),
    /// It takes no method of logging in that we have.
    #[error("it wants to know who we are")]
    LoginWanted,
    /// It does not know user or password.
    #[error("it refuses the login")]
    LoginRefused,
    /// A user name, password or host name is longer than the protocol has room for.
    #[error("the {0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// It did not connect, by the code of RFC 1928 §6.
    #[error("{} (SOCKS code {code})", socks_code(*code))]
    Socks {
        /// The code.
        code: u8,
    },
    /// It did not connect, in its own words: the status line.
    #[error("{0:?}")]
    Http(String),
}

const fn socks_code(code: u8) -> &'static str {
    match code {
        2 => "it does not allow this connection",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "it does not connect",
        8 => "it does not know this kind of address",
        _ => "it failed",
    }
}

impl Proxy {
    pub(super) async fn socks_5(&self, config: &Config, to: &Address) -> Result<TcpStream, Error> {
        self.asked(config, async |stream: &mut TcpStream| {
            socks_5(stream, to, self.login.as_ref()).await
        })
        .await
    }

    pub(super) async fn http_connect(&self, config: &Config, to: &Address) -> Result<TcpStream, Error> {
        self.asked(config, async |stream: &mut TcpStream| {
            http_connect(stream, to, self.login.as_ref()).await
        })
        .await
    }

    /// Connects to the proxy and asks it, both within the limit of connecting.
    async fn asked(
        &self,
        config: &Config,
        ask: impl AsyncFnOnce(&mut TcpStream) -> Result<(), ProxyError>,
    ) -> Result<TcpStream, Error> {
        let limit = config.timeouts.connect;
        let begin = tokio::time::Instant::now();
        let mut stream = connect::tcp(&self.address, limit, config.local_end()).await?;
        let left = limit.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, ask(&mut stream)).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(source)) => Err(Error::Proxy {
                proxy: self.address.clone(),
                source,
            }),
            Err(_elapsed) => Err(Error::Timeout {
                address: self.address.clone(),
                phase: Phase::Connect,
                limit,
            }),
        }
    }
}

type Login = (String, Zeroizing<String>);

const SOCKS_VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;

async fn socks_5<S>(stream: &mut S, to: &Address, login: Option<&Login>) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods: &[u8] = match login {
        Some(_) => &[SOCKS_VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[SOCKS_VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(methods).await?;
    if stream.read_u8().await? != SOCKS_VERSION {
        return Err(ProxyError::Malformed("another version than SOCKS 5"));
    }
    match (stream.read_u8().await?, login) {
        (NO_AUTHENTICATION, _) => {}
        (USER_AND_PASSWORD, Some((user, password))) => {
            let mut request = Zeroizing::new(vec![LOGIN_VERSION]);
            push_text(&mut request, "user name", user)?;
            push_text(&mut request, "password", password)?;
            stream.write_all(&request).await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await?;
            if answer != [LOGIN_VERSION, 0] {
                return Err(ProxyError::LoginRefused);
            }
        }
        _ => return Err(ProxyError::LoginWanted),
    }
    let mut request = vec![SOCKS_VERSION, 1, 0];
    match to.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_name) => {
            request.push(3);
            push_text(&mut request, "host name", &to.host)?;
        }
    }
    request.extend(to.port.to_be_bytes());
    stream.write_all(&request).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, code, _reserved, address_type] = head;
    if version != SOCKS_VERSION {
        return Err(ProxyError::Malformed("another version than SOCKS 5"));
    }
    if code != 0 {
        return Err(ProxyError::Socks { code });
    }
    // The address the connection leaves from, which nobody here needs, and its port.
    let length = match address_type {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return Err(ProxyError::Malformed("an address of no type")),
    };
    let mut rest = vec![0; length.saturating_add(2)];
    stream.read_exact(&mut rest).await?;
    Ok(())
}

fn push_text(request: &mut Vec<u8>, what: &'static str, text: &str) -> Result<(), ProxyError> {
    let length = u8::try_from(text.len()).map_err(|_too_long| ProxyError::TooLong(what))?;
    request.push(length);
    request.extend(text.as_bytes());
    Ok(())
}

async fn http_connect<S>(stream: &mut S, to: &Address, login: Option<&Login>) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"));
    if let Some((user, password)) = login {
        let both = Zeroizing::new(format!("{user}:{}", password.as_str()));
        request.push_str("Proxy-Authorization: Basic ");
        push_base64(&mut request, both.as_bytes());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let header = read_header(stream).await?;
    let status = header.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let status = status.strip_suffix(b"\r").unwrap_or(status);
    let status = String::from_utf8_lossy(status.get(..MAX_WORDS_BYTES).unwrap_or(status)).into_owned();
    let mut words = status.split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.0" | "HTTP/1.1"), Some(code)) if code.len() == 3 && code.starts_with('2') => Ok(()),
        (Some("HTTP/1.0" | "HTTP/1.1"), Some("407")) if login.is_some() => Err(ProxyError::LoginRefused),
        (Some("HTTP/1.0" | "HTTP/1.1"), Some("407")) => Err(ProxyError::LoginWanted),
        (Some("HTTP/1.0" | "HTTP/1.1"), Some(_)) => Err(ProxyError::Http(status)),
        _ => Err(ProxyError::Malformed("no status line of HTTP/1")),
    }
}

/// An answer up to its empty line, and not a byte of what stands behind it: that is the server's.
///
/// A line may end in a single LF (RFC 9112 §2.2 leaves that to whoever reads): proxies that say so are in use, and an
/// answer of which nothing but the first line is looked at cannot be taken for two.
async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, ProxyError> {
    let mut header = Vec::new();
    while !(header.ends_with(b"\n\r\n") || header.ends_with(b"\n\n")) {
        if header.len() >= MAX_HTTP_HEADER_BYTES {
            return Err(ProxyError::Malformed("an answer without end"));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(header)
}

/// RFC 4648 §4.
fn push_base64(text: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let mut word = [0; 4];
        for (place, byte) in word.iter_mut().skip(1).zip(group) {
            *place = *byte;
        }
        let word = u32::from_be_bytes(word);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from(word >> shift & 63).unwrap_or_default();
            let letter = ALPHABET.get(digit).copied().unwrap_or(b'A');
            let padded = place > group.len();
            text.push(char::from(if padded { b'=' } else { letter }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.to_address().unwrap()
    }

    fn login() -> Login {
        ("user".to_owned(), Zeroizing::new("pass".to_owned()))
    }

    #[test]
    fn base64_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut text = String::new();
            push_base64(&mut text, plain.as_bytes());
            assert_eq!(text, coded);
        }
    }

    /// Plays a proxy that says `answers` whatever it hears: the outcome, what it heard, and what was left unread.
    async fn played<A>(answers: &[u8], ask: A) -> (Result<(), String>, Vec<u8>, Vec<u8>)
    where
        A: AsyncFnOnce(&mut tokio::io::DuplexStream) -> Result<(), ProxyError>,
    {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let (mut reader, mut writer) = tokio::io::split(far);
        writer.write_all(answers).await.unwrap();
        writer.shutdown().await.unwrap();
        let outcome = ask(&mut near).await.map_err(|error| error.to_string());
        let mut left = Vec::new();
        near.read_to_end(&mut left).await.unwrap();
        drop(near);
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).await.unwrap();
        (outcome, heard, left)
    }

    #[tokio::test]
    async fn socks_answers_are_read_to_their_last_byte_and_no_further() {
        let to = address("inside:22");
        for bound in [
            &b"\x01\0\0\0\0\0\0"[..],
            b"\x04aaaabbbbccccdddd\0\x16",
            b"\x03\x04name\0\x16",
        ] {
            let answers = [b"\x05\0\x05\0\0", bound, b"SSH-2.0-"].concat();
            let (outcome, heard, left) = played(&answers, async |s| socks_5(s, &to, None).await).await;
            assert_eq!(outcome, Ok(()));
            assert_eq!(heard, b"\x05\x01\0\x05\x01\0\x03\x06inside\0\x16");
            assert_eq!(left, b"SSH-2.0-");
        }
        let granted = b"\x05\x02\x01\0\x05\0\0\x01\0\0\0\0\0\0";
        let (to, login) = (address("[::1]:22"), login());
        let (outcome, heard, _) = played(granted, async |s| socks_5(s, &to, Some(&login)).await).await;
        assert_eq!(outcome, Ok(()));
        let request = [&b"\x05\x01\0\x04"[..], &[0; 15], &[1, 0, 22]].concat();
        assert_eq!(
            heard,
            [&b"\x05\x02\0\x02\x01\x04user\x04pass"[..], &request].concat()
        );
    }

    #[tokio::test]
    async fn socks_refusals_and_nonsense_are_told_apart() {
        let login = login();
        for (answers, known, error) in [
            (&b"\x05\xff"[..], false, "it wants to know who we are"),
            (b"\x05\x02", false, "it wants to know who we are"),
            (b"\x05\x02\x01\x01", true, "it refuses the login"),
            (
                b"\x04\0",
                false,
                "it does not answer as such a proxy does: another version than SOCKS 5",
            ),
            (
                b"HTTP/1.1 400",
                false,
                "it does not answer as such a proxy does: another version than SOCKS 5",
            ),
            (
                b"\x05\0\x05\x05\0\x01\0\0\0\0\0\0",
                false,
                "connection refused (SOCKS code 5)",
            ),
            (
                b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0",
                false,
                "it does not allow this connection (SOCKS code 2)",
            ),
            (
                b"\x05\0\x05\0\0\x09",
                false,
                "it does not answer as such a proxy does: an address of no type",
            ),
            (b"\x05\0\x05", false, "early eof"),
        ] {
            let (to, login) = (address("inside:22"), known.then_some(&login));
            let (outcome, ..) = played(answers, async |s| socks_5(s, &to, login).await).await;
            assert_eq!(outcome, Err(error.to_owned()), "{answers:?}");
        }
        let long = ("u".repeat(256), Zeroizing::new(String::new()));
        let to = address("inside:22");
        let (outcome, ..) = played(b"\x05\x02", async |s| socks_5(s, &to, Some(&long)).await).await;
        assert_eq!(outcome, Err("the user name is longer than 255 bytes".to_owned()));
    }

    #[tokio::test]
    async fn an_http_proxy_is_asked_in_its_words_and_its_answer_read_to_the_empty_line() {
        let to = address("[2001:db8::1]:22");
        let answers = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nSSH-2.0-";
        let (outcome, heard, left) = played(answers, async |s| http_connect(s, &to, None).await).await;
        assert_eq!((outcome, &left[..]), (Ok(()), &b"SSH-2.0-"[..]));
        assert_eq!(
            heard,
            b"CONNECT [2001:db8::1]:22 HTTP/1.1\r\nHost: [2001:db8::1]:22\r\n\r\n"
        );
        let (to, login) = (address("h:22"), login());
        let (outcome, heard, _) = played(b"HTTP/1.0 204 \r\n\r\n", async |s| {
            http_connect(s, &to, Some(&login)).await
        })
        .await;
        assert_eq!(outcome, Ok(()));
        assert!(heard.ends_with(b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"));
    }

    #[tokio::test]
    async fn lines_of_an_http_proxy_may_end_in_a_single_line_feed() {
        let to = address("h:22");
        for answers in [
            "HTTP/1.1 200 OK\r\nVia: x\r\n\r\nSSH",
            "HTTP/1.1 200 OK\nVia: x\n\nSSH",
            "HTTP/1.1 200 OK\nVia: x\r\n\nSSH",
            "HTTP/1.1 200 OK\r\nVia: x\n\r\nSSH",
            "HTTP/1.0 200\n\nSSH",
            "HTTP/1.0 200\n\r\nSSH",
        ] {
            let played = played(answers.as_bytes(), async |s| http_connect(s, &to, None).await);
            let (outcome, _, left) = played.await;
            assert_eq!((outcome, &left[..]), (Ok(()), &b"SSH"[..]), "{answers:?}");
        }
        // A CR alone ends no line, and stands in none.
        for (answers, error) in [
            ("HTTP/1.1 200\rOK\r\n\r\n", "\"HTTP/1.1 200\\rOK\""),
            ("HTTP/1.1 403 No\n\n", "\"HTTP/1.1 403 No\""),
            (
                "\n\n",
                "it does not answer as such a proxy does: no status line of HTTP/1",
            ),
            ("HTTP/1.1 200 OK\r\r", "unexpected end of file"),
            ("HTTP/1.1 200 OK\n", "unexpected end of file"),
        ] {
            let played = played(answers.as_bytes(), async |s| http_connect(s, &to, None).await);
            assert_eq!(played.await.0, Err(error.to_owned()), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn the_answer_of_an_http_proxy_has_a_longest() {
        let to = address("h:22");
        let answer = |bytes: usize| {
            let (before, behind) = ("HTTP/1.1 200 OK\r\nX: ", "\r\n\r\n");
            let filling = "x".repeat(bytes - before.len() - behind.len());
            format!("{before}{filling}{behind}SSH")
        };
        let longest = answer(MAX_HTTP_HEADER_BYTES);
        let (outcome, _, left) = played(longest.as_bytes(), async |s| http_connect(s, &to, None).await).await;
        assert_eq!((outcome, &left[..]), (Ok(()), &b"SSH"[..]));
        let longer = answer(MAX_HTTP_HEADER_BYTES + 1);
        let (outcome, ..) = played(longer.as_bytes(), async |s| http_connect(s, &to, None).await).await;
        let told = "it does not answer as such a proxy does: an answer without end";
        assert_eq!(outcome, Err(told.to_owned()));
    }

    #[tokio::test]
    async fn http_refusals_and_nonsense_are_told_apart() {
        let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &vec![b'x'; MAX_HTTP_HEADER_BYTES]].concat();
        let malformed = "it does not answer as such a proxy does: no status line of HTTP/1";
        for (answers, error) in [
            (
                &b"HTTP/1.1 403 Forbidden \x1b[2J\r\n\r\n"[..],
                "\"HTTP/1.1 403 Forbidden \\u{1b}[2J\"",
            ),
            (b"HTTP/1.1 407 Who\r\n\r\n", "it wants to know who we are"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "\"HTTP/1.1 2000 OK\""),
            (b"SSH-2.0-x\r\n\r\n", malformed),
            (b"\r\n\r\n", malformed),
            (b"HTTP/1.1 200 OK\r\n", "unexpected end of file"),
            (
                &endless,
                "it does not answer as such a proxy does: an answer without end",
            ),
        ] {
            let to = address("inside:22");
            let (outcome, ..) = played(answers, async |s| http_connect(s, &to, None).await).await;
            assert_eq!(outcome, Err(error.to_owned()));
        }
    }
}
