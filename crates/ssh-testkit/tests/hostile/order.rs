//! What may come when: prefix truncation (B1), messages smuggled in before there are keys (B2), and the whole state
//! machine against a specification of its own (B3, promise 2).

use ssh_client::kex::messages::{Debug, Ignore, KexInit, Unimplemented};
use ssh_client::kex::{Method, Role, method};
use ssh_client::wire::{Decode, Encode, MAX_PACKET_BYTES, NameList, number};
use ssh_testkit::hostile::{Answers, Peer, Position, Suite, Target, Traits, Victim, login, packet};

use super::ROLES;

/// The sides of one exchange in their order.
const BEFORE_KEYS: [Position; 3] = [Position::Identified, Position::Negotiated, Position::Agreed];

fn prefixes() -> [Vec<u8>; 5] {
    let debug = Debug {
        always_display: true,
        message: b"hello",
        language_tag: b"",
    };
    [
        Ignore { data: b"x" }.to_bytes(),
        debug.to_bytes(),
        Unimplemented { sequence_number: 0 }.to_bytes(),
        b"\x07\0\0\0\0".to_vec(), // EXT_INFO that holds nothing
        vec![255, 0, 0, 0, 0],    // a number that nobody has
    ]
}

#[test]
fn b01_terrapin_an_extra_packet_before_the_keys_ends_a_strict_exchange() {
    for role in ROLES {
        for position in BEFORE_KEYS {
            for extra in prefixes() {
                let mut victim = Victim::plain(role);
                let mut peer = Peer::of(role, Traits::default());
                peer.start(position, &mut victim);
                peer.say(&extra, &mut victim);
                if position == Position::Identified && !victim.is_over() {
                    // Nobody knew yet that it is strict: the KEXINIT that says so must not be the second packet.
                    peer.negotiate(&mut victim);
                    let error = victim.error().expect("the KEXINIT was not the first packet");
                    assert!(error.contains("KEXINIT as packet 1"), "{error}");
                }
                assert!(victim.is_over(), "{role:?} {position:?} {extra:?}");
                assert_eq!(
                    peer.farewell(&mut victim),
                    Some(2),
                    "{role:?} {position:?} {extra:?}"
                );
                assert_eq!(
                    (victim.told.host_keys, victim.told.attempts),
                    expected_questions(role, position)
                );
            }
        }
    }
}

/// A client asks about the host key as soon as the reply is there; nobody asks anything else before keys.
fn expected_questions(role: Role, position: Position) -> (usize, usize) {
    let asked = role == Role::Client && position == Position::Agreed;
    (usize::from(asked), 0)
}

#[test]
fn b01_terrapin_numbers_start_again_at_every_new_keys() {
    for role in ROLES {
        for strict in [true, false] {
            let mut victim = Victim::plain(role);
            let mut peer = Peer::of(
                role,
                Traits {
                    strict,
                    ..Traits::default()
                },
            );
            peer.start(Position::Keyed, &mut victim);
            peer.log_in(&mut victim);
            peer.rekey(Position::Keyed, &mut victim);
            let sent = peer.wire.sealer.sequence();
            assert_eq!(sent == 0, strict, "{role:?}: the peer's own count");
            // UNIMPLEMENTED names the number that the victim gave the packet.
            peer.say(&[200], &mut victim);
            let told = peer.until(number::UNIMPLEMENTED, &mut victim);
            assert_eq!(told.payload[1..], sent.to_be_bytes(), "{role:?}");
            assert_eq!(victim.told.rekeyed, 1);
        }
    }
}

/// Somebody in the path between two honest machines.
struct Path {
    /// What is put in front of a side's NEWKEYS.
    inject: usize,
    /// Whether what follows NEWKEYS in the same flight is lost.
    drops: bool,
    done: bool,
}

impl Path {
    fn carry(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let new_keys = packet::honest(&[number::NEWKEYS]);
        // Padding is random: find the packet by its header and payload.
        let at = bytes.windows(6).position(|window| window == &new_keys[..6]);
        let Some(at) = at.filter(|_| !self.done) else {
            return bytes;
        };
        let end = at + new_keys.len();
        self.done = self.inject > 0 || bytes.len() > end;
        let mut carried = bytes[..at].to_vec();
        for _ in 0..self.inject {
            carried.extend(packet::honest(&Ignore { data: b"" }.to_bytes()));
        }
        carried.extend(&bytes[at..end]);
        if !self.drops {
            carried.extend(&bytes[end..]);
        }
        carried
    }
}

#[test]
fn b01_terrapin_somebody_in_the_path_ends_with_a_mac_error_or_before() {
    let mut suites = vec![Suite::named("chacha20-poly1305@openssh.com", "")];
    suites.extend(Suite::one_of_each());
    for suite in suites {
        for towards in ROLES {
            for (inject, drops) in [(1, true), (0, true), (3, false)] {
                let mut config = Victim::config();
                config.preferences.ciphers = vec![suite.cipher];
                config.preferences.macs = suite.mac.into_iter().collect();
                let mut client = Victim::new(Role::Client, config.clone(), Answers::default());
                let mut server = Victim::new(Role::Server, config, Answers::default());
                let mut path = Path {
                    inject,
                    drops,
                    done: false,
                };
                for _ in 0..20 {
                    let (mut up, mut down) = (client.take(), server.take());
                    match towards {
                        Role::Client => down = path.carry(down),
                        Role::Server => up = path.carry(up),
                    }
                    server.give(&up);
                    client.give(&down);
                }
                assert!(path.done, "{suite:?}: there was something to attack");
                let victim = if towards == Role::Client {
                    &mut client
                } else {
                    &mut server
                };
                if inject == 0 && towards == Role::Server {
                    // All that the client had to say is lost, and it waits for an answer.
                    assert_eq!((victim.error(), victim.told.logins), (None, 0));
                    victim.wait(Answers::default().policy.login_grace);
                    assert!(victim.is_over());
                    continue;
                }
                if suite.hides_bad_length() {
                    // The length came out as anything too, and that must look like a wrong MAC: it reads on.
                    victim.give(&vec![0x5a; 2 * MAX_PACKET_BYTES]);
                }
                let error = victim
                    .error()
                    .unwrap_or_else(|| panic!("{suite:?} {towards:?}: it went on"));
                let expected = if inject == 0 {
                    "integrity"
                } else {
                    "in the middle of the first key exchange"
                };
                assert!(error.contains(expected), "{suite:?} {towards:?}: {error}");
                assert_eq!(client.told.above + server.told.above, 0);
            }
        }
    }
}

#[test]
fn b02_rogue_extension_and_rogue_session_in_the_clear() {
    let rogue_session = login::password(b"the attacker's");
    let rogue_extension = b"\x07\0\0\0\x01\0\0\0\x0fserver-sig-algs\0\0\0\x07ssh-rsa".to_vec();
    for role in ROLES {
        for position in BEFORE_KEYS {
            for strict in [true, false] {
                for smuggled in [&rogue_session, &rogue_extension, &login::service_request()] {
                    let mut victim = Victim::plain(role);
                    let mut peer = Peer::of(
                        role,
                        Traits {
                            strict,
                            ..Traits::default()
                        },
                    );
                    peer.start(position, &mut victim);
                    peer.say(smuggled, &mut victim);
                    assert!(victim.is_over(), "{role:?} {position:?} strict {strict}");
                    assert_eq!(peer.farewell(&mut victim), Some(2));
                    assert_eq!((victim.told.attempts, victim.told.logins), (0, 0));
                }
            }
        }
    }
}

// ---- B3 --------------------------------------------------------------------------------------------------------------

/// The six positions of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    First(Position),
    Keyed,
    Rekey(Position),
}

const STAGES: [Stage; 6] = [
    Stage::First(Position::Identified),
    Stage::First(Position::Negotiated),
    Stage::First(Position::Agreed),
    Stage::Keyed,
    Stage::Rekey(Position::Negotiated),
    Stage::Rekey(Position::Agreed),
];

/// What a number comes to at a stage, the message holding nothing that makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The connection ends at once.
    Ends,
    /// The connection ends with the KEXINIT that says it is strict.
    EndsWithKexInit,
    /// Nothing happens, and what goes on goes on.
    Nothing,
}

/// The specification: a straight line when strict, 2 to 4 tolerated beside it when not. Under keys, 2 to 4 mean nothing,
/// and so do pings before anybody is logged in.
fn specified(stage: Stage, strict: bool, number: u8) -> Fate {
    match (stage, number) {
        (Stage::First(Position::Identified), 2..=4) if strict => Fate::EndsWithKexInit,
        (Stage::First(_), 2..=4) if strict => Fate::Ends,
        (_, 2..=4) | (Stage::Keyed, 192 | 193) => Fate::Nothing,
        _ => Fate::Ends,
    }
}

fn at_stage(stage: Stage, role: Role, strict: bool, method: &'static Method) -> (Peer, Victim) {
    let fast = Traits::default().method;
    let mut config = Victim::config();
    // The method comes into it at these stages only, and some cost much.
    config.preferences.kex = match stage {
        Stage::First(Position::Identified) | Stage::Rekey(_) => vec![fast, method],
        Stage::First(_) | Stage::Keyed => vec![method],
    };
    let mut victim = Victim::new(role, config, Answers::default());
    let traits = Traits {
        strict,
        ..Traits::default()
    };
    let mut peer = Peer::of(role, traits);
    match stage {
        Stage::First(position) => {
            peer.traits.method = method;
            peer.start(position, &mut victim);
        }
        Stage::Keyed => {
            peer.traits.method = method;
            peer.start(Position::Keyed, &mut victim);
        }
        Stage::Rekey(position) => {
            // The first exchange is not what this is about.
            peer.start(Position::Keyed, &mut victim);
            peer.traits.method = method;
            peer.rest(&mut victim);
            peer.rekey(position, &mut victim);
        }
    }
    assert_eq!(victim.error(), None, "{stage:?}");
    (peer, victim)
}

/// The numbers to try: all of them, but where a method costs much and strictness is off, those that might differ then
/// and some of every room.
fn numbers(strict: bool, method: &Method) -> Vec<u8> {
    let fast = ["curve25519-sha256", "mlkem768x25519-sha256"].contains(&method.name);
    if strict || fast {
        return (0..=u8::MAX).collect();
    }
    let mut some: Vec<u8> = (0..=8).chain(19..=22).chain(30..=34).collect();
    some.extend([
        49, 50, 51, 52, 60, 61, 80, 90, 94, 98, 127, 128, 191, 192, 193, 255,
    ]);
    some
}

/// What becomes of a victim that hears this number at this stage.
fn learned(stage: Stage, role: Role, strict: bool, method: &'static Method, number: u8) -> Fate {
    let (mut peer, mut victim) = at_stage(stage, role, strict, method);
    let mut payload = [0; 64];
    payload[0] = number;
    peer.say(&payload, &mut victim);
    let context = format!(
        "{number} at {stage:?}, {role:?}, strict {strict}, {}",
        method.name
    );
    if victim.is_over() {
        // One that says farewell is told nothing; everybody else is.
        let told = peer.farewell(&mut victim);
        assert_eq!(
            told.is_none(),
            number == number::DISCONNECT,
            "{context}: {told:?}"
        );
        assert_eq!((victim.told.logins, victim.told.above), (0, 0), "{context}");
        return Fate::Ends;
    }
    let from = match stage {
        Stage::First(position) | Stage::Rekey(position) => position,
        Stage::Keyed => Position::Keyed,
    };
    if stage == Stage::First(Position::Identified) {
        let ours = peer.kexinit();
        peer.say(&ours, &mut victim);
        if victim.is_over() {
            return Fate::EndsWithKexInit;
        }
        peer.hear_kexinit(ours, &mut victim);
        peer.advance(Position::Negotiated, Position::Keyed, &mut victim);
    } else {
        peer.advance(from, Position::Keyed, &mut victim);
    }
    assert_eq!(victim.error(), None, "{context}");
    assert!(victim.is_keyed(), "{context}: it goes on");
    Fate::Nothing
}

fn equals_its_specification(method: &str) {
    let method = method::find(method).expect("a registered method");
    let mut probes = 0;
    for role in ROLES {
        for stage in STAGES {
            for strict in [true, false] {
                for number in numbers(strict, method) {
                    let fate = learned(stage, role, strict, method, number);
                    let expected = specified(stage, strict, number);
                    assert_eq!(fate, expected, "{number} at {stage:?}, {role:?}, strict {strict}");
                    probes += usize::from(strict);
                }
            }
        }
    }
    assert_eq!(
        probes,
        2 * 6 * 256,
        "promise 2: every number at every position in both roles"
    );
}

#[test]
fn b03_state_machine_curve25519() {
    equals_its_specification("curve25519-sha256");
}

#[test]
fn b03_state_machine_mlkem768x25519() {
    equals_its_specification("mlkem768x25519-sha256");
}

#[test]
fn b03_state_machine_sntrup761x25519() {
    equals_its_specification("sntrup761x25519-sha512");
}

#[test]
fn b03_state_machine_ecdh_nistp256() {
    equals_its_specification("ecdh-sha2-nistp256");
}

#[test]
fn b03_state_machine_dh_group14() {
    equals_its_specification("diffie-hellman-group14-sha256");
}

#[test]
fn b03_state_machine_group_exchange() {
    equals_its_specification("diffie-hellman-group-exchange-sha256");
}

#[test]
fn a_kexinit_without_the_marker_is_not_strict() {
    // What the strict rows above rest on: the peer's traits decide.
    let mut peer = Peer::new(
        Role::Client,
        Traits {
            strict: false,
            ..Traits::default()
        },
    );
    let kexinit = peer.kexinit();
    let list: NameList<'_> = KexInit::from_bytes(&kexinit).unwrap().kex_algorithms;
    assert!(!list.contains("kex-strict-c-v00@openssh.com"));
}
