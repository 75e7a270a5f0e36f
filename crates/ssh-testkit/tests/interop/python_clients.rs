//! asyncssh and paramiko into our server: the batteries beside this file.

use std::fs;
use std::path::Path;
use std::process::Command;

use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::bulk::WHOLE;
use crate::ours::{Ours, PASSWORD};

/// Runs `battery` against a server of ours.
fn battery(python: &Path, name: &str) -> Finished {
    let ours = Ours::start();
    let work = ours.keys.path("work");
    fs::create_dir(&work).unwrap();
    let mut line = Command::new(python);
    line.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/interop")
            .join(name),
    );
    line.arg(ours.port.to_string())
        .arg(ours.user())
        .arg(PASSWORD)
        .arg(ours.keys.path("user"));
    line.arg(ours.keys.known_hosts("known_hosts", ours.port, "host"));
    line.arg(ours.keys.known_hosts("wrong_hosts", ours.port, "stranger"));
    let finished = run(line
        .arg(&work)
        .arg(WHOLE.bytes.to_string())
        .env_remove("SSH_AUTH_SOCK"))
    .with_code(0);
    println!("{}", finished.stdout_text());
    finished
}

/// Every case of a battery says `ok` and its name.
fn assert_told(finished: &Finished, cases: &[&str]) {
    let told = finished.stdout_text();
    for case in cases {
        assert!(
            told.lines()
                .any(|line| line.starts_with("ok ") && line.contains(case)),
            "{case}: {finished}"
        );
    }
}

#[test]
fn asyncssh_works_with_our_server() {
    let Some(python) = peers::need_python() else {
        return;
    };
    let finished = battery(&python, "asyncssh_client.py");
    assert_told(
        &finished,
        &[
            "login by password",
            "wrong host key",
            "direct-tcpip",
            "mlkem768x25519",
            "new key every MiB",
            "zlib@openssh.com with",
            "zlib before login is refused",
        ],
    );
}

#[test]
fn paramiko_works_with_our_server() {
    let Some(python) = peers::need_python() else {
        return;
    };
    let finished = battery(&python, "paramiko_client.py");
    assert_told(
        &finished,
        &[
            "login by password",
            "wrong host key",
            "new keys again and again",
            "compressed, with new keys",
        ],
    );
}
