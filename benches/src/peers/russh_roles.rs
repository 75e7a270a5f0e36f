//! russh as the measured peer: a server whose application is a source and a sink, and a client that drives it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::server::{Msg, Session};
use russh::{Channel, ChannelId, Preferred, client, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::roles::{BLOCK, Direction, Result, Work, announce, until_input_ends};

fn preferred(cipher: &str) -> Preferred {
    let cipher = russh::cipher::ALL_CIPHERS
        .iter()
        .find(|name| name.as_ref() == cipher);
    let mut preferred = Preferred {
        kex: Cow::Owned(vec![
            russh::kex::MLKEM768X25519_SHA256,
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
            tokio::spawn(serve(channel, command));
        }
        Ok(())
    }
}

async fn serve(channel: Channel<Msg>, command: String) {
    let mut stream = channel.into_stream();
    let bytes: u64 = command
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    let block = vec![0; BLOCK];
    if command.starts_with("source") {
        let mut left = bytes;
        while left > 0 {
            let part = left.min(BLOCK as u64) as usize;
            if stream.write_all(&block[..part]).await.is_err() {
                return;
            }
            left -= part as u64;
        }
    } else {
        let mut block = block;
        let mut seen = 0;
        while seen < bytes {
            match stream.read(&mut block).await {
                Ok(0) | Err(_) => return,
                Ok(count) => seen += count as u64,
            }
        }
        let _ = stream.write_all(b"!").await;
    }
    let _ = stream.shutdown().await;
}

pub(crate) async fn serve_forever(cipher: &str) -> Result<()> {
    let config = Arc::new(server::Config {
        keys: vec![key()],
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

struct AcceptAny;

impl client::Handler for AcceptAny {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn connect(
    config: &Arc<client::Config>,
    port: u16,
    key: &Arc<PrivateKey>,
) -> Result<client::Handle<AcceptAny>> {
    let mut session = client::connect(config.clone(), ("127.0.0.1", port), AcceptAny).await?;
    let signer = PrivateKeyWithHashAlg::new(key.clone(), None);
    if !session.authenticate_publickey("bench", signer).await?.success() {
        return Err("russh: the login was refused".into());
    }
    Ok(session)
}

pub(crate) async fn work(port: u16, cipher: &str, work: &Work) -> Result<f64> {
    let config = Arc::new(client::Config {
        preferred: preferred(cipher),
        nodelay: true,
        ..client::Config::default()
    });
    let key = Arc::new(key());
    match work {
        Work::Stream { direction, bytes } => {
            stream(&connect(&config, port, &key).await?, *direction, *bytes).await
        }
        Work::Connections { count } => {
            let begin = Instant::now();
            for _ in 0..*count {
                let session = connect(&config, port, &key).await?;
                session
                    .disconnect(russh::Disconnect::ByApplication, "", "")
                    .await?;
            }
            Ok(begin.elapsed().as_secs_f64())
        }
    }
}

async fn stream(session: &client::Handle<AcceptAny>, direction: Direction, bytes: u64) -> Result<f64> {
    let channel = session.channel_open_session().await?;
    let name = match direction {
        Direction::Up => "sink",
        Direction::Down => "source",
    };
    channel.exec(false, format!("{name} {bytes}")).await?;
    let begin = Instant::now();
    let mut stream = channel.into_stream();
    let mut block = vec![0; BLOCK];
    match direction {
        Direction::Up => {
            let mut left = bytes;
            while left > 0 {
                let part = left.min(BLOCK as u64) as usize;
                stream.write_all(&block[..part]).await?;
                left -= part as u64;
            }
            stream.flush().await?;
            stream.read_exact(&mut block[..1]).await?;
        }
        Direction::Down => {
            let mut seen = 0;
            while seen < bytes {
                match stream.read(&mut block).await? {
                    0 => return Err("russh: the stream ended early".into()),
                    count => seen += count as u64,
                }
            }
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}
