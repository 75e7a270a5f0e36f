//! russh as the measured peer: a server, and a client that drives it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::server::{Msg, Session};
use russh::{Channel, ChannelId, Preferred, client, server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::application;
use crate::programs::{Files, Login, host_key_file};
use crate::roles::{Direction, Result, announce, until_input_ends};
use crate::work::Library;

fn preferred(cipher: &str) -> Preferred {
    let cipher = russh::cipher::ALL_CIPHERS
        .iter()
        .find(|name| name.as_ref() == cipher);
    let mut preferred = Preferred {
        kex: Cow::Owned(vec![
            russh::kex::MLKEM768X25519_SHA256,
            russh::kex::CURVE25519,
            russh::kex::EXTENSION_SUPPORT_AS_CLIENT,
            russh::kex::EXTENSION_SUPPORT_AS_SERVER,
            russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        ..Preferred::default()
    };
    if let Some(cipher) = cipher {
        preferred.cipher = Cow::Owned(vec![**cipher]);
    }
    preferred
}

fn key() -> PrivateKey {
    let mut rng = ssh_client::system_rng().expect("the system's randomness");
    PrivateKey::random(&mut rng, Algorithm::Ed25519).expect("an Ed25519 key")
}

struct App {
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl server::Handler for App {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: server::VerifiedPublicKey<'_>,
    ) -> std::result::Result<server::Auth, Self::Error> {
        Ok(server::Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _session: &mut Session,
    ) -> std::result::Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> std::result::Result<(), Self::Error> {
        session.channel_success(id)?;
        if let Some(channel) = self.channels.remove(&id) {
            let command = String::from_utf8_lossy(data).into_owned();
            let handle = session.handle();
            tokio::spawn(async move {
                application::serve(&mut channel.into_stream(), &command).await;
                // A client that is gone needs to be told nothing.
                let _ = handle.exit_status_request(id, 0).await;
                let _ = handle.close(id).await;
            });
        }
        Ok(())
    }
}

pub(crate) async fn serve_forever(cipher: &str) -> Result<()> {
    let config = Arc::new(server::Config {
        keys: vec![russh::keys::load_secret_key(host_key_file()?, None)?],
        preferred: preferred(cipher),
        nodelay: true,
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?.port())?;
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(
                    config,
                    stream,
                    App {
                        channels: HashMap::new(),
                    },
                )
                .await
                {
                    let _ = session.await;
                }
            });
        }
    };
    tokio::select! { done = accept => done, () = until_input_ends() => Ok(()) }
}

/// Any host key will do.
pub(crate) struct AcceptAny;

impl client::Handler for AcceptAny {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        Ok(true)
    }
}

/// The client.
pub(crate) struct Russh {
    config: Arc<client::Config>,
    port: u16,
    user: String,
    key: Arc<PrivateKey>,
}

pub(crate) fn library(port: u16, cipher: &str) -> Result<Russh> {
    let login = Login::from_environment();
    let config = client::Config {
        preferred: preferred(cipher),
        nodelay: true,
        ..client::Config::default()
    };
    Ok(Russh {
        config: Arc::new(config),
        port,
        user: login.user,
        key: Arc::new(match login.key {
            Some(path) => russh::keys::load_secret_key(path, None)?,
            None => key(),
        }),
    })
}

impl Library for Russh {
    type Client = client::Handle<AcceptAny>;

    async fn connect(&self) -> Result<Self::Client> {
        let mut session = client::connect(self.config.clone(), ("127.0.0.1", self.port), AcceptAny).await?;
        let signer = PrivateKeyWithHashAlg::new(self.key.clone(), None);
        if !session
            .authenticate_publickey(&self.user, signer)
            .await?
            .success()
        {
            return Err("russh: the login was refused".into());
        }
        Ok(session)
    }

    async fn start(
        client: &Self::Client,
        command: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        let channel = client.channel_open_session().await?;
        channel.exec(false, command).await?;
        Ok(channel.into_stream())
    }

    async fn transfer(
        _client: &Self::Client,
        _direction: Direction,
        _files: &Files,
        _progress: impl FnMut(u64) + Send,
    ) -> Result<()> {
        Err("this library has no SFTP".into())
    }

    async fn disconnect(client: Self::Client) -> Result<()> {
        client
            .disconnect(russh::Disconnect::ByApplication, "", "")
            .await?;
        Ok(())
    }
}
