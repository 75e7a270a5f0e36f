//! A server whose every answer the test gives: what an honest one says, or what none would.

use std::future::Future;
use std::time::Duration;

use ssh_client::auth::server::{Attempt, Authenticator, Event, Policy};
use ssh_client::channel::{ChannelType, Connection, ForwardedTcpip, GlobalRequest, OpenFailure};
use ssh_client::tokio_driver::{
    self, Channel, Handle, Incoming, IncomingGlobal, OpenError, next_event, now, start,
};
use ssh_client::{Client, Config, Error};
use tokio::io::duplex;

use crate::{PIPE_BYTES, client, exchange_as_server};

/// A client of ours and the server's end of its connection.
pub async fn scripted(config: &Config) -> (Client, Handle) {
    let (near, mut far) = duplex(PIPE_BYTES);
    let server = async {
        let transport = exchange_as_server(&mut far).await;
        let mut login = Authenticator::new(transport, Policy::default(), now());
        let session = loop {
            match next_event(&mut login, &mut far).await.unwrap() {
                Event::Attempt(Attempt::Password(attempt)) => login.answer(attempt.accept()),
                Event::Success(_) => break login.into_session().unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let accept_opens = ChannelType::NAMES.to_vec();
        let channels = ssh_client::channel::Config {
            accept_opens,
            ..Default::default()
        };
        let driver = tokio_driver::Config {
            incoming: 1_000,
            keepalive: None,
        };
        let (handle, driver) = start(Connection::new(session, channels), far, driver);
        tokio::spawn(driver);
        handle
    };
    let (client, server) = tokio::join!(client(config, near), server);
    (client.unwrap(), server)
}

/// The next global request the client makes.
pub async fn asked(server: &Handle) -> IncomingGlobal {
    match soon("a request", server.incoming()).await {
        Some(Incoming::Global(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// Waits for a request to listen and agrees, with `reply`.
pub async fn agree(server: &Handle, reply: &[u8]) -> GlobalRequest {
    let asked = asked(server).await;
    let request = asked.request().clone();
    asked.accept(reply);
    request
}

/// A connection to a port that the server claims to listen on.
pub fn forwarded(address: &str, port: u16) -> ChannelType {
    ForwardedTcpip {
        address: address.to_owned(),
        port,
        originator: "192.0.2.7".to_owned(),
        originator_port: 4_711,
    }
    .into()
}

/// The server opens a channel that the client accepts.
pub async fn opens(server: &Handle, kind: ChannelType) -> Channel {
    soon("the answer to an open", server.open(kind)).await.unwrap()
}

/// The server opens a channel that the client refuses.
pub async fn refused(server: &Handle, kind: ChannelType) -> OpenFailure {
    match soon("the answer to an open", server.open(kind.clone())).await {
        Err(OpenError::Refused(failure)) => failure,
        other => panic!("{kind:?}: {other:?}"),
    }
}

/// What takes longer hangs.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .unwrap_or_else(|_| panic!("{what} hangs"))
}

/// The words of a refusal.
pub fn request_refused<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::RequestRefused { request, .. }) => request,
        other => panic!("{other:?}"),
    }
}
