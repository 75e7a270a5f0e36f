//! The settings of `bowline sshd`, each seen from outside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, free_port, run};

use crate::bowline::{PATIENCE, Sshd, wait_until};
use crate::echo;

/// OpenSSH's client with `options`, running `command` on `server`.
pub fn ssh(server: &Sshd, options: &[&str], command: &str) -> Option<Finished> {
    let mut line = Command::new(peers::need("ssh")?);
    line.args(options)
        .args(client_arguments(&server.keys, server.port))
        .env_remove("SSH_AUTH_SOCK");
    Some(run(line.arg(format!("{}@127.0.0.1", peers::user())).arg(command)))
}

#[test]
fn only_the_chosen_algorithms_are_offered() {
    let server = Sshd::start(&[
        "-o",
        "Ciphers=aes256-gcm@openssh.com",
        "-o",
        "KexAlgorithms=curve25519-sha256",
    ]);
    let Some(finished) = ssh(&server, &["-v"], "true") else {
        return;
    };
    let told = finished.with_code(0).stderr_text();
    assert!(
        told.contains("kex: algorithm: curve25519-sha256\n")
            || told.contains("kex: algorithm: curve25519-sha256\r")
    );
    assert!(
        told.contains("client->server cipher: aes256-gcm@openssh.com"),
        "{told}"
    );
    let refused = ssh(&server, &["-c", "aes128-gcm@openssh.com"], "true")
        .unwrap()
        .with_code(255);
    assert!(
        refused.stderr_text().contains("no matching cipher found"),
        "{refused}"
    );
}

#[test]
fn compression_is_offered_unless_it_is_turned_off() {
    for (setting, expected) in [
        ("yes", "zlib@openssh.com"),
        ("delayed", "zlib@openssh.com"),
        ("no", "none"),
    ] {
        let server = Sshd::start(&["-o", &format!("Compression={setting}")]);
        let Some(finished) = ssh(&server, &["-C", "-v"], "true") else {
            return;
        };
        let told = finished.with_code(0).stderr_text();
        assert!(
            told.contains(&format!("compression: {expected}")),
            "{setting}: {told}"
        );
    }
}

#[test]
fn group_exchange_takes_its_groups_from_the_moduli_file() {
    // The largest group of this file has 4096 bits; the client below asks for 8192, which are built in.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../ssh-kex/tests/moduli");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config").display().to_string();
    fs::write(&config, format!("ModuliFile {file}\n")).unwrap();
    let (named, kex) = (
        format!("ModuliFile={file}"),
        "KexAlgorithms=+diffie-hellman-group-exchange-sha256",
    );
    let only = "KexAlgorithms=diffie-hellman-group-exchange-sha256";
    for (words, bits) in [(&[][..], 8192), (&["-o", &named], 4096), (&["-f", &config], 4096)] {
        let server = Sshd::start(&[&["-o", kex], words].concat());
        let options = ["-vv", "-c", "aes256-gcm@openssh.com", "-o", only];
        let Some(finished) = ssh(&server, &options, "true") else {
            return;
        };
        let told = finished.with_code(0).stderr_text();
        // `bits set: about half/all`, once for each share.
        let is_share =
            |line: &str| line.contains("bits set:") && line.trim_end().ends_with(&format!("/{bits}"));
        assert!(told.lines().any(is_share), "{words:?}, {bits}: {told}");
    }
    let missing = folder.path().join("moduli").display().to_string();
    for setting in [&missing, &config] {
        let mut line = crate::bowline::bowline(&["sshd", "-t", "-o", &format!("ModuliFile={setting}")]);
        let finished = run(line.args(crate::bowline::usual_words(&ssh_testkit::openssh::Keys::make())));
        assert!(
            finished.with_code(255).stderr_text().contains(setting),
            "{setting}"
        );
    }
}

#[test]
fn a_configuration_file_is_read_and_the_command_line_is_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config").display().to_string();
    fs::write(
        &config,
        "Ciphers aes128-gcm@openssh.com\nForceCommand echo forced\nAcceptEnv BOWLINE_*\n",
    )
    .unwrap();
    let server = Sshd::start(&["-f", &config, "-o", "Ciphers=aes256-gcm@openssh.com"]);
    let Some(finished) = ssh(&server, &["-v"], "echo asked for") else {
        return;
    };
    let finished = finished.with_code(0);
    assert_eq!(finished.stdout_text(), "forced\n");
    assert!(
        finished.stderr_text().contains("cipher: aes256-gcm@openssh.com"),
        "{finished}"
    );
}

#[test]
fn environment_variables_are_taken_by_pattern() {
    let server = Sshd::start(&["-o", "AcceptEnv=BOWLINE_* LANG"]);
    let options = ["-o", "SetEnv=BOWLINE_ONE=1 OTHER=2 LANG=xx"];
    let Some(finished) = ssh(&server, &options, "echo \"$BOWLINE_ONE,$OTHER,$LANG\"") else {
        return;
    };
    assert_eq!(finished.with_code(0).stdout_text(), "1,,xx\n");
}

#[test]
fn forwards_are_allowed_where_the_settings_say() {
    let target = echo::start();
    let allowed = format!("PermitOpen=127.0.0.1:{target}");
    for (setting, port, is_open) in [
        ("AllowTcpForwarding=yes", target, true),
        ("AllowTcpForwarding=no", target, false),
        (allowed.as_str(), target, true),
        (allowed.as_str(), free_port(), false),
        ("PermitOpen=none", target, false),
    ] {
        let server = Sshd::start(&["-o", setting]);
        let Some(program) = peers::need("ssh") else { return };
        let mut line = Command::new(program);
        line.args(["-W", &format!("127.0.0.1:{port}")])
            .args(client_arguments(&server.keys, server.port));
        let finished = run(line.arg(format!("{}@127.0.0.1", peers::user())));
        assert_eq!(finished.code == Some(0), is_open, "{setting}: {finished}");
        assert!(
            is_open || finished.stderr_text().contains("prohibited"),
            "{setting}: {finished}"
        );
    }
}

#[test]
fn a_restricted_key_does_no_more_than_it_may() {
    let server = Sshd::start(&[]);
    let file = server.keys.path("authorized_keys");
    let key = server.keys.public("user");
    fs::write(
        &file,
        format!("restrict,command=\"echo $SSH_ORIGINAL_COMMAND forced\" {key}\n"),
    )
    .unwrap();
    let Some(finished) = ssh(&server, &[], "asked for") else {
        return;
    };
    assert_eq!(finished.with_code(0).stdout_text(), "asked for forced\n");
    fs::write(&file, format!("no-such-option {key}\n")).unwrap();
    let refused = ssh(&server, &[], "true").unwrap().with_code(255);
    assert!(refused.stderr_text().contains("Permission denied"), "{refused}");
    fs::write(&file, format!("from=\"192.0.2.*\" {key}\n")).unwrap();
    let _ = ssh(&server, &[], "true").unwrap().with_code(255);
    fs::write(&file, format!("from=\"127.0.0.0/8\" {key}\n")).unwrap();
    let _ = ssh(&server, &[], "true").unwrap().with_code(0);
}

/// What the server said until it closed `stream`, if it does.
fn said_until_closed(mut stream: TcpStream) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => Some(said),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Some(said),
        Err(_) => None,
    }
}

#[test]
fn a_client_that_does_not_log_in_is_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let server = Sshd::start_logging(&["-o", "LoginGraceTime=1", "-o", "LogLevel=DEBUG"], &log);
    for said in [&b""[..], b"SSH-2.0-waiting\r\n"] {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let from = format!("error={}: ", stream.local_addr().unwrap());
        stream.write_all(said).unwrap();
        said_until_closed(stream).expect("the connection stays open");
        assert!(begin.elapsed() >= Duration::from_secs(1));
        // By the setting, and by nothing that comes later. How much later a busy machine is does not count.
        wait_until("another time was over", || {
            let log = fs::read_to_string(&log).unwrap();
            log.lines()
                .any(|line| line.contains(&from) && line.contains(" 1 seconds"))
        });
    }
}

#[test]
fn no_more_strangers_than_maxstartups_come_in() {
    let server = Sshd::start(&["-o", "MaxStartups=2"]);
    let strangers: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap())
        .collect();
    for mut stranger in &strangers {
        let mut greeting = [0; 4];
        stranger.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-");
    }
    let third = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let said = said_until_closed(third).expect("a third stranger came in");
    assert!(!said.starts_with(b"SSH-"), "{}", String::from_utf8_lossy(&said));
    drop(strangers);
    // Their places are free when the server has noticed.
    wait_until("nobody comes in any more", || {
        ssh(&server, &[], "true").is_none_or(|finished| finished.code == Some(0))
    });
}

#[test]
fn maxauthtries_ends_a_guesser() {
    let server = Sshd::start(&["-o", "MaxAuthTries=2", "-o", "PasswordAuthentication=yes"]);
    let Some(program) = peers::need("ssh") else { return };
    let mut line = Command::new(program);
    line.args([
        "-v",
        "-o",
        "BatchMode=no",
        "-o",
        "PreferredAuthentications=password",
    ]);
    line.args(["-o", "NumberOfPasswordPrompts=9"]);
    line.args(client_arguments(&server.keys, server.port))
        .env_remove("SSH_AUTH_SOCK");
    line.env("SSH_ASKPASS", server.keys.askpass("a guess"))
        .env("SSH_ASKPASS_REQUIRE", "force");
    let finished = run(line.arg(format!("{}@127.0.0.1", peers::user())).arg("true")).with_code(255);
    let told = finished.stderr_text();
    assert!(told.contains("Too many authentication failures"), "{finished}");
    assert_eq!(
        told.matches("Next authentication method: password").count(),
        1,
        "{finished}"
    );
}

/// The identification line of whoever listens on `port`.
fn greeting(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn the_identification_carries_the_addendum() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config").display().to_string();
    fs::write(
        &config,
        "VersionAddendum of the house\nVersionAddendum of another\n",
    )
    .unwrap();
    let longest = "x".repeat(200);
    let by_option = format!("VersionAddendum={longest}");
    let plain = greeting(Sshd::start(&[]).port);
    let own = plain.strip_suffix("\r\n").unwrap();
    assert!(
        own.starts_with("SSH-2.0-Bowline_") && !own.contains(' '),
        "{plain:?}"
    );
    for (words, expected) in [
        (&["-o", "VersionAddendum=none"][..], own.to_owned()),
        (&["-o", &by_option], format!("{own} {longest}")),
        (&["-f", &config], format!("{own} of the house")),
    ] {
        let server = Sshd::start(words);
        let line = greeting(server.port);
        assert_eq!(line, format!("{expected}\r\n"));
        assert!(line.len() <= 255, "RFC 4253, section 4.2");
        let Some(finished) = ssh(&server, &["-v"], "true") else {
            return;
        };
        // OpenSSH takes the line, and shows the first hundred bytes of what stands behind the protocol's version.
        let software = expected.strip_prefix("SSH-2.0-").unwrap();
        let software = software.get(..100).unwrap_or(software);
        let told = finished.with_code(0).stderr_text();
        assert!(
            told.contains(&format!("remote software version {software}")),
            "{told}"
        );
    }
    for wrong in [
        "x".repeat(201),
        "a\u{7}b".to_owned(),
        "caf\u{e9}".to_owned(),
        "a\r\nb".to_owned(),
    ] {
        for program in ["sshd", "ssh"] {
            let setting = format!("VersionAddendum={wrong}");
            let finished = run(&mut crate::bowline::bowline(&[program, "-o", &setting])).with_code(255);
            let told = finished.stderr_text();
            assert!(
                told.contains("VersionAddendum") && !told.contains('\u{7}'),
                "{finished}"
            );
        }
    }
}

#[test]
fn a_client_s_identification_carries_its_addendum() {
    let Some(server) = crate::algorithms::openssh("LogLevel DEBUG1") else {
        return;
    };
    let option = ["-o", "VersionAddendum=from afar"];
    let _ = run(crate::algorithms::into(&server, &option).arg("true")).with_code(0);
    let log = server.log();
    assert!(
        log.lines().any(|line| line.trim_end().ends_with(" from afar")),
        "{log}"
    );
}
