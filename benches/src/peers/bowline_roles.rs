//! Bowline as it is measured: a server whose application is a source and a sink, and a client that drives it.

use std::sync::Arc;
use std::time::Instant;

use ssh_client::keys::PrivateKey;
use ssh_client::{Client, Config, Credentials, HostKeys, Process};
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Permissions, Program, Request, Server, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::roles::{BLOCK, Direction, Result, Work, announce, until_input_ends};

/// The two algorithms that are measured against russh's.
fn edit(preferences: &mut ssh_client::kex::Preferences, cipher: &str) -> Result<()> {
    preferences.edit_kex("mlkem768x25519-sha256")?;
    preferences.edit_ciphers(cipher)?;
    preferences.edit_macs("hmac-sha2-256-etm@openssh.com")?;
    Ok(())
}

struct App;

impl Application for App {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, mut session: Session) {
        while let Some(request) = session.next().await {
            if let Request::Start(start) = request
                && let Program::Command(line) = &start.program
            {
                let line = String::from_utf8_lossy(line).into_owned();
                start.accept();
                serve(session, &line).await;
                return;
            }
        }
    }
}

async fn serve(session: Session, line: &str) {
    let bytes: u64 = line
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    let mut channel = session.into_channel();
    let mut block = vec![0; BLOCK];
    if line.starts_with("source") {
        let mut left = bytes;
        while left > 0 {
            let part = left.min(BLOCK as u64) as usize;
            if channel.write_all(&block[..part]).await.is_err() {
                return;
            }
            left -= part as u64;
        }
    } else {
        let mut seen = 0;
        while seen < bytes {
            match channel.read(&mut block).await {
                Ok(0) | Err(_) => return,
                Ok(count) => seen += count as u64,
            }
        }
        let _ = channel.write_all(b"!").await;
    }
    let _ = channel.shutdown().await;
    // Closing at once would be allowed; a program would still be asked for its end.
    let mut rest = [0; 1];
    let _ = channel.read(&mut rest).await;
}

pub(crate) async fn serve_forever(cipher: &str) -> Result<()> {
    let mut config = ssh_server::Config::default();
    edit(&mut config.transport.preferences, cipher)?;
    let key = PrivateKey::generate_ed25519(&mut *ssh_client::system_rng()?, "bench");
    let limits = ssh_server::Limits {
        max_startups_per_source: u32::MAX,
        ..ssh_server::Limits::default()
    };
    let listening = Server::builder()
        .config(config)
        .limits(limits)
        .host_key(key)
        .listen("127.0.0.1:0", App)
        .await?;
    announce(listening.local_addr().port())?;
    until_input_ends().await;
    Ok(())
}

async fn connect(config: &Config, port: u16, key: &Arc<PrivateKey>) -> Result<Client> {
    let credentials = Credentials::signer(key.clone());
    // As the other libraries here do: what is measured is not the reading of files.
    let host_keys = HostKeys::dangerous_accept_any();
    Ok(Client::connect_with(config, ("127.0.0.1", port), "bench", host_keys, credentials).await?)
}

pub(crate) async fn work(port: u16, cipher: &str, work: &Work) -> Result<f64> {
    let mut config = Config::default();
    edit(&mut config.transport.preferences, cipher)?;
    let key = Arc::new(PrivateKey::generate_ed25519(
        &mut *ssh_client::system_rng()?,
        "bench",
    ));
    match work {
        Work::Stream { direction, bytes } => {
            stream(&connect(&config, port, &key).await?, *direction, *bytes).await
        }
        Work::Connections { count } => {
            let begin = Instant::now();
            for _ in 0..*count {
                connect(&config, port, &key).await?.disconnect().await;
            }
            Ok(begin.elapsed().as_secs_f64())
        }
    }
}

async fn stream(client: &Client, direction: Direction, bytes: u64) -> Result<f64> {
    let name = match direction {
        Direction::Up => "sink",
        Direction::Down => "source",
    };
    let Process {
        mut stdin,
        mut stdout,
        ..
    } = client.exec(format!("{name} {bytes}")).spawn().await?;
    let begin = Instant::now();
    let mut block = vec![0; BLOCK];
    match direction {
        Direction::Up => {
            let mut left = bytes;
            while left > 0 {
                let part = left.min(BLOCK as u64) as usize;
                stdin.write_all(&block[..part]).await?;
                left -= part as u64;
            }
            stdin.flush().await?;
            stdout.read_exact(&mut block[..1]).await?;
        }
        Direction::Down => {
            let mut seen = 0;
            while seen < bytes {
                match stdout.read(&mut block).await? {
                    0 => return Err("the stream ended early".into()),
                    count => seen += count as u64,
                }
            }
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}
