//! Our two ends on a link that loses three packets in a hundred, while keys change again and again under load (case 6 of the
//! security page). Other people's clients and servers on such a link: `tests/interop/rekeyed/`.

use std::net::IpAddr;
use std::time::Duration;

use ssh_client::kex::RekeyPolicy;
use ssh_client::{Client, HostKeys};
use ssh_testkit::lossy::LossyLink;

use super::rekeys::{SELDOM, busy_server, bytes, goes_on, patient};
use super::script::host_key;

/// A hundred channels, files and pings with the limit on both sides, at the far end our client.
async fn goes_on_over(policy: RekeyPolicy, exchanges: u64) {
    let folder = tempfile::tempdir().unwrap();
    let Some(link) = LossyLink::make() else {
        return;
    };
    let listening = busy_server(IpAddr::V4(link.near), policy, folder.path()).await;
    let port = listening.local_addr().port();
    let (stream, _far_end) = link.connect(port);
    let believed = HostKeys::pinned(host_key().public().clone());
    let password = ssh_client::Credentials::password("secret");
    let client = Client::over(
        &patient(policy),
        stream,
        (link.near.to_string(), port),
        "alice",
        believed,
        password,
    )
    .await
    .unwrap();
    goes_on(
        &client,
        folder.path(),
        &format!("{policy:?}, with losses"),
        exchanges,
    )
    .await;
    client.disconnect().await;
    let lost = link.lost();
    println!("{lost} packets were lost");
    assert!(lost > 0, "the link loses nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_16_bytes_for_each_key_where_packets_are_lost() {
    goes_on_over(bytes(16), 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_kibibyte_for_each_key_where_packets_are_lost() {
    goes_on_over(bytes(1 << 10), 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_mebibyte_for_each_key_where_packets_are_lost() {
    goes_on_over(bytes(1 << 20), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_second_for_each_key_where_packets_are_lost() {
    let second = RekeyPolicy {
        time: Some(Duration::from_secs(1)),
        ..SELDOM
    };
    goes_on_over(second, 4).await;
}
