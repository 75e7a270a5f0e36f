//! What a connection keeps while it is idle behind a login: 8 KiB at most in the rooms of packets and keys together, in
//! both roles. A test program of its own, because it counts every allocation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use ssh_client::kex::messages::Ignore;
use ssh_client::kex::{Config, Handshake, HandshakeEvent, Transport, TransportEvent};
use ssh_client::keys::Signer;
use ssh_client::wire::{Cipher, Compression, Layer, Mac, cipher, compression, mac};
use ssh_testkit::pair::Setup;
use ssh_testkit::rng::seeded;

/// What an idle connection may keep in `ssh-wire` and `ssh-kex`, its own value included.
const IDLE_BYTES: i64 = 8 * 1024;

/// What the two streams of `zlib@openssh.com` may keep besides (`docs/defaults.md`): their windows and tables, to which
/// either side may refer whenever it speaks again.
const STREAM_BYTES: i64 = 384 * 1024;

/// A machine and what it has allocated and not given back.
struct Counted<L> {
    machine: L,
    live: i64,
}

impl<L> Counted<L> {
    fn make(make: impl FnOnce() -> L) -> Self {
        let mut machine = None;
        let used = measure(|| machine = Some(make()));
        Self {
            machine: machine.unwrap(),
            live: used.bytes_current,
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut L) -> T) -> T {
        let mut outcome = None;
        let used = measure(|| outcome = Some(act(&mut self.machine)));
        self.live += used.bytes_current;
        outcome.unwrap()
    }
}

impl<L: Layer> Counted<L> {
    /// What it has to say. The vector goes with its bytes if `swaps`; otherwise they are copied out of it.
    fn take(&mut self, swaps: bool) -> Vec<u8> {
        let said = self.with(|machine| {
            let bytes = if swaps {
                std::mem::take(machine.transmit())
            } else {
                machine.transmit().drain(..).collect()
            };
            machine.transmitted(bytes.len());
            bytes
        });
        self.live -= said.capacity() as i64;
        said
    }

    /// Gives it bytes in a block of the driver's, which the driver takes back when nothing is unread.
    fn give(&mut self, bytes: &[u8], mut answer: impl FnMut(&mut L, L::Event))
    where
        L::Error: std::fmt::Debug,
    {
        self.with(|machine| {
            machine.read_buffer().extend_from_slice(bytes);
            while let Some(event) = machine.poll(Instant::now()).unwrap() {
                answer(machine, event);
            }
            if machine.read_buffer().is_empty() {
                drop(std::mem::take(machine.read_buffer()));
            }
        });
    }
}

/// What protects and compresses.
#[derive(Debug, Clone, Copy)]
struct Suite {
    cipher: &'static Cipher,
    mac: &'static Mac,
    compression: &'static Compression,
}

/// A client and a server with that suite, logged in; neither has anything to say.
fn logged_in(suite: Suite) -> [Counted<Transport>; 2] {
    let mut setup = Setup::default();
    for config in [&mut setup.client, &mut setup.server] {
        config.preferences.ciphers = vec![suite.cipher];
        config.preferences.macs = vec![suite.mac];
        config.preferences.compression = vec![suite.compression];
    }
    // Settings and keys are shared by all connections.
    let host_keys: Vec<Arc<dyn Signer>> = vec![Arc::new(setup.host_key())];
    let shared = |config: &Config| Arc::new(config.clone());
    let (ours, theirs) = (shared(&setup.client), shared(&setup.server));
    let now = Instant::now();
    let mut client = Counted::make(|| Handshake::client(ours, seeded(1), now));
    let mut server = Counted::make(|| Handshake::server(theirs, host_keys, seeded(2), now));
    let (mut done, mut rounds) = (0, 0);
    while done < 2 {
        let answer = |machine: &mut Handshake, event| match event {
            HandshakeEvent::HostKey(offer) => machine.answer(offer.accept()),
            HandshakeEvent::Established => done += 1,
        };
        let mut answer = answer;
        let bytes = client.take(false);
        server.give(&bytes, &mut answer);
        let bytes = server.take(false);
        client.give(&bytes, &mut answer);
        rounds += 1;
        assert!(rounds < 20, "{suite:?}");
    }
    let mut sides = [client, server].map(|side| {
        let Counted { machine, mut live } = side;
        let mut transport = None;
        let used = measure(|| transport = machine.into_transport().ok());
        live += used.bytes_current;
        Counted {
            machine: transport.unwrap(),
            live,
        }
    });
    // EXT_INFO arrives before anybody logs in.
    exchange(&mut sides, false);
    for side in &mut sides {
        side.with(Transport::authenticated);
    }
    sides
}

/// All that is said arrives.
fn exchange(sides: &mut [Counted<Transport>; 2], swaps: bool) {
    let [client, server] = sides;
    for _ in 0..3 {
        let (up, down) = (client.take(swaps), server.take(swaps));
        server.give(&up, |_, event: TransportEvent| drop(event));
        client.give(&down, |_, event: TransportEvent| drop(event));
    }
}

/// Each says so many messages of so many bytes.
fn talk(sides: &mut [Counted<Transport>; 2], messages: usize, bytes: usize, swaps: bool) {
    let said = vec![b'd'; bytes];
    for _ in 0..messages {
        // Some ciphers wear out in between.
        while sides.iter().any(|side| side.machine.is_changing_keys()) {
            exchange(sides, swaps);
        }
        for side in &mut *sides {
            side.with(|machine| machine.send(&Ignore { data: &said }).unwrap());
        }
        exchange(sides, swaps);
    }
}

/// What each side keeps when nobody speaks any more, its own value included.
fn kept(sides: &[Counted<Transport>; 2]) -> [i64; 2] {
    [&sides[0], &sides[1]].map(|side| side.live + size_of::<Transport>() as i64)
}

/// What is made once for the process is made by a first connection.
fn warm_up(suite: Suite) {
    drop(logged_in(suite));
}

fn assert_little(suite: Suite, sides: &[Counted<Transport>; 2], when: &str, more: i64) {
    for (role, bytes) in ["client", "server"].into_iter().zip(kept(sides)) {
        assert!(
            bytes <= IDLE_BYTES + more,
            "{suite:?}: a {role} keeps {bytes} bytes {when}"
        );
    }
}

fn suites() -> Vec<Suite> {
    let mut all = Vec::new();
    for cipher in cipher::ALL.iter().copied() {
        for mac in mac::ALL.iter().copied() {
            all.push(Suite {
                cipher,
                mac,
                compression: &compression::NONE,
            });
            if !cipher.needs_mac() {
                break;
            }
        }
    }
    all
}

#[test]
fn an_idle_connection_keeps_8_kib_with_every_cipher_and_mac() {
    let all = suites();
    for (cipher, mac) in [
        ("chacha20-poly1305@openssh.com", None),
        ("aes128-gcm@openssh.com", None),
        ("aes128-ctr", Some("hmac-sha2-256-etm@openssh.com")),
    ] {
        let is_tried =
            |suite: &Suite| suite.cipher.name == cipher && mac.is_none_or(|mac| mac == suite.mac.name);
        assert!(all.iter().any(is_tried), "{cipher} {mac:?}");
    }
    for suite in all {
        warm_up(suite);
        let mut sides = logged_in(suite);
        assert_little(suite, &sides, "right behind the login", 0);
        // Words as short as those of a terminal, copied out of the outbox.
        talk(&mut sides, 20, 40, false);
        assert_little(suite, &sides, "after a few words", 0);
        // Bulk data, swapped out of it.
        talk(&mut sides, 4, 200_000, true);
        assert_little(suite, &sides, "after bulk data", 0);
        // Bulk data that was copied out leaves an outbox for more of it, until little is said.
        talk(&mut sides, 4, 200_000, false);
        talk(&mut sides, 1, 40, false);
        assert_little(suite, &sides, "after bulk data and a word", 0);
        // New keys, and what the exchange of them needed is gone.
        sides[0].with(|machine| machine.start_rekey(Instant::now()));
        talk(&mut sides, 3, 40, false);
        assert_little(suite, &sides, "after a change of keys", 0);
    }
}

#[test]
fn compression_keeps_its_streams_and_no_more() {
    let suite = Suite {
        cipher: cipher::find("aes128-gcm@openssh.com").unwrap(),
        mac: mac::ALL[0],
        compression: &compression::ZLIB_OPENSSH,
    };
    warm_up(suite);
    let mut sides = logged_in(suite);
    talk(&mut sides, 4, 200_000, false);
    talk(&mut sides, 1, 40, false);
    assert_little(suite, &sides, "with both its streams", STREAM_BYTES);
    for bytes in kept(&sides) {
        println!("{bytes} bytes with both streams");
        assert!(bytes > STREAM_BYTES / 2, "{bytes}: the streams are counted");
    }
}
