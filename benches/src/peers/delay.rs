//! A long link on a machine that has none: each byte arrives a fixed time after it was sent, at a rate that is capped.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::roles::Result;

/// A link of `performance.md`: how long one way takes, and what it carries.
const ONE_WAY: Duration = Duration::from_millis(50);
const BYTES_PER_SECOND: f64 = 120.0 * 1024.0 * 1024.0;

/// How far the timer may be off.
const SLACK: Duration = Duration::from_millis(4);

/// What one read of the link takes.
const PIECE: usize = 32 * 1024;

/// Pieces under way: the link's own product of rate and time, and as much again. A router has no more room either.
const UNDER_WAY: usize = 512;

/// A proxy to a port of this machine, for as long as the value lives.
pub(crate) struct Link {
    port: u16,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Link {
    /// Listens; connections lead to `target`.
    pub(crate) fn to(target: u16) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await {
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::spawn(carry(near_in, far_out));
                    tokio::spawn(carry(far_in, near_out));
                }
            }
        });
        Ok(Self {
            port,
            runtime: Some(runtime),
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One direction, to its end.
async fn carry(mut from: impl AsyncRead + Unpin + Send + 'static, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    tokio::spawn(async move {
        // When the wire is free again.
        let mut free = Instant::now();
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            if !matches!(from.read_buf(&mut piece).await, Ok(1..)) {
                return;
            }
            // A clock that wakes late must not cost the link its rate.
            let sent = free.max(Instant::now() - SLACK);
            free = sent + Duration::from_secs_f64(piece.len() as f64 / BYTES_PER_SECOND);
            if free > Instant::now() + SLACK {
                sleep_until(free).await;
            }
            if sender.send((free + ONE_WAY, piece)).await.is_err() {
                return;
            }
        }
    });
    while let Some((arrives, piece)) = under_way.recv().await {
        sleep_until(arrives).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
