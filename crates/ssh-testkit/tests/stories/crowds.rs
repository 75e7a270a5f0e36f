//! Many channels at once: ten thousand that are open, a hundred under changes of keys, and one that stands still among
//! them.

use std::time::Duration;

use ssh_client::channel::{ChannelId, ChannelType, Event, Stream};
use ssh_client::kex::RekeyPolicy;
use ssh_testkit::pair::{Pair, Setup};

use super::{Way, assert_empty, pass, pump, take, with_channels};

/// So many channels, opened at once: their numbers on both sides.
fn open_many(pair: &mut Pair, count: usize) -> Vec<(ChannelId, ChannelId)> {
    let ours: Vec<ChannelId> = (0..count)
        .map(|_| pair.ends.client.open(ChannelType::Session).unwrap())
        .collect();
    let mut theirs = Vec::new();
    while theirs.len() < count {
        pass(pair, Duration::from_millis(200));
        let before = theirs.len();
        for event in pair.server_events.drain(..) {
            if let Event::Open(opening) = event {
                theirs.push(pair.ends.server.accept(opening));
            }
        }
        assert!(theirs.len() > before, "opens were lost");
    }
    pass(pair, Duration::from_millis(200));
    let confirmed = |event: &Event| matches!(event, Event::Opened(_));
    assert_eq!(pair.client_events.drain(..).filter(confirmed).count(), count);
    ours.into_iter().zip(theirs).collect()
}

fn close_all(pair: &mut Pair, ids: &[(ChannelId, ChannelId)]) {
    for (at, (ours, theirs)) in ids.iter().enumerate() {
        if at % 2 == 0 {
            pair.ends.client.close(*ours).unwrap();
        } else {
            pair.ends.server.close(*theirs).unwrap();
        }
    }
    let mut heard = [0; 2];
    for _ in 0..20 {
        pass(pair, Duration::from_millis(200));
        let [client, server] = super::closed(pair);
        heard = [heard[0] + client, heard[1] + server];
    }
    assert_eq!(heard, [ids.len(); 2]);
    assert_empty(pair);
}

#[test]
fn ten_thousand_channels_are_open_at_once() {
    let mut setup = Setup::default();
    setup.server_connection.limits.pending_opens = 10_000;
    let mut pair = setup.connect();
    let ids = open_many(&mut pair, 10_000);
    assert_eq!(pair.ends.server.channels(), 10_000);
    let budget = Setup::default().server_connection.window.budget;
    assert!(pair.ends.server.window_bytes() <= budget + 10_000 * 4 * 1024);
    for (at, (ours, _)) in ids.iter().enumerate() {
        let bytes = at.to_be_bytes();
        assert_eq!(
            pair.ends.client.write(*ours, Stream::Data, &bytes),
            Ok(bytes.len())
        );
        if at % 1_000 == 0 {
            pump(&mut pair);
        }
    }
    pump(&mut pair);
    for (at, (_, theirs)) in ids.iter().enumerate() {
        assert_eq!(take(&mut pair.ends.server, *theirs), at.to_be_bytes());
    }
    pump(&mut pair);
    pair.client_events.clear();
    pair.server_events.clear();
    close_all(&mut pair, &ids);
}

/// Keys change by the least limits there are, both sides' at once, while a hundred channels send both ways and pings
/// go to and fro.
#[test]
fn a_hundred_channels_and_pings_go_on_under_changes_of_keys() {
    let seldom = RekeyPolicy::AS_SELDOM_AS_POSSIBLE;
    let limit = |bytes| RekeyPolicy { bytes, ..seldom };
    let each_second = RekeyPolicy {
        time: Some(Duration::from_secs(1)),
        ..seldom
    };
    for (policy, bytes) in [
        (limit(16), 60_000),
        (limit(1024), 60_000),
        (limit(1 << 20), 100_000),
        (each_second, 30_000),
    ] {
        let mut setup = with_channels(|config| {
            config.window.initial = 20_000;
            config.window.max = 20_000;
        });
        setup.latency = Duration::from_millis(100);
        for side in [&mut setup.client, &mut setup.server] {
            side.preferences.edit_kex("curve25519-sha256").unwrap();
            side.rekey = policy;
        }
        let mut pair = setup.connect();
        let ids = open_many(&mut pair, 100);
        let mut ways: Vec<[Way; 2]> = (0..100)
            .map(|at| [Way::of(bytes, at), Way::of(bytes, !at)])
            .collect();
        let (mut rekeys, mut pings, mut pongs) = (0, 0, 0);
        while !ways.iter().flatten().all(Way::is_done) {
            for ((ours, theirs), [up, down]) in ids.iter().zip(&mut ways) {
                up.write(&mut pair.ends.client, *ours);
                down.write(&mut pair.ends.server, *theirs);
                up.read(&mut pair.ends.server, *theirs);
                down.read(&mut pair.ends.client, *ours);
            }
            // With 16 bytes for each key a ping uses up all of one, and so does its answer.
            pings += usize::from(pair.ends.client.ping(b"there?").is_ok());
            let _ = pair.ends.server.ping(b"and there?");
            pass(&mut pair, Duration::from_millis(150));
            for event in pair.client_events.drain(..) {
                rekeys += usize::from(matches!(event, Event::Rekeyed));
                pongs += usize::from(matches!(event, Event::Pong(_)));
            }
            pair.server_events.clear();
        }
        pass(&mut pair, Duration::from_millis(900));
        let late = pair.client_events.drain(..);
        pongs += late.filter(|event| matches!(event, Event::Pong(_))).count();
        assert!(rekeys >= 2, "{policy:?}: {rekeys}");
        assert_eq!(pings, pongs, "{policy:?}");
        pair.server_events.clear();
        pass(&mut pair, Duration::from_millis(900));
        pair.client_events.clear();
        pair.server_events.clear();
        close_all(&mut pair, &ids);
    }
}

/// What ninety-nine channels get through a wire of a fixed width in a fixed time, while the hundredth reads or does not.
fn share_of_the_others(is_stalled: bool) -> usize {
    let mut pair = Setup::default().connect();
    let ids = open_many(&mut pair, 100);
    let block = vec![7; 256 * 1024];
    let mut others = 0;
    // In each tick the wire carries what one full outbox holds.
    for _ in 0..400 {
        for (ours, _) in &ids {
            let _ = pair.ends.client.write(*ours, Stream::Data, &block).unwrap();
        }
        pump(&mut pair);
        for (at, (_, theirs)) in ids.iter().enumerate() {
            if at > 0 {
                others += take(&mut pair.ends.server, *theirs).len();
            } else if !is_stalled {
                take(&mut pair.ends.server, *theirs);
            }
        }
        pair.client_events.clear();
        pair.server_events.clear();
    }
    let held = pair.ends.server.readable(ids[0].1, Stream::Data);
    assert!(!is_stalled || (held > 0 && pair.ends.client.send_window(ids[0].0) == 0));
    if is_stalled {
        // It reads at last: nothing was lost on the way, and it goes on.
        let mut late = take(&mut pair.ends.server, ids[0].1).len();
        assert_eq!(late, held);
        pump(&mut pair);
        assert!(pair.ends.client.write(ids[0].0, Stream::Data, &block).unwrap() > 0);
        pump(&mut pair);
        late += take(&mut pair.ends.server, ids[0].1).len();
        assert!(late > held);
    }
    others
}

#[test]
fn one_stalled_channel_of_a_hundred_costs_the_others_less_than_a_tenth() {
    let (free, stalled) = (share_of_the_others(false), share_of_the_others(true));
    assert!(free > 30 << 20, "the wire was idle: {free} bytes");
    assert!(stalled * 10 > free * 9, "{stalled} bytes beside {free}");
}
