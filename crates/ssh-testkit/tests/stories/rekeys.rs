//! Changes of keys in the middle of everything.

use std::time::Duration;

use ssh_client::channel::{ChannelId, ChannelType, Event, Exec, Stream};
use ssh_client::kex::RekeyPolicy;
use ssh_testkit::pair::{Pair, Setup};

use super::{FEEDS, carry, carry_both_ways, open, take};

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
pub(crate) fn open_far(pair: &mut Pair) -> (ChannelId, ChannelId) {
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
/// Where a channel may stand when keys begin to change.
#[derive(Debug, Clone, Copy)]
enum Stand {
    Asked,
    Open,
    WindowsFull,
    Requested,
    EofSent,
    EofHeard,
    CloseSent,
    CloseHeard,
}

const STANDS: [Stand; 8] = [
    Stand::Asked,
    Stand::Open,
    Stand::WindowsFull,
    Stand::Requested,
    Stand::EofSent,
    Stand::EofHeard,
    Stand::CloseSent,
    Stand::CloseHeard,
];

/// Brings a channel to where it is to stand, without a word on its way if `rekey` comes in between.
fn bring(pair: &mut Pair, stand: Stand, (ours, theirs): (ChannelId, ChannelId)) {
    let (client, server) = (&mut pair.ends.client, &mut pair.ends.server);
    match stand {
        Stand::Asked | Stand::Open => {}
        Stand::WindowsFull => {
            client.write(ours, Stream::Data, &[1; 30_000]).unwrap();
            server.write(theirs, Stream::Data, &[1; 30_000]).unwrap();
        }
        Stand::Requested => client.request(ours, &Exec::new("x").into(), true).unwrap(),
        Stand::EofSent => client.eof(ours).unwrap(),
        Stand::EofHeard => {
            server.eof(theirs).unwrap();
            pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
        }
        Stand::CloseSent => client.close(ours).unwrap(),
        Stand::CloseHeard => server.close(theirs).unwrap(),
    }
}

#[test]
fn keys_change_wherever_a_channel_stands_and_both_may_ask() {
    for feed in FEEDS {
        for (stand, who) in STANDS.into_iter().flat_map(|stand| ASKS.map(|who| (stand, who))) {
            let mut setup = asking(Asks::Both, RekeyPolicy::AS_SELDOM_AS_POSSIBLE).fed(feed);
            for side in [&mut setup.client_connection, &mut setup.server_connection] {
                side.window.initial = 30_000;
                side.window.max = 30_000;
            }
            let mut pair = setup.connect();
            let others = open(&mut pair);
            let early = matches!(stand, Stand::Asked).then(|| pair.ends.client.open(ChannelType::Session));
            let ids = if early.is_some() { others } else { open(&mut pair) };
            rekeys(&mut pair);
            let now = pair.ends.clock.now();
            // What has been said before is under way with the first message of the exchange behind it.
            bring(&mut pair, stand, ids);
            if who != Asks::Server {
                pair.ends.client.start_rekey(now);
            }
            if who != Asks::Client {
                pair.ends.server.start_rekey(now);
            }
            pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
            if early.is_some() {
                let opening = pair
                    .server_events
                    .iter()
                    .position(|event| matches!(event, Event::Open(_)));
                let Some(Event::Open(opening)) = pair.server_events.remove(opening.unwrap()) else {
                    unreachable!()
                };
                pair.ends.server.accept(opening);
                pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
            }
            let changed = rekeys(&mut pair);
            assert_eq!(changed, [1, 1], "{feed:?}, {stand:?}, {who:?}");
            finish(&mut pair, stand, ids);
            carry_both_ways(&mut pair, others, 50_000, Duration::ZERO);
        }
    }
}

/// The channel is used as far as it may still be, and leaves nothing.
fn finish(pair: &mut Pair, stand: Stand, (ours, theirs): (ChannelId, ChannelId)) {
    match stand {
        Stand::Asked => assert_eq!(pair.ends.client.channels(), 2),
        Stand::CloseSent | Stand::CloseHeard => assert_eq!(pair.ends.client.channels(), 1),
        Stand::EofSent => assert!(pair.ends.server.is_eof(theirs)),
        Stand::EofHeard => assert!(pair.ends.client.is_eof(ours)),
        Stand::WindowsFull => {
            assert_eq!(take(&mut pair.ends.server, theirs).len(), 30_000);
            assert_eq!(take(&mut pair.ends.client, ours).len(), 30_000);
        }
        Stand::Open | Stand::Requested => carry_both_ways(pair, (ours, theirs), 50_000, Duration::ZERO),
    }
    let ends = [pair.ends.client.channels(), pair.ends.server.channels()];
    assert_eq!(ends[0], ends[1]);
}
