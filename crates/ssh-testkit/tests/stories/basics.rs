//! The plain course of things.

use std::time::Duration;

use ssh_client::channel::{ChannelRequest, ChannelType, Event, Exec, ExitStatus, Stream};
use ssh_testkit::pair::Setup;

use super::{FEEDS, open, take};

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
