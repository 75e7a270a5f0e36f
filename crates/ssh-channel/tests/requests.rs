//! Requests and their replies, about channels and about the connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{open_house, pair, siege};
use ssh_channel::messages::{
    ChannelClose, ChannelEof, ChannelFailure, ChannelOpenFailure, ChannelRequest as RequestMessage,
    ChannelSuccess, GlobalRequest as GlobalMessage, RequestFailure, RequestSuccess,
};
use ssh_channel::wire::{Rest, number};
use ssh_channel::{
    ChannelRequest, ChannelType, Config, EOW, Env, Event, Exec, GlobalReplyDue, GlobalRequest, KEEPALIVE,
    Limits, Misuse, NO_MORE_SESSIONS, OpenFailureReason, PtyReq, ReplyDue, Stream, Subsystem, TcpipForward,
    TerminalModes, WindowChange, bound_port, bound_port_reply, opcode,
};

/// The requests among events, with what they want.
fn requests(events: Vec<Event>) -> Vec<(ChannelRequest, Option<ReplyDue>)> {
    let each = |event| match event {
        Event::Request { request, reply, .. } => (request, reply),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(each).collect()
}

/// The replies among events.
fn replies(events: &[Event]) -> Vec<bool> {
    let each = |event: &Event| match event {
        Event::Reply { success, .. } => *success,
        other => panic!("{other:?}"),
    };
    events.iter().map(each).collect()
}

#[test]
fn requests_arrive_as_they_were_made() {
    let mut pair = pair(open_house(), open_house());
    let (ours, _) = pair.open();
    let sent: Vec<ChannelRequest> = vec![
        Env::new("LANG", "C").into(),
        PtyReq {
            terminal: "vt100".to_owned(),
            columns: 0,
            rows: u32::MAX,
            width_pixels: 0,
            height_pixels: 0,
            modes: TerminalModes::new([(opcode::ECHO, 1)]),
        }
        .into(),
        WindowChange::new(u32::MAX, 0).into(),
        Exec::new(vec![0xff; 100_000]).into(),
        Subsystem::new("sftp").into(),
        ChannelRequest::Shell,
        ChannelRequest::Eow,
    ];
    for (index, request) in sent.iter().enumerate() {
        pair.a.machine.request(ours, request, index % 2 == 0).unwrap();
    }
    pair.pump();
    for (index, (request, reply)) in requests(pair.b.taken()).into_iter().enumerate() {
        assert_eq!(request, sent[index]);
        assert_eq!(reply.is_some(), index % 2 == 0);
    }
}

#[test]
fn replies_leave_in_the_order_of_the_requests() {
    let mut pair = pair(open_house(), open_house());
    let (ours, _) = pair.open();
    for number in 0..5 {
        pair.a
            .machine
            .request(ours, &Env::new("N", number.to_string()).into(), true)
            .unwrap();
    }
    pair.pump();
    let mut due: Vec<ReplyDue> = requests(pair.b.taken())
        .into_iter()
        .filter_map(|(_, reply)| reply)
        .collect();
    // Answered last first, with the outcome of its own: 0 and 3 are granted.
    while let Some(reply) = due.pop() {
        pair.pump();
        assert!(pair.a.events.is_empty(), "the first is still unanswered");
        let success = due.len().is_multiple_of(3);
        pair.b.machine.answer(reply, success);
    }
    pair.pump();
    assert_eq!(replies(&pair.a.taken()), [true, false, false, true, false]);
}

#[test]
fn unknown_and_malformed_requests_fail_in_their_place() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(6, 0, 1);
    let long = vec![0; 200_000];
    for (request_type, want_reply, data) in [
        ("exec", true, &b"\0\0\0\x02ls"[..]),
        ("nobody@example.org", true, b"?"),
        ("nobody@example.org", false, b"?"),
        ("exec", true, b"\0\0\0\x02"),
        ("exec", true, b"\0\0\0\x02ls!"),
        ("shell", true, b"\0"),
        (
            "pty-req",
            true,
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x01\0",
        ),
        ("exec", true, &long),
        (KEEPALIVE, true, b"whatever"),
        (KEEPALIVE, false, b""),
        (EOW, true, b""),
    ] {
        siege.send(&RequestMessage {
            recipient: id.number(),
            request_type,
            want_reply,
            data: Rest(data),
        });
    }
    assert!(siege.received().is_empty(), "the first has not been answered");
    let mut heard = requests(siege.a.taken());
    let names: Vec<&str> = heard.iter().map(|(request, _)| request.name()).collect();
    assert_eq!(
        names,
        [
            "exec",
            "nobody@example.org",
            "nobody@example.org",
            "exec",
            "exec",
            "shell",
            "pty-req",
            EOW
        ]
    );
    let unknown = heard
        .iter()
        .filter(|(request, _)| matches!(request, ChannelRequest::Unknown { .. }));
    assert!(unknown.clone().count() == 6 && unknown.clone().all(|(_, reply)| reply.is_none()));
    siege.a.machine.answer(heard.remove(0).1.unwrap(), true);
    let numbers: Vec<u8> = siege.received().iter().map(|packet| packet.number()).collect();
    assert_eq!(numbers, [99, 100, 100, 100, 100, 100, 100, 99]);
    siege.a.machine.answer(heard.pop().unwrap().1.unwrap(), false);
    let packets = siege.received();
    assert_eq!(packets[0].decode::<ChannelFailure>().unwrap().recipient, 6);
    assert!(siege.a.error.is_none());
}

#[test]
fn unknown_requests_cannot_be_sent() {
    let mut pair = pair(open_house(), open_house());
    let (ours, _) = pair.open();
    let unknown = ChannelRequest::Unknown {
        name: "x@example.org".to_owned(),
        data: Vec::new(),
    };
    assert_eq!(
        pair.a.machine.request(ours, &unknown, true),
        Err(Misuse::NotSendable)
    );
    let unknown = GlobalRequest::Unknown {
        name: "x@example.org".to_owned(),
        data: Vec::new(),
    };
    assert_eq!(
        pair.a.machine.global_request(&unknown, true),
        Err(Misuse::NotSendable)
    );
    let long = Exec::new(vec![0; 300_000]).into();
    assert!(matches!(
        pair.a.machine.request(ours, &long, true),
        Err(Misuse::TooLong { bytes: 300_004, .. })
    ));
}

#[test]
fn our_own_requests_ahead_of_replies_are_limited() {
    let limits = Limits {
        replies_expected: 3,
        ..Limits::default()
    };
    let mut pair = pair(
        Config {
            limits,
            ..open_house()
        },
        open_house(),
    );
    let (ours, _) = pair.open();
    for _ in 0..3 {
        pair.a
            .machine
            .request(ours, &ChannelRequest::Shell, true)
            .unwrap();
        pair.a.machine.keepalive().unwrap();
    }
    assert_eq!(
        pair.a.machine.request(ours, &ChannelRequest::Shell, true),
        Err(Misuse::TooManyRequests { limit: 3 })
    );
    assert_eq!(
        pair.a.machine.keepalive(),
        Err(Misuse::TooManyRequests { limit: 3 })
    );
    pair.a
        .machine
        .request(ours, &ChannelRequest::Shell, false)
        .unwrap();
    pair.pump();
    pair.a.machine.keepalive().unwrap();
}

#[test]
fn replies_after_a_close_are_nobodys() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    pair.a
        .machine
        .request(ours, &ChannelRequest::Shell, true)
        .unwrap();
    pair.pump();
    let (_, reply) = requests(pair.b.taken()).remove(0);
    pair.b.machine.close(theirs).unwrap();
    pair.b.machine.answer(reply.unwrap(), true);
    pair.pump();
    assert!(matches!(pair.a.taken()[..], [Event::Closed(_)]));
    pair.assert_empty();

    // The other way round: whoever asked has closed before the answer comes.
    let (ours, _) = pair.open();
    pair.a
        .machine
        .request(ours, &ChannelRequest::Shell, true)
        .unwrap();
    pair.pump();
    let reply = pair.b.taken().into_iter().find_map(|event| match event {
        Event::Request { reply, .. } => reply,
        _ => None,
    });
    pair.a.machine.close(ours).unwrap();
    pair.b.machine.answer(reply.unwrap(), true);
    pair.pump();
    assert!(
        matches!(pair.a.taken()[..], [Event::Closed(_)]),
        "no reply for a channel that was let go"
    );
    pair.assert_empty();
}

#[test]
fn requests_after_our_close_are_passed_over() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(6, 0, 1);
    siege.a.machine.close(id).unwrap();
    for _ in 0..5_000 {
        siege.send(&RequestMessage {
            recipient: id.number(),
            request_type: "exec",
            want_reply: true,
            data: Rest(b"\0\0\0\x02ls"),
        });
    }
    siege.send(&ChannelEof {
        recipient: id.number(),
    });
    siege.send(&ChannelClose {
        recipient: id.number(),
    });
    assert_eq!(siege.received().len(), 1, "nothing but our CLOSE");
    assert!(matches!(siege.a.taken()[..], [Event::Closed(_)]));
}

/// The global requests among events.
fn global(events: Vec<Event>) -> Vec<(GlobalRequest, Option<GlobalReplyDue>)> {
    let each = |event| match event {
        Event::GlobalRequest { request, reply } => (request, reply),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(each).collect()
}

#[test]
fn global_requests_are_answered_in_order_with_what_they_yield() {
    let mut pair = pair(open_house(), open_house());
    pair.a
        .machine
        .global_request(&TcpipForward::new("", 0).into(), true)
        .unwrap();
    pair.a.machine.keepalive().unwrap();
    pair.a
        .machine
        .global_request(&TcpipForward::new("", 22).into(), true)
        .unwrap();
    pair.a
        .machine
        .global_request(&TcpipForward::new("", 23).into(), false)
        .unwrap();
    pair.pump();
    let mut heard = global(pair.b.taken());
    assert_eq!(heard.len(), 3, "the connection answers keepalives by itself");
    assert!(heard.pop().unwrap().1.is_none());
    pair.b
        .machine
        .answer_global(heard.pop().unwrap().1.unwrap(), None);
    pair.pump();
    assert!(pair.a.events.is_empty());
    pair.b
        .machine
        .answer_global(heard.pop().unwrap().1.unwrap(), Some(bound_port_reply(40_001)));
    pair.pump();
    match &pair.a.taken()[..] {
        [
            Event::GlobalReply(Some(port)),
            Event::KeepaliveReply,
            Event::GlobalReply(None),
        ] => {
            assert_eq!(bound_port(port), Some(40_001));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_and_malformed_global_requests_fail() {
    let mut siege = siege(open_house());
    let long = vec![0; 200_000];
    for (name, want_reply, data) in [
        ("hostkeys-00@openssh.com", false, &b"x"[..]),
        ("hostkeys-00@openssh.com", true, b"x"),
        ("tcpip-forward", true, b"\0"),
        ("tcpip-forward", true, &long),
        ("keepalive@openssh.com", true, b""),
    ] {
        siege.send(&GlobalMessage {
            name,
            want_reply,
            data: Rest(data),
        });
    }
    let numbers: Vec<u8> = siege.received().iter().map(|packet| packet.number()).collect();
    assert_eq!(numbers, [82, 82, 82, 81]);
    let heard = global(siege.a.taken());
    let unknown = |(request, reply): &(GlobalRequest, Option<GlobalReplyDue>)| {
        matches!(request, GlobalRequest::Unknown { .. }) && reply.is_none()
    };
    assert!(heard.len() == 3 && heard.iter().all(unknown));
}

#[test]
fn after_no_more_sessions_there_are_none() {
    let mut siege = siege(open_house());
    siege.open_as_peer(0, 1, 1);
    siege.send(&GlobalMessage {
        name: NO_MORE_SESSIONS,
        want_reply: true,
        data: Rest(b""),
    });
    assert_eq!(siege.received()[0].number(), number::REQUEST_SUCCESS);
    assert!(matches!(
        siege.a.taken()[..],
        [Event::GlobalRequest {
            request: GlobalRequest::NoMoreSessions,
            reply: None
        }]
    ));
    siege.send(&ssh_channel::messages::ChannelOpen {
        channel_type: "session",
        sender: 1,
        initial_window: 1,
        max_packet: 1,
        data: Rest(b""),
    });
    let packets = siege.received();
    let failure: ChannelOpenFailure<'_> = packets[0].decode().unwrap();
    assert_eq!(failure.reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED.0);
    assert_eq!(siege.a.machine.channels(), 1);
    assert!(
        siege.a.machine.open(ChannelType::Session).is_ok(),
        "what we open is another matter"
    );
}

#[test]
fn a_few_replies_to_nothing_are_passed_over() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(0, 1, 1);
    for _ in 0..16 {
        siege.send(&RequestSuccess { data: Rest(b"") });
        siege.send(&RequestFailure {});
        siege.send(&ChannelSuccess {
            recipient: id.number(),
        });
        siege.send(&ChannelFailure {
            recipient: id.number(),
        });
    }
    siege.pump();
    assert!(siege.a.taken().is_empty() && siege.a.error.is_none());
    // What is asked afterwards gets its own answer.
    siege.a.machine.request(id, &ChannelRequest::Shell, true).unwrap();
    siege.send(&ChannelSuccess {
        recipient: id.number(),
    });
    siege.pump();
    assert_eq!(replies(&siege.a.taken()), [true]);
}

#[test]
fn ten_thousand_window_changes_are_just_events() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    for size in 0..10_000 {
        pair.a
            .machine
            .request(ours, &WindowChange::new(size, size).into(), false)
            .unwrap();
        if size % 1_000 == 0 {
            pair.pump();
        }
    }
    pair.pump();
    assert_eq!(requests(pair.b.taken()).len(), 10_000);
    pair.b.machine.write(theirs, Stream::Data, b"still here").unwrap();
    pair.pump();
    assert!(matches!(pair.a.taken()[..], [Event::Readable(_, Stream::Data)]));
}
