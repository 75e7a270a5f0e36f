//! The server against clients that mean no good, byte by byte (D6 to D8 of the threat list).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{cat, drain, give, message, split, started_server, string};
use ssh_sftp::extension::Extension;
use ssh_sftp::server::{Config, Event, Incoming, Limits};
use ssh_sftp::{Error, Misbehaviour, Server, StatusCode};

const ID: [u8; 4] = [0, 0, 0, 7];

/// The status code of the only reply that waits; its id must be 7.
fn refusal(server: &mut Server) -> StatusCode {
    assert!(matches!(server.poll(), Ok(None)));
    assert_eq!(server.in_work(), 0);
    let replies = split(&drain(server.output()));
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0][..5], [101, 0, 0, 0, 7]);
    StatusCode(u32::from_be_bytes(replies[0][5..9].try_into().unwrap()))
}

fn refused(number: u8, rest: &[u8]) -> StatusCode {
    let mut server = started_server(Config::default());
    give(&mut server, &message(number, &cat(&[&ID, rest])));
    let code = refusal(&mut server);
    // The conversation goes on.
    give(&mut server, &message(17, &cat(&[&ID, &string(b"/")])));
    assert!(matches!(
        server.poll(),
        Ok(Some(Event::Request(Incoming::Stat(_))))
    ));
    code
}

fn ended(bytes: &[u8]) -> Error {
    let mut server = started_server(Config::default());
    give(&mut server, bytes);
    let error = server.poll().unwrap_err();
    assert!(server.poll().is_err(), "an error is final");
    assert!(server.output().is_empty());
    error
}

#[test]
fn the_first_message_must_be_init() {
    let first = |bytes: &[u8]| {
        let mut server = Server::new(Config::default());
        give(&mut server, bytes);
        server.poll().map(|event| event.is_some())
    };
    for (version, theirs) in [([0; 4], 0), ([0, 0, 0, 2], 2)] {
        assert_eq!(
            first(&message(1, &version)),
            Err(Error::PeerIncompatible { theirs })
        );
    }
    for version in [[0, 0, 0, 3], [0, 0, 0, 6], [0, 0, 0, 99], [0xff; 4]] {
        assert_eq!(first(&message(1, &version)), Ok(true));
    }
    let stat = message(17, &cat(&[&ID, &string(b"/")]));
    assert_eq!(
        first(&stat),
        Err(Misbehaviour::UnexpectedMessage { number: 17 }.into())
    );
    for end in 0..4 {
        assert!(first(&message(1, &[0; 4][..end])).is_err());
    }
}

#[test]
fn the_answer_to_init_is_version_3_with_what_is_claimed() {
    let mut server = Server::new(Config {
        extensions: vec![Extension::Fsync],
        ..Config::default()
    });
    let rest = cat(&[&[0, 0, 0, 6], &string(b"x@y"), &string(b"1")]);
    give(&mut server, &message(1, &rest));
    let Ok(Some(Event::Started {
        version: 3,
        extensions,
    })) = server.poll()
    else {
        panic!("not started");
    };
    assert_eq!(extensions.find(b"x@y"), Some(&b"1"[..]));
    let expected = cat(&[
        &[0, 0, 0, 3],
        &string(b"fsync@openssh.com"),
        &string(b"1"),
        &string(b"limits@openssh.com"),
        &string(b"1"),
    ]);
    assert_eq!(drain(server.output()), message(2, &expected));
}

#[test]
fn a_second_init_ends_the_conversation() {
    let error = ended(&message(1, &[0, 0, 0, 3]));
    assert_eq!(error, Misbehaviour::UnexpectedMessage { number: 1 }.into());
}

#[test]
fn impossible_lengths_end_the_conversation() {
    for length in [0u32, 262_145, u32::MAX] {
        ended(&length.to_be_bytes());
    }
}

#[test]
fn a_message_too_short_for_an_id_ends_the_conversation() {
    for number in [3, 17, 200, 250] {
        for length in 0..4 {
            assert!(matches!(
                ended(&message(number, &[0; 4][..length])),
                Error::PeerMisbehaved(Misbehaviour::Undecodable { .. })
            ));
        }
    }
}

#[test]
fn unknown_types_and_unclaimed_extensions_are_unsupported() {
    for number in [0, 2, 21, 22, 23, 99, 101, 105, 201, 255] {
        assert_eq!(
            refused(number, b"anything"),
            StatusCode::OP_UNSUPPORTED,
            "{number}"
        );
    }
    for name in [&b""[..], b"fsync@openssh.com", b"no-such@thing"] {
        let rest = cat(&[&string(name), &string(b"h")]);
        assert_eq!(refused(200, &rest), StatusCode::OP_UNSUPPORTED);
    }
}

#[test]
fn badly_formed_requests_are_answered() {
    for (number, rest) in [
        (17, &b"\0\0\0\x05/etc"[..]), // a path that ends too early
        (17, b"\0\0\0\x01/\0"),       // a byte too much
        (17, b"\xff\xff\xff\xff/"),
        (5, b"\0\0\0\x01h\0\0\0\0\0\0\0\0"), // no length
        (6, b"\0\0\0\x01h\0\0\0\0\0\0\0\0\xff\xff\xff\xffdata"),
        (200, b"\0\0\0\xffname"),
        (200, b"\0\0\0\x12limits@openssh.com\0"),
    ] {
        assert_eq!(
            refused(number, rest),
            StatusCode::BAD_MESSAGE,
            "{number} {rest:?}"
        );
    }
}

#[test]
fn paths_that_no_file_system_has_are_answered_without_asking_one() {
    let nul = string(b"/tmp/a\0b");
    let long = string(&vec![b'a'; 65_536]);
    let good = string(b"/tmp/a");
    for number in [7, 11, 13, 15, 16, 17, 19] {
        assert_eq!(refused(number, &nul), StatusCode::NO_SUCH_FILE, "{number}");
        assert_eq!(refused(number, &long), StatusCode::FAILURE, "{number}");
    }
    for number in [18, 20] {
        assert_eq!(refused(number, &cat(&[&good, &nul])), StatusCode::NO_SUCH_FILE);
        assert_eq!(refused(number, &cat(&[&nul, &good])), StatusCode::NO_SUCH_FILE);
    }
    assert_eq!(refused(3, &cat(&[&nul, &[0; 8]])), StatusCode::NO_SUCH_FILE);
    assert_eq!(refused(14, &cat(&[&long, &[0; 4]])), StatusCode::FAILURE);
}

#[test]
fn a_handle_longer_than_the_draft_allows_is_answered() {
    let long = string(&[7; 300]);
    for (number, rest) in [
        (4, &[][..]),
        (5, &[0; 12]),
        (6, &[0; 12]),
        (8, &[]),
        (10, &[0; 4]),
        (12, &[]),
    ] {
        assert_eq!(
            refused(number, &cat(&[&long, rest])),
            StatusCode::FAILURE,
            "{number}"
        );
    }
}

#[test]
fn offsets_behind_every_file_are_answered() {
    let handle = string(b"h");
    let at = |offset: u64| offset.to_be_bytes();
    for offset in [1 << 63, u64::MAX] {
        let read = cat(&[&handle, &at(offset), &[0xff; 4]]);
        assert_eq!(refused(5, &read), StatusCode::EOF);
    }
    for offset in [(1 << 63) - 1, 1 << 63, u64::MAX] {
        let write = cat(&[&handle, &at(offset), &string(b"x")]);
        assert_eq!(refused(6, &write), StatusCode::FAILURE);
    }
}

#[test]
fn a_read_of_4_gib_is_cut_to_the_limit() {
    let mut server = started_server(Config::default());
    let rest = cat(&[&ID, &string(b"h"), &[0; 8], &[0xff; 4]]);
    give(&mut server, &message(5, &rest));
    let Ok(Some(Event::Request(Incoming::Read(question)))) = server.poll() else {
        panic!("no READ");
    };
    assert_eq!(question.request.length, 261_120);
    server.answer(question.reply.data(vec![1; 300_000]));
    assert_eq!(server.output().len(), 4 + 1 + 4 + 4 + 261_120);
}

#[test]
fn limits_are_told_without_asking_the_application() {
    let mut server = started_server(Config::default());
    give(
        &mut server,
        &message(200, &cat(&[&ID, &string(b"limits@openssh.com")])),
    );
    assert!(matches!(server.poll(), Ok(None)));
    let figures = [262_144u64, 261_120, 261_120, 1024]
        .map(u64::to_be_bytes)
        .concat();
    assert_eq!(drain(server.output()), message(201, &cat(&[&ID, &figures])));
}

#[test]
fn a_flood_of_requests_stops_at_the_number_in_work() {
    let mut server = started_server(Config::default());
    let stat = message(17, &cat(&[&ID, &string(b"/")]));
    let mut waiting = Vec::new();
    let mut taken = 0;
    while server.wants_input() {
        give(&mut server, &stat.repeat(1000));
        taken += 1000;
        while let Ok(Some(Event::Request(incoming))) = server.poll() {
            waiting.push(incoming);
        }
    }
    assert_eq!((waiting.len(), server.in_work()), (64, 64));
    assert!(taken * stat.len() < 2 * 262_144, "{taken}");
    // One answer makes room for one request.
    server.answer(waiting.pop().unwrap().status(StatusCode::NO_SUCH_FILE));
    let next = server.poll();
    assert!(matches!(next, Ok(Some(Event::Request(_)))));
    assert!(matches!(server.poll(), Ok(None)));
}

#[test]
fn a_client_that_reads_no_replies_is_read_no_further() {
    let budget = 1024 * 1024;
    let mut server = started_server(Config {
        limits: Limits {
            budget_bytes: budget,
            ..Limits::default()
        },
        ..Config::default()
    });
    let read = message(5, &cat(&[&ID, &string(b"h"), &[0; 8], &[0xff; 4]]));
    let unknown = message(99, &cat(&[&ID, b"?"]));
    let mut answered = 0;
    for flood in [read, unknown] {
        let mut given = 0;
        while server.wants_input() && given < 100_000_000 {
            give(&mut server, &flood.repeat(100));
            given += flood.len() * 100;
            while let Ok(Some(Event::Request(incoming))) = server.poll() {
                let Incoming::Read(question) = incoming else {
                    panic!("not a READ")
                };
                server.answer(question.reply.data(vec![1; 261_120]));
                answered += 1;
            }
        }
        assert!(!server.wants_input());
        assert!(server.output().len() < budget + 300_000);
    }
    assert_eq!(answered, 5);
    // The replies are read at last: the requests that waited come out.
    drain(server.output());
    assert!(matches!(server.poll(), Ok(Some(Event::Request(_)))));
}

#[test]
fn reads_in_work_count_by_what_they_will_give() {
    let mut server = started_server(Config {
        limits: Limits {
            budget_bytes: 1024 * 1024,
            ..Limits::default()
        },
        ..Config::default()
    });
    let read = message(5, &cat(&[&ID, &string(b"h"), &[0; 8], &[0xff; 4]]));
    give(&mut server, &read.repeat(64));
    let mut questions = Vec::new();
    while let Ok(Some(Event::Request(incoming))) = server.poll() {
        questions.push(incoming);
    }
    assert_eq!(questions.len(), 5, "each may give 255 KiB");
    for question in questions {
        server.answer(question.status(StatusCode::EOF));
    }
    let next: Vec<Event> = std::iter::from_fn(|| server.poll().unwrap()).collect();
    assert_eq!(next.len(), 5);
}

#[test]
fn one_id_may_be_used_twice() {
    let mut server = started_server(Config::default());
    let stat = message(17, &cat(&[&ID, &string(b"/")]));
    give(&mut server, &stat.repeat(2));
    let mut next = || match server.poll() {
        Ok(Some(Event::Request(incoming))) => incoming,
        other => panic!("{other:?}"),
    };
    let (first, second) = (next(), next());
    server.answer(second.status(StatusCode::FAILURE));
    server.answer(first.status(StatusCode::FAILURE));
    assert_eq!(split(&drain(server.output())).len(), 2);
    assert_eq!(server.in_work(), 0);
}

#[test]
fn success_is_no_answer_to_a_question() {
    let mut server = started_server(Config::default());
    give(&mut server, &message(17, &cat(&[&ID, &string(b"/")])));
    let Ok(Some(Event::Request(incoming))) = server.poll() else {
        panic!("no request");
    };
    server.answer(incoming.status(StatusCode::OK));
    assert_eq!(refusal(&mut server), StatusCode::FAILURE);
}

#[test]
fn a_request_that_is_dropped_is_answered_with_a_failure() {
    let mut server = started_server(Config::default());
    let stat = message(17, &cat(&[&ID, &string(b"/")]));
    for drop_the_response in [false, true] {
        give(&mut server, &stat);
        let Ok(Some(Event::Request(incoming))) = server.poll() else {
            panic!("no request");
        };
        assert_eq!(server.in_work(), 1);
        if drop_the_response {
            drop(incoming.status(StatusCode::NO_SUCH_FILE));
        } else {
            drop(incoming);
        }
        assert_eq!(refusal(&mut server), StatusCode::FAILURE);
    }
    // A request that outlives its server is nobody's any more.
    give(&mut server, &stat);
    let event = server.poll();
    drop(server);
    drop(event);
}

#[test]
fn an_answer_no_client_would_take_becomes_a_failure() {
    let mut server = started_server(Config::default());
    give(&mut server, &message(16, &cat(&[&ID, &string(b"x")])));
    let Ok(Some(Event::Request(Incoming::RealPath(question)))) = server.poll() else {
        panic!("no REALPATH");
    };
    server.answer(question.reply.path(vec![b'a'; 200_000]));
    assert_eq!(refusal(&mut server), StatusCode::FAILURE);
}
