//! The client against servers that mean no good, byte by byte (D3 of the threat list).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{cat, drain, message, ready_client, split, string};
use ssh_sftp::client::{Event, Limits};
use ssh_sftp::messages::{Open, OpenDir, Read, ReadDir, RealPath, Remove, Stat};
use ssh_sftp::wire::bytes::Bytes;
use ssh_sftp::{Attributes, Client, Error, Handle, Misbehaviour, Misuse, OpenFlags, Reply, StatusCode};

fn read(length: u32) -> Read {
    Read {
        handle: Handle::new(b"h"),
        offset: 0,
        length,
    }
}

/// What the client makes of `bytes` after it asked for `request`, whose id is 0.
fn misbehaviour(ask: impl FnOnce(&mut Client), bytes: &[u8]) -> Misbehaviour {
    let mut client = ready_client(&[]);
    ask(&mut client);
    client.receive(Bytes::copy_from_slice(bytes));
    match client.poll() {
        Err(Error::PeerMisbehaved(misbehaviour)) => {
            assert!(client.poll().is_err(), "an error is final");
            assert_eq!(client.request(&read(1)), Err(Misuse::Ended));
            misbehaviour
        }
        other => panic!("{other:?}"),
    }
}

fn nothing(_: &mut Client) {}

fn asked_to_read(client: &mut Client) {
    client.request(&read(10)).unwrap();
}

fn asked_for_names(client: &mut Client) {
    let handle = Handle::new(b"h");
    client.request(&ReadDir { handle }).unwrap();
}

fn asked_to_stat(client: &mut Client) {
    client.request(&Stat { path: b"/".to_vec() }).unwrap();
}

#[test]
fn a_reply_to_nothing_ends_the_conversation() {
    let status = message(101, &[0; 16]);
    assert_eq!(misbehaviour(nothing, &status), Misbehaviour::UnknownRequest(0));
    let other = message(101, &cat(&[&[0, 0, 0, 9], &[0; 12]]));
    assert_eq!(
        misbehaviour(asked_to_read, &other),
        Misbehaviour::UnknownRequest(9)
    );
}

#[test]
fn a_second_reply_to_one_request_ends_the_conversation() {
    let mut client = ready_client(&[]);
    asked_to_stat(&mut client);
    let attributes = message(105, &[0; 8]);
    client.receive(cat(&[&attributes, &attributes]).into());
    assert!(matches!(client.poll(), Ok(Some(Event::Reply { .. }))));
    let error = client.poll().unwrap_err();
    assert_eq!(error, Misbehaviour::UnknownRequest(0).into());
}

#[test]
fn more_data_than_was_asked_for_is_refused() {
    let data = |length: usize| message(103, &cat(&[&[0; 4], &string(&vec![1; length])]));
    assert_eq!(
        misbehaviour(asked_to_read, &data(11)),
        Misbehaviour::TooMuchData { asked: 10, given: 11 }
    );
    let mut client = ready_client(&[]);
    asked_to_read(&mut client);
    client.receive(data(10).into());
    let Ok(Some(Event::Reply { reply, .. })) = client.poll() else {
        panic!("no reply");
    };
    assert_eq!(reply.answer::<Read>().unwrap().len(), 10);
}

#[test]
fn a_reply_of_the_wrong_kind_is_refused() {
    type Row = (fn(&mut Client), Vec<u8>, &'static str);
    let rows: [Row; 7] = [
        (asked_to_read, message(105, &[0; 8]), "SSH_FXP_ATTRS"),
        (asked_to_read, message(101, &[0; 16]), "SSH_FXP_STATUS"), // success without data
        (asked_to_stat, message(103, &[0; 8]), "SSH_FXP_DATA"),
        (asked_to_stat, message(104, &[0; 8]), "SSH_FXP_NAME"),
        (asked_for_names, message(102, &[0; 8]), "SSH_FXP_HANDLE"),
        (
            |client| assert!(client.request(&RealPath { path: Vec::new() }).is_ok()),
            message(104, &[0; 8]), // no name where there must be one
            "SSH_FXP_NAME",
        ),
        (
            |client| assert!(client.request(&Remove { path: Vec::new() }).is_ok()),
            message(201, &[0; 8]),
            "SSH_FXP_EXTENDED_REPLY",
        ),
    ];
    for (ask, bytes, name) in rows {
        match misbehaviour(ask, &bytes) {
            Misbehaviour::WrongReply { reply, .. } => assert_eq!(reply, name),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn messages_only_a_client_sends_and_unknown_ones_are_refused() {
    for number in [0, 1, 2, 3, 5, 20, 99, 106, 200, 202, 255] {
        let bytes = message(number, &[0; 12]);
        assert_eq!(
            misbehaviour(asked_to_read, &bytes),
            Misbehaviour::UnexpectedMessage { number }
        );
    }
}

#[test]
fn impossible_lengths_are_refused() {
    for (length, expected) in [
        (0u32, Misbehaviour::EmptyMessage),
        (262_145, Misbehaviour::MessageTooLong { length: 262_145 }),
        (u32::MAX, Misbehaviour::MessageTooLong { length: u32::MAX }),
    ] {
        assert_eq!(misbehaviour(nothing, &length.to_be_bytes()), expected);
    }
}

#[test]
fn malformed_names_are_refused() {
    let names = |count: u32, rest: &[u8]| message(104, &cat(&[&[0; 4], &count.to_be_bytes(), rest]));
    let whole = cat(&[&string(b"a"), &string(b"long a"), &[0; 4]]);
    let rows = [
        names(u32::MAX, &whole),                               // far more promised than there
        names(1, &string(b"a")),                               // no long name, no attributes
        names(1, &cat(&[&string(b"a"), &[0, 0, 0, 9, b'x']])), // a broken long name
        names(1, &cat(&[&string(b"a"), &string(b"long a")])),  // no attributes
        names(1, &cat(&[&whole, &whole])),                     // more there than promised
        names(0, &whole),
    ];
    for bytes in rows {
        assert!(matches!(
            misbehaviour(asked_for_names, &bytes),
            Misbehaviour::Undecodable {
                message: "SSH_FXP_NAME",
                ..
            }
        ));
    }
}

/// What is decoded takes more room than what arrived: of the shortest entries no more may come than any server needs.
#[test]
fn an_answer_holds_at_most_4096_names() {
    for (count, good) in [(4_096_u32, true), (4_097, false)] {
        let mut client = ready_client(&[]);
        asked_for_names(&mut client);
        let names = vec![0; 12 * 4_097];
        let body = names.get(..12 * count as usize).unwrap();
        client.receive(message(104, &cat(&[&[0; 4], &count.to_be_bytes(), body])).into());
        assert_eq!(client.poll().is_ok(), good, "{count}");
    }
}

#[test]
fn a_handle_is_at_most_256_bytes() {
    for (length, good) in [(0, true), (256, true), (257, false), (100_000, false)] {
        let mut client = ready_client(&[]);
        client.request(&OpenDir { path: b"/".to_vec() }).unwrap();
        client.receive(message(102, &cat(&[&[0; 4], &string(&vec![7; length])])).into());
        assert_eq!(client.poll().is_ok(), good, "{length}");
    }
}

#[test]
fn statuses_without_texts_and_unknown_codes_are_taken() {
    for (rest, code) in [
        (&b"\0\0\0\0\0\0\0\x04"[..], StatusCode::FAILURE),
        (b"\0\0\0\0\0\0\0\x03\0\0\0\0", StatusCode::PERMISSION_DENIED),
        (b"\0\0\0\0\0\x01\0\0\0\0\0\x01?\0\0\0\0", StatusCode(65_536)),
    ] {
        let mut client = ready_client(&[]);
        asked_to_stat(&mut client);
        client.receive(message(101, rest).into());
        let Ok(Some(Event::Reply { reply, .. })) = client.poll() else {
            panic!("no reply");
        };
        assert_eq!(reply.answer::<Stat>().unwrap_err().code, code);
    }
}

#[test]
fn replies_in_any_order_find_their_requests() {
    let mut client = ready_client(&[]);
    let ids: Vec<_> = (0..100)
        .map(|n| client.request(&Stat { path: vec![b'a'; n] }).unwrap())
        .collect();
    assert_eq!(split(&drain(client.output())).len(), 100);
    for n in (0..100u32).rev() {
        let attributes = Attributes::with_size(u64::from(n)).size.unwrap().to_be_bytes();
        client.receive(message(105, &cat(&[&n.to_be_bytes(), &[0, 0, 0, 1], &attributes])).into());
        let Ok(Some(Event::Reply { id, reply })) = client.poll() else {
            panic!("no reply");
        };
        assert_eq!(id, ids[n as usize]);
        assert_eq!(reply.answer::<Stat>().unwrap().size, Some(u64::from(n)));
    }
    assert_eq!(client.waiting(), 0);
}

#[test]
fn the_first_message_must_be_version_3() {
    let first = |bytes: &[u8]| {
        let mut client = Client::new();
        client.receive(Bytes::copy_from_slice(bytes));
        client.poll().unwrap_err()
    };
    for theirs in [0, 2, 4, 99] {
        let bytes = message(2, &[0, 0, 0, theirs]);
        assert_eq!(
            first(&bytes),
            Error::PeerIncompatible {
                theirs: u32::from(theirs)
            }
        );
    }
    assert_eq!(
        first(&message(101, &[0; 16])),
        Misbehaviour::UnexpectedMessage { number: 101 }.into()
    );
    assert!(matches!(
        first(&message(2, &[0, 0, 0, 3, 0])),
        Error::PeerMisbehaved(Misbehaviour::Undecodable { .. })
    ));
    let text = first(b"Welcome to the machine\r\n");
    assert!(
        text.to_string().contains("\"Welcome to the machine\\r\\n\""),
        "{text}"
    );
}

#[test]
fn nothing_is_asked_before_version() {
    let mut client = Client::new();
    assert_eq!(client.request(&read(1)), Err(Misuse::NotReady));
    let mut client = ready_client(&[]);
    client.receive(message(2, &[0, 0, 0, 3]).into());
    assert!(client.poll().is_err(), "VERSION comes once");
}

#[test]
fn limits_are_asked_for_and_clamped() {
    let mut client = ready_client(&[("limits@openssh.com", "1"), ("x@y", "9")]);
    let question = message(200, &cat(&[&[0; 4], &string(b"limits@openssh.com")]));
    assert_eq!(drain(client.output()), question);
    assert_eq!(client.limits(), Limits::default());
    let open = Open {
        path: b"a".to_vec(),
        flags: OpenFlags::READ,
        attributes: Attributes::default(),
    };
    client.request(&open).unwrap();
    let figures = [u64::MAX, u64::MAX, 0, 100].map(u64::to_be_bytes).concat();
    client.receive(message(201, &cat(&[&[0; 4], &figures])).into());
    client.receive(message(102, &cat(&[&[0, 0, 0, 1], &string(b"h")])).into());
    let Ok(Some(Event::Reply { reply, .. })) = client.poll() else {
        panic!("no reply");
    };
    assert!(matches!(reply, Reply::Handle(_)));
    assert_eq!(
        (client.limits().read_bytes, client.limits().write_bytes),
        (261_120, 261_120)
    );
    assert_eq!(client.limits().handles, Some(100));
}

#[test]
fn a_server_that_takes_its_limits_back_keeps_the_safe_ones() {
    for rest in [&[0, 0, 0, 8][..], &[0, 0, 0, 4]] {
        let mut client = ready_client(&[("limits@openssh.com", "1")]);
        client.receive(message(101, &cat(&[&[0; 4], rest])).into());
        assert!(matches!(client.poll(), Ok(None)));
        assert_eq!(client.limits(), Limits::default());
    }
    let mut client = ready_client(&[("limits@openssh.com", "1")]);
    client.receive(message(201, &[0; 4]).into());
    assert!(client.poll().is_err(), "a reply without its four numbers");
}

#[test]
fn a_request_no_peer_would_take_is_refused_here() {
    let mut client = ready_client(&[]);
    drain(client.output());
    let path = vec![b'a'; 300_000];
    assert!(matches!(
        client.request(&Stat { path }),
        Err(Misuse::MessageTooLong { .. })
    ));
    assert_eq!((client.waiting(), client.output().len()), (0, 0));
}
