//! Stories of channels: data both ways, half closes, requests, refusals, many at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::time::Duration;

use common::{Options, Pair, accept, bytes, channel, pair};
use ssh_tokio::channel::{
    ChannelRequest, ChannelType, Exec, ExitStatus, GlobalRequest, OpenFailureReason, WindowPolicy,
};
use ssh_tokio::{Channel, Incoming, OpenError, Parts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1024 * 1024;

/// Writes everything and says EOF while reading to the end.
async fn swap(channel: Channel, data: &[u8]) -> Vec<u8> {
    let Parts {
        mut reader,
        mut writer,
        ..
    } = channel.split();
    let mut received = Vec::new();
    let (sent, read) = tokio::join!(
        async {
            writer.write_all(data).await?;
            writer.shutdown().await
        },
        reader.read_to_end(&mut received)
    );
    sent.unwrap();
    read.unwrap();
    received
}

async fn data_goes_both_ways(options: Options, count: usize) {
    let pair = pair(options).await;
    let (ours, theirs) = channel(&pair).await;
    let (up, down) = (bytes(count), bytes(count + 1));
    let (at_ours, at_theirs) = tokio::join!(swap(ours, &up), swap(theirs, &down));
    assert!(at_theirs == up && at_ours == down, "the bytes differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_data_goes_both_ways_at_once_on_two_threads() {
    data_goes_both_ways(Options::default(), 32 * MIB).await;
}

#[tokio::test]
async fn much_data_goes_both_ways_at_once_on_one_thread() {
    data_goes_both_ways(Options::default(), 8 * MIB).await;
}

#[tokio::test]
async fn a_pipe_of_one_byte_and_tiny_windows_only_cost_time() {
    let mut options = Options {
        pipe_bytes: 1,
        ..Options::default()
    };
    data_goes_both_ways(options.clone(), 5_000).await;
    options.pipe_bytes = 64 * 1024;
    options.server.window = WindowPolicy {
        initial: 1,
        max: 1,
        budget: 0,
    };
    options.server.max_packet = 1;
    data_goes_both_ways(options.clone(), 1_000).await;
    options.client = options.server.clone();
    data_goes_both_ways(options, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_many_times_under_load() {
    let mut options = Options::default();
    options.transport.rekey.bytes = MIB as u64;
    data_goes_both_ways(options, 32 * MIB).await;
}

#[tokio::test]
async fn both_sides_write_before_anybody_reads() {
    let pair = pair(Options::default()).await;
    let (ours, theirs) = channel(&pair).await;
    let (up, down) = (bytes(8 * MIB), bytes(8 * MIB));
    let Parts {
        reader: mut our_reader,
        writer: mut our_writer,
        control: _ours,
        ..
    } = ours.split();
    let Parts {
        reader: mut their_reader,
        writer: mut their_writer,
        control: _theirs,
        ..
    } = theirs.split();
    let data = up.clone();
    let upload = tokio::spawn(async move { our_writer.write_all(&data).await });
    let data = down.clone();
    let download = tokio::spawn(async move { their_writer.write_all(&data).await });
    // Everything is full now: windows, outboxes, the pipe.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!upload.is_finished() && !download.is_finished());
    let (mut at_ours, mut at_theirs) = (vec![0; down.len()], vec![0; up.len()]);
    let (first, second) = tokio::join!(
        our_reader.read_exact(&mut at_ours),
        their_reader.read_exact(&mut at_theirs)
    );
    first.unwrap();
    second.unwrap();
    assert!(at_ours == down && at_theirs == up);
    upload.await.unwrap().unwrap();
    download.await.unwrap().unwrap();
}

#[tokio::test]
async fn eof_leaves_the_other_direction_open() {
    let pair = pair(Options::default()).await;
    let (mut ours, mut theirs) = channel(&pair).await;
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut question = String::new();
    theirs.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    let answer = bytes(3 * MIB);
    let (sent, received) = tokio::join!(
        async {
            theirs.write_all(&answer).await.unwrap();
            theirs.shutdown().await
        },
        async {
            let mut received = Vec::new();
            ours.read_to_end(&mut received).await.unwrap();
            received
        }
    );
    sent.unwrap();
    assert!(received == answer);
    assert!(ours.write_all(b"late").await.is_err(), "after our own EOF");
}

#[tokio::test]
async fn all_that_was_written_before_the_close_arrives() {
    let pair = pair(Options::default()).await;
    let (mut ours, mut theirs) = channel(&pair).await;
    theirs.write_all(b"last words").await.unwrap();
    theirs.send_request(&ExitStatus { status: 7 }.into()).unwrap();
    drop(theirs);
    let mut words = String::new();
    ours.read_to_string(&mut words).await.unwrap();
    assert_eq!(words, "last words");
    let status = ours.next_request().await.unwrap();
    assert_eq!(*status.request(), ExitStatus { status: 7 }.into());
    assert!(ours.next_request().await.is_none());
    ours.closed().await;
    assert!(ours.control().lost().is_none(), "the channel ended well");
    assert_eq!(
        ours.write_all(b"x").await.unwrap_err().kind(),
        std::io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn stderr_is_a_stream_of_its_own_and_unread_streams_hold_up_nobody() {
    let pair = pair(Options::default()).await;
    let (ours, theirs) = channel(&pair).await;
    let ours = ours.split();
    let mut theirs = theirs.split();
    let (out, err) = (bytes(3 * MIB), bytes(MIB));
    let (mut stdout, mut stderr) = (ours.reader, ours.stderr_reader);
    let (mut at_stdout, mut at_stderr) = (Vec::new(), Vec::new());
    let ((), first, second) = tokio::join!(
        async {
            theirs.writer.write_all(&out).await.unwrap();
            theirs.stderr_writer.write_all(&err).await.unwrap();
            theirs.writer.shutdown().await.unwrap();
        },
        stdout.read_to_end(&mut at_stdout),
        stderr.read_to_end(&mut at_stderr)
    );
    first.unwrap();
    second.unwrap();
    assert!(at_stdout == out && at_stderr == err);

    // Nobody wants stderr: more than a window of it must not stop the rest.
    let (ours, theirs) = channel(&pair).await;
    let mut ours = ours.split();
    drop(ours.stderr_reader);
    let mut theirs = theirs.split();
    theirs.stderr_writer.write_all(&bytes(5 * MIB)).await.unwrap();
    theirs.writer.write_all(b"still here").await.unwrap();
    let mut text = [0; 10];
    ours.reader.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"still here");
}

#[tokio::test]
async fn requests_are_answered_in_order_and_refused_when_dropped() {
    let pair = pair(Options::default()).await;
    let (ours, mut theirs) = channel(&pair).await;
    let serve = async {
        for accept in [true, false, true] {
            let asked = theirs.next_request().await.unwrap();
            assert!(asked.wants_reply());
            match accept {
                true => asked.accept(),
                false => drop(asked),
            }
        }
        let told = theirs.next_request().await.unwrap();
        assert!(!told.wants_reply());
        assert_eq!(*told.request(), ChannelRequest::Eow);
        theirs
    };
    let ask = async {
        let exec: ChannelRequest = Exec::new("true").into();
        let (first, second, third) =
            tokio::join!(ours.request(&exec), ours.request(&exec), ours.request(&exec));
        assert_eq!(
            [first.unwrap(), second.unwrap(), third.unwrap()],
            [true, false, true]
        );
        ours.send_request(&ChannelRequest::Eow).unwrap();
    };
    let (_theirs, ()) = tokio::join!(serve, ask);
}

#[tokio::test]
async fn an_open_is_refused_with_a_reason_or_by_dropping_it() {
    let pair = pair(Options::default()).await;
    let serve = async {
        for give_reason in [true, false] {
            match pair.server.incoming().await.unwrap() {
                Incoming::Open(open) if give_reason => {
                    assert_eq!(*open.channel_type(), ChannelType::Session);
                    open.refuse(OpenFailureReason::CONNECT_FAILED, "no way");
                }
                other => drop(other),
            }
        }
    };
    let ask = async {
        for expected in [
            OpenFailureReason::CONNECT_FAILED,
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        ] {
            match pair.client.open(ChannelType::Session).await {
                Err(OpenError::Refused(failure)) => assert_eq!(failure.reason, expected),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::join!(serve, ask);
    // A client that listens to nothing refuses by itself.
    match pair.server.open(ChannelType::Session).await {
        Err(OpenError::Refused(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn global_requests_are_answered_or_refused() {
    let pair = pair(Options::default()).await;
    let serve = async {
        for answer in [Some(&b"payload"[..]), None] {
            match (pair.server.incoming().await.unwrap(), answer) {
                (Incoming::Global(asked), Some(payload)) => asked.accept(payload),
                (other, _) => drop(other),
            }
        }
    };
    let request = GlobalRequest::TcpipForward(ssh_tokio::channel::TcpipForward {
        address: "localhost".to_owned(),
        port: 0,
    });
    let ask = async {
        let granted = pair.client.global_request(&request).await.unwrap();
        assert_eq!(granted.as_deref(), Some(&b"payload"[..]));
        assert_eq!(pair.client.global_request(&request).await.unwrap(), None);
    };
    tokio::join!(serve, ask);
    assert_eq!(
        pair.server.global_request(&request).await.unwrap(),
        None,
        "nobody listens on the client's side"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_channels_echo_at_once() {
    let pair = pair(Options::default()).await;
    let server = pair.server.clone();
    let serving = tokio::spawn(async move {
        for _ in 0..1_000 {
            let channel = accept(&server).await;
            tokio::spawn(async move {
                let mut parts = channel.split();
                while let Some(chunk) = parts.reader.next_chunk().await.unwrap() {
                    parts.writer.write_all(&chunk).await.unwrap();
                }
                parts.writer.shutdown().await.unwrap();
                parts.control.closed().await;
            });
        }
    });
    let mut echoes = tokio::task::JoinSet::new();
    for index in 0..1_000 {
        let client = pair.client.clone();
        echoes.spawn(async move {
            let channel = client.open(ChannelType::Session).await.unwrap();
            let data = bytes(1_000 + 61 * index);
            assert!(swap(channel, &data).await == data);
        });
        // Opens beyond what the server lets wait are refused, so they come in bunches.
        if index % 32 == 31 {
            while echoes.len() > 16 {
                echoes.join_next().await.unwrap().unwrap();
            }
        }
    }
    while let Some(echo) = echoes.join_next().await {
        echo.unwrap();
    }
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_transfer_and_a_stalled_reader_do_not_starve_a_shell() {
    let pair = pair(Options::default()).await;
    let (stalled, stalled_server) = channel(&pair).await;
    let (bulk, bulk_server) = channel(&pair).await;
    let (mut shell, mut shell_server) = channel(&pair).await;
    // Fills its window and is never read.
    let mut writer = stalled_server.split().writer;
    let stalled_writer = tokio::spawn(async move { writer.write_all(&bytes(16 * MIB)).await });
    let mut writer = bulk_server.split().writer;
    let bulk_writer = tokio::spawn(async move {
        loop {
            if writer.write_all(&[7; 256 * 1024]).await.is_err() {
                return;
            }
        }
    });
    let mut reader = bulk.split().reader;
    let bulk_reader = tokio::spawn(async move { while let Ok(Some(_)) = reader.next_chunk().await {} });
    let echo = tokio::spawn(async move {
        let mut key = [0];
        while shell_server.read_exact(&mut key).await.is_ok() {
            shell_server.write_all(&key).await.unwrap();
        }
    });
    for _ in 0..200 {
        let mut key = [1];
        let pressed = async {
            shell.write_all(&key).await.unwrap();
            shell.read_exact(&mut key).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(120), pressed)
            .await
            .expect("the echo never came");
    }
    for task in [
        stalled_writer.abort_handle(),
        bulk_writer.abort_handle(),
        bulk_reader.abort_handle(),
    ] {
        task.abort();
    }
    echo.abort();
    drop(stalled);
}

#[tokio::test]
async fn a_pair_shares_what_it_agreed_on() {
    let Pair { client, server } = pair(Options::default()).await;
    assert_eq!(client.session_id(), server.session_id());
    assert_eq!(client.user(), "somebody");
    assert_eq!(server.user(), "somebody");
    assert!(client.peer_identification().starts_with("SSH-2.0-"));
    assert!(client.negotiated().strict);
    client.rekey().unwrap();
    let (ours, theirs) = {
        let pair = Pair { client, server };
        channel(&pair).await
    };
    let (first, second) = tokio::join!(swap(ours, b"after"), swap(theirs, b"rekeying"));
    assert_eq!(
        (first.as_slice(), second.as_slice()),
        (&b"rekeying"[..], &b"after"[..])
    );
}

#[tokio::test]
async fn what_the_peer_may_open_changes_while_the_connection_lives() {
    let pair = pair(Options::default()).await;
    let open = || pair.client.open(ChannelType::AuthAgent);
    let Err(OpenError::Refused(failure)) = open().await else {
        panic!("opened what is not allowed");
    };
    assert_eq!(failure.reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED);
    pair.server.allow_opens("auth-agent@openssh.com");
    let (opened, ()) = tokio::join!(open(), async {
        let Some(Incoming::Open(asked)) = pair.server.incoming().await else {
            panic!("nothing arrived");
        };
        assert_eq!(asked.channel_type(), &ChannelType::AuthAgent);
        asked.accept().unwrap();
    });
    opened.unwrap();
    pair.server.forbid_opens("auth-agent@openssh.com");
    assert!(matches!(open().await, Err(OpenError::Refused(_))));
}

#[tokio::test]
async fn what_may_wait_changes_while_the_connection_lives() {
    let pair = pair(Options::default()).await;
    let open = |server: &ssh_tokio::Handle| {
        let server = server.clone();
        tokio::spawn(async move { server.open(ChannelType::AuthAgent).await })
    };
    pair.client.allow_opens("auth-agent@openssh.com");
    let refusal = async |open: tokio::task::JoinHandle<Result<Channel, OpenError>>| match open.await.unwrap()
    {
        Err(OpenError::Refused(failure)) => failure.reason,
        other => panic!("{other:?}"),
    };
    let reason = refusal(open(&pair.server)).await;
    assert_eq!(
        reason,
        OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        "none may wait"
    );
    pair.client.limit_incoming(1);
    let mut opens = [open(&pair.server), open(&pair.server)];
    let [first, second] = &mut opens;
    // One waits, and there is no room for the other.
    let ended = tokio::select! { ended = first => ended, ended = second => ended };
    assert!(
        matches!(ended.unwrap(), Err(OpenError::Refused(failure)) if failure.reason == OpenFailureReason::RESOURCE_SHORTAGE)
    );
    pair.client.limit_incoming(0);
    let [first, second] = opens;
    let waited = if first.is_finished() { second } else { first };
    let reason = refusal(waited).await;
    assert_eq!(reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED);
}

#[tokio::test]
async fn a_watch_sees_what_moves_and_ends_the_channel_without_holding_it() {
    let pair = pair(Options::default()).await;
    let (mut ours, mut theirs) = channel(&pair).await;
    let (near, far) = (ours.watch(), theirs.watch());
    assert_eq!((near.moved(), far.moved()), (Some(0), Some(0)));
    ours.write_all(b"abc").await.unwrap();
    theirs.read_exact(&mut [0; 3]).await.unwrap();
    theirs.write_all(b"de").await.unwrap();
    ours.read_exact(&mut [0; 2]).await.unwrap();
    assert_eq!((near.moved(), far.moved()), (Some(5), Some(5)));
    near.close();
    assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    drop((ours, theirs));
    assert_eq!((near.moved(), far.moved()), (None, None));
}
