//! Streams that are not sockets: one that holds bytes back until it is flushed, one whose reads come late and whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]
#![allow(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use common::{Options, bytes, channel, let_in, log_in, pair_over};
use ssh_tokio::channel::{Connection, GlobalRequest};
use ssh_tokio::{Config, start};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::{Sleep, sleep};

/// Takes bytes and keeps them, as a program's standard output does, until it has been asked twice to flush.
struct Lazy {
    inner: DuplexStream,
    held: Vec<u8>,
    settled: bool,
}

impl AsyncWrite for Lazy {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(data);
        self.settled = false;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.settled {
            this.settled = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while !this.held.is_empty() {
            let count = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.held))?;
            this.held.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.settled = true;
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Lazy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_holds_bytes_back_is_flushed_to_the_end() {
    let (client, server) = duplex(64 * 1024);
    let server = Lazy {
        inner: server,
        held: Vec::new(),
        settled: true,
    };
    let talk = async {
        let (pair, ..) = pair_over(Options::default(), client, server).await;
        let (mut ours, mut theirs) = channel(&pair).await;
        let data = bytes(300_000);
        for said in [&b"a word"[..], &data] {
            let mut heard = vec![0; said.len()];
            let (written, read) = tokio::join!(theirs.write_all(said), ours.read_exact(&mut heard));
            written.unwrap();
            read.unwrap();
            assert!(heard == said);
        }
    };
    // Less than a keepalive, which would flush by accident.
    tokio::time::timeout(Duration::from_secs(5), talk)
        .await
        .expect("bytes were held back for ever");
}

/// Each read comes a moment late and brings everything that has arrived by then.
struct Late {
    inner: DuplexStream,
    pause: Pin<Box<Sleep>>,
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.pause.as_mut().poll(cx));
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        self.pause = Box::pin(sleep(Duration::from_millis(20)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Late {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_one_read_with_the_end_of_the_login_is_kept() {
    let options = Options::default();
    let (client, server) = duplex(64 * 1024);
    let client = Late {
        inner: client,
        pause: Box::pin(sleep(Duration::ZERO)),
    };
    let client = async {
        let (session, stream) = log_in(&options, client).await;
        let (client, driver) = start(
            Connection::new(session, options.client.clone()),
            stream,
            Config::default(),
        );
        tokio::spawn(driver);
        client
    };
    let server = async {
        let (session, stream) = let_in(&options, server).await;
        let (server, driver) = start(
            Connection::new(session, options.server.clone()),
            stream,
            Config::default(),
        );
        // As OpenSSH's server does: it speaks before the client has heard that it is in.
        let answered = server.clone();
        let answered = tokio::spawn(async move { answered.global_request(&GlobalRequest::Keepalive).await });
        tokio::spawn(driver);
        (server, answered)
    };
    let (client, (_server, answered)) = tokio::join!(client, server);
    let heard = tokio::time::timeout(Duration::from_secs(5), answered).await;
    heard.expect("the request was lost").unwrap().unwrap();
    assert!(client.why_closed().is_none());
}
