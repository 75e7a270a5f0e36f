//! Connections that come back with their forwards, and those where the server is the one that dials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssh_client::channel::{GlobalRequest, bound_port_reply};
use ssh_client::kex::DisconnectReason;
use ssh_client::tokio_driver::Handle;
use ssh_client::{
    Backoff, Client, Config, Credentials, Error, Forwarding, HostKeys, ListenOn, Listening, Reconnecting,
    ReverseListener, Standing, Target,
};
use ssh_server::Peer;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::scripted::{agree, asked, forwarded, refused, scripted, soon};
use crate::{Answers, Notes, host_key, server};

/// Quick, so that a test need not wait.
const QUICK: Backoff = Backoff {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(40),
};

/// A client that connects to servers with a script, and the servers' ends as they come.
fn scripted_again_and_again() -> (Reconnecting, mpsc::UnboundedReceiver<Handle>, Arc<AtomicUsize>) {
    let (ends, servers) = mpsc::unbounded_channel();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    let reconnecting = Reconnecting::with(QUICK, move || {
        let (ends, attempt) = (ends.clone(), counter.fetch_add(1, Ordering::SeqCst));
        async move {
            // Every other attempt finds nobody.
            if attempt % 2 == 1 {
                return Err(Error::Connect {
                    address: ssh_client::Address {
                        host: "host.example".to_owned(),
                        port: 22,
                    },
                    source: std::io::ErrorKind::ConnectionRefused.into(),
                });
            }
            let (client, server) = scripted(&Config::default()).await;
            let _gone = ends.send(server);
            Ok(client)
        }
    });
    (reconnecting, servers, attempts)
}

fn target() -> Target {
    Target::serve(|_stream| async {})
}

#[tokio::test]
async fn a_lost_connection_comes_back_with_its_forwards_at_their_ports() {
    let (reconnecting, mut servers, attempts) = scripted_again_and_again();
    let mut server = soon("a server", servers.recv()).await.unwrap();
    let there = Forwarding::new(ListenOn::server("", 0), target());
    let reply = bound_port_reply(45_000);
    let (there, _) = tokio::join!(reconnecting.forward(there), agree(&server, &reply));
    let mut there = there.unwrap();
    let mut here = reconnecting
        .forward(Forwarding::new(ListenOn::here("127.0.0.1", 0), target()))
        .await
        .unwrap();
    let Some(Listening::Here(address)) = here.listening() else {
        panic!("{here:?}")
    };
    for round in 1..4 {
        server
            .disconnect_with(DisconnectReason::ByApplication, "maintenance")
            .await;
        server = soon("the next server", servers.recv()).await.unwrap();
        assert_eq!(attempts.load(Ordering::SeqCst), 2 * round + 1);
        // The server still holds the port: it is asked again, for the same one.
        let first = asked(&server).await;
        assert!(matches!(first.request(), GlobalRequest::TcpipForward(wanted) if wanted.port == 45_000));
        first.refuse();
        agree(&server, b"").await;
        while there.listening().is_none() {
            soon("the forward at the server", there.changed()).await;
        }
        // Until it is back, nobody is let in.
        soon("the forward here", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(matches!(there.listening(), Some(Listening::Server(bound)) if bound.port == 45_000));
        TcpStream::connect(address).await.unwrap();
        assert!(
            reconnecting
                .client()
                .await
                .unwrap()
                .handle()
                .why_closed()
                .is_none()
        );
    }
    // One that is dropped does not come back; the server is told.
    drop(there);
    assert_eq!(agree(&server, b"").await.name(), "cancel-tcpip-forward");
    refused(&server, forwarded("", 45_000)).await;
    // The whole ends with its handle.
    drop(reconnecting);
    soon("the end", server.closed()).await;
    while here.listening().is_some() {
        soon("the end of the forward", here.changed()).await;
    }
}

#[tokio::test]
async fn a_forward_that_fails_the_first_time_is_the_callers_to_hear() {
    let (reconnecting, mut servers, _) = scripted_again_and_again();
    let server = soon("a server", servers.recv()).await.unwrap();
    let refusal = async { asked(&server).await.refuse() };
    let there = Forwarding::new(ListenOn::server("", 80), target());
    let (refused, ()) = tokio::join!(reconnecting.forward(there), refusal);
    assert!(matches!(*refused.unwrap_err(), Error::RequestRefused { .. }));
}

#[tokio::test]
async fn what_no_pause_mends_is_not_tried_again() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    let mut reconnecting = Reconnecting::with(QUICK, move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let config = Config::default();
        async move {
            let (near, far) = tokio::io::duplex(crate::PIPE_BYTES);
            let server = server(
                &Arc::default(),
                ssh_server::Config::default(),
                ssh_server::Limits::default(),
            );
            tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
            let believed = HostKeys::pinned(host_key().public().clone());
            let wrong = Credentials::password("wrong");
            Client::over(&config, near, ("host.example", 22), "alice", believed, wrong).await
        }
    });
    let standing = soon("the end", reconnecting.changed()).await;
    assert!(
        matches!(&standing, Standing::GivenUp(error) if matches!(**error, Error::LoginRefused { .. })),
        "{standing:?}"
    );
    assert!(reconnecting.client().await.is_err());
    let forwarding = Forwarding::new(ListenOn::here("127.0.0.1", 0), target());
    assert!(reconnecting.forward(forwarding).await.is_err());
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_dials_and_the_client_that_listens_logs_in() {
    let listener = ReverseListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let notes = Arc::new(Notes {
        answers: Answers::Starts,
        ..Notes::default()
    });
    let dialling = server(
        &notes,
        ssh_server::Config::default(),
        ssh_server::Limits::default(),
    );
    tokio::spawn(async move {
        for _ in 0..2 {
            let stream = TcpStream::connect(address).await.unwrap();
            let _ended = dialling.serve_stream(stream, Peer::named("the client")).await;
        }
    });
    let log_in = async |key: HostKeys| {
        let dialled = soon("a server", listener.accept()).await.unwrap();
        assert!(dialled.peer_addr().ip().is_loopback());
        let password = Credentials::password("secret");
        dialled
            .log_in(&Config::default(), "the-device", "alice", key, password)
            .await
    };
    let client = log_in(HostKeys::pinned(host_key().public().clone()))
        .await
        .unwrap();
    assert_eq!(
        (client.address().host.as_str(), client.user()),
        ("the-device", "alice")
    );
    client.disconnect().await;
    // Whoever dials has to prove who it is all the same.
    let stranger = ssh_client::keys::PrivateKey::generate_ed25519(&mut ssh_testkit::rng::seeded(9), "x");
    let error = log_in(HostKeys::pinned(stranger.public().clone()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HostKey { .. }), "{error}");
}
