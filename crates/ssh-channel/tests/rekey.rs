//! Keys change while channels work: nothing is lost, nothing leaves out of order, nothing piles up without bound.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{End, Pair, drain, open_house, pair, pattern, siege, windows_of};
use ssh_channel::messages::{ChannelClose, ChannelOpen, ChannelRequest as RequestMessage, GlobalRequest};
use ssh_channel::wire::{Message, Rest, number};
use ssh_channel::{
    ChannelRequest, ChannelType, Connection, Env, Error, Event, Exec, KEEPALIVE, Misbehaviour, Misuse,
    Stream, limits,
};

fn rekeyed(end: &mut End<Connection>) -> usize {
    end.taken()
        .iter()
        .filter(|event| matches!(event, Event::Rekeyed))
        .count()
}

/// `a` has asked for new keys and knows of no answer yet.
fn begin(pair: &mut Pair) {
    let now = pair.now;
    pair.a.machine.start_rekey(now);
    assert!(pair.a.machine.session().is_changing_keys());
}

#[test]
fn both_windows_are_full_and_both_sides_ask_for_new_keys() {
    let mut pair = pair(windows_of(100_000), windows_of(100_000));
    let (ours, theirs) = pair.open();
    let (up, down) = (pattern(1_000_000, 1), pattern(1_000_000, 2));
    let (mut sent_up, mut sent_down) = (0, 0);
    let (mut at_theirs, mut at_ours) = (Vec::new(), Vec::new());
    let mut rounds = 0;
    while at_theirs.len() < up.len() || at_ours.len() < down.len() {
        // Both write until their windows are shut, nobody reads, and only then the keys change.
        while sent_up < up.len() && pair.a.machine.send_window(ours) > 0 {
            sent_up += pair.a.machine.write(ours, Stream::Data, &up[sent_up..]).unwrap();
            pair.pump();
        }
        while sent_down < down.len() && pair.b.machine.send_window(theirs) > 0 {
            sent_down += pair
                .b
                .machine
                .write(theirs, Stream::Data, &down[sent_down..])
                .unwrap();
            pair.pump();
        }
        let now = pair.now;
        match rounds % 3 {
            0 => pair.a.machine.start_rekey(now),
            1 => pair.b.machine.start_rekey(now),
            _ => {
                pair.a.machine.start_rekey(now);
                pair.b.machine.start_rekey(now);
            }
        }
        // Credit falls due while the keys change.
        at_theirs.extend(drain(&mut pair.b, theirs, Stream::Data));
        at_ours.extend(drain(&mut pair.a, ours, Stream::Data));
        pair.pump();
        assert_eq!((rekeyed(&mut pair.a), rekeyed(&mut pair.b)), (1, 1));
        rounds += 1;
    }
    assert!(
        at_theirs == up && at_ours == down && rounds >= 10,
        "{rounds} rounds"
    );
}

#[test]
fn data_waits_for_the_new_keys() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    begin(&mut pair);
    assert_eq!(pair.a.machine.write(ours, Stream::Data, b"patience"), Ok(0));
    pair.pump();
    let events = pair.a.taken();
    assert!(
        matches!(events[..], [Event::Rekeyed, Event::Writable(id)] if id == ours),
        "{events:?}"
    );
    assert_eq!(pair.a.machine.write(ours, Stream::Data, b"patience"), Ok(8));
    pair.pump();
    assert_eq!(drain(&mut pair.b, theirs, Stream::Data), b"patience");
}

#[test]
fn control_messages_keep_their_order_across_the_change() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    pair.a.machine.write(ours, Stream::Data, b"first").unwrap();
    begin(&mut pair);
    pair.a
        .machine
        .request(ours, &Env::new("A", "B").into(), true)
        .unwrap();
    pair.a.machine.eof(ours).unwrap();
    let second = pair.a.machine.open(ChannelType::Session).unwrap();
    pair.a
        .machine
        .request(ours, &ChannelRequest::Shell, false)
        .unwrap();
    pair.a.machine.close(ours).unwrap();
    pair.pump();
    let events = pair.b.taken();
    match &events[..] {
        [
            Event::Readable(..),
            Event::Rekeyed,
            Event::Request { reply: Some(_), .. },
            Event::Eof(_),
            Event::Open(_),
            Event::Request { reply: None, .. },
            Event::Closed(_),
        ] => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(drain(&mut pair.b, theirs, Stream::Data), b"first");
    assert_ne!(second, ours);
}

#[test]
fn thousands_of_channels_close_while_the_keys_change() {
    let mut pair = pair(open_house(), open_house());
    let mut channels = Vec::new();
    for _ in 0..2_500 {
        channels.push(pair.open());
    }
    for (ours, theirs) in &channels {
        pair.b.machine.write(*theirs, Stream::Data, &[1; 4_096]).unwrap();
        if ours.number() % 32 == 0 {
            pair.pump();
        }
    }
    pair.pump();
    begin(&mut pair);
    for (ours, _) in &channels {
        drain(&mut pair.a, *ours, Stream::Data);
        pair.a.machine.eof(*ours).unwrap();
        pair.a.machine.close(*ours).unwrap();
    }
    pair.pump();
    assert_eq!(rekeyed(&mut pair.a), 1);
    pair.assert_empty();
}

#[test]
fn what_the_application_asks_for_is_refused_when_too_much_waits() {
    let mut pair = pair(open_house(), open_house());
    let (ours, _) = pair.open();
    begin(&mut pair);
    let exec = Exec::new(vec![b'x'; 100_000]).into();
    for _ in 0..3 {
        pair.a.machine.request(ours, &exec, false).unwrap();
    }
    assert_eq!(pair.a.machine.request(ours, &exec, false), Err(Misuse::Busy));
    assert_eq!(pair.a.machine.open(ChannelType::Session), Err(Misuse::Busy));
    assert_eq!(pair.a.machine.keepalive(), Err(Misuse::Busy));
    pair.a.machine.eof(ours).unwrap();
    pair.pump();
    let heard = pair.b.taken();
    assert!(
        matches!(&heard[..], [Event::Rekeyed, .., Event::Eof(_)]) && heard.len() == 5,
        "{}",
        heard.len()
    );
    pair.a.machine.request(ours, &exec, false).unwrap();
}

#[test]
fn what_a_peer_asks_before_it_knows_is_answered_afterwards() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(5, 0, 1);
    for sender in 0..1_000 {
        siege
            .b
            .machine
            .send(&ChannelOpen {
                channel_type: "x11",
                sender,
                initial_window: 0,
                max_packet: 1,
                data: Rest(b""),
            })
            .unwrap();
    }
    for _ in 0..1_000 {
        siege
            .b
            .machine
            .send(&RequestMessage {
                recipient: id.number(),
                request_type: "x11-req",
                want_reply: true,
                data: Rest(b""),
            })
            .unwrap();
    }
    siege
        .b
        .machine
        .send(&ChannelClose {
            recipient: id.number(),
        })
        .unwrap();
    let asked = siege.b.outgoing();
    let now = siege.now;
    siege.a.machine.start_rekey(now);
    siege.a.incoming(&asked, now);
    let packets = siege.received();
    assert_eq!(siege.a.error, None);
    let count = |wanted: u8| packets.iter().filter(|packet| packet.number() == wanted).count();
    assert_eq!(count(number::CHANNEL_OPEN_FAILURE), 1_000);
    assert_eq!(count(number::CHANNEL_FAILURE), 1_000);
    assert_eq!(
        packets.last().map(|packet| packet.number()),
        Some(number::CHANNEL_CLOSE)
    );
}

/// What a peer asks for while the keys change, with so many channels open, and what becomes of it.
fn asked_while_keys_change(channels: u32, times: usize, message: &impl Message) -> Option<Error> {
    let mut siege = siege(open_house());
    for sender in 0..channels {
        siege.open_as_peer(sender, 0, 1);
    }
    for _ in 0..times {
        siege.b.machine.send(message).unwrap();
    }
    let (asked, now) = (siege.b.outgoing(), siege.now);
    siege.a.machine.start_rekey(now);
    siege.a.incoming(&asked, now);
    siege.a.error
}

#[test]
fn answers_due_while_keys_change_are_bounded() {
    let keepalive = GlobalRequest {
        name: KEEPALIVE,
        want_reply: true,
        data: Rest(b""),
    };
    let request = RequestMessage {
        recipient: 0,
        request_type: "x11-req",
        want_reply: true,
        data: Rest(b""),
    };
    // An answer is a number, or a number and a channel, behind its length.
    for channels in [0, 1, 100] {
        let limit = limits::owed_limit(channels as usize);
        assert_eq!(limit, 64 * 1024 + 128 * channels as usize);
        let most = limit / 5;
        assert_eq!(asked_while_keys_change(channels, most, &keepalive), None);
        let expected = Some(Misbehaviour::TooManyAnswersDue { limit }.into());
        assert_eq!(asked_while_keys_change(channels, most + 1, &keepalive), expected);
        if channels > 0 {
            assert_eq!(asked_while_keys_change(channels, limit / 9, &request), None);
            assert_eq!(
                asked_while_keys_change(channels, limit / 9 + 1, &request),
                expected
            );
        }
    }
}
