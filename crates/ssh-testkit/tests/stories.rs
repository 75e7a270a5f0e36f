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

/// Who has a limit on the use of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Client,
    Server,
    Both,
}

const ASKS: [Asks; 3] = [Asks::Client, Asks::Server, Asks::Both];

/// Whoever asks has this policy, and nobody any other limit.
fn asking(who: Asks, policy: RekeyPolicy) -> Setup {
    let mut setup = Setup::default();
    for (side, others) in [
        (&mut setup.client, Asks::Server),
        (&mut setup.server, Asks::Client),
    ] {
        side.preferences.edit_kex("curve25519-sha256").unwrap();
        side.rekey = if who == others {
            RekeyPolicy::AS_SELDOM_AS_POSSIBLE
        } else {
            policy
        };
    }
    setup
}

/// How often each side has had new keys since it was asked last.
fn rekeys(pair: &mut Pair) -> [usize; 2] {
    [&mut pair.client_events, &mut pair.server_events].map(|events| {
        let all = events.drain(..);
        all.filter(|event| matches!(event, Event::Rekeyed)).count()
    })
}

/// What is sent one way, and how far it is.
struct Way {
    data: Vec<u8>,
    sent: usize,
    arrived: Vec<u8>,
}

impl Way {
    /// Bytes that repeat after a prime number of them, so that nothing lost or doubled fits in by chance.
    fn of(bytes: usize, salt: u8) -> Self {
        let data = (0..65_521_u32).map(|at| (at % 251).to_le_bytes()[0] ^ salt);
        let data: Vec<u8> = data.cycle().take(bytes).collect();
        Self {
            data,
            sent: 0,
            arrived: Vec::new(),
        }
    }

    /// Writes what the window and the keys allow.
    fn write(&mut self, side: &mut Connection, id: ChannelId) -> usize {
        let taken = side.write(id, Stream::Data, &self.data[self.sent..]).unwrap();
        self.sent += taken;
        taken
    }

    fn read(&mut self, side: &mut Connection, id: ChannelId) {
        self.arrived.extend_from_slice(&take(side, id));
    }

    fn is_done(&self) -> bool {
        assert!(
            self.data.starts_with(&self.arrived),
            "after {} bytes",
            self.arrived.len()
        );
        self.arrived.len() == self.data.len()
    }
}

/// Sends both ways at once until all has arrived. Both fill their windows before anybody reads, and the bytes are under
/// way for `step`.
fn carry_both_ways(pair: &mut Pair, ids: (ChannelId, ChannelId), bytes: usize, step: Duration) {
    let (mut up, mut down) = (Way::of(bytes, 0), Way::of(bytes, 0x55));
    let mut rounds = 0;
    while !(up.is_done() && down.is_done()) {
        let pass = |pair: &mut Pair| pair.pass(step).unwrap_or_else(|fault| panic!("{fault:?}"));
        let mut quiet = 0;
        while quiet < 4 {
            let wrote = up.write(&mut pair.ends.client, ids.0) + down.write(&mut pair.ends.server, ids.1);
            quiet = if wrote == 0 { quiet + 1 } else { 0 };
            pass(pair);
        }
        let shut = |side: &Connection, id, way: &Way| {
            side.send_window(id) == 0 || way.sent == way.data.len() || side.session().is_changing_keys()
        };
        assert!(shut(&pair.ends.client, ids.0, &up) && shut(&pair.ends.server, ids.1, &down));
        down.read(&mut pair.ends.client, ids.0);
        up.read(&mut pair.ends.server, ids.1);
        rounds += 1;
        assert!(rounds < 10_000, "it stands still");
    }
}

#[test]
fn keys_change_by_the_clock_for_a_day_while_data_moves_both_ways_in_each_hour() {
    let half = Duration::from_secs(1800);
    for who in ASKS {
        // The default: an hour, and far more bytes than are sent here.
        let mut pair = asking(who, RekeyPolicy::default()).connect();
        let ids = open(&mut pair);
        let begin = pair.ends.clock.now();
        for hour in 1..=24 {
            let pass = |pair: &mut Pair| pair.pass(half).unwrap_or_else(|fault| panic!("{fault:?}"));
            pass(&mut pair);
            assert_eq!(
                rekeys(&mut pair),
                [0, 0],
                "{who:?}, hour {hour}: not before its time"
            );
            carry_both_ways(&mut pair, ids, 100_000, Duration::ZERO);
            assert_eq!(rekeys(&mut pair), [0, 0], "{who:?}, hour {hour}: not by bytes");
            pass(&mut pair);
            assert_eq!(rekeys(&mut pair), [1, 1], "{who:?}, hour {hour}");
        }
        assert_eq!(pair.ends.clock.now() - begin, 48 * half);
        carry_both_ways(&mut pair, ids, 100_000, Duration::ZERO);
    }
}

#[test]
fn keys_change_by_every_limit_in_the_middle_of_transfers_with_full_windows() {
    let bytes = 600_000;
    for who in ASKS {
        for (what, policy, at_least) in [
            (
                "bytes",
                RekeyPolicy {
                    bytes: 50_000,
                    ..RekeyPolicy::AS_SELDOM_AS_POSSIBLE
                },
                6,
            ),
            // 2^31 by default.
            (
                "packets",
                RekeyPolicy {
                    packets: 3,
                    ..RekeyPolicy::AS_SELDOM_AS_POSSIBLE
                },
                6,
            ),
            (
                "time",
                RekeyPolicy {
                    time: Some(Duration::from_millis(40)),
                    ..RekeyPolicy::AS_SELDOM_AS_POSSIBLE
                },
                6,
            ),
        ] {
            let mut setup = Setup {
                latency: Duration::from_millis(5),
                ..asking(who, policy)
            };
            for side in [&mut setup.client_connection, &mut setup.server_connection] {
                side.window.initial = 100_000;
                side.window.max = 100_000;
            }
            let mut pair = setup.connect();
            let ids = open_far(&mut pair);
            rekeys(&mut pair);
            carry_both_ways(&mut pair, ids, bytes, Duration::from_millis(7));
            let settled = Duration::from_millis(30);
            pair.pass(settled).unwrap_or_else(|fault| panic!("{fault:?}"));
            let [client, server] = rekeys(&mut pair);
            assert!(
                client >= at_least && client.abs_diff(server) <= 1,
                "{who:?}, {what}: {client} and {server} changes of keys"
            );
        }
    }
}

/// An open session channel, on a way that takes its time.
fn open_far(pair: &mut Pair) -> (ChannelId, ChannelId) {
    let ours = pair.ends.client.open(ChannelType::Session).unwrap();
    loop {
        pair.pass(Duration::from_millis(5))
            .unwrap_or_else(|fault| panic!("{fault:?}"));
        let opening = pair.server_events.drain(..).find_map(|event| match event {
            Event::Open(opening) => Some(opening),
            _ => None,
        });
        if let Some(opening) = opening {
            let theirs = pair.ends.server.accept(opening);
            let patience = Duration::from_millis(200);
            pair.pass(patience).unwrap_or_else(|fault| panic!("{fault:?}"));
            return (ours, theirs);
        }
    }
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
