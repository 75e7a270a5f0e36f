//! Examples of the client: hosts, users, keys, passwords.

use std::fs;
use std::process::{Command, Stdio};

use ssh_testkit::openssh::{Account, Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::{run, run_with};

use crate::examples::{self, Running};
use crate::visited::Visited;

/// The fingerprint of a key, as OpenSSH shows it.
fn fingerprint(keys: &Keys, name: &str) -> String {
    let mut command = Command::new(peers::find("ssh-keygen").unwrap());
    let shown = run(command.args(["-l", "-f"]).arg(keys.path(name))).with_code(0);
    shown.stdout_text().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn known_hosts_file() {
    for server in Visited::both() {
        let host = fingerprint(&server.keys, "host");
        let told = run(&mut server.client("known_hosts_file", &[])).with_code(0);
        assert!(
            told.stdout_text().contains(&format!("is known by {host}")),
            "{told}"
        );
        for (key, expected) in [
            ("stranger", "has another key than line 1 of"),
            ("", "is not known: "),
        ] {
            let mut command = server.client("known_hosts_file", &[]);
            let known = server.keys.path("known_hosts");
            if key.is_empty() {
                fs::write(known, "").unwrap();
            } else {
                server.keys.known_hosts("known_hosts", server.port, key);
            }
            let told = run(&mut command).with_code(0);
            assert!(told.stdout_text().contains(expected), "{}: {told}", server.name);
        }
    }
}

#[test]
fn no_host_check() {
    for server in Visited::both() {
        let mut words = server.words();
        words[2] = "/nonexistent".to_owned();
        let ask = |more: &[&str]| run(examples::command("no_host_check").args(&words).args(more));
        let host = fingerprint(&server.keys, "host");
        for more in [&[][..], &[host.as_str()]] {
            let told = ask(more).with_code(0).stdout_text();
            assert!(told.contains(&format!("showed {host}")), "{told}");
        }
        let told = ask(&[&fingerprint(&server.keys, "stranger")]).with_code(1);
        assert!(told.stderr_text().contains("NotPinned"), "{told}");
    }
}

#[test]
fn user_name() {
    for server in Visited::both() {
        let user = peers::user();
        let mut command = server.client("user_name", &[&user]);
        let told = run(command.env("USER", "somebody")).with_code(0).stdout_text();
        assert_eq!(told, format!("{user} is {user} there\n"), "{}", server.name);
        let refused = run(&mut server.client("user_name", &["no such user"])).with_code(1);
        assert!(refused.stderr_text().contains("LoginRefused"), "{refused}");
    }
}

#[test]
fn client_keys() {
    for server in Visited::both() {
        let (locked, user) = (server.keys.path("locked"), peers::user());
        let mut words = server.words();
        words[1] = server.keys.path("stranger").display().to_string();
        let try_with = |key: &str, passphrase: &str| {
            run(examples::command("client_keys")
                .args(&words)
                .args([key, passphrase]))
        };
        let told = try_with(locked.to_str().unwrap(), "secret").with_code(0);
        assert_eq!(
            told.stdout_text(),
            format!("logged in as {user}\n"),
            "{}",
            server.name
        );
        let wrong = try_with(locked.to_str().unwrap(), "wrong").with_code(1);
        assert!(wrong.stderr_text().contains("locked"), "{wrong}");
        let refused = try_with(&words[1], "").with_code(0);
        assert!(refused.stdout_text().starts_with("tried publickey"), "{refused}");
    }
}

#[test]
fn password_login() {
    // At ours: two wrong answers, then the right one.
    let keys = Keys::make();
    let mut server = Running::start(
        examples::command("demo_server")
            .arg("127.0.0.1:0")
            .args([keys.path("host"), keys.path("authorized_keys")])
            .arg("correct horse"),
    );
    let port = server.says_port("listening on ");
    let told = log_in(&keys, port, "guest", "no\nwrong\ncorrect horse\n");
    assert_eq!(told.matches("guest@127.0.0.1's password:").count(), 3, "{told}");
    assert!(told.ends_with("logged in as guest\n"), "{told}");
    // At OpenSSH's, where a password needs an account.
    let (Some(sshd), Some(account)) = (peers::need("sshd"), Account::make("gal")) else {
        return;
    };
    let server = Server::start(&sshd, "PasswordAuthentication yes");
    let answers = format!("wrong\n{}\n", account.password);
    let told = log_in(&server.keys, server.port, &account.name, &answers);
    assert!(
        told.ends_with(&format!("logged in as {}\n", account.name)),
        "{told}"
    );
}

/// What the example says to whoever has no key, but these answers.
fn log_in(keys: &Keys, port: u16, user: &str, answers: &str) -> String {
    let known_hosts = keys.known_hosts("known_hosts", port, "host");
    let mut command = examples::command("password_login");
    command.arg(format!("{user}@127.0.0.1:{port}"));
    command.args([keys.path("stranger"), known_hosts]);
    run_with(&mut command, answers).with_code(0).stdout_text()
}

#[test]
fn demo_keygen() {
    let folder = tempfile::tempdir().unwrap();
    let keygen = peers::find("ssh-keygen").unwrap();
    for (name, passphrase) in [("plain", None), ("locked", Some("correct horse"))] {
        let file = folder.path().join(name);
        let mut command = examples::command("demo_keygen");
        command.arg(&file).arg("alice@laptop").args(passphrase);
        let told = run(&mut command).with_code(0).stdout_text();
        // OpenSSH takes both files and finds the same key in them.
        let public = file.with_extension("pub");
        let shown = run(Command::new(&keygen).args(["-l", "-f"]).arg(&public)).with_code(0);
        assert!(shown.stdout_text().contains(told.trim_end()), "{told} {shown}");
        let words = ["-y", "-P", passphrase.unwrap_or(""), "-f"];
        let derived = run(Command::new(&keygen).args(words).arg(&file)).with_code(0);
        assert_eq!(derived.stdout_text(), fs::read_to_string(public).unwrap());
        if passphrase.is_some() {
            let words = ["-y", "-P", "wrong", "-f"];
            let locked = run(Command::new(&keygen).args(words).arg(&file).stdin(Stdio::null()));
            assert_ne!(locked.code, Some(0), "{locked}");
        }
        // A key that is there is not replaced.
        let again = run(&mut command).with_code(1);
        assert!(again.stderr_text().contains("exists"), "{again}");
    }
}

#[test]
fn cheat_sheet() {
    for server in Visited::both() {
        let mut words = server.words();
        let known_hosts = server.keys.path("new_hosts");
        words[2] = known_hosts.display().to_string();
        let mut command = examples::command("cheat_sheet");
        command.args(words).arg("echo said; echo meant >&2; exit 6");
        for _ in 0..2 {
            let told = run(&mut command).with_code(6).stdout_text();
            assert_eq!(told, "said\nmeant\n", "{}", server.name);
            // Remembered at the first visit, and not a second time.
            assert_eq!(fs::read_to_string(&known_hosts).unwrap().lines().count(), 1);
        }
        fs::remove_file(known_hosts).unwrap();
    }
}
