//! Tunnels (OpenSSH `PROTOCOL` §2.3): a network device of this side joined to one of the server's.

use std::sync::Arc;

use tokio::sync::watch;

use crate::channel::ChannelType;
use crate::client::Client;
use crate::error::Error;
use crate::tokio_driver::tunnel::{Traffic, TunnelCounters, TunnelDevice, TunnelMode, relay};

/// A tunnel: a device of this side, its packets carried to the server's device and back. It keeps its connection alive.
/// Dropping it ends it, and the devices that were made for it go.
#[must_use = "dropping it ends the tunnel"]
pub struct Tunnel {
    device_name: String,
    mode: TunnelMode,
    counters: Arc<TunnelCounters>,
    /// Dropped, it ends the task.
    order: watch::Sender<Order>,
    /// Its sender goes with the task.
    progress: watch::Receiver<()>,
}

/// What the handle wants of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Go on; when the handle goes, end.
    Serve,
    /// Go on, and do not heed the handle any more.
    Alone,
    End,
}

impl Client {
    /// Joins a network device of this side to one of the server's (`ssh -w`, with `Tunnel`): tun devices for IP packets,
    /// tap devices for Ethernet frames. The numbers are those of the devices here and there; `None` is the next that is
    /// free. Both come without addresses and down. It needs Linux, and the right to make devices.
    ///
    /// What the network of one side should not hear of the other's must be filtered there: this joins them.
    ///
    /// # Errors
    /// [`Error::Tunnel`] if there is no device here, [`Error::Open`] if the server will not or cannot have one,
    /// [`Error::OpenTimeout`] if it does not say.
    pub async fn forward_tunnel(
        &self,
        mode: TunnelMode,
        local: Option<u32>,
        remote: Option<u32>,
    ) -> Result<Tunnel, Error> {
        let opened = crate::blocking(move || TunnelDevice::open(mode, local)).await;
        let device = opened.map_err(|source| Error::Tunnel {
            address: self.address().clone(),
            source,
        })?;
        let wanted = ChannelType::from(mode.wanted(remote));
        let purpose = format!("a {mode} tunnel to {}", device.name());
        let channel = self.open(wanted, &purpose).await?;
        let (order, mut orders) = watch::channel(Order::Serve);
        let (working, progress) = watch::channel(());
        let counters = Arc::new(TunnelCounters::default());
        let tunnel = Tunnel {
            device_name: device.name().to_owned(),
            mode,
            counters: Arc::clone(&counters),
            order,
            progress,
        };
        tokio::spawn(async move {
            // In this order: who waits for the end finds the device given back.
            let _working = working;
            let device = device;
            tokio::select! {
                ended = relay(channel, &device, &counters) => if let Err(error) = ended {
                    tracing::debug!(device = device.name(), %error, "the tunnel broke off");
                },
                () = ordered_to_end(&mut orders) => {}
            }
        });
        Ok(tunnel)
    }
}

/// Waits until the handle wants the end, or is gone without another word.
async fn ordered_to_end(orders: &mut watch::Receiver<Order>) {
    while *orders.borrow_and_update() == Order::Serve {
        if orders.changed().await.is_err() {
            return;
        }
    }
    if *orders.borrow() == Order::Alone {
        std::future::pending::<()>().await;
    }
}

impl Tunnel {
    /// The name of the device on this side, such as `tun0`.
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// What it carries.
    pub const fn mode(&self) -> TunnelMode {
        self.mode
    }

    /// What has gone through it so far.
    pub fn traffic(&self) -> Traffic {
        self.counters.traffic()
    }

    /// Ends it, and waits until this side's device has been given back.
    pub async fn close(self) {
        self.order.send_replace(Order::End);
        self.finished().await;
    }

    /// Waits until it has ended: the server closed it, a device is gone, or the whole connection is over.
    pub async fn finished(&self) {
        let mut progress = self.progress.clone();
        // It fails when the task is gone, and everything of it.
        while progress.changed().await.is_ok() {}
    }

    /// Lets it live as long as its connection, without a handle.
    pub fn detach(self) {
        self.order.send_replace(Order::Alone);
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel")
            .field("device_name", &self.device_name)
            .field("mode", &self.mode)
            .field("traffic", &self.traffic())
            .finish_non_exhaustive()
    }
}
