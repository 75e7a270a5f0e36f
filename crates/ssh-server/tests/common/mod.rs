//! What the integration tests share: a server on a free loopback port with keys made on the spot, OpenSSH's programs
//! pointed at it, and a client in memory for what those programs would not send.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of this module"
)]

pub mod forwarding;
pub mod memory;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_server::filesystem::Local;
use ssh_server::keys::{PrivateKey, PublicKey};
use ssh_server::{
    Account, Application, AuthorizedKeysFiles, Builder, Candidate, Config, Decision, Destination, Forward,
    Listening, Login, Permissions, Programs, Server, Services, Session, Target,
};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The user everybody logs in as.
pub const USER: &str = "tester";
pub const PASSWORD: &[u8] = b"correct horse";
/// So long something may take on a busy machine. It only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An application that runs programs, serves files and forwards where it was told to.
pub struct Site {
    pub account: Account,
    pub keys: AuthorizedKeysFiles,
    pub services: Services,
    pub open: Vec<Destination>,
}

impl Application for Site {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        let right = candidate.user == USER && ssh_server::constant_time_eq(password, PASSWORD);
        Decision::accept_if(right, Permissions::default())
    }

    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        match candidate.user == USER {
            true => self.keys.decide(&self.account, candidate, key).await,
            false => Decision::Refuse,
        }
    }

    async fn session(&self, session: Session) {
        self.services.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        match self
            .open
            .iter()
            .any(|open| open.covers(&target.host, target.port))
        {
            true => Forward::Connect,
            false => Forward::Refuse,
        }
    }
}

/// A directory with a server's and a user's keys, and a home.
pub struct Place {
    pub directory: tempfile::TempDir,
    pub host_key: PrivateKey,
    pub user_key: PrivateKey,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut rng = ssh_server::tokio_driver::system_rng().unwrap();
        let host_key = PrivateKey::generate_ed25519(&mut *rng, "host");
        let user_key = PrivateKey::generate_ed25519(&mut *rng, "user");
        let place = Self {
            directory,
            host_key,
            user_key,
        };
        fs::create_dir(place.home()).unwrap();
        let text = place.user_key.to_openssh(None, &mut *rng).unwrap();
        fs::write(place.path("id"), text.as_bytes()).unwrap();
        fs::set_permissions(place.path("id"), fs::Permissions::from_mode(0o600)).unwrap();
        let stranger = PrivateKey::generate_ed25519(&mut *rng, "stranger");
        fs::write(
            place.path("stranger"),
            stranger.to_openssh(None, &mut *rng).unwrap().as_bytes(),
        )
        .unwrap();
        fs::set_permissions(place.path("stranger"), fs::Permissions::from_mode(0o600)).unwrap();
        place.authorize("");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Lists the user's key with `options`.
    pub fn authorize(&self, options: &str) {
        let line = format!("{options} {}\n", self.user_key.public().to_openssh("user"));
        fs::write(self.path("authorized_keys"), line.trim_start()).unwrap();
    }

    pub fn account(&self) -> Account {
        Account {
            name: USER.to_owned(),
            home: self.home(),
            shell: "/bin/sh".into(),
            ..Account::current().unwrap()
        }
    }

    pub fn site(&self) -> Site {
        let account = self.account();
        let keys = self.path("authorized_keys").to_str().unwrap().to_owned();
        Site {
            keys: AuthorizedKeysFiles::new([keys]),
            services: Services::new()
                .sftp(Local::new(self.home()))
                .programs(Programs::new(account.clone()).patience(Duration::from_millis(500))),
            account,
            open: Vec::new(),
        }
    }

    pub fn builder(&self) -> Builder {
        let config = Config {
            password_login: true,
            ..Config::default()
        };
        Server::builder()
            .host_key(clone_key(&self.host_key))
            .config(config)
    }

    /// Serves `site` and knows its host key.
    pub async fn serve(self, site: impl Application) -> Running {
        let builder = self.builder();
        self.serve_by(builder, site).await
    }

    pub async fn serve_by(self, builder: Builder, site: impl Application) -> Running {
        let listening = builder.listen("127.0.0.1:0", site).await.unwrap();
        let port = listening.local_addr().port();
        let known = format!("[127.0.0.1]:{port} {}\n", self.host_key.public().to_openssh(""));
        fs::write(self.path("known_hosts"), known).unwrap();
        Running {
            place: self,
            port,
            listening,
        }
    }
}

/// Key files are the only way to a second copy: nobody copies a private key by accident.
pub fn clone_key(key: &PrivateKey) -> PrivateKey {
    let mut rng = ssh_server::tokio_driver::system_rng().unwrap();
    let text = key.to_openssh(None, &mut *rng).unwrap();
    PrivateKey::from_openssh(text.as_bytes(), None).unwrap()
}

/// A server that runs, and OpenSSH's clients for it.
pub struct Running {
    pub place: Place,
    pub port: u16,
    pub listening: Listening,
}

impl Running {
    fn options(&self) -> Vec<String> {
        let file = |name: &str| self.place.path(name).to_str().unwrap().to_owned();
        let options = [
            format!("UserKnownHostsFile={}", file("known_hosts")),
            "GlobalKnownHostsFile=none".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        let mut arguments = vec!["-F".to_owned(), "none".to_owned()];
        for option in options {
            arguments.extend(["-o".to_owned(), option]);
        }
        arguments
    }

    /// `ssh` with the user's key, up to and including the destination.
    pub fn ssh(&self, extra: &[&str]) -> Command {
        self.ssh_as("id", extra)
    }

    pub fn ssh_as(&self, identity: &str, extra: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(self.options())
            .args(["-o", "BatchMode=yes", "-p", &self.port.to_string(), "-i"]);
        command
            .arg(self.place.path(identity))
            .args(extra)
            .arg(format!("{USER}@127.0.0.1"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// `ssh` that answers every question for a password with `password`.
    pub fn ssh_by_password(&self, password: &str) -> Command {
        let script = self.place.path("askpass");
        fs::write(&script, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = Command::new("ssh");
        command.args(self.options()).args([
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "NumberOfPasswordPrompts=2",
        ]);
        command
            .args(["-p", &self.port.to_string()])
            .arg(format!("{USER}@127.0.0.1"));
        command
            .env("SSH_ASKPASS", script)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("DISPLAY", ":0");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `command` over ssh and collects everything.
    pub async fn run(&self, command: &str) -> Output {
        finished(self.ssh(&[]).arg(command)).await
    }

    /// Runs a batch of sftp commands.
    pub async fn sftp(&self, batch: &str) -> Output {
        let mut command = Command::new("sftp");
        command
            .args(self.options())
            .args(["-b", "-", "-P", &self.port.to_string(), "-i"]);
        command
            .arg(self.place.path("id"))
            .arg(format!("{USER}@127.0.0.1"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        // One that is not let in reads nothing.
        let _unread = child.stdin.take().unwrap().write_all(batch.as_bytes()).await;
        tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("sftp hangs")
            .unwrap()
    }
}

/// What a command gave, unless it hangs.
pub async fn finished(command: &mut Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the program hangs")
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes that no compressor and no shifted copy could produce by accident.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is there (a corpse does not count).
pub fn is_alive(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

/// An `Arc` so that a test can look at what its application saw.
pub fn shared<T>(value: T) -> (Arc<T>, Arc<T>) {
    let value = Arc::new(value);
    (Arc::clone(&value), value)
}
