//! What `bowline sshd` and `bowline ssh` do with signals, and with those they were started to ignore.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::bowline::{Peer, Sshd, bowline, program, usual_words, wait_until};
use crate::sshd_settings::ssh;

/// HUP, INT, QUIT and TERM in a mask of proc(5).
const WATCHED: u64 = 0x4007;
/// Shows the mask of what is ignored.
const SHOW: &str = "grep SigIgn /proc/self/status";
/// What `nohup` and a script's `&` have ignored, and more.
const ALL: &str = "HUP INT QUIT TERM";

/// `line`, started with these signals ignored.
fn ignoring(signals: &str, line: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("trap '' {signals}; exec \"$@\""), "sh"])
        .arg(line.get_program())
        .args(line.get_args());
    for (name, value) in line.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

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
    let finished = run(&mut ignoring(ALL, Command::new("sh").args(["-c", SHOW])));
    assert_eq!(ignored(&finished.stdout_text()), WATCHED, "{finished}");
    let keys = Keys::make();
    let mut line = bowline(&["sshd", "-D", "-e", "-p", "0"]);
    line.args(usual_words(&keys));
    let server = Sshd::run(&mut ignoring(ALL, &line), keys);
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
    let server = format!(
        "sh -c \"trap '' {ALL}; exec {} sshd -i {server}\"",
        program().display()
    );
    let mut line = bowline(&["ssh", "-F", "none", "-o", "BatchMode=yes", "-i"]);
    line.arg(keys.path("user"));
    line.args(["-o", &format!("UserKnownHostsFile={}", known.display())]);
    line.args(["-o", &format!("ProxyCommand={server}")]);
    let finished = run(line.arg(format!("{}@inetd.example", peers::user())).arg(SHOW)).with_code(0);
    assert_eq!(ignored(&finished.stdout_text()), 0, "{finished}");
}

/// A client with its streams in our hands, once it has shown a line that begins with `word`.
fn begun(line: &mut Command, word: &str) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    line.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = line.spawn().unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    typed.write_all(b"pwd\n").unwrap();
    shows(&mut shown, word);
    (child, typed, shown)
}

/// Reads up to a line that begins with `word`.
fn shows(shown: &mut impl BufRead, word: &str) {
    let found = shown
        .lines()
        .map_while(Result::ok)
        .any(|line| line.starts_with(word));
    assert!(found, "no {word}");
}

#[test]
fn clients_go_on_at_signals_that_they_were_started_to_ignore() {
    for peer in Peer::all() {
        let mut ssh = peer.client("ssh", &[]);
        ssh.arg("sh");
        // Either is asked where it is, by a word that the shell and sftp(1) know.
        for (client, word) in [(ssh, "/"), (peer.client("sftp", &["-b", "-"]), "Remote working")] {
            let mut line = ignoring("HUP INT QUIT", &client);
            let (mut child, mut typed, mut shown) = begun(&mut line, word);
            for name in ["-HUP", "-INT", "-QUIT"] {
                signal(name, &child);
            }
            typed.write_all(b"pwd\n").unwrap();
            shows(&mut shown, word);
            drop(typed);
            assert_eq!(child.wait().unwrap().code(), Some(0), "{} {word}", peer.name);
            // What is not ignored ends it.
            let (mut child, _typed, _shown) = begun(&mut line, word);
            signal("-TERM", &child);
            let code = child.wait().unwrap().code();
            assert!(
                code.is_some_and(|code| code != 0),
                "{} {word}: {code:?}",
                peer.name
            );
        }
    }
}

#[test]
fn a_signal_to_end_ends_one_connection_on_standard_input_and_output() {
    for name in ["-HUP", "-INT", "-QUIT", "-TERM"] {
        let keys = Keys::make();
        let mut line = bowline(&["sshd", "-i"]);
        let mut line = ignoring(ALL, line.args(usual_words(&keys)));
        line.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = line.stderr(Stdio::null()).spawn().unwrap();
        let _held_open = child.stdin.take().unwrap();
        shows(
            &mut BufReader::new(child.stdout.take().unwrap()),
            "SSH-2.0-Bowline_",
        );
        signal(name, &child);
        assert_eq!(child.wait().unwrap().code(), Some(255), "{name}");
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
