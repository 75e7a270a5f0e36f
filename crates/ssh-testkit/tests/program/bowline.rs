//! The program as a value: its file, its server on a free port, its clients on their way to a server.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ssh_testkit::openssh::{Keys, Server, client_arguments};
use ssh_testkit::peers;

/// The program's file: `BOWLINE_PROGRAM`, or the one beside this test, built anew once in each run.
pub fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    if let Some(given) = std::env::var_os("BOWLINE_PROGRAM") {
        return given.into();
    }
    // target/<profile>/deps/<this test>
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(|deps| deps.parent()).unwrap();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // With this package beside it, so that what both need is not built a second time with other features.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "bowline",
        "--package",
        "ssh-testkit",
    ]);
    cargo
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap());
    // What cargo tells a test about the test's own package makes build scripts run again, and much be built anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "{cargo:?}");
    folder.join("bowline")
}

/// `bowline` and the words, in a world of its own: no agent, no home, no terminal's leftovers.
pub fn bowline(words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(words)
        .env("HOME", "/nonexistent")
        .env_remove("SSH_AUTH_SOCK");
    command.env_remove("RUST_BACKTRACE").env("USER", peers::user());
    command
}

/// `bowline sshd` on a free loopback port. Dropping it ends it.
pub struct Sshd {
    /// Where it listens.
    pub port: u16,
    /// Its keys, and those it lets in.
    pub keys: Keys,
    pub child: Child,
}

/// The words every server of these tests gets after its own: the first value of an option counts.
pub fn usual_words(keys: &Keys) -> Vec<String> {
    let file = |name: &str| keys.path(name).display().to_string();
    // What the account's own shell would do and say when it starts is not for tests: where several start at once, some wait
    // for each other's locks for a minute.
    let home = format!("SetEnv=HOME={}", keys.folder().display());
    let keys = format!("AuthorizedKeysFile={}", file("authorized_keys"));
    let fixed = [
        "-h",
        &file("host"),
        "-o",
        &keys,
        "-o",
        "StrictModes=no",
        "-o",
        &home,
        "-o",
        "ListenAddress=127.0.0.1",
    ];
    fixed.map(str::to_owned).into()
}

impl Sshd {
    /// Starts it with `words` before the usual ones, and waits until it says where it listens.
    pub fn start(words: &[&str]) -> Self {
        let keys = Keys::make();
        let mut command = bowline(&["sshd", "-D", "-e", "-p", "0"]);
        command.args(words).args(usual_words(&keys));
        Self::run(&mut command, keys)
    }

    /// Starts it with its messages in `log`, and waits until it says there where it listens.
    pub fn start_logging(words: &[&str], log: &str) -> Self {
        let keys = Keys::make();
        let mut command = bowline(&["sshd", "-D", "-p", "0", "-E", log]);
        command.args(words).args(usual_words(&keys));
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut server = Self { port: 0, keys, child };
        wait_until("the server does not say where it listens", || {
            let told = std::fs::read_to_string(log).unwrap_or_default();
            let lines = told
                .lines()
                .filter_map(|line| line.split_once("Server listening"));
            let mut ports = lines.filter_map(|(_, rest)| listening_port(&format!("Server listening{rest}")));
            server.port = ports.next().unwrap_or(0);
            server.port != 0
        });
        server
    }

    /// Starts `command`, which has to be such a server with these keys.
    pub fn run(command: &mut Command, keys: Keys) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut first = String::new();
        let port = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("{command:?} ended: {first}"))
                .unwrap();
            if let Some(port) = listening_port(&line) {
                break port;
            }
            first += &line;
        };
        // What it says from now on is shown with the test's own output.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Self { port, keys, child }
    }
}

/// The port in the line that says where the server listens.
pub fn listening_port(line: &str) -> Option<u16> {
    line.strip_prefix("Server listening on 127.0.0.1 port ")?
        .strip_suffix('.')?
        .parse()
        .ok()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server to log in to: OpenSSH's or our own.
pub struct Peer {
    pub name: &'static str,
    server: Either,
}

enum Either {
    OpenSsh(Server),
    Own(Sshd),
}

impl Peer {
    /// Our own server.
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    /// Our own server, with these words before the usual ones.
    pub fn own_with(words: &[&str]) -> Self {
        Self {
            name: "bowline sshd",
            server: Either::Own(Sshd::start(words)),
        }
    }

    /// Every server there is on this machine.
    pub fn all() -> Vec<Self> {
        Self::all_with("AcceptEnv LC_*", &[])
    }

    /// Every server there is on this machine, with these lines in OpenSSH's settings, and these words before our own
    /// server's.
    pub fn all_with(lines: &str, words: &[&str]) -> Vec<Self> {
        let sshd = peers::need("sshd").map(|sshd| Server::start(&sshd, lines));
        let openssh = sshd.map(|server| Self {
            name: "OpenSSH's sshd",
            server: Either::OpenSsh(server),
        });
        [Self::own_with(words)].into_iter().chain(openssh).collect()
    }

    pub fn port(&self) -> u16 {
        match &self.server {
            Either::OpenSsh(server) => server.port,
            Either::Own(server) => server.port,
        }
    }

    pub fn keys(&self) -> &Keys {
        match &self.server {
            Either::OpenSsh(server) => &server.keys,
            Either::Own(server) => &server.keys,
        }
    }

    /// A file in the folder of the keys, as text.
    pub fn file(&self, name: &str) -> String {
        self.keys().path(name).display().to_string()
    }

    /// `bowline command` with `options` before the usual ones, on its way to this server as the user of the tests.
    pub fn client(&self, command: &str, options: &[&str]) -> Command {
        let mut line = bowline(&[command]);
        line.args(options)
            .args(client_arguments(self.keys(), self.port()));
        line.arg(format!("{}@127.0.0.1", peers::user()));
        line
    }

    /// The same without a word of its own but the key and the host keys to believe.
    pub fn bare(&self, command: &str) -> Command {
        let known = self.keys().known_hosts("known_hosts", self.port(), "host");
        let known = format!("UserKnownHostsFile={}", known.display());
        bowline(&[
            command,
            "-i",
            &self.file("user"),
            "-o",
            &known,
            "-o",
            "BatchMode=yes",
        ])
    }
}

/// So long something may take on a busy machine. It only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `ready` holds.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
