//! TCP through the connection (RFC 4254 §7.2): one stream to a host behind the server, or a local port whose
//! connections all go there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::channel::{ChannelType, DirectTcpip};
use crate::client::Client;
use crate::error::Error;
use crate::tokio_driver::{Channel, relay};

/// Most connections of one forwarded port at a time; more wait in the listener's queue.
pub const MAX_FORWARDED_CONNECTIONS: usize = 1024;

/// How long accepting rests after a failure: out of file descriptors, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// A TCP connection that the server makes to `host`:`port`, as a stream.
    ///
    /// # Errors
    /// [`Error::Open`] if the server will not or cannot connect, [`Error::OpenTimeout`] if it does not say within
    /// [`Timeouts::open`](crate::Timeouts::open).
    pub async fn direct_tcpip(&self, host: &str, port: u16) -> Result<Channel, Error> {
        self.direct_tcpip_from(host, port, ([127, 0, 0, 1], 0).into())
            .await
    }

    async fn direct_tcpip_from(&self, host: &str, port: u16, from: SocketAddr) -> Result<Channel, Error> {
        let wanted = DirectTcpip {
            host: host.to_owned(),
            port,
            originator: from.ip().to_string(),
            originator_port: u32::from(from.port()),
        };
        self.open(
            ChannelType::from(wanted),
            &format!("a connection to {host} port {port}"),
        )
        .await
    }

    /// Listens on `bind` (port 0 takes a free one) and sends every connection through the server to `host`:`port`.
    /// Dropping the result closes the port and the connections made through it.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port cannot be listened on.
    pub async fn forward_local(
        &self,
        bind: impl ToSocketAddrs + std::fmt::Debug,
        host: &str,
        port: u16,
    ) -> Result<LocalForward, Error> {
        let failed = |source| Error::Listen {
            bind: format!("{bind:?}"),
            source,
        };
        let listener = TcpListener::bind(&bind).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let serving = serve(self.clone(), listener, host.to_owned(), port);
        Ok(LocalForward {
            local_addr,
            task: tokio::spawn(serving),
        })
    }
}

/// A local port whose connections go through the server.
#[derive(Debug)]
#[must_use = "dropping it closes the port"]
pub struct LocalForward {
    local_addr: SocketAddr,
    task: JoinHandle<()>,
}

impl LocalForward {
    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for LocalForward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until the connection is over. Its connections end with it: a join set aborts what it holds when dropped.
async fn serve(client: Client, listener: TcpListener, host: String, port: u16) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(MAX_FORWARDED_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_done) = connections.join_next() => continue,
            _why = client.closed() => return,
        };
        let Some((place, stream, from)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (client, host) = (client.clone(), host.clone());
        connections.spawn(async move {
            let _place = place;
            match client.direct_tcpip_from(&host, port, from).await {
                Ok(channel) => {
                    if let Err(error) = relay(channel, stream).await {
                        tracing::debug!(%from, %error, "a forwarded connection broke");
                    }
                }
                Err(error) => tracing::warn!(%from, %error, "a connection was not forwarded"),
            }
        });
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "small packets may be late");
            }
            Some((place, stream, from))
        }
        Err(error) => {
            tracing::warn!(%error, "accepting failed");
            None
        }
    }
}
