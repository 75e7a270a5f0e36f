//! How `bowline ssh` gets to a server: `-J`, `ProxyJump`, `ProxyCommand`, `-b`, `-4`, `-6`.

use std::fs;

use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::algorithms::{into, openssh};
use crate::bowline::{Peer, bowline, program};

/// A configuration file with a name for each server: `a`, `b`, …
struct Map {
    servers: Vec<Peer>,
    file: tempfile::NamedTempFile,
}

impl Map {
    /// Our own server twice, and OpenSSH's.
    fn draw(more: &str) -> Self {
        let servers: Vec<Peer> = [Peer::own()].into_iter().chain(Peer::all()).collect();
        let mut text = format!("{more}\nHost *\n BatchMode yes\n User {}\n", peers::user());
        for (name, peer) in ["a", "b", "c"].iter().zip(&servers) {
            text += &format!(
                "Host {name}\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n UserKnownHostsFile {}\n",
                peer.port(),
                peer.file("user"),
                peer.keys()
                    .known_hosts("known_hosts", peer.port(), "host")
                    .display()
            );
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Self { servers, file }
    }

    fn ssh(&self, words: &[&str]) -> Finished {
        let file = self.file.path().to_str().unwrap();
        run(&mut bowline(&[&["ssh", "-F", file], words].concat()))
    }

    /// The last server: OpenSSH's where it is here.
    fn last(&self) -> &'static str {
        if self.servers.len() == 3 { "c" } else { "b" }
    }
}

#[test]
fn hosts_on_the_way_are_passed_in_order() {
    let map = Map::draw("");
    let last = map.last();
    for words in [
        &["-J", "a"][..],
        &["-J", "a,b"],
        &["-J", &format!("{}@b,ssh://a", peers::user())],
        &["-o", "ProxyJump=a"],
        &["-J", "none"],
        &["-o", "ProxyJump=none", "-o", "ProxyCommand=none"],
    ] {
        if last == "b" && words.iter().any(|word| word.contains('b')) {
            continue;
        }
        let finished = map.ssh(&[words, &[last, "echo in"]].concat()).with_code(0);
        assert_eq!(
            (finished.stdout_text().as_str(), finished.stderr_text().as_str()),
            ("in\n", "")
        );
    }
    // The way back, so that OpenSSH's server is on it, and through everything as a stream.
    let finished = map.ssh(&[
        "-J",
        &format!("b,{last}"),
        "-W",
        &format!("127.0.0.1:{}", map.servers[1].port()),
        "a",
    ]);
    assert!(
        finished.stdout_text().starts_with("SSH-2.0-Bowline"),
        "{finished}"
    );
}

#[test]
fn a_host_on_the_way_has_a_way_of_its_own() {
    let map = Map::draw(
        "Host b\n ProxyJump a\nHost c\n ProxyJump b\nHost loop\n HostName 127.0.0.1\n ProxyJump loop",
    );
    let last = map.last();
    // c by b, and b by a.
    assert_eq!(map.ssh(&[last, "echo in"]).with_code(0).stdout_text(), "in\n");
    // What the command line says is about the last host, and stands before the file.
    assert_eq!(
        map.ssh(&["-J", "a", last, "echo in"]).with_code(0).stdout_text(),
        "in\n"
    );
    let refused = map.ssh(&["loop", "echo in"]).with_code(255);
    assert_eq!(refused.stderr_text(), "jumphost loop via loop\n");
}

#[test]
fn a_hop_that_fails_is_named() {
    let map = Map::draw("");
    let Some(shut) = openssh("AllowTcpForwarding no") else {
        return;
    };
    let text = fs::read_to_string(map.file.path()).unwrap();
    let more = format!(
        "Host shut\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n UserKnownHostsFile {}\n",
        shut.port,
        shut.keys.path("user").display(),
        shut.keys.known_hosts("known_hosts", shut.port, "host").display()
    );
    fs::write(map.file.path(), text + &more).unwrap();
    let refused = map.ssh(&["-J", "a,shut", "b", "echo in"]).with_code(255);
    let told = refused.stderr_text();
    assert!(told.contains(&format!("127.0.0.1:{}", shut.port)), "{refused}");
    assert!(told.contains("prohibited"), "{refused}");
    // A host whose key nobody knows is not believed on the way either.
    let refused = map
        .ssh(&["-o", "UserKnownHostsFile=/dev/null", "-J", "a", "b", "echo in"])
        .with_code(255);
    assert!(
        refused.stderr_text().contains("key verification failed"),
        "{refused}"
    );
}

#[test]
fn a_command_leads_to_the_server() {
    for peer in Peer::all() {
        // The same program on the way to the same server, with the names as tokens.
        let inner = peer.client("ssh", &[]);
        let words: Vec<&str> = inner
            .get_args()
            .skip(1)
            .map(|word| word.to_str().unwrap())
            .collect();
        let (_user_and_host, options) = words.split_last().unwrap();
        let way = format!(
            "ProxyCommand='{}' ssh -W %h:%p '{}' '%r@%n' # all of it",
            program().display(),
            options.join("' '")
        );
        let finished = run(peer.client("ssh", &["-o", &way]).arg("echo in"));
        assert_eq!(finished.code, Some(0), "{}: {way}: {finished}", peer.name);
        assert_eq!(finished.stdout_text(), "in\n", "{}", peer.name);
        let failing = run(peer
            .client("ssh", &["-o", "ProxyCommand=echo broken >&2; exit 3"])
            .arg("true"));
        let failing = failing.with_code(255);
        let told = failing.stderr_text();
        assert!(
            told.contains("broken\n") && told.contains("127.0.0.1"),
            "{failing}"
        );
        // Whichever stands first counts.
        let none = ["-o", "ProxyCommand=none", "-o", "ProxyJump=nowhere.invalid"];
        assert_eq!(
            run(peer.client("ssh", &none).arg("echo in"))
                .with_code(0)
                .stdout_text(),
            "in\n"
        );
    }
}

#[test]
fn names_do_not_reach_a_command_that_a_shell_could_run() {
    for (words, expected) in [
        (&["-l", "a b", "host"][..], "a b"),
        (&["-l", "$(touch x)", "host"], "invalid characters"),
        (&["-o", "HostName=%h;reboot", "host"], "invalid characters"),
    ] {
        let command = ["ssh", "-o", "ProxyCommand=echo reached %r %h >&2"];
        let finished = run(bowline(&command).args(words).arg("true")).with_code(255);
        let told = finished.stderr_text();
        assert!(told.contains(expected) && !told.contains("reached"), "{finished}");
    }
}

#[test]
fn connections_leave_from_the_address_that_is_named() {
    let Some(server) = openssh("") else { return };
    for (options, from) in [
        (&["-b", "127.0.0.3"][..], "127.0.0.3 "),
        (&["-o", "BindAddress=127.0.0.4"], "127.0.0.4 "),
        (&["-4"], "127.0.0.1 "),
        (&["-o", "AddressFamily=inet"], "127.0.0.1 "),
    ] {
        let finished = run(into(&server, options).arg("echo $SSH_CONNECTION")).with_code(0);
        assert!(
            finished.stdout_text().starts_with(from),
            "{options:?}: {finished}"
        );
    }
    for (options, expected) in [
        (&["-6"][..], "127.0.0.1"),
        (&["-b", "192.0.2.1"], "127.0.0.1"),
        (&["-b", "nowhere.invalid"], "nowhere.invalid"),
    ] {
        let refused = run(into(&server, options).arg("true")).with_code(255);
        assert!(refused.stderr_text().contains(expected), "{refused}");
    }
}
