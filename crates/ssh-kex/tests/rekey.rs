//! Changing keys in the middle of a conversation: started by either side and by both, with traffic going on, with a peer
//! that stalls, floods or changes its host key; and what else a transport does beside moving packets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::time::Duration;

use common::raw::{Position, Raw, Traits};
use common::{Cuts, Seat, Verdict, connected, host_key, logged_in, pump, seeded};
use ssh_kex::wire::rand_core::Rng;
use ssh_kex::wire::{Encode, Message, cipher, message};
use ssh_kex::{Config, Error, Misbehaviour, Phase, RekeyPolicy, Role, SendError, method};

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
fn thousands_of_rekeys_by_either_side_and_both_lose_nothing() {
    let (mut client, mut server) = logged_in(quick(), quick());
    let mut random = seeded(8);
    let (mut up, mut down) = (0, 0);
    let mut cuts = Cuts::Random(Box::new(seeded(9)));
    const ROUNDS: usize = 3000;
    for round in 0..ROUNDS {
        let now = client.now;
        // A few messages before, between and after the KEXINITs.
        let dice = random.next_u32();
        for _ in 0..dice % 3 {
            client.transport().send(&Counted { count: up }).unwrap();
            up += 1;
        }
        if dice & 0x10 != 0 || dice & 0x30 == 0 {
            client.transport().start_rekey(now);
        }
        if dice & 0x20 != 0 {
            server.transport().start_rekey(now);
        }
        for _ in 0..dice >> 6 & 3 {
            server.transport().send(&Counted { count: down }).unwrap();
            client.transport().send(&Counted { count: up }).unwrap();
            down += 1;
            up += 1;
        }
        pump(&mut client, &mut server, &mut cuts);
        assert_eq!((&client.error, &server.error), (&None, &None), "round {round}");
        assert_eq!((client.rekeyed, server.rekeyed), (round + 1, round + 1));
    }
    assert_eq!(counts(&mut server), (0..up).collect::<Vec<_>>());
    assert_eq!(counts(&mut client), (0..down).collect::<Vec<_>>());
    assert_eq!(
        client.offered.len(),
        1,
        "the host key accepted once passes silently"
    );
    let id = server.transport().session_id().to_vec();
    assert_eq!(client.transport().session_id(), id);
}

#[test]
fn bulk_data_both_ways_survives_a_rekey_every_few_kilobytes() {
    for cipher in cipher::ALL {
        let mut config = quick();
        config.preferences.ciphers = vec![cipher];
        config.rekey = RekeyPolicy {
            bytes: 40_000,
            ..RekeyPolicy::default()
        };
        let mut theirs = quick();
        theirs.preferences.ciphers = vec![cipher];
        let (mut client, mut server) = logged_in(config, theirs);
        let block = vec![7; 3000];
        let (mut sent_up, mut sent_down) = (0, 0);
        const TOTAL: usize = 300;
        while sent_up < TOTAL || sent_down < TOTAL {
            if sent_up < TOTAL && client.transport().has_data_room() {
                client.transport().send_data(&Bulk { data: &block });
                sent_up += 1;
            }
            if sent_down < TOTAL && server.transport().has_data_room() {
                server.transport().send_data(&Bulk { data: &block });
                sent_down += 1;
            }
            // One way at a time, so that data is in flight while KEXINITs cross.
            server.receive(&client.output());
            client.receive(&server.output());
        }
        pump(&mut client, &mut server, &mut Cuts::Whole);
        assert_eq!((&client.error, &server.error), (&None, &None));
        assert_eq!(
            (client.packets.len(), server.packets.len()),
            (TOTAL, TOTAL),
            "{cipher:?}"
        );
        assert!(
            client.rekeyed >= 20 && client.rekeyed == server.rekeyed,
            "{} rekeys",
            client.rekeyed
        );
    }
}

#[test]
fn every_limit_of_the_policy_starts_a_rekey_in_both_directions() {
    let never = RekeyPolicy {
        bytes: u64::MAX,
        packets: u64::MAX,
        time: None,
    };
    for (policy, messages) in [
        (RekeyPolicy { bytes: 2000, ..never }, 24),
        (RekeyPolicy { packets: 10, ..never }, 10),
    ] {
        for sends in [Role::Client, Role::Server] {
            for decides in [Role::Client, Role::Server] {
                let (mut client_config, mut server_config) = (quick(), quick());
                client_config.rekey = if decides == Role::Client { policy } else { never };
                server_config.rekey = if decides == Role::Server { policy } else { never };
                let (mut client, mut server) = logged_in(client_config, server_config);
                // Whoever only hears counts what it hears from here on.
                client.wait(Duration::from_millis(100));
                server.wait(Duration::from_millis(100));
                let block = vec![0; 100];
                for _ in 0..messages {
                    let sender = if sends == Role::Client {
                        &mut client
                    } else {
                        &mut server
                    };
                    sender.transport().send_data(&Bulk { data: &block });
                    pump(&mut client, &mut server, &mut Cuts::Whole);
                }
                assert_eq!(
                    (client.rekeyed, server.rekeyed),
                    (1, 1),
                    "{sends:?} sends, {decides:?} decides"
                );
            }
        }
    }
    let mut config = quick();
    config.rekey = RekeyPolicy {
        time: Some(Duration::from_secs(60)),
        ..never
    };
    let (mut client, mut server) = logged_in(config, quick());
    assert_eq!(client.deadline(), Some(client.now + Duration::from_secs(60)));
    client.wait(Duration::from_secs(60));
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((client.rekeyed, server.rekeyed), (1, 1));
    assert_eq!(client.deadline(), Some(client.now + Duration::from_secs(60)));
}

/// Both sides have limits that every packet exceeds.
fn logged_in_with_the_lowest_limits() -> (Seat, Seat) {
    let mut config = quick();
    config.rekey = RekeyPolicy {
        bytes: 16,
        packets: 1,
        time: None,
    };
    logged_in(config.clone(), config)
}

#[test]
fn a_limit_below_one_packet_does_not_spin() {
    let (mut client, mut server) = logged_in_with_the_lowest_limits();
    pump(&mut client, &mut server, &mut Cuts::Whole);
    let before = client.rekeyed;
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(client.rekeyed, before, "quiet connections stay quiet");
    client.transport().send(&Counted { count: 1 }).unwrap();
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(client.rekeyed, before, "nobody has had a turn");
    client.wait(Duration::from_millis(100));
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(client.rekeyed, before + 1);
    client.transport().send_data(&Bulk { data: &[] });
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert!(client.rekeyed > before + 1 && client.rekeyed < before + 4);
    assert_eq!(counts(&mut server), [1]);
}

/// Each ping and each answer is more than these keys may carry, and pings never stop: what the rooms above have to send
/// gets its turn all the same, in both directions.
#[test]
fn pings_that_never_stop_starve_no_direction_however_low_the_limits() {
    let (mut client, mut server) = logged_in_with_the_lowest_limits();
    let (mut sent, mut rounds) = ([0; 2], 0);
    while sent.iter().any(|sent| *sent < 50) {
        for (seat, sent) in [&mut client, &mut server].into_iter().zip(&mut sent) {
            let transport = seat.transport();
            transport.ping(b"?").unwrap();
            if transport.has_data_room() {
                transport.send_data(&Bulk { data: b"data" });
                *sent += 1;
            }
        }
        // What crosses on the wire is heard before anybody has another turn.
        let (up, down) = (client.output(), server.output());
        server.receive(&up);
        client.receive(&down);
        rounds += 1;
        assert!(rounds < 2_000, "{sent:?} packets of data in {rounds} rounds");
    }
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((&client.error, &server.error), (&None, &None));
    assert!(client.rekeyed >= 50, "{} changes of keys", client.rekeyed);
    let bulk = |seat: &Seat| {
        let of_bulk = |number: u8| number == <Bulk<'_> as Message>::NUMBER;
        seat.packets
            .iter()
            .filter(|packet| of_bulk(packet.number()))
            .count()
    };
    assert_eq!([bulk(&server), bulk(&client)], sent);
}

/// Data that went under the keys before says nothing about the new ones, whoever began to change them.
#[test]
fn new_keys_have_their_turn_whoever_asked_for_them() {
    for begins in [Role::Client, Role::Server] {
        let mut config = quick();
        config.rekey = RekeyPolicy {
            bytes: 2_000,
            packets: u64::MAX,
            time: None,
        };
        let (mut client, mut server) = logged_in(config, quick());
        client.transport().send_data(&Bulk { data: b"data" });
        pump(&mut client, &mut server, &mut Cuts::Whole);
        assert_eq!(client.rekeyed, 0, "too little to wear keys out");
        let beginner = match begins {
            Role::Client => &mut client,
            Role::Server => &mut server,
        };
        let now = beginner.now;
        beginner.transport().start_rekey(now);
        pump(&mut client, &mut server, &mut Cuts::Whole);
        assert_eq!(client.rekeyed, 1);
        let answers = |client: &mut Seat, server: &mut Seat| {
            for count in 0..200 {
                client.transport().send(&Counted { count }).unwrap();
            }
            pump(client, server, &mut Cuts::Whole);
            client.rekeyed
        };
        let rekeyed = answers(&mut client, &mut server);
        assert_eq!(rekeyed, 1, "no data has had its turn, and {begins:?} began");
        client.transport().send_data(&Bulk { data: b"data" });
        let rekeyed = answers(&mut client, &mut server);
        assert_eq!(rekeyed, 2, "{begins:?} began");
    }
}

#[test]
fn nobody_asks_for_new_keys_before_login_but_the_peer_may() {
    let mut config = quick();
    config.rekey = RekeyPolicy {
        bytes: 1,
        packets: 1,
        time: Some(Duration::from_secs(1)),
    };
    let (mut client, mut server) = connected(config, quick());
    client.transport().send(&Counted { count: 1 }).unwrap();
    client.wait(Duration::from_secs(10));
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((client.rekeyed, client.deadline()), (0, None));
    let now = server.now;
    server.transport().start_rekey(now);
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((client.rekeyed, server.rekeyed), (1, 1));
}

#[test]
fn data_in_flight_is_taken_until_the_peers_kexinit() {
    let mut seat = Seat::server(Config::default(), 4);
    let mut raw = Raw::new(Role::Client, Traits::default());
    raw.connect(&mut seat);
    seat.transport().authenticated();
    let now = seat.now;
    seat.transport().start_rekey(now);
    seat.transport().start_rekey(now); // again: nothing
    assert!(seat.transport().is_changing_keys());
    assert!(!seat.transport().has_data_room());
    for count in 0..100 {
        raw.send(&Counted { count }.to_bytes(), &mut seat);
    }
    assert_eq!(counts(&mut seat).len(), 100);
    seat.transport().send(&Counted { count: 7 }).unwrap(); // held back
    raw.advance(Some(Position::Keyed), Position::Keyed, &mut seat);
    assert_eq!(seat.rekeyed, 1);
    let held = raw.expect(93);
    assert_eq!(held.decode::<Counted>().unwrap().count, 7);
    assert_eq!(
        held.sequence, 0,
        "strict: numbers start again with every set of keys"
    );
    assert!(seat.transport().has_data_room() && !seat.transport().is_changing_keys());
}

#[test]
fn what_is_sent_after_our_new_keys_does_not_wait_for_the_peers() {
    for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let mut seat = Seat::of(role, Config::default(), 4);
        let mut raw = Raw::new(raw_role, Traits::default());
        raw.connect(&mut seat);
        raw.advance(Some(Position::Keyed), Position::Agreed, &mut seat);
        assert!(!seat.transport().is_changing_keys() && seat.transport().has_data_room());
        seat.transport().send(&Counted { count: 3 }).unwrap();
        raw.exchange_bytes(&mut seat);
        assert_eq!(raw.expect(93).decode::<Counted>().unwrap().count, 3);
        assert_eq!(seat.rekeyed, 0, "the peer still sends under the old keys");
        raw.switch(&mut seat);
        assert_eq!(seat.rekeyed, 1);
    }
}

#[test]
fn sequence_numbers_run_on_without_strictness() {
    let mut seat = Seat::server(Config::default(), 4);
    let mut raw = Raw::new(
        Role::Client,
        Traits {
            strict: false,
            ..Traits::default()
        },
    );
    raw.connect(&mut seat);
    raw.rekey(&mut seat);
    seat.transport().send(&Counted { count: 0 }).unwrap();
    raw.exchange_bytes(&mut seat);
    // KEXINIT, REPLY, NEWKEYS twice.
    assert_eq!(raw.expect(93).sequence, 6);
}

#[test]
fn a_stalled_rekey_ends_after_its_deadline() {
    for position in [None, Some(Position::Negotiated), Some(Position::Agreed)] {
        for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let mut seat = Seat::of(role, Config::default(), 4);
            let mut raw = Raw::new(raw_role, Traits::default());
            raw.connect(&mut seat);
            seat.transport().authenticated();
            match position {
                None => {
                    let now = seat.now;
                    seat.transport().start_rekey(now);
                }
                Some(position) => raw.advance(Some(Position::Keyed), position, &mut seat),
            }
            let deadline = Config::default().limits.rekey_deadline;
            assert_eq!(deadline, Duration::from_secs(60));
            assert_eq!(seat.deadline(), Some(seat.now + deadline));
            seat.wait(deadline - Duration::from_millis(1));
            assert_eq!(seat.error, None);
            seat.wait(Duration::from_millis(1));
            assert_eq!(
                seat.error,
                Some(Error::Timeout {
                    phase: Phase::Rekey,
                    limit: deadline
                })
            );
            assert_eq!(seat.deadline(), None);
        }
    }
}

#[test]
fn the_hold_queue_is_bounded() {
    let (mut client, _) = logged_in(quick(), quick());
    let now = client.now;
    client.transport().start_rekey(now);
    let limit = Config::default().limits.hold_queue_bytes;
    let block = vec![0; 1000];
    let mut held = 0;
    let outcome = loop {
        match client.transport().send(&Bulk { data: &block }) {
            Ok(()) => held += 1000,
            Err(error) => break error,
        }
    };
    assert_eq!(outcome, SendError::HoldQueueFull);
    assert!(held > limit - 5000 && held < limit);
    client.settle();
    assert_eq!(
        client.error,
        Some(Error::PeerMisbehaved(Misbehaviour::HoldQueueFull { limit }))
    );
    assert_eq!(
        client.transport().send(&Bulk { data: &block }),
        Err(SendError::Ended)
    );
}

#[test]
fn a_peer_that_floods_a_pending_rekey_is_ended() {
    // Every packet makes the room above owe an answer, as global requests do.
    let mut seat = Seat::server(Config::default(), 4);
    let mut raw = Raw::new(Role::Client, Traits::default());
    raw.connect(&mut seat);
    seat.transport().authenticated();
    let now = seat.now;
    seat.transport().start_rekey(now);
    for _ in 0..20_000 {
        raw.send(&Counted { count: 0 }.to_bytes(), &mut seat);
        if seat.error.is_some() {
            break;
        }
        for _ in seat.packets.drain(..).collect::<Vec<_>>() {
            let _ = seat.transport().send(&Counted { count: 1 });
        }
    }
    seat.settle();
    let limit = Config::default().limits.hold_queue_bytes;
    assert_eq!(
        seat.error,
        Some(Error::PeerMisbehaved(Misbehaviour::HoldQueueFull { limit }))
    );
}

#[test]
fn another_host_key_on_a_rekey_is_a_new_question() {
    for verdict in [Verdict::Accept, Verdict::Reject] {
        let mut client = Seat::client(Config::default(), 4);
        let mut raw = Raw::new(Role::Server, Traits::default());
        raw.connect(&mut client);
        client.transport().authenticated();
        let mut other = Raw::new(
            Role::Server,
            Traits {
                host_key: 77,
                ..Traits::default()
            },
        );
        std::mem::swap(&mut raw.key, &mut other.key);
        client.verdict = Verdict::Wait;
        raw.advance(Some(Position::Keyed), Position::Negotiated, &mut client);
        raw.say_share(&mut client);
        let offer = client.pending.take().unwrap();
        assert_eq!(offer.key(), host_key(77).public());
        assert_eq!(offer.replaced(), Some(host_key(1).public()));
        assert_eq!(
            client.transport().host_key(),
            Some(host_key(1).public()),
            "never a silent change"
        );
        client.wait(Duration::from_secs(100_000));
        assert_eq!((&client.error, raw.next_packet()), (&None, None));
        if verdict == Verdict::Reject {
            client.answer(offer.reject("changed"));
            raw.exchange_bytes(&mut client);
            assert_eq!(
                client.error,
                Some(Error::HostKeyRejected {
                    why: "changed".to_owned()
                })
            );
            assert_eq!(raw.farewell(), Some(9));
            continue;
        }
        client.answer(offer.accept());
        raw.exchange_bytes(&mut client);
        raw.read_new_keys();
        raw.switch(&mut client);
        assert_eq!((client.rekeyed, &client.error), (1, &None));
        assert_eq!(client.transport().host_key(), Some(host_key(77).public()));
        // The new key passes silently from here on.
        client.verdict = Verdict::Reject;
        raw.rekey(&mut client);
        assert_eq!(client.rekeyed, 2);
    }
}

#[test]
fn a_marker_in_a_later_kexinit_means_nothing() {
    let mut seat = Seat::server(Config::default(), 4);
    let mut raw = Raw::new(
        Role::Client,
        Traits {
            strict: false,
            ..Traits::default()
        },
    );
    raw.connect(&mut seat);
    raw.traits.kex_list = Some("curve25519-sha256,kex-strict-c-v00@openssh.com,ext-info-c");
    raw.rekey(&mut seat);
    assert!(!seat.transport().negotiated().strict);
    seat.transport().send(&Counted { count: 0 }).unwrap();
    raw.exchange_bytes(&mut seat);
    assert_eq!(raw.expect(93).sequence, 6, "no reset, and no EXT_INFO");
}
