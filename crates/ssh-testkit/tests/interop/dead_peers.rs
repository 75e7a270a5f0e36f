//! OpenSSH that plays dead, in both seats: its process is stopped, so the system keeps its sockets open and takes bytes
//! for it until its buffers are full. Only keepalives can tell.

use std::io::Read;
use std::process::{ChildStdout, Command};
use std::time::{Duration, Instant};

use ssh_client::channel::GlobalRequest;
use ssh_client::tokio_driver::{self, Keepalive};
use ssh_client::{Client, Config};
use ssh_testkit::openssh::Server;
use ssh_testkit::peers;
use ssh_testkit::running::Running;
use ssh_testkit::stopped::{Stopped, descendants};
use tokio::io::AsyncWriteExt;

use crate::openssh_server::{connect, server};
use crate::ours::Ours;

/// Short, so that the test is, and long enough for a busy machine to answer while it lives.
const KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_secs(3),
    count_max: 2,
};

/// How long the tests wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(120);

async fn client(server: &Server) -> Client {
    let config = Config {
        keepalive: Some(KEEPALIVE),
        ..Config::default()
    };
    connect(server, &config).await.unwrap()
}

async fn is_found_dead(client: &Client) {
    let why = tokio::time::timeout(PATIENCE, client.closed())
        .await
        .expect("an end");
    match &*why {
        tokio_driver::Error::KeepaliveTimeout { probes, silent } => {
            assert_eq!(*probes, KEEPALIVE.count_max);
            assert!(*silent >= KEEPALIVE.interval * 3, "{silent:?}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_openssh_server_is_found_dead() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    // While it lives it answers the very question.
    let asked = client.handle().global_request(&GlobalRequest::Keepalive).await;
    assert!(asked.is_ok(), "{asked:?}");
    let _stopped = Stopped::stop(descendants(server.id()));
    is_found_dead(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_openssh_server_is_found_dead_while_its_buffers_are_full() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let mut process = client.exec("cat > /dev/null").spawn().await.unwrap();
    process.stdin.write_all(b"it is read").await.unwrap();
    let _stopped = Stopped::stop(descendants(server.id()));
    let writing = async {
        loop {
            if let Err(error) = process.stdin.write_all(&[7; 32 * 1024]).await {
                break error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, writing).await.expect("an end");
    assert!(error.to_string().contains("no answer to 2 keepalives"), "{error}");
    is_found_dead(&client).await;
}

/// OpenSSH's `ssh` in a server of ours that asks for signs of life, with the output of `command`, of which one line has
/// come.
fn inside(command: &str) -> Option<(Ours, Running, ChildStdout)> {
    let program = peers::need("ssh")?;
    let ours = Ours::with(|config| config.keepalive = Some(KEEPALIVE));
    // It has no patience of its own, so that our side decides.
    let mut line: Command = ours.client(&program, &["-o", "ServerAliveInterval=0"]);
    line.arg(ours.destination()).arg(command);
    let (running, mut output) = Running::start_reading(&mut line);
    let mut first = [0; 6];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"ready\n");
    assert_eq!(ours.connections(), 1);
    Some((ours, running, output))
}

fn is_sent_away(ours: &Ours) {
    let begin = Instant::now();
    while ours.connections() > 0 {
        assert!(begin.elapsed() < PATIENCE, "the dead client is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_stopped_openssh_client_is_sent_away() {
    let Some((ours, ssh, _output)) = inside("echo ready; exec sleep 1000") else {
        return;
    };
    let _stopped = Stopped::stop(vec![ssh.id()]);
    is_sent_away(&ours);
}

#[test]
fn a_stopped_openssh_client_is_sent_away_while_its_buffers_are_full() {
    let Some((ours, ssh, _output)) = inside("echo ready; exec cat /dev/zero") else {
        return;
    };
    let _stopped = Stopped::stop(vec![ssh.id()]);
    is_sent_away(&ours);
}
