//! What a peer can make us hold. Before login never more than what really arrived from it and 64 KiB, whatever it
//! declares (promise 9); for a packet that inflates less than a mebibyte, whatever is in it (promise 10); nothing at all
//! for what was refused, a million times (promise 16, rows C3 and C4). What a machine costs before anybody has logged in
//! stands here too (promise 8; `door_memory.rs` has the whole server). A test program of its own, because it counts every allocation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use allocation_counter::measure;
use flate2::{Compress, Compression, FlushCompress};
use ssh_client::channel::{self, Limits};
use ssh_client::kex::{Role, method};
use ssh_client::wire::{Tier, compression, number};
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim, channels, login, packet};

const ROOM_BYTES: i64 = 64 * 1024;

/// A victim whose every allocation is counted, from the moment in which it is made.
struct Measured {
    victim: Victim,
    live: i64,
    received: i64,
}

impl Measured {
    fn new(role: Role) -> Self {
        let mut victim = None;
        let made = measure(|| victim = Some(Victim::plain(role)));
        Self {
            victim: victim.unwrap(),
            live: made.bytes_current,
            received: 0,
        }
    }
}

impl Target for Measured {
    fn give(&mut self, bytes: &[u8]) {
        // In small pieces, as they come from a slow network: what is held for a large packet shows.
        for piece in bytes.chunks(1024) {
            self.received += piece.len() as i64;
            let used = measure(|| self.victim.give(piece));
            let peak = self.live + used.bytes_max as i64;
            let limit = self.received + ROOM_BYTES;
            assert!(
                peak <= limit,
                "{peak} bytes are held after {} arrived",
                self.received
            );
            self.live += used.bytes_current;
            let limit = self.received + ROOM_BYTES;
            assert!(
                self.live <= limit,
                "{} bytes stay after {} arrived",
                self.live,
                self.received
            );
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let used = measure(|| bytes = self.victim.take());
        self.live += used.bytes_current - bytes.capacity() as i64;
        bytes
    }

    fn is_over(&self) -> bool {
        self.victim.is_over()
    }
}

#[test]
fn a_declared_length_is_never_allocated_before_login() {
    for role in [Role::Client, Role::Server] {
        // Lengths in the clear, right ones and wrong ones, and nothing behind them.
        for length in [0, 5, 35_000 - 4, 262_140, 262_145, u32::MAX] {
            let mut target = Measured::new(role);
            let mut peer = Peer::of(role, Traits::default());
            peer.greet(&mut target);
            let before = target.live;
            peer.say_bytes(&packet::clear(length, 4, &[20; 64]), &mut target);
            assert!(
                target.live - before < 4096,
                "{length}: {} bytes",
                target.live - before
            );
        }
        // Under keys: counts and lengths inside of messages.
        for payload in [
            &b"\x07\xff\xff\xff\xff"[..],
            b"\x07\0\0\0\x01\xff\xff\xff\xff",
            b"\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
            b"\x05\xff\xff\xff\xff",
            b"\x32\xff\xff\xff\xff",
            b"\x33\xff\xff\xff\xff",
            b"\x35\xff\xff\xff\xff",
            b"\x01\0\0\0\0\xff\xff\xff\xff",
        ] {
            let mut target = Measured::new(role);
            let mut peer = Peer::of(role, Traits::default());
            peer.start(Position::Keyed, &mut target);
            peer.say(payload, &mut target);
        }
        // Floods of every kind.
        for flood in [
            vec![0; 1 << 20],
            b"a line\r\n".repeat(10_000),
            packet::clear(262_140, 4, &[2; 262_000]),
        ] {
            let mut target = Measured::new(role);
            Peer::of(role, Traits::default()).say_bytes(&flood, &mut target);
        }
    }
    // A login that fails and fails.
    let mut target = Measured::new(Role::Server);
    let mut peer = Peer::of(Role::Server, Traits::default());
    peer.start(Position::Keyed, &mut target);
    peer.say(&login::service_request(), &mut target);
    for _ in 0..100 {
        peer.say(&login::password(&[b'x'; 1000]), &mut target);
    }
}

#[test]
fn a_bomb_takes_less_than_a_mebibyte() {
    // IGNORE with 255 MiB of zeros: more than a thousand times what a packet may come to.
    let zeros = 255 << 20;
    let mut bomb = Vec::with_capacity(1 << 20);
    let mut stream = Compress::new(Compression::best(), true);
    let head = [&[2][..], &(zeros as u32).to_be_bytes()].concat();
    stream
        .compress_vec(&head, &mut bomb, FlushCompress::None)
        .unwrap();
    stream
        .compress_vec(&vec![0; zeros], &mut bomb, FlushCompress::Sync)
        .unwrap();
    assert!(stream.total_in() > zeros as u64, "all of it is in there");
    bomb.truncate(200_000);
    for role in [Role::Client, Role::Server] {
        let mut config = Victim::config();
        config.preferences.compression = vec![&compression::ZLIB_OPENSSH];
        let mut victim = Victim::new(role, config, Answers::default());
        let traits = Traits {
            compression: "zlib@openssh.com",
            ..Traits::default()
        };
        let mut peer = Peer::of(role, traits);
        peer.connect(&mut victim);
        assert_eq!((victim.error(), victim.told.logins), (None, 1));
        peer.wire.sealer.seal_payload(&bomb);
        let bytes = std::mem::take(peer.wire.sealer.outbox());
        let used = measure(|| victim.give(&bytes));
        assert!(victim.is_over() && victim.told.above == 0, "{role:?}: it goes on");
        assert!(
            used.bytes_max < 1 << 20,
            "{role:?}: {} bytes were held",
            used.bytes_max
        );
    }
}

// ---- promise 8 -------------------------------------------------------------------------------------------------------

/// What one of our machines holds at most while a peer keeps to the protocol, up to a position and then to the login.
fn peaks(role: Role, traits: Traits) -> [i64; 2] {
    let mut target = Peak::new(role, traits);
    let mut peer = Peer::of(role, traits);
    peer.greet(&mut target);
    let identified = target.peak;
    peer.advance(Position::Identified, Position::Keyed, &mut target);
    peer.log_in(&mut target);
    assert_eq!(target.victim.told.logins, 1);
    [identified, target.peak]
}

/// A victim and the most it held.
struct Peak {
    victim: Victim,
    live: i64,
    peak: i64,
}

impl Peak {
    fn new(role: Role, traits: Traits) -> Self {
        let mut config = Victim::config();
        config.preferences.edit_kex(traits.method.name).unwrap();
        let mut victim = None;
        let made = measure(|| victim = Some(Victim::new(role, config, Answers::default())));
        Self {
            victim: victim.unwrap(),
            live: made.bytes_current,
            peak: made.bytes_current,
        }
    }
}

impl Target for Peak {
    fn give(&mut self, bytes: &[u8]) {
        let used = measure(|| self.victim.give(bytes));
        self.peak = self.peak.max(self.live + used.bytes_max as i64);
        self.live += used.bytes_current;
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let used = measure(|| bytes = self.victim.take());
        self.peak = self.peak.max(self.live + used.bytes_max as i64);
        self.live += used.bytes_current - bytes.capacity() as i64;
        bytes
    }

    fn is_over(&self) -> bool {
        self.victim.is_over()
    }
}

#[test]
fn a_connection_costs_16_kib_until_it_has_a_name_and_64_until_it_has_a_user() {
    for role in [Role::Client, Role::Server] {
        for method in method::ALL
            .iter()
            .copied()
            .filter(|method| method.tier != Tier::Legacy)
        {
            let traits = Traits {
                method,
                ..Traits::default()
            };
            // What is made once for the process is made by a first connection.
            peaks(role, traits);
            let [identified, logged_in] = peaks(role, traits);
            println!("{role:?} {}: {identified} bytes, then {logged_in}", method.name);
            assert!(
                identified <= 16 * 1024,
                "{role:?} {}: {identified} bytes",
                method.name
            );
            assert!(
                logged_in <= 64 * 1024,
                "{role:?} {}: {logged_in} bytes",
                method.name
            );
        }
    }
}

// ---- promise 16 ------------------------------------------------------------------------------------------------------

/// How often something is refused, and the most that may be left of all of it.
const REFUSALS: usize = 1_000_000;
const LEFT_BYTES: i64 = 64 * 1024;
/// What goes before, and makes what is made once.
const WARM_UP: usize = 1_000;

/// Says the same a million times, as a peer that reads the answers and asks again; how many bytes are left of it.
fn a_million_times(message: &[u8], peer: &mut Peer, victim: &mut Victim) -> i64 {
    let say = |peer: &mut Peer, victim: &mut Victim| {
        peer.wire.sealer.seal_payload(message);
        let bytes = std::mem::take(peer.wire.sealer.outbox());
        peer.wire.sealer.transmitted(bytes.len());
        measure(|| {
            victim.give(&bytes);
            drop(victim.output());
        })
        .bytes_current
    };
    for _ in 0..WARM_UP {
        say(peer, victim);
    }
    let left = (0..REFUSALS).map(|_| say(peer, victim)).sum();
    assert_eq!(victim.error(), None, "{message:?}");
    left
}

fn assert_nothing_left(what: &str, left: i64) {
    assert!(left <= LEFT_BYTES, "{left} bytes are left of {what}");
}

/// A victim that takes a million messages without new keys, and whose application opens no door.
fn closed_house(role: Role, limits: Limits) -> (Peer, Victim) {
    let mut config = Victim::config();
    config.rekey.packets = u64::MAX;
    let answers = Answers {
        connection: channel::Config {
            limits,
            ..channel::Config::default()
        },
        ..Answers::default()
    };
    let mut victim = Victim::new(role, config, answers);
    let mut peer = Peer::of(role, Traits::default());
    peer.connect(&mut victim);
    peer.rest(&mut victim);
    (peer, victim)
}

#[test]
fn c03_a_million_refused_opens_leave_nothing_behind() {
    for (role, channel_type) in [(Role::Client, "forwarded-tcpip"), (Role::Server, "no such type")] {
        let (mut peer, mut victim) = closed_house(role, Limits::default());
        let message = channels::open(7, channel_type, b"", 1_000);
        let left = a_million_times(&message, &mut peer, &mut victim);
        assert_nothing_left(channel_type, left);
        assert_eq!((victim.connection().channels(), victim.told.above), (0, 0));
    }
}

#[test]
fn c04_a_million_replies_to_nothing_leave_nothing_behind() {
    // Without the limit that ends such a connection much earlier.
    let limits = Limits {
        unsolicited_replies: u32::MAX,
        ..Limits::default()
    };
    for (role, kind) in [
        (Role::Client, number::REQUEST_SUCCESS),
        (Role::Server, number::REQUEST_FAILURE),
    ] {
        let (mut peer, mut victim) = closed_house(role, limits.clone());
        let left = a_million_times(&[kind], &mut peer, &mut victim);
        assert_nothing_left("replies", left);
    }
    for (role, kind) in [
        (Role::Client, number::CHANNEL_SUCCESS),
        (Role::Server, number::CHANNEL_FAILURE),
    ] {
        let (mut peer, mut victim) = closed_house(role, limits.clone());
        let id = victim.open_session();
        let line = peer.agree_to_open(3, 10, &mut victim);
        assert_eq!(line.theirs, id.number());
        let reply = [&[kind][..], &line.theirs.to_be_bytes()].concat();
        let left = a_million_times(&reply, &mut peer, &mut victim);
        assert_nothing_left("replies on a channel", left);
    }
}
