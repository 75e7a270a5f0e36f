//! The first bytes of a connection (B11), and what a peer tells about itself (B12).

use std::time::Duration;

use ssh_client::kex::Role;
use ssh_client::wire::Writer;
use ssh_testkit::hostile::{Peer, Position, Target, Traits, Victim};

use super::ROLES;

/// Feeds a fresh victim in pieces of 4 KiB, as sockets do, until it ends; how many bytes it took before that.
fn flooded(role: Role, bytes: &[u8]) -> (Victim, usize) {
    let mut victim = Victim::plain(role);
    let mut taken = 0;
    for piece in bytes.chunks(4096) {
        if victim.is_over() {
            break;
        }
        victim.give(piece);
        taken += piece.len();
    }
    (victim, taken)
}

#[test]
fn b11_identification_floods_end_after_little() {
    // What may at most be read of it: a server reads one line, a client 16 KiB of lines before it.
    for (what, bytes, of_server, of_client) in [
        ("8 MB without an end", vec![b'x'; 8 << 20], 4096, 20 * 1024),
        ("8 MB of NUL", vec![0; 8 << 20], 4096, 20 * 1024),
        ("2000 lines", b"a line\r\n".repeat(2000), 4096, 20 * 1024),
        ("51 empty lines", b"\r\n".repeat(51), 4096, 4096),
        (
            "a line of 1025 bytes",
            [vec![b'x'; 1025], b"\r\nSSH-2.0-x\r\n".to_vec()].concat(),
            4096,
            4096,
        ),
        (
            "17 lines of 1000 bytes",
            [vec![b'x'; 998], b"\r\n".to_vec()].concat().repeat(17),
            4096,
            20 * 1024,
        ),
        (
            "an identification of 300 bytes",
            [b"SSH-2.0-".to_vec(), vec![b'x'; 292], b"\r\n".to_vec()].concat(),
            4096,
            4096,
        ),
        ("a NUL in it", b"SSH-2.0-a\0b\r\n".to_vec(), 4096, 4096),
        ("a NUL behind it", b"SSH-2.0-a\r\0\n".to_vec(), 4096, 4096),
        (
            "a NUL before it",
            b"wel\0come\r\nSSH-2.0-a\r\n".to_vec(),
            4096,
            4096,
        ),
        ("SSH 1.5", b"SSH-1.5-old\r\n".to_vec(), 4096, 4096),
    ] {
        for (role, most) in [(Role::Server, of_server), (Role::Client, of_client)] {
            let (victim, taken) = flooded(role, &bytes);
            assert!(victim.is_over(), "{what}: the {role:?} goes on");
            assert!(taken <= most, "{what}: the {role:?} read {taken} bytes");
        }
    }
    let (victim, _) = flooded(Role::Server, b"hello\r\nSSH-2.0-x\r\n");
    assert!(
        victim.is_over(),
        "a server takes no line before the identification"
    );
}

#[test]
fn b11_identifications_that_are_odd_but_right_are_taken() {
    let long = [b"SSH-2.0-".to_vec(), vec![b'x'; 245], b"\r\n".to_vec()].concat();
    assert_eq!(long.len(), 255);
    let lines = [vec![b'x'; 300], b"\r\n".to_vec()].concat().repeat(49);
    for (bytes, roles) in [
        (b"SSH-2.0-x\n".to_vec(), &ROLES[..]),
        (long, &ROLES),
        (b"SSH-1.99-both\r\n".to_vec(), &ROLES),
        (b"SSH-1.99-both\n".to_vec(), &ROLES),
        (b"one\ntwo\r\nSSH-2.0-x\n".to_vec(), &[Role::Client]),
        ([lines, b"SSH-2.0-x\r\n".to_vec()].concat(), &[Role::Client]),
    ] {
        for role in roles {
            let (victim, _) = flooded(*role, &bytes);
            assert_eq!(
                victim.error(),
                None,
                "{role:?} {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

#[test]
fn b11_a_byte_every_ten_seconds_does_not_hold_a_connection() {
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let deadline = victim.deadline().expect("somebody watches the time");
        let mut waited = Duration::ZERO;
        while !victim.is_over() {
            victim.give(b"S");
            victim.wait(Duration::from_secs(10));
            waited += Duration::from_secs(10);
            assert!(waited <= Duration::from_secs(60), "{role:?}");
        }
        assert!(victim.now() >= deadline);
        assert!(
            victim
                .error()
                .unwrap()
                .contains("too long over its identification")
        );
    }
}

fn ext_info(count: u32, pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut payload = vec![7];
    payload.extend(count.to_be_bytes());
    let mut writer = Writer::new(&mut payload);
    for (name, value) in pairs {
        writer.string(name);
        writer.string(value);
    }
    payload
}

fn keyed(role: Role) -> (Peer, Victim) {
    let mut victim = Victim::plain(role);
    let mut peer = Peer::of(
        role,
        Traits {
            ext_info: true,
            ..Traits::default()
        },
    );
    peer.start(Position::Keyed, &mut victim);
    (peer, victim)
}

#[test]
fn b12_ext_info_is_read_as_far_as_its_bytes_go() {
    let (big, too_big) = (vec![b'x'; 60_000], vec![b'x'; 200_000]);
    for role in ROLES {
        for (what, payload) in [
            ("a count of ff ff ff ff and nothing", ext_info(u32::MAX, &[])),
            (
                "a count of ff ff ff ff and one",
                ext_info(u32::MAX, &[(b"a", b"b")]),
            ),
            ("one more than there are", ext_info(2, &[(b"a", b"b")])),
            (
                "one less than there are",
                ext_info(1, &[(b"a", b"b"), (b"c", b"d")]),
            ),
            ("a value of 200,000 bytes", ext_info(1, &[(b"x@y", &too_big)])),
            (
                "a name that ends too early",
                b"\x07\0\0\0\x01\xff\xff\xff\xff".to_vec(),
            ),
        ] {
            let (mut peer, mut victim) = keyed(role);
            peer.say(&payload, &mut victim);
            assert!(
                victim.error().is_some_and(|error| error.contains("EXT_INFO")),
                "{what}: {role:?}"
            );
            assert_eq!(peer.farewell(&mut victim), Some(2), "{what}: {role:?}");
        }
        for (what, payload) in [
            ("nothing", ext_info(0, &[])),
            (
                "the same name twice",
                ext_info(2, &[(b"server-sig-algs", b"a"), (b"server-sig-algs", b"b")]),
            ),
            (
                "names nobody knows",
                ext_info(2, &[(b"x@y", b"\0\xff"), (b"", b"")]),
            ),
            ("a value of 60,000 bytes", ext_info(1, &[(b"x@y", &big)])),
        ] {
            let (mut peer, mut victim) = keyed(role);
            peer.say(&payload, &mut victim);
            assert_eq!(victim.error(), None, "{what}: {role:?}");
        }
        // A megabyte of them, one message after the other: more than one side has to tell.
        let (mut peer, mut victim) = keyed(role);
        let mut said = 0;
        while !victim.is_over() {
            peer.say(&ext_info(1, &[(b"x@y", &big)]), &mut victim);
            said += 1;
            assert!(said <= 3, "{role:?}: a few EXT_INFO are enough");
        }
        assert!(victim.error().unwrap().contains("EXT_INFO"));
        // In the middle of a session nobody has anything more to tell.
        let (mut peer, mut victim) = keyed(role);
        peer.log_in(&mut victim);
        peer.say(&ext_info(0, &[]), &mut victim);
        assert_eq!(peer.farewell(&mut victim), Some(2), "{role:?}");
    }
}
