//! What an application hands to `tokio::spawn` has to be `Send`: a task moves between threads.

use ssh_client::{Client, Config, Credentials, HostKeys};

fn is_send<T: Send>(value: T) -> T {
    value
}

/// Compiles or does not; nothing is connected.
#[test]
fn every_future_of_a_client_can_be_spawned() {
    let config = Config::default();
    drop(is_send(Client::connect_with(
        &config,
        ("127.0.0.1", 1),
        "user",
        HostKeys::dangerous_accept_any(),
        Credentials::none(),
    )));
    let _use = |client: Client| {
        drop(is_send(client.exec("true").output()));
        drop(is_send(client.exec("true").spawn()));
        drop(is_send(client.sftp()));
        is_send(async move { client.disconnect().await })
    };
}
