//! Many clients that learn new hosts at the same time write one file.

use std::sync::Arc;

use ssh_client::keys::PrivateKey;
use ssh_client::{Client, Config, Credentials, Error, HostKeys};
use ssh_server::{Peer, Server};
use ssh_testkit::rng::seeded;
use tokio::io::duplex;
use tokio::task::JoinSet;

use crate::{Notes, PIPE_BYTES};

/// How many clients there are.
const CLIENTS: u16 = 64;

/// The key of the host of that number.
fn key(number: u16) -> PrivateKey {
    PrivateKey::generate_ed25519(&mut seeded(1000 + u64::from(number)), "host")
}

/// Connects to the host of that number, whose file of known hosts is `known`.
async fn meet(number: u16, shown: PrivateKey, known: HostKeys) -> Result<Client, Error> {
    let (near, far) = duplex(PIPE_BYTES);
    let config = ssh_server::Config {
        password_login: true,
        ..ssh_server::Config::default()
    };
    let server = Server::builder()
        .config(config)
        .host_key(shown)
        .build(Arc::new(Notes::default()))
        .unwrap();
    tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    let mut config = Config::default();
    config
        .transport
        .preferences
        .edit_kex("curve25519-sha256")
        .unwrap();
    let address = (format!("host{number}.example"), 22);
    let password = Credentials::password("secret");
    Client::over(&config, near, address, "alice", known, password).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_learn_hosts_at_the_same_time_lose_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new").join("known_hosts");
    let known = HostKeys::known_hosts(&file);
    let mut meeting = JoinSet::new();
    for number in 0..CLIENTS {
        meeting.spawn(meet(number, key(number), known.clone().accept_new()));
    }
    while let Some(met) = meeting.join_next().await {
        met.unwrap().unwrap().disconnect().await;
    }
    // Whole lines, one for each, in any order.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<String> = (0..CLIENTS)
        .map(|number| format!("host{number}.example {}", key(number).public().to_openssh("")))
        .collect();
    expected.sort_unstable();
    let trimmed: Vec<&str> = expected.iter().map(|line| line.trim_end()).collect();
    assert_eq!(lines, trimmed);
    assert!(text.ends_with('\n'));
    // Each is known from now on, and believed by its own key alone.
    for number in [0, CLIENTS - 1] {
        let client = meet(number, key(number), known.clone()).await.unwrap();
        client.disconnect().await;
        let changed = meet(number, key(number + 1), known.clone().accept_new()).await;
        assert!(matches!(changed, Err(Error::HostKey { .. })), "{changed:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "nothing was added");
}
