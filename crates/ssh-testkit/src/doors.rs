//! The two front doors in one process: applications that let everybody in, and a client of one of them.

use std::sync::Arc;

use ssh_client::keys::PrivateKey;
use ssh_client::{Client, Config, Credentials, HostKeys, system_rng};
use ssh_server::keys::PublicKey;
use ssh_server::{
    Application, Builder, Candidate, Decision, Peer, Permissions, Request, Server, Services, Session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use crate::pair::Setup;

/// Says again what it hears, with as little of its own as there can be.
#[derive(Debug, Clone, Copy)]
pub struct Echo;

impl Application for Echo {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, mut session: Session) {
        while let Some(request) = session.next().await {
            if let Request::Start(start) = request {
                start.accept();
                break;
            }
        }
        let mut block = [0; 64];
        while let Ok(count @ 1..) = session.read(&mut block).await {
            if session
                .write_all(block.get(..count).unwrap_or_default())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// Serves every session with these services.
pub struct Serving(pub Services);

impl Application for Serving {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, session: Session) {
        self.0.serve(session).await;
    }
}

/// A client of a server with this application over these two ends of a stream, and the server's task.
///
/// # Panics
/// It does not get in.
pub async fn visit(
    application: impl Application,
    ends: (DuplexStream, DuplexStream),
) -> (Client, JoinHandle<()>) {
    visit_by(Server::builder(), application, ends).await
}

/// The same of a server that `builder` makes, but for its key.
///
/// # Panics
/// It does not get in.
pub async fn visit_by(
    builder: Builder,
    application: impl Application,
    (near, far): (DuplexStream, DuplexStream),
) -> (Client, JoinHandle<()>) {
    let builder = builder.host_key(Setup::default().host_key());
    let server = builder.build(application).expect("it has a host key");
    let serving = tokio::spawn(async move {
        let _ended = server.serve_stream(far, Peer::named("a test")).await;
    });
    let mut rng = system_rng().expect("the system's generator");
    let key = Arc::new(PrivateKey::generate_ed25519(&mut *rng, "test"));
    let (credentials, any) = (Credentials::signer(key), HostKeys::dangerous_accept_any());
    let config = Config::default();
    let client = Client::over(&config, near, ("test", 22), "alice", any, credentials).await;
    (client.expect("everybody gets in"), serving)
}
