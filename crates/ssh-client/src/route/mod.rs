//! How a server is reached: directly, through a program, a proxy, or other servers.
//!
//! ```text
//!  Direct        TCP ─────────────────────────────────────────▶ server
//!  Command       a program's standard input and output ───────▶ server
//!  Socks5        TCP to the proxy ──── RFC 1928 ──────────────▶ server
//!  HttpConnect   TCP to the proxy ──── RFC 9110 §9.3.6 ───────▶ server
//!  Jump          a connection of its own to each hop, each over a direct-tcpip channel of the one before ──▶ server
//! ```
//!
//! Whatever the route, the server proves its key to this client, end to end: what lies between sees ciphertext.

mod command;
mod proxy;

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::{Address, ToAddress};
use crate::client::Client;
use crate::config::Config;
use crate::connect;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::host_keys::HostKeys;
use crate::tokio_driver::Channel;

pub use command::{CommandError, ProxyCommand};
pub use proxy::{MAX_HTTP_HEADER_BYTES, Proxy, ProxyError};

/// The way to a server ([`Config::route`]).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Route {
    /// TCP, to the server itself.
    #[default]
    Direct,
    /// A program whose standard input and output lead to the server (`ProxyCommand` of `ssh_config(5)`).
    Command(ProxyCommand),
    /// A SOCKS 5 proxy (RFC 1928), which also looks the server's name up.
    Socks5(Proxy),
    /// An HTTP proxy that knows CONNECT (RFC 9110 §9.3.6).
    HttpConnect(Proxy),
    /// Other SSH servers, the first one first (`ProxyJump` of `ssh_config(5)`). Each is logged in to from here: nothing
    /// of this client's, no key and no password, is used on a hop. Without any it is [`Route::Direct`].
    Jump(Vec<Hop>),
}

/// A server on the way to another.
#[derive(Clone)]
pub struct Hop {
    address: Address,
    user: String,
    host_keys: HostKeys,
    credentials: Credentials,
    config: Option<Box<Config>>,
}

impl Hop {
    /// The server at `address`, logged in to as any other.
    ///
    /// # Errors
    /// [`Error::BadAddress`].
    pub fn new(
        address: impl ToAddress,
        user: impl Into<String>,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        Ok(Self {
            address: address.to_address()?,
            user: user.into(),
            host_keys,
            credentials,
            config: None,
        })
    }

    /// Choices of its own, in place of those of the connection it is for. The route in them is the way to the first hop;
    /// that of a later hop is the hop before it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(Box::new(config));
        self
    }

    /// Where it is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The choices for this hop. Those of the connection it is for lead here, so that its route is not taken again.
    fn choices(&self, of_the_connection: &Config) -> Config {
        match &self.config {
            Some(config) => Config::clone(config),
            None => Config {
                route: Route::Direct,
                incoming: 0,
                ..of_the_connection.clone()
            },
        }
    }
}

impl std::fmt::Debug for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hop({}@{})", self.user, self.address)
    }
}

/// The far and the near end of a TCP connection to the server itself.
pub(crate) type Ends = (Option<SocketAddr>, Option<SocketAddr>);

/// A stream of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A stream that leads to the server, and its ends where it is TCP all the way.
pub(crate) async fn follow(config: &Config, to: &Address) -> Result<(Box<dyn Stream>, Ends), Error> {
    let limit = config.timeouts.connect;
    let nobody = (None, None);
    Ok(match &config.route {
        Route::Command(command) => (Box::new(command.start(to)?), nobody),
        Route::Socks5(proxy) => (Box::new(proxy.socks_5(config, to).await?), nobody),
        Route::HttpConnect(proxy) => (Box::new(proxy.http_connect(config, to).await?), nobody),
        Route::Jump(hops) if !hops.is_empty() => (Box::new(jump(config, hops, to).await?), nobody),
        Route::Direct | Route::Jump(_) => {
            let stream = connect::tcp(to, limit, config.local_end()).await?;
            let ends = (stream.peer_addr().ok(), stream.local_addr().ok());
            (Box::new(stream), ends)
        }
    })
}

/// A channel of the last hop that leads to the server. It keeps the connections it goes through.
fn jump<'a>(
    config: &'a Config,
    hops: &'a [Hop],
    to: &'a Address,
) -> Pin<Box<dyn Future<Output = Result<Channel, Error>> + Send + 'a>> {
    Box::pin(async move {
        let mut way: Option<(&Hop, Client)> = None;
        for hop in hops {
            let choices = hop.choices(config);
            let (address, user) = (hop.address.clone(), hop.user.as_str());
            let (host_keys, credentials) = (hop.host_keys.clone(), hop.credentials.clone());
            let client = match &way {
                None => Client::connect_with(&choices, address, user, host_keys, credentials).await,
                Some((before, client)) => {
                    let channel = through(before, client, &hop.address).await?;
                    Client::over(&choices, channel, address, user, host_keys, credentials).await
                }
            };
            way = Some((hop, client.map_err(|source| at(hop, source))?));
        }
        match &way {
            Some((last, client)) => through(last, client, to).await,
            None => Err(Error::BadAddress {
                address: String::new(),
                problem: "there is no hop",
            }),
        }
    })
}

async fn through(hop: &Hop, client: &Client, to: &Address) -> Result<Channel, Error> {
    let channel = client.direct_tcpip(&to.host, to.port).await;
    channel.map_err(|source| at(hop, source))
}

fn at(hop: &Hop, source: Error) -> Error {
    Error::Hop {
        hop: hop.address.clone(),
        source: Box::new(source),
    }
}
