//! OpenSSH's server and client, with keys made on the spot, in a folder that goes with the value.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::peers;
use crate::proxy::{Proxy, in_front_of};
use crate::running::{Running, free_port, wait_for_greeting};

/// Keys and files for one test: a host key, a user key, a second user key nobody knows.
#[derive(Debug)]
pub struct Keys {
    folder: TempDir,
}

impl Keys {
    /// Makes Ed25519 keys with `ssh-keygen`.
    ///
    /// # Panics
    /// `ssh-keygen` fails.
    pub fn make() -> Self {
        Self::of(&["-t", "ed25519"])
    }

    /// Makes keys of another kind, in the words of `ssh-keygen`. The locked one is Ed25519 all the same.
    ///
    /// # Panics
    /// `ssh-keygen` fails.
    pub fn of(kind: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Self { folder };
        for name in ["host", "user", "stranger"] {
            keys.add(name, kind);
        }
        keygen(
            &["-q", "-t", "ed25519", "-N", "secret", "-C", "locked", "-f"],
            &keys.path("locked"),
        );
        let authorized = ["user.pub", "locked.pub"]
            .map(|name| read(&keys.path(name)))
            .concat();
        fs::write(keys.path("authorized_keys"), authorized).expect("authorized_keys");
        keys
    }

    /// Adds a key of this kind, in the words of `ssh-keygen`.
    ///
    /// # Panics
    /// `ssh-keygen` fails.
    pub fn add(&self, name: &str, kind: &[&str]) {
        let arguments = [kind, &["-q", "-N", "", "-C", name, "-f"]].concat();
        keygen(&arguments, &self.path(name));
    }

    /// Has the key `authority` sign a certificate of key `name`, in the words of `ssh-keygen`: `name-cert.pub`.
    ///
    /// # Panics
    /// `ssh-keygen` fails.
    pub fn certify(&self, name: &str, authority: &str, options: &[&str]) {
        let authority = self.path(authority).display().to_string();
        let arguments = [&["-q", "-s", &authority, "-I", name], options].concat();
        keygen(&arguments, &self.path(&format!("{name}.pub")));
    }

    /// Lets key `name` in as well.
    ///
    /// # Panics
    /// There is no such key.
    pub fn authorize(&self, name: &str) {
        let path = self.path("authorized_keys");
        let more = [read(&path), read(&self.path(&format!("{name}.pub")))].concat();
        fs::write(path, more).expect("authorized_keys");
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder, for files of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a program for OpenSSH's clients to ask for a password (`SSH_ASKPASS`): it answers `secret`.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn askpass(&self, secret: &str) -> PathBuf {
        let path = self.path("askpass");
        fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' '{secret}'\n")).expect("askpass");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("askpass");
        path
    }

    /// The text of a public key: its type and its base64, without the comment.
    ///
    /// # Panics
    /// There is no such key.
    pub fn public(&self, name: &str) -> String {
        read(&self.path(&format!("{name}.pub")))
            .split(' ')
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Writes a known_hosts file that holds key `name` for loopback's `port`.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn known_hosts(&self, file: &str, port: u16, name: &str) -> PathBuf {
        self.known_hosts_at(file, (Ipv4Addr::LOCALHOST, port).into(), name)
    }

    /// The same for any address.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn known_hosts_at(&self, file: &str, address: SocketAddr, name: &str) -> PathBuf {
        let path = self.path(file);
        let (host, port) = (address.ip(), address.port());
        fs::write(&path, format!("[{host}]:{port} {}\n", self.public(name))).expect("known_hosts");
        path
    }
}

fn keygen(arguments: &[&str], file: &Path) {
    let program = peers::find("ssh-keygen").expect("ssh-keygen is here");
    let status = Command::new(program)
        .args(arguments)
        .arg(file)
        .status()
        .expect("ssh-keygen runs");
    assert!(status.success(), "ssh-keygen {arguments:?} {}", file.display());
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// OpenSSH's server on a free loopback port.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub port: u16,
    /// Its keys, and those it lets in.
    pub keys: Arc<Keys>,
    program: Running,
    /// What cuts its bytes, where whole suites are to run that way.
    _proxy: Option<Proxy>,
}

impl Server {
    /// Starts `sshd` with `more` lines before its usual configuration (the first value of a keyword wins).
    ///
    /// # Panics
    /// The server does not come up in several tries.
    pub fn start(sshd: &Path, more: &str) -> Self {
        Self::start_with(sshd, Keys::make(), more)
    }

    /// The same with keys made before.
    ///
    /// # Panics
    /// The server does not come up in several tries.
    pub fn start_with(sshd: &Path, keys: impl Into<Arc<Keys>>, more: &str) -> Self {
        let keys = keys.into();
        // The home of its sessions: xauth would tell that it makes the file.
        fs::write(keys.path(".Xauthority"), "").expect("an authority file");
        // Root's server wants this folder; another user's does not.
        let _ = fs::create_dir_all("/run/sshd");
        let mut last = String::new();
        for _ in 0..5 {
            let port = free_port();
            fs::write(keys.path("sshd_config"), configuration(&keys, port, more)).expect("sshd_config");
            let (config, log) = (keys.path("sshd_config"), keys.path(LOG));
            let mut program = Running::start(
                Command::new(sshd)
                    .arg("-D")
                    .arg("-E")
                    .arg(log)
                    .arg("-f")
                    .arg(config),
            );
            match wait_for_greeting(&mut program, port) {
                Ok(()) => {
                    let (port, proxy) = in_front_of(port);
                    return Self {
                        port,
                        keys,
                        program,
                        _proxy: proxy,
                    };
                }
                Err(problem) => last = problem,
            }
        }
        panic!("{}: {last}", sshd.display())
    }

    /// The process id of the server that listens; each connection is a process that it started.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What the server has logged so far. How much that is depends on the `LogLevel` it was started with.
    pub fn log(&self) -> String {
        fs::read_to_string(self.keys.path(LOG)).unwrap_or_default()
    }
}

/// The server's log, in the folder of its keys.
const LOG: &str = "sshd.log";

fn configuration(keys: &Keys, port: u16, more: &str) -> String {
    let file = |name: &str| keys.path(name).display().to_string();
    format!(
        "{more}\nListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         MaxStartups 200:30:400\nMaxSessions 1000\nSubsystem sftp internal-sftp\nLogLevel ERROR\nSetEnv HOME={}\n\
         AddressFamily inet\n",
        file("host"),
        file("authorized_keys"),
        // What the account's own shell would do and say when it starts is not for tests.
        keys.folder().display(),
        // A port that it chooses for both families may be somebody else's in one of them, and it says nothing.
    )
}

/// An account with a password, for tests of password logins. Needs root; it goes with the value.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Account {
    /// Makes an account whose name holds this process's id.
    ///
    /// # Panics
    /// The tests run as root, and `useradd` or `chpasswd` fails.
    pub fn make(tag: &str) -> Option<Self> {
        if !peers::is_root() {
            assert!(
                !peers::is_required(),
                "a password login needs an account, which only root can make"
            );
            eprintln!("skipped: a password login needs an account, which only root can make");
            return None;
        }
        let account = Self {
            name: format!("bwl{tag}{}", std::process::id()),
            password: "correct horse".to_owned(),
        };
        let _alone = DATABASE.lock().unwrap_or_else(PoisonError::into_inner);
        change(Command::new("useradd").args(["-m", "-s", "/bin/sh", &account.name]));
        let line = format!("{}:{}", account.name, account.password);
        let set = "printf '%s\\n' \"$0\" | chpasswd";
        change(Command::new("sh").args(["-c", set, &line]));
        Some(account)
    }
}

/// Runs a program that changes the user database. Another process may have locked it.
fn change(command: &mut Command) {
    let begin = Instant::now();
    loop {
        let output = command.output().expect("the program runs");
        if output.status.success() {
            return;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        let is_locked = told.contains("cannot lock") || told.contains("try again later");
        assert!(is_locked && begin.elapsed() < LOCKED, "{command:?}: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Account {
    /// Lets in who holds one of these keys: for servers that look nowhere but into the account's home.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn authorize(&self, keys: &Keys) {
        let folder = PathBuf::from(format!("/home/{}/.ssh", self.name));
        fs::create_dir(&folder).expect("a folder for keys");
        fs::copy(keys.path("authorized_keys"), folder.join("authorized_keys")).expect("authorized_keys");
        let owned = Command::new("chown")
            .arg("-R")
            .arg(&self.name)
            .arg(&folder)
            .status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "chown {}",
            folder.display()
        );
    }
}

/// How long another process may keep the user database.
const LOCKED: Duration = Duration::from_secs(120);

/// The user database takes one change at a time.
static DATABASE: Mutex<()> = Mutex::new(());

impl Drop for Account {
    fn drop(&mut self) {
        let _alone = DATABASE.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = Command::new("userdel").args(["-r", "-f", &self.name]).output();
    }
}

/// The arguments with which OpenSSH's client and its `sftp` log in to a server of ours as `user`, asking nobody.
pub fn client_arguments(keys: &Keys, port: u16) -> Vec<String> {
    client_arguments_at(keys, (Ipv4Addr::LOCALHOST, port).into())
}

/// The same for a server at another address.
pub fn client_arguments_at(keys: &Keys, address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let known = keys.known_hosts_at("known_hosts", address, "host");
    let identity = keys.path("user");
    let _ = fs::set_permissions(&identity, fs::Permissions::from_mode(0o600));
    [
        "-F".to_owned(),
        "none".to_owned(),
        "-o".to_owned(),
        format!("Port={port}"),
        "-o".to_owned(),
        format!("IdentityFile={}", identity.display()),
        "-o".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        "-o".to_owned(),
        "BatchMode=yes".to_owned(),
        "-o".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "-o".to_owned(),
        format!("UserKnownHostsFile={}", known.display()),
        "-o".to_owned(),
        "GlobalKnownHostsFile=none".to_owned(),
    ]
    .into()
}
