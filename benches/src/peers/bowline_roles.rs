//! Bowline as it is measured: a server, and a client that drives it.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use ssh_client::keys::PrivateKey;
use ssh_client::sftp::Progress;
use ssh_client::{Client, Config, Credentials, HostKeys, Process};
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Permissions, Program, Request, Server, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::application;
use crate::programs::{Files, Login, host_key_file};
use crate::roles::{Direction, Result, announce, until_input_ends};
use crate::work::Library;

/// The algorithms that are measured against russh's; OpenSSH's server may know the second method only.
fn edit(preferences: &mut ssh_client::kex::Preferences, cipher: &str) -> Result<()> {
    preferences.edit_kex("mlkem768x25519-sha256,curve25519-sha256")?;
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
                application::serve(&mut session, &line).await;
                return session.exit(0);
            }
        }
    }
}

pub(crate) async fn serve_forever(cipher: &str) -> Result<()> {
    let mut config = ssh_server::Config::default();
    edit(&mut config.transport.preferences, cipher)?;
    let key = PrivateKey::from_openssh(&std::fs::read(host_key_file()?)?, None)?;
    let limits = ssh_server::Limits {
        max_startups_per_source: u32::MAX,
        max_sessions: usize::MAX,
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

/// The client.
pub(crate) struct Bowline {
    config: Config,
    port: u16,
    login: Login,
    key: Arc<PrivateKey>,
}

pub(crate) fn library(port: u16, cipher: &str) -> Result<Bowline> {
    let mut config = Config::default();
    edit(&mut config.transport.preferences, cipher)?;
    let key = PrivateKey::generate_ed25519(&mut *ssh_client::system_rng()?, "bench");
    Ok(Bowline {
        config,
        port,
        login: Login::from_environment(),
        key: Arc::new(key),
    })
}

impl Library for Bowline {
    type Client = Client;

    async fn connect(&self) -> Result<Client> {
        let credentials = match &self.login.key {
            Some(path) => Credentials::key_file(path),
            None => Credentials::key(self.key.clone()),
        };
        // As the other libraries here do: what is measured is not the reading of files.
        let host_keys = HostKeys::dangerous_accept_any();
        let address = ("127.0.0.1", self.port);
        Ok(Client::connect_with(&self.config, address, &self.login.user, host_keys, credentials).await?)
    }

    async fn start(
        client: &Client,
        command: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        let Process { stdin, stdout, .. } = client.exec(command).spawn().await?;
        Ok(tokio::io::join(stdout, stdin))
    }

    async fn transfer(
        client: &Client,
        direction: Direction,
        files: &Files,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<()> {
        let sftp = client.sftp().await?;
        let (from, to) = (files.file.as_path(), files.copy.as_path());
        let progress = |so_far: Progress| progress(so_far.done);
        match direction {
            Direction::Up => sftp.put_with(from, to.as_os_str().as_bytes(), progress).await?,
            Direction::Down => sftp.get_with(from.as_os_str().as_bytes(), to, progress).await?,
        };
        Ok(())
    }

    async fn disconnect(client: Client) -> Result<()> {
        client.disconnect().await;
        Ok(())
    }
}
