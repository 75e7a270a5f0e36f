//! Peers that keep the letter of the protocol and mean harm: silence where an answer is due, an end in the middle, more
//! than anybody asked for. Nobody may hang, forget what was said, or grow without bound because of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_client::channel::{ChannelRequest, ChannelType, Connection, Env, Event, ExitStatus, Stream};
use ssh_client::kex;
use ssh_client::tokio_driver::{Channel, Config, Handle, Incoming, MAX_WAITING_REQUEST_BYTES, relay, start};
use ssh_client::wire::Layer;
use ssh_client::{Client, Credentials, HostKeys};
use ssh_server::{
    Application, Candidate, Decision, Forward, Limits, Login, Peer, Permissions, Server, Session, Target,
};
use ssh_testkit::pair::{Fault, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// What takes longer hangs.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Both sides of a channel, and the handles that keep their connections.
async fn channel() -> (Channel, Channel, Handle, Handle) {
    channel_with(&Arc::default()).await
}

/// The same; the server falls silent for ever when `freeze` is notified.
async fn channel_with(freeze: &Arc<Notify>) -> (Channel, Channel, Handle, Handle) {
    let ends = Setup::default().connect().ends;
    let (near, far) = tokio::io::duplex(64 * 1024);
    let config = Config {
        incoming: 16,
        keepalive: None,
    };
    let (client, client_driver) = start(ends.client, near, config.clone());
    let (server, server_driver) = start(ends.server, far, config);
    tokio::spawn(client_driver);
    let freeze = Arc::clone(freeze);
    tokio::spawn(async move {
        let mut driver = pin!(server_driver);
        tokio::select! {
            () = &mut driver => {}
            () = freeze.notified() => std::future::pending().await,
        }
    });
    let accept = async {
        match server.incoming().await {
            Some(Incoming::Open(open)) => open.accept().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let (ours, theirs) = tokio::join!(client.open(ChannelType::Session), accept);
    (ours.unwrap(), theirs, client, server)
}

/// Everything `from` has to send reaches `to`, which then has its say.
fn carry(from: &mut Connection, to: &mut Connection, now: Instant) -> Vec<Event> {
    let bytes = std::mem::take(from.transmit());
    from.transmitted(bytes.len());
    to.read_buffer().extend_from_slice(&bytes);
    let mut events = Vec::new();
    while let Some(event) = to.poll(now).unwrap() {
        events.push(event);
    }
    events
}

#[test]
fn data_does_not_overtake_the_confirmation_that_waited_for_new_keys() {
    let mut pair = Setup::default().connect();
    pair.ends.client.open(ChannelType::Session).unwrap();
    pair.pump().unwrap();
    let Some(Event::Open(opening)) = pair.server_events.pop_front() else {
        panic!("no open arrived");
    };
    let now = pair.ends.clock.now();
    let (client, server) = (&mut pair.ends.client, &mut pair.ends.server);
    server.start_rekey(now);
    let id = server.accept(opening);
    assert_eq!(server.write(id, Stream::Data, b"x"), Ok(0));
    carry(server, client, now);
    // The client's KEXINIT and public value: the server's NEWKEYS is out, the client's is still to come.
    carry(client, server, now);
    assert!(!server.session().is_changing_keys());
    server.write(id, Stream::Data, b"x").unwrap();
    let heard = carry(server, client, now);
    assert!(
        heard.iter().any(|event| matches!(event, Event::Opened(_))),
        "{heard:?}"
    );
    assert!(
        heard.iter().any(|event| matches!(event, Event::Readable(..))),
        "{heard:?}"
    );
}

#[tokio::test]
async fn an_exit_status_survives_an_end_that_comes_at_once() {
    let (mut ours, theirs, client, server) = channel().await;
    let mut control = theirs.split().control;
    control.send_request(&ExitStatus { status: 7 }.into()).unwrap();
    control.close();
    soon("the goodbye", server.disconnect()).await;
    // Nobody asked before the connection was over.
    soon("the end", client.closed()).await;
    let asked = soon("the request", ours.next_request()).await;
    assert_eq!(
        asked.as_ref().map(|asked| asked.request()),
        Some(&ExitStatus { status: 7 }.into())
    );
    assert!(
        soon("the end of the requests", ours.next_request())
            .await
            .is_none()
    );
    soon("closed", control.closed()).await;
}

#[tokio::test]
async fn closing_a_channel_wakes_its_own_readers_and_writers() {
    let freeze = Arc::default();
    let (ours, _silent, _client, _server) = channel_with(&freeze).await;
    freeze.notify_one();
    let mut parts = ours.split();
    let writing = tokio::spawn(async move { parts.writer.write_all(&vec![0; 64 << 20]).await });
    let reading = tokio::spawn(async move { parts.reader.next_chunk().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    // The peer will never close.
    parts.control.close();
    assert!(soon("the writer", writing).await.unwrap().is_err());
    assert!(matches!(soon("the reader", reading).await.unwrap(), Ok(None)));
}

#[tokio::test]
async fn saying_eof_wakes_a_writer_that_waits() {
    let (ours, _silent, _client, _server) = channel().await;
    let mut parts = ours.split();
    let writing = tokio::spawn(async move { parts.writer.write_all(&vec![0; 64 << 20]).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    parts.control.eof().unwrap();
    assert!(soon("the writer", writing).await.unwrap().is_err());
}

#[tokio::test]
async fn requests_nobody_looks_at_are_bounded_in_bytes() {
    let (ours, mut theirs, _client, _server) = channel().await;
    let large: ChannelRequest = Env::new("X", vec![b'x'; 100 * 1024]).into();
    let small: ChannelRequest = Env::new("X", vec![b'x'; MAX_WAITING_REQUEST_BYTES / 4]).into();
    for request in [&small, &small, &small, &large, &large] {
        ours.send_request(request).unwrap();
    }
    // Refused at once: it would go beyond.
    assert!(matches!(
        soon("the refusal", ours.request(&large)).await,
        Ok(false)
    ));
    for _ in 0..3 {
        let asked = soon("what waited", theirs.next_request()).await.unwrap();
        assert_eq!(asked.request(), &small);
    }
    // A single large one may always wait.
    ours.send_request(&large).unwrap();
    let asked = soon("the large one", theirs.next_request()).await.unwrap();
    assert_eq!(asked.request(), &large);
}

#[tokio::test]
async fn a_relay_ends_with_its_channel_even_if_the_stream_is_silent() {
    let (ours, theirs, _client, _server) = channel().await;
    let (near, mut far) = tokio::io::duplex(1024);
    let relaying = tokio::spawn(relay(ours, near));
    let mut theirs = theirs.split();
    theirs.writer.write_all(b"last words").await.unwrap();
    theirs.control.close();
    let mut words = Vec::new();
    soon("the stream", far.read_to_end(&mut words)).await.unwrap();
    assert_eq!(words, b"last words");
    soon("the relay", relaying).await.unwrap().unwrap();
}

/// C6: nobody reads standard error of a forwarded connection, and the window is both streams' own.
#[tokio::test]
async fn standard_error_on_a_relayed_channel_does_not_stop_the_data() {
    let (ours, theirs, _client, _server) = channel().await;
    let (near, mut far) = tokio::io::duplex(1024);
    let relaying = tokio::spawn(relay(ours, near));
    let mut theirs = theirs.split();
    // Far more than a window.
    let noise = vec![b'e'; 1 << 20];
    for _ in 0..20 {
        soon("the noise", theirs.stderr_writer.write_all(&noise))
            .await
            .unwrap();
    }
    soon("the words", theirs.writer.write_all(b"words"))
        .await
        .unwrap();
    theirs.control.close();
    let mut words = Vec::new();
    soon("the stream", far.read_to_end(&mut words)).await.unwrap();
    assert_eq!(words, b"words");
    soon("the relay", relaying).await.unwrap().unwrap();
}

/// Lets everybody in; a session ends at once, with status 3.
struct Hasty;

impl Application for Hasty {
    async fn password(&self, _candidate: &Candidate, _password: &[u8]) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, mut session: Session) {
        while let Some(request) = session.next().await {
            if let ssh_server::Request::Start(start) = request {
                start.accept();
                return session.exit(3);
            }
        }
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
        Forward::Connect
    }
}

async fn client_of_hasty() -> Client {
    let host_key = Setup::default().host_key();
    let config = ssh_server::Config {
        password_login: true,
        ..ssh_server::Config::default()
    };
    let server = Server::builder().host_key(host_key).config(config);
    let limits = Limits {
        max_forwards: 1,
        ..Limits::default()
    };
    let server = server.limits(limits).build(Hasty).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { server.serve_stream(far, Peer::named("memory")).await });
    let (keys, password) = (HostKeys::dangerous_accept_any(), Credentials::password("x"));
    Client::over(
        &ssh_client::Config::default(),
        near,
        "memory",
        "somebody",
        keys,
        password,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn an_input_that_never_ends_does_not_outlive_the_program() {
    let client = client_of_hasty().await;
    let (_open, input) = tokio::io::duplex(16);
    let run = client.exec("anything").stdin_from(input).output();
    assert_eq!(soon("output", run).await.unwrap().status.code(), Some(3));
}

#[tokio::test]
async fn a_forward_lets_go_of_a_target_whose_channel_is_closed() {
    let client = client_of_hasty().await;
    let target = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    let (channel, accepted) = tokio::join!(client.direct_tcpip("127.0.0.1", port), target.accept());
    let (mut silent, _) = accepted.unwrap();
    let mut channel = channel.unwrap();
    channel.write_all(b"last words").await.unwrap();
    channel.shutdown().await.unwrap();
    drop(channel);
    let mut words = Vec::new();
    soon("the target", silent.read_to_end(&mut words)).await.unwrap();
    assert_eq!(words, b"last words");
    // The target says nothing and stays; the only place for a forward is free again all the same.
    let again = async {
        while client.direct_tcpip("127.0.0.1", port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the next forward", again).await;
}

#[test]
fn a_stranger_cannot_make_a_server_change_keys_for_ever() {
    let mut ends = Setup::default().transports();
    for _ in 0..kex::MAX_EARLY_EXCHANGES {
        ends.client.start_rekey(ends.clock.now());
        ends.settle(&mut |_, _| {}, &mut |_, _| {}).unwrap();
    }
    ends.client.start_rekey(ends.clock.now());
    let fault = ends.settle(&mut |_, _| {}, &mut |_, _| {}).unwrap_err();
    let Fault::Server(error) = fault else {
        panic!("{fault:?}")
    };
    assert!(
        error.to_string().contains("changes of keys before login"),
        "{error}"
    );
}
