//! Whole sessions fed by a hostile peer, in both roles and at three places: bytes in the clear from the first one on,
//! packets sealed with the right keys before login, and the same after login. The first byte chooses the place.

use std::sync::OnceLock;
use std::time::Duration;

use ssh_client::auth::{UserName, client, server};
use ssh_client::channel::Connection;
use ssh_client::sftp_protocol as sftp;
use ssh_client::wire::bytes::Bytes;
use ssh_client::wire::{Encode, Layer, Message, Writer};
use ssh_testkit::pair::{Ends, Setup};

use crate::memory::{Account, ROOM_BYTES};

/// A payload as it stands: what only a peer that means harm sends.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}

impl Message for Raw<'_> {
    const NUMBER: u8 = 0;
    const NAME: &'static str = "RAW";
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let mut setup = Setup::default();
        for config in [&mut setup.client, &mut setup.server] {
            // The cheapest exchange: what is fuzzed comes after it.
            config
                .preferences
                .edit_kex("curve25519-sha256")
                .expect("it is registered");
        }
        setup
    })
}

/// Payloads cut out of the fuzzer's bytes: a length byte, then that many bytes.
fn payloads(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = data.split_first()?;
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(length) + 1));
        data = rest;
        (!payload.is_empty()).then_some(payload)
    })
}

/// Feeds a machine what the other end's machine sealed, then lets time pass: it must come to rest or end. `channels` says
/// for how many of them it may hold something.
fn feed<V: Layer, P: Layer>(
    victim: &mut V,
    peer: &mut P,
    ends: &ssh_testkit::clock::Clock,
    account: &mut Account,
    channels: impl Fn(&V) -> usize,
) -> bool {
    let bytes = std::mem::take(peer.transmit());
    peer.transmitted(bytes.len());
    let room = ROOM_BYTES * (1 + channels(victim));
    let rests = account.received(bytes.len(), room, || {
        victim.read_buffer().extend_from_slice(&bytes);
        loop {
            match victim.poll(ends.now()) {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    });
    if rests {
        let answer = std::mem::take(victim.transmit());
        victim.transmitted(answer.len());
        account.gave(&answer);
    }
    rests
}

fn in_the_clear<V: Layer>(victim: &mut V, data: &[u8], now: std::time::Instant) {
    let piece = usize::from(data.first().copied().unwrap_or(0)) + 1;
    let mut account = Account::default();
    for part in data.get(1..).unwrap_or_default().chunks(piece) {
        let rests = account.received(part.len(), ROOM_BYTES, || {
            victim.read_buffer().extend_from_slice(part);
            loop {
                match victim.poll(now) {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        });
        if !rests {
            return;
        }
    }
    // Whatever it waits for, it gives up some day.
    assert!(
        victim.poll(now + Duration::from_secs(86_400)).is_err(),
        "a handshake waits for ever"
    );
}

/// A server under attack.
pub fn session_server(data: &[u8]) {
    let Some((&place, rest)) = data.split_first() else {
        return;
    };
    match place % 3 {
        0 => {
            let mut ends = setup().handshakes();
            in_the_clear(&mut ends.server, rest, ends.clock.now());
        }
        1 => {
            let Ends {
                mut client,
                server,
                clock,
                ..
            } = setup().transports();
            let mut victim = server::Authenticator::new(server, server::Policy::default(), clock.now());
            let mut account = Account::default();
            for payload in payloads(rest) {
                let _ = client.send(&Raw(payload));
                if !feed(&mut victim, &mut client, &clock, &mut account, |_| 0) {
                    return;
                }
            }
        }
        _ => {
            let Ends {
                mut client,
                server,
                clock,
                ..
            } = setup().sessions();
            let mut victim = Connection::new(server, setup().server_connection.clone());
            let mut account = Account::default();
            for payload in payloads(rest) {
                let _ = client.send(&Raw(payload));
                if !feed(
                    &mut victim,
                    &mut client,
                    &clock,
                    &mut account,
                    Connection::channels,
                ) {
                    return;
                }
            }
        }
    }
}

/// A client under attack.
pub fn session_client(data: &[u8]) {
    let Some((&place, rest)) = data.split_first() else {
        return;
    };
    match place % 3 {
        0 => {
            let mut ends = setup().handshakes();
            in_the_clear(&mut ends.client, rest, ends.clock.now());
        }
        1 => {
            let Ends {
                client,
                mut server,
                clock,
                ..
            } = setup().transports();
            let mut victim = client::Authenticator::new(client, UserName::new("fuzz").expect("a name"));
            let mut account = Account::default();
            for payload in payloads(rest) {
                let _ = server.send(&Raw(payload));
                if !feed(&mut victim, &mut server, &clock, &mut account, |_| 0) {
                    return;
                }
            }
        }
        _ => {
            let Ends {
                client,
                mut server,
                clock,
                ..
            } = setup().sessions();
            let mut victim = Connection::new(client, setup().client_connection.clone());
            let mut account = Account::default();
            for payload in payloads(rest) {
                let _ = server.send(&Raw(payload));
                if !feed(
                    &mut victim,
                    &mut server,
                    &clock,
                    &mut account,
                    Connection::channels,
                ) {
                    return;
                }
            }
        }
    }
}

/// SFTP bytes to both machines.
pub(crate) fn sftp(data: &[u8]) {
    let mut client = sftp::client::Client::new();
    client.receive(Bytes::copy_from_slice(data));
    while let Ok(Some(_)) = client.poll() {}
    let mut server = sftp::server::Server::new(sftp::server::Config::default());
    server.receive(Bytes::copy_from_slice(data));
    while let Ok(Some(_)) = server.poll() {}
}
