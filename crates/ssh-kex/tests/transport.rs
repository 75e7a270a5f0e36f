//! What a transport does beside moving packets and changing keys: extensions, pings, unknown messages, room for data,
//! lengths that are hidden, and packets that were tampered with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::raw::{Raw, Traits};
use common::{Cuts, Seat, connected, logged_in, pump};
use ssh_kex::messages::Unimplemented;
use ssh_kex::wire::{Encode, Layer, MAX_PAYLOAD_BYTES, Message, Writer, cipher, message, number};
use ssh_kex::{Config, DisconnectReason, Error, Misbehaviour, Role, SendError, ext_info, method};

message! {
    /// A numbered message of the rooms above.
    struct Counted = 93, "COUNTED" { count: u32 }
    /// Bulk data.
    struct Bulk<'a> = 94, "BULK" { data: &'a [u8] }
}

/// Cheap exchanges, for tests that make thousands.
fn quick() -> Config {
    let mut config = Config::default();
    config.preferences.kex = vec![method::find("curve25519-sha256").unwrap()];
    config
}

fn counts(seat: &mut Seat) -> Vec<u32> {
    seat.packets
        .drain(..)
        .filter(|packet| packet.number() == Counted::NUMBER)
        .map(|packet| packet.decode::<Counted>().unwrap().count)
        .collect()
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let mut config = quick();
    config.limits.outbox_bytes = 20_000;
    let (mut client, mut server) = logged_in(quick(), config);
    let mut pings = Vec::new();
    for _ in 0..100 {
        client.transport().ping(&[1; 1000]).unwrap();
        pings.extend(client.output());
    }
    server.receive(&pings);
    let waiting = server.transport().transmit().len();
    assert!(waiting > 20_000 && waiting < 22_000, "{waiting}");
    // Each time the peer reads, it is read from again.
    while client.pongs.len() < 100 {
        let answers = server.output();
        assert!(!answers.is_empty());
        client.receive(&answers);
        server.settle();
    }
    assert_eq!(client.pongs[99], [1; 1000]);
}

#[test]
fn a_server_tells_its_extensions_to_whoever_asks() {
    let (mut client, _) = connected(Config::default(), Config::default());
    let told = client.extensions.clone().unwrap();
    assert_eq!(&told, client.transport().extensions());
    let offered = Config::default().login_signatures;
    let names: Vec<String> = offered.iter().map(|each| each.name.to_owned()).collect();
    assert_eq!(told.server_sig_algs, Some(names));
    assert!(told.ping && told.publickey_hostbound && !told.ext_info_in_auth);
    for ext_info in [true, false] {
        let mut seat = Seat::server(Config::default(), 4);
        let mut raw = Raw::new(
            Role::Client,
            Traits {
                ext_info,
                ..Traits::default()
            },
        );
        raw.connect(&mut seat);
        let next = raw.next_packet();
        assert_eq!(
            next.map(|packet| (packet.number(), packet.sequence)),
            ext_info.then_some((7, 0))
        );
        assert_eq!(raw.next_packet(), None, "one at most, and none on a rekey");
        raw.rekey(&mut seat);
        assert_eq!(raw.next_packet(), None);
    }
}

fn ext_info(names: &[&str]) -> Vec<u8> {
    let mut payload = vec![number::EXT_INFO];
    let mut writer = Writer::new(&mut payload);
    writer.uint32(u32::try_from(names.len()).unwrap());
    for name in names {
        writer.string(name.as_bytes());
        writer.string(b"value");
    }
    payload
}

#[test]
fn ext_info_is_taken_as_often_as_openssh_takes_it() {
    for (raw_role, role, limit) in [
        (Role::Server, Role::Client, ext_info::MAX_MESSAGES_FROM_SERVER),
        (Role::Client, Role::Server, ext_info::MAX_MESSAGES_FROM_CLIENT),
    ] {
        let mut seat = Seat::of(role, Config::default(), 4);
        let mut raw = Raw::new(raw_role, Traits::default());
        raw.connect(&mut seat);
        for _ in 0..limit {
            raw.send(&ext_info(&["a", "b"]), &mut seat);
            assert_eq!(seat.error, None);
            assert_eq!(seat.extensions.as_ref().unwrap().others.len(), 2);
        }
        raw.send(&ext_info(&[]), &mut seat);
        assert!(matches!(
            seat.error,
            Some(Error::PeerMisbehaved(Misbehaviour::TooMany { .. }))
        ));
    }
}

#[test]
fn ext_info_floods_end_at_once() {
    let many: Vec<String> = (0..=ext_info::MAX_EXTENSIONS)
        .map(|index| format!("x{index}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(ext_info::MAX_EXT_INFO_BYTES);
    for payload in [
        b"\x07\xff\xff\xff\xff".to_vec(),
        ext_info(&many),
        ext_info(&[&long]),
        b"\x07\0\0\0\x01".to_vec(),
    ] {
        let mut client = Seat::client(Config::default(), 4);
        let mut raw = Raw::new(Role::Server, Traits::default());
        raw.connect(&mut client);
        raw.send(&payload, &mut client);
        assert!(
            matches!(
                client.error,
                Some(Error::PeerMisbehaved(Misbehaviour::Malformed {
                    message: "SSH_MSG_EXT_INFO",
                    ..
                }))
            ),
            "{:?}",
            client.error
        );
    }
}

#[test]
fn unknown_messages_are_answered_with_their_sequence_number_also_during_a_rekey() {
    let mut seat = Seat::server(Config::default(), 4);
    let mut raw = Raw::new(Role::Client, Traits::default());
    raw.connect(&mut seat);
    seat.transport().authenticated();
    raw.send(&[200], &mut seat);
    assert_eq!(
        raw.expect(3).decode::<Unimplemented>().unwrap().sequence_number,
        0
    );
    let now = seat.now;
    seat.transport().start_rekey(now);
    raw.send(&[150], &mut seat);
    raw.rekey(&mut seat);
    assert_eq!(
        raw.expect(3).decode::<Unimplemented>().unwrap().sequence_number,
        1
    );
    // UNIMPLEMENTED is never answered with UNIMPLEMENTED.
    raw.send(&Unimplemented { sequence_number: 9 }.to_bytes(), &mut seat);
    assert_eq!((raw.next_packet(), &seat.error), (None, &None));
}

#[test]
fn messages_too_long_for_a_packet_are_refused_and_the_rest_goes_on() {
    let (mut client, mut server) = logged_in(quick(), quick());
    let long = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert_eq!(
        client.transport().send(&Bulk { data: &long }),
        Err(SendError::TooLong)
    );
    let now = client.now;
    client.transport().start_rekey(now);
    assert_eq!(
        client.transport().send(&Bulk { data: &long }),
        Err(SendError::TooLong)
    );
    client.transport().send(&Counted { count: 5 }).unwrap();
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(counts(&mut server), [5]);
}

#[test]
fn hidden_lengths_are_hidden_also_when_held_back() {
    let mut sizes = Vec::new();
    for length in [1, 60, 200] {
        for held in [false, true] {
            let mut config = quick();
            config.preferences.ciphers = vec![&cipher::AES128_GCM]; // so that the size of NEWKEYS is known
            let (mut client, mut server) = logged_in(config, quick());
            let secret = vec![b'x'; length];
            if held {
                let now = client.now;
                client.transport().start_rekey(now);
                server.receive(&client.output());
                client.receive(&server.output());
                server.receive(&client.output());
                client
                    .transport()
                    .send_hiding_length(&Bulk { data: &secret })
                    .unwrap();
                assert!(client.output().is_empty());
                client.receive(&server.output()); // the reply: NEWKEYS and what was held leave together
                sizes.push(client.output().len() - 36); // NEWKEYS: 4 + 12 + 4 and the tag
            } else {
                client
                    .transport()
                    .send_hiding_length(&Bulk { data: &secret })
                    .unwrap();
                sizes.push(client.output().len());
            }
        }
    }
    sizes.dedup();
    assert_eq!(sizes.len(), 1, "{sizes:?}");
}

#[test]
fn bulk_data_has_room_until_enough_waits() {
    let (mut client, mut server) = logged_in(quick(), quick());
    let limit = Config::default().limits.bulk_outbox_bytes;
    let block = vec![0; 32 * 1024];
    let mut sent = 0;
    while client.transport().has_data_room() {
        client.transport().send_data(&Bulk { data: &block });
        sent += block.len();
    }
    let waiting = client.transport().transmit().len();
    assert!(sent == limit && waiting > limit && waiting < limit + 1024);
    server.receive(&client.output());
    assert!(client.transport().has_data_room());
    client.transport().disconnect(DisconnectReason::ByApplication, "");
    assert!(!client.transport().has_data_room());
}

#[test]
fn tampered_packets_end_with_a_mac_error() {
    for cipher in cipher::ALL {
        let mut config = quick();
        config.preferences.ciphers = vec![cipher];
        let (mut client, mut server) = logged_in(config.clone(), config);
        client.transport().send(&Counted { count: 1 }).unwrap();
        let mut bytes = client.output();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        server.receive(&bytes);
        assert!(server.packets.is_empty());
        client.receive(&server.output());
        let Some(Error::Disconnected { reason, .. }) = client.error else {
            panic!("{:?}", client.error)
        };
        assert_eq!(reason, DisconnectReason::MacError, "{cipher:?}");
    }
}
