//! Each step up to the login has its own limit and its own error, whatever the peer does: says nothing, stops in the
//! middle, or sends a little now and then for ever.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ssh_client::kex::{self, Transport};
use ssh_client::tokio_driver::HandshakeError;
use ssh_client::{Client, Config, Credentials, Error, HostKeys, Phase};
use ssh_server::Peer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::{Notes, PIPE_BYTES, client, exchange_as_client, exchange_as_server, flush, server};

/// How a peer wastes our time in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waste {
    /// It says nothing more.
    Mute,
    /// It sends something every few seconds: less than any limit between two of its bytes, and never what is due.
    Drip,
}

/// The interval of a peer that drips: shorter than the shortest limit here.
const DRIP: Duration = Duration::from_secs(4);

/// Longer than every limit here: whoever still waits then has none.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A limit, and the little that ending politely may take.
fn is_about(took: Duration, limit: Duration) -> bool {
    took >= limit && took < limit + Duration::from_secs(1)
}

/// Reads what comes, and writes one byte now and then if it drips, for as long as somebody listens.
async fn waste(stream: DuplexStream, waste: Waste, byte: u8) {
    let (mut from, mut to) = tokio::io::split(stream);
    let reading = async {
        let mut buffer = [0; 1024];
        while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    let dripping = async {
        if waste == Waste::Drip {
            loop {
                sleep(DRIP).await;
                if to.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::join!(reading, dripping);
}

/// The same with whole messages that mean nothing, in good keys.
async fn waste_messages(mut transport: Transport, mut stream: DuplexStream, waste: Waste) {
    if waste == Waste::Mute {
        return std::future::pending().await;
    }
    loop {
        sleep(DRIP).await;
        transport.send_debug(false, "please wait").unwrap();
        if flush(&mut transport, &mut stream).await.is_err() {
            return;
        }
    }
}

/// A peer that wastes time in one phase. Between the identification and the login it is in the middle of a packet
/// of 16 KiB, of which it sends one byte at a time.
async fn waste_in(phase: Phase, how: Waste, mut stream: DuplexStream, side: Side) {
    match (phase, side) {
        (Phase::Connect | Phase::Identification, _) => waste(stream, how, b'S').await,
        (Phase::KeyExchange, _) => {
            stream
                .write_all(b"SSH-2.0-Slow\r\n\x00\x00\x40\x04\x04")
                .await
                .unwrap();
            waste(stream, how, 20).await;
        }
        (Phase::Login, Side::Server) => {
            let transport = exchange_as_server(&mut stream).await;
            waste_messages(transport, stream, how).await;
        }
        (Phase::Login, Side::Client) => {
            let transport = exchange_as_client(&mut stream).await;
            waste_messages(transport, stream, how).await;
        }
    }
}

/// Who wastes the time.
#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// Times that are told apart, so that none of them can be meant for another.
fn timeouts() -> Config {
    let mut config = Config::default();
    config.timeouts.connect = Duration::from_secs(10);
    config.timeouts.identification = Duration::from_secs(11);
    config.timeouts.key_exchange = Duration::from_secs(12);
    config.timeouts.login = Duration::from_secs(13);
    config
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wastes_time_is_given_up_with_the_host_the_step_and_the_limit() {
    for (phase, seconds) in [
        (Phase::Identification, 11),
        (Phase::KeyExchange, 12),
        (Phase::Login, 13),
    ] {
        for how in [Waste::Mute, Waste::Drip] {
            let (near, far) = duplex(PIPE_BYTES);
            let wasting = tokio::spawn(waste_in(phase, how, far, Side::Server));
            let begin = Instant::now();
            let ended = timeout(FOR_EVER, client(&timeouts(), near)).await;
            let error = ended.expect("a limit for all of the phase").unwrap_err();
            let limit = Duration::from_secs(seconds);
            assert!(
                matches!(&error, Error::Timeout { phase: found, limit: told, .. } if *found == phase && *told == limit),
                "{phase:?} {how:?}: {error:?}"
            );
            let text = error.to_string();
            for word in [
                "host.example",
                "2022",
                &phase.to_string(),
                &format!("{seconds} seconds"),
            ] {
                assert!(text.contains(word), "{word}: {text}");
            }
            assert!(
                is_about(begin.elapsed(), limit),
                "{phase:?} {how:?}: {:?}",
                begin.elapsed()
            );
            wasting.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_wastes_time_is_sent_away_with_its_address_the_step_and_the_limit() {
    use ssh_server::Phase as Step;
    for (phase, step, own_limit) in [
        (Phase::Identification, Step::Identification, 11),
        (Phase::KeyExchange, Step::KeyExchange, 12),
        // The login has what is left of the grace time, and no other limit.
        (Phase::Login, Step::Login, u64::MAX),
    ] {
        // A short grace time is over before any other limit, a long one leaves the first two steps their own.
        for (how, grace) in [
            (Waste::Mute, 10),
            (Waste::Mute, 600),
            (Waste::Drip, 10),
            (Waste::Drip, 600),
        ] {
            let (near, far) = duplex(PIPE_BYTES);
            let wasting = tokio::spawn(waste_in(phase, how, far, Side::Client));
            let limits = ssh_server::Limits {
                identification_time: Duration::from_secs(11),
                key_exchange_time: Duration::from_secs(12),
                login_grace_time: Duration::from_secs(grace),
                ..ssh_server::Limits::default()
            };
            let server = server(&Arc::new(Notes::default()), ssh_server::Config::default(), limits);
            let peer = Peer::tcp("192.0.2.7:4022".parse().unwrap(), "192.0.2.1:22".parse().unwrap());
            let begin = Instant::now();
            let ended = timeout(FOR_EVER, server.serve_stream(near, peer)).await;
            let error = ended.expect("a limit for all of the phase").unwrap_err();
            let seconds = grace.min(own_limit);
            let limit = Duration::from_secs(seconds);
            let (grace_is_over, found, told) = match &error {
                ssh_server::Error::Timeout { phase, limit, .. } => (false, *phase, *limit),
                ssh_server::Error::GraceTimeOver { phase, limit, .. } => (true, *phase, *limit),
                other => panic!("{phase:?} {how:?} {grace}: {other:?}"),
            };
            assert_eq!(
                (grace_is_over, found, told),
                (grace < own_limit, step, limit),
                "{how:?}: {error:?}"
            );
            let text = error.to_string();
            for word in ["192.0.2.7:4022", &step.to_string(), &format!("{seconds} seconds")] {
                assert!(text.contains(word), "{word}: {text}");
            }
            assert!(
                is_about(begin.elapsed(), limit),
                "{phase:?} {how:?}: {:?}",
                begin.elapsed()
            );
            wasting.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_even_if_the_time_is_over_before_the_farewell_has_left() {
    let grace = Duration::from_secs(10);
    let limits = ssh_server::Limits {
        login_grace_time: grace,
        ..ssh_server::Limits::default()
    };
    // Our own first messages do not fit this pipe, and nobody reads them.
    let (near, mut far) = duplex(64);
    let nonsense = tokio::spawn(async move {
        sleep(grace.saturating_sub(Duration::from_millis(100))).await;
        far.write_all(b"nonsense\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let server = server(&Arc::new(Notes::default()), ssh_server::Config::default(), limits);
    let begin = Instant::now();
    let error = server
        .serve_stream(near, Peer::named("a pipe"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            ssh_server::Error::KeyExchange(HandshakeError::Layer(kex::Error::Identification(_)))
        ),
        "{error:?}"
    );
    assert_eq!(begin.elapsed(), grace);
    nonsense.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_no_limit_has_none() {
    let mut config = Config::default();
    config.timeouts.connect = Duration::MAX;
    config.timeouts.identification = Duration::MAX;
    config.timeouts.key_exchange = Duration::MAX;
    config.timeouts.login = Duration::MAX;
    config.timeouts.open = Duration::MAX;
    for phase in [Phase::Identification, Phase::KeyExchange, Phase::Login] {
        let (near, far) = duplex(PIPE_BYTES);
        let wasting = tokio::spawn(waste_in(phase, Waste::Mute, far, Side::Server));
        let still = timeout(FOR_EVER, client(&config, near)).await;
        assert!(still.is_err(), "{phase:?}: {still:?}");
        wasting.abort();
    }
    let client = crate::joined(&config, &Arc::new(Notes::default())).await;
    assert!(matches!(
        client.run("true").await,
        Err(Error::RequestRefused { .. })
    ));
    client.disconnect().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_takes_to_type_is_not_the_servers_time() {
    let limits = ssh_server::Limits {
        login_grace_time: FOR_EVER,
        ..ssh_server::Limits::default()
    };
    let (near, far) = duplex(PIPE_BYTES);
    let server = server(&Arc::new(Notes::default()), ssh_server::Config::default(), limits);
    tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let (answer, answered) = std::sync::mpsc::channel();
    let answered = Mutex::new(answered);
    let typed = Credentials::password_asking(move |_question| {
        ask.send(()).unwrap();
        answered.lock().unwrap().recv().ok()
    });
    let typing = async {
        asked.recv().await.unwrap();
        tokio::time::advance(Duration::from_secs(3600)).await;
        answer.send(b"secret".to_vec()).unwrap();
    };
    let believed = HostKeys::pinned(crate::host_key().public().clone());
    let config = timeouts();
    let client = Client::over(&config, near, ("host.example", 2022), "alice", believed, typed);
    let (client, ()) = tokio::join!(client, typing);
    client.unwrap().disconnect().await;
}

/// A port on which nothing is accepted and the queue of those who wait is full: the system drops what comes beyond, and
/// a connection to it stays under way, as one to an address where nobody is. The sockets keep it so.
#[cfg(target_os = "linux")]
fn black_hole() -> (SocketAddr, Vec<Box<dyn std::any::Any>>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut kept: Vec<Box<dyn std::any::Any>> = vec![Box::new(listener)];
    for _ in 0..64 {
        // By the system's clock: tokio's would not wait until a busy system has made the connection.
        match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(3)) {
            Ok(stream) => kept.push(Box::new(stream)),
            Err(_elapsed) => return (address, kept),
        }
    }
    panic!("the queue of a port takes more than it was set to");
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_answer_is_given_up_with_the_step_of_its_own() {
    let (address, _kept) = black_hole();
    let limit = Duration::from_secs(10);
    let config = timeouts();
    let begin = Instant::now();
    let connecting = Client::connect_with(
        &config,
        address,
        "alice",
        HostKeys::dangerous_accept_any(),
        Credentials::none(),
    );
    let error = timeout(FOR_EVER, connecting).await.expect("a limit").unwrap_err();
    assert!(
        matches!(&error, Error::Timeout { phase: Phase::Connect, limit: told, .. } if *told == limit),
        "{error:?}"
    );
    let text = error.to_string();
    for word in [&address.to_string(), "connecting", "10 seconds"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(is_about(begin.elapsed(), limit), "{:?}", begin.elapsed());
}
