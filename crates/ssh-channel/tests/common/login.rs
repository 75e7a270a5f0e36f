//! A real handshake and a real login, in memory: the way two sessions come into being.

use std::sync::Arc;
use std::time::Instant;

use chacha20::ChaCha20Rng;
use ssh_channel::auth::server::{self, Attempt, Policy};
use ssh_channel::auth::{Session, UserName, client};
use ssh_channel::kex::{self, Handshake, HandshakeEvent, Transport};
use ssh_channel::keys::{PrivateKey, Signer};
use ssh_channel::wire::Layer;
use ssh_channel::wire::rand_core::SeedableRng;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// Moves all bytes, whole.
fn carry(from: &mut impl Layer, to: &mut impl Layer) {
    let bytes = std::mem::take(from.transmit());
    from.transmitted(bytes.len());
    to.read_buffer().extend_from_slice(&bytes);
}

/// The default with a cheap exchange.
pub(crate) fn quick() -> kex::Config {
    let mut config = kex::Config::default();
    config.preferences.edit_kex("curve25519-sha256").unwrap();
    config
}

/// Client and server behind their first key exchange.
fn transports(client: kex::Config, server: kex::Config, now: Instant) -> (Transport, Transport) {
    let host_key: Arc<dyn Signer> = Arc::new(PrivateKey::generate_ed25519(&mut rng(1), "host"));
    let mut client = Handshake::client(Arc::new(client), Box::new(rng(2)), now);
    let mut server = Handshake::server(Arc::new(server), vec![host_key], Box::new(rng(3)), now);
    let mut done = 0;
    while done < 2 {
        carry(&mut client, &mut server);
        while let Some(event) = server.poll(now).unwrap() {
            done += usize::from(matches!(event, HandshakeEvent::Established));
        }
        carry(&mut server, &mut client);
        while let Some(event) = client.poll(now).unwrap() {
            match event {
                HandshakeEvent::HostKey(offer) => client.answer(offer.accept()),
                HandshakeEvent::Established => done += 1,
            }
        }
    }
    (client.into_transport().unwrap(), server.into_transport().unwrap())
}

/// The client's session, the server's, and the time at which they begin.
pub(crate) fn sessions() -> (Session, Session, Instant) {
    sessions_with(quick(), quick())
}

/// The same with transports of the test's own.
pub(crate) fn sessions_with(client: kex::Config, server: kex::Config) -> (Session, Session, Instant) {
    let now = Instant::now();
    let (client, server) = transports(client, server, now);
    let mut client = client::Authenticator::new(client, UserName::new("alice").unwrap());
    let mut server = server::Authenticator::new(server, Policy::default(), now);
    let mut done = 0;
    while done < 2 {
        while let Some(event) = client.poll(now).unwrap() {
            match event {
                client::Event::Turn(turn) => client.attempt(turn.password(b"secret")),
                client::Event::Success => done += 1,
                other => panic!("{other:?}"),
            }
        }
        carry(&mut client, &mut server);
        while let Some(event) = server.poll(now).unwrap() {
            match event {
                server::Event::Attempt(Attempt::Password(attempt)) => server.answer(attempt.accept()),
                server::Event::Success(_) => done += 1,
                other => panic!("{other:?}"),
            }
        }
        carry(&mut server, &mut client);
    }
    (
        client.into_session().unwrap(),
        server.into_session().unwrap(),
        now,
    )
}
