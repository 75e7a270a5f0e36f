//! A real OpenSSH server on a free port of loopback, with keys and a configuration made for one test.

#![allow(dead_code, reason = "each of the tests takes what it needs")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ssh_client::keys::{PrivateKey, PublicKey};
use ssh_client::{Client, Config, Credentials, Error, HostKeys, system_rng};

const SSHD: &str = "/usr/sbin/sshd";

/// So long something may take on a busy machine. It only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that ends with the value.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) port: u16,
    pub(crate) host_key: PublicKey,
    /// The private key that may log in.
    pub(crate) user_key: PathBuf,
    pub(crate) directory: tempfile::TempDir,
}

/// Whether there is an OpenSSH server to test against, and we may start it; says so if not.
pub(crate) fn sshd_is_missing() -> bool {
    let missing = !Path::new(SSHD).exists() || std::fs::create_dir_all("/run/sshd").is_err();
    if missing {
        eprintln!("skipped: {SSHD} is not installed, or we are not root");
    }
    missing
}

pub(crate) fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
}

/// A new key, and its file under `directory`.
pub(crate) fn key_file(directory: &Path, name: &str, passphrase: Option<&[u8]>) -> (PrivateKey, PathBuf) {
    let mut rng = system_rng().unwrap();
    let key = PrivateKey::generate_ed25519(&mut *rng, name);
    let path = directory.join(name);
    std::fs::write(&path, key.to_openssh(passphrase, &mut *rng).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (key, path)
}

impl Sshd {
    pub(crate) fn start(extra: &str) -> Self {
        // Somebody may take the port between the choice and the start.
        (0..10)
            .find_map(|_| Self::try_to_start(extra))
            .expect("sshd starts on one of ten free ports")
    }

    fn try_to_start(extra: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (host_key, host_key_path) = key_file(directory.path(), "host", None);
        let (user_key, user_key_path) = key_file(directory.path(), "user", None);
        let authorized = directory.path().join("authorized_keys");
        std::fs::write(&authorized, user_key.public().to_openssh("user")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = directory.path().join("sshd_config");
        std::fs::write(
            &config,
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
                 PidFile none\nPasswordAuthentication yes\nPermitRootLogin yes\nAcceptEnv BOWLINE_*\n\
                 Subsystem sftp internal-sftp\nMaxStartups 100\nMaxSessions 100\n{extra}\n\
                 SetEnv HOME={}\n",
                host_key_path.display(),
                authorized.display(),
                // What the user's own shell does and says when it starts is not for these tests.
                directory.path().display(),
            ),
        )
        .unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            port,
            host_key: host_key.public().clone(),
            user_key: user_key_path,
            directory,
        };
        server.listens().then_some(server)
    }

    /// Waits until it listens, or has ended because it cannot.
    fn listens(&mut self) -> bool {
        let begin = Instant::now();
        while !self.log().contains("Server listening on") {
            if self.child.try_wait().unwrap().is_some() {
                assert!(self.log().contains("Address already in use"), "{}", self.log());
                return false;
            }
            assert!(begin.elapsed() < PATIENCE, "sshd does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Waits until its log tells of the end of a connection.
    pub(crate) async fn has_lost_a_client(&self) {
        let ends = ["Disconnected from", "Connection closed by", "Connection reset by"];
        let logged = || ends.iter().any(|end| self.log().contains(end));
        until("the end of the connection", logged).await;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub(crate) fn pinned(&self) -> HostKeys {
        HostKeys::pinned(self.host_key.clone())
    }

    pub(crate) fn key(&self) -> Credentials {
        Credentials::key_file(&self.user_key)
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(&Config::default()).await.unwrap()
    }

    pub(crate) async fn client_with(&self, config: &Config) -> Result<Client, Error> {
        Client::connect_with(config, self.address(), &user(), self.pinned(), self.key()).await
    }

    /// A path for a file of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `count` bytes that do not repeat themselves soon.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}
