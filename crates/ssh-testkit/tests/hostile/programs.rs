//! The same peer let loose on other people's programs, over TCP: what it frames, hashes and derives by itself is right, or
//! they would not follow it, and its lies mean to them what they mean to us.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use ssh_client::kex::Role;
use ssh_client::kex::messages::Ignore;
use ssh_client::wire::{Encode, number};
use ssh_testkit::hostile::{Peer, Position, Target, Tcp, Traits, login};
use ssh_testkit::openssh::{Keys, Server, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::Running;

/// After this time without a word a program is taken to have nothing more to say. What is shown by it is only that
/// something does not come.
const SILENCE: Duration = Duration::from_secs(1);

fn ignore() -> Vec<u8> {
    Ignore { data: b"x" }.to_bytes()
}

#[test]
fn openssh_s_server_follows_the_peer_and_ends_where_ours_does() {
    let Some(sshd) = peers::need("sshd") else { return };
    let server = Server::start(&sshd, "");
    let begin = |traits: Traits, position: Position| {
        let mut target = Tcp::connect(server.port).unwrap();
        let mut peer = Peer::of(Role::Server, traits);
        peer.start(position, &mut target);
        (peer, target)
    };
    // An honest one gets to the login, with numbers that start again and with numbers that run on; so B1 fails for what
    // is sent too much, and not for anything else.
    for strict in [true, false] {
        let traits = Traits {
            strict,
            ..Traits::default()
        };
        let (mut peer, mut target) = begin(traits, Position::Keyed);
        peer.say(&login::service_request(), &mut target);
        peer.until(number::SERVICE_ACCEPT, &mut target);
        // A2: it may answer that it does not know this, and opens nothing.
        let open = b"\x5a\0\0\0\x07session\0\0\0\0\0\x20\0\0\0\0\x80\0";
        peer.say(open, &mut target);
        let mut target = target.patient(SILENCE).unwrap();
        let said = peer.rest(&mut target);
        let opened = said
            .iter()
            .any(|packet| packet.number() == number::CHANNEL_OPEN_CONFIRMATION);
        assert!(!opened, "a channel was opened before login");
        // B1: one message too much.
        let (mut peer, mut target) = begin(traits, Position::Negotiated);
        peer.say(&ignore(), &mut target);
        assert_eq!(is_over(peer, target, strict), strict, "IGNORE before the keys");
    }
}

/// Whether the target ends what it has heard last. One that is to end it is waited for.
fn is_over(mut peer: Peer, mut target: Tcp, is_expected: bool) -> bool {
    if !is_expected {
        target = target.patient(SILENCE).unwrap();
    }
    let _ = peer.rest(&mut target);
    target.is_over()
}

#[test]
fn openssh_s_client_follows_the_peer_and_ends_where_ours_does() {
    let Some(ssh) = peers::need("ssh") else { return };
    let keys = Keys::make();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let host_key = Peer::of(Role::Client, Traits::default())
        .key
        .public()
        .to_openssh("");
    let file = keys.path("known_peer");
    fs::write(&file, format!("[127.0.0.1]:{port} {host_key}\n")).unwrap();
    let known = format!("UserKnownHostsFile={}", file.display());
    for strict in [true, false] {
        let mut line = Command::new(&ssh);
        line.args(["-o", &known]);
        line.args(client_arguments(&keys, port))
            .args(["127.0.0.1", "true"]);
        let start = |line: &mut Command| {
            let client = Running::start(line);
            (client, Tcp::accept(&listener).unwrap())
        };
        let traits = Traits {
            strict,
            ..Traits::default()
        };
        let (_client, mut target) = start(&mut line);
        let mut peer = Peer::of(Role::Client, traits);
        peer.start(Position::Keyed, &mut target);
        peer.until(number::SERVICE_REQUEST, &mut target);
        let (_client, mut target) = start(&mut line);
        let mut peer = Peer::of(Role::Client, traits);
        peer.start(Position::Negotiated, &mut target);
        peer.say(&ignore(), &mut target);
        assert_eq!(is_over(peer, target, strict), strict, "IGNORE before the keys");
    }
}
