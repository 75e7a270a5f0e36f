//! Reading by lines, patterns and counts: what tools that talk to programs are made of.
//!
//! ```no_run
//! use ssh_client::{Client, Reader};
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let process = client.exec("tail -f /var/log/syslog").spawn().await?;
//! let mut log = Reader::new(process.stdout);
//! while let Some(line) = log.next_line().await? {
//!     println!("{line}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is searched for may be cut anywhere by packets: it is found all the same. What was read but not asked for stays
//! in the [`Reader`], which reads like any other. Every future here may be dropped: what had come until then is read by
//! the next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::wire::bytes::{Buf, BytesMut};

/// The longest line, or text up to a pattern, that is looked for, in bytes, unless told otherwise.
pub const DEFAULT_READ_LIMIT: usize = 1024 * 1024;
/// The most patterns looked for at once.
pub const MAX_PATTERNS: usize = 64;

/// What one read asks for, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// What stands for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// A reader with what has been read ahead.
pub struct Reader<R> {
    inner: R,
    ahead: BytesMut,
    at_end: bool,
    /// In bytes.
    limit: usize,
}

/// Why something was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// So much came without what was looked for; it is still there to be read.
    #[error("not found in the first {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The stream ended before what was looked for.
    #[error("the stream ended too early, after {} bytes", partial.len())]
    Ended {
        /// What came after all.
        partial: Vec<u8>,
    },
    /// There was nothing to look for: no pattern, an empty one, or more than [`MAX_PATTERNS`].
    #[error("between 1 and 64 patterns can be looked for, none of them empty")]
    BadPatterns,
}

/// A pattern that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of the patterns, counted from 0.
    pub pattern: usize,
    /// What stood before it.
    pub before: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            ahead: BytesMut::new(),
            at_end: false,
            limit: DEFAULT_READ_LIMIT,
        }
    }

    /// The longest line, or text up to a pattern, that is looked for, in bytes.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }

    /// The next line, without its end (`\n` or `\r\n`); `None` at the end of the stream. The last line need not have an
    /// end. What is not UTF-8 is replaced.
    ///
    /// # Errors
    /// [`ReadError::TooLong`], and if the stream fails.
    pub async fn next_line(&mut self) -> Result<Option<String>, ReadError> {
        let line = self.next_line_bytes().await?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).into_owned()))
    }

    /// The same, as bytes.
    ///
    /// # Errors
    /// As of [`next_line`](Self::next_line).
    pub async fn next_line_bytes(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut line = match self.read_until(b"\n").await {
            Ok(line) => line,
            Err(ReadError::Ended { partial }) if partial.is_empty() => return Ok(None),
            Err(ReadError::Ended { partial }) => partial,
            Err(error) => return Err(error),
        };
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Everything up to `pattern`, which is read and left out.
    ///
    /// # Errors
    /// [`ReadError::Ended`] with what came instead, [`ReadError::TooLong`], and if the stream fails.
    pub async fn read_until(&mut self, pattern: &[u8]) -> Result<Vec<u8>, ReadError> {
        Ok(self.read_until_any(&[pattern]).await?.before)
    }

    /// Everything up to the first of several patterns; which one, and what stood before it. Of two that begin at the
    /// same byte the one listed first is found, but a longer one is not waited for.
    ///
    /// # Errors
    /// As of [`read_until`](Self::read_until); and [`ReadError::BadPatterns`].
    pub async fn read_until_any(&mut self, patterns: &[&[u8]]) -> Result<Match, ReadError> {
        let any_empty = patterns.iter().any(|pattern| pattern.is_empty());
        if patterns.is_empty() || patterns.len() > MAX_PATTERNS || any_empty {
            return Err(ReadError::BadPatterns);
        }
        let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
        // A pattern may begin in what was searched already: all but one byte of the longest is searched again.
        let mut from = 0_usize;
        loop {
            let within = self.limit.saturating_add(longest).min(self.ahead.len());
            let searched = self.ahead.get(..within).unwrap_or_default();
            if let Some((at, pattern, length)) = first_of(searched, patterns, from)
                && at <= self.limit
            {
                let before = self.ahead.split_to(at).to_vec();
                self.ahead.advance(length);
                return Ok(Match { pattern, before });
            }
            if self.ahead.len() >= self.limit.saturating_add(longest) {
                return Err(ReadError::TooLong { limit: self.limit });
            }
            from = self.ahead.len().saturating_sub(longest.saturating_sub(1));
            if !self.read_more().await? {
                let partial = self.ahead.split().to_vec();
                return Err(ReadError::Ended { partial });
            }
        }
    }

    /// So many bytes, no less and no more.
    ///
    /// # Errors
    /// [`ReadError::Ended`] with what came instead, [`ReadError::TooLong`] if more is asked for than the limit, and if
    /// the stream fails.
    pub async fn read_exactly(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        if count > self.limit {
            return Err(ReadError::TooLong { limit: self.limit });
        }
        while self.ahead.len() < count {
            if !self.read_more().await? {
                let partial = self.ahead.split().to_vec();
                return Err(ReadError::Ended { partial });
            }
        }
        Ok(self.ahead.split_to(count).to_vec())
    }

    /// The next piece of text as it comes; `None` at the end. A character that is cut by packets is waited for; what is
    /// not UTF-8 is replaced.
    ///
    /// # Errors
    /// If the stream fails.
    pub async fn next_text(&mut self) -> Result<Option<String>, ReadError> {
        loop {
            let (text, used) = decoded(&self.ahead, self.at_end);
            if !text.is_empty() {
                self.ahead.advance(used);
                return Ok(Some(text));
            }
            if !self.read_more().await? && self.ahead.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Whether everything has been read: it waits until something comes, or the end.
    ///
    /// # Errors
    /// If the stream fails.
    pub async fn is_at_end(&mut self) -> Result<bool, ReadError> {
        Ok(self.ahead.is_empty() && !self.read_more().await?)
    }

    /// What has been read ahead and not asked for yet.
    pub fn buffered(&self) -> &[u8] {
        &self.ahead
    }

    /// What it reads from; what was read ahead is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Reads once; false at the end.
    async fn read_more(&mut self) -> Result<bool, ReadError> {
        if self.at_end {
            return Ok(false);
        }
        self.ahead.reserve(READ_BYTES);
        self.at_end = self.inner.read_buf(&mut self.ahead).await? == 0;
        Ok(!self.at_end)
    }
}

/// The first pattern in `text` at or after `from`: where, which, how long.
fn first_of(text: &[u8], patterns: &[&[u8]], from: usize) -> Option<(usize, usize, usize)> {
    let rest = text.get(from..)?;
    (0..rest.len()).find_map(|at| {
        let here = rest.get(at..)?;
        let found = patterns.iter().position(|pattern| here.starts_with(pattern))?;
        let length = patterns.get(found)?.len();
        Some((from.saturating_add(at), found, length))
    })
}

/// The text in `bytes`, and how many of them it was made of: all but a character that may still become whole.
fn decoded(bytes: &[u8], at_end: bool) -> (String, usize) {
    let mut text = String::new();
    let mut used = 0_usize;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        used = used.saturating_add(chunk.valid().len());
        let invalid = chunk.invalid();
        let is_last = used.saturating_add(invalid.len()) == bytes.len();
        let may_become_whole = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        if invalid.is_empty() || (is_last && may_become_whole && !at_end) {
            break;
        }
        text.push(REPLACEMENT);
        used = used.saturating_add(invalid.len());
    }
    (text, used)
}

impl<R: AsyncRead + Unpin> AsyncRead for Reader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        let count = self.ahead.len().min(into.remaining());
        into.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// A reader of `pieces`, which come one by one.
    fn reader(pieces: &[&[u8]]) -> Reader<impl AsyncRead + Unpin + use<>> {
        let mut whole: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for piece in pieces.iter().rev() {
            whole = Box::new(AsyncReadExt::chain(io::Cursor::new(piece.to_vec()), whole));
        }
        Reader::new(whole)
    }

    /// Every way to cut `text` into two pieces, and single bytes.
    fn cuts(text: &[u8]) -> Vec<Vec<&[u8]>> {
        let mut cuts: Vec<Vec<&[u8]>> = (0..=text.len())
            .map(|at| vec![&text[..at], &text[at..]])
            .collect();
        cuts.push(text.chunks(1).collect());
        cuts
    }

    #[tokio::test]
    async fn lines_are_found_however_they_are_cut() {
        for pieces in cuts("one\r\n\nthr\u{fc}e\nl\u{e4}st".as_bytes()) {
            let mut reader = reader(&pieces);
            let mut lines = Vec::new();
            while let Some(line) = reader.next_line().await.unwrap() {
                lines.push(line);
            }
            assert_eq!(lines, ["one", "", "thr\u{fc}e", "l\u{e4}st"], "{pieces:?}");
            assert!(reader.is_at_end().await.unwrap());
        }
    }

    #[tokio::test]
    async fn the_first_of_several_patterns_is_found_however_it_is_cut() {
        let text = b"login: >>> Password: $ rest";
        for pieces in cuts(text) {
            let mut reader = reader(&pieces);
            let found = reader.read_until_any(&[b"Password: ", b"login: "]).await.unwrap();
            assert_eq!((found.pattern, found.before), (1, Vec::new()));
            let found = reader
                .read_until_any(&[b"login: ", b"word: ", b"$ "])
                .await
                .unwrap();
            assert_eq!((found.pattern, &found.before[..]), (1, &b">>> Pass"[..]));
            assert_eq!(reader.read_until(b"$ ").await.unwrap(), b"");
            assert_eq!(reader.read_exactly(2).await.unwrap(), b"re");
            match reader.read_until(b"nowhere").await {
                Err(ReadError::Ended { partial }) => assert_eq!(partial, b"st"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_found_within_the_limit_is_an_error_and_still_there() {
        let text = [b'x'; 100];
        let mut long = reader(&[&text[..], &b"\n"[..]]).limit(99);
        assert!(matches!(
            long.next_line().await,
            Err(ReadError::TooLong { limit: 99 })
        ));
        assert!(matches!(
            long.read_exactly(100).await,
            Err(ReadError::TooLong { .. })
        ));
        assert_eq!(long.read_exactly(99).await.unwrap().len(), 99);
        assert_eq!(long.next_line().await.unwrap().unwrap(), "x");
        let mut fits = reader(&[&text[..], &b"\n"[..]]).limit(100);
        assert_eq!(fits.next_line().await.unwrap().unwrap().len(), 100);
        // A stream without end is given up, not collected.
        let mut endless = Reader::new(tokio::io::repeat(b'x')).limit(1000);
        assert!(matches!(
            endless.next_line().await,
            Err(ReadError::TooLong { .. })
        ));
        assert!(endless.buffered().len() < 1000 + 2 * READ_BYTES);
        for bad in [vec![], vec![&b""[..]], vec![&b"x"[..]; MAX_PATTERNS + 1]] {
            let found = endless.read_until_any(&bad).await;
            assert!(matches!(found, Err(ReadError::BadPatterns)));
        }
        let most = vec![&b"x"[..]; MAX_PATTERNS];
        assert_eq!(endless.read_until_any(&most).await.unwrap().pattern, 0);
    }

    #[tokio::test]
    async fn text_comes_whole_however_it_is_cut() {
        let text = "a\u{e9}\u{20ac}\u{1f600}z";
        let mut wrong = text.as_bytes().to_vec();
        wrong.extend_from_slice(b"\xff\xe2\x82");
        for pieces in cuts(&wrong) {
            let mut reader = reader(&pieces);
            let mut all = String::new();
            while let Some(piece) = reader.next_text().await.unwrap() {
                all += &piece;
            }
            assert_eq!(all, format!("{text}\u{fffd}\u{fffd}"), "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn a_read_that_is_dropped_loses_nothing() {
        let (mut near, far) = duplex(1000);
        let mut reader = Reader::new(far);
        for piece in ["be", "gin ", "mid", "dle"] {
            near.write_all(piece.as_bytes()).await.unwrap();
            tokio::select! {
                biased;
                line = reader.next_line() => panic!("{line:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        near.write_all(b" end\nrest").await.unwrap();
        drop(near);
        assert_eq!(reader.next_line().await.unwrap().unwrap(), "begin middle end");
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rest");
    }
}
