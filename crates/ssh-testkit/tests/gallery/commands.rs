//! Examples of the client: commands and their streams.

use ssh_testkit::running::{Finished, run};

use crate::visited::Visited;

/// Runs an example against each server, and hands over how it ended.
fn each(name: &str, words: &[&str], check: impl Fn(Finished)) {
    for server in Visited::both() {
        println!("{name} at {}", server.name);
        check(run(&mut server.client(name, words)));
    }
}

/// Its lines, if it ended well.
fn lines(finished: Finished) -> Vec<String> {
    let finished = finished.with_code(0);
    finished.stdout_text().lines().map(str::to_owned).collect()
}

#[test]
fn callback_client() {
    each("callback_client", &["echo one; echo two; exit 5"], |ran| {
        let mut lines = lines(ran);
        assert!(lines.remove(0).starts_with("connected: SSH-2.0-"), "{lines:?}");
        assert!(lines.remove(0).starts_with("logged in: "), "{lines:?}");
        assert_eq!(lines.remove(0), "session: open");
        // How the server cuts its output is its own business.
        let at = lines.iter().position(|line| line == "end of data").unwrap();
        let data: Vec<String> = lines.drain(..at).collect();
        let data = data.join("").replace("data: ", "");
        assert_eq!(data, "one\\ntwo\\n");
        assert_eq!(lines[..2], ["end of data", "exit: exit status 5"]);
        assert!(lines[2].starts_with("disconnected: "), "{lines:?}");
    });
}

#[test]
fn callback_client2() {
    each("callback_client2", &["echo x; exit 4"], |ran| {
        let mut lines = lines(ran);
        assert_eq!(lines.pop().as_deref(), Some("ended: exit status 4"));
        assert!(lines.contains(&"data: x\\n".to_owned()), "{lines:?}");
        assert!(lines.contains(&"event: Ended".to_owned()), "{lines:?}");
    });
}

#[test]
fn callback_client3() {
    each(
        "callback_client3",
        &["echo a; echo b >&2; echo c; exit 2"],
        |ran| {
            let mut lines = lines(ran);
            assert_eq!(lines.pop().as_deref(), Some("exit status 2"));
            let of = |name: &str| {
                lines
                    .iter()
                    .filter(|line| line.starts_with(name))
                    .cloned()
                    .collect()
            };
            let (output, errors): (Vec<_>, Vec<_>) = (of("stdout"), of("stderr"));
            assert_eq!(output, ["stdout: a", "stdout: c"]);
            assert_eq!(errors, ["stderr: b"]);
        },
    );
}

#[test]
fn check_exit_status() {
    for (command, expected) in [
        ("echo fine", "succeeded: fine\n"),
        ("echo bad >&2; exit 7", "failed with 7: bad\n"),
        ("kill -KILL $$", "ended by signal KILL\n"),
    ] {
        each("check_exit_status", &[command], |ran| {
            assert_eq!(ran.with_code(0).stdout_text(), expected);
        });
    }
}

#[test]
fn math_client() {
    each("math_client", &["2+3", "2^64", "7/2"], |ran| {
        assert_eq!(
            lines(ran),
            [
                "2+3 = 5",
                "2^64 = 18446744073709551616",
                "7/2 = 3",
                "bc: exit status 0"
            ]
        );
    });
}

#[test]
fn set_environment() {
    each(
        "set_environment",
        &["LC_BOWLINE=a b", "SECRET_BOWLINE=1"],
        |ran| {
            let lines = lines(ran);
            assert!(lines.contains(&"LC_BOWLINE=a b".to_owned()), "{lines:?}");
            assert!(lines.contains(&"refused: SECRET_BOWLINE".to_owned()), "{lines:?}");
            assert!(!lines.contains(&"SECRET_BOWLINE=1".to_owned()), "{lines:?}");
        },
    );
}
