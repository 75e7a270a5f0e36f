//! Stories on the in-memory pair: whole connections, fed whole, byte by byte and in random cuts, under a virtual clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

use std::time::Duration;

use ssh_client::channel::{
    ChannelId, ChannelRequest, ChannelType, Connection, Event, Exec, ExitStatus, Stream,
};
use ssh_client::kex::RekeyPolicy;
use ssh_testkit::link::Feed;
use ssh_testkit::pair::{Pair, Setup};

const FEEDS: [Feed; 3] = [Feed::Whole, Feed::Bytes, Feed::Cuts(100)];

/// An open session channel: its number on both sides.
fn open(pair: &mut Pair) -> (ChannelId, ChannelId) {
    let ours = pair.ends.client.open(ChannelType::Session).unwrap();
    pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
    let opening = pair.server_events.drain(..).find_map(|event| match event {
        Event::Open(opening) => Some(opening),
        _ => None,
    });
    let theirs = pair.ends.server.accept(opening.unwrap());
    pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
    assert!(
        pair.client_events
            .drain(..)
            .any(|event| matches!(event, Event::Opened(id) if id == ours))
    );
    (ours, theirs)
}

/// Everything that lies in a channel's inbox, with credit given back.
fn take(side: &mut Connection, id: ChannelId) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = side.read(id, Stream::Data, usize::MAX) {
        side.consumed(id, chunk.len());
        all.extend_from_slice(&chunk);
    }
    all
}

/// Moves `data` from the client to the server and gives back what arrived.
fn carry(pair: &mut Pair, from: ChannelId, to: ChannelId, data: &[u8]) -> Vec<u8> {
    let mut arrived = Vec::new();
    let mut sent = 0;
    while arrived.len() < data.len() {
        sent += pair.ends.client.write(from, Stream::Data, &data[sent..]).unwrap();
        pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
        let more = take(&mut pair.ends.server, to);
        let credit = pair.ends.client.send_window(from);
        assert!(
            !more.is_empty() || sent < data.len() || credit > 0,
            "nothing moves"
        );
        arrived.extend_from_slice(&more);
    }
    arrived
}

#[test]
fn a_command_runs_and_ends() {
    for feed in FEEDS {
        let mut pair = Setup::default().fed(feed).connect();
        let (ours, theirs) = open(&mut pair);
        pair.ends
            .client
            .request(ours, &Exec::new("make").into(), true)
            .unwrap();
        pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
        let Some(Event::Request {
            request: ChannelRequest::Exec(exec),
            reply: Some(reply),
            ..
        }) = pair.server_events.pop_front()
        else {
            panic!("no exec arrived")
        };
        assert_eq!(exec.command, b"make");
        pair.ends.server.answer(reply, true);
        pair.ends.server.write(theirs, Stream::Data, b"out").unwrap();
        pair.ends.server.write(theirs, Stream::Stderr, b"err").unwrap();
        pair.ends
            .server
            .request(theirs, &ExitStatus { status: 7 }.into(), false)
            .unwrap();
        pair.ends.server.eof(theirs).unwrap();
        pair.ends.server.close(theirs).unwrap();
        pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(take(&mut pair.ends.client, ours), b"out");
        assert_eq!(pair.ends.client.read(ours, Stream::Stderr, 9).unwrap(), "err");
        let events: Vec<String> = pair
            .client_events
            .drain(..)
            .map(|event| format!("{event:?}"))
            .collect();
        let place = |word: &str| {
            events
                .iter()
                .position(|event| event.contains(word))
                .unwrap_or(usize::MAX)
        };
        assert!(
            place("Reply") < place("Readable") && place("ExitStatus") < place("Closed"),
            "{events:#?}"
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story_to_the_byte() {
    let told = |seed| {
        let mut ends = Setup {
            seed,
            ..Setup::default()
        }
        .handshakes();
        ends.up.records = true;
        let _ = ends.settle(
            &mut |layer, event| {
                if let ssh_client::kex::HandshakeEvent::HostKey(offer) = event {
                    layer.answer(offer.accept());
                }
            },
            &mut |_, _| {},
        );
        ends.up.carried
    };
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}

#[test]
fn data_survives_a_rekey_every_few_packets_in_every_way_of_cutting() {
    for feed in FEEDS {
        let mut setup = Setup::default().fed(feed);
        setup.client.rekey = RekeyPolicy {
            bytes: 64 * 1024,
            ..RekeyPolicy::default()
        };
        setup.server.rekey = RekeyPolicy {
            bytes: 100_000,
            ..RekeyPolicy::default()
        };
        let mut pair = setup.connect();
        let (ours, theirs) = open(&mut pair);
        let data: Vec<u8> = (0..1_000_000_u32)
            .map(|index| index.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
            .collect();
        assert!(carry(&mut pair, ours, theirs, &data) == data, "{feed:?}");
        let rekeys = pair
            .client_events
            .iter()
            .filter(|event| matches!(event, Event::Rekeyed))
            .count();
        // The outbox takes 256 KiB before anything is sent: keys change at least that often.
        assert!(rekeys >= 3, "{feed:?}: only {rekeys} rekeys");
    }
}

#[test]
fn compressed_data_survives_a_rekey_every_few_packets_in_every_way_of_cutting() {
    for feed in FEEDS {
        let mut setup = Setup::default().fed(feed);
        for config in [&mut setup.client, &mut setup.server] {
            config.preferences.edit_compression("zlib@openssh.com").unwrap();
        }
        setup.client.rekey = RekeyPolicy {
            bytes: 64 * 1024,
            ..RekeyPolicy::default()
        };
        let mut pair = setup.connect();
        let (ours, theirs) = open(&mut pair);
        // Every other stretch shrinks to nothing.
        let data: Vec<u8> = (0..1_000_000_u32)
            .map(|index| match index / 50_000 % 2 {
                0 => index
                    .wrapping_mul(0x9e37_79b9)
                    .rotate_left(index / 256)
                    .to_be_bytes()[0],
                _ => b'-',
            })
            .collect();
        pair.ends.up.records = true;
        // In pieces: keys change by bytes on the wire, once these have left.
        for piece in data.chunks(100_000) {
            assert!(carry(&mut pair, ours, theirs, piece) == piece, "{feed:?}");
        }
        let carried = pair.ends.up.carried.len();
        assert!(carried < 700_000, "{feed:?}: {carried} bytes on the wire");
        let rekeyed = |event: &&Event| matches!(event, Event::Rekeyed);
        assert!(pair.client_events.iter().filter(rekeyed).count() >= 3, "{feed:?}");
    }
}

#[test]
fn keys_change_by_the_clock_for_a_day() {
    let hour = Duration::from_secs(3600);
    let mut setup = Setup::default();
    setup.client.rekey = RekeyPolicy {
        time: Some(hour),
        ..RekeyPolicy::default()
    };
    let mut pair = setup.connect();
    pair.pass(24 * hour + Duration::from_secs(60))
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    let rekeys = pair
        .client_events
        .iter()
        .filter(|event| matches!(event, Event::Rekeyed))
        .count();
    assert_eq!(rekeys, 24);
}

#[test]
fn a_long_way_changes_nothing_but_the_time() {
    let mut pair = Setup {
        latency: Duration::from_millis(50),
        ..Setup::default()
    }
    .connect();
    let begin = pair.ends.clock.now();
    let ours = pair.ends.client.open(ChannelType::Session).unwrap();
    pair.pass(Duration::from_millis(60))
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    let Some(Event::Open(opening)) = pair.server_events.pop_front() else {
        panic!("no open arrived")
    };
    pair.ends.server.accept(opening);
    pair.pass(Duration::from_millis(60))
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    assert!(
        pair.client_events
            .drain(..)
            .any(|event| matches!(event, Event::Opened(id) if id == ours))
    );
    assert_eq!(pair.ends.clock.now() - begin, Duration::from_millis(120));
}

#[test]
fn a_cable_cut_in_the_middle_leaves_a_prefix() {
    let mut pair = Setup::default().connect();
    let (ours, theirs) = open(&mut pair);
    pair.ends.up.cut_after = Some(pair.ends.up.count() + 100_000);
    let data = vec![5; 300_000];
    let mut sent = 0;
    let mut arrived = Vec::new();
    for _ in 0..20 {
        sent += pair.ends.client.write(ours, Stream::Data, &data[sent..]).unwrap();
        pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
        arrived.extend(take(&mut pair.ends.server, theirs));
    }
    assert!(!arrived.is_empty() && arrived.len() < 100_000);
    assert!(data.starts_with(&arrived));
}
