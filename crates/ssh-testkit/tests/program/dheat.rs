//! B7: somebody makes the server compute without end (`ssh-audit --dheat`), and others log in all the same.

use std::fs;
use std::io::{BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::bowline::Sshd;

/// Processes that connect, make the server answer a key exchange, and go.
const ATTACKERS: usize = 10;
/// Logins that have to succeed meanwhile, at least; and how often the attackers have to say, once a second, that they get
/// through.
const LOGINS: usize = 10;
const SIGNS_OF_ATTACK: usize = 5;
/// How long the server may take to be rid of the last of them: several times its own deadlines.
const PATIENCE: Duration = Duration::from_secs(120);

/// `ssh-audit --dheat`, with all the processes it starts. Dropping it ends them.
struct Attack {
    child: Child,
    /// How often it has said how it goes, with connections that were made.
    signs: Arc<AtomicUsize>,
}

impl Attack {
    fn on(port: u16) -> Option<Self> {
        let program = peers::need_ssh_audit()?;
        let mut child = Command::new(program)
            .args([
                &format!("--dheat={ATTACKERS}"),
                "--port",
                &port.to_string(),
                "127.0.0.1",
            ])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let signs = Arc::new(AtomicUsize::new(0));
        let told = BufReader::new(child.stdout.take().unwrap());
        let counter = Arc::clone(&signs);
        std::thread::spawn(move || count(told, &counter));
        Some(Self { child, signs })
    }

    /// Whether it has got through often enough. It has to be there: without it there is nothing to wait for.
    fn is_shown(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the attack has ended: {ended:?}");
        self.signs.load(Ordering::Relaxed) >= SIGNS_OF_ATTACK
    }
}

/// Counts its lines, which end as a terminal's do that are written over, and which name bytes that were sent.
fn count(mut told: BufReader<ChildStdout>, signs: &AtomicUsize) {
    let mut line = Vec::new();
    let mut byte = [0];
    while let Ok(1) = told.read(&mut byte) {
        line.push(byte[0]);
        if byte[0] == b'\r' {
            let text = String::from_utf8_lossy(&line);
            if text.contains("Bytes sent/sec") && !text.contains("Bytes sent/sec: 0 bytes") {
                signs.fetch_add(1, Ordering::Relaxed);
            }
            line.clear();
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        // The group is its own: it has nobody else's processes.
        let group = format!("kill -s KILL -- -{}", self.child.id());
        let _ = Command::new("/bin/sh").args(["-c", &group]).status();
        let _ = self.child.wait();
    }
}

/// How many sockets a process has.
fn sockets(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// A login from an address of this machine.
fn login(server: &Sshd, from: &str) -> Option<Finished> {
    let mut line = Command::new(peers::need("ssh")?);
    line.args(["-b", from])
        .args(client_arguments(&server.keys, server.port));
    line.arg(format!("{}@127.0.0.1", peers::user())).arg("echo in");
    Some(run(&mut line))
}

#[test]
fn b07_dheat_those_who_log_in_from_elsewhere_do_while_one_source_attacks() {
    let server = Sshd::start(&[]);
    let process = server.child.id();
    // One in peace, so that what the server makes when it is first needed is there.
    let Some(finished) = login(&server, "127.0.0.2") else {
        return;
    };
    assert_eq!(finished.with_code(0).stdout_text(), "in\n");
    let before = sockets(process);
    let Some(mut attack) = Attack::on(server.port) else {
        return;
    };
    let (mut logins, begin) = (0, Instant::now());
    while logins < LOGINS || !attack.is_shown() {
        assert!(begin.elapsed() < 5 * PATIENCE, "{logins} logins, and no attack");
        let Some(finished) = login(&server, "127.0.0.2") else {
            return;
        };
        assert_eq!(finished.with_code(0).stdout_text(), "in\n");
        logins += 1;
    }
    drop(attack);
    // Thousands of exchanges that led nowhere have left nothing: every place is free, for this source too.
    let begin = Instant::now();
    while sockets(process) > before {
        assert!(
            begin.elapsed() < PATIENCE,
            "{} sockets of {before}",
            sockets(process)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..3 {
        let finished = login(&server, "127.0.0.1").unwrap();
        assert_eq!(finished.with_code(0).stdout_text(), "in\n");
    }
}
