//! The settings of `bowline sshd` about sessions, each seen from OpenSSH's client: `PermitTTY`, `SetEnv`, `AcceptEnv`,
//! `ForceCommand`, `MaxSessions`.

use std::process::Command;

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::bowline::{Sshd, wait_until};
use crate::sshd_settings::ssh;

#[test]
fn permittty_decides_about_terminals_and_so_do_keys() {
    for (words, key, expected) in [
        (&[][..], "", "a tty"),
        (&["-o", "PermitTTY=yes"], "", "a tty"),
        (&["-o", "PermitTTY=no"], "", "not a tty"),
        (&["-o", "PermitTTY=yes"], "no-pty ", "not a tty"),
        (&["-o", "PermitTTY=yes"], "restrict ", "not a tty"),
        (&["-o", "PermitTTY=yes"], "restrict,pty ", "a tty"),
    ] {
        let server = Sshd::start(words);
        let keys = server.keys.path("authorized_keys");
        std::fs::write(keys, format!("{key}{}\n", server.keys.public("user"))).unwrap();
        let Some(finished) = ssh(&server, &["-tt"], "tty; exit 3") else {
            return;
        };
        if expected == "not a tty" {
            // Who insists on a terminal (-tt) and gets none runs nothing.
            let told = finished.with_code(255).stderr_text();
            assert!(
                told.contains("PTY allocation request failed"),
                "{words:?} {key} {told}"
            );
            let without = ssh(&server, &["-T"], "tty; exit 4").unwrap().with_code(4);
            assert_eq!(without.stdout_text().trim_end(), "not a tty");
        } else {
            let told = finished.with_code(3).stdout_text();
            assert!(told.starts_with("/dev/pts/"), "{words:?} {key} {told}");
        }
    }
}

#[test]
fn setenv_sets_and_acceptenv_lets_the_client_set_but_never_over_it() {
    let server = Sshd::start(&[
        "-o",
        "SetEnv=ONE=first \"TWO=with blanks\" PATH=/usr/bin:/bin HOME=/nonexistent",
        "-o",
        "SetEnv=THREE=too-late",
        "-o",
        "AcceptEnv=ONE FOUR_* PATH LD_*",
    ]);
    let options = [
        "-o",
        "SetEnv=ONE=client FOUR_A=a FIVE=b PATH=/evil LD_PRELOAD=/evil.so",
    ];
    let command = "echo $ONE,$TWO,$THREE,$FOUR_A,$FIVE,$LD_PRELOAD; case $PATH in *evil*) echo evil;; esac";
    let Some(finished) = ssh(&server, &options, command) else {
        return;
    };
    assert_eq!(finished.with_code(0).stdout_text(), "first,with blanks,,a,,\n");
    let bad = crate::bowline::bowline(&["sshd", "-t", "-o", "SetEnv=NOVALUE"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&bad.stderr).contains("SetEnv: \"NOVALUE\" is not NAME=value"),
        "{bad:?}"
    );
}

#[test]
fn forcecommand_takes_the_place_of_everything_with_a_terminal_and_without() {
    let server = Sshd::start(&["-o", "ForceCommand=tty; echo ${SSH_ORIGINAL_COMMAND-none}"]);
    let Some(finished) = ssh(&server, &[], "id") else {
        return;
    };
    assert_eq!(finished.with_code(0).stdout_text(), "not a tty\nid\n");
    let at_terminal = ssh(&server, &["-tt"], "id").unwrap().with_code(0).stdout_text();
    assert!(
        at_terminal.starts_with("/dev/pts/") && at_terminal.ends_with("\nid\r\n"),
        "{at_terminal:?}"
    );
}

#[test]
fn maxsessions_counts_the_sessions_of_one_connection() {
    let Some(program) = peers::need("ssh") else { return };
    let server = Sshd::start(&["-o", "MaxSessions=1"]);
    let socket = server.keys.path("master");
    let through = format!("ControlPath={}", socket.display());
    let client = |options: &[&str], command: &str| {
        let mut line = Command::new(&program);
        line.args(["-o", &through])
            .args(options)
            .args(client_arguments(&server.keys, server.port));
        line.env_remove("SSH_AUTH_SOCK")
            .arg(format!("{}@127.0.0.1", peers::user()))
            .arg(command);
        line
    };
    let mut master = client(&["-M"], "cat; exit 0");
    let mut master = master.stdin(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("no master", || socket.exists());
    // The master's own session is the one there may be. OpenSSH's client then connects anew, which is not what is asked.
    let second = client(&["-o", "ProxyCommand=false"], "true");
    let refused = run(&mut { second });
    assert!(
        refused.stderr_text().contains("Session open refused by peer"),
        "{refused}"
    );
    drop(master.stdin.take());
    assert!(master.wait().unwrap().success());
}
