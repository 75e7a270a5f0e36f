//! OpenSSH's processes stopped for a while in the middle of a transfer, of a key exchange and of a login, and killed in the
//! middle of an upload (cases 9 and 10 of the security page; killed programs of ours: `tests/program/killed.rs`).

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ssh_client::keys::{PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer};
use ssh_client::{Answer, Client, Config, Credentials, HostKeys};
use ssh_testkit::peers;
use ssh_testkit::running::{Running, run_with};
use ssh_testkit::stopped::descendants;

use crate::openssh_server::{connect, server};
use crate::ours::{self, Ours, PASSWORD};

/// How long the tests wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a process stands still: many round trips, and less than any keepalive is given.
const HALT: Duration = Duration::from_millis(1_500);

fn signal(name: &str, processes: &[u32]) {
    let mut line = Command::new("kill");
    line.arg(name).args(processes.iter().map(u32::to_string));
    // Those that have ended meanwhile cannot be signalled; the others are.
    let _some_have_ended = line.status().unwrap();
}

fn halt(processes: &[u32]) {
    signal("-STOP", processes);
    std::thread::sleep(HALT);
    signal("-CONT", processes);
}

/// Stops a server's connections at once, and lets them go on after a while.
#[derive(Clone)]
struct Halter {
    server: u32,
    halts: Arc<AtomicUsize>,
}

impl Halter {
    fn halt(&self) {
        let processes = descendants(self.server);
        assert!(!processes.is_empty(), "there is nobody to stop");
        signal("-STOP", &processes);
        self.halts.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            std::thread::sleep(HALT);
            signal("-CONT", &processes);
        });
    }
}

/// A key whose signature comes to a server that stands still.
struct Halting {
    key: PrivateKey,
    halter: Halter,
}

impl Signer for Halting {
    fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        self.key.algorithms()
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.halter.halt();
        self.key.sign(algorithm, message)
    }
}

fn data(bytes: u32) -> Vec<u8> {
    (0..bytes)
        .map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
        .collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_openssh_client_that_stands_still_in_an_upload_goes_on_intact() {
    let Some(ssh) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let mut command = ours.client(&ssh, &["-o", "RekeyLimit=1M"]);
    command.args([&ours.destination(), "sha256sum"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let data = data(6 << 20);
    for piece in data.chunks(2 << 20) {
        input.write_all(piece).unwrap();
        halt(&[child.id()]);
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let expected = run_with(&mut Command::new("sha256sum"), data).with_code(0);
    assert!(output.status.success());
    assert_eq!(output.stdout, expected.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openssh_server_that_stands_still_in_a_download_goes_on_intact() {
    let Some(server) = server("RekeyLimit 1M") else {
        return;
    };
    let client = connect(&server, &Config::default()).await.unwrap();
    let id = server.id();
    let halting = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            halt(&descendants(id));
        }
    });
    // Each piece takes its time, so that the server stands still in the middle.
    let command = "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 500000 /dev/zero; sleep 0.4; done";
    let output = client.exec(command).output().await.unwrap();
    halting.await.unwrap();
    assert!(
        output.stdout == vec![0; 5_000_000],
        "{} bytes",
        output.stdout.len()
    );
    assert_eq!(output.status.code(), Some(0));
    client.disconnect().await;
}

#[test]
fn an_sftp_client_killed_in_an_upload_leaves_a_beginning_and_nothing_else() {
    let Some(sftp) = peers::need("sftp") else { return };
    let ours = Ours::start();
    let data = data(8 << 20);
    fs::write(ours.keys.path("source"), &data).unwrap();
    fs::write(ours.keys.path("batch"), "put source target\n").unwrap();
    // A quarter of a megabyte in a second: there is time to end it.
    let batch = ours.keys.path("batch");
    let mut command = ours.client(&sftp, &["-l", "2000", "-b", batch.to_str().unwrap()]);
    command.arg(ours.destination()).current_dir(ours.keys.folder());
    let client = Running::start(&mut command);
    let target = ours.keys.path("target");
    until("the first bytes", || {
        fs::metadata(&target).is_ok_and(|file| file.len() > 100_000)
    });
    let ids = [descendants(client.id()), vec![client.id()]].concat();
    signal("-KILL", &ids);
    until("the end of the connection", || ours.connections() == 0);
    let written = fs::read(&target).unwrap();
    assert!(
        written.len() < data.len() && data.starts_with(&written),
        "{} bytes",
        written.len()
    );
}

/// Between its host key and our new keys, before it has looked at our signature, and when we ask it for new keys.
#[tokio::test(flavor = "multi_thread")]
async fn an_openssh_server_that_stands_still_in_exchanges_and_in_the_login_goes_on_intact() {
    let Some(server) = server("LoginGraceTime 600") else {
        return;
    };
    let begin = Instant::now();
    let halter = Halter {
        server: server.id(),
        halts: Arc::default(),
    };
    let asked = halter.clone();
    let host_keys = HostKeys::known_hosts(server.keys.path("known_nobody")).ask(move |_| {
        asked.halt();
        Answer::AcceptOnce
    });
    let file = fs::read(server.keys.path("user")).unwrap();
    let key = Halting {
        key: PrivateKey::from_openssh(&file, None).unwrap(),
        halter: halter.clone(),
    };
    let mut config = Config::default();
    config.timeouts.key_exchange = ours::PATIENCE;
    config.timeouts.login = ours::PATIENCE;
    let address = ("127.0.0.1", server.port);
    let credentials = Credentials::signer(Arc::new(key));
    let client = Client::connect_with(&config, address, &peers::user(), host_keys, credentials)
        .await
        .unwrap();
    assert_eq!(
        halter.halts.load(Ordering::Relaxed),
        2,
        "in the exchange, in the login"
    );
    halter.halt();
    client.rekey().unwrap();
    let output = client.exec("cat").stdin(data(1 << 20)).output().await.unwrap();
    assert!(output.stdout == data(1 << 20), "{} bytes", output.stdout.len());
    assert_eq!(client.handle().key_exchanges(), 2);
    assert!(begin.elapsed() >= 3 * HALT, "nobody stood still");
    client.disconnect().await;
}

/// Its user takes a while over the password, and in this while it is stopped.
#[test]
fn an_openssh_client_that_stands_still_in_the_login_goes_on_intact() {
    let Some(ssh) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let [asked, go, askpass] = ["asked", "go", "slow_askpass"].map(|name| ours.keys.path(name));
    let script = format!(
        "#!/bin/sh\ntouch '{asked}'\nwhile [ -e '{asked}' ] && [ ! -e '{go}' ]; do sleep 0.05; done\n\
         printf '%s\\n' '{PASSWORD}'\n",
        asked = asked.display(),
        go = go.display()
    );
    fs::write(&askpass, script).unwrap();
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
    let options = ["-o", "BatchMode=no", "-o", "PreferredAuthentications=password"];
    let mut command = ours.client(&ssh, &options);
    command
        .env("SSH_ASKPASS", &askpass)
        .env("SSH_ASKPASS_REQUIRE", "force");
    command
        .env("DISPLAY", ":0")
        .args([&ours.destination(), "echo in"]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("the question", || asked.exists());
    assert_eq!(ours.connections(), 1);
    halt(&[descendants(child.id()), vec![child.id()]].concat());
    fs::write(&go, "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"in\n");
    assert_eq!(
        ours.attempts().last().unwrap(),
        &format!("password {}", ours.user())
    );
}
