//! Packets that are broken: lengths and paddings that lie (B9), and every bit of what is protected (B18, promise 21).

use std::sync::atomic::{AtomicUsize, Ordering};

use ssh_client::kex::messages::Ignore;
use ssh_client::kex::{Config, Role};
use ssh_client::wire::{Encode, MAX_PACKET_BYTES, Opener, Sealer, number};
use ssh_testkit::hostile::{Answers, Construction, Peer, Position, Suite, Target, Traits, Victim, packet};

use super::ROLES;

fn config_of(suite: Suite) -> Config {
    let mut config = Victim::config();
    config.preferences.ciphers = vec![suite.cipher];
    config.preferences.macs = suite.mac.into_iter().collect();
    config
}

/// A victim whose keys are in use, and whose peer has said nothing under them yet.
fn keyed(role: Role, suite: Suite) -> (Peer, Victim) {
    let mut victim = Victim::new(role, config_of(suite), Answers::default());
    let mut peer = Peer::of(
        role,
        Traits {
            suite,
            ..Traits::default()
        },
    );
    peer.start(Position::Keyed, &mut victim);
    assert!(victim.is_keyed(), "{suite:?}: {:?}", victim.error());
    (peer, victim)
}

/// The lengths that no packet may have.
const LENGTHS: [u32; 9] = [0, 1, 4, 5, 13, 35_001, 262_145, 0x0100_0000, u32::MAX];

#[test]
fn b09_lengths_that_lie_in_the_clear_end_before_they_are_read() {
    for role in ROLES {
        for length in LENGTHS {
            let mut victim = Victim::plain(role);
            let mut peer = Peer::of(role, Traits::default());
            peer.greet(&mut victim);
            // Nothing but the length: nobody waits for what it says will come.
            peer.say_bytes(&length.to_be_bytes(), &mut victim);
            let error = victim
                .error()
                .unwrap_or_else(|| panic!("{length}: the {role:?} waits"));
            assert!(error.contains(&format!("packet length of {length}")), "{error}");
            assert_eq!(peer.farewell(&mut victim), Some(2));
        }
        // What is right goes on.
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(
            role,
            Traits {
                strict: false,
                ..Traits::default()
            },
        );
        peer.greet(&mut victim);
        peer.say(&Ignore { data: &[0; 35_000] }.to_bytes(), &mut victim);
        peer.negotiate(&mut victim);
        assert_eq!(victim.error(), None);
    }
}

#[test]
fn b09_lengths_that_lie_under_keys_end_for_every_suite() {
    for suite in Suite::all() {
        for role in ROLES {
            for length in LENGTHS {
                let (mut peer, mut victim) = keyed(role, suite);
                let content = [7; 59]; // with its five bytes of header: four blocks of 16
                let broken = broken(&peer, suite, length, 4, &content);
                peer.say_bytes(&broken, &mut victim);
                let context = format!("{suite:?} {role:?} {length}");
                if suite.hides_bad_length() {
                    // It must look like a wrong MAC: the largest packet is read before anything is said.
                    assert_eq!(victim.error(), None, "{context}");
                    flood_to_the_end(&mut peer, &mut victim);
                    assert_eq!(victim.error(), Some(WRONG_MAC), "{context}");
                    assert_eq!(peer.farewell(&mut victim), Some(5), "{context}");
                } else if suite.construction() == Construction::AeadHiddenLength {
                    // Nothing is waited for, and it looks like a wrong tag all the same.
                    assert_eq!(victim.error(), Some(WRONG_MAC), "{context}");
                    assert_eq!(peer.farewell(&mut victim), Some(5), "{context}");
                } else {
                    let error = victim.error().unwrap_or_else(|| panic!("{context}: it waits"));
                    assert!(error.contains("packet length of"), "{context}: {error}");
                    assert_eq!(peer.farewell(&mut victim), Some(2), "{context}");
                }
                assert_eq!(victim.told.above, 0);
            }
        }
    }
}

const WRONG_MAC: &str = "the peer sent the integrity check of a packet failed";

/// The first packet under the peer's keys with that header, its tag right where it can be.
fn broken(peer: &Peer, suite: Suite, length: u32, padding: u8, content: &[u8]) -> Vec<u8> {
    // Where the length is not enciphered with the rest it is not among the blocks either.
    let content = if suite.length_is_aligned() {
        content.to_vec()
    } else {
        [content, &[7; 4]].concat()
    };
    packet::sealed(peer.own_keys(), 0, length, padding, &content)
}

fn flood_to_the_end(peer: &mut Peer, victim: &mut Victim) {
    let mut sent = 0;
    while !victim.is_over() {
        peer.say_bytes(&[0x5a; 4096], victim);
        sent += 4096;
        assert!(
            sent <= MAX_PACKET_BYTES + 4096,
            "it waits for more than the largest packet"
        );
    }
    assert!(
        sent + 4096 >= MAX_PACKET_BYTES,
        "it told after {sent} bytes what it thinks of the length"
    );
}

#[test]
fn b09_paddings_that_lie_under_keys_end_for_every_suite() {
    for suite in Suite::all() {
        for role in ROLES {
            let total: u32 = if suite.length_is_aligned() { 60 } else { 64 };
            for padding in [0, 1, 2, 3, (total - 1) as u8, total as u8, 255] {
                let (mut peer, mut victim) = keyed(role, suite);
                let broken = broken(&peer, suite, total, padding, &[7; 59]);
                peer.say_bytes(&broken, &mut victim);
                let context = format!("{suite:?} {role:?} padding {padding}");
                if suite.hides_bad_length() {
                    assert_eq!(victim.error(), None, "{context}");
                    flood_to_the_end(&mut peer, &mut victim);
                    assert_eq!(victim.error(), Some(WRONG_MAC), "{context}");
                    assert_eq!(peer.farewell(&mut victim), Some(5), "{context}");
                    continue;
                }
                let error = victim.error().unwrap_or_else(|| panic!("{context}: it goes on"));
                let expected = if u32::from(padding) == total - 1 {
                    "without a payload"
                } else {
                    "of padding"
                };
                assert!(error.contains(expected), "{context}: {error}");
                assert_eq!(peer.farewell(&mut victim), Some(2), "{context}");
                assert_eq!((victim.told.logins, victim.told.above), (0, 0));
            }
            // The same with padding that is right: what is refused above is refused for its padding.
            let (mut peer, mut victim) = keyed(role, suite);
            let mut content = [0; 59];
            content[0] = number::IGNORE;
            content[4] = 45 + u8::from(!suite.length_is_aligned()) * 4;
            let right = broken(&peer, suite, total, 9, &content);
            peer.say_bytes(&right, &mut victim);
            assert_eq!(victim.error(), None, "{suite:?} {role:?}");
        }
    }
}

/// CVE-2008-5161: where MAC and length are enciphered, a wrong MAC, a wrong padding and a wrong length end with the same
/// words, the same reason, and after the same bytes.
#[test]
fn b09_a_wrong_mac_and_a_wrong_length_look_the_same() {
    for suite in Suite::all().into_iter().filter(|suite| suite.hides_bad_length()) {
        for role in ROLES {
            let mut endings = Vec::new();
            for (length, padding, spoils) in [
                (MAX_PACKET_BYTES as u32 - 4, 4, true),
                (60, 4, true),
                (60, 0, false),
                (13, 4, false),
                (u32::MAX, 200, false),
            ] {
                let (mut peer, mut victim) = keyed(role, suite);
                let mut bytes = broken(&peer, suite, length, padding, &[7; 59]);
                if spoils {
                    *bytes.last_mut().unwrap() ^= 1;
                }
                // All but the end in blocks, then byte by byte.
                let mut sent = MAX_PACKET_BYTES - 100;
                bytes.resize(sent, 0x5a);
                for block in bytes.chunks(4096) {
                    peer.say_bytes(block, &mut victim);
                }
                while !victim.is_over() {
                    peer.say_bytes(&[0x5a], &mut victim);
                    sent += 1;
                }
                endings.push((
                    sent,
                    victim.error().unwrap().to_owned(),
                    peer.farewell(&mut victim),
                ));
            }
            assert!(
                endings.windows(2).all(|pair| pair[0] == pair[1]),
                "{suite:?} {role:?}: {endings:?}"
            );
        }
    }
}

// ---- B18 -------------------------------------------------------------------------------------------------------------

/// One packet with so many bytes of payload under a suite.
fn stream(suite: Suite, bytes: usize) -> Vec<u8> {
    let mut sealer = Sealer::new([3; 32]);
    sealer.set_protection(suite.keys().sealing(), true);
    sealer.seal_payload(&vec![94; bytes]);
    std::mem::take(sealer.outbox())
}

/// Whether a stream is refused, however long the packet says it is.
fn refused(suite: Suite, stream: &[u8]) -> bool {
    let mut opener = Opener::new();
    opener.set_protection(suite.keys().opening(), true);
    opener.read_buffer().extend_from_slice(stream);
    if suite.hides_bad_length() {
        // The opener would read a largest packet each time: nothing comes out of it, and its protection says why.
        return opener.next() == Ok(None) && !intact(suite, stream);
    }
    loop {
        match opener.next() {
            Err(_) => return true,
            Ok(Some(_)) => return false,
            // A length that was changed: more has to come before it is found out.
            Ok(None) if opener.unread().len() <= MAX_PACKET_BYTES + 64 => {
                opener.read_buffer().extend_from_slice(&[0; 8192]);
            }
            Ok(None) => return false,
        }
    }
}

/// Whether the bytes of a whole packet have a right MAC.
fn intact(suite: Suite, stream: &[u8]) -> bool {
    let mut packet = stream.to_vec();
    let mut protection = suite.keys().opening();
    let head = protection.shape().head_bytes;
    protection.packet_length(0, &mut packet[..head]);
    protection.open(0, &mut packet).is_ok()
}

/// Which bits of a packet are changed, one at a time.
#[derive(Clone, Copy)]
enum Bits {
    /// All of them.
    Every,
    /// One of each byte, not the same one in neighbours.
    OfEachByte,
}

impl Bits {
    /// Those of a packet so long.
    fn of(self, bytes: usize) -> Box<dyn Iterator<Item = usize>> {
        match self {
            Self::Every => Box::new(0..bytes * 8),
            Self::OfEachByte => Box::new((0..bytes).map(|at| at * 8 + at * 5 % 8)),
        }
    }
}

/// Suites in which a cipher or a MAC stands for the first time: every bit. All others: one of each byte, unless
/// `BOWLINE_EVERY_BIT` asks for more.
fn suites() -> Vec<(Suite, Bits)> {
    let all = std::env::var_os("BOWLINE_EVERY_BIT").is_some();
    let mut seen = Vec::new();
    let mut with_bits = |suite: Suite| {
        let names = [Some(suite.cipher.name), suite.mac.map(|mac| mac.name)];
        let is_first = names.into_iter().flatten().any(|name| !seen.contains(&name));
        seen.extend(names.into_iter().flatten());
        (
            suite,
            if all || is_first {
                Bits::Every
            } else {
                Bits::OfEachByte
            },
        )
    };
    Suite::all().into_iter().map(&mut with_bits).collect()
}

/// Promise 21: packets as long as it says, for every pair of cipher and MAC, shared out among the processors.
#[test]
fn b18_every_bit_that_is_changed_is_found_out_for_every_suite() {
    let suites = suites();
    let (next, changed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((suite, bits)) = suites.get(next.fetch_add(1, Ordering::Relaxed)) {
            changed.fetch_add(change(*suite, *bits), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
    let changed = changed.into_inner();
    // Each of them has counted its own.
    assert!(suites.len() > 1 && changed >= suites.len() * WHOLE_BYTES);
    println!("{changed} bits were changed in {} suites", suites.len());
}

/// The payload of the packets that promise 21 is about.
const WHOLE_BYTES: usize = 4096;

/// Changes bits of a whole packet, one at a time; how many there were.
fn change(suite: Suite, bits: Bits) -> usize {
    let mut stream = stream(suite, WHOLE_BYTES);
    assert!(!refused(suite, &stream), "{suite:?}: what is whole opens");
    let mut changed = 0;
    for bit in bits.of(stream.len()) {
        let mask = 1 << (bit % 8);
        stream[bit / 8] ^= mask;
        assert!(refused(suite, &stream), "{suite:?}: bit {bit}");
        stream[bit / 8] ^= mask;
        changed += 1;
    }
    assert!(changed >= WHOLE_BYTES, "{suite:?}");
    changed
}

/// On whole machines: nothing of a changed packet reaches the application, and the connection ends.
#[test]
fn b18_a_changed_packet_ends_a_session_and_nothing_is_delivered() {
    for suite in Suite::all() {
        for role in ROLES {
            for at in [4, 5, 20, 33, -1_i32] {
                let (mut peer, mut victim) = keyed(role, suite);
                peer.log_in(&mut victim);
                peer.rest(&mut victim);
                // A request that would be answered.
                peer.wire
                    .sealer
                    .seal_payload(b"\x50\0\0\0\x15keepalive@openssh.com\x01");
                let mut bytes = std::mem::take(peer.wire.sealer.outbox());
                let at = at.rem_euclid(bytes.len() as i32) as usize;
                bytes[at] ^= 0x10;
                peer.say_bytes(&bytes, &mut victim);
                if suite.hides_bad_length() {
                    assert_eq!(victim.error(), None, "{suite:?} {role:?} {at}");
                    flood_to_the_end(&mut peer, &mut victim);
                }
                assert_eq!(victim.error(), Some(WRONG_MAC), "{suite:?} {role:?} {at}");
                assert_eq!(victim.told.above, 0, "{suite:?} {role:?} {at}");
                assert_eq!(peer.farewell(&mut victim), Some(5), "{suite:?} {role:?} {at}");
            }
        }
    }
}

#[test]
fn one_suite_of_each_construction_stands_for_the_others() {
    let constructions: Vec<Construction> = Suite::one_of_each()
        .iter()
        .map(|suite| suite.construction())
        .collect();
    for needed in [
        Construction::AeadClearLength,
        Construction::AeadHiddenLength,
        Construction::StreamAndMac,
        Construction::StreamThenMac,
    ] {
        assert!(constructions.contains(&needed), "{needed:?}");
    }
    for suite in Suite::all() {
        assert!(constructions.contains(&suite.construction()), "{suite:?}");
    }
}
