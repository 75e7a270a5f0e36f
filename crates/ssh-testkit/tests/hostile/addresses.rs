//! C9, the words: which names, addresses and ports a list covers, and at which addresses the server listens for a client.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use ssh_server::{GatewayPorts, Permissions};
use ssh_testkit::running::has_address;

use super::bowline::PATIENCE;
use super::policy::{Open, Place, arrival, arrived, cancel, direct, listen};
use super::visit::{Visit, string_and_number};

/// Asks for a connection to `host` and `port`; whether it was made.
fn reaches(visit: &mut Visit, place: &Place, host: &[u8], port: u32) -> bool {
    match visit.open(1, "direct-tcpip", &direct(host, port)) {
        Ok(line) => {
            visit.close(line);
            drop(arrival(|| place.port.accept()));
            true
        }
        Err(_) => {
            assert!(arrived(place.port.accept()).is_none(), "{host:?}");
            false
        }
    }
}

#[test]
fn c09_a_name_opens_no_address_and_an_address_no_name() {
    let place = Place::new();
    let port = u32::from(place.number());
    let listed = |host: &str| Permissions {
        permit_open: Some(vec![format!("{host}:{port}").parse().unwrap()]),
        ..Permissions::default()
    };
    // What leads to the same place is not the same word.
    let everywhere: [&[u8]; 13] = [
        b"127.0.0.1\0",
        b"127.0.0.1\0.example.org",
        b" 127.0.0.1",
        b"127.0.0.1 ",
        b"127.1",
        b"2130706433",
        b"0x7f000001",
        b"0",
        b"::ffff:127.0.0.1",
        b"[127.0.0.1]",
        b"127.0.0.1.",
        b"localhost.",
        b"",
    ];
    for (own, words, others) in [
        ("127.0.0.1", &["127.0.0.1"][..], &["localhost", "*"][..]),
        (
            "localhost",
            &["localhost", "LOCALHOST"][..],
            &["127.0.0.1", "*"][..],
        ),
    ] {
        let mut visit = Visit::to(Open::with(listed(own)));
        for word in words {
            assert!(reaches(&mut visit, &place, word.as_bytes(), port), "{own} {word}");
            // Numbers that only become this port once they are cut off; and none at all.
            for wrong in [port + 65_536, port | 0x8000_0000, 0, u32::MAX] {
                assert!(
                    !reaches(&mut visit, &place, word.as_bytes(), wrong),
                    "{own} {wrong}"
                );
            }
        }
        let others = others.iter().map(|word| word.as_bytes());
        for word in others.chain(everywhere) {
            assert!(!reaches(&mut visit, &place, word, port), "{own} {word:?}");
        }
        assert!(
            reaches(&mut visit, &place, words[0].as_bytes(), port),
            "it lives on"
        );
    }
}

#[test]
fn c09_a_place_to_listen_is_the_word_that_was_listed() {
    let listed = |entry: &str| Permissions {
        permit_listen: Some(vec![entry.parse().unwrap()]),
        ..Permissions::default()
    };
    for (entry, words, others) in [
        (
            "localhost:*",
            &["localhost"][..],
            &["", "*", "127.0.0.1", "::1", "localhost\0", "x"][..],
        ),
        (
            "127.0.0.1:*",
            &["127.0.0.1"],
            &["localhost", "", "::1", "127.0.0.10", "127.0.0.1\0"],
        ),
        ("*:*", &["", "*", "localhost", "127.0.0.1", "::1"], &[]),
        // Port 0, any port, is no listed port.
        ("localhost:8080", &[], &["localhost", "", "*"]),
    ] {
        let mut visit = Visit::to(Open::with(listed(entry)));
        for word in words.iter().filter(|word| **word != "::1" || has_address(word)) {
            let port = listen(&mut visit, word.as_bytes()).unwrap_or_else(|| panic!("{entry} {word}"));
            // A number that becomes this port once it is cut off does not end it, nor begin another.
            let wrong = string_and_number(word.as_bytes(), u32::from(port) + 65_536);
            for name in ["tcpip-forward", "cancel-tcpip-forward"] {
                assert_eq!(visit.global(name, &wrong), None, "{entry} {word} {name}");
            }
            cancel(&mut visit, word.as_bytes(), port);
        }
        for word in others {
            assert_eq!(listen(&mut visit, word.as_bytes()), None, "{entry} {word:?}");
        }
    }
}

/// The addresses of this machine at which somebody listens at a port, as the kernel has them.
fn listening(port: u16) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // Where the kernel has no IPv6 there is no second one.
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, number) = fields[1].split_once(':').unwrap();
            let is_listening = fields[3] == "0A";
            if !is_listening || u16::from_str_radix(number, 16).unwrap() != port {
                continue;
            }
            // Words of 32 bits, each as this machine has them in memory.
            let bytes: Vec<u8> = (0..address.len())
                .step_by(8)
                .flat_map(|at| {
                    u32::from_str_radix(&address[at..at + 8], 16)
                        .unwrap()
                        .to_ne_bytes()
                })
                .collect();
            found.insert(match <[u8; 4]>::try_from(bytes.as_slice()) {
                Ok(four) => Ipv4Addr::from(four).to_string(),
                Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string(),
            });
        }
    }
    found
}

#[test]
fn c09_gatewayports_decides_at_which_addresses_the_server_listens() {
    use GatewayPorts::{ClientSpecified, No, Yes};
    let (loopback, all) = (&["127.0.0.1", "::1"][..], &["0.0.0.0", "::"][..]);
    // Asked for: what no and what clientspecified make of it. With yes it is always everything.
    let table: [(&str, &[&str], &[&str]); 10] = [
        ("", loopback, all),
        ("*", loopback, all),
        ("localhost", loopback, loopback),
        ("127.0.0.1", &["127.0.0.1"], &["127.0.0.1"]),
        ("::1", &["::1"], &["::1"]),
        ("0.0.0.0", loopback, &["0.0.0.0"]),
        ("::", loopback, &["::"]),
        ("127.0.0.2", loopback, &["127.0.0.2"]),
        ("::ffff:0.0.0.0", loopback, &[]),
        ("192.0.2.1", loopback, &[]),
    ];
    for policy in [No, Yes, ClientSpecified] {
        let open = Open {
            gateway_ports: policy,
            ..Open::with(Permissions::default())
        };
        let mut visit = Visit::to(open);
        for (asked, no, specified) in table {
            let expected = match policy {
                No => no,
                Yes => all,
                ClientSpecified => specified,
            };
            let here = expected.iter().filter(|address| has_address(address));
            let expected: BTreeSet<_> = here.map(|address| (*address).to_owned()).collect();
            let Some(port) = listen(&mut visit, asked.as_bytes()) else {
                assert!(expected.is_empty(), "{policy:?} {asked:?}");
                continue;
            };
            let with = listening(port);
            cancel(&mut visit, asked.as_bytes(), port);
            // What others have at this port stays. And a program that another test is just starting has all that is open
            // here for a moment longer.
            let mut bound = BTreeSet::new();
            let begin = Instant::now();
            while bound != expected {
                assert!(
                    begin.elapsed() < PATIENCE,
                    "{policy:?} {asked:?}: {bound:?} and not {expected:?}"
                );
                bound = with.difference(&listening(port)).cloned().collect();
            }
        }
    }
}
