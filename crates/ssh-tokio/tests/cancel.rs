//! Every future may be dropped at any point: nothing is lost, nothing is left over, nobody sleeps for ever.

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
#[allow(dead_code, reason = "stress uses the rest")]
mod dropped;

use std::pin::pin;
use std::time::Duration;

use common::{Options, Pair, accept, bytes, channel, pair};
use dropped::{impatient, serve};
use ssh_tokio::Parts;
use ssh_tokio::channel::{ChannelRequest, ChannelType, Exec, GlobalRequest, TcpipForward, WindowPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// So long something may take that should happen at once: for busy machines, and it decides nothing.
const PATIENCE: Duration = Duration::from_secs(120);

async fn check_alive(pair: &Pair) {
    let echo = async {
        let mut channel = pair.client.open(ChannelType::Session).await.unwrap();
        channel.write_all(b"still alive?").await.unwrap();
        channel.shutdown().await.unwrap();
        let mut answer = String::new();
        channel.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "still alive?");
    };
    tokio::time::timeout(PATIENCE, echo)
        .await
        .expect("the connection hangs");
}

#[tokio::test]
async fn opens_and_requests_dropped_at_every_poll_leave_the_connection_usable() {
    let pair = pair(Options::default()).await;
    serve(&pair);
    let exec: ChannelRequest = Exec::new("x").into();
    let forward = GlobalRequest::TcpipForward(TcpipForward {
        address: String::new(),
        port: 0,
    });
    for polls in (0..6).cycle().take(120) {
        impatient(polls, pair.client.open(ChannelType::Session)).await;
        impatient(polls, pair.client.global_request(&forward)).await;
        impatient(polls, pair.client.incoming()).await;
        impatient(polls, pair.client.closed()).await;
        let mut channel = pair.client.open(ChannelType::Session).await.unwrap();
        impatient(polls, channel.request(&exec)).await;
        assert!(
            channel.request(&exec).await.unwrap(),
            "the answers are still in step"
        );
        impatient(polls, channel.next_request()).await;
        impatient(polls, channel.closed()).await;
        if polls == 5 {
            pair.client.rekey().unwrap();
        }
        impatient(polls, check_alive(&pair)).await;
    }
    check_alive(&pair).await;
}

#[tokio::test]
async fn an_accepted_channel_whose_opener_has_gone_is_closed() {
    let pair = pair(Options::default()).await;
    for polls in 1..4 {
        impatient(polls, pair.client.open(ChannelType::Session)).await;
        let mut theirs = accept(&pair.server).await;
        tokio::time::timeout(PATIENCE, theirs.closed())
            .await
            .expect("nobody closed it");
    }
}

/// Reads and writes through futures that are dropped after a few polls: a stream must come out as it went in.
async fn impatient_streams(options: Options, count: usize) {
    let pair = pair(options).await;
    let (ours, theirs) = channel(&pair).await;
    let data = bytes(count);
    let mut writer = ours.split().writer;
    let Parts {
        mut reader,
        control: _open,
        ..
    } = theirs.split();
    let to_send = data.clone();
    let sending = tokio::spawn(async move {
        let (mut sent, mut round) = (0, 0);
        while sent < to_send.len() {
            round += 1;
            let piece = &to_send[sent..to_send.len().min(sent + 1 + round * 977 % 100_000)];
            if let Some(count) = impatient(round % 4, writer.write(piece)).await {
                sent += count.unwrap();
            }
            if round % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        writer.shutdown().await.unwrap();
    });
    let (mut received, mut round) = (Vec::new(), 0);
    let mut buffer = vec![0; 50_000];
    loop {
        round += 1;
        let room = 1 + round * 613 % buffer.len();
        let read = impatient(round % 4, reader.read(&mut buffer[..room])).await;
        match read {
            Some(Ok(0)) => break,
            Some(count) => received.extend_from_slice(&buffer[..count.unwrap()]),
            None => tokio::task::yield_now().await,
        }
        if round % 5 == 0 {
            match impatient(2, reader.next_chunk()).await {
                Some(Ok(Some(chunk))) => received.extend_from_slice(&chunk),
                Some(Ok(None)) => break,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
    }
    sending.await.unwrap();
    assert!(
        received == data,
        "{} of {} bytes, or others",
        received.len(),
        data.len()
    );
}

#[tokio::test]
async fn reads_and_writes_dropped_at_any_poll_lose_nothing() {
    impatient_streams(Options::default(), 8 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_writes_dropped_at_any_poll_lose_nothing_on_two_threads() {
    let mut options = Options::default();
    options.transport.rekey.bytes = 1 << 20;
    options.server.window = WindowPolicy {
        initial: 50_000,
        max: 50_000,
        budget: 1 << 20,
    };
    impatient_streams(options, 3 << 20).await;
}

#[tokio::test]
async fn a_dropped_writer_takes_nobodys_turn() {
    let pair = pair(Options {
        pipe_bytes: 4096,
        ..Options::default()
    })
    .await;
    let (first, first_server) = channel(&pair).await;
    let (second, second_server) = channel(&pair).await;
    let reading = tokio::spawn(async move {
        let mut drain = first_server.split().reader;
        let mut keep = second_server.split().reader;
        let other = tokio::spawn(async move { while let Ok(Some(_)) = drain.next_chunk().await {} });
        let mut count = 0;
        while count < 4 << 20 {
            count += keep.next_chunk().await.unwrap().unwrap().len();
        }
        other.abort();
    });
    let mut greedy = first.split().writer;
    let mut patient = second.split().writer;
    let data = bytes(4 << 20);
    // The greedy one fills the outbox, waits for its turn, and is dropped then, again and again.
    let pestering = async {
        loop {
            impatient(2, greedy.write_all(&data)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        written = patient.write_all(&data) => written.unwrap(),
        () = pestering => unreachable!(),
        () = tokio::time::sleep(PATIENCE) => panic!("starved"),
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn a_disconnect_dropped_at_any_poll_still_disconnects() {
    for polls in 1..4 {
        let Pair { client, server } = pair(Options::default()).await;
        {
            let mut goodbye = pin!(impatient(polls, client.disconnect()));
            goodbye.as_mut().await;
        }
        let why = tokio::time::timeout(PATIENCE, server.closed()).await.unwrap();
        assert!(why.to_string().contains("ended the connection"), "{why}");
    }
}
