//! Peers that logged in or let us in, and then are gone without a word: no end of the stream, no reset, nothing. In both
//! roles, with nothing to send and with more to send than the way takes.

use std::sync::Arc;
use std::time::Duration;

use ssh_client::channel::{ChannelType, DirectTcpip};
use ssh_client::tokio_driver::{self, Keepalive};
use ssh_client::{Client, Config, Error};
use ssh_server::Peer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::{Answers, Notes, PIPE_BYTES, client, server};

/// Both sides' policies, told apart: whichever is given up is given up by the other's.
const CLIENTS: Keepalive = Keepalive {
    interval: Duration::from_secs(10),
    count_max: 2,
};
const SERVERS: Keepalive = Keepalive {
    interval: Duration::from_secs(7),
    count_max: 4,
};

/// What is to be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dead {
    Client,
    Server,
}

/// A way between two pipes that stops carrying anything, in both directions, when it is told to: to each end the other
/// one neither reads nor writes, and closes nothing.
fn way(cut: watch::Receiver<bool>) -> (DuplexStream, DuplexStream) {
    let (near, near_end) = duplex(PIPE_BYTES);
    let (far, far_end) = duplex(PIPE_BYTES);
    let (near_from, near_to) = tokio::io::split(near_end);
    let (far_from, far_to) = tokio::io::split(far_end);
    tokio::spawn(carry(near_from, far_to, cut.clone()));
    tokio::spawn(carry(far_from, near_to, cut));
    (near, far)
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cut: watch::Receiver<bool>,
) {
    let carrying = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            to.write_all(&buffer[..count]).await.unwrap();
        }
    };
    tokio::select! {
        () = carrying => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
    // Neither end hears of the end of the other.
    std::future::pending::<()>().await;
    drop((from, to));
}

/// Both ends, logged in, over a way that can be cut.
struct Joined {
    client: Client,
    cut: watch::Sender<bool>,
    serving: JoinHandle<Result<(), ssh_server::Error>>,
}

/// `dead` is never asked by its own side, so that only the other one can end the connection.
async fn joined(dead: Dead) -> Joined {
    let notes = Arc::new(Notes {
        answers: Answers::Starts,
        ..Notes::default()
    });
    let config = Config {
        keepalive: (dead == Dead::Server).then_some(CLIENTS),
        ..Config::default()
    };
    let servers = ssh_server::Config {
        keepalive: (dead == Dead::Client).then_some(SERVERS),
        ..ssh_server::Config::default()
    };
    let (cut, is_cut) = watch::channel(false);
    let (near, far) = way(is_cut);
    let server = server(&notes, servers, ssh_server::Limits::default());
    let serving = tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    Joined {
        client: client(&config, near).await.unwrap(),
        cut,
        serving,
    }
}

/// The error of the side that is left, as `(probes, seconds of silence)`.
fn verdict(error: &tokio_driver::Error) -> (u32, u64) {
    match error {
        tokio_driver::Error::KeepaliveTimeout { probes, silent } => (*probes, silent.as_secs()),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_living_peer_is_kept_however_long_it_is_silent() {
    for dead in [Dead::Client, Dead::Server] {
        let both = joined(dead).await;
        sleep(Duration::from_secs(24 * 60 * 60)).await;
        both.client.ping().await.unwrap();
        assert!(!both.serving.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_notices_that_the_server_is_dead() {
    let both = joined(Dead::Server).await;
    both.cut.send_replace(true);
    let begin = Instant::now();
    let why = timeout(Duration::from_secs(3600), both.client.closed())
        .await
        .unwrap();
    assert_eq!(verdict(&why), (2, 30));
    assert_eq!(begin.elapsed().as_secs(), 30);
    // Whatever is wanted afterwards names the host and says why.
    let error = both.client.run("true").await.unwrap_err();
    let text = error.to_string();
    for word in ["host.example", "no answer to 2 keepalives", "30 seconds"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_notices_that_the_client_is_dead() {
    let both = joined(Dead::Client).await;
    both.cut.send_replace(true);
    let begin = Instant::now();
    let ended = timeout(Duration::from_secs(3600), both.serving).await.unwrap();
    match ended.unwrap() {
        Err(ssh_server::Error::Connection(why)) => assert_eq!(verdict(&why), (4, 35)),
        other => panic!("{other:?}"),
    }
    assert_eq!(begin.elapsed().as_secs(), 35);
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_noticed_while_more_is_to_be_sent_than_the_way_takes() {
    let both = joined(Dead::Server).await;
    let mut process = both.client.exec("cat").spawn().await.unwrap();
    both.cut.send_replace(true);
    let begin = Instant::now();
    let mut sent = 0_usize;
    let writing = async {
        loop {
            match process.stdin.write(&[7; 32 * 1024]).await {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        }
    };
    let error = timeout(Duration::from_secs(3600), writing).await.unwrap();
    assert!(error.to_string().contains("no answer to 2 keepalives"), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 30);
    // Until then it was stopped by the full way and the full window, and held no more than those.
    assert!(sent > PIPE_BYTES && sent <= 4 * 1024 * 1024, "{sent}");
    let lost = process.wait().await.unwrap_err();
    assert!(matches!(&lost, Error::ConnectionLost { .. }), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_client_is_noticed_while_more_is_to_be_sent_than_the_way_takes() {
    use ssh_server::{Application, Candidate, Decision, Forward, Login, Permissions, Session, Target};
    /// Serves one session with output that never ends, and tells how its sending ended.
    struct Flood(tokio::sync::mpsc::UnboundedSender<std::io::Error>);
    impl Application for Flood {
        async fn password(&self, _candidate: &Candidate, _password: &[u8]) -> Decision {
            Decision::Accept(Permissions::default())
        }
        async fn session(&self, session: Session) {
            let mut channel = session.into_channel();
            loop {
                if let Err(error) = channel.write_all(&[7; 32 * 1024]).await {
                    return self.0.send(error).unwrap();
                }
            }
        }
        async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
            Forward::Refuse
        }
    }
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let config = ssh_server::Config {
        keepalive: Some(SERVERS),
        password_login: true,
        ..ssh_server::Config::default()
    };
    let server = ssh_server::Server::builder()
        .config(config)
        .host_key(crate::host_key())
        .build(Flood(told))
        .unwrap();
    let (cut, is_cut) = watch::channel(false);
    let (near, far) = way(is_cut);
    let serving = tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    let silent = Config {
        keepalive: None,
        ..Config::default()
    };
    let client = client(&silent, near).await.unwrap();
    let _session = client.handle().open(ChannelType::Session).await.unwrap();
    cut.send_replace(true);
    let begin = Instant::now();
    let error = timeout(Duration::from_secs(3600), hear.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(error.to_string().contains("no answer to 4 keepalives"), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 35);
    match serving.await.unwrap() {
        Err(ssh_server::Error::Connection(why)) => assert_eq!(verdict(&why), (4, 35)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_in_the_middle_of_a_change_of_keys_is_noticed_as_soon() {
    let both = joined(Dead::Server).await;
    let mut process = both.client.exec("cat").spawn().await.unwrap();
    both.cut.send_replace(true);
    both.client.rekey().unwrap();
    let begin = Instant::now();
    // What is written meanwhile waits for the new keys.
    let writing = process.stdin.write_all(&[7; 1024]);
    let (_lost, why) = tokio::join!(writing, both.client.closed());
    assert_eq!(verdict(&why), (2, 30));
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_anything_hears_of_a_dead_peer() {
    let both = joined(Dead::Server).await;
    let mut process = both.client.exec("cat").spawn().await.unwrap();
    both.cut.send_replace(true);
    let wanted = DirectTcpip {
        host: "db.example".to_owned(),
        port: 5432,
        originator: "127.0.0.1".to_owned(),
        originator_port: 1,
    };
    let handle = both.client.handle();
    let mut byte = [0];
    let waiting = async {
        tokio::join!(
            process.stdout.read(&mut byte),
            process.control.wait(),
            both.client.ping(),
            handle.open(wanted.into()),
        )
    };
    let (read, ended, ping, opened) = timeout(Duration::from_secs(3600), waiting).await.unwrap();
    let told = [
        read.unwrap_err().to_string(),
        ended.unwrap_err().to_string(),
        ping.unwrap_err().to_string(),
        opened.unwrap_err().to_string(),
    ];
    for text in told {
        assert!(text.contains("no answer to 2 keepalives"), "{text}");
    }
}
