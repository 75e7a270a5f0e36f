//! What is told beside the conversation, with OpenSSH in both seats and between our own libraries: logins that name the
//! host key, pings, quirks.

use std::process::Command;

use ssh_client::kex::{Config as Transport, PingError};
use ssh_client::wire::Identification;
use ssh_client::{Client, Config, Credentials, Error, HostKeys, tokio_driver};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::openssh_server::{client, public_key, server};
use crate::ours::Ours;

/// Our client on its way into our server, with a transport of the test's own.
async fn into_ours(ours: &Ours, change: impl FnOnce(&mut Transport)) -> Client {
    let mut config = Config::default();
    change(&mut config.transport);
    let pinned = HostKeys::pinned(public_key(&ours.keys, "host"));
    let key = Credentials::key_file(ours.keys.path("user"));
    let address = ("127.0.0.1", ours.port);
    Client::connect_with(&config, address, &ours.user(), pinned, key)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn we_name_the_host_key_to_openssh() {
    let Some(server) = server("LogLevel DEBUG2") else {
        return;
    };
    let client = client(&server).await;
    assert!(client.extensions().publickey_hostbound);
    client.run("true").await.unwrap();
    client.disconnect().await;
    let log = server.log();
    assert!(
        log.contains("method publickey-hostbound-v00@openssh.com"),
        "{log}"
    );
}

#[test]
fn openssh_names_the_host_key_to_us() {
    let Some(ssh) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let mut command: Command = ours.client(&ssh, &["-vvv"]);
    let finished = run(command.arg(ours.destination()).arg("echo in")).with_code(0);
    assert_eq!(finished.stdout_text(), "in\n");
    let told = finished.stderr_text();
    assert!(told.contains("publickey-hostbound@openssh.com=<0>"), "{told}");
    assert!(
        told.contains("using publickey-hostbound-v00@openssh.com"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_measures_the_way_to_whoever_answers_pings() {
    let ours = tokio::task::spawn_blocking(Ours::start).await.unwrap();
    let to_ours = into_ours(&ours, |_| {}).await;
    to_ours.ping().await.unwrap();
    let (one, two) = tokio::join!(to_ours.ping(), to_ours.ping());
    assert!(one.is_ok() && two.is_ok());
    to_ours.disconnect().await;
    assert!(matches!(to_ours.ping().await, Err(Error::ConnectionLost { .. })));
    tokio::task::spawn_blocking(move || drop(ours)).await.unwrap();
    // Before 9.4 OpenSSH does not announce it; what it announces it does.
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let answered = client.ping().await;
    match (client.extensions().ping, answered) {
        (true, Ok(_)) => {}
        (false, Err(Error::Ping { source, .. })) => assert!(
            matches!(source, tokio_driver::PingError::Refused(PingError::NotAnnounced)),
            "{source}"
        ),
        (announced, other) => panic!("announced: {announced}, {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quirk_symbolic_links_are_made_the_right_way_round_with_those_who_follow_the_draft() {
    // Each side knows the other by its name alone: where one of two Bowlines is called by a name that it does not live
    // up to, the link is made the wrong way round; where both are, it is right again.
    for (client_name, server_name, is_right) in [
        ("Bowline_1", "Bowline_1", true),
        ("libssh_0.10.6", "AsyncSSH_2.24.0", true),
        ("Bowline_1", "AsyncSSH_2.24.0", false),
        ("libssh_0.10.6", "Bowline_1", false),
        ("libssh2_1.11.0", "Bowline_1", true),
    ] {
        let named = |name: &str| Identification::ours(name, None).unwrap();
        let start = move || Ours::with(|config| config.transport.identification = named(server_name));
        let ours = tokio::task::spawn_blocking(start).await.unwrap();
        let client = into_ours(&ours, |transport| transport.identification = named(client_name)).await;
        let sftp = client.sftp().await.unwrap();
        sftp.symlink("there", "link").await.unwrap();
        let (made, points_to) = if is_right {
            ("link", "there")
        } else {
            ("there", "link")
        };
        assert_eq!(
            std::fs::read_link(ours.keys.path(made)).unwrap(),
            std::path::Path::new(points_to),
            "{client_name} {server_name}"
        );
        client.disconnect().await;
        tokio::task::spawn_blocking(move || drop(ours)).await.unwrap();
    }
}
