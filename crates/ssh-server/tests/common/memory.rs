//! A client over a stream in memory, made of the rooms below the front doors.

use std::sync::Arc;

use ssh_server::auth::client::{Authenticator, Event};
use ssh_server::auth::{Session as AuthSession, UserName};
use ssh_server::channel::{self, ChannelRequest, ChannelType, Connection};
use ssh_server::kex::{self, Handshake, HandshakeEvent};
use ssh_server::keys::{PrivateKey, Signer};
use ssh_server::tokio_driver::{self, Channel, Handle, next_event, system_rng};
use ssh_server::{Application, Peer, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{PATIENCE, text};

/// How to log in.
pub enum Proof<'a> {
    Key(&'a PrivateKey),
    Password(&'a [u8]),
    Nothing,
}

/// Connects to `server` in memory and logs in; `None` if the server does not let `user` in.
pub async fn connect<A: Application>(server: &Server<A>, user: &str, proof: Proof<'_>) -> Option<Handle> {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let server = server.clone();
    tokio::spawn(async move { server.serve_stream(theirs, Peer::named("memory")).await });
    over(ours, user, proof).await
}

/// The same over any stream.
pub async fn over<S>(mut stream: S, user: &str, proof: Proof<'_>) -> Option<Handle>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let session = log_in(&mut stream, user, proof).await?;
    let connection = Connection::new(session, channel::Config::default());
    let config = tokio_driver::Config {
        incoming: 16,
        ..tokio_driver::Config::default()
    };
    let (handle, driver) = tokio_driver::start(connection, stream, config);
    tokio::spawn(driver);
    Some(handle)
}

async fn log_in<S>(stream: &mut S, user: &str, proof: Proof<'_>) -> Option<AuthSession>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let now = tokio::time::Instant::now().into_std();
    let mut handshake = Handshake::client(Arc::new(kex::Config::default()), system_rng().unwrap(), now);
    while let HandshakeEvent::HostKey(offer) = next_event(&mut handshake, stream).await.unwrap() {
        handshake.answer(offer.accept());
    }
    let transport = handshake.into_transport().unwrap();
    let mut authenticator = Authenticator::new(transport, UserName::new(user).unwrap());
    let mut tried = false;
    loop {
        match next_event(&mut authenticator, stream).await.ok()? {
            Event::Turn(_) if tried => return None,
            Event::Turn(turn) => {
                tried = true;
                let attempt = match &proof {
                    Proof::Password(password) => turn.password(password),
                    Proof::Nothing => turn.none(),
                    Proof::Key(key) => turn.publickey(key.public().clone(), key.algorithms()[0]),
                };
                authenticator.attempt(attempt);
            }
            Event::SignatureWanted(request) => {
                let Proof::Key(key) = &proof else { return None };
                let signed = request.sign_with(*key as &dyn Signer).unwrap();
                authenticator.signed(signed);
            }
            Event::Success => return authenticator.into_session().ok(),
            _ => {}
        }
    }
}

/// A session channel.
pub async fn session(handle: &Handle) -> Channel {
    handle.open(ChannelType::Session).await.unwrap()
}

/// Whether the server agrees to a request.
pub async fn asked(channel: &Channel, request: impl Into<ChannelRequest>) -> bool {
    channel.request(&request.into()).await.unwrap()
}

/// Reads until `end` has come: everything since the last call.
pub async fn shown(from: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut all = Vec::new();
    while !text(&all).contains(end) {
        let mut block = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, from.read(&mut block)).await;
        let count = read
            .unwrap_or_else(|_| panic!("no {end:?}: {}", text(&all)))
            .unwrap();
        assert!(count > 0, "no {end:?}: {}", text(&all));
        all.extend_from_slice(&block[..count]);
    }
    text(&all)
}

/// Everything that a program still writes, and how it ended.
pub async fn output(mut channel: Channel) -> (String, Vec<ChannelRequest>) {
    let mut out = Vec::new();
    channel.read_to_end(&mut out).await.unwrap();
    let mut requests = Vec::new();
    while let Some(request) = channel.next_request().await {
        requests.push(request.request().clone());
    }
    (text(&out), requests)
}
