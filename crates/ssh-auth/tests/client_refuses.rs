//! A client before a server that may say anything: what ends the connection, and what never counts as a login.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    unreachable_pub,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::*;
use ssh_auth::client::{Event, MAX_BANNER_BYTES, MAX_BANNERS, MAX_FAILURES};
use ssh_auth::keys::algorithm::ED25519;
use ssh_auth::wire::rand_core::Rng;
use ssh_auth::wire::{Layer, MessageNumber};
use ssh_auth::{Error, Misbehaviour, Place, method};

/// Where a login stands when something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The service was asked for, the first turn is out.
    Service,
    /// The first request is out, and the service not accepted yet.
    Pipelined,
    OurTurn,
    Password,
    Query,
    Signing,
    Signed,
    PasswordChange,
    SecondTurn,
}

const PLACES: [At; 9] = [
    At::Service,
    At::Pipelined,
    At::OurTurn,
    At::Password,
    At::Query,
    At::Signing,
    At::Signed,
    At::PasswordChange,
    At::SecondTurn,
];

impl At {
    /// Whether a request is out that a server may answer.
    fn is_answerable(self) -> bool {
        matches!(self, Self::Password | Self::Query | Self::Signed)
    }
}

fn client_at(at: At) -> ClientTest {
    let mut test = match at {
        At::Service | At::Pipelined => ClientTest::new(),
        _ => ClientTest::open(),
    };
    match at {
        At::Service | At::OurTurn => {}
        At::Pipelined | At::Password | At::PasswordChange | At::SecondTurn => {
            let attempt = test.turn().password(b"secret");
            test.attempt(attempt);
        }
        At::Query => {
            let attempt = test.turn().publickey_query(key(1).public().clone(), &ED25519);
            test.attempt(attempt);
        }
        At::Signing | At::Signed => {
            let attempt = test.turn().publickey(key(1).public().clone(), &ED25519);
            test.attempt(attempt);
        }
    }
    match at {
        At::Signed => {
            let signed = test.signing().sign_with(&*key(1)).unwrap();
            test.signed(signed);
        }
        At::PasswordChange => test.send(&change_request(b"expired")),
        At::SecondTurn => test.send(&failure("password", false)),
        _ => {}
    }
    assert_eq!(test.error, None);
    test
}

/// Messages without meaning before login: passed over.
const PASSED_OVER: [u8; 5] = [2, 3, 4, 192, 193];

#[test]
fn every_message_number_at_every_place_of_a_login() {
    for at in PLACES {
        for number in 1..=u8::MAX {
            for body in [&[][..], &[0; 40]] {
                let mut test = client_at(at);
                let events = test.events.len();
                test.send(&[&[number], body].concat());
                if number == 52 && at.is_answerable() && body.is_empty() {
                    assert!(test.succeeded() && test.client.into_session().is_ok(), "{at:?}");
                    continue;
                }
                if PASSED_OVER.contains(&number) {
                    assert_eq!(test.error, None, "{at:?} {number}");
                } else {
                    assert!(test.error.is_some(), "{at:?} {number}");
                    assert!(number == 1 || test.server.farewell().is_some(), "{at:?} {number}");
                }
                assert_eq!(
                    test.events.len(),
                    events,
                    "{at:?} {number}: the application was told something"
                );
                assert!(test.client.into_session().is_err());
            }
        }
    }
}

#[test]
fn a_success_that_answers_nothing_is_no_login() {
    for at in PLACES.into_iter().filter(|at| !at.is_answerable()) {
        let mut test = client_at(at);
        test.send(&[52]);
        let place = if matches!(at, At::Service | At::Pipelined) {
            Place::Service
        } else {
            Place::OurTurn
        };
        let number = MessageNumber(52);
        assert_eq!(
            test.error,
            Some(Error::PeerMisbehaved(Misbehaviour::Unexpected { number, place })),
            "{at:?}"
        );
        assert_eq!(test.server.farewell().unwrap().0, 2);
        assert!(!test.succeeded());
    }
}

#[test]
fn answers_of_one_method_mean_nothing_to_another() {
    // 60 is PK_OK to a query, a wish for a new password to a password, and nothing to a signature.
    for (at, message, fits) in [
        (At::Query, pk_ok(&key(1)), true),
        (At::Query, change_request(b"expired"), false),
        (At::Password, change_request(b"expired"), true),
        (At::Password, [&pk_ok(&key(1))[..], &[1]].concat(), false),
        (At::Signed, pk_ok(&key(1)), false),
        (At::Signed, change_request(b"expired"), false),
        (At::SecondTurn, pk_ok(&key(1)), false),
        (At::Signing, pk_ok(&key(1)), false),
    ] {
        let mut test = client_at(at);
        test.send(&message);
        assert_eq!(test.error.is_none(), fits, "{at:?}");
    }
}

#[test]
fn a_key_that_was_not_offered_is_never_signed_with() {
    let mut test = client_at(At::Query);
    test.send(&pk_ok(&key(2)));
    assert_eq!(test.error, Some(Error::PeerMisbehaved(Misbehaviour::WrongKey)));
    assert!(test.events.is_empty());
}

#[test]
fn what_is_signed_names_session_user_key_and_host() {
    let mut test = client_at(At::Signing);
    let session_id = test.server.transport.session_id().to_vec();
    let request = test.signing();
    let mut expected = fields(|writer| writer.string(&session_id));
    // The server announced that it takes logins that name its host key.
    let fields = common::bound_fields(true, &key(1), &common::host_key());
    expected.extend(common::request(b"alice", common::HOSTBOUND, &fields));
    assert_eq!(request.data(), expected);
    assert_eq!((request.key(), request.algorithm()), (key(1).public(), &ED25519));
    let signed = request.sign_with(&*key(1)).unwrap();
    test.signed(signed);
    let heard = test.server.take_heard();
    assert_eq!(
        heard.last().unwrap(),
        &common::bound(&session_id, common::HOSTBOUND, &key(1), &common::host_key())
    );
}

#[test]
fn every_truncation_of_every_answer_ends_the_connection() {
    let accept = b"\x06\0\0\0\x0cssh-userauth".to_vec();
    for (at, message) in [
        (At::Service, accept.clone()),
        (At::Pipelined, accept),
        (At::Password, failure("publickey,password", true)),
        (At::Password, banner(b"hello")),
        (At::Password, change_request(b"expired")),
        (At::Query, pk_ok(&key(1))),
    ] {
        for cut in 1..message.len() {
            let mut test = client_at(at);
            let events = test.events.len();
            test.send(&message[..cut]);
            assert!(
                is_malformed(test.error.as_ref()),
                "{at:?} {cut}: {:?}",
                test.error
            );
            assert_eq!(test.events.len(), events);
        }
        let mut test = client_at(at);
        test.send(&[&message[..], &[0]].concat());
        assert!(is_malformed(test.error.as_ref()), "a byte too many");
        let mut test = client_at(at);
        test.send(&message);
        assert_eq!(test.error, None);
    }
}

#[test]
fn a_service_nobody_asked_for_is_not_entered() {
    for service in [&b"ssh-connection"[..], b"", &[b'x'; 64 * 1024]] {
        let mut test = client_at(At::Pipelined);
        test.send(&[&[6][..], &fields(|writer| writer.string(service))].concat());
        assert!(matches!(
            test.error,
            Some(Error::PeerMisbehaved(Misbehaviour::WrongService(_)))
        ));
        assert!(test.error.unwrap().to_string().len() < 200);
    }
    let mut test = client_at(At::OurTurn);
    test.send(b"\x06\0\0\0\x0cssh-userauth");
    assert!(test.error.is_some(), "accepted twice");
}

#[test]
fn banners_are_bounded_in_number_and_size() {
    let mut test = client_at(At::OurTurn);
    test.events.clear();
    for _ in 0..MAX_BANNERS {
        test.send(&banner(b"hi"));
    }
    assert_eq!((test.error.clone(), test.events.len()), (None, MAX_BANNERS));
    test.send(&banner(b"hi"));
    assert!(matches!(
        test.error,
        Some(Error::PeerMisbehaved(Misbehaviour::TooMany {
            limit: MAX_BANNERS,
            ..
        }))
    ));

    for sizes in [[MAX_BANNER_BYTES, 1], [MAX_BANNER_BYTES + 1, 0], [200 * 1024, 0]] {
        let mut test = client_at(At::Password);
        for size in sizes {
            if test.error.is_none() {
                test.send(&banner(&vec![b'x'; size]));
            }
        }
        assert!(matches!(
            test.error,
            Some(Error::PeerMisbehaved(Misbehaviour::TooMany {
                limit: MAX_BANNER_BYTES,
                ..
            }))
        ));
    }
}

#[test]
fn a_banner_before_the_service_is_out_of_place() {
    let mut test = client_at(At::Service);
    test.send(&banner(b"hi"));
    assert!(test.error.is_some());
}

#[test]
fn lists_of_methods_are_bounded() {
    for list in [
        "a,".repeat(64 * 1024),
        ",".to_owned(),
        "x".repeat(64 * 1024),
        "a\x1b[2J".to_owned(),
    ] {
        let mut test = client_at(At::Password);
        test.send(&failure(list.trim_end_matches("a,"), false));
        let fails = test.error.is_some();
        assert!(fails || list.starts_with("a,"), "{list}");
        let mut test = client_at(At::Password);
        test.send(&failure(&list, false));
        assert!(is_malformed(test.error.as_ref()));
    }
}

#[test]
fn refusals_are_bounded() {
    let mut test = client_at(At::SecondTurn);
    for _ in 1..MAX_FAILURES {
        let attempt = test.turn().none();
        test.attempt(attempt);
        test.send(&failure("password", true));
        assert_eq!(test.error, None);
    }
    let attempt = test.turn().none();
    test.attempt(attempt);
    test.send(&failure("password", true));
    assert!(matches!(
        test.error,
        Some(Error::PeerMisbehaved(Misbehaviour::TooMany {
            limit: MAX_FAILURES,
            ..
        }))
    ));
}

#[test]
fn an_attempt_for_another_connection_is_not_sent() {
    let mut ours = ClientTest::seeded(1);
    let mut theirs = ClientTest::seeded(2);
    let foreign = theirs.turn().password(b"their secret");
    ours.server.take_heard();
    ours.attempt(foreign);
    assert!(ours.server.take_heard().is_empty());
    let attempt = ours.turn().none();
    ours.attempt(attempt);
    assert_eq!(ours.server.take_heard(), [none("alice")]);
}

#[test]
fn giving_up_says_so_and_names_what_the_server_takes() {
    let mut test = client_at(At::SecondTurn);
    let attempt = test.turn().give_up();
    test.attempt(attempt);
    let error = test.error.clone().unwrap();
    assert_eq!(
        error,
        Error::GaveUp {
            methods: vec!["password".to_owned()]
        }
    );
    assert_eq!(test.server.farewell().unwrap().0, 14);
    assert_eq!(
        test.client.poll(test.now).unwrap_err(),
        error,
        "the same error for ever"
    );
}

#[test]
fn a_change_of_keys_in_the_middle_of_a_login_is_no_matter() {
    let mut test = ClientTest::open();
    let turn = test.turn();
    test.server.transport.start_rekey(test.now);
    let bytes = std::mem::take(test.server.transport.transmit());
    test.client.read_buffer().extend_from_slice(&bytes);
    test.client.attempt(turn.password(b"secret"));
    test.server.take_heard();
    test.go();
    assert_eq!(
        test.server.take_heard(),
        [password("alice", "secret")],
        "held back, then sent"
    );
    test.send(&[52]);
    assert!(test.succeeded());
    let session = test.client.into_session().unwrap();
    assert_eq!(session.authenticated().method(), method::PASSWORD);
    assert_eq!(session.session_id(), test.server.transport.session_id());
}

#[test]
fn random_answers_neither_panic_nor_log_in() {
    let mut random = rng(43);
    for round in 0..400 {
        let mut test = client_at(PLACES[round % PLACES.len()]);
        for _ in 0..12 {
            let mut message = match random.next_u32() % 7 {
                0 => b"\x06\0\0\0\x0cssh-userauth".to_vec(),
                1 => failure("password,publickey", random.next_u32().is_multiple_of(2)),
                2 => banner(b"hello"),
                3 => pk_ok(&key(1)),
                4 => change_request(b"expired"),
                5 => vec![61, 0, 0, 0, 1, 0, 0, 0, 0],
                _ => (0..1 + random.next_u32() % 30)
                    .map(|_| random.next_u32() as u8)
                    .collect(),
            };
            if random.next_u32().is_multiple_of(4) {
                let place = random.next_u32() as usize % message.len();
                message[place] ^= 1 << (random.next_u32() % 8);
            }
            // One that is whole and in its place would be right.
            if test.error.is_some() || message == [52] || message[0] == 0 {
                break;
            }
            test.send(&message);
            match test.events.pop_front() {
                Some(Event::Turn(turn)) => test.client.attempt(turn.password(b"secret")),
                Some(Event::SignatureWanted(request)) => test.client.signed(request.failed()),
                Some(Event::PasswordChange(change)) => test.client.attempt(change.skip()),
                _ => {}
            }
            test.go();
        }
        assert!(!test.succeeded());
    }
}
