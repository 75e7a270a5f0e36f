//! What `bowline sshd` writes about who came and who tried to log in: line for line what OpenSSH's server writes, whoever
//! comes with whatever name, for the tools that read it.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;

use ssh_client::kex::messages::Disconnect;
use ssh_client::kex::{DisconnectReason, Role};
use ssh_client::keys::PrivateKey;
use ssh_client::wire::{Encode, Writer, number};
use ssh_testkit::hostile::{Peer, Position, Target, Tcp, Traits, login};
use ssh_testkit::openssh::{Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::bowline::{PATIENCE, Sshd, bowline, wait_until};

/// A secret that must not be in any log.
const SECRET: &str = "in strict confidence";
/// What a stranger may try to add to a log.
const FORGED: &str = "x\nAccepted password for root from 192.0.2.1 port 22 ssh2\r\n\u{1b}[2J";

/// A server and its log.
struct Logging<'a> {
    port: u16,
    keys: &'a Keys,
    log: &'a dyn Fn() -> String,
}

/// Every port that a system has chosen, made the same.
fn without_ports(line: &str) -> String {
    let mut parts = line.split(" port ");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole += " port N";
        whole += part.trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    whole
}

impl Logging<'_> {
    /// What stands in the log since the first login. OpenSSH tells some things twice, and of its own troubles.
    fn lines(&self) -> Vec<String> {
        let lines = (self.log)();
        let own = |line: &&str| {
            !line.starts_with("kex_exchange_identification") && !line.starts_with("Could not get shadow")
        };
        let since = lines.lines().filter(own).map(without_ports);
        since.skip_while(|line| !line.starts_with("Accepted ")).collect()
    }

    /// A stranger whose keys are in use.
    fn stranger(&self) -> (Peer, Tcp) {
        let mut target = Tcp::connect(self.port).unwrap();
        let mut peer = Peer::of(Role::Server, Traits::default());
        peer.start(Position::Keyed, &mut target);
        peer.say(&login::service_request(), &mut target);
        peer.until(number::SERVICE_ACCEPT, &mut target);
        (peer, target)
    }

    /// Somebody who tries a password once, and leaves.
    fn tries_a_password(&self, user: &str) {
        let (mut peer, mut target) = self.stranger();
        let mut fields = Vec::new();
        let mut writer = Writer::new(&mut fields);
        writer.boolean(false);
        writer.string(SECRET.as_bytes());
        peer.say(&login::request_of(user, "password", &fields), &mut target);
        peer.until(number::USERAUTH_FAILURE, &mut target);
    }

    /// Somebody who signs with the key that is let in, and says goodbye.
    fn logs_in(&self, user: &str) {
        let (mut peer, mut target) = self.stranger();
        let key = PrivateKey::from_openssh(&fs::read(self.keys.path("user")).unwrap(), None).unwrap();
        let session_id = peer.session_id.clone();
        peer.say(
            &login::public_key_of(user, &key, session_id.as_deref()),
            &mut target,
        );
        peer.until(number::USERAUTH_SUCCESS, &mut target);
        say_goodbye(&mut peer, &mut target, DisconnectReason::ByApplication);
    }

    /// Somebody who signs with another key until he is sent away.
    fn tries_a_key(&self, user: &str, key: &PrivateKey) {
        let (mut peer, mut target) = self.stranger();
        let session_id = peer.session_id.clone();
        let request = login::public_key_of(user, key, session_id.as_deref());
        for _ in 0..5 {
            peer.say(&request, &mut target);
            peer.until(number::USERAUTH_FAILURE, &mut target);
        }
        peer.say(&request, &mut target);
        peer.until(number::DISCONNECT, &mut target);
    }
}

fn say_goodbye(peer: &mut Peer, target: &mut Tcp, reason: DisconnectReason) {
    let goodbye = Disconnect {
        reason_code: reason.code(),
        description: b"so long",
        language_tag: b"",
    };
    peer.say(&goodbye.to_bytes(), target);
    while !target.is_over() {
        target.take();
    }
}

/// All kinds of visitors, one after the other, and what is written about them at the level INFO. From half of the
/// permitted tries on, keys that fail are told of, says sshd_config(5); OpenSSH 9.2 counts passwords only.
fn visits(server: &Logging<'_>, counts_keys: bool) {
    let user = peers::user();
    let other = PrivateKey::generate_ed25519(&mut ssh_testkit::rng::seeded(7), "other");
    let known = PrivateKey::from_openssh(&fs::read(server.keys.path("user")).unwrap(), None).unwrap();
    let (known, named) = (known.public().fingerprint(), other.public().fingerprint());
    let mut expected: Vec<String> = Vec::new();
    let mut wait = |lines: &[String]| {
        expected.extend_from_slice(lines);
        let begin = std::time::Instant::now();
        while server.lines().len() < expected.len() && begin.elapsed() < PATIENCE {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let lines = server.lines();
        assert_eq!(lines.get(..expected.len()).unwrap_or(&lines), expected);
    };
    let from = "from 127.0.0.1 port N";
    server.logs_in(&user);
    wait(&[
        format!("Accepted publickey for {user} {from} ssh2: ED25519 {known}"),
        format!("Received disconnect {from}:11: so long"),
        format!("Disconnected from user {user} 127.0.0.1 port N"),
    ]);
    server.tries_a_password(&user);
    wait(&[
        format!("Failed password for {user} {from} ssh2"),
        format!("Connection closed by authenticating user {user} 127.0.0.1 port N [preauth]"),
    ]);
    server.tries_a_password("nobody-here");
    wait(&[
        format!("Invalid user nobody-here {from}"),
        format!("Failed password for invalid user nobody-here {from} ssh2"),
        "Connection closed by invalid user nobody-here 127.0.0.1 port N [preauth]".to_owned(),
    ]);
    server.tries_a_key(&user, &other);
    let failed = format!("Failed publickey for {user} {from} ssh2: ED25519 {named}");
    if counts_keys {
        wait(&[failed.clone(), failed.clone(), failed]);
    }
    wait(&[
        format!("maximum authentication attempts exceeded for {user} {from} ssh2 [preauth]"),
        format!(
            "Disconnecting authenticating user {user} 127.0.0.1 port N: Too many authentication failures [preauth]"
        ),
    ]);
    let (mut peer, mut target) = server.stranger();
    say_goodbye(&mut peer, &mut target, DisconnectReason::ByApplication);
    wait(&[
        format!("Received disconnect {from}:11: so long [preauth]"),
        "Disconnected from 127.0.0.1 port N [preauth]".to_owned(),
    ]);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    wait(&["banner exchange: Connection from 127.0.0.1 port N: invalid format".to_owned()]);
    assert_eq!(server.lines(), expected);
    assert!(!(server.log)().contains(SECRET));
}

/// `bowline sshd` with `words`, and its log.
fn with_own(words: &[&str], check: impl FnOnce(&Logging<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let server = Sshd::start_logging(words, &file.display().to_string());
    check(&Logging {
        port: server.port,
        keys: &server.keys,
        log: &|| fs::read_to_string(&file).unwrap(),
    });
}

#[test]
fn the_log_is_line_for_line_that_of_openssh_s_server() {
    with_own(&["-o", "PasswordAuthentication=yes"], |server| {
        visits(server, true)
    });
    let Some(sshd) = peers::need("sshd") else { return };
    let server = Server::start(&sshd, "LogLevel INFO\nPasswordAuthentication yes");
    let logging = Logging {
        port: server.port,
        keys: &server.keys,
        log: &|| server.log(),
    };
    visits(&logging, false);
}

/// Somebody shows the key that is let in, and signs something else with it.
fn the_key_is_named(server: &Logging<'_>) {
    let user = peers::user();
    let known = PrivateKey::from_openssh(&fs::read(server.keys.path("user")).unwrap(), None).unwrap();
    let (mut peer, mut target) = server.stranger();
    let request = login::public_key_of(&user, &known, Some(b"another session"));
    peer.say(&request, &mut target);
    peer.until(number::USERAUTH_FAILURE, &mut target);
    let failed = format!(
        "Failed publickey for {user} from 127.0.0.1 port N ssh2: ED25519 {}",
        known.public().fingerprint()
    );
    wait_until("the key is not named", || {
        let log = (server.log)();
        log.lines().map(without_ports).any(|line| line == failed)
    });
}

#[test]
fn a_key_with_a_wrong_signature_is_named_as_openssh_s_server_names_it() {
    with_own(&["-o", "LogLevel=VERBOSE"], the_key_is_named);
    let Some(sshd) = peers::need("sshd") else { return };
    let server = Server::start(&sshd, "LogLevel VERBOSE");
    the_key_is_named(&Logging {
        port: server.port,
        keys: &server.keys,
        log: &|| server.log(),
    });
}

#[test]
fn more_is_told_at_a_louder_level_and_less_at_a_quieter_one() {
    let user = peers::user();
    let key = PrivateKey::generate_ed25519(&mut ssh_testkit::rng::seeded(7), "other");
    for (level, connections, failures, exceeded) in [
        ("VERBOSE", 1, 6, 1),
        ("INFO", 0, 3, 1),
        ("ERROR", 0, 0, 1),
        ("QUIET", 0, 0, 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut line = bowline(&["sshd", "-D", "-p", "0", "-E", &log.display().to_string()]);
        let keys = Keys::make();
        let port = ssh_testkit::running::free_port();
        line.args([
            "-o",
            &format!("LogLevel={level}"),
            "-o",
            &format!("ListenAddress=127.0.0.1:{port}"),
        ]);
        line.args(crate::bowline::usual_words(&keys));
        let server = ssh_testkit::running::Running::start(&mut line);
        wait_until("it does not listen", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let read = || fs::read_to_string(&log).unwrap();
        Logging {
            port,
            keys: &keys,
            log: &read,
        }
        .tries_a_key(&user, &key);
        let count = |told: &str, words: &str| told.lines().filter(|line| line.contains(words)).count();
        let last = "maximum authentication attempts exceeded";
        wait_until("the end is not told", || count(&read(), last) == exceeded);
        let told = read();
        // The first connection asked whether it listens.
        let made = count(&told, &format!("port {port}")).min(2).saturating_sub(1);
        assert_eq!(
            (made, count(&told, "Failed publickey for")),
            (connections, failures),
            "{level}: {told}"
        );
        drop(server);
    }
}

#[test]
fn whatever_a_stranger_calls_himself_his_lines_are_his_own() {
    with_own(
        &["-o", "PasswordAuthentication=yes", "-o", "LogLevel=DEBUG3"],
        |server| {
            let long = "y".repeat(5_000);
            let names = [
                FORGED,
                "root from 192.0.2.1 port 22 ssh2",
                "\u{202e}toor",
                "",
                &long,
            ];
            for name in names {
                server.tries_a_password(name);
            }
            let (mut peer, mut target) = server.stranger();
            peer.say(&login::request_of(&peers::user(), FORGED, b""), &mut target);
            peer.until(number::USERAUTH_FAILURE, &mut target);
            let goodbye = Disconnect {
                reason_code: 2,
                description: FORGED.as_bytes(),
                language_tag: b"",
            };
            peer.say(&goodbye.to_bytes(), &mut target);
            let log = server.log;
            let ended = || log().matches("Connection closed by invalid user").count();
            wait_until("not all of them are told of", || {
                ended() == names.len() && log().contains("Received disconnect")
            });
            let told = log();
            assert!(
                told.contains("Invalid user x\\nAccepted\\x20password\\x20for\\x20root\\x20from"),
                "{told}"
            );
            for line in told.lines() {
                assert!(!line.starts_with("Accepted"), "{line}");
                assert!(
                    line.chars().all(|each| !each.is_control() && each != '\u{202e}'),
                    "{line:?}"
                );
                assert!(line.len() < 1_000, "{line}");
                // A word of its own, whatever it pretends to be: what follows it is what is true.
                if let Some((_, rest)) = line.split_once("invalid user root") {
                    assert!(rest.starts_with("\\x20from\\x20192.0.2.1"), "{line}");
                }
            }
            assert!(!told.contains(SECRET), "{told}");
        },
    );
}

#[test]
fn who_is_too_slow_or_has_no_algorithm_in_common_is_named() {
    with_own(&["-o", "LoginGraceTime=1"], |server| {
        let mut silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        silent.write_all(b"SSH-2.0-silent\r\n").unwrap();
        wait_until("the end of the time is not told", || {
            (server.log)()
                .lines()
                .any(|line| without_ports(line) == "Timeout before authentication for 127.0.0.1 port N")
        });
    });
    with_own(&["-o", "Ciphers=aes128-ctr"], |server| {
        let known = server.keys.known_hosts("known_hosts", server.port, "host");
        let mut line = bowline(&["ssh", "-c", "aes256-ctr", "-p", &server.port.to_string(), "-o"]);
        line.arg(format!("UserKnownHostsFile={}", known.display()));
        let _ = run(line.args(["127.0.0.1", "true"])).with_code(255);
        wait_until("what was not agreed on is not told", || {
            let said = "Unable to negotiate with 127.0.0.1 port N: no matching cipher found. Their offer: aes256-ctr \
                        [preauth]";
            (server.log)().lines().any(|line| without_ports(line) == said)
        });
    });
}

#[test]
fn one_connection_on_standard_streams_writes_no_log_unless_it_is_asked_to() {
    for (words, is_told) in [(&["-i"][..], false), (&["-i", "-e"], true)] {
        let keys = Keys::make();
        let mut line = bowline(&[&["sshd"], words].concat());
        let finished =
            ssh_testkit::running::run_with(line.args(crate::bowline::usual_words(&keys)), "SSH-2.0-gone\r\n")
                .with_code(255);
        let told = finished
            .stderr_text()
            .contains("Connection closed by standard input and output [preauth]");
        assert_eq!(told, is_told, "{finished}");
    }
}
