//! Windows, numbers and streams of channels that lie: C1, C2, C4 to C6.

use ssh_client::channel::{ChannelType, Config, DirectTcpip, Limits, Stream, WindowPolicy};
use ssh_client::kex::Role;
use ssh_client::wire::number;
use ssh_testkit::hostile::channels::{Line, adjust, confirmation, data, extended, logged_in, open};
use ssh_testkit::hostile::{Answers, Peer, Target, Traits, Victim};

use super::ROLES;

const WINDOW: u32 = 100_000;
const MAX_PACKET: u32 = 32 * 1024;
const PROTOCOL_ERROR: u32 = 2;

/// A room with windows that do not grow, open to every type.
pub fn room() -> Config {
    Config {
        window: WindowPolicy {
            initial: WINDOW,
            max: WINDOW,
            ..WindowPolicy::default()
        },
        max_packet: MAX_PACKET,
        accept_opens: ChannelType::NAMES.to_vec(),
        ..Config::default()
    }
}

/// What a channel to some address is asked for with.
pub fn direct() -> ChannelType {
    DirectTcpip {
        host: "127.0.0.1".to_owned(),
        port: 1,
        originator: "127.0.0.1".to_owned(),
        originator_port: 2,
    }
    .into()
}

/// A channel that the peer opened (`false`) or the victim did.
fn channel(peer: &mut Peer, victim: &mut Victim, window: u32, victim_opens: bool) -> Line {
    if victim_opens {
        victim.open_session();
        peer.agree_to_open(7, window, victim)
    } else {
        peer.open(7, &ChannelType::Session, window, victim)
    }
}

fn assert_ended(peer: &mut Peer, victim: &mut Victim, words: &str) {
    let error = victim.error().unwrap_or_default().to_owned();
    assert!(error.contains(words), "{words:?} was expected: {error:?}");
    assert_eq!(peer.farewell(victim), Some(PROTOCOL_ERROR), "{error}");
}

#[test]
fn c01_credit_beyond_32_bits_ends_the_connection() {
    for role in ROLES {
        for victim_opens in [false, true] {
            for (granted, added) in [
                (0, vec![u32::MAX, u32::MAX]),
                (u32::MAX, vec![1]),
                (1, vec![u32::MAX]),
                (5, vec![0, u32::MAX - 5, 1]),
            ] {
                let (mut peer, mut victim) = logged_in(role, room());
                let line = channel(&mut peer, &mut victim, granted, victim_opens);
                let (last, fine) = added.split_last().unwrap();
                for bytes in fine {
                    peer.say(&adjust(line.theirs, *bytes), &mut victim);
                    assert_eq!(victim.error(), None, "{role:?} {granted} {added:?}");
                }
                peer.say(&adjust(line.theirs, *last), &mut victim);
                assert_ended(&mut peer, &mut victim, "over 2^32 - 1");
            }
        }
    }
}

#[test]
fn c02_data_beyond_the_window_or_the_packet_ends_the_connection_and_is_not_kept() {
    for role in ROLES {
        for victim_opens in [false, true] {
            // Three times what was granted.
            let (mut peer, mut victim) = logged_in(role, room());
            let line = channel(&mut peer, &mut victim, 0, victim_opens);
            assert_eq!((line.window, line.max_packet), (WINDOW, MAX_PACKET));
            let mut said = 0;
            while said < 3 * WINDOW && !victim.is_over() {
                peer.say(&data(line.theirs, &[b'd'; 10_000]), &mut victim);
                said += 10_000;
            }
            assert_eq!(said, WINDOW + 10_000, "the first message beyond it ends");
            assert_ended(&mut peer, &mut victim, "whose window had 0 left");
            // One message of more than may be in one, the window being wide enough.
            for stream in [false, true] {
                let (mut peer, mut victim) = logged_in(role, room());
                let line = channel(&mut peer, &mut victim, 0, victim_opens);
                let bytes = vec![b'd'; 100_000];
                let message = if stream {
                    data(line.theirs, &bytes)
                } else {
                    extended(line.theirs, 1, &bytes)
                };
                peer.say(&message, &mut victim);
                assert_ended(&mut peer, &mut victim, "100000 bytes in one message");
            }
        }
    }
}

#[test]
fn c02_a_window_of_nothing_takes_nothing() {
    let config = Config {
        window: WindowPolicy {
            initial: 1,
            max: 1,
            budget: 0,
        },
        ..room()
    };
    for role in ROLES {
        let (mut peer, mut victim) = logged_in(role, config.clone());
        let line = channel(&mut peer, &mut victim, 0, false);
        assert_eq!(line.window, 1);
        peer.say(&data(line.theirs, b"1"), &mut victim);
        assert_eq!(victim.error(), None);
        peer.say(&data(line.theirs, b"2"), &mut victim);
        assert_ended(&mut peer, &mut victim, "whose window had 0 left");
    }
}

/// Replies to nothing: passed over up to a limit, and the connection is of use in between.
#[test]
fn c04_replies_to_nothing_are_passed_over_and_then_end_the_connection() {
    let limit = Limits::default().unsolicited_replies;
    for role in ROLES {
        for kind in [
            number::REQUEST_SUCCESS,
            number::REQUEST_FAILURE,
            number::CHANNEL_SUCCESS,
            number::CHANNEL_FAILURE,
        ] {
            let (mut peer, mut victim) = logged_in(role, room());
            let line = channel(&mut peer, &mut victim, 10, false);
            let mut reply = vec![kind];
            if matches!(kind, number::CHANNEL_SUCCESS | number::CHANNEL_FAILURE) {
                reply.extend_from_slice(&line.theirs.to_be_bytes());
            }
            let told = victim.told;
            for _ in 0..limit {
                peer.say(&reply, &mut victim);
            }
            assert_eq!((victim.error(), victim.told), (None, told), "{role:?} {kind}");
            assert_eq!(victim.output_len(), 0, "nothing is said about them");
            // The reader goes on: the next question is heard.
            peer.open(8, &ChannelType::Session, 10, &mut victim);
            peer.say(&reply, &mut victim);
            assert_ended(&mut peer, &mut victim, "replies that answer nothing");
        }
        // Answers to opens that nobody made name channels that do not exist.
        for reply in [
            confirmation(0, 1, 1),
            [
                &[number::CHANNEL_OPEN_FAILURE][..],
                b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0",
            ]
            .concat(),
        ] {
            let (mut peer, mut victim) = logged_in(role, room());
            peer.say(&reply, &mut victim);
            assert_ended(&mut peer, &mut victim, "channel 0, which does not exist");
        }
    }
}

/// One write of five gibibytes, more than 32 bits count, through a window that opens a byte at a time, then wide, then a
/// byte at a time again. The slice was never touched, so it takes no memory.
#[test]
fn c05_a_write_of_five_gibibytes_goes_through_a_window_of_one_byte() {
    const WHOLE: usize = 5 << 30;
    const SLOW: usize = 2_000;
    let mut config = Victim::config();
    // A change of keys is another test's.
    config.rekey.bytes = u64::MAX;
    config.rekey.packets = u64::MAX;
    let mut victim = Victim::new(Role::Client, config, Answers::default());
    let mut peer = Peer::of(Role::Client, Traits::default());
    peer.connect(&mut victim);
    let id = victim.open_session();
    let line = peer.agree_to_open(7, 1, &mut victim);
    let whole = vec![0_u8; WHOLE];
    let mut written = 0;
    // Also what is left behind exactly four gibibytes, whose length is 0 in 32 bits.
    for begin in [0, WHOLE - (1 << 32), WHOLE - (1 << 32) - 1] {
        assert_eq!(
            victim.connection().write(id, Stream::Data, &whole[begin..]),
            Ok(1)
        );
        assert_eq!(
            victim.connection().write(id, Stream::Data, &whole[begin..]),
            Ok(0)
        );
        peer.say(&adjust(line.theirs, 1), &mut victim);
    }
    while written < WHOLE {
        let left = WHOLE - written;
        let slow = written < SLOW || left <= SLOW;
        if victim.connection().send_window(id) == 0 {
            let granted = if slow {
                1
            } else {
                (left - SLOW).min(1 << 31) as u32
            };
            peer.say(&adjust(line.theirs, granted), &mut victim);
        }
        let window = victim.connection().send_window(id) as usize;
        let taken = victim
            .connection()
            .write(id, Stream::Data, &whole[written..])
            .unwrap();
        assert!(taken <= window, "{taken} of {window}");
        assert!(
            taken > 0 || victim.output_len() > 0,
            "it stands still at {written}"
        );
        written += taken;
        victim.output();
        victim.settle();
    }
    assert_eq!(victim.error(), None);
    victim.connection().eof(id).unwrap();
}

/// Extended data of a type nobody knows is dropped and its credit goes back; that of standard error, where nobody reads
/// it, waits within the window.
#[test]
fn c06_extended_data_that_nobody_expects_is_dropped_with_its_credit() {
    for role in ROLES {
        for kind in [ChannelType::Session, direct()] {
            for data_type in [0, 2, 99, u32::MAX] {
                let (mut peer, mut victim) = logged_in(role, room());
                let line = peer.open(7, &kind, 0, &mut victim);
                let told = victim.told;
                let (mut left, mut said) = (line.window, 0_u32);
                while said < 20 * WINDOW {
                    assert!(left >= 1_000, "{said} bytes were dropped without credit");
                    peer.say(&extended(line.theirs, data_type, &[b'e'; 1_000]), &mut victim);
                    (left, said) = (left - 1_000, said + 1_000);
                    while let Some(packet) = peer.next(&mut victim) {
                        let [93, 0, 0, 0, 7, credit @ ..] = &packet.payload[..] else {
                            panic!("message {} in answer to extended data", packet.number())
                        };
                        left += u32::from_be_bytes(credit.try_into().unwrap());
                    }
                    assert!(left <= WINDOW);
                }
                assert_eq!(
                    (victim.error(), victim.told),
                    (None, told),
                    "nobody is told of it"
                );
            }
            let (mut peer, mut victim) = logged_in(role, room());
            let line = peer.open(7, &kind, 0, &mut victim);
            let mut said = 0;
            while !victim.is_over() {
                peer.say(&extended(line.theirs, 1, &[b'e'; 1_000]), &mut victim);
                said += 1_000;
            }
            assert_eq!(said, WINDOW + 1_000);
            assert_ended(&mut peer, &mut victim, "whose window had 0 left");
        }
    }
}

#[test]
fn c06_a_flood_of_messages_without_data_ends_the_connection() {
    let limit = Limits::default().empty_data;
    for role in ROLES {
        for data_type in [None, Some(1), Some(99), Some(u32::MAX)] {
            let (mut peer, mut victim) = logged_in(role, room());
            let line = peer.open(7, &ChannelType::Session, 0, &mut victim);
            let told = victim.told;
            let nothing =
                data_type.map_or_else(|| data(line.theirs, b""), |kind| extended(line.theirs, kind, b""));
            let mut said = 0;
            while !victim.is_over() {
                peer.say(&nothing, &mut victim);
                said += 1;
            }
            assert_eq!(said, limit + 1);
            assert_eq!(victim.told, told, "nobody is woken for nothing");
            assert_ended(&mut peer, &mut victim, "messages of no data");
        }
    }
}

/// C8 on the machine: what a client never asked for is refused, and nobody above hears of it.
#[test]
fn c08_a_client_refuses_every_channel_it_did_not_ask_for() {
    let (mut peer, mut victim) = logged_in(Role::Client, Config::default());
    let told = victim.told;
    let names = ["x11", "auth-agent@openssh.com", "tun@openssh.com", "no such type"];
    for (own, name) in (0..).zip(ChannelType::NAMES.iter().copied().chain(names)) {
        peer.say(&open(own, name, b"", 1_000), &mut victim);
        let refused = peer.until(number::CHANNEL_OPEN_FAILURE, &mut victim);
        assert_eq!(refused.payload[1..5], own.to_be_bytes(), "{name}");
    }
    assert_eq!((victim.error(), victim.told), (None, told));
    assert_eq!(victim.connection().channels(), 0);
    // With one type let in, the others are refused still.
    victim.connection().allow_opens("forwarded-tcpip");
    peer.say(&open(1, "session", b"", 1_000), &mut victim);
    peer.until(number::CHANNEL_OPEN_FAILURE, &mut victim);
    assert_eq!(victim.told, told);
}
