//! How connections end, and what everybody hears of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Options, Pair, bytes, channel, let_in, log_in, pair, pair_over};
use ssh_tokio::channel::{self, ChannelType, Connection, GlobalRequest};
use ssh_tokio::kex::DisconnectReason;
use ssh_tokio::wire::Layer;
use ssh_tokio::{ChannelError, Config, Error, Incoming, Keepalive, OpenError, READ_STOP_BYTES, now, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .expect("it hangs")
}

/// Why a side's connection ended, as text.
async fn why(handle: &ssh_tokio::Handle) -> String {
    soon(handle.closed()).await.to_string()
}

#[tokio::test]
async fn a_goodbye_is_heard_with_its_reason() {
    let Pair { client, server } = pair(Options::default()).await;
    soon(client.disconnect_with(DisconnectReason::ByApplication, "see you")).await;
    assert!(matches!(*client.closed().await, Error::Closed));
    let heard = why(&server).await;
    assert!(heard.contains("see you"), "{heard}");
    assert!(matches!(
        client.open(ChannelType::Session).await,
        Err(OpenError::Ended(_))
    ));
    assert!(client.incoming().await.is_none() && server.incoming().await.is_none());
    soon(client.disconnect()).await;
}

/// It takes nothing after its DISCONNECT (RFC 4253 §11.1): neither what is still to be sent nor an end of the stream.
#[tokio::test(start_paused = true)]
async fn a_peer_that_has_said_goodbye_is_not_waited_for() {
    let options = Options::default();
    let (client, server) = tokio::io::duplex(1 << 16);
    let served = async {
        let (session, stream) = let_in(&options, server).await;
        let (server, driver) = start(
            Connection::new(session, options.server.clone()),
            stream,
            Config::default(),
        );
        (server, tokio::spawn(driver))
    };
    let ((session, mut client), (server, driver)) = tokio::join!(log_in(&options, client), served);
    let mut connection = Connection::new(session, options.client.clone());
    connection.disconnect(DisconnectReason::ByApplication, "");
    client.write_all(connection.transmit()).await.unwrap();
    let began = now();
    soon(driver).await.unwrap();
    assert_eq!(now(), began, "the client's end of the stream stands open");
    assert!(why(&server).await.contains("ended the connection"));
}

#[tokio::test]
async fn the_last_handle_says_goodbye_but_a_channel_keeps_the_connection() {
    let pair = pair(Options::default()).await;
    let (mut ours, mut theirs) = channel(&pair).await;
    let Pair { client, server } = pair;
    drop(client.clone());
    drop(client);
    ours.write_all(b"x").await.unwrap();
    let mut byte = [0];
    soon(theirs.read_exact(&mut byte)).await.unwrap();
    assert!(server.why_closed().is_none());
    drop(ours);
    soon(theirs.closed()).await;
    assert!(why(&server).await.contains("ended the connection"));
}

#[tokio::test]
async fn everybody_who_waits_hears_that_the_stream_is_cut() {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (pair, _driver, server_driver) = pair_over(Options::default(), client, server).await;
    let (ours, mut theirs) = channel(&pair).await;
    let mut parts = ours.split();
    let waiting = async {
        let exec = channel::Exec::new("x").into();
        let forward = GlobalRequest::TcpipForward(channel::TcpipForward {
            address: String::new(),
            port: 0,
        });
        let (read, request, next, open, global) = tokio::join!(
            parts.reader.next_chunk(),
            parts.control.request(&exec),
            pair.client.incoming(),
            pair.client.open(ChannelType::Session),
            pair.client.global_request(&forward),
        );
        assert!(matches!(read, Err(ChannelError::Ended(_))), "{read:?}");
        assert!(matches!(request, Err(ChannelError::Ended(_))), "{request:?}");
        assert!(next.is_none());
        assert!(matches!(open, Err(OpenError::Ended(_))), "{open:?}");
        assert!(matches!(global, Err(ChannelError::Ended(_))), "{global:?}");
    };
    let cutting = async {
        // The peer has all questions and answers none of them.
        let asked = (
            theirs.next_request().await.unwrap(),
            pair.server.incoming().await.unwrap(),
            pair.server.incoming().await.unwrap(),
        );
        // The task owns the stream: it is closed without a word.
        server_driver.abort();
        asked
    };
    let _unanswered = soon(async { tokio::join!(waiting, cutting) }).await;
    assert!(matches!(*pair.client.closed().await, Error::PeerClosed));
    assert!(matches!(*pair.server.closed().await, Error::DriverStopped));
    assert!(parts.writer.write_all(b"x").await.is_err());
    assert!(parts.control.lost().is_some());
}

#[tokio::test]
async fn what_arrived_before_the_end_can_still_be_read() {
    let pair = pair(Options::default()).await;
    let (mut ours, mut theirs) = channel(&pair).await;
    let data = bytes(1 << 20);
    theirs.write_all(&data).await.unwrap();
    pair.server.disconnect().await;
    why(&pair.client).await;
    let mut received = vec![0; data.len()];
    soon(ours.read_exact(&mut received)).await.unwrap();
    assert!(received == data);
    let error = ours.read(&mut received).await.unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted,
        "no silent end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_an_interval_after_the_last_question() {
    let options = Options {
        client_driver: Config {
            keepalive: Some(Keepalive {
                interval: Duration::from_secs(15),
                count_max: 3,
            }),
            incoming: 0,
        },
        ..Options::default()
    };
    let (client, server) = tokio::io::duplex(1 << 16);
    let ((session, client), _silent) = tokio::join!(
        async {
            let (session, stream) = log_in(&options, client).await;
            (session, stream)
        },
        async {
            let (mut session, mut stream) = let_in(&options, server).await;
            // SUCCESS leaves, and nothing after it.
            let bytes = std::mem::take(session.transmit());
            stream.write_all(&bytes).await.unwrap();
            (session, stream)
        }
    );
    let connection = Connection::new(session, options.client.clone());
    let (client, driver) = start(connection, client, options.client_driver.clone());
    tokio::spawn(driver);
    let begin = tokio::time::Instant::now();
    match &*client.closed().await {
        Error::KeepaliveTimeout { probes, silent } => assert_eq!((*probes, silent.as_secs()), (3, 60)),
        other => panic!("{other}"),
    }
    assert_eq!(begin.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_keepalives_is_kept() {
    let pair = pair(Options::default()).await;
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    assert!(pair.client.why_closed().is_none() && pair.server.why_closed().is_none());
    let (mut ours, mut theirs) = channel(&pair).await;
    ours.write_all(b"x").await.unwrap();
    theirs.read_exact(&mut [0]).await.unwrap();
}

/// On a clock that goes on only when nobody has anything to do: a write that takes any time is held up for good.
#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_and_never_reads_the_answers_stops_itself() {
    let mut options = Options::default();
    // A peer of our own making that keeps to no limit.
    options.client.limits.replies_expected = usize::MAX;
    let (client, server) = tokio::io::duplex(1 << 16);
    let (client, server) = tokio::join!(log_in(&options, client), async {
        let (session, stream) = let_in(&options, server).await;
        let connection = Connection::new(session, options.server.clone());
        let (server, driver) = start(connection, stream, Config::default());
        tokio::spawn(driver);
        server
    });
    let (session, mut stream) = client;
    let mut asking = Connection::new(session, options.client.clone());
    let mut sent = 0;
    loop {
        for _ in 0..1_000 {
            asking.keepalive().unwrap();
        }
        let bytes = std::mem::take(asking.transmit());
        asking.transmitted(bytes.len());
        let written = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&bytes)).await;
        if written.is_err() {
            break;
        }
        sent += bytes.len();
        assert!(sent < 8 * READ_STOP_BYTES, "the answers pile up without end");
    }
    assert!(server.why_closed().is_none(), "it is only held up");
    asking.poll(now()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_cut_at_any_byte_ends_everything_at_once() {
    for cut in (0..60).map(|step| 1 + step * step * 97) {
        let (client, near) = tokio::io::duplex(1 << 16);
        let (far, server) = tokio::io::duplex(1 << 16);
        // A wire between the two, to be cut after the login.
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        tokio::spawn(wire(near, far, Arc::clone(&left)));
        let (pair, client_driver, server_driver) = pair_over(Options::default(), client, server).await;
        left.store(cut, Ordering::Relaxed);
        let story = tokio::spawn(async move {
            let accepting = async {
                match pair.server.incoming().await {
                    Some(Incoming::Open(theirs)) => theirs.accept().ok(),
                    _ => None,
                }
            };
            let opened = tokio::join!(pair.client.open(ChannelType::Session), accepting);
            let (mut ours, mut theirs) = match opened {
                (Ok(ours), Some(theirs)) => (ours, theirs),
                (Err(OpenError::Ended(_)), _) | (_, None) => return,
                other => panic!("{other:?}"),
            };
            let (written, read) = tokio::join!(ours.write_all(&[7; 1 << 20]), async {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).await
            });
            assert!(
                written.is_err() || read.is_err(),
                "a cut stream looked like a whole one"
            );
        });
        soon(client_driver).await.unwrap();
        soon(server_driver).await.unwrap();
        soon(story).await.unwrap();
    }
}

/// Passes bytes on in both directions, and breaks when `left` bytes have come from the client.
async fn wire(mut near: tokio::io::DuplexStream, mut far: tokio::io::DuplexStream, left: Arc<AtomicUsize>) {
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let may_pass = left.load(Ordering::Relaxed);
                let count = read.unwrap().min(may_pass);
                if may_pass != usize::MAX {
                    left.fetch_sub(count, Ordering::Relaxed);
                }
                if count == 0 || far.write_all(&up[..count]).await.is_err() || may_pass == count {
                    return;
                }
            }
            read = far.read(&mut down) => {
                let count = read.unwrap();
                if count == 0 || near.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
