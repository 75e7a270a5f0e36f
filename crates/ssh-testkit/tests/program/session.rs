//! What `bowline ssh` asks of a session: variables, a terminal or none, no session at all, the background.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use ssh_testkit::running::{run, run_with};

use crate::algorithms::{into, openssh};
use crate::bowline::{Peer, wait_until};

/// The processor's time is the test's own: what waits is woken by a file.
fn gate(path: &str) -> String {
    format!("while [ ! -e {path} ]; do sleep 0.05; done")
}

#[test]
fn variables_are_sent_by_pattern() {
    let Some(server) = openssh("AcceptEnv BWL_*") else {
        return;
    };
    for (options, expected) in [
        (&["-o", "SendEnv=BWL_A BWL_B*"][..], "1,2,3,\n"),
        (&["-o", "SendEnv=BWL_A BWL_B*", "-o", "SendEnv=-*B?"], "1,,,\n"),
        // A pattern goes as it was written, not what it stands for.
        (&["-o", "SendEnv=BWL_*", "-o", "SendEnv=-BWL_B1"], "1,2,3,4\n"),
        (&["-o", "SendEnv=BWL_*", "-o", "SetEnv=BWL_A=x"], "x,2,3,4\n"),
        (&["-o", "SendEnv=PATH"], ",,,\n"),
        (&[], ",,,\n"),
    ] {
        let mut line = into(&server, options);
        line.envs([("BWL_A", "1"), ("BWL_B1", "2"), ("BWL_B2", "3"), ("BWL_C", "4")]);
        let finished = run(line.arg("echo $BWL_A,$BWL_B1,$BWL_B2,$BWL_C")).with_code(0);
        assert_eq!(finished.stdout_text(), expected, "{options:?}");
    }
    let refused = run(into(&server, &["-o", "SendEnv=A=1"]).arg("true")).with_code(255);
    assert!(refused.stderr_text().contains("A=1"), "{refused}");
}

#[test]
fn a_terminal_that_is_not_there_is_told() {
    let told = "Pseudo-terminal will not be allocated because stdin is not a terminal.\n";
    for peer in Peer::all() {
        for (options, command, expected) in [
            (&["-t"][..], &["true"][..], told),
            (&[], &[], told),
            (&["-o", "RequestTTY=yes"], &["true"], told),
            (&["-t", "-q"], &["true"], ""),
            (&["-t", "-T"], &["true"], ""),
            (&["-T"], &[], ""),
            (&[], &["true"], ""),
        ] {
            let finished = run(peer.client("ssh", options).args(command)).with_code(0);
            assert_eq!(finished.stderr_text(), expected, "{}: {options:?}", peer.name);
        }
    }
}

#[test]
fn what_a_program_writes_counts_as_typed_where_a_terminal_is_forced() {
    for peer in Peer::all() {
        let client = |options: &[&str]| {
            let mut line = peer.client("ssh", options);
            line.arg("cat");
            line
        };
        // Read before anything of it is sent: nobody there need wait for the words to this program.
        let finished = run_with(&mut client(&["-tt"]), "~v~v~V~#~?~&~C~.").with_code(255);
        let told = finished.stderr_text();
        for words in [
            "~v [LogLevel VERBOSE]\r\n~v [LogLevel DEBUG1]\r\n",
            "~V [LogLevel VERBOSE]\r\n",
            "~#\r\nNothing is forwarded.\r\n",
            "~?\r\nAt the beginning of a line:\r\n",
            "  ~V   tell less (LogLevel)\r\n",
            "~& [not available",
            "commandline disabled\r\n",
            "~.\r\nConnection to 127.0.0.1 closed.\r\n",
        ] {
            assert!(told.contains(words), "{}: {words:?}: {finished}", peer.name);
        }
        // To a program there it is text, up to the key that ends the input of a terminal.
        let finished = run_with(&mut client(&["-tt", "-e", "none"]), "~.\n\x04").with_code(0);
        assert!(finished.stdout_text().contains("~.\r\n"), "{finished}");
        assert_eq!(finished.stderr_text(), "Connection to 127.0.0.1 closed.\r\n");
        let finished = run_with(&mut client(&["-T"]), "~.\n").with_code(0);
        assert_eq!(
            (finished.stdout_text().as_str(), finished.stderr_text().as_str()),
            ("~.\n", "")
        );
    }
}

#[test]
fn a_program_that_nobody_hears_any_more_is_told_and_its_command_goes_on() {
    for peer in Peer::all() {
        let mark = peer.file("went on");
        let mut line = peer.client("ssh", &[]);
        let mut child = line
            .arg(format!("yes; echo over > '{mark}'"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert_eq!(first, "y\n");
        assert!(child.wait().unwrap().code().is_some());
        wait_until(&format!("{}: the command does not go on", peer.name), || {
            fs::read_to_string(&mark).is_ok_and(|text| text == "over\n")
        });
    }
}

#[test]
fn without_a_session_it_waits_until_it_is_ended() {
    for peer in Peer::all() {
        for options in [&["-N"][..], &["-o", "SessionType=none"]] {
            let log = peer.file("waiting.log");
            let _ = fs::remove_file(&log);
            let mut line = peer.client("ssh", options);
            let mut child = line
                .args(["-E", &log, "-vv"])
                .arg("touch never")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut is_in = || fs::read_to_string(&log).is_ok_and(|log| log.contains("authenticated to"));
            wait_until("it does not log in", &mut is_in);
            assert!(
                child.try_wait().unwrap().is_none(),
                "{}: it does not wait",
                peer.name
            );
            let ended = std::process::Command::new("kill")
                .args(["-TERM", &child.id().to_string()])
                .status();
            assert!(ended.unwrap().success());
            assert_eq!(child.wait().unwrap().code(), Some(255), "{}", peer.name);
            let logged = fs::read_to_string(&log).unwrap();
            assert!(logged.contains("Killed by signal 15."), "{}: {logged}", peer.name);
        }
    }
}

#[test]
fn in_the_background_it_goes_on_alone() {
    for peer in Peer::all() {
        let (open, done) = (peer.file("gate"), peer.file("done"));
        let command = format!("echo begun; {}; echo ended; echo over > {done}", gate(&open));
        let mut line = peer.client("ssh", &["-f"]);
        let mut child = line
            .arg(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It returns while the command waits; what that says still comes here.
        assert_eq!(child.wait().unwrap().code(), Some(0), "{}", peer.name);
        assert!(
            !fs::exists(&done).unwrap(),
            "{}: it waited for the command",
            peer.name
        );
        fs::write(&open, "").unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "begun\nended\n", "{}", peer.name);
        wait_until("the command does not end", || fs::exists(&done).unwrap());
    }
}

#[test]
fn what_fails_before_the_background_is_told_with_its_status() {
    let peer = Peer::own();
    let stranger = peer.file("stranger");
    let finished = run(peer
        .client(
            "ssh",
            &[
                "-f",
                "-o",
                &format!("IdentityFile={stranger}"),
                "-i",
                &peer.file("missing"),
            ],
        )
        .arg("true"))
    .with_code(255);
    assert!(finished.stderr_text().contains("missing"), "{finished}");
    let finished = run(&mut peer.client("ssh", &["-f"])).with_code(255);
    assert_eq!(
        finished.stderr_text(),
        "Cannot fork into background without a command to execute.\n"
    );
}

#[test]
fn a_terminal_can_be_forced_and_refused() {
    let Some(server) = openssh("") else { return };
    let finished =
        run(into(&server, &["-tt", "-o", "SetEnv=TERM=vt52"]).arg("tty >&2 && echo $TERM")).with_code(0);
    // There is one stream, and its lines end as on a terminal.
    let shown = finished.stdout_text();
    assert!(
        shown.starts_with("/dev/pts/") && shown.ends_with("\r\nvt52\r\n"),
        "{finished}"
    );
    let finished = run(into(&server, &["-t"]).arg("tty")).with_code(1);
    assert_eq!(finished.stdout_text(), "not a tty\n");
    let Some(server) = openssh("PermitTTY no") else {
        return;
    };
    let finished = run(into(&server, &["-o", "RequestTTY=force"]).arg("tty")).with_code(1);
    assert_eq!(
        finished.stderr_text(),
        "PTY allocation request failed on channel 0\n"
    );
    assert_eq!(finished.stdout_text(), "not a tty\n");
}

#[test]
fn output_that_nobody_reads_ends_the_remote_program_and_not_what_follows_it() {
    for peer in Peer::all() {
        let over = peer.file("over");
        let mut child = peer
            .client("ssh", &[])
            .arg(format!("yes; echo over > {over}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 2];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"y\n");
        wait_until("it goes on for ever", || child.try_wait().unwrap().is_some());
        let finished = child.wait_with_output().unwrap();
        assert_eq!(finished.status.code(), Some(255), "{}", peer.name);
        let told = String::from_utf8_lossy(&finished.stderr).into_owned();
        assert!(
            told.contains("writing to standard output: "),
            "{}: {told}",
            peer.name
        );
        if peer.name == "OpenSSH's sshd" {
            wait_until("the rest of the command was not run", || {
                fs::exists(&over).unwrap()
            });
        }
    }
}
