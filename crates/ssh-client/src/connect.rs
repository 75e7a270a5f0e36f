//! From a host's name to a TCP connection: all its addresses, the next one tried when the last one takes its time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt::set_socket_keepalive;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::address::Address;
use crate::error::{Error, Phase};

/// How long an address is given before the next one is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Which of a host's addresses are used (`AddressFamily` of `ssh_config(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressFamily {
    /// All of them.
    #[default]
    Any,
    /// Those of IPv4.
    Inet,
    /// Those of IPv6.
    Inet6,
}

/// Where a connection leaves from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LocalEnd {
    pub(crate) bind: Option<IpAddr>,
    pub(crate) family: AddressFamily,
    /// Whether the system watches over it.
    pub(crate) watched: bool,
}

impl LocalEnd {
    /// Whether a connection to `address` can leave from here.
    fn reaches(&self, address: &SocketAddr) -> bool {
        let wanted = match self.family {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        };
        wanted && self.bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4())
    }
}

/// Connects within `limit`, and sees to it that small packets leave at once.
pub(crate) async fn tcp(address: &Address, limit: Duration, from: LocalEnd) -> Result<TcpStream, Error> {
    match tokio::time::timeout(limit, connect(address, from)).await {
        Ok(result) => result.inspect(|stream| {
            if from.watched {
                keep_alive(stream);
            }
        }),
        Err(_elapsed) => Err(Error::Timeout {
            address: address.clone(),
            phase: Phase::Connect,
            limit,
        }),
    }
}

async fn connect(address: &Address, from: LocalEnd) -> Result<TcpStream, Error> {
    let addresses = match tokio::net::lookup_host((address.host.as_str(), address.port)).await {
        Ok(addresses) => addresses,
        Err(source) => {
            return Err(Error::Resolve {
                host: address.host.clone(),
                source,
            });
        }
    };
    let reached = addresses.filter(|address| from.reaches(address));
    race(reached, move |address| open(address, from.bind))
        .await
        .map_err(|source| Error::Connect {
            address: address.clone(),
            source,
        })
}

/// The first connection that stands, or the last failure.
async fn race<F>(
    addresses: impl Iterator<Item = SocketAddr>,
    open: impl Fn(SocketAddr) -> F,
) -> io::Result<TcpStream>
where
    F: Future<Output = io::Result<TcpStream>> + Send + 'static,
{
    let mut addresses = addresses.peekable();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let mut under_way = JoinSet::new();
    loop {
        let next = addresses.next();
        let more = addresses.peek().is_some();
        match next {
            // Nobody to race with.
            Some(only) if !more && under_way.is_empty() => return open(only).await,
            Some(next) => drop(under_way.spawn(open(next))),
            None => {}
        }
        let joined = if more {
            tokio::time::timeout(HEAD_START, under_way.join_next()).await
        } else {
            Ok(under_way.join_next().await)
        };
        match joined {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) if more => {}
            Ok(None) => return Err(last),
        }
    }
}

/// Lets the system ask the other side from time to time whether it is there (`TCPKeepAlive`).
fn keep_alive(stream: &TcpStream) {
    if let Err(error) = set_socket_keepalive(stream, true) {
        tracing::debug!(%error, "the system will not watch over the connection");
    }
}

async fn open(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = match bind {
        None => TcpStream::connect(address).await?,
        Some(bind) => {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.bind(SocketAddr::new(bind, 0))?;
            socket.connect(address).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_refused_port_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: free.port(),
        };
        let error = tcp(&address, Duration::from_secs(5), LocalEnd::default())
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::Connect { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hold_up_the_next() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap();
        let refused = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let opener = move |address| async move {
            // No answer at all: neither a connection nor a refusal.
            if address == nowhere {
                std::future::pending().await
            } else {
                open(address, None).await
            }
        };
        let stream = race([refused, nowhere, alive].into_iter(), opener).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(stream.nodelay().unwrap());
        let keeps = || rustix::net::sockopt::socket_keepalive(&stream).unwrap();
        assert!(!keeps(), "unless it is told to");
        keep_alive(&stream);
        assert!(keeps());
    }

    #[tokio::test]
    async fn no_address_at_all_is_an_error_too() {
        assert!(
            race(std::iter::empty(), |address| open(address, None))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_connection_leaves_from_where_it_shall_and_goes_to_the_family_it_shall() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Address {
            host: "localhost".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let limit = Duration::from_secs(5);
        let from = |bind: Option<&str>, family| LocalEnd {
            bind: bind.map(|bind| bind.parse().unwrap()),
            family,
            watched: false,
        };
        for (bind, family, leaves) in [
            (Some("127.0.0.7"), AddressFamily::Any, "127.0.0.7"),
            (None, AddressFamily::Inet, "127.0.0.1"),
        ] {
            let stream = tcp(&to, limit, from(bind, family)).await.unwrap();
            assert_eq!(stream.local_addr().unwrap().ip().to_string(), leaves);
        }
        for (bind, family) in [
            (None, AddressFamily::Inet6),
            (Some("::1"), AddressFamily::Inet),
            (Some("192.0.2.1"), AddressFamily::Any),
        ] {
            let refused = tcp(&to, limit, from(bind, family)).await;
            assert!(matches!(refused, Err(Error::Connect { .. })), "{refused:?}");
        }
    }
}
