//! Tunnels without an async runtime.

use std::sync::Arc;

use super::{Client, Engine};
use crate::error::Error;
use crate::tokio_driver::tunnel::{Traffic, TunnelMode};

/// A tunnel: [`crate::Tunnel`]. Dropping it ends it.
#[must_use = "dropping it ends the tunnel"]
pub struct Tunnel {
    inner: crate::Tunnel,
    engine: Arc<Engine>,
}

impl Client {
    /// Joins a network device of this side to one of the server's.
    ///
    /// # Errors
    /// Those of [`crate::Client::forward_tunnel`].
    pub fn forward_tunnel(
        &self,
        mode: TunnelMode,
        local: Option<u32>,
        remote: Option<u32>,
    ) -> Result<Tunnel, Error> {
        Ok(Tunnel {
            inner: self.engine.run(self.inner.forward_tunnel(mode, local, remote))?,
            engine: Arc::clone(&self.engine),
        })
    }
}

impl Tunnel {
    /// The name of the device on this side, such as `tun0`.
    pub fn device_name(&self) -> &str {
        self.inner.device_name()
    }

    /// What it carries.
    pub const fn mode(&self) -> TunnelMode {
        self.inner.mode()
    }

    /// What has gone through it so far.
    pub fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }

    /// Ends it, and waits until this side's device has been given back.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn close(self) -> Result<(), Error> {
        let Self { inner, engine } = self;
        engine.block_on(inner.close())
    }
}
