//! What a program says to a display first (X Window System Protocol, "Connection Setup"), up to its authentication.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::cookies::PROTOCOL;

/// The longest protocol name and cookie that are read, in bytes each.
const MAX_AUTHENTICATION_BYTES: u16 = 256;

/// What is wrong with a program's first words.
#[derive(Debug, Error)]
pub(super) enum SetupError {
    #[error("its first words: {0}")]
    Io(#[from] io::Error),
    #[error("its first words are not those of X11")]
    Malformed,
}

/// What a program says first, up to its authentication.
#[derive(Debug)]
pub(super) struct Setup {
    /// Byte order, an unused byte, the two version numbers.
    pub(super) head: [u8; 6],
    pub(super) protocol: Vec<u8>,
    pub(super) cookie: Zeroizing<Vec<u8>>,
}

impl Setup {
    pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Self, SetupError> {
        let mut fixed = [0; 12];
        stream.read_exact(&mut fixed).await?;
        let [order, unused, v1, v2, v3, v4, p1, p2, c1, c2, ..] = fixed;
        let number: fn([u8; 2]) -> u16 = match order {
            b'B' => u16::from_be_bytes,
            b'l' => u16::from_le_bytes,
            _ => return Err(SetupError::Malformed),
        };
        let (protocol_bytes, cookie_bytes) = (number([p1, p2]), number([c1, c2]));
        if protocol_bytes > MAX_AUTHENTICATION_BYTES || cookie_bytes > MAX_AUTHENTICATION_BYTES {
            return Err(SetupError::Malformed);
        }
        Ok(Self {
            head: [order, unused, v1, v2, v3, v4],
            protocol: read_padded(stream, protocol_bytes).await?,
            cookie: Zeroizing::new(read_padded(stream, cookie_bytes).await?),
        })
    }

    /// The same words with the display's own cookie, or with none.
    pub(super) fn with_cookie(&self, cookie: Option<&Vec<u8>>) -> Zeroizing<Vec<u8>> {
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
async fn read_padded<S: AsyncRead + Unpin>(stream: &mut S, bytes: u16) -> Result<Vec<u8>, SetupError> {
    let bytes = usize::from(bytes);
    let mut text = vec![0; bytes.next_multiple_of(4)];
    stream.read_exact(&mut text).await?;
    text.truncate(bytes);
    Ok(text)
}
