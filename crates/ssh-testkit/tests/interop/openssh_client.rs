//! OpenSSH's `ssh` into our server: commands, logins, host keys, forwards.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ssh_testkit::peers;
use ssh_testkit::running::{Finished, Running, free_port, run, run_with};

use crate::echo;
use crate::ours::{Ours, PASSWORD, PATIENCE};

/// `ssh` with `options`, running `command` on `ours`.
fn ssh(ours: &Ours, ssh: &Path, options: &[&str], command: &str) -> Command {
    let mut line = ours.client(ssh, options);
    line.arg(ours.destination()).arg(command);
    line
}

#[test]
fn a_command_gets_its_arguments_and_its_outputs_stay_apart() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let command = "printf '%s|' one 'two  three' \"four\"; echo oops >&2";
    let finished = run(&mut ssh(&ours, &program, &[], command)).with_code(0);
    assert_eq!(
        (finished.stdout_text().as_str(), finished.stderr_text().as_str()),
        ("one|two  three|four|", "oops\n")
    );
}

#[test]
fn the_exit_status_comes_through() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    for code in [0, 7, 255] {
        let _ = run(&mut ssh(&ours, &program, &[], &format!("exit {code}"))).with_code(code);
    }
    // OpenSSH says 255 for a program that a signal ended, and names the signal when asked to be loud.
    let killed = run(&mut ssh(&ours, &program, &["-v"], "kill -TERM $$")).with_code(255);
    assert!(killed.stderr_text().contains("exit-signal"), "{killed}");
}

#[test]
fn a_command_ends_when_its_input_does() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    for input in [&b""[..], b"ends on end of file\n", &[0xff; 300_000]] {
        let finished = run_with(&mut ssh(&ours, &program, &[], "cat; echo more"), input).with_code(0);
        assert!(
            finished.stdout == [input, b"more\n"].concat(),
            "{} bytes",
            input.len()
        );
    }
}

#[test]
fn a_command_that_does_not_read_its_input_ends_all_the_same() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let input = vec![b'x'; 8 << 20];
    let finished = run_with(&mut ssh(&ours, &program, &[], "exec 0<&-; echo enough"), input).with_code(0);
    assert_eq!(finished.stdout_text(), "enough\n");
}

#[test]
fn a_shell_reads_its_commands_from_the_client() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let mut shell = ours.client(&program, &["-T"]);
    let finished = run_with(shell.arg(ours.destination()), "echo one\nexit 3\necho two\n").with_code(3);
    assert_eq!(finished.stdout_text(), "one\n");
}

#[test]
fn only_harmless_environment_variables_are_taken() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let options = ["-o", "SetEnv=LC_BOWLINE=taken LD_PRELOAD=/x FOO=left"];
    let command = "echo \"$LC_BOWLINE,$LD_PRELOAD,$FOO\"";
    let finished = run(&mut ssh(&ours, &program, &options, command)).with_code(0);
    assert_eq!(finished.stdout_text(), "taken,,\n");
}

#[test]
fn many_sessions_share_one_connection() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let socket = format!("ControlPath={}", ours.keys.path("control").display());
    let mut master = ours.client(&program, &["-N", "-o", "ControlMaster=yes", "-o", &socket]);
    let mut master = Running::start(master.arg(ours.destination()));
    let begin = Instant::now();
    while !ours.keys.path("control").exists() {
        assert!(
            master.is_alive() && begin.elapsed() < PATIENCE,
            "no master connection"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..10)
            .map(|number| {
                let mut line = ssh(&ours, &program, &["-o", &socket], &format!("cat; exit {number}"));
                scope.spawn(move || run_with(&mut line, format!("session {number}")).with_code(number))
            })
            .collect();
        for (number, session) in sessions.into_iter().enumerate() {
            assert_eq!(session.join().unwrap().stdout_text(), format!("session {number}"));
        }
    });
    // Asked once whether the key is worth a signature, and once with the signature.
    assert_eq!(ours.attempts().len(), 2, "they did not share a login");
}

/// A login that has to answer a question by `secret`.
fn with_secret(ours: &Ours, program: &Path, secret: &str, options: &[&str]) -> Finished {
    let options = [
        &["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"],
        options,
    ]
    .concat();
    let mut line = ssh(ours, program, &options, "echo in");
    line.env("SSH_ASKPASS", ours.keys.askpass(secret))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("DISPLAY", ":0");
    run(&mut line)
}

const BY_PASSWORD: [&str; 4] = [
    "-o",
    "PreferredAuthentications=password",
    "-o",
    "PubkeyAuthentication=no",
];

#[test]
fn logins_by_key_by_locked_key_and_by_password() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let _ = run(&mut ssh(&ours, &program, &[], "exit 0")).with_code(0);
    let locked = format!("IdentityFile={}", ours.keys.path("locked").display());
    let by_locked = with_secret(&ours, &program, "secret", &["-o", &locked]).with_code(0);
    assert_eq!(by_locked.stdout_text(), "in\n");
    let by_password = with_secret(&ours, &program, PASSWORD, &BY_PASSWORD).with_code(0);
    assert_eq!(by_password.stdout_text(), "in\n");
    assert_eq!(ours.attempts().last(), Some(&format!("password {}", ours.user())));
}

#[test]
fn strangers_and_wrong_passwords_are_refused() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let stranger = ours.keys.path("stranger");
    let mut line = Command::new(&program);
    line.args([
        "-F",
        "none",
        "-p",
        &ours.port.to_string(),
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "BatchMode=yes",
        "-i",
    ]);
    line.arg(stranger).args([
        "-o",
        "GlobalKnownHostsFile=none",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
    ]);
    line.arg(format!(
        "UserKnownHostsFile={}",
        ours.keys.known_hosts("known", ours.port, "host").display()
    ));
    let refused = run(line
        .env_remove("SSH_AUTH_SOCK")
        .arg(ours.destination())
        .arg("echo in"))
    .with_code(255);
    assert!(
        refused
            .stderr_text()
            .contains("Permission denied (publickey,password)"),
        "{refused}"
    );
    let refused = with_secret(&ours, &program, "wrong", &BY_PASSWORD).with_code(255);
    assert!(refused.stderr_text().contains("Permission denied"), "{refused}");
    let nobody = run(ours.client(&program, &[]).arg("nobody@127.0.0.1").arg("echo in")).with_code(255);
    assert!(nobody.stderr_text().contains("Permission denied"), "{nobody}");
    for output in [refused.stdout, nobody.stdout] {
        assert!(output.is_empty(), "a command ran");
    }
}

#[test]
fn a_client_that_knows_another_host_key_says_nothing_about_its_user() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let wrong = ours.keys.known_hosts("wrong_hosts", ours.port, "stranger");
    let option = format!("UserKnownHostsFile={}", wrong.display());
    let refused = run(&mut ssh(&ours, &program, &["-o", &option], "echo in")).with_code(255);
    assert!(
        refused.stderr_text().contains("Host key verification failed"),
        "{refused}"
    );
    assert_eq!(ours.attempts(), [""; 0], "a login was attempted");
}

#[test]
fn key_exchange_is_strict() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let finished = run(&mut ssh(&ours, &program, &["-vvv"], "exit 0")).with_code(0);
    let told = finished.stderr_text();
    assert!(told.contains("will use strict KEX ordering"), "{finished}");
    let told = told
        .lines()
        .find(|line| line.contains("server-sig-algs=<"))
        .unwrap_or_default();
    for name in ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512"] {
        assert!(told.contains(name), "{told}");
    }
}

#[test]
fn standard_streams_lead_to_a_forwarded_port() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let target = format!("127.0.0.1:{}", echo::start());
    let mut line = ours.client(&program, &["-W", &target]);
    let finished = run_with(line.arg(ours.destination()), "through the tunnel").with_code(0);
    assert_eq!(finished.stdout_text(), "through the tunnel");
}

#[test]
fn a_forward_that_is_refused_or_leads_nowhere_is_told() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    for (target, expected) in [
        (format!("127.0.0.1:{}", free_port()), "connect failed"),
        ("192.0.2.1:80".to_owned(), "administratively prohibited"),
    ] {
        let mut line = ours.client(&program, &["-W", &target]);
        let finished = run(line.arg(ours.destination()));
        assert_ne!(finished.code, Some(0), "{finished}");
        assert!(finished.stderr_text().contains(expected), "{finished}");
    }
}

#[test]
fn a_local_port_leads_through_the_server() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let (local, target) = (free_port(), echo::start());
    let forward = format!("127.0.0.1:{local}:127.0.0.1:{target}");
    let mut line = ours.client(
        &program,
        &["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward],
    );
    let mut tunnel = Running::start(line.arg(ours.destination()));
    let connections: Vec<_> = (0..5).map(|_| connect(&mut tunnel, local)).collect();
    for (number, mut stream) in connections.into_iter().enumerate() {
        let said = vec![b'0' + number as u8; 200_000];
        stream.write_all(&said).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert!(
            heard == said,
            "connection {number}: {} bytes came back",
            heard.len()
        );
    }
}

fn connect(tunnel: &mut Running, port: u16) -> TcpStream {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(tunnel.is_alive() && begin.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
