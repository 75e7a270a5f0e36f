//! A long link on a machine that has none: 120 MiB in a second at most, and each byte arrives 50 ms after it was sent (the
//! link of P-10). By the clock of tokio, which a test may move.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long one way takes.
pub const ONE_WAY: Duration = Duration::from_millis(50);

/// What it carries in each direction.
pub const BYTES_PER_SECOND: u64 = 120 * 1024 * 1024;

/// What one read of the link takes.
const PIECE: usize = 32 * 1024;

/// Pieces under way: the link's own product of rate and time, and as much again. A router has no more room either.
const UNDER_WAY: usize = 512;

/// Timers go by milliseconds: a piece may leave so much before its turn.
const SLACK: Duration = Duration::from_millis(4);

/// One direction of the link, to its end.
pub async fn carry(mut from: impl AsyncRead + Send + Unpin + 'static, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    tokio::spawn(async move {
        // When the wire is free again.
        let mut free = Instant::now();
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let Ok(count @ 1..) = from.read_buf(&mut piece).await else {
                return;
            };
            // A clock that wakes late must not cost the link its rate.
            free = free.max(Instant::now() - SLACK) + takes(count);
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
    let _gone = to.shutdown().await;
}

/// How long the wire is taken by so many bytes.
fn takes(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / BYTES_PER_SECOND)
}

/// The two ends of such a link in this process.
pub fn link() -> (DuplexStream, DuplexStream) {
    let (near, near_end) = duplex(256 * 1024);
    let (far, far_end) = duplex(256 * 1024);
    let (near_in, near_out) = split(near_end);
    let (far_in, far_out) = split(far_end);
    tokio::spawn(carry(near_in, far_out));
    tokio::spawn(carry(far_in, near_out));
    (near, far)
}
