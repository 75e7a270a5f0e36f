//! What the clients say when something is wrong: what, with which file or address, status 255, and nothing else.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, free_port, run};

use crate::bowline::{Peer, Sshd, bowline};

/// Checks that it failed as `ssh` fails, and said all of `words`.
fn assert_failed(finished: Finished, words: &[&str]) {
    let finished = finished.with_code(255);
    let told = finished.stderr_text();
    for word in words {
        assert!(told.contains(word), "{word:?} is not said: {finished}");
    }
    for word in ["panicked", "backtrace", "RUST_"] {
        assert!(!told.contains(word), "{finished}");
    }
    assert!(finished.stdout.is_empty(), "{finished}");
}

#[test]
fn key_files_that_cannot_be_used() {
    let peer = Peer::own();
    fs::write(peer.keys().path("no_key"), "this is no key\n").unwrap();
    fs::create_dir(peer.keys().path("folder")).unwrap();
    for (name, words) in [
        ("missing", &["No such file"][..]),
        ("no_key", &[]),
        ("folder", &["directory"]),
        ("user.pub", &[]),
        // In batch mode nobody is asked for a passphrase.
        ("locked", &["passphrase"]),
    ] {
        let path = peer.file(name);
        let finished = run(peer.client("ssh", &["-i", &path]).arg("echo in"));
        assert_failed(finished, &[words, &[&path]].concat());
        let finished = run(&mut peer.client("sftp", &["-b", "/dev/null", "-i", &path]));
        assert_failed(finished, &[words, &[&path]].concat());
    }
}

#[test]
fn ports_and_hosts_that_cannot_be_reached() {
    let port = free_port().to_string();
    for command in ["ssh", "sftp"] {
        let option = format!("Port={port}");
        let finished = run(&mut bowline(&[
            command,
            "-o",
            "BatchMode=yes",
            "-o",
            &option,
            "127.0.0.1",
        ]));
        assert_failed(finished, &["127.0.0.1", &port, "refused"]);
        let unknown = run(&mut bowline(&[
            command,
            "-o",
            "BatchMode=yes",
            "no-such-host.invalid",
        ]));
        assert_failed(unknown, &["no-such-host.invalid"]);
    }
}

#[test]
fn a_login_that_is_refused() {
    for peer in Peer::all() {
        let stranger = peer.file("stranger");
        let finished = run(peer.bare("ssh").args([
            "-p",
            &peer.port().to_string(),
            "no-such-user@127.0.0.1",
            "echo in",
        ]));
        assert_failed(
            finished,
            &["no-such-user@127.0.0.1", "ermission denied", "publickey"],
        );
        let known = format!("UserKnownHostsFile={}", peer.file("known_hosts"));
        let words = ["ssh", "-i", &stranger, "-o", &known, "-o", "BatchMode=yes", "-p"];
        let finished = run(bowline(&words)
            .arg(peer.port().to_string())
            .args(["127.0.0.1", "echo in"]));
        assert_failed(finished, &["ermission denied", "127.0.0.1"]);
    }
}

#[test]
fn words_that_are_not_understood() {
    for (words, expected) in [
        (
            &["ssh", "-o", "NoSuchOption=1", "host"][..],
            &["NoSuchOption"][..],
        ),
        (&["ssh", "-o", "Prot=1", "host"], &["Prot", "Port"]),
        (
            &["ssh", "-o", "Port=no-such-service", "host"],
            &["Port", "no-such-service"],
        ),
        (&["ssh", "-p", "70000", "host"], &["70000"]),
        (&["ssh", "-c", "no-such-cipher", "host"], &["no-such-cipher"]),
        (
            &["ssh", "-o", "KexAlgorithms=curve25519", "host"],
            &["curve25519"],
        ),
        (
            &["ssh", "-o", "StrictHostKeyChecking=perhaps", "host"],
            &["StrictHostKeyChecking", "perhaps"],
        ),
        (&["ssh", "-Z", "host"], &["-Z"]),
        (&["ssh", "-F", "/nowhere/config", "host"], &["/nowhere/config"]),
        (&["ssh", "-E", "/nowhere/log", "host"], &["/nowhere/log"]),
        (&["ssh"], &["usage:"]),
        (&["ssh", "-s", "host"], &["subsystem"]),
        (
            &["ssh", "-L", "8080:host", "host"],
            &["Bad local forwarding specification '8080:host'"],
        ),
        (&["ssh", "-oLocalForward=8080", "host"], &["LocalForward", "8080"]),
        (&["ssh", "-oProxyJump=-x", "host"], &["ProxyJump", "-x"]),
        (&["ssh", "-oEscapeChar=ab", "host"], &["EscapeChar", "ab"]),
        (&["ssh", "--", "-oPort=1"], &["-oPort=1"]),
    ] {
        assert_failed(run(&mut bowline(words)), expected);
    }
}

#[test]
fn a_line_of_a_configuration_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    for (text, expected) in [
        (
            "\n# comment\nNoSuchKeyword yes\n",
            &["line 3", "NoSuchKeyword"][..],
        ),
        (
            "Host other\n  Port seven\nHost *\n  Port seven\n",
            &["line 4", "seven"],
        ),
        ("Port 22 23\n", &["line 1", "Port"]),
        ("User \"open\n", &["line 1", "quote"]),
    ] {
        fs::write(file.path(), text).unwrap();
        let finished = run(&mut bowline(&["ssh", "-F", &path, "host", "true"]));
        assert_failed(finished, &[expected, &[&path]].concat());
    }
}

#[test]
fn the_program_without_a_command_says_how_it_is_used() {
    for words in [&[][..], &["no-such-command"]] {
        let finished = run(&mut bowline(words)).with_code(2);
        assert!(finished.stderr_text().starts_with("usage: bowline"), "{finished}");
    }
}

#[test]
fn a_server_that_goes_away() {
    let mut server = Sshd::start(&[]);
    let mut line = bowline(&["ssh"]);
    line.args(client_arguments(&server.keys, server.port));
    line.args([&format!("{}@127.0.0.1", peers::user()), "echo ready; sleep 60"]);
    let mut child = line
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    server.child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{told}");
    assert!(
        told.contains(&format!("127.0.0.1:{}", server.port)) && !told.contains("panicked"),
        "{told}"
    );
}

/// A server of raw bytes, once: it greets, says goodbye at once in `words`, and leaves.
fn goodbye(reason: u32, words: &[u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // RFC 4253, sections 6 and 11.1: length, padding length, message 1, reason, description, language tag, padding.
    let mut payload = vec![1];
    payload.extend(reason.to_be_bytes());
    payload.extend(u32::try_from(words.len()).unwrap().to_be_bytes());
    payload.extend(words);
    payload.extend(0_u32.to_be_bytes());
    let padding = 4 + (16 - (payload.len() + 9) % 8) % 8;
    let mut packet = u32::try_from(payload.len() + 1 + padding)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend(payload);
    packet.resize(packet.len() + padding, 0);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-Rude_1\r\n").unwrap();
        stream.write_all(&packet).unwrap();
        // Until the client has gone, too.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    port
}

#[test]
fn a_server_s_goodbye_is_shown_with_its_reason_and_steers_no_terminal() {
    for (reason, name) in [
        (12, "TOO_MANY_CONNECTIONS"),
        (1, "HOST_NOT_ALLOWED_TO_CONNECT"),
        (99, "99"),
    ] {
        let words = b"go away\x1b]0;owned\x07\x1b[2J\r\nfake: line\xc2\x9b1m\xe2\x80\xae\xff end";
        let port = goodbye(reason, words).to_string();
        for command in ["ssh", "sftp"] {
            let port = if command == "ssh" {
                port.clone()
            } else {
                goodbye(reason, words).to_string()
            };
            let option = format!("Port={port}");
            let finished = run(&mut bowline(&[
                command,
                "-v",
                "-o",
                &option,
                "-o",
                "BatchMode=yes",
                "127.0.0.1",
            ]));
            assert_failed(finished, &[name, "go away", "owned", "end", &port]);
        }
        let option = format!("Port={}", goodbye(reason, words));
        let finished = run(&mut bowline(&[
            "ssh",
            "-T",
            "-o",
            &option,
            "-o",
            "BatchMode=yes",
            "127.0.0.1",
        ]));
        let told = finished.stderr_text();
        assert_eq!(
            told.lines().count(),
            1,
            "a line break of the peer's is none of ours: {told}"
        );
        let steers = |each: char| each != '\n' && (each.is_control() || each == '\u{202e}');
        assert!(!told.contains(steers), "{told:?}");
    }
}

#[test]
fn a_goodbye_during_the_login_is_shown_with_its_words() {
    let Some(server) = crate::algorithms::openssh("MaxAuthTries 1") else {
        return;
    };
    let keys = ["stranger", "user"].map(|name| server.keys.path(name).display().to_string());
    let finished = run(crate::algorithms::into(&server, &["-i", &keys[0], "-i", &keys[1]]).arg("true"));
    assert_failed(
        finished,
        &["PROTOCOL_ERROR", "Too many authentication failures", "127.0.0.1"],
    );
}

#[test]
fn a_goodbye_during_a_session_is_shown_with_its_words() {
    let mut server = Sshd::start(&[]);
    let mut line = bowline(&["ssh"]);
    line.args(client_arguments(&server.keys, server.port));
    line.args([&format!("{}@127.0.0.1", peers::user()), "echo ready; sleep 600"]);
    let mut child = line
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let id = server.child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{told}");
    assert!(
        told.contains("BY_APPLICATION (11): the server is ending"),
        "{told}"
    );
    assert!(server.child.wait().unwrap().success());
}
