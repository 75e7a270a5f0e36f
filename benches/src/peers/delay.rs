//! A long link on a machine that has none: each byte arrives a fixed time after it was sent, at a rate that is capped.

use ssh_testkit::long_link::carry;
use tokio::net::{TcpListener, TcpStream};

use crate::roles::Result;

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
