//! OpenSSH's `ssh` and `sftp` into our server: data in bulk, new keys while it moves, files.

use std::fs;
use std::path::Path;
use std::process::Command;

use ssh_server::Config;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run, run_with};

use crate::bulk::{Bulk, PART, WHOLE, first_word};
use crate::ours::Ours;

/// `ssh` reads `bulk`; a program behind it checks what arrives.
fn send(ours: &Ours, program: &Path, options: &[&str], bulk: Bulk) -> Finished {
    let mut line = Command::new("sh");
    line.arg("-c").arg(format!("{} | \"$0\" \"$@\"", bulk.command()));
    let client = ours.client(program, options);
    line.arg(program)
        .args(client.get_args())
        .env_remove("SSH_AUTH_SOCK");
    let finished = run(line.arg(ours.destination()).arg("sha256sum")).with_code(0);
    assert_eq!(first_word(&finished.stdout_text()), bulk.digest, "{finished}");
    finished
}

/// A program behind `ssh` writes `bulk`; what arrives is checked here.
fn receive(ours: &Ours, program: &Path, options: &[&str], bulk: Bulk) -> Finished {
    let mut line = Command::new("sh");
    line.arg("-c")
        .arg("{ \"$0\" \"$@\"; echo \"status $?\" >&2; } | sha256sum");
    let client = ours.client(program, options);
    line.arg(program)
        .args(client.get_args())
        .env_remove("SSH_AUTH_SOCK");
    let finished = run(line.arg(ours.destination()).arg(bulk.command())).with_code(0);
    assert_eq!(first_word(&finished.stdout_text()), bulk.digest, "{finished}");
    assert!(finished.stderr_text().contains("status 0"), "{finished}");
    finished
}

#[test]
fn bulk_data_goes_in() {
    let Some(program) = peers::need("ssh") else { return };
    send(&Ours::start(), &program, &[], WHOLE);
}

#[test]
fn bulk_data_comes_out() {
    let Some(program) = peers::need("ssh") else { return };
    receive(&Ours::start(), &program, &[], WHOLE);
}

/// Many exchanges, so a quick method: the default may be one for which each takes ten milliseconds.
const QUICK: &str = "KexAlgorithms=curve25519-sha256";

/// More exchanges than this have to be seen while [`PART`] moves. While one goes on, as much as the window allows may
/// come in under the old keys: there are not always 64.
const MANY: usize = 12;

fn every_mib(config: &mut Config) {
    config.transport.rekey.bytes = 1 << 20;
}

/// How often the client took new keys into use; once is the first exchange.
fn key_changes(finished: &Finished) -> usize {
    finished
        .stderr_text()
        .matches("SSH2_MSG_NEWKEYS received")
        .count()
}

#[test]
fn the_client_asks_for_new_keys_every_mib() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let options = ["-v", "-o", "RekeyLimit=1M", "-o", QUICK];
    for finished in [
        send(&ours, &program, &options, PART),
        receive(&ours, &program, &options, PART),
    ] {
        assert!(
            key_changes(&finished) > MANY,
            "{} exchanges",
            key_changes(&finished)
        );
    }
}

#[test]
fn the_server_asks_for_new_keys_every_mib() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::with(every_mib);
    for finished in [
        send(&ours, &program, &["-v", "-o", QUICK], PART),
        receive(&ours, &program, &["-v", "-o", QUICK], PART),
    ] {
        assert!(
            key_changes(&finished) > MANY,
            "{} exchanges",
            key_changes(&finished)
        );
    }
}

#[test]
fn both_ask_for_new_keys_at_once() {
    let Some(program) = peers::need("ssh") else { return };
    let ours = Ours::with(every_mib);
    let options = ["-v", "-o", "RekeyLimit=1M", "-o", QUICK];
    send(&ours, &program, &options, PART);
    receive(&ours, &program, &options, PART);
}

/// Runs `sftp` with `batch`.
fn sftp(ours: &Ours, program: &Path, batch: &str) -> Finished {
    let mut line = ours.client(program, &["-b", "-"]);
    run_with(line.arg(ours.destination()), batch)
}

#[test]
fn files_are_put_and_got() {
    let Some(program) = peers::need("sftp") else {
        return;
    };
    let ours = Ours::start();
    let path = |name: &str| ours.keys.path(name);
    for bytes in [0, 1, 5_000_001, 64 << 20] {
        let made = run(Command::new("sh")
            .arg("-c")
            .arg(format!("seq 40000000 | head -c {bytes}")))
        .with_code(0);
        fs::write(path("local"), &made.stdout).unwrap();
        let batch = format!(
            "put {} remote\nget remote {}\n",
            path("local").display(),
            path("back").display()
        );
        let _ = sftp(&ours, &program, &batch).with_code(0);
        assert!(
            fs::read(path("remote")).unwrap() == made.stdout,
            "{bytes} bytes were put"
        );
        assert!(
            fs::read(path("back")).unwrap() == made.stdout,
            "{bytes} bytes were got"
        );
    }
}

#[test]
fn a_thousand_names_are_listed() {
    let Some(program) = peers::need("sftp") else {
        return;
    };
    let ours = Ours::start();
    fs::create_dir(ours.keys.path("many")).unwrap();
    let names: Vec<String> = (0..1000)
        .map(|number| format!("a rather long name, number {number:04}"))
        .collect();
    for name in &names {
        fs::write(ours.keys.path("many").join(name), "").unwrap();
    }
    let finished = sftp(&ours, &program, "cd many\nls -1\n").with_code(0);
    let listed = finished.stdout_text();
    let listed: Vec<&str> = listed
        .lines()
        .filter(|line| !line.starts_with("sftp>"))
        .map(str::trim)
        .collect();
    assert_eq!(listed, names);
    let long = sftp(&ours, &program, "ls -l many\n").with_code(0);
    assert_eq!(
        long.stdout_text()
            .lines()
            .filter(|line| line.starts_with("-rw"))
            .count(),
        1000,
        "{long}"
    );
}

#[test]
fn files_are_moved_linked_changed_and_removed() {
    let Some(program) = peers::need("sftp") else {
        return;
    };
    let ours = Ours::start();
    fs::write(ours.keys.path("a"), "content").unwrap();
    let batch = "mkdir d\nrename a d/b\nln d/b d/hard\nln -s b d/soft\nchmod 600 d/b\nls -l d\nrm d/hard\nmkdir e\n\
                 rmdir e\npwd\ndf\n";
    let finished = sftp(&ours, &program, batch).with_code(0);
    let inside = |name: &str| ours.keys.path("d").join(name);
    assert_eq!(fs::read(inside("b")).unwrap(), b"content");
    assert_eq!(fs::read_link(inside("soft")).unwrap(), Path::new("b"));
    assert!(!inside("hard").exists() && !ours.keys.path("e").exists());
    let folder = ours.keys.folder().canonicalize().unwrap();
    let told = finished.stdout_text();
    assert!(
        told.contains(&format!("Remote working directory: {}", folder.display())),
        "{finished}"
    );
    assert!(told.contains("-rw-------   2 "), "{finished}");
}

#[test]
fn what_the_file_system_refuses_is_told() {
    let Some(program) = peers::need("sftp") else {
        return;
    };
    let ours = Ours::start();
    for (batch, expected) in [
        ("get missing\n", "not found"),
        ("cd host\n", "is not a directory"),
        ("rmdir missing\n", "No such file or directory"),
        ("mkdir missing/deeper\n", "No such file or directory"),
        ("rename missing other\n", "No such file or directory"),
    ] {
        let finished = sftp(&ours, &program, batch).with_code(1);
        let told = finished.stderr_text() + &finished.stdout_text();
        assert!(told.contains(expected), "{batch}: {finished}");
    }
}

#[test]
fn files_survive_new_keys_every_mib() {
    let Some(program) = peers::need("sftp") else {
        return;
    };
    let ours = Ours::with(every_mib);
    let path = |name: &str| ours.keys.path(name);
    let made = run(Command::new("sh")
        .arg("-c")
        .arg("seq 40000000 | head -c 20000000"))
    .with_code(0);
    fs::write(path("local"), &made.stdout).unwrap();
    let batch = format!(
        "put {} remote\nget remote {}\n",
        path("local").display(),
        path("back").display()
    );
    let _ = sftp(&ours, &program, &batch).with_code(0);
    assert!(fs::read(path("back")).unwrap() == made.stdout);
}
