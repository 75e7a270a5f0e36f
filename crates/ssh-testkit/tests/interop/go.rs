//! Go's SSH (`golang.org/x/crypto/ssh`): its client into our server, our client into its server, every algorithm it knows. The
//! programs are one, `go/peer.go`, which `ci.sh` builds.

use std::process::Command;

use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::running::{Running, free_port, run_with, wait_for_greeting};

use crate::ours::Ours;
use crate::table::{
    KNOWN_AUTHORITY, Nature, Offer, Row, Theirs, host_key_files, into_ours, keys_of_every_type, rows,
};

/// More than goes through any test.
const SELDOM: &str = "1000000000000";

/// A client of the port that runs `command` there on one channel.
fn client(keys: &Keys, port: u16, key: &str, known: &str, command: &str) -> Command {
    let mut line = Command::new(peers::go().unwrap());
    line.args(["client", "127.0.0.1", &port.to_string(), &peers::user()]);
    line.args([keys.path(key), keys.path(known)]);
    line.args([SELDOM, "1", command]);
    line
}

/// A known_hosts file for a server of ours: the host's keys, or the authority of its certificates. Go takes a pattern without a
/// port for port 22 alone.
fn known_hosts(row: &Row, ours: &Ours) -> String {
    let (name, place) = (
        format!("known_hosts_{}", ours.port),
        format!("[127.0.0.1]:{}", ours.port),
    );
    let lines: String = if row.host_key.is_certificate() {
        format!("@cert-authority {place} {}\n", ours.keys.public("ca"))
    } else {
        let files = host_key_files();
        let keys = files.iter().map(|key| ours.keys.public(key));
        keys.map(|key| format!("{place} {key}\n")).collect()
    };
    std::fs::write(ours.keys.path(&name), lines).unwrap();
    name
}

#[test]
fn go_s_client_reaches_our_server_with_every_algorithm_it_knows() {
    if peers::need_go().is_none() {
        return;
    }
    let keys = keys_of_every_type();
    let offer = Offer::of_client(|port| client(&keys, port, "user_ssh-ed25519", KNOWN_AUTHORITY, "cat"));
    into_ours(
        &rows(&offer),
        &keys,
        Nature {
            refusal: "no common algorithm",
            hears_while_it_speaks: true,
        },
        |row, ours| {
            let known = known_hosts(row, ours);
            client(&ours.keys, ours.port, &row.key_file("user"), &known, "cat")
        },
        |_, _| Ok(()),
    );
}

#[test]
fn our_client_reaches_go_with_every_algorithm_it_knows() {
    let Some(program) = peers::need_go() else { return };
    let keys = keys_of_every_type();
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["server", "127.0.0.1", &port.to_string()]);
    command.arg(keys.path("authorized_keys")).arg(SELDOM);
    command.args(host_key_files().iter().map(|name| keys.path(name)));
    let mut server = Running::start(&mut command);
    wait_for_greeting(&mut server, port).unwrap();
    let theirs = Theirs {
        port,
        user: &peers::user(),
        keys: &keys,
        offer: Offer::of_server(port),
        ends_silently: false,
    };
    theirs.try_every_row();
}

#[test]
fn go_s_client_gets_both_outputs_and_the_status_of_a_command() {
    if peers::need_go().is_none() {
        return;
    }
    let ours = Ours::start();
    ours.keys.known_hosts("known_hosts", ours.port, "host");
    let command = "cat; echo oops >&2; exit 7";
    let mut line = client(&ours.keys, ours.port, "user", "known_hosts", command);
    let sent = vec![5; 3_000_000];
    let finished = run_with(&mut line, sent.clone()).with_code(7);
    assert!(finished.stdout == sent, "{} bytes", finished.stdout.len());
    assert_eq!(finished.stderr_text(), "oops\n");
    // Another host's key is not believed.
    ours.keys.known_hosts("known_hosts", ours.port, "stranger");
    let mut line = client(&ours.keys, ours.port, "user", "known_hosts", command);
    let finished = run_with(&mut line, "").with_code(1);
    assert!(finished.stderr_text().contains("key mismatch"), "{finished}");
}
