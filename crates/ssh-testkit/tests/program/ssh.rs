//! `bowline ssh` into OpenSSH's server and our own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ssh_testkit::peers;
use ssh_testkit::running::{run, run_with};

use crate::algorithms::{into, openssh};
use crate::bowline::{PATIENCE, Peer};
use crate::bulk::{PART, first_word};

#[test]
fn the_exit_status_is_passed_on() {
    for peer in Peer::all() {
        for (command, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 255", 255),
            ("kill -TERM $$", 255),
        ] {
            let finished = run(peer.client("ssh", &[]).arg(command)).with_code(code);
            let told = finished.stderr_text();
            assert_eq!(
                told.is_empty(),
                !command.starts_with("kill"),
                "{}: {finished}",
                peer.name
            );
        }
    }
}

#[test]
fn words_are_joined_and_outputs_stay_apart() {
    for peer in Peer::all() {
        let words = [
            "printf",
            "'%s|'",
            "one",
            "'two  three'",
            ";",
            "echo",
            "oops",
            ">&2",
        ];
        let finished = run(peer.client("ssh", &[]).args(words)).with_code(0);
        assert_eq!(finished.stdout_text(), "one|two  three|", "{}", peer.name);
        assert_eq!(finished.stderr_text(), "oops\n", "{}", peer.name);
    }
}

#[test]
fn standard_input_reaches_the_command_unless_told_not_to() {
    for peer in Peer::all() {
        let input = vec![0xfe; 3_000_000];
        let finished = run_with(peer.client("ssh", &[]).arg("cat"), input.clone()).with_code(0);
        assert!(finished.stdout == input, "{}", peer.name);
        let finished = run_with(peer.client("ssh", &["-n"]).arg("cat; echo end"), input.clone()).with_code(0);
        assert_eq!(finished.stdout_text(), "end\n", "{}", peer.name);
        // A command that does not care for its input does not make us wait for its end.
        let finished = run_with(peer.client("ssh", &[]).arg("exec 0<&-; echo end"), input).with_code(0);
        assert_eq!(finished.stdout_text(), "end\n", "{}", peer.name);
    }
}

#[test]
fn a_command_s_end_does_not_wait_for_our_standard_input() {
    for peer in Peer::all() {
        let mut child = peer.client("ssh", &[]);
        let mut child = child.arg("exit 3").stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(3), "{}", peer.name);
        drop(input);
    }
}

#[test]
fn without_a_command_there_is_a_shell() {
    for peer in Peer::all() {
        let finished =
            run_with(&mut peer.client("ssh", &["-T"]), "echo one\nexit 3\necho two\n").with_code(3);
        assert!(
            finished.stdout_text().ends_with("one\n"),
            "{}: {finished}",
            peer.name
        );
    }
}

#[test]
fn a_subsystem_is_started_by_its_name() {
    for peer in Peer::all() {
        // SSH_FXP_INIT with version 3; the answer begins with its length, SSH_FXP_VERSION, and 3. Input ends after that:
        // OpenSSH's server throws away what it has not sent when it does.
        let mut line = peer.client("ssh", &["-s"]);
        let mut child = line
            .arg("sftp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answer = [0; 9];
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        assert_eq!(answer[4..], [2, 0, 0, 0, 3], "{}", peer.name);
        drop(input);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{}", peer.name);
        let refused = run(peer.client("ssh", &["-s"]).arg("no-such-subsystem")).with_code(255);
        assert!(
            refused.stderr_text().contains("no-such-subsystem"),
            "{}: {refused}",
            peer.name
        );
    }
}

#[test]
fn options_are_taken_in_every_writing() {
    let peer = Peer::own();
    let (port, user) = (peer.port().to_string(), peers::user());
    let glued = |front: &str| format!("{front}{port}");
    let host = "127.0.0.1";
    let at = format!("{user}@{host}");
    for words in [
        vec!["-p", &port, "-l", &user, host],
        vec![&glued("-p"), &format!("-l{user}"), host],
        vec!["-o", &glued("Port="), &at],
        vec![&glued("-oPort="), &at],
        vec!["-o", &glued("Port "), &at],
        vec![
            "-o",
            &glued("port = "),
            "-oUSER=nobody-else",
            &at,
            "-l",
            "ignored",
        ],
        vec!["-qTp", &port, &at],
        vec!["-qTnp", &port, "--", &at],
        vec![host, "-p", &port, "-l", &user, "-T"],
        vec![&format!("ssh://{user}@{host}:{port}")],
    ] {
        let expects_refusal = words.contains(&"-oUSER=nobody-else");
        let finished = run(peer.bare("ssh").args(&words).arg("echo in"));
        if expects_refusal {
            // What is set first counts, the destination's user included.
            let refused = finished.with_code(255);
            assert!(
                refused.stderr_text().contains("nobody-else@"),
                "{words:?}: {refused}"
            );
        } else {
            assert_eq!(finished.with_code(0).stdout_text(), "in\n", "{words:?}");
        }
    }
}

#[test]
fn a_configuration_file_is_read_as_openssh_reads_it() {
    let peer = Peer::own();
    let known = peer.keys().known_hosts("known_hosts", peer.port(), "host");
    let text = format!(
        "# a comment\nBatchMode yes\nHost web9\n  Port 1\nHost web* !web8\n  HostName 127.0.0.1\n  Port {}\n\
         Host *\n  HostName 127.0.0.2\n  User = {}\n  IdentityFile \"{}\"\n  UserKnownHostsFile {}\n  RekeyLimit 1M 1h\n",
        peer.port(),
        peers::user(),
        peer.file("user"),
        known.display(),
    );
    let file = peer.file("config");
    fs::write(&file, text).unwrap();
    let ssh = |options: &[&str], host: &str| {
        run(crate::bowline::bowline(&["ssh", "-F", &file])
            .args(options)
            .args([host, "echo in"]))
    };
    assert_eq!(ssh(&[], "web1").with_code(0).stdout_text(), "in\n");
    assert_eq!(ssh(&[], "WEB2").with_code(0).stdout_text(), "in\n");
    // The first value counts: for web9 that is port 1, unless the command line was before it.
    let refused = ssh(&[], "web9").with_code(255);
    assert!(
        refused.stderr_text().contains("127.0.0.1") && refused.stderr_text().contains('1'),
        "{refused}"
    );
    assert_eq!(
        ssh(&["-p", &peer.port().to_string()], "web9")
            .with_code(0)
            .stdout_text(),
        "in\n"
    );
    let refused = ssh(&["-o", "ConnectTimeout=5"], "web8").with_code(255);
    assert!(refused.stderr_text().contains("127.0.0.2"), "{refused}");
}

#[test]
fn messages_go_to_the_log_file() {
    for peer in Peer::all() {
        let log = peer.file("client.log");
        // No server here takes this variable, and the client says so when it is to be loud.
        let loud = ["-v", "-o", "SetEnv=BOWLINE_OTHER=1"];
        let finished = run(peer
            .client("ssh", &[&loud[..], &["-E", &log]].concat())
            .arg("echo in"))
        .with_code(0);
        assert_eq!(
            (finished.stdout_text().as_str(), finished.stderr_text().as_str()),
            ("in\n", "")
        );
        let logged = fs::read_to_string(&log).unwrap();
        assert!(logged.contains("BOWLINE_OTHER"), "{}: {logged}", peer.name);
        let finished = run(peer.client("ssh", &loud).arg("echo in")).with_code(0);
        assert!(
            finished.stderr_text().contains("BOWLINE_OTHER"),
            "{}: {finished}",
            peer.name
        );
        let quiet = run(peer.client("ssh", &loud[1..]).arg("echo in")).with_code(0);
        assert!(quiet.stderr.is_empty(), "{}: {quiet}", peer.name);
    }
}

#[test]
fn a_new_host_key_is_added_and_a_changed_one_refused() {
    for peer in Peer::all() {
        let fresh = format!("UserKnownHostsFile={}", peer.file("fresh_hosts"));
        let accept = ["-o", &fresh, "-o", "StrictHostKeyChecking=accept-new"];
        let refused = run(peer.client("ssh", &["-o", &fresh]).arg("echo in")).with_code(255);
        assert!(
            refused.stderr_text().contains("key verification failed"),
            "{}: {refused}",
            peer.name
        );
        for options in [&accept[..], &["-o", &fresh]] {
            assert_eq!(
                run(peer.client("ssh", options).arg("echo in"))
                    .with_code(0)
                    .stdout_text(),
                "in\n"
            );
        }
        let wrong = peer.keys().known_hosts("wrong_hosts", peer.port(), "stranger");
        let wrong = format!("UserKnownHostsFile={}", wrong.display());
        let refused = run(peer
            .client("ssh", &["-o", &wrong, accept[2], accept[3]])
            .arg("echo in"))
        .with_code(255);
        assert!(
            refused.stderr_text().contains("key verification failed"),
            "{}: {refused}",
            peer.name
        );
        assert!(
            refused.stderr_text().contains("wrong_hosts"),
            "{}: {refused}",
            peer.name
        );
    }
}

#[test]
fn algorithms_are_chosen_by_option() {
    for peer in Peer::all() {
        for options in [
            &["-c", "aes256-gcm@openssh.com"][..],
            &["-o", "Ciphers=chacha20-poly1305@openssh.com"],
            &["-o", "KexAlgorithms=curve25519-sha256"],
            &["-o", "KexAlgorithms=-mlkem*"],
            &["-o", "HostKeyAlgorithms=ssh-ed25519"],
        ] {
            let finished = run(peer.client("ssh", options).arg("echo in")).with_code(0);
            assert_eq!(finished.stdout_text(), "in\n", "{}: {options:?}", peer.name);
        }
    }
}

#[test]
fn compression_is_used_when_it_is_asked_for() {
    for peer in Peer::all() {
        for (options, expected) in [
            (&["-v"][..], "none"),
            (&["-v", "-C"], "zlib@openssh.com"),
            (&["-v", "-o", "Compression=yes"], "zlib@openssh.com"),
            (&["-v", "-o", "Compression=no", "-C"], "zlib@openssh.com"),
        ] {
            let finished = run(peer.client("ssh", options).arg("echo in")).with_code(0);
            assert_eq!(finished.stdout_text(), "in\n", "{}: {options:?}", peer.name);
            let told = finished.stderr_text();
            for way in ["client->server", "server->client"] {
                assert!(
                    told.lines()
                        .any(|line| line.contains(way) && line.ends_with(&format!("compression: {expected}"))),
                    "{}: {options:?}: {told}",
                    peer.name
                );
            }
        }
    }
}

#[test]
fn environment_variables_are_set_where_the_server_takes_them() {
    for peer in Peer::all() {
        let options = ["-o", "SetEnv=LC_BOWLINE=taken BOWLINE_OTHER=left"];
        let own = peer.name == "bowline sshd";
        let finished = run(peer
            .client("ssh", &options)
            .arg("echo \"$LC_BOWLINE,$BOWLINE_OTHER\""))
        .with_code(0);
        // OpenSSH's server is told to take LC_*, ours is told nothing.
        assert_eq!(
            finished.stdout_text(),
            if own { ",\n" } else { "taken,\n" },
            "{}",
            peer.name
        );
    }
}

#[test]
fn bulk_data_passes_both_ways_while_keys_change() {
    for peer in Peer::all() {
        let options = ["-o", "RekeyLimit=1M", "-o", "KexAlgorithms=curve25519-sha256"];
        let client = peer.client("ssh", &options);
        let piped = |script: String, command: &str| {
            let mut line = Command::new("sh");
            line.arg("-c")
                .arg(script)
                .arg(client.get_program())
                .args(client.get_args());
            for (name, value) in client.get_envs() {
                match value {
                    Some(value) => line.env(name, value),
                    None => line.env_remove(name),
                };
            }
            run(line.arg(command)).with_code(0).stdout_text()
        };
        let sent = piped(format!("{} | \"$0\" \"$@\"", PART.command()), "sha256sum");
        assert_eq!(first_word(&sent), PART.digest, "{}", peer.name);
        let received = piped("\"$0\" \"$@\" | sha256sum".to_owned(), &PART.command());
        assert_eq!(first_word(&received), PART.digest, "{}", peer.name);
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let peer = Peer::own();
    let mut line = peer.client("ssh", &[]);
    let mut child = line
        .arg("seq 100000000")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    // The pipe is closed now.
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it goes on without a reader");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up_with_the_step_and_the_time() {
    for (greeting, step) in [
        (&b""[..], "the identification of the server"),
        (b"SSH-2.0-Mute\r\n", "the key exchange"),
    ] {
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = silent.local_addr().unwrap().port().to_string();
        let mute = std::thread::spawn(move || {
            let (mut stream, _) = silent.accept().unwrap();
            stream.write_all(greeting).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let words = [
            "ssh",
            "-o",
            "ConnectTimeout=3",
            "-o",
            "BatchMode=yes",
            "-p",
            &port,
            "127.0.0.1",
            "true",
        ];
        let finished = run(&mut crate::bowline::bowline(&words)).with_code(255);
        let told = finished.stderr_text();
        // The limits that hold where nothing is said are others.
        for word in [port.as_str(), step, "3 seconds"] {
            assert!(told.contains(word), "{word}: {finished}");
        }
        mute.join().unwrap();
    }
}

#[test]
fn a_servers_banner_is_shown_unless_we_are_told_to_be_quiet() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "Only for friends.\nAnd \u{1b}[2J theirs.\n").unwrap();
    let Some(server) = openssh(&format!("Banner {}", file.path().display())) else {
        return;
    };
    let shown = "Only for friends.\nAnd \\u{1b}[2J theirs.\n";
    for (options, expected) in [(&[][..], shown), (&["-o", "LogLevel=ERROR"], ""), (&["-q"], "")] {
        let finished = run(into(&server, options).arg("true")).with_code(0);
        assert_eq!(finished.stderr_text(), expected, "{options:?}");
    }
}
