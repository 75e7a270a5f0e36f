//! What `bowline sshd` and `bowline ssh` do with signals, and with those they were started to ignore.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::bowline::{Peer, Sshd, bowline, program, usual_words, wait_until};
use crate::sshd_settings::ssh;

/// HUP, INT, QUIT and TERM in a mask of proc(5).
const WATCHED: u64 = 0x4007;
/// Shows the mask of what is ignored.
const SHOW: &str = "grep SigIgn /proc/self/status";
/// Before a command of a shell: it is started as `nohup` and a script's `&` start it, and worse.
const IGNORING: &str = "trap '' HUP INT QUIT TERM; exec";

fn ignored(shown: &str) -> u64 {
    let mask = shown.trim().strip_prefix("SigIgn:").unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & WATCHED
}

fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill")
        .arg(name)
        .arg(child.id().to_string())
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn programs_ignore_no_signal_that_their_server_was_started_to_ignore() {
    let finished = run(Command::new("sh").args(["-c", &format!("{IGNORING} {SHOW}")]));
    assert_eq!(ignored(&finished.stdout_text()), WATCHED, "{finished}");
    let keys = Keys::make();
    let mut line = Command::new("sh");
    line.args(["-c", &format!("{IGNORING} \"$@\""), "sh"])
        .arg(program());
    line.args(["sshd", "-D", "-e", "-p", "0"])
        .args(usual_words(&keys));
    let server = Sshd::run(&mut line, keys);
    for terminal in ["-T", "-tt"] {
        let Some(finished) = ssh(&server, &[terminal], SHOW) else {
            return;
        };
        let finished = finished.with_code(0);
        assert_eq!(ignored(&finished.stdout_text()), 0, "{terminal} {finished}");
    }
}

#[test]
fn nor_do_those_of_one_connection_on_standard_input_and_output() {
    let keys = Keys::make();
    let known = keys.path("known_hosts");
    fs::write(&known, format!("inetd.example {}\n", keys.public("host"))).unwrap();
    let server = usual_words(&keys).join(" ");
    let server = format!("sh -c \"{IGNORING} {} sshd -i {server}\"", program().display());
    let mut line = bowline(&["ssh", "-F", "none", "-o", "BatchMode=yes", "-i"]);
    line.arg(keys.path("user"));
    line.args(["-o", &format!("UserKnownHostsFile={}", known.display())]);
    line.args(["-o", &format!("ProxyCommand={server}")]);
    let finished = run(line.arg(format!("{}@inetd.example", peers::user())).arg(SHOW)).with_code(0);
    assert_eq!(ignored(&finished.stdout_text()), 0, "{finished}");
}

#[test]
fn clients_go_on_at_signals_that_they_were_started_to_ignore() {
    for peer in Peer::all() {
        let client = peer.client("ssh", &[]);
        let mut line = Command::new("sh");
        line.args(["-c", "trap '' HUP INT QUIT; exec \"$@\"", "sh"])
            .arg(client.get_program());
        line.env("HOME", "/nonexistent").env_remove("SSH_AUTH_SOCK");
        line.args(client.get_args()).arg("echo begun; cat; exit 3");
        line.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = line.spawn().unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let _ = shown.read_line(&mut said).unwrap();
        for name in ["-HUP", "-INT", "-QUIT"] {
            signal(name, &child);
        }
        child.stdin.take().unwrap().write_all(b"still here\n").unwrap();
        let _ = shown.read_to_string(&mut said).unwrap();
        assert_eq!(said, "begun\nstill here\n", "{}", peer.name);
        assert_eq!(child.wait().unwrap().code(), Some(3), "{}", peer.name);
        // What is not ignored ends it.
        let mut child = line.spawn().unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap());
        let _ = shown.read_line(&mut said).unwrap();
        signal("-TERM", &child);
        assert_eq!(child.wait().unwrap().code(), Some(255), "{}", peer.name);
    }
}

#[test]
fn a_signal_to_end_ends_it_well() {
    for name in ["-TERM", "-INT", "-QUIT"] {
        let mut server = Sshd::start(&[]);
        signal(name, &server.child);
        assert_eq!(server.child.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn hup_ends_it_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = Sshd::start_logging(&[], &log.display().to_string());
    signal("-HUP", &server.child);
    wait_until("nothing is logged", || {
        fs::read_to_string(&log).unwrap().contains("Received SIGHUP")
    });
    if let Some(finished) = ssh(&server, &[], "exit 3") {
        let _ = finished.with_code(3);
    }
}
