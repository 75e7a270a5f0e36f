//! Looking up the names that clients want to be connected to.
//!
//! The system's resolver has no other form than a call that waits, so it runs on a thread of the pool that files and keys
//! are read on, too. A thread that waits for a slow answer is not freed by whoever stops waiting for it: a place is
//! held by the thread itself, so that clients with slow names cannot take the pool from everybody.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;

/// How many names are looked up at a time in this process: a small part of tokio's pool of 512 threads.
const MAX_LOOKUPS: usize = 64;

/// How many addresses of a name count.
const MAX_ADDRESSES: usize = 16;

static LOOKUPS: Semaphore = Semaphore::const_new(MAX_LOOKUPS);

/// The addresses of `host`, with `port`. An address stands for itself and waits for nobody.
pub(crate) async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let place = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        let _place = place;
        let found = (host.as_str(), port).to_socket_addrs()?;
        Ok(found.take(MAX_ADDRESSES).collect())
    });
    looking.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_wait_for_a_place_and_addresses_do_not() {
        let all = LOOKUPS.acquire_many(64).await.unwrap();
        for address in ["127.0.0.1", "::1"] {
            let found = lookup(address, 7).await.unwrap();
            assert_eq!(found, [SocketAddr::new(address.parse().unwrap(), 7)]);
        }
        let mut waiting = Box::pin(lookup("localhost", 7));
        tokio::select! {
            biased;
            found = &mut waiting => panic!("{found:?} without a place"),
            () = tokio::task::yield_now() => {}
        }
        drop(all);
        let found = waiting.await.unwrap();
        assert!(found.iter().all(|each| each.ip().is_loopback()), "{found:?}");
        assert!(!found.is_empty());
    }
}
