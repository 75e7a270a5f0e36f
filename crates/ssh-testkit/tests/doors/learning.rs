//! What can be learnt of a server without a login: its host key, and the methods it takes.

use std::sync::{Arc, Mutex};

use ssh_client::{Answer, Client, Config, Credentials, Error, HostKeys};
use ssh_server::Peer;
use tokio::io::duplex;

use crate::{Notes, PIPE_BYTES, host_key, server};

/// A client's way to a server that lets alice in by password.
async fn visit(believed: HostKeys, credentials: Credentials) -> (Result<Client, Error>, ssh_server::Error) {
    let (near, far) = duplex(PIPE_BYTES);
    let notes = Arc::new(Notes::default());
    let server = server(
        &notes,
        ssh_server::Config::default(),
        ssh_server::Limits::default(),
    );
    let served = tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    let address = ("host.example", 2022);
    let config = Config::default();
    let client = Client::over(&config, near, address, "alice", believed, credentials).await;
    (client, served.await.unwrap().unwrap_err())
}

#[tokio::test]
async fn a_host_key_is_learnt_without_a_login() {
    let learnt = Arc::new(Mutex::new(None));
    let place = Arc::clone(&learnt);
    // The question is asked behind the check of the signature: whoever is asked knows that the host has the key.
    let folder = tempfile::tempdir().unwrap();
    let asking = HostKeys::known_hosts(folder.path().join("known_hosts")).ask(move |unknown| {
        *place.lock().unwrap() = Some(unknown.key.clone());
        Answer::Refuse
    });
    let (client, ended) = visit(asking, Credentials::password("secret")).await;
    assert!(matches!(client.unwrap_err(), Error::HostKey { .. }));
    assert_eq!(learnt.lock().unwrap().as_ref(), Some(host_key().public()));
    assert!(
        matches!(ended, ssh_server::Error::KeyExchange(_)),
        "no login was begun: {ended:?}"
    );
}

#[tokio::test]
async fn the_methods_of_a_server_are_learnt_without_a_credential() {
    let believed = HostKeys::pinned(host_key().public().clone());
    let (client, _) = visit(believed, Credentials::none()).await;
    let Err(Error::LoginRefused { methods, .. }) = client else {
        panic!("{client:?}")
    };
    assert!(methods.contains(&"password".to_owned()), "{methods:?}");
}
