//! Our client and our server in memory, with an echo behind every session.

use std::sync::Arc;

use ssh_client::keys::PrivateKey;
use ssh_client::{Client, Config, Credentials, HostKeys, Process};
use ssh_server::{Limits, Peer, Server};
use ssh_testkit::doors::Echo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What goes wrong here ends the bench.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes that fit into the pipe between the two.
const PIPE_BYTES: usize = 64 * 1024;

/// A server in memory, and the key its clients log in with.
pub struct Stage {
    server: Arc<Server<Echo>>,
    key: Arc<PrivateKey>,
    config: Config,
}

impl Stage {
    /// Makes keys and a server that takes as many channels as there may be.
    pub fn set() -> Result<Self> {
        let new_key = || {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(PrivateKey::generate_ed25519(
                &mut *ssh_client::system_rng()?,
                "bench",
            ))
        };
        let limits = Limits {
            max_sessions: usize::MAX,
            ..Limits::default()
        };
        let server = Server::builder()
            .limits(limits)
            .host_key(new_key()?)
            .build(Echo)?;
        Ok(Self {
            server: Arc::new(server),
            key: Arc::new(new_key()?),
            config: Config::default(),
        })
    }

    /// A new connection: the client's end of it.
    pub async fn connect(&self) -> Result<Client> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve_stream(far, Peer::named("bench")).await });
        let credentials = Credentials::signer(self.key.clone());
        let host_keys = HostKeys::dangerous_accept_any();
        Ok(Client::over(&self.config, near, ("bench", 22), "bench", host_keys, credentials).await?)
    }
}

/// A new channel with an echo behind it.
pub async fn open(client: &Client) -> Result<Process> {
    Ok(client.exec("echo").spawn().await?)
}

/// Says something and hears it again.
pub async fn echo(process: &mut Process) -> Result<()> {
    process.stdin.write_all(b"k").await?;
    process.stdout.read_exact(&mut [0]).await?;
    Ok(())
}
