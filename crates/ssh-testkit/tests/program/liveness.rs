//! Keys that grow old and peers that fall silent: `RekeyLimit`, the signs of life, and the times that are no limit.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::{Running, run, run_with};

use crate::algorithms::{into, openssh};
use crate::bowline::{Peer, Sshd, bowline, wait_until};
use crate::sshd_settings::ssh;

/// Several times what keys may carry where the limit is 64 KiB. Whoever sends it has the limit: then it does not pass
/// without new keys.
const SOME: usize = 400_000;
/// What OpenSSH logs when keys replace older ones, both ways each time.
const NEW_KEYS: &str = "set_newkeys: rekeying";

#[test]
fn keys_are_changed_with_openssh_s_server_as_rekeylimit_says() {
    for (setting, is_expected) in [
        ("64K", true),
        ("64K none", true),
        ("64K 1h", true),
        ("default none", false),
        ("default", false),
        ("1G 0", false),
    ] {
        let Some(server) = openssh("LogLevel DEBUG1") else {
            return;
        };
        let file = server.keys.path("config").display().to_string();
        fs::write(&file, format!("RekeyLimit {setting}\n")).unwrap();
        let option = format!("RekeyLimit={setting}");
        let by_option = run_with(into(&server, &["-o", &option]).arg("wc -c"), vec![0; SOME]).with_code(0);
        assert_eq!(by_option.stdout_text().trim(), SOME.to_string());
        let changed = server.log().matches(NEW_KEYS).count();
        assert_eq!(changed > 0, is_expected, "{setting}: {changed}");
        let mut line = bowline(&["ssh", "-F", &file]);
        line.args(client_arguments(&server.keys, server.port).into_iter().skip(2));
        line.args([&format!("{}@127.0.0.1", peers::user()), "wc -c"]);
        let by_file = run_with(&mut line, vec![0; SOME]).with_code(0);
        assert_eq!(by_file.stdout_text().trim(), SOME.to_string());
        let again = server.log().matches(NEW_KEYS).count() - changed;
        assert_eq!(again > 0, is_expected, "{setting}: {again}");
    }
}

#[test]
fn keys_are_changed_with_openssh_s_client_as_rekeylimit_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config").display().to_string();
    fs::write(&config, "RekeyLimit 64K none\n").unwrap();
    for (words, is_expected) in [
        (&["-o", "RekeyLimit=64K"][..], true),
        (&["-f", &config], true),
        (&["-o", "RekeyLimit=default none"], false),
    ] {
        let server = Sshd::start(words);
        let Some(finished) = ssh(&server, &["-v"], &format!("head -c {SOME} /dev/zero")) else {
            return;
        };
        let finished = finished.with_code(0);
        assert_eq!(finished.stdout.len(), SOME);
        let changed = finished.stderr_text().matches(NEW_KEYS).count();
        assert_eq!(changed > 0, is_expected, "{words:?}: {changed}");
    }
}

#[test]
fn keys_are_changed_by_time_alone_in_both_seats() {
    // Nothing is sent meanwhile but the signs that belong to the changes.
    let command = "sleep 3; echo in";
    let limit = "RekeyLimit=default 1s";
    let Some(server) = openssh("LogLevel DEBUG1") else {
        return;
    };
    let finished = run(into(&server, &["-o", limit]).arg(command)).with_code(0);
    assert_eq!(finished.stdout_text(), "in\n");
    assert!(server.log().contains(NEW_KEYS), "{}", server.log());
    let server = Sshd::start(&["-o", limit]);
    let Some(finished) = ssh(&server, &["-v"], command) else {
        return;
    };
    let finished = finished.with_code(0);
    assert_eq!(finished.stdout_text(), "in\n");
    assert!(finished.stderr_text().contains(NEW_KEYS), "{finished}");
}

#[test]
fn a_rekeylimit_that_cannot_be_meant_is_refused() {
    for setting in ["none", "15", "1G soon", "1G 1h 1h", "1T", "default default"] {
        let option = format!("RekeyLimit={setting}");
        for words in [
            &["ssh", "-o", &option, "127.0.0.1", "true"][..],
            &["sshd", "-t", "-o", &option],
        ] {
            let finished = run(&mut bowline(words)).with_code(255);
            assert!(finished.stderr_text().contains("RekeyLimit"), "{finished}");
        }
    }
}

/// Stops a process, or lets it go on.
fn signal(name: &str, process: u32) {
    let status = Command::new("kill").arg(name).arg(process.to_string()).status();
    assert!(status.unwrap().success(), "kill {name} {process}");
}

/// A process that is stopped while this value lives.
struct Stopped(u32);

impl Stopped {
    fn process(id: u32) -> Self {
        signal("-STOP", id);
        Self(id)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Whatever it was may be gone by now.
        let _ = Command::new("kill")
            .args(["-CONT", &self.0.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

fn start(line: &mut Command) -> Child {
    line.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    line.trim().to_owned()
}

#[test]
fn a_server_that_is_stopped_is_noticed_and_told() {
    for peer in Peer::all() {
        let file = peer.file("config");
        fs::write(&file, "ServerAliveInterval 2\nServerAliveCountMax 2\n").unwrap();
        for options in [
            &["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2"][..],
            &["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=1"],
            &["-F", &file],
        ] {
            let mut line = bowline(&["ssh"]);
            let usual = client_arguments(peer.keys(), peer.port());
            line.args(options).args(usual.into_iter().skip(2));
            // The program's parent is the process that serves this connection.
            line.args([&format!("{}@127.0.0.1", peers::user()), "echo $PPID; exec cat"]);
            let mut child = start(&mut line);
            let server: u32 = first_line(&mut child).parse().unwrap();
            // Open until the end: a server with several threads may still hear of its end when it is told to stop.
            let input = child.stdin.take();
            let stopped = Stopped::process(server);
            let output = child.wait_with_output().unwrap();
            drop((stopped, input));
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(255),
                "{}: {options:?}: {told}",
                peer.name
            );
            assert!(
                told.contains(&format!("127.0.0.1:{}", peer.port())) && told.contains("silent for"),
                "{}: {options:?}: {told}",
                peer.name
            );
        }
    }
}

#[test]
fn one_question_that_is_answered_keeps_an_idle_connection() {
    for peer in Peer::all() {
        // The first is the one that asks, and a busy machine has its time to answer.
        for (interval, most, idle) in [("5", "1", 11), ("0", "1", 4), ("1", "0", 4), ("none", "1", 4)] {
            let options = [
                &format!("-oServerAliveInterval={interval}")[..],
                &format!("-oServerAliveCountMax={most}"),
            ];
            let command = format!("sleep {idle}; echo in");
            let finished = run(peer.client("ssh", &options).arg(command)).with_code(0);
            assert_eq!(finished.stdout_text(), "in\n", "{}: {options:?}", peer.name);
        }
    }
}

/// OpenSSH's client, logged in to `server`, with a command that says that it runs and waits for a line.
fn waiting(server: &Sshd) -> Option<Child> {
    let mut line = Command::new(peers::need("ssh")?);
    line.args(client_arguments(&server.keys, server.port))
        .env_remove("SSH_AUTH_SOCK")
        .args([
            &format!("{}@127.0.0.1", peers::user()),
            "echo ready; read line; echo in",
        ]);
    let mut child = start(&mut line);
    assert_eq!(first_line(&mut child), "ready");
    Some(child)
}

#[test]
fn a_client_that_is_stopped_is_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config").display().to_string();
    fs::write(&config, "ClientAliveInterval 2\nClientAliveCountMax 1\n").unwrap();
    for words in [
        &["-o", "ClientAliveInterval=2", "-o", "ClientAliveCountMax=2"][..],
        &["-f", &config],
    ] {
        let log = folder.path().join("log");
        let _ = fs::remove_file(&log);
        fs::write(&log, "").unwrap();
        let file = log.display().to_string();
        let words = [words, &["-o", "LogLevel=VERBOSE"]].concat();
        let server = Sshd::start_logging(&words, &file);
        let Some(mut child) = waiting(&server) else { return };
        let stopped = Stopped::process(child.id());
        wait_until("the client that is stopped is still there", || {
            fs::read_to_string(&log).unwrap().contains("silent for")
        });
        drop(stopped);
        assert_eq!(child.wait().unwrap().code(), Some(255));
    }
}

#[test]
fn a_client_that_is_stopped_for_a_while_is_kept_where_nothing_ends_it() {
    for words in [
        &["-o", "ClientAliveInterval=1", "-o", "ClientAliveCountMax=0"][..],
        &["-o", "ClientAliveInterval=0", "-o", "ClientAliveCountMax=1"],
    ] {
        let server = Sshd::start(words);
        let Some(mut child) = waiting(&server) else { return };
        let stopped = Stopped::process(child.id());
        std::thread::sleep(std::time::Duration::from_secs(4));
        drop(stopped);
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"a line\n").unwrap();
        let mut said = String::new();
        child.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(
            (said.as_str(), child.wait().unwrap().code()),
            ("in\n", Some(0)),
            "{words:?}"
        );
    }
}

#[test]
fn a_time_of_zero_is_no_limit() {
    for words in [&["-o", "LoginGraceTime=0"][..], &["-g", "0"]] {
        let server = Sshd::start(words);
        let Some(finished) = ssh(&server, &[], "echo in") else {
            return;
        };
        assert_eq!(finished.with_code(0).stdout_text(), "in\n");
    }
    for peer in Peer::all() {
        for setting in ["ConnectTimeout=0", "ConnectTimeout=none"] {
            let finished = run(peer.client("ssh", &["-o", setting]).arg("echo in")).with_code(0);
            assert_eq!(finished.stdout_text(), "in\n", "{}: {setting}", peer.name);
        }
    }
}

/// Waits until the system watches over the connection from one port of this machine to another, or until it does not:
/// the kind of timer it has running for it (proc(5), `/proc/net/tcp`).
fn wait_for_timer(from: u16, to: u16, kind: &str) {
    let ends = [format!("0100007F:{from:04X}"), format!("0100007F:{to:04X}")];
    wait_until(
        "the system watches where it should not, or does not where it should",
        || {
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let mut lines = table
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.any(|line| line[1..3] == ends && line[5].starts_with(kind))
        },
    );
}

/// No timer, and that of signs of life.
const TIMERS: [(&str, &str); 3] = [("yes", "02:"), ("no", "00:"), ("", "02:")];

#[test]
fn the_system_watches_over_connections_as_tcpkeepalive_says() {
    for (setting, kind) in TIMERS {
        let option = format!("TCPKeepAlive={setting}");
        let words = if setting.is_empty() {
            vec![]
        } else {
            vec!["-o", &option]
        };
        let server = Sshd::start(&words);
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        wait_for_timer(server.port, stream.local_addr().unwrap().port(), kind);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut line = bowline(&["ssh", "-F", "none"]);
        line.args(&words)
            .args(["-p", &port.to_string(), "127.0.0.1", "true"]);
        let _client = Running::start(&mut line);
        let (_stream, from) = listener.accept().unwrap();
        wait_for_timer(from.port(), port, kind);
    }
}
