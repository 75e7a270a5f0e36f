//! The two front doors, `ssh-client` and `ssh-server`, joined by a pipe in memory, or one of them and a peer that goes
//! mute or plays dead: what an application can read of a connection, and what each step may take. The clock is tokio's
//! and stands still while anybody works, so hours pass at once and no test depends on how fast it runs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

mod dead_peers;
mod displays;
mod farewells;
mod file_calls;
mod forwards;
mod keystrokes;
mod known_hosts;
mod learning;
mod opening;
mod phases;
mod reconnecting;
mod scripted;
mod shares;
mod told;

use std::sync::{Arc, Mutex};

use ssh_client::kex::{self, Handshake, HandshakeEvent, Transport};
use ssh_client::keys::{PrivateKey, Signer};
use ssh_client::tokio_driver::{next_event, now, system_rng};
use ssh_client::wire::Layer;
use ssh_client::{Client, Config, Credentials, Error, HostKeys};
use ssh_server::{Agreed, Application, Candidate, Decision, Forward, Login, Peer, Permissions};
use ssh_server::{Request, Server, Session, Target};
use ssh_testkit::rng::seeded;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

/// What a pipe holds.
pub const PIPE_BYTES: usize = 64 * 1024;

/// An application that lets one password in, notes what it can read of the connection, and is otherwise of the kind
/// that a client must not wait for for ever: it answers only what `answers` lets it.
#[derive(Default)]
pub struct Notes {
    /// What was agreed on, as it can be read in a session.
    pub agreed: Mutex<Option<Agreed>>,
    /// How far it goes.
    pub answers: Answers,
}

/// How far the application goes with a session.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// It refuses every request, at once.
    #[default]
    Refusals,
    /// It never says whether the program is started.
    Nothing,
    /// It starts the program, which says nothing.
    Starts,
}

impl Application for Notes {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        let right = candidate.user == "alice" && password == b"secret";
        Decision::accept_if(right, Permissions::default())
    }

    async fn session(&self, mut session: Session) {
        *self.agreed.lock().unwrap() = Some(session.login().agreed.clone());
        match self.answers {
            Answers::Refusals => session.refuse_all().await,
            Answers::Nothing => std::future::pending().await,
            Answers::Starts => {
                while let Some(request) = session.next().await {
                    if let Request::Start(start) = request {
                        start.accept();
                    }
                }
            }
        }
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
        std::future::pending().await
    }
}

/// The host key of every server here.
pub fn host_key() -> PrivateKey {
    PrivateKey::generate_ed25519(&mut seeded(1), "host")
}

/// A server that lets alice in by her password.
pub fn server(
    notes: &Arc<Notes>,
    config: ssh_server::Config,
    limits: ssh_server::Limits,
) -> Server<Arc<Notes>> {
    let config = ssh_server::Config {
        password_login: true,
        ..config
    };
    let builder = Server::builder()
        .config(config)
        .limits(limits)
        .host_key(host_key());
    builder.build(Arc::clone(notes)).unwrap()
}

/// Alice, on her way in.
pub async fn client(config: &Config, stream: DuplexStream) -> Result<Client, Error> {
    let believed = HostKeys::pinned(host_key().public().clone());
    let password = Credentials::password("secret");
    Client::over(
        config,
        stream,
        ("host.example", 2022),
        "alice",
        believed,
        password,
    )
    .await
}

/// Both ends, logged in.
pub async fn joined(config: &Config, notes: &Arc<Notes>) -> Client {
    let (near, far) = duplex(PIPE_BYTES);
    let server = server(
        notes,
        ssh_server::Config::default(),
        ssh_server::Limits::default(),
    );
    tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    client(config, near).await.unwrap()
}

/// Goes through the key exchange as a server does: the beginning of a peer that keeps to the protocol until it does
/// not.
pub async fn exchange_as_server(stream: &mut DuplexStream) -> Transport {
    let key = vec![Arc::new(host_key()) as Arc<dyn Signer>];
    let config = Arc::new(kex::Config::default());
    exchange(
        Handshake::server(config, key, system_rng().unwrap(), now()),
        stream,
    )
    .await
}

/// The same as a client.
pub async fn exchange_as_client(stream: &mut DuplexStream) -> Transport {
    let config = Arc::new(kex::Config::default());
    exchange(Handshake::client(config, system_rng().unwrap(), now()), stream).await
}

async fn exchange(mut handshake: Handshake, stream: &mut DuplexStream) -> Transport {
    while let HandshakeEvent::HostKey(offer) = next_event(&mut handshake, stream).await.unwrap() {
        handshake.answer(offer.accept());
    }
    let mut transport = handshake.into_transport().unwrap();
    // A client's NEWKEYS still lies in its outbox.
    flush(&mut transport, stream).await.unwrap();
    transport
}

/// Sends what a machine has to send.
pub async fn flush(machine: &mut impl Layer, stream: &mut DuplexStream) -> std::io::Result<()> {
    let bytes = std::mem::take(machine.transmit());
    machine.transmitted(bytes.len());
    stream.write_all(&bytes).await
}
