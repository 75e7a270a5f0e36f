//! What channels cost: 8 KiB at most for an idle one with everything above it, both handles and tasks' places included,
//! for a stalled one the window that was granted and 64 KiB (promises 28 and 29), and nothing for those that are closed
//! (P-11). A test program of its own, because it counts every allocation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::time::Duration;

use allocation_counter::measure;
use bytes::BytesMut;
use ssh_client::channel::limits::LARGE_CHUNK_BYTES;
use ssh_client::channel::{ChannelId, ChannelType, Event, Stream};
use ssh_client::tokio_driver::{self, Channel, Handle, Incoming};
use ssh_client::wire::Layer;
use ssh_testkit::pair::{Pair, Setup};
use tokio::io::duplex;
use tokio::runtime::{Builder, Runtime};

/// What an idle channel may keep, at each end.
const IDLE_BYTES: i64 = 8 * 1024;

/// What a stalled channel may keep beside its window.
const BESIDE_THE_WINDOW: i64 = 64 * 1024;

/// Two drivers on one thread, whose allocations are counted there.
struct Both {
    runtime: Runtime,
    client: Handle,
    server: Handle,
}

impl Both {
    fn start(setup: &Setup) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let ends = setup.connect().ends;
        let (near, far) = duplex(64 * 1024);
        let config = |incoming| tokio_driver::Config {
            incoming,
            ..tokio_driver::Config::default()
        };
        let (client, server) = runtime.block_on(async {
            let (client, driver) = tokio_driver::start(ends.client, near, config(0));
            tokio::spawn(driver);
            let (server, driver) = tokio_driver::start(ends.server, far, config(64));
            tokio::spawn(driver);
            (client, server)
        });
        Self {
            runtime,
            client,
            server,
        }
    }

    /// So many open channels, both ends of each.
    fn open(&self, count: usize) -> Vec<(Channel, Channel)> {
        self.runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..count {
                let accept = async {
                    match self.server.incoming().await {
                        Some(Incoming::Open(open)) => open.accept().unwrap(),
                        other => panic!("{other:?}"),
                    }
                };
                let (ours, theirs) = tokio::join!(self.client.open(ChannelType::Session), accept);
                all.push((ours.unwrap(), theirs));
            }
            all
        })
    }

    /// Each channel carries this both ways.
    fn echo(&self, channels: &mut [(Channel, Channel)], data: &[u8]) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        self.runtime.block_on(async {
            for (ours, theirs) in channels {
                let mut heard = vec![0; data.len()];
                let (wrote, read) = tokio::join!(ours.write_all(data), theirs.read_exact(&mut heard));
                wrote.and(read).unwrap();
                assert!(heard == data);
                let (wrote, read) = tokio::join!(theirs.write_all(data), ours.read_exact(&mut heard));
                wrote.and(read).unwrap();
            }
        });
    }

    /// Until nothing moves any more, and blocks have gone back. On a slow machine the drivers' timers are due together with
    /// this one, and whoever waits here has the first turn: so it gives them some.
    fn rest(&self) {
        self.runtime.block_on(async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// The same, and a rest.
    fn talk(&self, channels: &mut [(Channel, Channel)], data: &[u8]) {
        self.echo(channels, data);
        self.rest();
    }
}

#[test]
fn an_idle_channel_keeps_less_than_8_kib_at_each_end() {
    let both = Both::start(&Setup::default());
    // What is made once is made by the first.
    let mut first = both.open(1);
    both.talk(&mut first, &[7; 100_000]);
    let mut many = Vec::new();
    let used = measure(|| many = both.open(1_000));
    let each = used.bytes_current / 1_000;
    println!("{each} bytes for both ends of a channel that was opened");
    assert!(each <= 2 * IDLE_BYTES, "{each} bytes");
    let used = measure(|| {
        both.talk(&mut many, b"a word");
        both.talk(&mut many, &[7; 10_000]);
    });
    let more = used.bytes_current / 1_000;
    println!("{more} bytes more once it has been used");
    assert!(each + more <= 2 * IDLE_BYTES, "{each} and {more} bytes");
    let used = measure(|| {
        drop(many);
        both.talk(&mut [], b"");
    });
    let back = -used.bytes_current / 1_000;
    assert!(back >= (each + more) / 2, "{back} of {each} and {more} came back");
}

/// Channels opened, used once and closed on one connection, and how many of them at a time (P-11).
const IN_TURN: usize = 10_000;
const AT_A_TIME: usize = 256;

/// What they may leave behind, both ends together, three bytes for each: nothing that grows with their number. A hash
/// table that channels come to and go from may double once, and chance decides when.
const LEFT_BYTES: i64 = 32 * 1024;

#[test]
fn ten_thousand_channels_leave_nothing_behind() {
    let both = Both::start(&Setup::default());
    let turns = |count: usize| {
        let mut done = 0;
        while done < count {
            let mut some = both.open(AT_A_TIME.min(count - done));
            both.echo(&mut some, b"a word");
            done += some.len();
        }
        // The closes of all before it have been read when this one is open, and its own soon.
        drop(both.open(1));
        both.rest();
    };
    // What is made once is made by the first.
    turns(2 * AT_A_TIME);
    let used = measure(|| turns(IN_TURN));
    println!("{} bytes are left of {IN_TURN} channels", used.bytes_current);
    assert!(used.count_total > 10_000, "they are counted");
    assert!(
        used.bytes_current.abs() <= LEFT_BYTES,
        "{} bytes are left",
        used.bytes_current
    );
}

/// An open channel of the machines alone.
fn open(pair: &mut Pair) -> (ChannelId, ChannelId) {
    let ours = pair.ends.client.open(ChannelType::Session).unwrap();
    pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
    let opening = pair.server_events.drain(..).find_map(|event| match event {
        Event::Open(opening) => Some(opening),
        _ => None,
    });
    let theirs = pair.ends.server.accept(opening.unwrap());
    pair.pump().unwrap_or_else(|fault| panic!("{fault:?}"));
    (ours, theirs)
}

/// What a read of the socket fills.
const BLOCK_BYTES: usize = 128 * 1024;

/// What the server keeps of a channel whose reader stands still while the client writes `piece` by `piece` until its
/// window is full. With `others`, another channel carries as much at the same time and is read.
fn kept_of_stalled(window: u32, piece: usize, others: bool) -> i64 {
    let mut setup = Setup::default();
    setup.server_connection.window.initial = window;
    setup.server_connection.window.max = window;
    let mut pair = setup.connect();
    let (ours, theirs) = open(&mut pair);
    let other = others.then(|| open(&mut pair));
    let data = vec![7; piece];
    let (mut kept, mut under_way) = (0, Vec::new());
    while pair.ends.client.send_window(ours) > 0 || !under_way.is_empty() {
        let (client, server) = (&mut pair.ends.client, &mut pair.ends.server);
        for id in [Some(ours), other.map(|(id, _)| id)].into_iter().flatten() {
            client.write(id, Stream::Data, &data).unwrap();
        }
        under_way.append(client.transmit());
        client.transmitted(under_way.len());
        let is_last = client.send_window(ours) == 0;
        pair.ends.clock.advance(Duration::from_millis(1));
        let now = pair.ends.clock.now();
        while client.poll(now).unwrap().is_some() {}
        if under_way.len() < BLOCK_BYTES && !is_last {
            continue;
        }
        let used = measure(|| {
            // A block as a driver fills it: what is left of the last one, and what has come.
            let count = under_way.len().min(BLOCK_BYTES - server.read_buffer().len());
            let mut block = BytesMut::with_capacity(BLOCK_BYTES);
            block.extend_from_slice(server.read_buffer());
            block.extend(under_way.drain(..count));
            *server.read_buffer() = block;
            while server.poll(now).unwrap().is_some() {}
            while let Some((_, id)) = other
                && let Some(chunk) = server.read(id, Stream::Data, usize::MAX)
            {
                server.consumed(id, chunk.len());
            }
        });
        kept += used.bytes_current;
        let answer = std::mem::take(server.transmit());
        server.transmitted(answer.len());
        kept -= answer.capacity() as i64;
        client.read_buffer().extend_from_slice(&answer);
        while client.poll(now).unwrap().is_some() {}
    }
    assert_eq!(pair.ends.server.readable(theirs, Stream::Data), window as usize);
    // The driver takes its block back.
    assert!(pair.ends.server.read_buffer().is_empty());
    let used = measure(|| drop(std::mem::take(pair.ends.server.read_buffer())));
    kept + used.bytes_current
}

#[test]
fn a_stalled_channel_keeps_its_window_and_64_kib_at_most() {
    for window in [64 * 1024, 1 << 20] {
        for piece in [100, 1_000, 1_500, 5_000, 16 * 1024, 32 * 1024, 64 * 1024] {
            for others in [false, true] {
                let kept = kept_of_stalled(window, piece, others);
                println!("a window of {window} in pieces of {piece}, others {others}: {kept} bytes");
                // Where there is no other channel, large chunks stay in their blocks (`LARGE_CHUNK_BYTES`).
                let windows = if !others && piece >= LARGE_CHUNK_BYTES {
                    2
                } else {
                    1
                };
                let most = windows * i64::from(window) + BESIDE_THE_WINDOW;
                assert!(
                    kept <= most,
                    "a window of {window} in pieces of {piece}, others {others}: {kept} bytes"
                );
            }
        }
    }
}
