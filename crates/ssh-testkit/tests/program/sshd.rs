//! `bowline sshd` with OpenSSH's clients, and its command line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use ssh_client::keys::Signer as _;
use ssh_client::{Client, Credentials, HostKeys};
use ssh_testkit::openssh::{Account, Keys, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, is_running, run, run_with};
use ssh_testkit::security_key::{SecurityKey, TOUCHED};

use crate::bowline::{Sshd, bowline, listening_port, program, usual_words, wait_until};
use crate::bulk::{PART, first_word};
use crate::echo;

/// OpenSSH's client on its way to `server`.
fn client(server: &Sshd, program: &Path, options: &[&str]) -> Command {
    let mut line = Command::new(program);
    line.args(options)
        .args(client_arguments(&server.keys, server.port))
        .env_remove("SSH_AUTH_SOCK");
    line.arg(format!("{}@127.0.0.1", peers::user()));
    line
}

#[test]
fn openssh_s_clients_run_commands_move_files_and_forward() {
    let (Some(ssh), Some(sftp)) = (peers::need("ssh"), peers::need("sftp")) else {
        return;
    };
    let server = Sshd::start(&[]);
    for code in [0, 7, 255] {
        let _ = run(client(&server, &ssh, &[]).arg(format!("exit {code}"))).with_code(code);
    }
    let finished = run(client(&server, &ssh, &[]).arg("echo out; echo err >&2")).with_code(0);
    assert_eq!(
        (finished.stdout_text().as_str(), finished.stderr_text().as_str()),
        ("out\n", "err\n")
    );
    fs::write(server.keys.path("local"), vec![b'l'; 5_000_000]).unwrap();
    let file = |name: &str| server.keys.path(name).display().to_string();
    let batch = format!(
        "put {} {}\nget {1} {}\n",
        file("local"),
        file("remote"),
        file("back")
    );
    let _ = run_with(&mut client(&server, &sftp, &["-b", "-"]), batch).with_code(0);
    assert!(fs::read(file("back")).unwrap() == vec![b'l'; 5_000_000]);
    let target = format!("127.0.0.1:{}", echo::start());
    let through = run_with(&mut client(&server, &ssh, &["-W", &target]), "through").with_code(0);
    assert_eq!(through.stdout_text(), "through");
}

#[test]
fn new_keys_are_asked_for_as_often_as_rekeylimit_says() {
    let Some(ssh) = peers::need("ssh") else { return };
    let server = Sshd::start(&["-o", "RekeyLimit=1M", "-o", "KexAlgorithms=curve25519-sha256"]);
    let finished = run(client(&server, &ssh, &["-v"])
        .arg(PART.command())
        .stdout(Stdio::piped()))
    .with_code(0);
    assert_eq!(finished.stdout.len() as u64, PART.bytes);
    assert!(
        finished
            .stderr_text()
            .matches("SSH2_MSG_NEWKEYS received")
            .count()
            > 12
    );
    let mut check = Command::new("sha256sum");
    assert_eq!(
        first_word(&run_with(&mut check, finished.stdout).stdout_text()),
        PART.digest
    );
}

#[test]
fn one_connection_is_served_on_standard_input_and_output() {
    let (Some(ssh), Some(sftp)) = (peers::need("ssh"), peers::need("sftp")) else {
        return;
    };
    let keys = Keys::make();
    let server = [
        vec![program().display().to_string(), "sshd".into(), "-i".into()],
        usual_words(&keys),
    ]
    .concat();
    let proxy = format!("ProxyCommand={}", server.join(" "));
    let known = keys.path("known_hosts");
    fs::write(&known, format!("inetd.example {}\n", keys.public("host"))).unwrap();
    let ready = |program: &Path, options: &[&str]| {
        let mut line = Command::new(program);
        line.args([
            "-F",
            "none",
            "-o",
            &proxy,
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
        ]);
        line.arg(keys.path("user"))
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()));
        line.args(options)
            .arg(format!("{}@inetd.example", peers::user()))
            .env_remove("SSH_AUTH_SOCK");
        line
    };
    for code in [0, 7, 255] {
        let finished = run_with(ready(&ssh, &[]).arg(format!("cat; exit {code}")), "said").with_code(code);
        assert_eq!(
            (finished.stdout_text().as_str(), finished.stderr_text().as_str()),
            ("said", "")
        );
    }
    fs::write(keys.path("local"), vec![b'l'; 5_000_000]).unwrap();
    let batch = format!(
        "put {} {}\n",
        keys.path("local").display(),
        keys.path("remote").display()
    );
    let _ = run_with(&mut ready(&sftp, &["-b", "-"]), batch).with_code(0);
    assert_eq!(fs::metadata(keys.path("remote")).unwrap().len(), 5_000_000);
    // What comes of a peer that is none:
    let mut line = bowline(&["sshd", "-i", "-o", "LoginGraceTime=1"]);
    let finished = run_with(line.args(usual_words(&keys)), "GET / HTTP/1.0\r\n\r\n").with_code(255);
    assert!(finished.stdout.starts_with(b"SSH-2.0-Bowline_"), "{finished}");
}

/// `bowline sshd -t`.
fn test_mode(keys: &Keys, words: &[&str]) -> Finished {
    run(bowline(&["sshd", "-t"]).args(words).args(usual_words(keys)))
}

#[test]
fn a_configuration_is_checked_without_being_used() {
    let keys = Keys::make();
    let config = keys.path("sshd_config").display().to_string();
    let good = "# ours\nPort 0\nLoginGraceTime 30s\nMaxStartups 10:30:100\nCiphers aes128-gcm@openssh.com\nRekeyLimit 1G 1h\n";
    fs::write(&config, good).unwrap();
    let fine = test_mode(&keys, &["-f", &config]).with_code(0);
    assert!(fine.stdout.is_empty() && fine.stderr.is_empty(), "{fine}");
    for (text, words) in [
        ("Port 0\nNoSuchKeyword 1\n", &["line 2", "NoSuchKeyword"][..]),
        ("Prot 22\n", &["line 1", "Prot", "Port"]),
        ("MaxAuthTries many\n", &["line 1", "MaxAuthTries", "many"]),
        ("Ciphers no-such-cipher\n", &["no-such-cipher"]),
        ("PermitRootLogin \"open\n", &["line 1"]),
    ] {
        fs::write(&config, text).unwrap();
        let bad = test_mode(&keys, &["-f", &config]).with_code(255);
        let told = bad.stderr_text();
        assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {bad}");
        assert!(told.contains(&config) || text.starts_with("Ciphers"), "{bad}");
    }
    for (words, expected) in [
        (&["-h", "/nowhere/host_key"][..], "/nowhere/host_key"),
        (&["-h", keys.path("host.pub").to_str().unwrap()], "host.pub"),
        (&["-h", keys.path("locked").to_str().unwrap()], "locked"),
        (&["-f", "/nowhere/sshd_config"], "/nowhere/sshd_config"),
        (&["-o", "NoSuchKeyword=1"], "NoSuchKeyword"),
        (&["-Z"], "-Z"),
        (&["extra"], "extra"),
    ] {
        let bad = test_mode(&keys, words).with_code(255);
        assert!(bad.stderr_text().contains(expected), "{bad}");
        assert!(!bad.stderr_text().contains("panicked"), "{bad}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let keys = Keys::make();
    let finished = run(bowline(&["sshd", "-D", "-p", &port]).args(usual_words(&keys))).with_code(255);
    let told = finished.stderr_text();
    assert!(
        told.contains(&format!("127.0.0.1:{port}")) && told.contains("in use"),
        "{finished}"
    );
}

/// A server that may have so many descriptors: what it said, and how it ended if it did not stay.
fn with_descriptors(most: u32, keys: &Keys) -> (String, Option<ExitStatus>) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n $0 && exec \"$@\"", &most.to_string()]);
    shell
        .arg(program())
        .args(["sshd", "-D", "-e", "-p", "0", "-o", "LogLevel=DEBUG"]);
    let mut server = shell
        .args(usual_words(keys))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let (mut told, mut visitor) = (String::new(), None);
    let is_served = lines.any(|line| {
        told += &format!("{line}\n");
        if let Some(port) = listening_port(&line) {
            visitor = Some(TcpStream::connect(("127.0.0.1", port)));
        }
        line.ends_with("connected") || line.contains("cannot accept a connection")
    });
    if is_served {
        server.kill().unwrap();
    }
    let ended = server.wait().unwrap();
    (told, (!is_served).then_some(ended))
}

#[test]
fn a_server_that_gets_too_few_descriptors_to_begin_says_so() {
    let keys = Keys::make();
    let mut ended_listening = 0;
    for most in 8.. {
        let (told, ended) = with_descriptors(most, &keys);
        assert!(!told.contains("panicked"), "{most}: {told}");
        let Some(status) = ended else { break };
        assert_eq!(status.code(), Some(255), "{most}: {told}");
        assert!(told.contains("Too many open files"), "{most}: {told}");
        ended_listening += u32::from(told.contains("Server listening"));
    }
    assert!(ended_listening > 0, "none was short of what its threads need");
}

#[test]
fn messages_go_to_the_log_file() {
    let keys = Keys::make();
    let log = keys.path("log");
    let mut line = bowline(&["sshd", "-D", "-p", "0", "-E"]);
    line.arg(&log)
        .args(usual_words(&keys))
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = line.spawn().unwrap();
    let read = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("nothing is logged", || {
        read().contains("Server listening on 127.0.0.1 port ")
    });
    child.kill().unwrap();
    assert_eq!(child.wait_with_output().unwrap().stderr, b"");
}

#[test]
fn a_key_that_nobody_touched_is_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = Sshd::start_logging(&["-o", "LogLevel=VERBOSE"], &log.display().to_string());
    let device = |flags| SecurityKey::new(true, flags);
    let public = device(0).public_key().to_openssh("device");
    fs::write(server.keys.path("authorized_keys"), format!("{public}\n")).unwrap();
    let read = || fs::read_to_string(&log).unwrap();
    for (flags, expected) in [(TOUCHED, 0), (0, 1)] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let key = Credentials::signer(Arc::new(device(flags)));
        let any = HostKeys::dangerous_accept_any();
        let address = ("127.0.0.1", server.port);
        let user = peers::user();
        let login = Client::connect(address, &user, any, key);
        let result = runtime.block_on(login);
        assert_eq!(result.is_ok(), flags == TOUCHED, "{result:?}");
        let told = read();
        let lines: Vec<_> = told.lines().filter(|line| line.contains("key refused")).collect();
        assert_eq!(lines.len(), expected, "{told}");
        for line in lines {
            assert!(line.contains("INFO") && line.contains("touch"), "{line}");
        }
    }
}

#[test]
fn without_d_it_goes_into_the_background() {
    let keys = Keys::make();
    let mut line = bowline(&["sshd", "-p", "0"]);
    let started = run(line.args(usual_words(&keys))).with_code(0);
    let told = started.stderr_text();
    let port = told
        .lines()
        .find_map(crate::bowline::listening_port)
        .unwrap_or_else(|| panic!("{started}"));
    let id = process_with(&keys.path("host").display().to_string()).expect("it runs");
    let user = keys.path("user").display().to_string();
    let known = format!(
        "UserKnownHostsFile={}",
        keys.known_hosts("known", port, "host").display()
    );
    let words = [
        "ssh",
        "-i",
        &user,
        "-o",
        &known,
        "-o",
        "BatchMode=yes",
        "-p",
        &port.to_string(),
        "127.0.0.1",
        "echo in",
    ];
    let finished = run(&mut bowline(&words));
    let ended = Command::new("kill").arg(id.to_string()).status().unwrap();
    assert_eq!(finished.with_code(0).stdout_text(), "in\n");
    assert!(ended.success());
    wait_until("it goes on", || !is_running(id));
}

/// The process that has `word` on its command line: the folder in it is this test's own.
fn process_with(word: &str) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        line.split(|byte| *byte == 0)
            .any(|each| each == word.as_bytes())
            .then_some(id)
    })
}

#[test]
fn the_password_of_the_account_that_runs_it_opens_it() {
    let (Some(ssh), Some(runuser)) = (peers::need("ssh"), peers::find("runuser")) else {
        return;
    };
    let Some(account) = Account::make("sshd") else {
        return;
    };
    if ![
        "/usr/sbin/unix_chkpwd",
        "/sbin/unix_chkpwd",
        "/usr/bin/unix_chkpwd",
    ]
    .iter()
    .any(|path| Path::new(path).exists())
    {
        assert!(!peers::is_required(), "unix_chkpwd is not on this machine");
        return;
    }
    // A folder the account can look into, with a program and a key that are its own.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir();
    let folder = folder.unwrap();
    let keys = Keys::make();
    for (from, name) in [(program(), "bowline"), (keys.path("host"), "host")] {
        fs::copy(from, folder.path().join(name)).unwrap();
    }
    let owned = run(Command::new("chown")
        .arg("-R")
        .arg(&account.name)
        .arg(folder.path()));
    let _ = owned.with_code(0);
    let mut line = Command::new(runuser);
    line.args(["-u", &account.name, "--"])
        .arg(folder.path().join("bowline"));
    line.args([
        "sshd",
        "-D",
        "-e",
        "-p",
        "0",
        "-o",
        "ListenAddress=127.0.0.1",
        "-o",
        "PasswordAuthentication=yes",
        "-h",
    ]);
    let server = Sshd::run(line.arg(folder.path().join("host")), keys);
    for (password, code) in [(account.password.as_str(), 0), ("wrong", 255)] {
        let mut line = Command::new(&ssh);
        line.args([
            "-o",
            "BatchMode=no",
            "-o",
            "PreferredAuthentications=password",
            "-o",
            "NumberOfPasswordPrompts=1",
        ]);
        line.args(client_arguments(&server.keys, server.port))
            .env_remove("SSH_AUTH_SOCK");
        line.env("SSH_ASKPASS", server.keys.askpass(password))
            .env("SSH_ASKPASS_REQUIRE", "force");
        let finished = run(line.arg(format!("{}@127.0.0.1", account.name)).arg("id -un")).with_code(code);
        assert_eq!(
            finished.stdout_text().trim() == account.name,
            code == 0,
            "{finished}"
        );
    }
    let _ = run(Command::new("kill").arg(server.child.id().to_string()));
}
