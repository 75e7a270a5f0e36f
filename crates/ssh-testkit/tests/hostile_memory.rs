//! What a peer can make us hold. Before login never more than what really arrived from it and 64 KiB, whatever it
//! declares (promise 9); for a packet that inflates less than a mebibyte, whatever is in it (promise 10). A test program
//! of its own, because it counts every allocation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use allocation_counter::measure;
use flate2::{Compress, Compression, FlushCompress};
use ssh_client::kex::Role;
use ssh_client::wire::compression;
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim, login, packet};

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
