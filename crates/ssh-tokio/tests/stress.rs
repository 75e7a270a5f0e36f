//! The shared driver under stress: many tasks on many threads and no lost wake-up, handles and parts dropped in every
//! order, every future dropped after each number of polls it can have (case 28 of the security page).
//!
//! A wake-up that is lost shows as a test that never ends; the patience here is for busy machines and decides nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;
#[path = "common/dropped.rs"]
#[allow(dead_code, reason = "cancel uses the rest")]
mod dropped;

use std::future::Future;
use std::time::Duration;

use common::{Options, Pair, accept, bytes, channel, pair, pair_over};
use dropped::{polled, serve};
use ssh_tokio::channel::{ChannelRequest, ChannelType, Exec, GlobalRequest, TcpipForward, WindowPolicy};
use ssh_tokio::{Channel, Parts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;

/// So long something may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(120);

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("{what}: somebody sleeps for ever"))
}

/// A small generator: the same seed, the same story.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}

/// Narrow wherever it can be, so that everybody waits for everybody.
fn narrow(dice: &mut Dice) -> Options {
    let mut options = Options {
        pipe_bytes: [1, 60, 4_096, 65_536][dice.below(4)],
        ..Options::default()
    };
    options
        .transport
        .preferences
        .edit_kex("curve25519-sha256")
        .unwrap();
    options.transport.rekey.bytes = [u64::MAX, 100_000, 30_000][dice.below(3)];
    let initial = [1_000, 30_000, 2 << 20][dice.below(3)];
    for side in [&mut options.client, &mut options.server] {
        side.window = WindowPolicy {
            initial,
            max: initial,
            budget: 64 << 20,
        };
    }
    options
}

/// Writes all of it in pieces, and lets others run in between now and then.
async fn write_in_pieces(mut to: impl AsyncWriteExt + Unpin, data: Vec<u8>, seed: u64) {
    let mut dice = Dice(seed);
    let mut rest = &data[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(1 + dice.below(rest.len().min(9_000)));
        to.write_all(piece).await.unwrap();
        rest = later;
        if dice.below(3) == 0 {
            yield_now().await;
        }
    }
    to.shutdown().await.unwrap();
}

async fn read_in_pieces(mut from: impl AsyncReadExt + Unpin, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let (mut all, mut buffer) = (Vec::new(), vec![0; 9_000]);
    loop {
        let room = 1 + dice.below(buffer.len());
        match from.read(&mut buffer[..room]).await.unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
        if dice.below(3) == 0 {
            yield_now().await;
        }
    }
}

/// One end of a channel: a task that writes, one that reads; what was read.
async fn use_end(channel: Channel, data: Vec<u8>, seed: u64) -> Vec<u8> {
    let Parts {
        reader,
        writer,
        control,
        ..
    } = channel.split();
    let writing = tokio::spawn(write_in_pieces(writer, data, seed));
    let reading = tokio::spawn(read_in_pieces(reader, !seed));
    writing.await.unwrap();
    let read = reading.await.unwrap();
    drop(control);
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_among_many_tasks_on_many_threads() {
    for seed in 0..24 {
        let mut dice = Dice(seed);
        let options = narrow(&mut dice);
        let size = if options.pipe_bytes == 1 { 3_000 } else { 60_000 };
        let pair = soon("the login", pair(options)).await;
        let mut tasks = Vec::new();
        for number in 0..6_u64 {
            let (ours, theirs) = soon("an open", channel(&pair)).await;
            let (up, down) = (bytes(size + dice.below(99)), bytes(size + dice.below(99)));
            let (expected_up, expected_down) = (up.clone(), down.clone());
            tasks.push(tokio::spawn(async move {
                let ours = tokio::spawn(use_end(ours, up, seed ^ number));
                let theirs = tokio::spawn(use_end(theirs, down, !seed ^ number));
                assert!(theirs.await.unwrap() == expected_up);
                assert!(ours.await.unwrap() == expected_down);
            }));
        }
        let pinging = async {
            for _ in 0..20 {
                pair.client.ping().await.unwrap();
                yield_now().await;
            }
        };
        soon("a ping", pinging).await;
        for task in tasks {
            soon(&format!("seed {seed}"), task).await.unwrap();
        }
    }
}

/// All orders of five things.
fn orders() -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for next in 0..5 {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_of_a_channel_may_be_dropped_in_every_order() {
    let pair = pair(Options::default()).await;
    assert_eq!(orders().len(), 120);
    for order in orders() {
        let (ours, mut theirs) = soon("an open", channel(&pair)).await;
        // Data under way in both directions, and a request without an answer.
        theirs.write_all(&[1; 1_000]).await.unwrap();
        let Parts {
            reader,
            stderr_reader,
            mut writer,
            stderr_writer,
            control,
        } = ours.split();
        writer.write_all(&[2; 1_000]).await.unwrap();
        let asked = control.ask(&Exec::new("x").into()).await.unwrap();
        let mut parts: Vec<Option<Box<dyn Send>>> = vec![
            Some(Box::new(reader)),
            Some(Box::new(stderr_reader)),
            Some(Box::new(writer)),
            Some(Box::new(stderr_writer)),
            Some(Box::new(control)),
        ];
        drop(asked);
        for part in &order {
            parts[*part] = None;
            if part % 2 == 0 {
                yield_now().await;
            }
        }
        soon(&format!("{order:?}"), theirs.closed()).await;
    }
    soon("the goodbye", pair.client.disconnect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_channels_and_questions_may_be_dropped_in_any_order() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let (near, far) = tokio::io::duplex(4_096);
        let (both, client_driver, server_driver) = pair_over(Options::default(), near, far).await;
        let (ours, theirs) = soon("an open", channel(&both)).await;
        let Pair { client, server } = both;
        // An open that waits for an answer, in both seats of it.
        let opener = client.clone();
        let opening = tokio::spawn(async move { drop(opener.open(ChannelType::Session).await) });
        let asker = client.clone();
        let asking = tokio::spawn(async move {
            let forward = TcpipForward::new("", 0);
            drop(asker.global_request(&GlobalRequest::TcpipForward(forward)).await);
        });
        let questions = [
            soon("a question", server.incoming()).await,
            soon("a question", server.incoming()).await,
        ];
        let [first, second] = questions;
        let listener = server.clone();
        let listening = tokio::spawn(async move { while listener.incoming().await.is_some() {} });
        let mut all: Vec<Box<dyn Send>> = vec![
            Box::new(ours),
            Box::new(theirs),
            Box::new(client.clone()),
            Box::new(client),
            Box::new(server),
            Box::new(first),
            Box::new(second),
        ];
        dice.shuffle(&mut all);
        for each in all {
            drop(each);
            if dice.below(2) == 0 {
                yield_now().await;
            }
        }
        for (what, task) in [
            ("the open", opening),
            ("the request", asking),
            ("the client's driver", client_driver),
            ("the server's driver", server_driver),
            ("the listener", listening),
        ] {
            soon(&format!("{what}, seed {seed}"), task).await.unwrap();
        }
    }
}

async fn echoes(pair: &Pair, data: &[u8]) -> Vec<u8> {
    let Parts {
        mut reader,
        mut writer,
        control: _open,
        ..
    } = pair.client.open(ChannelType::Session).await.unwrap().split();
    let (_, echo) = tokio::join!(
        async {
            writer.write_all(data).await.unwrap();
            writer.shutdown().await.unwrap();
        },
        async {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        }
    );
    echo
}

/// Drops `act`'s future after one poll, after two and so on, until it is done before; the connection works after each.
async fn drop_at_each_poll<'a, F, T>(pair: &'a Pair, what: &str, mut act: impl FnMut(&'a Pair) -> F) -> usize
where
    F: Future<Output = T> + 'a,
{
    for polls in 0..500 {
        let done = soon(what, polled(polls, act(pair))).await.is_some();
        let echo = soon(
            &format!("{what} after {polls} polls"),
            echoes(pair, b"still alive?"),
        )
        .await;
        assert_eq!(echo, b"still alive?", "{what} after {polls} polls");
        if done {
            return polls;
        }
    }
    panic!("{what} is never done");
}

#[tokio::test]
async fn every_future_may_be_dropped_at_each_poll_it_can_have() {
    let mut options = Options {
        pipe_bytes: 64,
        ..Options::default()
    };
    for side in [&mut options.client, &mut options.server] {
        side.window = WindowPolicy {
            initial: 5_000,
            max: 5_000,
            budget: 64 << 20,
        };
    }
    let pair = pair(options).await;
    serve(&pair);
    let open = |pair: &'_ Pair| {
        let client = pair.client.clone();
        async move { client.open(ChannelType::Session).await.unwrap() }
    };
    let exec: ChannelRequest = Exec::new("x").into();
    let forward = GlobalRequest::TcpipForward(TcpipForward::new("", 0));
    let mut most = 0;
    most += drop_at_each_poll(&pair, "open", open).await;
    most += drop_at_each_poll(&pair, "request", |pair| {
        let exec = &exec;
        async move { open(pair).await.request(exec).await.unwrap() }
    })
    .await;
    most += drop_at_each_poll(&pair, "global request", |pair| {
        pair.client.global_request(&forward)
    })
    .await;
    most += drop_at_each_poll(&pair, "ping", |pair| pair.client.ping()).await;
    most += drop_at_each_poll(&pair, "echo", |pair| echoes(pair, &[7; 30_000])).await;
    most += drop_at_each_poll(&pair, "echo under new keys", |pair| async move {
        pair.client.rekey().unwrap();
        let echo = echoes(pair, &[8; 12_000]).await;
        assert!(echo == [8; 12_000]);
    })
    .await;
    most += drop_at_each_poll(&pair, "close", |pair| async move {
        let mut channel = open(pair).await;
        channel.close();
        channel.closed().await;
    })
    .await;
    most += drop_at_each_poll(&pair, "next request", |pair| async move {
        let mut channel = open(pair).await;
        channel.close();
        assert!(channel.next_request().await.is_none());
    })
    .await;
    assert!(
        most > 20,
        "only {most} polls: the futures were done too soon to show anything"
    );
    // Nothing was left on either side but what is in use.
    let last = soon("the last", open(&pair)).await;
    drop(last);
    soon("the goodbye", pair.client.disconnect()).await;
}

#[tokio::test]
async fn an_accepted_channel_dropped_at_each_poll_is_closed() {
    let pair = pair(Options::default()).await;
    for polls in 0..2 {
        let opening = pair.client.open(ChannelType::Session);
        let accepting = async {
            let mut theirs = accept(&pair.server).await;
            let _ = polled(polls, theirs.read_u8()).await;
        };
        let (ours, ()) = soon("an open", async { tokio::join!(opening, accepting) }).await;
        soon("the close", ours.unwrap().closed()).await;
    }
}
