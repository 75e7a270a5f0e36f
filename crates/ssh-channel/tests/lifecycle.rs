//! How channels begin and end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{Pair, drain, numbered, open_house, pair, pattern, siege, windows_of};
use ssh_channel::messages::{
    ChannelClose, ChannelData, ChannelEof, ChannelOpen, ChannelOpenConfirmation, ChannelOpenFailure,
};
use ssh_channel::wire::{Rest, number};
use ssh_channel::{
    ChannelId, ChannelRequest, ChannelType, Config, Event, ExitStatus, Limits, Misuse, OpenFailure,
    OpenFailureReason, Opening, Stream,
};

/// Lets `a` ask and `b` hear of it.
fn ask(pair: &mut Pair, channel_type: &ChannelType) -> (ChannelId, Opening) {
    let id = pair.a.machine.open(channel_type.clone()).unwrap();
    pair.pump();
    match pair.b.taken().pop() {
        Some(Event::Open(opening)) => (id, opening),
        other => panic!("{other:?}"),
    }
}

/// The one event of `a`: its open failed.
fn failure(pair: &mut Pair, expected: ChannelId) -> OpenFailure {
    pair.pump();
    match pair.a.taken().pop() {
        Some(Event::OpenFailed {
            id,
            reason,
            description,
        }) if id == expected => OpenFailure { reason, description },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_is_asked_for_with_its_fields() {
    let mut pair = pair(open_house(), open_house());
    let (_, opening) = ask(&mut pair, &numbered(70_000));
    assert_eq!(opening.channel_type(), &numbered(70_000));
    pair.b.machine.accept(opening);
    pair.pump();
    assert!(matches!(pair.a.taken()[..], [Event::Opened(_)]));
}

#[test]
fn the_application_refuses_with_its_own_words() {
    let mut pair = pair(open_house(), open_house());
    let (id, opening) = ask(&mut pair, &ChannelType::Session);
    let words = OpenFailure::new(OpenFailureReason::CONNECT_FAILED, "no route to höst");
    pair.b.machine.refuse(opening, words.clone());
    assert_eq!(failure(&mut pair, id), words);
    pair.assert_empty();

    let (id, opening) = ask(&mut pair, &ChannelType::Session);
    let long = OpenFailure::new(OpenFailureReason(77), "ö".repeat(100_000));
    pair.b.machine.refuse(opening, long.clone());
    let heard = failure(&mut pair, id);
    assert_eq!((heard.reason, heard.description), (long.reason, "ö".repeat(512)));
}

#[test]
fn a_peers_description_is_cut_and_made_text() {
    let mut siege = siege(open_house());
    let id = siege.a.machine.open(ChannelType::Session).unwrap();
    siege.send(&ChannelOpenFailure {
        recipient: id.number(),
        reason: 4,
        description: &[0xff; 100_000],
        language: &[0; 100_000],
    });
    siege.pump();
    match &siege.a.taken()[..] {
        [Event::OpenFailed { description, .. }] => assert_eq!(*description, "\u{fffd}".repeat(1_024)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn types_that_are_not_accepted_are_refused_without_a_question() {
    let config = Config {
        accept_opens: vec!["direct-tcpip"],
        ..Config::default()
    };
    let mut pair = pair(open_house(), config);
    let id = pair.a.machine.open(ChannelType::Session).unwrap();
    assert_eq!(
        failure(&mut pair, id).reason,
        OpenFailureReason::ADMINISTRATIVELY_PROHIBITED
    );
    pair.b.machine.allow_opens("session");
    let (_, opening) = ask(&mut pair, &ChannelType::Session);
    pair.b.machine.accept(opening);
    pair.pump();
    assert!(matches!(pair.a.taken()[..], [Event::Opened(_)]));
    pair.b.machine.forbid_opens("session");
    let id = pair.a.machine.open(ChannelType::Session).unwrap();
    assert_eq!(
        failure(&mut pair, id).reason,
        OpenFailureReason::ADMINISTRATIVELY_PROHIBITED
    );
    assert!(pair.b.events.is_empty(), "nobody was asked");
}

#[test]
fn by_default_a_peer_may_open_nothing() {
    let mut pair = pair(open_house(), Config::default());
    for channel_type in [ChannelType::Session, numbered(1)] {
        let id = pair.a.machine.open(channel_type).unwrap();
        assert_eq!(
            failure(&mut pair, id).reason,
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED
        );
    }
    assert!(pair.b.events.is_empty());
    pair.assert_empty();
}

/// Sends an open as the peer; the reason it is refused for.
fn refused(siege: &mut common::Siege, channel_type: &str, data: &[u8]) -> OpenFailureReason {
    siege.send(&ChannelOpen {
        channel_type,
        sender: 7,
        initial_window: 1,
        max_packet: 1,
        data: Rest(data),
    });
    let packets = siege.received();
    let [packet] = &packets[..] else {
        panic!("{packets:?}")
    };
    let failure: ChannelOpenFailure<'_> = packet.decode().unwrap();
    assert_eq!(failure.recipient, 7);
    OpenFailureReason(failure.reason)
}

#[test]
fn opens_that_make_no_sense_are_refused() {
    let mut siege = siege(open_house());
    let long = [&b"\0\x02\x80\0"[..], &[b'x'; 0x28000], b"\0\0\0\0"].concat();
    for (channel_type, data, reason) in [
        ("x12", &b""[..], OpenFailureReason::UNKNOWN_CHANNEL_TYPE),
        ("x11", b"", OpenFailureReason::ADMINISTRATIVELY_PROHIBITED),
        ("", b"", OpenFailureReason::UNKNOWN_CHANNEL_TYPE),
        ("session\n", b"", OpenFailureReason::UNKNOWN_CHANNEL_TYPE),
        ("session", b"x", OpenFailureReason::ADMINISTRATIVELY_PROHIBITED),
        (
            "direct-tcpip",
            b"\0\0\0\x01",
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        ),
        (
            "direct-tcpip",
            b"\0\0\0\x01h\0\x01\0\0\0\0\0\x01h\0\0\0\0",
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        ),
        (
            "forwarded-streamlocal@openssh.com",
            &long,
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        ),
    ] {
        assert_eq!(refused(&mut siege, channel_type, data), reason, "{channel_type}");
    }
    assert!(siege.a.events.is_empty() && siege.a.error.is_none());
}

#[test]
fn a_hundred_thousand_refused_opens_leave_nothing() {
    let mut siege = siege(Config::default());
    for round in 0..100_000_u32 {
        siege.send(&ChannelOpen {
            channel_type: if round.is_multiple_of(2) {
                "session"
            } else {
                "nonsense@example.org"
            },
            sender: round,
            initial_window: u32::MAX,
            max_packet: u32::MAX,
            data: Rest(b""),
        });
    }
    assert_eq!(siege.received().len(), 100_000);
    assert_eq!(siege.a.machine.channels(), 0);
    assert_eq!(siege.a.machine.window_bytes(), 0);
    assert!(siege.a.events.is_empty() && siege.a.error.is_none());
}

#[test]
fn opens_beyond_the_limits_are_refused_for_shortage() {
    let limits = Limits {
        channels: 5,
        pending_opens: 3,
        ..Limits::default()
    };
    let mut pair = pair(
        open_house(),
        Config {
            limits,
            ..open_house()
        },
    );
    for number in 0..4 {
        pair.a.machine.open(numbered(number)).unwrap();
    }
    pair.pump();
    let questions = pair.b.taken();
    assert_eq!(questions.len(), 3, "the fourth is not even asked about");
    let shortage = |event: &Event| matches!(event, Event::OpenFailed { reason, .. } if *reason == OpenFailureReason::RESOURCE_SHORTAGE);
    assert!(matches!(&pair.a.taken()[..], [event] if shortage(event)));
    for event in questions {
        let Event::Open(opening) = event else {
            panic!("{event:?}")
        };
        pair.b.machine.accept(opening);
    }
    pair.b.machine.open(ChannelType::Session).unwrap();
    pair.b.machine.open(ChannelType::Session).unwrap();
    assert_eq!(
        pair.b.machine.open(ChannelType::Session),
        Err(Misuse::TooManyChannels { limit: 5 })
    );
    pair.a.machine.open(ChannelType::Session).unwrap();
    pair.pump();
    let heard = pair.a.taken();
    assert_eq!(
        heard.iter().filter(|event| shortage(event)).count(),
        1,
        "{heard:?}"
    );
}

#[test]
fn a_half_closed_channel_still_flows_the_other_way() {
    let mut pair = pair(open_house(), windows_of(100_000));
    let (ours, theirs) = pair.open();
    pair.a.machine.write(ours, Stream::Data, b"last words").unwrap();
    pair.a.machine.eof(ours).unwrap();
    pair.a.machine.eof(ours).unwrap();
    assert_eq!(
        pair.a.machine.write(ours, Stream::Data, b"x"),
        Err(Misuse::AfterEof(ours))
    );
    pair.pump();
    let events = pair.b.taken();
    assert!(
        matches!(events[..], [Event::Readable(_, Stream::Data), Event::Eof(id)] if id == theirs),
        "{events:?}"
    );
    assert!(pair.b.machine.is_eof(theirs));
    assert_eq!(
        drain(&mut pair.b, theirs, Stream::Data),
        b"last words",
        "data before EOF is delivered"
    );

    let bytes = pattern(3_000_000, 9);
    let (mut sent, mut arrived) = (0, Vec::new());
    while arrived.len() < bytes.len() {
        sent += pair
            .b
            .machine
            .write(theirs, Stream::Data, &bytes[sent..])
            .unwrap();
        pair.pump();
        arrived.extend(drain(&mut pair.a, ours, Stream::Data));
        pair.pump();
    }
    assert!(arrived == bytes);
    pair.b
        .machine
        .request(theirs, &ExitStatus { status: 3 }.into(), false)
        .unwrap();
    pair.b.machine.eof(theirs).unwrap();
    pair.b
        .machine
        .request(theirs, &ExitStatus { status: 4 }.into(), false)
        .unwrap();
    pair.b.machine.close(theirs).unwrap();
    pair.pump();
    let statuses: Vec<u32> = pair
        .a
        .taken()
        .into_iter()
        .filter_map(|event| match event {
            Event::Request {
                request: ChannelRequest::ExitStatus(ExitStatus { status }),
                ..
            } => Some(status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [3, 4], "before and after EOF");
    pair.pump();
    pair.assert_empty();
}

#[test]
fn output_before_close_is_read_after_it() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    let bytes = pattern(100_000, 5);
    assert_eq!(
        pair.b.machine.write(theirs, Stream::Stderr, &bytes).unwrap(),
        bytes.len()
    );
    pair.b
        .machine
        .request(theirs, &ExitStatus { status: 0 }.into(), false)
        .unwrap();
    pair.b.machine.eof(theirs).unwrap();
    pair.b.machine.close(theirs).unwrap();
    pair.pump();
    assert!(matches!(pair.a.taken().last(), Some(Event::Closed(id)) if *id == ours));
    assert!(
        matches!(pair.b.taken()[..], [Event::Closed(id)] if id == theirs),
        "our CLOSE answered theirs"
    );
    assert_eq!(pair.a.machine.channels(), 1, "until it has been read");
    assert_eq!(
        pair.a.machine.write(ours, Stream::Data, b"x"),
        Err(Misuse::Closed(ours))
    );
    assert!(drain(&mut pair.a, ours, Stream::Stderr) == bytes);
    assert!(pair.a.machine.is_eof(ours));
    assert_eq!(
        pair.a.machine.write(ours, Stream::Data, b"x"),
        Err(Misuse::UnknownChannel(ours))
    );
    pair.assert_empty();
}

#[test]
fn a_closed_channel_nobody_reads_is_forgotten_on_request() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    pair.b.machine.write(theirs, Stream::Data, &[1; 50_000]).unwrap();
    pair.b.machine.close(theirs).unwrap();
    pair.pump();
    assert_eq!(pair.a.machine.readable(ours, Stream::Data), 50_000);
    pair.a.machine.forget(ours);
    pair.a.machine.forget(ours);
    assert_eq!(pair.a.machine.close(ours), Err(Misuse::UnknownChannel(ours)));
    pair.pump();
    pair.assert_empty();
}

#[test]
fn both_sides_close_at_once() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    pair.a.machine.write(ours, Stream::Data, b"under way").unwrap();
    pair.b.machine.write(theirs, Stream::Data, b"under way").unwrap();
    pair.a.machine.close(ours).unwrap();
    pair.b.machine.close(theirs).unwrap();
    assert_eq!(
        pair.a.machine.channels(),
        1,
        "the number is not free before both have closed"
    );
    pair.pump();
    assert!(matches!(pair.a.taken()[..], [Event::Closed(_)]));
    assert!(matches!(pair.b.taken()[..], [Event::Closed(_)]));
    pair.assert_empty();
}

#[test]
fn a_close_in_the_middle_of_a_write_discards_what_is_under_way() {
    let mut pair = pair(open_house(), windows_of(200_000));
    let (ours, theirs) = pair.open();
    let bytes = pattern(1 << 20, 2);
    let taken = pair.a.machine.write(ours, Stream::Data, &bytes).unwrap();
    pair.b.machine.close(theirs).unwrap();
    pair.b.machine.close(theirs).unwrap();
    let out = pair.a.outgoing();
    pair.b.incoming(&out, pair.now);
    assert!(taken > 0 && pair.b.events.is_empty(), "{:?}", pair.b.events);
    assert_eq!(pair.b.machine.readable(theirs, Stream::Data), 0);
    pair.pump();
    assert_eq!(
        pair.a.machine.write(ours, Stream::Data, &bytes[taken..]),
        Err(Misuse::UnknownChannel(ours))
    );
    pair.assert_empty();
}

#[test]
fn a_channel_given_up_while_opening_is_closed_or_fails() {
    for accepted in [true, false] {
        let mut pair = pair(open_house(), open_house());
        let (id, opening) = ask(&mut pair, &ChannelType::Session);
        assert_eq!(
            pair.a.machine.request(id, &ChannelRequest::Shell, true),
            Err(Misuse::NotOpenYet(id))
        );
        assert_eq!(pair.a.machine.eof(id), Err(Misuse::NotOpenYet(id)));
        pair.a.machine.close(id).unwrap();
        if accepted {
            let theirs = pair.b.machine.accept(opening);
            pair.b.machine.write(theirs, Stream::Data, b"hello?").unwrap();
        } else {
            pair.b
                .machine
                .refuse(opening, OpenFailure::new(OpenFailureReason(4), ""));
        }
        pair.pump();
        let events = pair.a.taken();
        let ended = match &events[..] {
            [Event::Closed(closed)] => accepted && *closed == id,
            [Event::OpenFailed { id: failed, .. }] => !accepted && *failed == id,
            _ => false,
        };
        assert!(ended, "{events:?}");
        pair.assert_empty();
    }
}

#[test]
fn numbers_are_not_used_again_before_both_have_closed() {
    let mut siege = siege(open_house());
    let first = siege.open_as_peer(9, 100, 100);
    siege.a.machine.close(first).unwrap();
    let second = siege.open_as_peer(9, 100, 100);
    assert_ne!(first, second);
    // The first is closed on our side only: data for it is discarded, not taken for the second's.
    siege.send(&ChannelData {
        recipient: first.number(),
        data: b"late",
    });
    siege.send(&ChannelEof {
        recipient: first.number(),
    });
    siege.pump();
    assert!(siege.a.taken().is_empty());
    siege.send(&ChannelClose {
        recipient: first.number(),
    });
    siege.pump();
    assert!(matches!(siege.a.taken()[..], [Event::Closed(id)] if id == first));
    assert_eq!(siege.a.machine.channels(), 1);
}

#[test]
fn close_is_answered_once_and_without_being_asked() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(3, 100, 100);
    siege.send(&ChannelClose {
        recipient: id.number(),
    });
    let packets = siege.received();
    let [packet] = &packets[..] else {
        panic!("{packets:?}")
    };
    assert_eq!(packet.decode::<ChannelClose>().unwrap().recipient, 3);
    assert_eq!(siege.a.machine.close(id), Err(Misuse::UnknownChannel(id)));
    assert!(siege.received().is_empty());
}

#[test]
fn thousands_of_channels_at_once_each_carry_their_own() {
    const CHANNELS: u32 = 2_500;
    let mut pair = pair(open_house(), open_house());
    let mut ours = Vec::new();
    for number in 0..CHANNELS {
        ours.push(pair.a.machine.open(numbered(number)).unwrap());
        if number % 500 == 499 {
            pair.pump();
            for event in pair.b.taken() {
                let Event::Open(opening) = event else {
                    panic!("{event:?}")
                };
                let number = opening.channel_type().clone();
                let theirs = pair.b.machine.accept(opening);
                let greeting = format!("{number:?}");
                assert_eq!(
                    pair.b
                        .machine
                        .write(theirs, Stream::Data, greeting.as_bytes())
                        .unwrap(),
                    greeting.len()
                );
                pair.b.machine.eof(theirs).unwrap();
            }
            pair.pump();
        }
    }
    assert_eq!(pair.a.machine.channels(), 2_500);
    let budget = u64::from(CHANNELS) * 4_096 + (64 << 20);
    assert!(
        pair.a.machine.window_bytes() <= budget,
        "{}",
        pair.a.machine.window_bytes()
    );
    for (number, id) in ours.iter().enumerate() {
        let expected = format!("{:?}", numbered(u32::try_from(number).unwrap()));
        assert_eq!(drain(&mut pair.a, *id, Stream::Data), expected.as_bytes());
        pair.a.machine.close(*id).unwrap();
    }
    pair.pump();
    let closed = pair
        .b
        .taken()
        .iter()
        .filter(|event| matches!(event, Event::Closed(_)))
        .count();
    assert_eq!(closed, 2_500);
    pair.assert_empty();
}

#[test]
fn ten_thousand_channels_one_after_another_leave_nothing() {
    let mut pair = pair(open_house(), open_house());
    for round in 0..10_000_u32 {
        let (ours, theirs) = pair.open();
        assert_eq!(ours.number(), round);
        pair.a.machine.write(ours, Stream::Data, b"ping").unwrap();
        pair.pump();
        assert_eq!(drain(&mut pair.b, theirs, Stream::Data), b"ping");
        pair.b.machine.close(theirs).unwrap();
        pair.pump();
        pair.a.taken();
        pair.b.taken();
    }
    pair.assert_empty();
}

#[test]
fn the_confirmation_says_what_was_granted() {
    let mut siege = siege(Config {
        max_packet: 30_000,
        ..windows_of(12_345)
    });
    siege.send(&ChannelOpen {
        channel_type: "session",
        sender: 42,
        initial_window: 1,
        max_packet: 1,
        data: Rest(b""),
    });
    siege.pump();
    let Some(Event::Open(opening)) = siege.a.taken().pop() else {
        panic!("not asked")
    };
    let id = siege.a.machine.accept(opening);
    let packets = siege.received();
    let [packet] = &packets[..] else {
        panic!("{packets:?}")
    };
    assert_eq!(packet.number(), number::CHANNEL_OPEN_CONFIRMATION);
    let confirmation: ChannelOpenConfirmation<'_> = packet.decode().unwrap();
    assert_eq!((confirmation.recipient, confirmation.sender), (42, id.number()));
    assert_eq!(
        (confirmation.initial_window, confirmation.max_packet),
        (12_345, 30_000)
    );
}

#[test]
fn after_the_end_every_call_says_so() {
    let mut pair = pair(open_house(), open_house());
    let (ours, _) = pair.open();
    pair.a
        .machine
        .disconnect(ssh_channel::kex::DisconnectReason::ByApplication, "bye");
    assert_eq!(pair.a.machine.write(ours, Stream::Data, b"x"), Err(Misuse::Over));
    assert_eq!(pair.a.machine.open(ChannelType::Session), Err(Misuse::Over));
    assert_eq!(pair.a.machine.keepalive(), Err(Misuse::Over));
    assert_eq!(
        pair.a.machine.request(ours, &ChannelRequest::Shell, true),
        Err(Misuse::Over)
    );
    assert_eq!(pair.a.machine.eof(ours), Err(Misuse::Over));
    pair.a.machine.forget(ours);
    pair.pump();
    assert!(pair.a.error.is_none());
    assert!(
        matches!(&pair.b.error, Some(ssh_channel::Error::Below(_))),
        "{:?}",
        pair.b.error
    );
}
