//! Volume: ten thousand channels that echo 64 KiB each, a thousand of them at a time, and a gibibyte each way between two
//! sides that do not read at first (cases 1 and 3 of the security page). Nothing of it is kept: bytes are made where they
//! are sent and checked by their place where they arrive.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use ssh_client::channel::{ChannelId, ChannelType, Connection, Event, Stream};
use ssh_client::wire::Layer;
use ssh_client::wire::bytes::Bytes;
use ssh_testkit::pair::{Pair, Setup};

use super::{assert_empty, pass};

/// Prime: the length of the pattern that is sent again and again.
const PERIOD: usize = 65_521;

/// The bytes that are sent, long enough for any piece from any place.
fn pattern() -> Vec<u8> {
    let once: Vec<u8> = (0..65_521_u32)
        .map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
        .collect();
    once.repeat(3)
}

/// The bytes from place `at` of a stream that begins at place `salt` of the pattern.
fn piece(pattern: &[u8], salt: usize, at: usize, count: usize) -> &[u8] {
    let start = (salt + at) % PERIOD;
    &pattern[start..start + count]
}

/// Reads all there is, each byte in its place.
fn read(side: &mut Connection, id: ChannelId, pattern: &[u8], salt: usize, heard: &mut usize) {
    while let Some(chunk) = side.read(id, Stream::Data, PERIOD) {
        let expected = piece(pattern, salt, *heard, chunk.len());
        assert!(chunk == expected, "{id}: other bytes after {heard}");
        *heard += chunk.len();
        side.consumed(id, chunk.len());
    }
}

// ---- case 1 ----------------------------------------------------------------------------------------------------------

const CHANNELS: usize = 10_000;
const AT_A_TIME: usize = 1_000;
const ECHO_BYTES: usize = 64 << 10;
/// One way, as within a building. Of a thousand channels some have the least window there is, which is sent sixteen times.
const LATENCY: Duration = Duration::from_micros(500);

/// A channel of the client's on its way through its life.
struct Asking {
    since: Instant,
    salt: usize,
    sent: usize,
    heard: usize,
}

/// The client: opens channels, sends on them, hears the echo, closes them.
struct Client {
    pattern: Vec<u8>,
    living: HashMap<ChannelId, Asking>,
    opened: usize,
    /// How long each channel took from its open to the last byte of its echo.
    took: Vec<Duration>,
}

impl Client {
    fn open_more(&mut self, side: &mut Connection, now: Instant) {
        while self.living.len() < AT_A_TIME && self.opened < CHANNELS {
            let id = side.open(ChannelType::Session).unwrap();
            let salt = self.opened * 7_919;
            self.opened += 1;
            let asking = Asking {
                since: now,
                salt,
                sent: 0,
                heard: 0,
            };
            assert!(
                self.living.insert(id, asking).is_none(),
                "a number used twice at once"
            );
        }
    }

    fn write(&mut self, side: &mut Connection, id: ChannelId) {
        let Some(asking) = self.living.get_mut(&id) else {
            return;
        };
        while asking.sent < ECHO_BYTES {
            let bytes = piece(&self.pattern, asking.salt, asking.sent, ECHO_BYTES - asking.sent);
            let taken = side.write(id, Stream::Data, bytes).unwrap();
            asking.sent += taken;
            if taken == 0 {
                return;
            }
        }
    }

    fn hear(&mut self, side: &mut Connection, event: &Event, now: Instant) {
        match event {
            Event::Opened(id) | Event::Writable(id) => self.write(side, *id),
            Event::Readable(id, _) => {
                let Some(asking) = self.living.get_mut(id) else {
                    return;
                };
                read(side, *id, &self.pattern, asking.salt, &mut asking.heard);
                if asking.heard == ECHO_BYTES {
                    self.took.push(now - asking.since);
                    side.close(*id).unwrap();
                }
            }
            Event::Closed(id) => {
                let asking = self.living.remove(id).unwrap();
                assert_eq!(asking.heard, ECHO_BYTES);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The server: sends back what it reads.
#[derive(Default)]
struct Echo {
    owed: HashMap<ChannelId, VecDeque<Bytes>>,
    most: usize,
}

impl Echo {
    fn write(&mut self, side: &mut Connection, id: ChannelId) {
        let Some(owed) = self.owed.get_mut(&id) else {
            return;
        };
        while let Some(chunk) = owed.front_mut() {
            let taken = side.write(id, Stream::Data, chunk).unwrap();
            if taken == 0 {
                return;
            }
            side.consumed(id, taken);
            let _sent = chunk.split_to(taken);
            if chunk.is_empty() {
                owed.pop_front();
            }
        }
    }

    fn hear(&mut self, side: &mut Connection, event: Event) {
        match event {
            Event::Open(opening) => {
                let id = side.accept(opening);
                assert!(self.owed.insert(id, VecDeque::new()).is_none());
                self.most = self.most.max(self.owed.len());
            }
            Event::Readable(id, stream) => {
                while let Some(chunk) = side.read(id, stream, usize::MAX) {
                    self.owed.get_mut(&id).unwrap().push_back(chunk);
                }
                self.write(side, id);
            }
            Event::Writable(id) => self.write(side, id),
            Event::Closed(id) => {
                let owed = self.owed.remove(&id).unwrap();
                assert!(owed.is_empty(), "{id}: closed before all was sent back");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Each channel that ends makes room for the next. What is counted is the time of the wire: the wire is as wide as one
/// wants and takes its time, so that four ways have to be gone at least (open, confirmation, data, echo), and what is beyond
/// them is what channels wait for windows, for turns and for each other.
#[test]
fn ten_thousand_channels_echo_64_kib_each_a_thousand_at_a_time() {
    let mut setup = Setup {
        latency: LATENCY,
        ..Setup::default()
    };
    setup.server_connection.limits.pending_opens = AT_A_TIME;
    let mut pair = setup.connect();
    let mut client = Client {
        pattern: pattern(),
        living: HashMap::new(),
        opened: 0,
        took: Vec::new(),
    };
    let mut server = Echo::default();
    while client.took.len() < CHANNELS || !client.living.is_empty() {
        let now = pair.ends.clock.now();
        client.open_more(&mut pair.ends.client, now);
        let settled = pair.ends.settle(
            &mut |side, event| client.hear(side, &event, now),
            &mut |side, event| server.hear(side, event),
        );
        settled.unwrap_or_else(|fault| panic!("{fault:?}"));
        assert!(
            pair.ends.skip() || client.living.is_empty(),
            "it stands still with {} channels",
            client.living.len()
        );
    }
    assert_eq!(client.took.len(), CHANNELS);
    assert_eq!(server.most, AT_A_TIME, "so many were alive at once");
    assert!(server.owed.is_empty());
    assert_empty(&pair);
    client.took.sort();
    let [median, p99, last] = [CHANNELS / 2, CHANNELS * 99 / 100, CHANNELS - 1].map(|at| client.took[at]);
    println!("from the open to the last byte of the echo: {median:?}, p99 {p99:?}, at most {last:?}");
    assert!(client.took[0] >= 4 * LATENCY, "nobody is faster than the wire");
    assert!(p99 < Duration::from_millis(50), "{p99:?}");
}

// ---- case 3 ----------------------------------------------------------------------------------------------------------

const GIBIBYTE: usize = 1 << 30;

/// What one side sends and what it has heard of the other's.
struct Flow {
    salt: usize,
    sent: usize,
    heard: usize,
}

impl Flow {
    fn write(&mut self, side: &mut Connection, id: ChannelId, pattern: &[u8]) -> usize {
        let before = self.sent;
        while self.sent < GIBIBYTE {
            let count = PERIOD.min(GIBIBYTE - self.sent);
            let bytes = piece(pattern, self.salt, self.sent, count);
            let taken = side.write(id, Stream::Data, bytes).unwrap();
            self.sent += taken;
            if taken == 0 {
                break;
            }
        }
        self.sent - before
    }
}

/// What lies with either side is bounded by its windows and its outbox, however much is still to be sent.
fn assert_bounded(pair: &mut Pair, ids: (ChannelId, ChannelId)) {
    let setup = Setup::default();
    let most = setup.server_connection.window.max as usize;
    let outbox = setup.server.limits.outbox_bytes;
    for (side, id) in [(&mut pair.ends.client, ids.0), (&mut pair.ends.server, ids.1)] {
        assert!(side.readable(id, Stream::Data) <= most);
        assert!(side.window_bytes() <= most as u64);
        assert!(side.transmit().len() <= outbox);
    }
}

/// The classic deadlock: each waits for the other to read. Ten seconds long nobody does; then both do, and all of it
/// arrives.
#[test]
fn both_sides_write_a_gibibyte_and_nobody_reads_for_ten_seconds() {
    let setup = Setup {
        latency: Duration::from_millis(5),
        ..Setup::default()
    };
    let mut pair = setup.connect();
    let ids = super::rekeys::open_far(&mut pair);
    let pattern = pattern();
    let [mut client, mut server] = [11, 4_711].map(|salt| Flow {
        salt,
        sent: 0,
        heard: 0,
    });
    let begin = pair.ends.clock.now();
    while pair.ends.clock.now() - begin < Duration::from_secs(10) {
        client.write(&mut pair.ends.client, ids.0, &pattern);
        server.write(&mut pair.ends.server, ids.1, &pattern);
        pass(&mut pair, Duration::from_millis(100));
        pair.client_events.clear();
        pair.server_events.clear();
        assert_bounded(&mut pair, ids);
    }
    let window = setup.server_connection.window.initial as usize;
    assert_eq!(
        (client.sent, server.sent),
        (window, window),
        "a window, not a byte more"
    );
    assert_eq!(pair.ends.client.send_window(ids.0), 0);
    assert_eq!(pair.ends.server.send_window(ids.1), 0);
    while client.heard < GIBIBYTE || server.heard < GIBIBYTE {
        let before = (client.heard, server.heard, client.sent, server.sent);
        read(
            &mut pair.ends.client,
            ids.0,
            &pattern,
            server.salt,
            &mut client.heard,
        );
        read(
            &mut pair.ends.server,
            ids.1,
            &pattern,
            client.salt,
            &mut server.heard,
        );
        client.write(&mut pair.ends.client, ids.0, &pattern);
        server.write(&mut pair.ends.server, ids.1, &pattern);
        pass(&mut pair, Duration::from_millis(20));
        pair.client_events.clear();
        pair.server_events.clear();
        assert_bounded(&mut pair, ids);
        let after = (client.heard, server.heard, client.sent, server.sent);
        assert!(
            before != after || pair.ends.client.session().is_changing_keys(),
            "it stands still: {after:?}"
        );
    }
    assert_eq!((client.heard, server.heard), (GIBIBYTE, GIBIBYTE));
}
