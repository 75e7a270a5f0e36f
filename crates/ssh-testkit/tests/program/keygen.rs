//! `bowline keygen` and OpenSSH's `ssh-keygen` read each other's files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::bowline::bowline;

fn ssh_keygen(words: &[&str]) -> Finished {
    run(Command::new(peers::find("ssh-keygen").expect("it made the keys")).args(words))
}

fn keygen(words: &[&str]) -> Finished {
    run(bowline(&["keygen"]).args(words))
}

#[test]
fn openssh_reads_our_keys() {
    if peers::need("ssh-keygen").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, passphrase) in [("plain", ""), ("locked", "a passphrase")] {
        let file = folder.path().join(name).display().to_string();
        let _ = keygen(&[
            "-q",
            "-t",
            "ed25519",
            "-f",
            &file,
            "-N",
            passphrase,
            "-C",
            "me at home",
        ])
        .with_code(0);
        let public = fs::read_to_string(format!("{file}.pub")).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let derived = ssh_keygen(&["-y", "-P", passphrase, "-f", &file]).with_code(0);
        assert_eq!(derived.stdout_text(), public);
        for shown in [&file, &format!("{file}.pub")] {
            let theirs = ssh_keygen(&["-l", "-f", shown]).with_code(0).stdout_text();
            assert_eq!(keygen(&["-l", "-f", shown]).with_code(0).stdout_text(), theirs);
            assert!(theirs.contains("me at home (ED25519)"), "{theirs}");
        }
    }
}

#[test]
fn we_read_openssh_s_keys() {
    if peers::need("ssh-keygen").is_none() {
        return;
    }
    let keys = Keys::make();
    for (name, passphrase) in [("user", ""), ("locked", "secret")] {
        let file = keys.path(name).display().to_string();
        let words: &[&str] = if passphrase.is_empty() {
            &[]
        } else {
            &["-P", passphrase]
        };
        let derived = keygen(&[&["-y", "-f", &file], words].concat()).with_code(0);
        assert_eq!(
            derived.stdout_text(),
            fs::read_to_string(format!("{file}.pub")).unwrap()
        );
        let theirs = ssh_keygen(&["-l", "-f", &file]).with_code(0).stdout_text();
        assert_eq!(keygen(&["-l", "-f", &file]).with_code(0).stdout_text(), theirs);
    }
    // Other ciphers, more rounds, other formats of the fingerprint's file.
    for cipher in [
        "aes256-ctr",
        "aes128-ctr",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        let file = keys.path(cipher).display().to_string();
        let words = [
            "-q", "-t", "ed25519", "-N", "x", "-Z", cipher, "-a", "3", "-f", &file,
        ];
        let _ = ssh_keygen(&words).with_code(0);
        let derived = keygen(&["-y", "-P", "x", "-f", &file]).with_code(0);
        assert_eq!(
            derived.stdout_text(),
            fs::read_to_string(format!("{file}.pub")).unwrap(),
            "{cipher}"
        );
    }
    let listed = keygen(&["-l", "-f", &keys.path("authorized_keys").display().to_string()]).with_code(0);
    assert_eq!(listed.stdout_text().lines().count(), 2, "{listed}");
}

#[test]
fn mistakes_name_the_file_and_change_nothing() {
    let keys = Keys::make();
    let file = |name: &str| keys.path(name).display().to_string();
    let not_a_key = PathBuf::from(file("config"));
    fs::write(&not_a_key, "Host *\n").unwrap();
    for words in [
        &["-y", "-f", &file("missing")][..],
        &["-y", "-f", &file("config")],
        &["-y", "-P", "wrong", "-f", &file("locked")],
        &["-l", "-f", &file("missing")],
        &["-l", "-f", &file("config")],
        &["-q", "-t", "ed25519", "-N", "", "-f", &file("user")],
        &["-q", "-t", "ed25519", "-N", "", "-f", &file("no such folder/key")],
    ] {
        let before = fs::read(keys.path("user")).unwrap();
        let failed = keygen(words);
        assert!(failed.code.is_some_and(|code| code != 0), "{failed}");
        let told = failed.stderr_text();
        let path = words.last().unwrap();
        assert!(told.contains(path), "{failed}");
        assert!(
            !told.contains("panicked") && !told.contains("backtrace"),
            "{failed}"
        );
        assert_eq!(fs::read(keys.path("user")).unwrap(), before);
    }
}
