//! Compression as two transports agree on it (RFC 4253 §6.2, §7.1): when each direction begins, what a change of keys
//! does to it before, during and after a login, and how hostile streams end a connection (attack class B10).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::raw::{Position, Raw, Traits};
use common::{Cuts, Seat, connected, pump, seeded};
use flate2::{Compress, FlushCompress};
use ssh_kex::wire::compression::{MAX_INFLATED_BYTES, NONE, ZLIB, ZLIB_OPENSSH};
use ssh_kex::wire::rand_core::Rng;
use ssh_kex::wire::{Compression, CompressionError, PacketError, message, number};
use ssh_kex::{Config, Error, Negotiable, Role, method};

message! {
    /// What a server says to whoever is logged in.
    struct Success = 52, "USERAUTH_SUCCESS" {}
    /// Anything.
    struct Data<'a> = 94, "DATA" { data: &'a [u8] }
}

/// A side that wants that compression and nothing else.
fn wanting(compression: &'static Compression) -> Config {
    let mut config = Config::default();
    config.preferences.kex = vec![method::find("curve25519-sha256").unwrap()];
    config.preferences.edit_compression(compression.name).unwrap();
    config
}

/// A client that takes USERAUTH_SUCCESS for what it says, and its server, before login.
fn before_login(compression: &'static Compression) -> (Seat, Seat) {
    let (mut client, server) = connected(wanting(compression), wanting(compression));
    client.logs_in = true;
    (client, server)
}

fn log_in(server: &mut Seat) {
    server.transport().send(&Success {}).unwrap();
    server.transport().authenticated();
}

/// Whether a message of equal bytes goes in far fewer.
fn shrinks(seat: &mut Seat, other: &mut Seat) -> bool {
    seat.output();
    seat.transport().send(&Data { data: &[b'a'; 900] }).unwrap();
    let bytes = seat.output();
    other.receive(&bytes);
    assert_eq!(other.error, None);
    assert_eq!(other.packets.last().unwrap().payload.len(), 905);
    bytes.len() < 200
}

/// Both directions, in turn.
fn both_shrink(client: &mut Seat, server: &mut Seat) -> bool {
    pump(client, server, &mut Cuts::Whole);
    let up = shrinks(client, server);
    let down = shrinks(server, client);
    assert_eq!(up, down);
    up
}

#[test]
fn each_method_begins_at_its_own_moment() {
    for (compression, early, late) in [
        (&NONE, false, false),
        (&ZLIB_OPENSSH, false, true),
        (&ZLIB, true, true),
    ] {
        let (mut client, mut server) = before_login(compression);
        for seat in [&mut client, &mut server] {
            let negotiated = *seat.transport().negotiated();
            assert_eq!(negotiated.outgoing.compression, compression);
            assert_eq!(negotiated.incoming.compression, compression);
        }
        assert_eq!(both_shrink(&mut client, &mut server), early, "{compression:?}");
        log_in(&mut server);
        assert_eq!(both_shrink(&mut client, &mut server), late, "{compression:?}");
        let now = client.now;
        client.transport().start_rekey(now);
        assert_eq!(both_shrink(&mut client, &mut server), late, "{compression:?}");
        server.transport().start_rekey(now);
        assert_eq!(both_shrink(&mut client, &mut server), late, "{compression:?}");
        assert_eq!((client.rekeyed, server.rekeyed), (2, 2));
    }
}

#[test]
fn what_follows_the_login_at_once_is_compressed_already() {
    let (mut client, mut server) = before_login(&ZLIB_OPENSSH);
    log_in(&mut server);
    server.transport().send(&Data { data: &[b'a'; 5000] }).unwrap();
    let bytes = server.output();
    assert!(bytes.len() < 300, "{}", bytes.len());
    client.receive(&bytes);
    assert_eq!((&client.error, client.packets.len()), (&None, 2));
}

#[test]
fn a_change_of_keys_around_the_login_loses_nothing() {
    // How far a change of keys that the client or the server begins has come when the server says SUCCESS.
    for (beginner, steps) in [
        (Role::Client, 0),
        (Role::Client, 1),
        (Role::Client, 2),
        (Role::Client, 3),
    ]
    .into_iter()
    .chain([
        (Role::Server, 0),
        (Role::Server, 1),
        (Role::Server, 2),
        (Role::Server, 3),
    ]) {
        for compression in [&NONE, &ZLIB_OPENSSH, &ZLIB] {
            let (mut client, mut server) = before_login(compression);
            let now = client.now;
            match beginner {
                Role::Client => client.transport().start_rekey(now),
                Role::Server => server.transport().start_rekey(now),
            }
            // A client's KEXINIT that the server has not seen yet would cross with SUCCESS: the method's own race.
            server.receive(&client.output());
            for step in 0..steps {
                if step % 2 == 0 {
                    client.receive(&server.output());
                } else {
                    server.receive(&client.output());
                }
            }
            log_in(&mut server);
            server.transport().send(&Data { data: b"welcome" }).unwrap();
            pump(&mut client, &mut server, &mut Cuts::Whole);
            let what = format!("{beginner:?} {steps} {compression:?}");
            assert_eq!((&client.error, &server.error), (&None, &None), "{what}");
            assert_eq!((client.rekeyed, server.rekeyed), (1, 1), "{what}");
            assert_eq!(client.packets.len(), 2, "{what}");
            assert_eq!(
                both_shrink(&mut client, &mut server),
                compression.construction.is_some(),
                "{what}"
            );
        }
    }
}

#[test]
fn hundreds_of_changes_of_keys_by_either_side_and_both_lose_nothing() {
    let (mut client, mut server) = before_login(&ZLIB_OPENSSH);
    log_in(&mut server);
    pump(&mut client, &mut server, &mut Cuts::Whole);
    let mut random = seeded(8);
    let mut noise = vec![0; 8000];
    random.fill_bytes(&mut noise);
    let (mut up, mut down) = (0_usize, 0_usize);
    let mut cuts = Cuts::Random(Box::new(seeded(9)));
    let now = client.now;
    for round in 0..400 {
        let dice = random.next_u32();
        let size = random.next_u32() as usize % noise.len();
        let data = if dice & 4 == 0 {
            noise[..size].to_vec()
        } else {
            vec![dice as u8; size]
        };
        for _ in 0..dice % 3 {
            client.transport().send(&Data { data: &data }).unwrap();
            up += data.len();
        }
        if dice & 0x10 != 0 {
            client.transport().start_rekey(now);
        }
        if dice & 0x20 != 0 {
            server.transport().start_rekey(now);
        }
        for _ in 0..dice >> 6 & 3 {
            server.transport().send(&Data { data: &data }).unwrap();
            client.transport().send(&Data { data: &data }).unwrap();
            down += data.len();
            up += data.len();
        }
        pump(&mut client, &mut server, &mut cuts);
        assert_eq!((&client.error, &server.error), (&None, &None), "round {round}");
    }
    let total = |seat: &Seat| {
        let data = seat.packets.iter().filter(|packet| packet.number() == 94);
        data.map(|packet| packet.decode::<Data<'_>>().unwrap().data.len())
            .sum::<usize>()
    };
    assert_eq!((total(&client), total(&server)), (down, up));
    assert!(client.rekeyed > 200);
}

#[test]
fn a_default_side_never_agrees_on_compression_before_login() {
    for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        for mut config in [Config::default(), Config::for_server()] {
            let traits = Traits {
                compression: &ZLIB,
                ..Traits::default()
            };
            let mut seat = Seat::of(role, config.clone(), 4);
            Raw::new(raw_role, traits).advance(None, Position::Negotiated, &mut seat);
            match &seat.error {
                Some(Error::PeerIncompatible(incompatible)) => {
                    assert_eq!(incompatible.what, Negotiable::CompressionClientToServer);
                    assert_eq!(incompatible.ours, ["none", "zlib@openssh.com"]);
                }
                other => panic!("{other:?}"),
            }
            // By its name it can be had.
            config.preferences.edit_compression("+zlib").unwrap();
            let mut seat = Seat::of(role, config, 4);
            Raw::new(raw_role, traits).advance(None, Position::Negotiated, &mut seat);
            assert_eq!(seat.error, None);
        }
    }
}

fn deflated(payload: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(payload.len() + 1024);
    Compress::new(flate2::Compression::new(9), true)
        .compress_vec(payload, &mut compressed, flush)
        .unwrap();
    compressed
}

/// Hostile payloads, why they are refused, and the words for it.
fn hostile_payloads() -> Vec<(Vec<u8>, CompressionError, &'static str)> {
    let ended = deflated(b"\x02bye", FlushCompress::Finish);
    let rubbish = [&deflated(b"\x02fine", FlushCompress::Sync)[..], &[0xff; 20]].concat();
    vec![
        (
            deflated(&vec![0; 200 * MAX_INFLATED_BYTES], FlushCompress::Sync),
            CompressionError::TooLong,
            "the peer sent a compressed packet that holds more than 262144 bytes",
        ),
        (
            b"this is not compressed".to_vec(),
            CompressionError::Damaged,
            "the peer sent compressed data that is damaged",
        ),
        (
            vec![0x78, 0xbb, 0, 0, 0, 1, 0x4b],
            CompressionError::Dictionary,
            "the peer sent a compressed stream that asks for a dictionary",
        ),
        (
            ended,
            CompressionError::Ended,
            "the peer sent a compressed stream that ends before the connection does",
        ),
        (
            rubbish,
            CompressionError::Damaged,
            "the peer sent compressed data that is damaged",
        ),
        (
            deflated(b"", FlushCompress::Sync),
            CompressionError::Empty,
            "the peer sent a compressed packet that holds nothing",
        ),
    ]
}

#[test]
fn hostile_streams_end_with_reason_6_in_both_roles() {
    for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        for compression in [&ZLIB, &ZLIB_OPENSSH] {
            for (payload, why, words) in hostile_payloads() {
                let mut config = Config::default();
                config.preferences.edit_compression(compression.name).unwrap();
                let mut seat = Seat::of(role, config, 4);
                let traits = Traits {
                    compression,
                    ..Traits::default()
                };
                let mut raw = Raw::new(raw_role, traits);
                raw.connect(&mut seat);
                if compression == &ZLIB_OPENSSH {
                    seat.transport().authenticated();
                    raw.wire.opener.log_in();
                }
                raw.send(&payload, &mut seat);
                let error = seat.error.clone().unwrap();
                assert_eq!(error, Error::Packet(PacketError::Compression(why)));
                assert_eq!(error.to_string(), words);
                assert_eq!(raw.farewell(), Some(6), "{role:?} {compression:?} {words}");
            }
        }
    }
}

#[test]
fn nobody_inflates_before_login() {
    for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let mut seat = Seat::of(role, wanting(&ZLIB_OPENSSH), 4);
        let traits = Traits {
            compression: &ZLIB_OPENSSH,
            ..Traits::default()
        };
        let mut raw = Raw::new(raw_role, traits);
        raw.connect(&mut seat);
        let bomb = deflated(&vec![0; 200 * MAX_INFLATED_BYTES], FlushCompress::Sync);
        assert_eq!(
            bomb[0], 0x78,
            "as a message number it belongs to nobody before login"
        );
        raw.send(&bomb, &mut seat);
        assert_eq!(seat.packets[0].payload, bomb, "it comes up as it came in");
        assert_eq!(seat.packets[0].number(), 0x78);
        raw.send(&[number::IGNORE, 0, 0, 0, 0], &mut seat);
        assert_eq!(seat.error, None);
    }
}
