//! What a peer may use up of a server before login: attempts, queries, requests, bytes, names, time.

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
use ssh_auth::messages::ServiceRequest;
use ssh_auth::server::{Attempt, MAX_REQUESTS, MAX_WAITING_BYTES, MAX_WAITING_REQUESTS, Policy};
use ssh_auth::service::MAX_SERVICE_REQUESTS;
use ssh_auth::wire::Layer;
use ssh_auth::wire::rand_core::Rng;
use ssh_auth::{Error, Misbehaviour, method};

#[test]
fn the_service_may_be_asked_for_again_but_not_for_ever() {
    let mut test = ServerTest::open(Policy::default());
    test.send(&password("alice", "wrong"));
    test.answer(Attempt::reject);
    for _ in 1..MAX_SERVICE_REQUESTS {
        test.client.say(&ServiceRequest {
            service_name: "ssh-userauth",
        });
    }
    test.go();
    assert_eq!(
        (test.error.clone(), test.client.numbers().len()),
        (None, MAX_SERVICE_REQUESTS)
    );
    test.client.say(&ServiceRequest {
        service_name: "ssh-userauth",
    });
    test.go();
    assert!(matches!(
        test.error,
        Some(Error::PeerMisbehaved(Misbehaviour::TooMany { .. }))
    ));
}

#[test]
fn six_failures_are_enough() {
    for switch in [false, true] {
        let mut test = ServerTest::open(Policy::default());
        test.send(&none("alice"));
        for attempt in 1..=6 {
            assert_eq!(test.error, None);
            assert_eq!(test.client.numbers(), [51], "before attempt {attempt}");
            let name = if switch {
                format!("user{attempt}")
            } else {
                "alice".to_owned()
            };
            test.send(&password(&name, "wrong"));
            test.answer(Attempt::reject);
        }
        assert_eq!(test.error, Some(Error::TooManyAttempts));
        assert_eq!(
            test.client.farewell(),
            Some((2, "Too many authentication failures".to_owned()))
        );
        assert!(
            test.client.numbers().is_empty(),
            "the last failure is the farewell"
        );
        assert_eq!(test.failed.len(), 6);
    }
}

#[test]
fn queries_have_a_limit_of_their_own() {
    let mut test = ServerTest::open(Policy::default());
    for count in 0..64 {
        test.send(&query("alice", &key(count)));
        test.answer(Attempt::reject);
    }
    assert_eq!((test.error.clone(), test.client.numbers().len()), (None, 64));
    test.send(&password("alice", "secret"));
    test.answer(Attempt::reject);
    assert_eq!(test.error, None, "queries do not use up attempts");
    test.send(&query("alice", &key(99)));
    assert_eq!(test.error, Some(Error::TooManyAttempts));
    assert_eq!(test.questions, 65);
}

#[test]
fn whatever_is_sent_a_thousand_times_is_cut_short() {
    let session_id = ServerTest::open(Policy::default()).session_id;
    let policies = [
        Policy::default(),
        Policy {
            max_attempts: u32::MAX,
            max_queries: u32::MAX,
            ..Policy::default()
        },
    ];
    for policy in policies {
        let mut test = ServerTest::open(policy);
        let mut random = rng(9);
        for _ in 0..1000 {
            let message = match random.next_u32() % 6 {
                0 => none("alice"),
                1 => password("alice", "x"),
                2 => query("alice", &key(1)),
                3 => request(b"alice", "keyboard-interactive", b"\0\0\0\0\0\0\0\x03pam"),
                4 => signed(&session_id, "bob", &key(1)),
                _ => request(b"alice", "no-such-method", b""),
            };
            test.client.send(&message);
            test.go();
            if !test.asked.is_empty() {
                test.answer(Attempt::reject);
            }
            if test.error.is_some() {
                break;
            }
        }
        assert_eq!(test.error, Some(Error::TooManyAttempts));
        assert!(test.questions <= MAX_REQUESTS);
    }
}

#[test]
fn partial_success_for_ever_is_bounded() {
    let policy = Policy {
        max_attempts: u32::MAX,
        ..Policy::default()
    };
    let mut test = ServerTest::open(policy);
    for _ in 0..MAX_REQUESTS {
        test.send(&password("alice", "x"));
        test.answer(|attempt| match attempt {
            Attempt::Password(attempt) => attempt.partial(&[method::PASSWORD]),
            other => panic!("{other:?}"),
        });
        assert_eq!(test.error, None);
    }
    test.send(&password("alice", "x"));
    assert_eq!(test.error, Some(Error::TooManyAttempts));
}

#[test]
fn requests_ahead_are_bounded() {
    let mut test = server_at(At::Verdict);
    for _ in 0..MAX_WAITING_REQUESTS {
        test.send(&password("alice", "x"));
    }
    assert_eq!(test.error, None);
    test.send(&password("alice", "x"));
    assert!(matches!(
        test.error,
        Some(Error::PeerMisbehaved(Misbehaviour::TooMany { .. }))
    ));

    let mut test = server_at(At::Verdict);
    test.send(&password("alice", &"x".repeat(MAX_WAITING_BYTES)));
    assert!(matches!(
        test.error,
        Some(Error::PeerMisbehaved(Misbehaviour::TooMany { .. }))
    ));
}

#[test]
fn requests_ahead_are_answered_in_order() {
    let mut test = ServerTest::new(Policy {
        failure_delay: Duration::ZERO,
        ..Policy::default()
    });
    test.client.say(&ServiceRequest {
        service_name: "ssh-userauth",
    });
    for word in ["one", "two", "three"] {
        test.client.send(&password("alice", word));
    }
    test.go();
    for word in ["one", "two", "three"] {
        assert_eq!(test.asked.len(), 1);
        test.answer(|attempt| match attempt {
            Attempt::Password(attempt) if attempt.password() == word.as_bytes() => attempt.reject(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(test.client.numbers(), [6, 51, 51, 51]);
}

#[test]
fn names_of_64_kib_are_refused_and_never_shown_whole() {
    let long = vec![b'x'; 64 * 1024];
    let long_text = String::from_utf8(long.clone()).unwrap();
    for message in [
        request(
            &long,
            "password",
            &fields(|writer| {
                writer.boolean(false);
                writer.string(b"x")
            }),
        ),
        request(b"alice", &long_text, b""),
        request(
            b"alice",
            "publickey",
            &key_fields(false, &long_text, key(1).public().blob()),
        ),
    ] {
        let mut test = ServerTest::open(Policy::default());
        test.send(&message);
        assert_eq!(
            (test.error, test.client.take_heard()),
            (None, vec![failure("publickey,password", false)])
        );
        assert_eq!(test.questions, 0);
        for (user, method) in test.failed {
            assert!(user.len() < 100 && method.len() < 100);
        }
    }
    let mut test = ServerTest::open(Policy::default());
    test.send(&request(&[b'x'; 200 * 1024], "none", b""));
    assert!(test.error.is_some(), "over the limit of all requests");
}

#[test]
fn names_that_would_damage_a_log_are_refused_on_one_line() {
    for name in [
        &b"root\0x"[..],
        b"a\nsshd: Accepted",
        b"\x1b[2J",
        b"",
        b"\xff\xfe",
        "a\u{202e}b".as_bytes(),
    ] {
        let mut test = ServerTest::open(Policy::default());
        test.send(&request(
            name,
            "password",
            &fields(|writer| {
                writer.boolean(false);
                writer.string(b"x")
            }),
        ));
        assert_eq!(test.questions, 0);
        assert_eq!(test.client.take_heard(), [failure("publickey,password", false)]);
        let (user, _) = &test.failed[0];
        assert!(
            user.chars()
                .all(|character| character.is_ascii_graphic() || character == ' '),
            "{user:?}"
        );
    }
}

#[test]
fn who_does_not_log_in_in_time_is_shown_out() {
    for at in PLACES {
        let mut test = server_at(at);
        test.now += Duration::from_secs(119);
        test.go();
        assert_eq!(test.error, None, "{at:?}");
        assert!(test.server.deadline().is_some());
        test.now += Duration::from_secs(2);
        test.go();
        assert_eq!(
            test.error,
            Some(Error::LoginTimeout(Duration::from_secs(120))),
            "{at:?}"
        );
        assert!(test.client.farewell().is_some());
        assert_eq!(test.server.deadline(), None);
    }
}
