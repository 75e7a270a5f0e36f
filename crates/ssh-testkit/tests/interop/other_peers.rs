//! PuTTY and Dropbear: their clients into our server, our client into Dropbear's server.

use std::path::Path;
use std::process::{Command, Stdio};

use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_testkit::openssh::{Account, Keys};
use ssh_testkit::peers;
use ssh_testkit::running::{Running, free_port, run_with, wait_for_greeting};

use crate::openssh_server::public_key;
use crate::ours::Ours;

/// Bytes that go through a client: enough for many packets, little enough for a slow one.
const BYTES: usize = 20 << 20;

/// Feeds the client zeros and compares what the remote `sha256sum` says, and the exit status.
fn carries_bytes_and_status(mut client: Command, folder: &Path) {
    let expected = run_with(&mut Command::new("sha256sum"), vec![0; BYTES]).with_code(0);
    let found = run_with(
        client.arg("sha256sum; exit 7").env("HOME", folder),
        vec![0; BYTES],
    )
    .with_code(7);
    assert_eq!(found.stdout, expected.stdout);
}

pub(crate) fn converted(tool: &Path, arguments: &[&str], keys: &Keys) {
    let status = Command::new(tool)
        .args(arguments)
        .current_dir(keys.folder())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{} {arguments:?}", tool.display());
}

#[test]
fn plink_runs_a_command_through_our_server() {
    let (Some(plink), Some(puttygen)) = (peers::need("plink"), peers::need("puttygen")) else {
        return;
    };
    let ours = Ours::start();
    converted(
        &puttygen,
        &["user", "-O", "private", "-o", "user.ppk"],
        &ours.keys,
    );
    let mut client = Command::new(plink);
    client
        .args(["-batch", "-ssh", "-P", &ours.port.to_string(), "-i"])
        .arg(ours.keys.path("user.ppk"));
    client.args([
        "-hostkey",
        &public_key(&ours.keys, "host").fingerprint().to_string(),
        &ours.destination(),
    ]);
    carries_bytes_and_status(client, ours.keys.folder());
}

#[test]
fn plink_refuses_another_host_key_before_it_logs_in() {
    let (Some(plink), Some(puttygen)) = (peers::need("plink"), peers::need("puttygen")) else {
        return;
    };
    let ours = Ours::start();
    converted(
        &puttygen,
        &["user", "-O", "private", "-o", "user.ppk"],
        &ours.keys,
    );
    let wrong = public_key(&ours.keys, "stranger").fingerprint().to_string();
    let output = Command::new(plink)
        .args(["-batch", "-ssh", "-P", &ours.port.to_string(), "-i"])
        .arg(ours.keys.path("user.ppk"))
        .args(["-hostkey", &wrong, &ours.destination(), "true"])
        .env("HOME", ours.keys.folder())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(ours.attempts().is_empty(), "{:?}", ours.attempts());
}

#[test]
fn dropbears_client_runs_a_command_through_our_server() {
    let (Some(dbclient), Some(convert)) = (peers::need("dbclient"), peers::need("dropbearconvert")) else {
        return;
    };
    let ours = Ours::start();
    converted(&convert, &["openssh", "dropbear", "user", "user.db"], &ours.keys);
    let mut client = Command::new(dbclient);
    client
        .args(["-y", "-y", "-p", &ours.port.to_string(), "-i"])
        .arg(ours.keys.path("user.db"));
    client.arg(ours.destination());
    carries_bytes_and_status(client, ours.keys.folder());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_logs_in_to_dropbear_by_key_and_by_password() {
    let (Some(dropbear), Some(convert)) = (peers::need("dropbear"), peers::need("dropbearconvert")) else {
        return;
    };
    let Some(account) = Account::make("drop") else {
        return;
    };
    let keys = Keys::make();
    converted(&convert, &["openssh", "dropbear", "host", "host.db"], &keys);
    // Dropbear takes keys from the account's home alone.
    let home = format!("/home/{}/.ssh", account.name);
    let line = std::fs::read_to_string(keys.path("user.pub")).unwrap();
    std::fs::create_dir(&home).unwrap();
    std::fs::write(format!("{home}/authorized_keys"), line).unwrap();
    let owned = Command::new("chown")
        .args(["-R", &account.name, &home])
        .status()
        .unwrap();
    assert!(owned.success());
    let port = free_port();
    let mut command = Command::new(dropbear);
    command
        .args(["-F", "-p", &format!("127.0.0.1:{port}"), "-r"])
        .arg(keys.path("host.db"));
    command.arg("-P").arg(keys.path("dropbear.pid"));
    let mut server = Running::start(&mut command);
    wait_for_greeting(&mut server, port).unwrap();
    let logins = [
        Credentials::key_file(keys.path("user")),
        Credentials::password(&account.password),
    ];
    for (credentials, compression) in logins.into_iter().zip(["^zlib@openssh.com", "none"]) {
        let host_keys = HostKeys::pinned(public_key(&keys, "host"));
        let mut config = Config::default();
        config
            .transport
            .preferences
            .edit_compression(compression)
            .unwrap();
        let client = Client::connect_with(
            &config,
            ("127.0.0.1", port),
            &account.name,
            host_keys,
            credentials,
        )
        .await
        .unwrap();
        assert!(compression.ends_with(client.negotiated().outgoing.compression.name));
        let output = client
            .exec("cat; echo oops >&2; exit 7")
            .stdin(vec![5; 3_000_000])
            .output()
            .await
            .unwrap();
        assert!(output.stdout == vec![5; 3_000_000] && output.stderr == b"oops\n");
        assert_eq!(output.status.code(), Some(7));
        client.disconnect().await;
    }
}
