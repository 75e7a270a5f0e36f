//! The serving half of SOCKS 4, 4a and 5 (RFC 1928; OpenSSH's `-D`): whoever connects says where the connection is to
//! go. CONNECT only, no authentication, no UDP: the port is for this user or whom the application lets in.
//!
//! ```text
//!  4, 4a   request ───────────────────────────────▶ answer
//!  5       methods ──▶ method 0 ──▶ request ──────▶ answer
//! ```
//!
//! Exactly the bytes of the request are read: what stands behind them belongs to the connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::address::{Address, ToAddress};
use crate::channel::OpenFailureReason;

/// How long whoever connects may take to say where to.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// The longest user name and host name of SOCKS 4 that are read, in bytes without the zero behind them; those of SOCKS 5
/// have a length of one byte.
const MAX_TEXT_BYTES: u64 = 255;

const VERSION_4: u8 = 4;
const VERSION_5: u8 = 5;
const CONNECT: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why there is no request to serve.
#[derive(Debug, Error)]
pub(super) enum SocksError {
    #[error("no SOCKS request: {0}")]
    Io(#[from] io::Error),
    #[error("no SOCKS request within {} seconds", REQUEST_TIME.as_secs())]
    Timeout,
    #[error("SOCKS version {0} is none")]
    Version(u8),
    #[error("every authentication method that SOCKS offers wants a password")]
    Methods,
    #[error("SOCKS command {0} is not served")]
    Command(u8),
    #[error("SOCKS address type {0} is none")]
    AddressType(u8),
    #[error("the host in a SOCKS request is none")]
    Host,
    #[error("a text in a SOCKS request has more than {MAX_TEXT_BYTES} bytes")]
    TooLong,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Granted,
    Failed,
    NotAllowed,
    Unreachable,
    CommandNotSupported,
    AddressTypeNotSupported,
}

impl Answer {
    /// The code of RFC 1928 §6.
    const fn code(self) -> u8 {
        match self {
            Self::Granted => 0,
            Self::Failed => 1,
            Self::NotAllowed => 2,
            Self::Unreachable => 4,
            Self::CommandNotSupported => 7,
            Self::AddressTypeNotSupported => 8,
        }
    }
}

impl From<OpenFailureReason> for Answer {
    fn from(reason: OpenFailureReason) -> Self {
        match reason {
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED => Self::NotAllowed,
            OpenFailureReason::CONNECT_FAILED => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

/// A request to connect, which waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    version: u8,
    to: Address,
}

impl Asked {
    /// Reads a request, and answers it where that cannot be served.
    pub(super) async fn read<S>(stream: &mut S) -> Result<Self, SocksError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let reading = async {
            match stream.read_u8().await? {
                VERSION_4 => read_4(stream).await,
                VERSION_5 => read_5(stream).await,
                other => Err(SocksError::Version(other)),
            }
        };
        tokio::time::timeout(REQUEST_TIME, reading)
            .await
            .map_err(|_elapsed| SocksError::Timeout)?
    }

    /// Where to.
    pub(super) const fn to(&self) -> &Address {
        &self.to
    }

    /// Answers.
    pub(super) async fn answer<S>(&self, stream: &mut S, answer: Answer) -> io::Result<()>
    where
        S: AsyncWrite + Unpin,
    {
        send(stream, self.version, answer).await
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, version: u8, answer: Answer) -> io::Result<()> {
    // The address behind the code is the one the connection leaves from, which nobody here knows.
    match version {
        VERSION_4 => {
            let code = if answer == Answer::Granted { 90 } else { 91 };
            stream.write_all(&[0, code, 0, 0, 0, 0, 0, 0]).await?;
        }
        _ => {
            let reply = [VERSION_5, answer.code(), 0, IPV4, 0, 0, 0, 0, 0, 0];
            stream.write_all(&reply).await?;
        }
    }
    stream.flush().await
}

/// SOCKS 4 and 4a, behind the version.
async fn read_4<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Asked, SocksError> {
    let command = stream.read_u8().await?;
    let port = stream.read_u16().await?;
    let mut address = [0; 4];
    stream.read_exact(&mut address).await?;
    let _user = read_text(stream).await?;
    // 0.0.0.x with another x than 0 says that a name follows (4a).
    let host = match address {
        [0, 0, 0, last] if last != 0 => read_text(stream).await?,
        address => Ipv4Addr::from(address).to_string().into_bytes(),
    };
    if command != CONNECT {
        send(stream, VERSION_4, Answer::CommandNotSupported).await?;
        return Err(SocksError::Command(command));
    }
    asked(stream, VERSION_4, host, port).await
}

/// Text up to its zero.
async fn read_text<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, SocksError> {
    let mut text = Vec::new();
    loop {
        match stream.read_u8().await? {
            0 => return Ok(text),
            byte if u64::try_from(text.len()).is_ok_and(|length| length < MAX_TEXT_BYTES) => text.push(byte),
            _ => return Err(SocksError::TooLong),
        }
    }
}

/// SOCKS 5, behind the version (RFC 1928 §3, §4).
async fn read_5<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Asked, SocksError> {
    let mut methods = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&NO_AUTHENTICATION) {
        stream.write_all(&[VERSION_5, NO_ACCEPTABLE_METHOD]).await?;
        stream.flush().await?;
        return Err(SocksError::Methods);
    }
    stream.write_all(&[VERSION_5, NO_AUTHENTICATION]).await?;
    stream.flush().await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, command, _reserved, address_type] = head;
    if version != VERSION_5 {
        return Err(SocksError::Version(version));
    }
    let host = match address_type {
        IPV4 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await?;
            Ipv4Addr::from(address).to_string().into_bytes()
        }
        IPV6 => {
            let mut address = [0; 16];
            stream.read_exact(&mut address).await?;
            Ipv6Addr::from(address).to_string().into_bytes()
        }
        DOMAIN_NAME => {
            let mut name = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut name).await?;
            name
        }
        other => {
            send(stream, VERSION_5, Answer::AddressTypeNotSupported).await?;
            return Err(SocksError::AddressType(other));
        }
    };
    let port = stream.read_u16().await?;
    if command != CONNECT {
        send(stream, VERSION_5, Answer::CommandNotSupported).await?;
        return Err(SocksError::Command(command));
    }
    asked(stream, VERSION_5, host, port).await
}

/// The request, if its host can be one.
async fn asked<S>(stream: &mut S, version: u8, host: Vec<u8>, port: u16) -> Result<Asked, SocksError>
where
    S: AsyncWrite + Unpin,
{
    let address = String::from_utf8(host).ok().map(|host| (host, port).to_address());
    match address {
        Some(Ok(to)) => Ok(Asked { version, to }),
        _ => {
            send(stream, version, Answer::Failed).await?;
            Err(SocksError::Host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `sent`, given in pieces; what is answered; and what is left unread.
    async fn feed(sent: &[u8], piece: usize) -> (String, Vec<u8>, Vec<u8>) {
        let (near, mut far) = tokio::io::duplex(piece);
        let (mut reader, mut writer) = tokio::io::split(near);
        let mut answers = Vec::new();
        let sending = async {
            writer.write_all(sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let serving = async {
            let asked = Asked::read(&mut far).await.unwrap();
            asked.answer(&mut far, Answer::Granted).await.unwrap();
            let mut left = Vec::new();
            far.read_to_end(&mut left).await.unwrap();
            drop(far);
            (asked.to().to_string(), left)
        };
        let ((), read, (to, left)) = tokio::join!(sending, reader.read_to_end(&mut answers), serving);
        read.unwrap();
        (to, answers, left)
    }

    const GRANTED_4: [u8; 8] = [0, 90, 0, 0, 0, 0, 0, 0];
    const GRANTED_5: [u8; 12] = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn requests_of_every_version_are_read_whole_and_byte_by_byte_and_no_further() {
        let name = [&[5, 2, 7, 0, 5, 1, 0, 3, 7][..], b"inside.", &[0, 80], b"GET"].concat();
        let six = [
            &[5, 1, 0, 5, 1, 0, 4][..],
            &Ipv6Addr::LOCALHOST.octets(),
            &[1, 187],
        ]
        .concat();
        for (sent, to, answer, left) in [
            (
                &b"\x04\x01\x00\x50\x7f\x00\x00\x01me\x00rest"[..],
                "127.0.0.1:80",
                &GRANTED_4[..],
                &b"rest"[..],
            ),
            (
                b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00inside\x00",
                "inside:443",
                &GRANTED_4,
                b"",
            ),
            (
                b"\x04\x01\x00\x50\x00\x00\x00\x00\x00",
                "0.0.0.0:80",
                &GRANTED_4,
                b"",
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x16SSH",
                "192.0.2.1:22",
                &GRANTED_5,
                b"SSH",
            ),
            (&name, "inside.:80", &GRANTED_5, b"GET"),
            (&six, "[::1]:443", &GRANTED_5, b""),
        ] {
            for piece in [1, 4096] {
                let (asked, answers, unread) = feed(sent, piece).await;
                assert_eq!(asked, to, "{sent:?}");
                assert_eq!((&answers[..], &unread[..]), (answer, left), "{sent:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_served_is_answered_as_the_protocols_say() {
        let long = [&b"\x04\x01\x00\x50\x7f\x00\x00\x01"[..], &[b'x'; 256], b"\0"].concat();
        let failed = [5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0];
        for (sent, error, answer) in [
            (&b"GET / HTTP/1.1\r\n"[..], "SOCKS version 71 is none", &b""[..]),
            (
                b"\x05\x01\x02",
                "every authentication method that SOCKS offers wants a password",
                b"\x05\xff",
            ),
            (
                b"\x05\x00",
                "every authentication method that SOCKS offers wants a password",
                b"\x05\xff",
            ),
            (b"\x05\x01\x00\x04", "no SOCKS request: early eof", b"\x05\0"),
            (
                b"\x05\x01\x00\x04\x01\x00\x01",
                "SOCKS version 4 is none",
                b"\x05\0",
            ),
            (
                b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x16",
                "SOCKS command 2 is not served",
                b"\x05\0\x05\x07\0\x01\0\0\0\0\0\0",
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x09",
                "SOCKS address type 9 is none",
                b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0",
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x16",
                "the host in a SOCKS request is none",
                &failed,
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x03\x02a\n\x00\x16",
                "the host in a SOCKS request is none",
                &failed,
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x03\x02\xff\xfe\x00\x16",
                "the host in a SOCKS request is none",
                &failed,
            ),
            (
                b"\x04\x02\x00\x50\x7f\x00\x00\x01\x00",
                "SOCKS command 2 is not served",
                &[0, 91, 0, 0, 0, 0, 0, 0],
            ),
            (&long, "a text in a SOCKS request has more than 255 bytes", b""),
        ] {
            let (near, mut far) = tokio::io::duplex(4096);
            let (mut reader, mut writer) = tokio::io::split(near);
            writer.write_all(sent).await.unwrap();
            writer.shutdown().await.unwrap();
            assert_eq!(
                Asked::read(&mut far).await.unwrap_err().to_string(),
                error,
                "{sent:?}"
            );
            drop(far);
            let mut answers = Vec::new();
            reader.read_to_end(&mut answers).await.unwrap();
            assert_eq!(answers, answer, "{sent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_given_up() {
        let (_near, mut far) = tokio::io::duplex(64);
        assert!(matches!(Asked::read(&mut far).await, Err(SocksError::Timeout)));
    }
}
