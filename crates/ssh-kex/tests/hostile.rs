//! A peer that breaks the rules of a key exchange: what it sends ends the connection with the right reason, and nothing
//! secret is sent, signed or asked about before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::Seat;
use common::raw::{Position, Raw, Traits};
use ssh_kex::messages::{Debug, Disconnect, Ignore, KexInit};
use ssh_kex::wire::{Decode, Encode, Message, number};
use ssh_kex::{Config, DisconnectReason, Error, Fatal, MAX_IGNORED, Misbehaviour, Phase, Role};

#[test]
fn a_wrong_host_key_signature_ends_before_anybody_is_asked() {
    let mut client = Seat::client(Config::default(), 2);
    let mut raw = Raw::new(
        Role::Server,
        Traits {
            wrong_signature: true,
            ..Traits::default()
        },
    );
    raw.advance(None, Position::Negotiated, &mut client);
    raw.say_share(&mut client);
    raw.expect(number::DISCONNECT);
    assert!(matches!(
        client.error,
        Some(Error::PeerMisbehaved(Misbehaviour::HostKeySignature(_)))
    ));
    assert!(client.offered.is_empty());
    let reason = client.error.unwrap().blame().reason();
    assert_eq!(reason, Some(DisconnectReason::KeyExchangeFailed));
}

#[test]
fn a_kexinit_edited_on_the_way_makes_the_signature_wrong() {
    // The downgrade: somebody in between takes the better method out of the client's list.
    let (mut client, mut server) = (
        Seat::client(Config::default(), 2),
        Seat::server(Config::default(), 3),
    );
    let mut up = client.output();
    let name = b"mlkem768x25519-sha256";
    let at = up.windows(name.len()).position(|window| window == name).unwrap();
    up[at] = b'x';
    server.receive(&up);
    client.receive(&server.output());
    server.receive(&client.output());
    // The server sees another method than the client now; the client's share does not even fit.
    client.receive(&server.output());
    assert!(
        client.error.is_some() && client.offered.is_empty(),
        "{:?}",
        client.error
    );
}

#[test]
fn meaningless_messages_are_passed_over_without_strictness_but_counted() {
    let filler = [Ignore { data: b"x" }.to_bytes(), b"\x03\0\0\0\0".to_vec()];
    let debug = Debug {
        always_display: true,
        message: b"\xff",
        language_tag: b"",
    }
    .to_bytes();
    for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let mut seat = Seat::of(role, Config::default(), 4);
        let mut raw = Raw::new(
            raw_role,
            Traits {
                strict: false,
                ..Traits::default()
            },
        );
        raw.advance(None, Position::Identified, &mut seat);
        for (from, to) in [
            (Position::Identified, Position::Negotiated),
            (Position::Negotiated, Position::Agreed),
            (Position::Agreed, Position::Keyed),
        ] {
            for payload in filler.iter().chain([&debug]) {
                raw.send(payload, &mut seat);
            }
            raw.advance(Some(from), to, &mut seat);
        }
        assert!(seat.is_established(), "{:?}", seat.error);
        for _ in 0..10 * MAX_IGNORED {
            raw.send(&filler[0], &mut seat);
        }
        assert_eq!(seat.error, None, "with keys they cost nothing");

        let mut seat = Seat::of(role, Config::default(), 4);
        let mut raw = Raw::new(raw_role, Traits::default());
        raw.advance(None, Position::Identified, &mut seat);
        for count in 0..=MAX_IGNORED {
            assert_eq!(seat.error, None, "{count}");
            raw.send(&filler[0], &mut seat);
        }
        assert!(matches!(
            seat.error,
            Some(Error::PeerMisbehaved(Misbehaviour::TooMany { .. }))
        ));
    }
}

#[test]
fn a_strict_peers_kexinit_must_be_its_first_packet() {
    for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let mut seat = Seat::of(role, Config::default(), 4);
        let mut raw = Raw::new(raw_role, Traits::default());
        raw.advance(None, Position::Identified, &mut seat);
        raw.send(&Ignore { data: b"" }.to_bytes(), &mut seat);
        assert_eq!(seat.error, None, "nobody knows yet");
        let kexinit = raw.kexinit();
        raw.send(&kexinit, &mut seat);
        let expected = Misbehaviour::StrictKexInitNotFirst { sequence: 1 };
        assert_eq!(seat.error, Some(Error::PeerMisbehaved(expected)));
        assert_eq!(raw.farewell(), Some(2));
    }
}

#[test]
fn exactly_one_wrongly_guessed_packet_is_passed_over() {
    let wrong_kex = Traits {
        follows: true,
        kex_list: Some("diffie-hellman-group14-sha256,curve25519-sha256"),
        ..Traits::default()
    };
    let wrong_host_key = Traits {
        host_key_list: "ssh-rsa,ssh-ed25519",
        follows: true,
        ..Traits::default()
    };
    let mut config = Config::default();
    config.preferences.edit_kex("curve25519-sha256").unwrap();
    for traits in [wrong_kex, wrong_host_key] {
        let mut seat = Seat::server(config.clone(), 4);
        let mut raw = Raw::new(Role::Client, traits);
        raw.advance(None, Position::Negotiated, &mut seat);
        raw.send(&[30, 1, 2, 3], &mut seat); // the guess: nonsense for the method that was agreed on
        assert_eq!(seat.error, None);
        raw.advance(Some(Position::Negotiated), Position::Keyed, &mut seat);
        assert!(seat.is_established());
        // A thousand rekeys with wrong guesses; before a login there could not be so many.
        seat.transport().authenticated();
        for _ in 0..1000 {
            raw.negotiate(&mut seat);
            raw.send(&[30, 1, 2, 3], &mut seat);
            raw.advance(Some(Position::Negotiated), Position::Keyed, &mut seat);
        }
        assert_eq!((seat.rekeyed, &seat.error), (1000, &None));

        // Two guesses are one too many: the second is taken for the share.
        let mut seat = Seat::server(config.clone(), 4);
        let mut raw = Raw::new(Role::Client, traits);
        raw.advance(None, Position::Negotiated, &mut seat);
        raw.send(&[30, 1, 2, 3], &mut seat);
        raw.send(&[30, 1, 2, 3], &mut seat);
        assert!(matches!(
            seat.error,
            Some(Error::PeerMisbehaved(Misbehaviour::Method(_)))
        ));

        // A guess announced that never comes: the share is taken for it, and time decides.
        let mut seat = Seat::server(config.clone(), 4);
        let mut raw = Raw::new(Role::Client, traits);
        raw.advance(None, Position::Negotiated, &mut seat);
        raw.say_share(&mut seat);
        assert_eq!((&seat.error, raw.next_packet()), (&None, None), "no reply comes");
        seat.wait(Config::default().limits.exchange_deadline);
        assert_eq!(
            seat.error,
            Some(Error::Timeout {
                phase: Phase::KeyExchange,
                limit: Config::default().limits.exchange_deadline
            })
        );
    }
}

#[test]
fn a_right_guess_is_the_share() {
    let mut config = Config::default();
    config.preferences.edit_kex("curve25519-sha256").unwrap();
    let mut seat = Seat::server(config.clone(), 4);
    let mut raw = Raw::new(
        Role::Client,
        Traits {
            follows: true,
            ..Traits::default()
        },
    );
    raw.connect(&mut seat);
    // A server that guesses, wrongly: its next packet of a method means nothing.
    let mut seat = Seat::client(config, 4);
    let kex_list = Some("diffie-hellman-group14-sha256,curve25519-sha256");
    let mut raw = Raw::new(
        Role::Server,
        Traits {
            follows: true,
            kex_list,
            ..Traits::default()
        },
    );
    raw.advance(None, Position::Negotiated, &mut seat);
    raw.send(&[31, 9], &mut seat);
    raw.advance(Some(Position::Negotiated), Position::Keyed, &mut seat);
    assert!(seat.is_established());
}

#[test]
fn a_wrong_share_ends_before_anything_is_signed() {
    for (raw_role, role, payload) in [
        (
            Role::Client,
            Role::Server,
            [&[30, 0, 0, 0, 32][..], &[0; 32]].concat(),
        ),
        (
            Role::Client,
            Role::Server,
            [&[30, 0, 0, 0, 31][..], &[9; 31]].concat(),
        ),
        (
            Role::Server,
            Role::Client,
            [&[31, 0, 0, 0, 0, 0, 0, 0, 32][..], &[0; 32], &[0; 4]].concat(),
        ),
        (
            Role::Server,
            Role::Client,
            [&[31, 0, 0, 0, 0, 0, 0, 0, 33][..], &[9; 33], &[0; 4]].concat(),
        ),
    ] {
        let mut seat = Seat::of(role, Config::default(), 4);
        let mut raw = Raw::new(raw_role, Traits::default());
        raw.advance(None, Position::Negotiated, &mut seat);
        raw.send(&payload, &mut seat);
        assert!(
            matches!(seat.error, Some(Error::PeerMisbehaved(Misbehaviour::Method(_)))),
            "{:?}",
            seat.error
        );
        if role == Role::Client {
            raw.expect(30);
        }
        let farewell = raw.expect(number::DISCONNECT);
        assert_eq!(farewell.decode::<Disconnect<'_>>().unwrap().reason_code, 3);
    }
}

#[test]
fn malformed_and_oversized_kexinits_end() {
    let mut honest = Raw::new(Role::Client, Traits::default());
    let good = honest.kexinit();
    assert!(KexInit::from_bytes(&good).is_ok());
    let mut oversized = good[..17].to_vec();
    let list = vec!["a"; 1025].join(",");
    list.as_bytes()
        .encode(&mut ssh_kex::wire::Writer::new(&mut oversized));
    let long = "x".repeat(200_000);
    let mut longer = good[..17].to_vec();
    long.as_bytes()
        .encode(&mut ssh_kex::wire::Writer::new(&mut longer));
    for payload in [
        good[..good.len() - 1].to_vec(),
        [good.as_slice(), &[0]].concat(),
        vec![number::KEXINIT],
        [&good[..17], &[0xff; 4]].concat(),
        oversized,
        longer,
    ] {
        let mut seat = Seat::server(Config::default(), 4);
        let mut raw = Raw::new(Role::Client, Traits::default());
        raw.advance(None, Position::Identified, &mut seat);
        raw.send(&payload, &mut seat);
        let error = seat.error.as_ref().unwrap();
        assert!(matches!(
            error,
            Error::PeerMisbehaved(Misbehaviour::Malformed {
                message: KexInit::NAME,
                ..
            })
        ));
        assert_eq!(raw.farewell(), Some(2));
    }
}

#[test]
fn a_second_kexinit_in_one_exchange_ends() {
    for position in [Position::Negotiated, Position::Agreed] {
        for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            for rekey in [false, true] {
                let mut seat = Seat::of(role, Config::default(), 4);
                let mut raw = Raw::new(
                    raw_role,
                    Traits {
                        strict: false,
                        ..Traits::default()
                    },
                );
                if rekey {
                    raw.connect(&mut seat);
                    raw.advance(Some(Position::Keyed), position, &mut seat);
                } else {
                    raw.advance(None, position, &mut seat);
                }
                let kexinit = raw.kexinit();
                raw.send(&kexinit, &mut seat);
                assert!(matches!(
                    seat.error,
                    Some(Error::PeerMisbehaved(Misbehaviour::Unexpected { .. }))
                ));
                assert_eq!(raw.farewell(), Some(2));
            }
        }
    }
}
