//! A server before a peer that may say anything: what is refused, what ends the connection, what is never asked.

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

use std::time::Duration;

use common::server_places::*;
use common::*;
use ssh_auth::keys::PublicKey;
use ssh_auth::messages::ServiceRequest;
use ssh_auth::server::{Attempt, Policy};
use ssh_auth::wire::rand_core::Rng;
use ssh_auth::wire::{Encode, Layer};
use ssh_auth::{Error, Misbehaviour, method};

/// Messages without meaning before login: passed over.
const PASSED_OVER: [u8; 5] = [2, 3, 4, 192, 193];

#[test]
fn every_message_number_at_every_place_of_a_login() {
    for at in PLACES {
        for number in 1..=u8::MAX {
            for body in [&[][..], &[0; 40]] {
                let mut test = server_at(at);
                let questions = test.questions;
                test.send(&[&[number], body].concat());
                if PASSED_OVER.contains(&number) {
                    assert_eq!(test.error, None, "{at:?} {number}");
                } else if matches!(number, 5 | 50) && matches!(at, At::Verdict | At::Delay) {
                    assert_eq!(test.error, None, "it waits for its turn");
                    if at == At::Verdict {
                        test.answer(Attempt::reject);
                    }
                    test.now += Duration::from_secs(1);
                    test.go();
                    assert!(test.error.is_some(), "{at:?} {number}");
                } else {
                    assert!(test.error.is_some(), "{at:?} {number}");
                    assert!(number == 1 || test.client.farewell().is_some(), "{at:?} {number}");
                }
                assert_eq!(
                    test.questions, questions,
                    "{at:?} {number}: the application was asked"
                );
                assert!(test.success.is_none());
                assert!(
                    !test
                        .client
                        .numbers()
                        .iter()
                        .any(|heard| matches!(heard, 52 | 80..)),
                    "{at:?} {number}"
                );
                assert!(test.server.into_session().is_err());
            }
        }
    }
}

#[test]
fn a_forged_success_opens_no_channel() {
    for at in PLACES {
        let mut test = server_at(at);
        test.client.send(&[52]);
        test.client
            .send(b"\x5a\0\0\0\x07session\0\0\0\0\0\x20\0\0\0\0\x80\0");
        test.go();
        let expected = Misbehaviour::Unexpected {
            number: ssh_auth::wire::MessageNumber(52),
            place: match at {
                At::Service => ssh_auth::Place::Service,
                At::Verdict | At::Delay => ssh_auth::Place::OurTurn,
                _ => ssh_auth::Place::Login,
            },
        };
        assert_eq!(test.error, Some(Error::PeerMisbehaved(expected)));
        assert_eq!(test.client.farewell().unwrap().0, 2);
        assert!(test.client.numbers().is_empty());
    }
}

#[test]
fn channels_before_login_end_it_even_while_a_verdict_is_awaited() {
    let mut test = server_at(At::Verdict);
    test.send(b"\x5a\0\0\0\x07session\0\0\0\0\0\x20\0\0\0\0\x80\0");
    assert!(test.error.is_some());
    // Too late: the verdict changes nothing.
    let attempt = test.asked.pop().unwrap();
    let Attempt::Password(attempt) = attempt else {
        panic!()
    };
    test.server.answer(attempt.accept());
    test.go();
    assert!(test.success.is_none() && test.server.into_session().is_err());
}

#[test]
fn every_truncation_of_every_request_ends_the_connection() {
    let session_id = ServerTest::open(Policy::default()).session_id;
    let change = request(
        b"alice",
        "password",
        &fields(|writer| {
            writer.boolean(true);
            writer.string(b"old");
            writer.string(b"new");
        }),
    );
    let methods = vec![method::NONE, method::PASSWORD, method::PUBLICKEY];
    let messages = [
        none("alice"),
        password("alice", "secret"),
        change,
        query("alice", &key(1)),
        signed(&session_id, "alice", &key(1)),
    ];
    for message in messages {
        for cut in 1..message.len() {
            let mut test = ServerTest::open(Policy {
                methods: methods.clone(),
                ..Policy::default()
            });
            test.send(&message[..cut]);
            assert!(is_malformed(test.error.as_ref()), "{cut}: {:?}", test.error);
            assert_eq!(test.questions, 0);
        }
        let mut test = ServerTest::open(Policy {
            methods: methods.clone(),
            ..Policy::default()
        });
        test.send(&[&message[..], &[0]].concat());
        assert!(is_malformed(test.error.as_ref()), "a byte too many");
        let mut test = ServerTest::open(Policy {
            methods: methods.clone(),
            ..Policy::default()
        });
        test.send(&message);
        assert_eq!(
            (test.error, test.questions),
            (None, 1),
            "and whole, it is a question"
        );
    }
    let message = ServiceRequest {
        service_name: "ssh-userauth",
    }
    .to_bytes();
    for cut in 1..message.len() {
        let mut test = ServerTest::new(Policy::default());
        test.send(&message[..cut]);
        assert!(is_malformed(test.error.as_ref()), "{cut}");
    }
}

#[test]
fn other_services_are_not_available() {
    let mut test = ServerTest::new(Policy::default());
    test.client.say(&ServiceRequest {
        service_name: "ssh-connection",
    });
    test.go();
    assert_eq!(
        test.error,
        Some(Error::ServiceNotAvailable {
            service: "ssh-connection".to_owned()
        })
    );
    assert_eq!(test.client.farewell().unwrap().0, 7);

    let long = "x".repeat(64 * 1024);
    for service in ["ssh-userauth", "", "a\nb", &long] {
        let mut test = ServerTest::open(Policy::default());
        let whole = fields(|writer| {
            writer.byte(50);
            writer.string(b"alice");
            writer.string(service.as_bytes());
            writer.string(b"none");
        });
        test.send(&whole);
        assert!(
            matches!(test.error, Some(Error::ServiceNotAvailable { .. })),
            "{service}"
        );
        let (reason, text) = test.client.farewell().unwrap();
        assert_eq!(reason, 7);
        assert!(text.len() < 200 && !text.contains('\n'), "{text}");
    }
}

/// A signed request with one thing wrong.
fn badly_signed(session_id: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut other_id = session_id.to_vec();
    other_id[0] ^= 1;
    let good = signed(session_id, "alice", &key(1));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let blob = key(1).public().blob().to_vec();
    let with = |algorithm: &str, blob: &[u8], signature: &[u8]| {
        let head = request(b"alice", "publickey", &key_fields(true, algorithm, blob));
        [head, fields(|writer| writer.string(signature))].concat()
    };
    let mut alias = signed(session_id, "bob", &key(1));
    alias.splice(1..8, *b"\0\0\0\x05alice");
    vec![
        (
            "a signature over another session",
            signed(&other_id, "alice", &key(1)),
        ),
        ("a flipped bit", flipped),
        ("a signature for another user", alias),
        ("no signature", with("ssh-ed25519", &blob, b"")),
        (
            "a signature that is no blob",
            with("ssh-ed25519", &blob, &[0xff; 70]),
        ),
        ("an unknown algorithm", with("ssh-rsa", &blob, b"x")),
        (
            "a short key",
            with("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0\x05abcde", b"x"),
        ),
        ("an empty key", with("ssh-ed25519", b"", b"x")),
        ("64 KiB of key", with("ssh-ed25519", &[7; 65536], b"x")),
        (
            "a key of another type",
            with(
                "ssh-ed25519",
                b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\0\x01\x05",
                b"x",
            ),
        ),
    ]
}

#[test]
fn a_key_that_does_not_prove_itself_is_refused_and_nobody_is_asked() {
    let session_id = ServerTest::open(Policy::default()).session_id;
    for (what, message) in badly_signed(&session_id) {
        let mut test = ServerTest::open(Policy::default());
        test.send(&message);
        assert_eq!(test.error, None, "{what}");
        assert_eq!(test.questions, 0, "{what}");
        assert_eq!(test.client.numbers(), [51], "{what}");
        assert_eq!(test.failed, [("alice".to_owned(), "publickey".to_owned())]);
        // A log tells the key that should have signed, if it is one.
        let named = test.failed_key.as_ref().map(PublicKey::fingerprint);
        let is_named = what.contains("signature") || what.contains("bit");
        assert_eq!(named, is_named.then(|| key(1).public().fingerprint()), "{what}");
    }
}

#[test]
fn who_asked_about_a_is_not_a_when_b_signs() {
    let (a, b) = (key(1), key(2));
    let mut test = ServerTest::open(Policy::default());
    test.send(&query("alice", &a));
    test.answer(|attempt| match attempt {
        Attempt::PublicKeyQuery(query) => query.accept(),
        other => panic!("{other:?}"),
    });
    assert_eq!(test.client.take_heard(), [pk_ok(&a)]);
    let message = signed(&test.session_id, "alice", &b);
    test.send(&message);
    test.answer(|attempt| match attempt {
        Attempt::PublicKey(attempt) => {
            assert_eq!(attempt.key(), b.public());
            attempt.accept()
        }
        other => panic!("{other:?}"),
    });
    let authenticated = test.success.clone().unwrap();
    assert_eq!(authenticated.key(), Some(b.public()));
    assert_eq!(authenticated.factors().count(), 1);
}

#[test]
fn who_asked_about_a_key_and_gave_a_password_is_known_by_the_password() {
    let mut test = ServerTest::open(Policy::default());
    for each in [key(1), key(2)] {
        test.send(&query("alice", &each));
        test.answer(|attempt| match attempt {
            Attempt::PublicKeyQuery(query) => query.accept(),
            other => panic!("{other:?}"),
        });
    }
    test.send(&password("alice", "secret"));
    test.answer(|attempt| match attempt {
        Attempt::Password(attempt) => attempt.accept(),
        other => panic!("{other:?}"),
    });
    let authenticated = test.success.unwrap();
    assert_eq!(
        (authenticated.key(), authenticated.method()),
        (None, method::PASSWORD)
    );
}

#[test]
fn another_user_inherits_nothing() {
    let alices_key = key(1);
    let mut test = ServerTest::open(Policy::default());
    let partial = |attempt| match attempt {
        Attempt::PublicKey(attempt) => attempt.partial(&[method::PASSWORD]),
        other => panic!("{other:?}"),
    };
    let message = signed(&test.session_id, "alice", &alices_key);
    test.send(&message);
    test.answer(partial);
    assert_eq!(test.client.take_heard(), [failure("password", true)]);

    // Bob starts from nothing: the whole list of methods, and one factor when he is let in.
    test.send(&none("bob"));
    assert_eq!(test.client.take_heard(), [failure("publickey,password", false)]);
    test.send(&password("bob", "secret"));
    test.answer(|attempt| {
        assert_eq!(attempt.user(), "bob");
        match attempt {
            Attempt::Password(attempt) => attempt.accept(),
            other => panic!("{other:?}"),
        }
    });
    let authenticated = test.success.unwrap();
    assert_eq!(authenticated.user(), "bob");
    assert_eq!(authenticated.factors().count(), 1);
    assert_eq!(authenticated.key(), None, "alice's key is not bob's");
}

#[test]
fn a_user_who_comes_back_starts_again_too() {
    let mut test = ServerTest::open(Policy::default());
    let first = signed(&test.session_id, "alice", &key(1));
    for _ in 0..2 {
        test.send(&first);
        test.answer(|attempt| match attempt {
            Attempt::PublicKey(attempt) => attempt.partial(&[method::PASSWORD]),
            other => panic!("{other:?}"),
        });
        test.send(&request(b"bad\nname", "none", b""));
    }
    test.send(&password("alice", "secret"));
    test.answer(|attempt| match attempt {
        Attempt::Password(attempt) => attempt.accept(),
        other => panic!("{other:?}"),
    });
    assert_eq!(test.success.unwrap().factors().count(), 1);
}

#[test]
fn after_partial_success_only_the_named_methods_are_asked_about() {
    let mut test = server_at(At::AfterPartialSuccess);
    let questions = test.questions;
    test.send(&password("alice", "secret"));
    assert_eq!(test.client.take_heard(), [failure("publickey", false)]);
    assert_eq!(test.questions, questions);
}

#[test]
fn every_refusal_looks_the_same_and_takes_as_long() {
    let delay = Duration::from_millis(50);
    let session_id = ServerTest::open(Policy::default()).session_id;
    let mut messages: Vec<(&str, Vec<u8>)> = vec![
        ("a wrong password", password("alice", "wrong")),
        ("a user that does not exist", password("nobody", "wrong")),
        ("a user that cannot exist", password("no\nbody", "wrong")),
        ("an unlisted key", query("alice", &key(3))),
        ("a stranger's key", query("nobody", &key(3))),
        ("a proved but unlisted key", signed(&session_id, "alice", &key(3))),
        (
            "an unknown method",
            request(b"alice", "gssapi-with-mic", b"\xff\xff\xff\xff"),
        ),
    ];
    messages.extend(badly_signed(&session_id));
    for (what, message) in messages {
        let mut test = ServerTest::open_with_delay(delay);
        let start = test.now;
        test.send(&message);
        if !test.asked.is_empty() {
            test.now += Duration::from_millis(7);
            test.answer(Attempt::reject);
        }
        assert!(test.client.take_heard().is_empty(), "{what}: too early");
        assert_eq!(test.server.deadline(), Some(start + delay), "{what}");
        test.now = start + delay - Duration::from_millis(1);
        test.go();
        assert!(test.client.take_heard().is_empty(), "{what}: too early");
        test.now = start + delay;
        test.go();
        assert_eq!(
            test.client.take_heard(),
            [failure("publickey,password", false)],
            "{what}"
        );
    }
}

#[test]
fn a_verdict_of_another_connection_lets_nobody_in() {
    let mut ours = ServerTest::seeded(1, Policy::default());
    let mut theirs = ServerTest::seeded(2, Policy::default());
    for test in [&mut ours, &mut theirs] {
        test.client.say(&ServiceRequest {
            service_name: "ssh-userauth",
        });
        test.client.send(&password("alice", "secret"));
        test.go();
    }
    let Some(Attempt::Password(attempt)) = theirs.asked.pop() else {
        panic!()
    };
    ours.server.answer(attempt.accept());
    ours.go();
    assert!(ours.success.is_none());
    // The question is still open.
    ours.answer(|attempt| match attempt {
        Attempt::Password(attempt) => attempt.accept(),
        other => panic!("{other:?}"),
    });
    assert!(ours.success.is_some());
}

#[test]
fn random_conversations_neither_panic_nor_log_in() {
    let mut random = rng(42);
    for _ in 0..400 {
        let mut test = ServerTest::new(Policy {
            failure_delay: Duration::ZERO,
            ..Policy::default()
        });
        for _ in 0..12 {
            let mut message = match random.next_u32() % 8 {
                0 => ServiceRequest {
                    service_name: "ssh-userauth",
                }
                .to_bytes(),
                1 => none("alice"),
                2 => password("bob", "x"),
                3 => query("alice", &key(1)),
                4 => signed(&test.session_id, "alice", &key(1)),
                5 => vec![61, 0, 0, 0, 1, 0, 0, 0, 0],
                6 => vec![52],
                _ => (0..random.next_u32() % 30)
                    .map(|_| random.next_u32() as u8)
                    .chain([50])
                    .rev()
                    .collect(),
            };
            if random.next_u32().is_multiple_of(4) {
                let place = random.next_u32() as usize % message.len();
                message[place] ^= 1 << (random.next_u32() % 8);
            }
            if test.error.is_some() || message[0] == 0 {
                break;
            }
            test.send(&message);
            if let Some(attempt) = test.asked.pop() {
                test.server.answer(match attempt {
                    Attempt::PublicKeyQuery(query) => query.accept(),
                    Attempt::Password(attempt) => attempt.require_change("new"),
                    other => other.reject(),
                });
                test.go();
            }
        }
        assert!(test.success.is_none());
        assert!(test.server.into_session().is_err());
    }
}
