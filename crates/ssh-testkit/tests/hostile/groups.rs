//! Group exchange (B6): requests and groups that nobody honest sends, against whole machines. Every share of every group is
//! in `shares.rs` or, beneath, in `ssh-kex/tests/hostile_groups.rs`.

use ssh_client::kex::method::dh_group_exchange::{KexDhGexGroup, KexDhGexRequest};
use ssh_client::kex::{Role, method};
use ssh_client::wire::{Encode, Mpint, number};
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim};

fn negotiated(role: Role) -> (Peer, Victim) {
    let method = method::find("diffie-hellman-group-exchange-sha256").unwrap();
    let mut config = Victim::config();
    config.preferences.kex = vec![method];
    let mut victim = Victim::new(role, config, Answers::default());
    let traits = Traits {
        method,
        ..Traits::default()
    };
    let mut peer = Peer::of(role, traits);
    peer.start(Position::Negotiated, &mut victim);
    (peer, victim)
}

/// The victim is gone and said nothing but its farewell (and, as a client, what it began with).
fn is_over(mut peer: Peer, mut victim: Victim, began_with: &[u8], context: &str) {
    assert!(victim.is_over(), "{context}: it goes on");
    let said = peer.rest(&mut victim);
    let numbers: Vec<u8> = said.iter().map(|packet| packet.number()).collect();
    assert_eq!(numbers, [began_with, &[number::DISCONNECT]].concat(), "{context}");
    assert_eq!(
        victim.told.host_keys, 0,
        "{context}: nobody was asked about a key"
    );
}

#[test]
fn b06_requests_that_contradict_themselves_or_ask_for_toys_end() {
    for (min, n, max) in [
        (1, 1, 1),
        (1024, 1024, 1024),
        (8192, 1024, 2048),
        (4096, 2048, 8192),
        (2048, 8192, 4096),
        (9000, 9000, 9000),
    ] {
        let (mut peer, mut victim) = negotiated(Role::Server);
        peer.say(&KexDhGexRequest { min, n, max }.to_bytes(), &mut victim);
        is_over(peer, victim, &[], &format!("({min}, {n}, {max})"));
    }
}

#[test]
fn b06_a_request_without_bounds_gets_a_group_of_the_list() {
    let (mut peer, mut victim) = negotiated(Role::Server);
    let request = KexDhGexRequest {
        min: 0,
        n: 0,
        max: u32::MAX,
    };
    peer.say(&request.to_bytes(), &mut victim);
    let said = peer.rest(&mut victim);
    let group: KexDhGexGroup<'_> = said[0].decode().unwrap();
    assert_eq!((group.p.bits(), group.g.magnitude()), (2048, &[2][..]));
}

#[test]
fn b06_groups_that_give_the_secret_away_end() {
    let ones = |bytes: usize| vec![0xff; bytes];
    let starting = |first: u8, bytes: usize| [&[first], &ones(bytes)[..]].concat();
    let even = [&ones(255)[..], &[0xfe]].concat();
    for (what, p, g) in [
        ("1023 bits", starting(0x7f, 127), [2]),
        ("2047 bits", starting(0x7f, 255), [2]),
        ("8193 bits", starting(1, 1024), [2]),
        ("16385 bits", starting(1, 2048), [2]),
        ("an even modulus", even, [2]),
        ("a composite modulus", ones(256), [2]),
        ("g = 1", ones(256), [1]),
        ("g = 0", ones(256), [0]),
    ] {
        let (mut peer, mut victim) = negotiated(Role::Client);
        let group = KexDhGexGroup {
            p: Mpint::from_magnitude(&p),
            g: Mpint::from_magnitude(&g),
        };
        peer.say(&group.to_bytes(), &mut victim);
        is_over(peer, victim, &[34], what);
    }
}
