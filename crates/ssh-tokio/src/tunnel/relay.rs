//! Joins a channel to a device. What does not fit is lost: nobody waits for it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::TunnelDevice;
use super::frame::{self, Frame};
use crate::channel::Datagram;
use crate::channel_handle::{Channel, ChannelReader, ChannelWriter};

/// What has gone through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Packets of the device that were sent to the peer.
    pub sent: u64,
    /// Packets of the peer that were given to the device.
    pub received: u64,
    /// Packets of either that were lost on this side: no packet of the tunnel's kind, too long, no credit, a device that
    /// is down.
    pub lost: u64,
}

/// The numbers behind [`Traffic`].
#[derive(Debug, Default)]
pub struct TunnelCounters {
    sent: AtomicU64,
    received: AtomicU64,
    lost: AtomicU64,
}

impl TunnelCounters {
    /// The numbers now.
    pub fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            sent: read(&self.sent),
            received: read(&self.received),
            lost: read(&self.lost),
        }
    }
}

/// Moves packets between `channel` and `device` until the peer says that no more will come, the channel is closed or
/// the device is gone.
///
/// # Errors
/// The device is gone, or the connection is over.
pub async fn relay(channel: Channel, device: &TunnelDevice, counters: &TunnelCounters) -> io::Result<()> {
    let parts = channel.split();
    // Nobody reads standard error here: kept, this reader would let it fill the window that the data needs.
    drop(parts.stderr_reader);
    tokio::select! {
        done = deliver(parts.reader, device, counters) => done,
        done = collect(device, parts.writer, counters) => done,
    }
}

/// The peer's packets into the device.
async fn deliver(mut from: ChannelReader, to: &TunnelDevice, counters: &TunnelCounters) -> io::Result<()> {
    let mode = to.mode();
    while let Some(message) = from.next_chunk().await? {
        match frame::packet(mode, &message).map(|packet| to.send(packet)) {
            Some(Ok(())) => count(&counters.received),
            Some(Err(error)) => {
                tracing::trace!(device = to.name(), %error, "the device does not take a packet");
                count(&counters.lost);
            }
            None => count(&counters.lost),
        }
        // A flood would leave the other direction without a turn.
        tokio::task::consume_budget().await;
    }
    Ok(())
}

/// The device's packets to the peer.
async fn collect(from: &TunnelDevice, mut to: ChannelWriter, counters: &TunnelCounters) -> io::Result<()> {
    let mut room = Frame::new(from.mode());
    loop {
        let length = from.receive(room.packet_mut()).await?;
        let sent = match room.of(length) {
            Some(frame) => Some(to.send_datagram(frame).await?),
            None => None,
        };
        match sent {
            Some(Datagram::Sent) => count(&counters.sent),
            lost => {
                tracing::trace!(
                    device = from.name(),
                    ?lost,
                    length,
                    "the peer does not take a packet"
                );
                count(&counters.lost);
            }
        }
        // What is lost waits for nobody either.
        tokio::task::consume_budget().await;
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
