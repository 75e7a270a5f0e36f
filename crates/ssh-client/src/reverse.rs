//! The TCP connection the other way round: the server dials, the client listens. Who is server and who is client, whose
//! key is proved and who logs in stays as it is (RFC 4253 §4.1 leaves open who connects).

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::address::ToAddress;
use crate::client::Client;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::host_keys::HostKeys;

/// A port that servers connect to, so that this side can log in to them: behind a firewall that lets nobody in.
///
/// ```no_run
/// # async fn example() -> Result<(), ssh_client::Error> {
/// use ssh_client::{Config, Credentials, HostKeys, ReverseListener};
/// let listener = ReverseListener::bind("0.0.0.0:2222").await?;
/// let dialled = listener.accept().await?;
/// let (host_keys, keys) = (HostKeys::known_hosts_default()?, Credentials::default_keys()?);
/// let client = dialled.log_in(&Config::default(), "the-device", "admin", host_keys, keys).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReverseListener {
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl ReverseListener {
    /// Listens on `bind`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn bind(bind: impl ToSocketAddrs + std::fmt::Debug) -> Result<Self, Error> {
        let failed = |source| Error::Listen {
            bind: format!("{bind:?}"),
            source,
        };
        let listener = TcpListener::bind(&bind).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local_addr })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next server that connects. Nothing has been said to it, and nothing is known of it but its address. Dropping
    /// the future loses nobody.
    ///
    /// # Errors
    /// [`Error::Listen`]: out of file descriptors, as a rule; it may be tried again.
    pub async fn accept(&self) -> Result<Dialled, Error> {
        let accepted = self.listener.accept().await;
        let (stream, peer_addr) = accepted.map_err(|source| Error::Listen {
            bind: self.local_addr.to_string(),
            source,
        })?;
        Ok(Dialled { stream, peer_addr })
    }
}

/// A server that has connected.
#[derive(Debug)]
pub struct Dialled {
    stream: TcpStream,
    peer_addr: SocketAddr,
}

impl Dialled {
    /// Where it came from.
    pub const fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Logs in to it. `name` is the one by which its key is looked up: the key tells who has connected, the address does
    /// not. The route of `config` is not used.
    ///
    /// # Errors
    /// As [`Client::over`].
    pub async fn log_in(
        self,
        config: &Config,
        name: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Client, Error> {
        if let Err(error) = self.stream.set_nodelay(true) {
            tracing::debug!(%error, "small packets may be late");
        }
        Client::over(config, self.stream, name, user, host_keys, credentials).await
    }
}
