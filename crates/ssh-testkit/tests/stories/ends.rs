//! Halves and ends of channels: EOF, CLOSE, what may come after them, and both sides at once.

use std::time::Duration;

use ssh_client::channel::{ChannelId, ChannelRequest, Event, ExitStatus, Stream};
use ssh_client::kex::DisconnectReason;
use ssh_testkit::pair::{Fault, Pair, Setup};

use super::{FEEDS, Way, assert_empty, closed, open, pass, pump, take};

/// The server's data to the client until all has arrived.
fn carry_down(pair: &mut Pair, (ours, theirs): (ChannelId, ChannelId), bytes: usize) {
    let mut way = Way::of(bytes, 8);
    while !way.is_done() {
        way.write(&mut pair.ends.server, theirs);
        pump(pair);
        let before = way.arrived.len();
        way.read(&mut pair.ends.client, ours);
        pump(pair);
        assert!(way.arrived.len() > before, "it stands still");
    }
}

#[test]
fn a_hundred_megabytes_come_after_the_clients_eof() {
    let mut pair = Setup::default().connect();
    let ids = open(&mut pair);
    pair.ends.client.eof(ids.0).unwrap();
    pump(&mut pair);
    assert!(pair.ends.server.is_eof(ids.1));
    carry_down(&mut pair, ids, 100 << 20);
    assert!(!pair.ends.client.is_eof(ids.0));
    pair.ends.server.eof(ids.1).unwrap();
    pair.ends.server.close(ids.1).unwrap();
    pump(&mut pair);
    assert_eq!(closed(&mut pair), [1, 1]);
    assert_empty(&pair);
}

#[test]
fn an_exit_status_may_come_anywhere_and_takes_no_output_with_it() {
    // Before the last data; after it; after EOF.
    for place in 0..3 {
        for feed in FEEDS {
            let mut pair = Setup::default().fed(feed).connect();
            let (ours, theirs) = open(&mut pair);
            let server = &mut pair.ends.server;
            let status: ChannelRequest = ExitStatus { status: 9 }.into();
            server.write(theirs, Stream::Data, b"first ").unwrap();
            for (at, last) in (0..).zip([true, false, false]) {
                if at == place {
                    server.request(theirs, &status, false).unwrap();
                }
                if last {
                    server.write(theirs, Stream::Stderr, b"worst ").unwrap();
                    server.write(theirs, Stream::Data, b"last").unwrap();
                } else if at == 1 {
                    server.eof(theirs).unwrap();
                }
            }
            server.close(theirs).unwrap();
            pump(&mut pair);
            let heard = |event: &Event| matches!(event, Event::Request { request: ChannelRequest::ExitStatus(exit), .. } if exit.status == 9);
            assert!(pair.client_events.iter().any(heard), "{place}, {feed:?}");
            assert_eq!(take(&mut pair.ends.client, ours), b"first last");
            let worst = pair.ends.client.read(ours, Stream::Stderr, 99);
            assert_eq!(worst.as_deref(), Some(&b"worst "[..]));
            assert_empty(&pair);
        }
    }
}

#[test]
fn a_close_without_eof_lets_everything_before_it_be_read() {
    for feed in FEEDS {
        let mut pair = Setup::default().fed(feed).connect();
        let (ours, theirs) = open(&mut pair);
        let mut way = Way::of(200_000, 1);
        way.write(&mut pair.ends.server, theirs);
        assert_eq!(way.sent, 200_000, "it fits into the window");
        pair.ends.server.close(theirs).unwrap();
        pass(&mut pair, Duration::from_secs(60));
        assert_eq!(closed(&mut pair), [1, 1]);
        way.read(&mut pair.ends.client, ours);
        assert!(way.is_done(), "{feed:?}");
        assert_empty(&pair);
    }
}

#[test]
fn both_sides_end_a_channel_at_once() {
    for feed in FEEDS {
        for (eof_first, reads) in [(false, false), (true, false), (true, true), (false, true)] {
            let setup = Setup {
                latency: Duration::from_millis(10),
                ..Setup::default().fed(feed)
            };
            let mut pair = setup.connect();
            let (ours, theirs) = super::rekeys::open_far(&mut pair);
            for (side, id) in [(&mut pair.ends.client, ours), (&mut pair.ends.server, theirs)] {
                assert_eq!(side.write(id, Stream::Data, &[1; 50_000]), Ok(50_000));
                if eof_first {
                    side.eof(id).unwrap();
                }
            }
            if reads {
                pass(&mut pair, Duration::from_secs(1));
                assert_eq!(take(&mut pair.ends.client, ours).len(), 50_000);
                assert_eq!(take(&mut pair.ends.server, theirs).len(), 50_000);
            }
            for (side, id) in [(&mut pair.ends.client, ours), (&mut pair.ends.server, theirs)] {
                side.close(id).unwrap();
            }
            pass(&mut pair, Duration::from_secs(1));
            assert_eq!(closed(&mut pair), [1, 1], "{feed:?}: each hears it once");
            assert_empty(&pair);
        }
    }
}

#[test]
fn both_sides_say_goodbye_at_once() {
    for feed in FEEDS {
        let mut pair = Setup::default().fed(feed).connect();
        let (ours, theirs) = open(&mut pair);
        pair.ends.client.write(ours, Stream::Data, b"unread").unwrap();
        for side in [&mut pair.ends.client, &mut pair.ends.server] {
            side.disconnect(DisconnectReason::ByApplication, "bye");
        }
        match pair.pump() {
            // Each has ended the connection by itself: what the other says is not looked at any more.
            Ok(()) | Err(Fault::Client(_) | Fault::Server(_)) => {}
        }
        assert!(pair.ends.client.write(ours, Stream::Data, b"x").is_err());
        assert!(pair.ends.server.write(theirs, Stream::Data, b"x").is_err());
        assert!(pair.ends.client.transmit_is_empty() && pair.ends.server.transmit_is_empty());
    }
}

/// Whether a machine has nothing left to say.
trait Silent {
    fn transmit_is_empty(&mut self) -> bool;
}

impl<L: ssh_client::wire::Layer> Silent for L {
    fn transmit_is_empty(&mut self) -> bool {
        self.transmit().is_empty()
    }
}
