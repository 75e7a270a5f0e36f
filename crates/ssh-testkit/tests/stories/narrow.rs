//! Windows and packets of the least size there is, and peers that do not read, do not pay, or shut the door.

use std::time::Duration;

use ssh_client::channel::{Event, Misuse, Stream};
use ssh_testkit::link::Feed;
use ssh_testkit::pair::Pair;

use super::{
    FEEDS, Way, assert_empty, carry, carry_both_ways, closed, open, pass, pump, take, with_channels,
};

#[test]
fn windows_of_one_byte_carry_everything_both_ways() {
    for feed in FEEDS {
        let mut setup = with_channels(|config| {
            config.window.initial = 1;
            config.window.max = 1;
        })
        .fed(feed);
        setup.latency = Duration::from_millis(1);
        let mut pair = setup.connect();
        let ids = super::rekeys::open_far(&mut pair);
        carry_both_ways(&mut pair, ids, 700, Duration::from_millis(1));
        pass(&mut pair, Duration::from_millis(10));
        let [client, server] = [(&pair.ends.client, ids.0), (&pair.ends.server, ids.1)];
        for (side, id) in [client, server] {
            assert_eq!(
                (side.receive_window(id), side.send_window(id)),
                (1, 1),
                "{feed:?}"
            );
            assert_eq!(side.window_bytes(), 1);
        }
    }
}

#[test]
fn packets_of_one_byte_carry_everything_both_ways() {
    for feed in FEEDS {
        let mut pair = with_channels(|config| config.max_packet = 1).fed(feed).connect();
        let ids = open(&mut pair);
        let before = pair.ends.up.count();
        // A packet with more than a byte would end the connection, as the side that offered them counts.
        carry_both_ways(&mut pair, ids, 3_000, Duration::ZERO);
        let packets = (pair.ends.up.count() - before) / 3_000;
        assert!(
            packets >= 32,
            "{packets} bytes for each byte: that is no packet for each"
        );
    }
}

#[test]
fn a_window_that_ends_with_a_packet_takes_exactly_that_packet() {
    for (window, packet) in [(32_768, 32_768), (65_536, 32_768), (32_769, 32_768), (100, 1)] {
        let mut pair = with_channels(|config| {
            config.window.initial = window;
            config.window.max = window;
            config.max_packet = packet;
        })
        .connect();
        let (ours, theirs) = open(&mut pair);
        let all = vec![7; window as usize];
        assert_eq!(pair.ends.client.write(ours, Stream::Data, &all), Ok(all.len()));
        assert_eq!(
            pair.ends.client.write(ours, Stream::Data, b"x"),
            Ok(0),
            "{window}"
        );
        pump(&mut pair);
        assert_eq!(pair.ends.server.readable(theirs, Stream::Data), all.len());
        assert_eq!(pair.ends.server.receive_window(theirs), 0);
        assert_eq!(take(&mut pair.ends.server, theirs), all);
        pump(&mut pair);
        assert!(
            pair.client_events
                .iter()
                .any(|event| matches!(event, Event::Writable(id) if *id == ours))
        );
        let credit = pair.ends.client.send_window(ours);
        assert!(
            credit > window / 2,
            "{credit} of {window}: what is owed is worth a message"
        );
    }
}

#[test]
fn small_packets_out_where_the_peer_takes_large_ones_and_the_other_way_round() {
    // The peer takes 256 KiB, ours are 32 KiB; and the peer takes 32 KiB, ours might be larger.
    for (ours, theirs) in [(32 * 1024, 255 * 1024), (255 * 1024, 32 * 1024)] {
        let mut setup = with_channels(|_| {});
        setup.client_connection.max_packet_out = ours;
        setup.server_connection.max_packet = theirs;
        let mut pair = setup.connect();
        let ids = open(&mut pair);
        carry_both_ways(&mut pair, ids, 2_000_000, Duration::ZERO);
    }
}

/// Fills the channel's window and shows that it ends there, while another channel and the connection go on.
fn fill_one_and_use_another(pair: &mut Pair) -> (Way, super::ChannelId, super::ChannelId) {
    let (ours, theirs) = open(pair);
    let mut way = Way::of(10_000_000, 3);
    for _ in 0..100 {
        way.write(&mut pair.ends.client, ours);
        pass(pair, Duration::from_secs(60));
    }
    let policy = pair.ends.server.window_bytes();
    assert_eq!(way.sent as u64, policy, "a window, and not a byte more");
    assert_eq!(pair.ends.client.send_window(ours), 0);
    let others = open(pair);
    let data = vec![9; 3_000_000];
    assert!(carry(pair, others.0, others.1, &data) == data);
    pair.ends.client.keepalive().unwrap();
    pair.client_events.clear();
    pump(pair);
    let alive = |event: &Event| matches!(event, Event::KeepaliveReply);
    assert!(pair.client_events.iter().any(alive));
    pair.ends.client.close(others.0).unwrap();
    pump(pair);
    (way, ours, theirs)
}

#[test]
fn a_peer_that_never_reads_gets_a_window_and_holds_up_nobody() {
    for feed in [Feed::Whole, Feed::Cuts(5_000)] {
        let mut pair = with_channels(|_| {}).fed(feed).connect();
        let (mut way, ours, theirs) = fill_one_and_use_another(&mut pair);
        // Then it reads after all, and nothing is missing.
        while !way.is_done() {
            let before = way.arrived.len();
            way.read(&mut pair.ends.server, theirs);
            pump(&mut pair);
            assert!(way.arrived.len() > before);
            way.write(&mut pair.ends.client, ours);
            pump(&mut pair);
        }
    }
}

#[test]
fn a_peer_that_reads_and_never_credits_gets_a_window_and_holds_up_nobody() {
    let mut pair = with_channels(|_| {}).connect();
    let (mut way, ours, theirs) = fill_one_and_use_another(&mut pair);
    while let Some(chunk) = pair.ends.server.read(theirs, Stream::Data, usize::MAX) {
        way.arrived.extend_from_slice(&chunk);
    }
    pass(&mut pair, Duration::from_secs(3_600));
    assert!(!way.is_done());
    assert_eq!(way.arrived.len(), way.sent, "what was sent was read");
    assert_eq!(way.write(&mut pair.ends.client, ours), 0, "nobody paid for it");
    // The writer has had enough: nothing stays behind.
    pair.ends.client.close(ours).unwrap();
    pump(&mut pair);
    assert_empty(&pair);
}

#[test]
fn a_peer_that_closes_in_the_middle_of_a_write_ends_that_channel_only() {
    for feed in FEEDS {
        let mut pair = with_channels(|config| {
            config.window.initial = 100_000;
            config.window.max = 100_000;
        })
        .fed(feed)
        .connect();
        let others = open(&mut pair);
        let (ours, theirs) = open(&mut pair);
        let mut way = Way::of(400_000, 5);
        assert!(way.write(&mut pair.ends.client, ours) > 0);
        pump(&mut pair);
        way.read(&mut pair.ends.server, theirs);
        pump(&mut pair);
        // Half a packet is written and under way when the door shuts.
        assert!(way.write(&mut pair.ends.client, ours) > 0);
        pair.ends.server.close(theirs).unwrap();
        pump(&mut pair);
        assert_eq!(closed(&mut pair), [1, 1], "{feed:?}");
        let refused = pair.ends.client.write(ours, Stream::Data, b"more");
        assert_eq!(refused, Err(Misuse::UnknownChannel(ours)));
        assert!(!way.is_done());
        let data = vec![1; 300_000];
        assert!(carry(&mut pair, others.0, others.1, &data) == data);
        pair.ends.server.close(others.1).unwrap();
        pump(&mut pair);
        assert_empty(&pair);
    }
}
