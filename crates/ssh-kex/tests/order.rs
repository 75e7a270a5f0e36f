//! Every message number at every position of a handshake and of a rekey, in both roles, strict and not (security B1 to
//! B3, A2, A3): what is not expected ends the connection with DISCONNECT, and nothing of it reaches the rooms above.
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
use ssh_kex::wire::MessageNumber;
use ssh_kex::{Config, Error, Misbehaviour, Place, Role, method};

/// What a message must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The connection ends: the number has no place here.
    Unexpected(Place),
    /// The connection ends: the peer said so.
    Farewell,
    /// Nothing happens.
    Nothing,
    /// It comes up.
    Up,
    /// UNIMPLEMENTED is sent.
    Unimplemented,
    /// It is looked at: what comes of it, depends on what it holds.
    Read,
}

/// Where the machine under test is when the message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    First(Position),
    LoggedIn,
    Rekey(Position),
}

/// The specification, written down a second time and in another shape than the table in `route.rs`.
fn expected(stage: Stage, strict: bool, number: u8) -> Outcome {
    let method = 30..=49;
    match (stage, number) {
        (_, 1) => Outcome::Farewell,
        (Stage::First(Position::Identified), 2..=4) => Outcome::Nothing,
        (Stage::First(Position::Identified), 20) => Outcome::Read,
        (Stage::First(Position::Identified), _) => Outcome::Unexpected(Place::FirstKexInit),
        (Stage::First(Position::Negotiated | Position::Agreed), 2..=4) if !strict => Outcome::Nothing,
        (Stage::First(Position::Negotiated), _) if method.contains(&number) => Outcome::Read,
        (Stage::First(Position::Agreed), 21) => Outcome::Read,
        (Stage::First(Position::Negotiated | Position::Agreed), _) => {
            Outcome::Unexpected(Place::FirstExchange)
        }

        (Stage::Rekey(Position::Negotiated | Position::Agreed), 2..=4) => Outcome::Nothing,
        (Stage::Rekey(Position::Negotiated), _) if method.contains(&number) => Outcome::Read,
        (Stage::Rekey(Position::Agreed), 21) => Outcome::Read,
        (Stage::Rekey(Position::Negotiated | Position::Agreed), _) => Outcome::Unexpected(Place::Rekey),

        (_, 2..=4) => Outcome::Nothing,
        (_, 20) => Outcome::Read,
        (_, 5 | 6 | 50..=127) => Outcome::Up,
        (Stage::First(Position::Keyed), 7) => Outcome::Read,
        (Stage::First(Position::Keyed), 192 | 193) => Outcome::Nothing,
        (Stage::First(Position::Keyed), _) => Outcome::Unexpected(Place::BeforeLogin),
        (_, 192 | 193) => Outcome::Read,
        (_, 7 | 21..=49) => Outcome::Unexpected(Place::AfterLogin),
        _ => Outcome::Unimplemented,
    }
}

fn at_stage(stage: Stage, role: Role, traits: Traits) -> (Raw, Seat) {
    let raw_role = match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    };
    let mut config = Config::default();
    config.preferences.kex = vec![traits.method];
    let mut seat = Seat::of(role, config, 4);
    let mut raw = Raw::new(raw_role, traits);
    match stage {
        Stage::First(position) => raw.advance(None, position, &mut seat),
        Stage::LoggedIn | Stage::Rekey(_) => {
            raw.connect(&mut seat);
            seat.transport().authenticated();
            if let Stage::Rekey(position) = stage {
                raw.advance(Some(Position::Keyed), position, &mut seat);
            }
        }
    }
    assert_eq!(seat.error, None, "{stage:?}");
    (raw, seat)
}

fn check(stage: Stage, role: Role, traits: Traits, number: u8) {
    let (mut raw, mut seat) = at_stage(stage, role, traits);
    let context = format!("{number} at {stage:?}, {role:?}, strict {}", traits.strict);
    // Long enough for every message with a fixed part; a farewell needs its code only.
    let mut payload = vec![0; 64];
    payload[0] = number;
    raw.send(&payload, &mut seat);
    match expected(stage, traits.strict, number) {
        Outcome::Unexpected(place) => {
            let number = MessageNumber(number);
            let error = Error::PeerMisbehaved(Misbehaviour::Unexpected { number, place });
            assert_eq!(seat.error, Some(error), "{context}");
            assert_eq!(raw.farewell(), Some(2), "{context}");
        }
        Outcome::Farewell => {
            assert!(
                matches!(seat.error, Some(Error::Disconnected { .. })),
                "{context}"
            );
            assert_eq!(raw.farewell(), None, "{context}");
        }
        Outcome::Nothing => assert_eq!(seat.error, None, "{context}"),
        Outcome::Up => {
            assert_eq!(seat.payloads(), [&payload[..]], "{context}");
            assert_eq!(seat.error, None, "{context}");
            return;
        }
        Outcome::Unimplemented => {
            assert_eq!(seat.error, None, "{context}");
            let sequence = raw.wire.sealer.sequence().wrapping_sub(1).to_be_bytes();
            assert_eq!(raw.expect(3).payload[1..], sequence, "{context}");
        }
        Outcome::Read => {}
    }
    assert!(seat.packets.is_empty(), "{context}: nothing comes up");
}

fn check_stages(stages: &[Stage], traits: Traits) {
    for role in [Role::Client, Role::Server] {
        for stage in stages {
            for number in 0..=u8::MAX {
                check(*stage, role, traits, number);
            }
        }
    }
}

#[test]
fn every_number_at_every_position_of_the_first_exchange() {
    let stages = [
        Position::Identified,
        Position::Negotiated,
        Position::Agreed,
        Position::Keyed,
    ]
    .map(Stage::First);
    for strict in [false, true] {
        check_stages(
            &stages,
            Traits {
                strict,
                ..Traits::default()
            },
        );
    }
}

fn check_middle_of(name: &str) {
    let method = method::find(name).unwrap();
    let stages = [Position::Negotiated, Position::Agreed].map(Stage::First);
    for strict in [false, true] {
        check_stages(
            &stages,
            Traits {
                method,
                strict,
                ..Traits::default()
            },
        );
    }
}

#[test]
fn every_number_in_the_middle_of_the_ml_kem_hybrid() {
    check_middle_of("mlkem768x25519-sha256");
}

#[test]
fn every_number_in_the_middle_of_diffie_hellman() {
    check_middle_of("diffie-hellman-group14-sha256");
}

#[test]
fn every_number_in_the_middle_of_group_exchange() {
    check_middle_of("diffie-hellman-group-exchange-sha256");
}

#[test]
fn every_number_after_login_and_at_every_position_of_a_rekey() {
    let stages = [
        Stage::LoggedIn,
        Stage::Rekey(Position::Negotiated),
        Stage::Rekey(Position::Agreed),
    ];
    for strict in [false, true] {
        check_stages(
            &stages,
            Traits {
                strict,
                ..Traits::default()
            },
        );
    }
}

#[test]
fn what_is_read_and_is_no_message_ends_too() {
    // 64 zero bytes are no KEXINIT, no share, no NEWKEYS and no EXT_INFO.
    for (stage, number, reason) in [
        (Stage::First(Position::Identified), 20, 2),
        (Stage::First(Position::Negotiated), 30, 3),
        (Stage::First(Position::Negotiated), 31, 3),
        (Stage::First(Position::Negotiated), 49, 3),
        (Stage::First(Position::Agreed), 21, 2),
        (Stage::First(Position::Keyed), 7, 2),
        (Stage::First(Position::Keyed), 20, 2),
        (Stage::LoggedIn, 192, 2),
        (Stage::LoggedIn, 193, 2),
        (Stage::Rekey(Position::Negotiated), 31, 3),
        (Stage::Rekey(Position::Agreed), 21, 2),
    ] {
        for role in [Role::Client, Role::Server] {
            let (mut raw, mut seat) = at_stage(stage, role, Traits::default());
            let mut payload = vec![0; 64];
            payload[0] = number;
            payload[5] = 0xff;
            raw.send(&payload, &mut seat);
            assert!(
                matches!(seat.error, Some(Error::PeerMisbehaved(_))),
                "{stage:?} {number} {:?}",
                seat.error
            );
            assert_eq!(raw.farewell(), Some(reason), "{stage:?} {number}");
        }
    }
}
