//! Stories on the in-memory pair: whole connections, fed whole, byte by byte and in random cuts, under a virtual clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

mod basics;
mod crowds;
mod ends;
mod narrow;
mod rekeys;
mod volume;

use std::time::Duration;

use ssh_client::channel::{ChannelId, ChannelType, Connection, Event, Stream};
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

/// Lets both sides talk until nothing more happens at this moment.
fn pump(pair: &mut Pair) {
    pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
}

/// The same over some time.
fn pass(pair: &mut Pair, by: Duration) {
    pair.pass(by).unwrap_or_else(|fault| panic!("{fault:?}"));
}

/// Both sides get the channels' settings that `change` makes.
fn with_channels(change: impl Fn(&mut ssh_client::channel::Config)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup.client_connection);
    change(&mut setup.server_connection);
    setup
}

/// Nothing is left of any channel on either side.
fn assert_empty(pair: &Pair) {
    for side in [&pair.ends.client, &pair.ends.server] {
        assert_eq!(side.channels(), 0);
        assert_eq!(side.window_bytes(), 0);
    }
}

/// How many channels each side has heard the last of, since it was asked last.
fn closed(pair: &mut Pair) -> [usize; 2] {
    [&mut pair.client_events, &mut pair.server_events].map(|events| {
        let all = events.drain(..);
        all.filter(|event| matches!(event, Event::Closed(_))).count()
    })
}
