//! Examples of the client: commands and their streams.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use ssh_testkit::openssh::Keys;
use ssh_testkit::running::{Finished, free_port, run};

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
fn simple_client() {
    each("simple_client", &["echo hello"], |ran| {
        assert_eq!(lines(ran), ["hello"]);
    });
    each("simple_client", &["echo no such thing >&2; exit 3"], |ran| {
        let ran = ran.with_code(1);
        let told = ran.stderr_text();
        assert!(told.contains("no such thing") && told.contains('3'), "{ran}");
    });
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
fn gather_results() {
    let keys = Arc::new(Keys::make());
    let servers: Vec<Visited> = std::iter::once(Visited::ours(&keys))
        .chain(Visited::openssh(&keys))
        .collect();
    let unreachable = format!("127.0.0.1:{}", free_port());
    let hosts: Vec<String> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port))
        .collect();
    let known: String = servers
        .iter()
        .map(|server| fs::read_to_string(keys.known_hosts("one", server.port, "host")).unwrap())
        .collect();
    let mut words = vec!["echo one,exit 9", &unreachable];
    words.extend(hosts.iter().skip(1).map(String::as_str));
    let mut command = servers[0].client("gather_results", &words);
    fs::write(keys.path("known_hosts"), known).unwrap();
    let told: BTreeSet<String> = lines(run(&mut command)).into_iter().collect();
    for host in &hosts {
        assert!(told.contains(&format!("{host}: echo one: one")), "{told:?}");
        let failed = format!("{host}: exit 9: ");
        assert!(
            told.iter()
                .any(|line| line.starts_with(&failed) && line.contains('9')),
            "{told:?}"
        );
    }
    let refused = format!("{unreachable}: ");
    assert!(told.iter().any(|line| line.starts_with(&refused)), "{told:?}");
    assert_eq!(told.len(), 2 * hosts.len() + 1, "{told:?}");
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
fn redirect_input() {
    for server in Visited::both() {
        let file = server.keys.path("output");
        let words = ["tr a-z A-Z", "quiet words", file.to_str().unwrap()];
        let ran = run(&mut server.client("redirect_input", &words)).with_code(0);
        assert!(ran.stdout.is_empty(), "{ran}");
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            "QUIET WORDS",
            "{}",
            server.name
        );
    }
}

#[test]
fn redirect_local_pipe() {
    // Much more than any buffer on the way holds.
    let words = ["head -c 20000000 /dev/zero", "wc -c"];
    each("redirect_local_pipe", &words, |ran| {
        assert_eq!(lines(ran), ["20000000"]);
    });
    // The remote program has enough after ten bytes: the local one, which has no end of its own, ends with it.
    each(
        "redirect_local_pipe",
        &["cat /dev/zero", "head -c 10 | wc -c"],
        |ran| {
            assert_eq!(lines(ran), ["10"]);
        },
    );
}

#[test]
fn redirect_remote_pipe() {
    let words = ["head -c 20000000 /dev/zero", "wc -c"];
    each("redirect_remote_pipe", &words, |ran| {
        assert_eq!(lines(ran), ["20000000", "the first: exit status 0"]);
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
