//! Programs that are killed in the middle of their work, ours and OpenSSH's: what they leave behind, and what the other side
//! says (case 10 of the security page).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ssh_testkit::openssh::{Keys, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use ssh_testkit::running::run_with;
use ssh_testkit::stopped::descendants;

use crate::bowline::{Peer, Sshd, bowline, program, wait_until};

/// Several times what leaves in the time that it takes to kill somebody.
const BYTES: u32 = 8 << 20;

/// Bytes in a second, so that there is a middle.
const SLOW: Fault = Fault::Throttled(1 << 18);

fn data() -> Vec<u8> {
    let all = (0..BYTES).map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]);
    all.collect()
}

fn kill(process: u32) {
    let status = Command::new("kill")
        .arg("-KILL")
        .arg(process.to_string())
        .status();
    assert!(status.unwrap().success(), "process {process} is gone");
}

fn start(line: &mut Command) -> Child {
    line.env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether any process has the file open.
fn is_held(file: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|descriptors| descriptors.flatten())
        .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|open| open == file))
}

/// The file is some of the data, from its beginning.
fn assert_beginning(file: &Path) {
    let written = fs::read(file).unwrap();
    assert!(
        written.len() < data().len() && data().starts_with(&written),
        "{} bytes",
        written.len()
    );
}

/// `put source target` or the other way round in the folder of the keys, by ours or by OpenSSH's program, through the port.
fn transfer(client: &Path, keys: &Keys, port: u16, what: &str) -> Child {
    let folder = keys.folder().canonicalize().unwrap();
    fs::write(folder.join("source"), data()).unwrap();
    fs::write(folder.join("batch"), format!("cd {}\n{what}\n", folder.display())).unwrap();
    let mut line = if client == program() {
        bowline(&["sftp"])
    } else {
        Command::new(client)
    };
    line.args(["-b", "batch"]).args(client_arguments(keys, port));
    line.arg(format!("{}@127.0.0.1", peers::user()))
        .current_dir(folder);
    start(&mut line)
}

/// Waits until a part of the file is there.
fn wait_for_part(file: &Path) {
    wait_until("nothing is transferred", || {
        fs::metadata(file).is_ok_and(|file| file.len() > 100_000)
    });
}

#[test]
fn our_client_killed_in_an_upload_leaves_a_beginning_and_no_open_file() {
    for peer in Peer::all() {
        let proxy = Proxy::start(peer.port(), Faults::up(SLOW));
        let mut client = transfer(&program(), peer.keys(), proxy.port, "put source target");
        let target = peer.keys().folder().canonicalize().unwrap().join("target");
        wait_for_part(&target);
        assert!(is_held(&target), "{}", peer.name);
        client.kill().unwrap();
        client.wait().unwrap();
        drop(proxy);
        wait_until("the server keeps the file open", || !is_held(&target));
        assert_beginning(&target);
        // What is left is in nobody's way.
        let mut again = transfer(&program(), peer.keys(), peer.port(), "put source target");
        assert!(again.wait().unwrap().success(), "{}", peer.name);
        assert!(fs::read(&target).unwrap() == data(), "{}", peer.name);
    }
}

/// A client whose server was killed ends with an error and says why, at which host and in which step.
fn assert_told(client: &Path, child: Child, port: u16, step: &str) {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    // OpenSSH's sftp may end by a signal: it writes to an ssh that is gone.
    assert!(!output.status.success(), "{told}");
    assert!(client != program() || output.status.code().is_some(), "{told}");
    assert!(!told.is_empty());
    if client == program() {
        assert!(told.to_lowercase().contains("connection"), "{told}");
        assert!(
            told.contains(&format!("127.0.0.1:{port}: ")) && told.contains(step),
            "{told}"
        );
    }
}

#[test]
fn our_server_killed_in_a_transfer_is_told_by_ours_and_by_openssh_s_client() {
    let foreign = peers::need("sftp");
    for client in [program()].into_iter().chain(foreign) {
        for (what, faults, other, step) in [
            ("put source target", Faults::up(SLOW), "target", "upload"),
            ("get source target", Faults::down(SLOW), "target", "download"),
        ] {
            let mut server = Sshd::start(&[]);
            let proxy = Proxy::start(server.port, faults);
            let child = transfer(&client, &server.keys, proxy.port, what);
            let file = server.keys.path(other);
            wait_for_part(&file);
            server.child.kill().unwrap();
            server.child.wait().unwrap();
            assert_told(&client, child, proxy.port, step);
            assert_beginning(&file);
        }
    }
}

#[test]
fn a_server_killed_under_a_command_is_told_by_ours_and_by_openssh_s_client() {
    for client in [program()].into_iter().chain(peers::need("ssh")) {
        for peer in Peer::all() {
            let mut line = if client == program() {
                bowline(&["ssh"])
            } else {
                Command::new(&client)
            };
            line.args(client_arguments(peer.keys(), peer.port()));
            // The program's parent is the process that serves this connection: of ours there is one for all. The program
            // itself reads to the end of its input, which is there when that process is gone.
            line.args([&*format!("{}@127.0.0.1", peers::user()), "echo $PPID; exec cat"]);
            let mut child = start(&mut line);
            let mut first = String::new();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut first).unwrap();
            kill(first.trim().parse().unwrap());
            assert_told(&client, child, peer.port(), "");
        }
    }
}

#[test]
fn a_shell_and_an_sftp_server_that_are_killed_are_told_of_by_exit_signal() {
    let Some(ssh) = peers::need("ssh") else { return };
    // OpenSSH's own, where there is one: else one that speaks as it does at the beginning.
    let files = "/usr/lib/openssh/sftp-server";
    let files = if Path::new(files).is_file() { files } else { "cat" };
    let subsystem = format!("Subsystem=sftp {files}");
    let server = Sshd::start(&["-o", &subsystem]);
    let login = |line: &mut Command, words: &[&str]| {
        line.args(client_arguments(&server.keys, server.port));
        line.args(words).arg(format!("{}@127.0.0.1", peers::user()));
    };
    for (words, last) in [(&["-s"][..], Some("sftp")), (&["-T"], None)] {
        for client in [program(), ssh.clone()] {
            let mut line = if client == program() {
                bowline(&["ssh"])
            } else {
                let mut line = Command::new(&client);
                line.arg("-v");
                line
            };
            login(&mut line, words);
            line.args(last);
            let mut child = start(&mut line);
            // It answers: so it is there.
            let hello: &[u8] = if last.is_some() {
                b"\0\0\0\x05\x01\0\0\0\x03"
            } else {
                b"echo here\n"
            };
            child.stdin.as_mut().unwrap().write_all(hello).unwrap();
            let mut answer = [0; 5];
            child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
            assert!(answer.starts_with(b"\0\0") || &answer == b"here\n", "{answer:?}");
            let started = descendants(server.child.id());
            assert_eq!(started.len(), 1, "one program and no more: {started:?}");
            kill(started[0]);
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(255), "{told}");
            let expected = if client == program() {
                "SIGKILL"
            } else {
                "exit-signal"
            };
            assert!(told.contains(expected), "{told}");
            wait_until("the program is not waited for", || {
                descendants(server.child.id()).is_empty()
            });
        }
    }
    // And the server lives.
    let mut line = bowline(&["ssh"]);
    login(&mut line, &[]);
    let finished = run_with(line.arg("cat"), b"still here".to_vec()).with_code(0);
    assert_eq!(finished.stdout, b"still here");
}
