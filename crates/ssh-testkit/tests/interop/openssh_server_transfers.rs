//! Our client library into OpenSSH's `sshd`: data in bulk, and new keys while it moves.

use std::process::Stdio;

use ssh_client::{Client, Config, ExitStatus};
use ssh_testkit::openssh::Server;

use crate::bulk::{Bulk, Checksum, PART, WHOLE, first_word};
use crate::openssh_server::{client, connect, server};

/// A program behind the server checks what we send.
async fn send(client: &Client, bulk: Bulk) {
    let mut source = tokio::process::Command::new("sh");
    source
        .arg("-c")
        .arg(bulk.command())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut source = source.spawn().unwrap();
    let output = client
        .exec("sha256sum")
        .stdin_from(source.stdout.take().unwrap())
        .output()
        .await
        .unwrap();
    assert_eq!(first_word(&output.stdout_text()), bulk.digest);
    assert!(output.status.success());
}

/// A program behind the server sends what we check.
async fn receive(client: &Client, bulk: Bulk) {
    let mut process = client.exec(bulk.command()).spawn().await.unwrap();
    let mut checksum = Checksum::default();
    while let Some(chunk) = process.stdout.next_chunk().await.unwrap() {
        checksum.update(&chunk);
    }
    assert_eq!(checksum.bytes, bulk.bytes);
    assert_eq!(checksum.finish(), bulk.digest);
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_data_goes_in() {
    let Some(server) = server("") else { return };
    send(&client(&server).await, WHOLE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_data_comes_out() {
    let Some(server) = server("") else { return };
    receive(&client(&server).await, WHOLE).await;
}

/// How often the server took new keys into use.
fn key_changes(server: &Server) -> usize {
    server.log().matches("SSH2_MSG_NEWKEYS received").count()
}

/// Many exchanges, so a quick method: the default may be one for which each takes ten milliseconds.
fn quick() -> Config {
    let mut config = Config::default();
    config
        .transport
        .preferences
        .edit_kex("curve25519-sha256")
        .unwrap();
    config
}

/// More exchanges than this have to be seen while [`PART`] moves. While one goes on, as much as the window allows may
/// come in under the old keys: there are not always 64.
const MANY: usize = 12;

fn every_mib() -> Config {
    let mut config = quick();
    config.transport.rekey.bytes = 1 << 20;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn we_ask_for_new_keys_every_mib() {
    let Some(server) = server("LogLevel DEBUG1") else {
        return;
    };
    let client = connect(&server, &every_mib()).await.unwrap();
    send(&client, PART).await;
    let sent = key_changes(&server);
    receive(&client, PART).await;
    assert!(
        sent > MANY && key_changes(&server) > sent + MANY,
        "{sent}, {}",
        key_changes(&server)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_asks_for_new_keys_every_mib() {
    let Some(server) = server("LogLevel DEBUG1\nRekeyLimit 1M") else {
        return;
    };
    let client = connect(&server, &quick()).await.unwrap();
    send(&client, PART).await;
    let sent = key_changes(&server);
    receive(&client, PART).await;
    assert!(
        sent > MANY && key_changes(&server) > sent + MANY,
        "{sent}, {}",
        key_changes(&server)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ask_for_new_keys_at_once() {
    let Some(server) = server("RekeyLimit 1M") else {
        return;
    };
    let client = connect(&server, &every_mib()).await.unwrap();
    // Both directions at the same time, too.
    tokio::join!(send(&client, PART), receive(&client, PART));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_asked_for_by_hand_disturbs_nothing() {
    let Some(server) = server("LogLevel DEBUG1") else {
        return;
    };
    let client = client(&server).await;
    for _ in 0..20 {
        client.rekey().unwrap();
        assert!(client.run("exit 0").await.unwrap().status.success());
    }
    assert!(key_changes(&server) > 20, "{}", key_changes(&server));
}
