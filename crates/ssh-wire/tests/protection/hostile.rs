//! What a peer, or somebody in between, can do to packets, and what must happen (attack classes B9, B18, B19).

use ssh_wire::{
    IntegrityError, MAX_PACKET_BYTES, MAX_PAYLOAD_BYTES, Opener, PacketError, SealError, Sealer, protection,
};

use crate::suites::{Dice, Suite, deliver, payload, sealed, suites};

const INTEGRITY: PacketError = PacketError::Integrity(IntegrityError);

fn fed(mut opener: Opener, bytes: &[u8]) -> Opener {
    opener.read_buffer().extend_from_slice(bytes);
    opener
}

/// Feeds bytes in pieces until the opener fails; a packet must never come out.
fn failure_within(opener: &mut Opener, bytes: &[u8], what: &str) -> PacketError {
    for piece in bytes.chunks(64 * 1024) {
        opener.read_buffer().extend_from_slice(piece);
        match opener.next() {
            Ok(None) => {}
            Ok(Some(packet)) => panic!("{what}: {packet:?}"),
            Err(error) => {
                assert_eq!(opener.next(), Err(error), "{what}: the error stays");
                return error;
            }
        }
    }
    panic!("{what}: {} bytes were read and nothing was said", bytes.len())
}

#[test]
fn every_changed_byte_is_noticed() {
    // One that ring opens and one that the pair of crates opens, where that makes a difference.
    for size in [100, 9000] {
        let filler = vec![0x55; MAX_PACKET_BYTES + 1024];
        for suite in suites() {
            let (mut sealer, _) = suite.ends();
            sealer.seal_payload(&payload(size));
            let packet = sealed(&mut sealer);
            let places =
                (0..packet.len()).filter(|place| size < 1000 || place % 97 < 3 || place + 40 > packet.len());
            for place in places {
                let mut changed = packet.clone();
                changed[place] ^= 1 << (place % 8);
                let mut opener = fed(suite.opener(), &changed);
                match opener.next() {
                    Err(_) => {}
                    // A length that grew: more is waited for, and then it is noticed.
                    Ok(None) => _ = failure_within(&mut opener, &filler, &format!("{suite:?} byte {place}")),
                    Ok(Some(opened)) => panic!("{suite:?} byte {place}: {opened:?}"),
                }
            }
        }
    }
}

#[test]
fn packets_out_of_order_are_noticed() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        let packets: Vec<_> = (0..3)
            .map(|_| {
                sealer.seal_payload(&payload(50));
                sealed(&mut sealer)
            })
            .collect();
        opener.read_buffer().extend_from_slice(&packets[0]);
        assert!(opener.next().unwrap().is_some());
        let mut replayed = vec![&packets[0]; 3000];
        let mut dropped = vec![&packets[2]; 3000];
        for stream in [&mut replayed, &mut dropped] {
            let mut opener = fed(suite.opener(), &packets[0]);
            assert!(opener.next().unwrap().is_some());
            let stream: Vec<u8> = stream.iter().flat_map(|packet| packet.iter().copied()).collect();
            failure_within(&mut opener, &stream, &format!("{suite:?}"));
        }
    }
}

#[test]
fn a_wrong_sequence_number_is_noticed() {
    // AES-GCM counts its nonces by itself: `packets_out_of_order_are_noticed` is its test.
    for suite in suites()
        .into_iter()
        .filter(|suite| !suite.cipher.name.contains("gcm"))
    {
        let (mut sealer, mut opener) = suite.ends();
        for _ in 0..6000 {
            sealer.set_sequence(0);
            sealer.seal_payload(&payload(50));
        }
        opener.set_sequence(1);
        failure_within(&mut opener, &sealed(&mut sealer), &format!("{suite:?}"));
    }
}

#[test]
fn keys_of_the_other_direction_open_nothing() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        for _ in 0..6000 {
            sealer.seal_payload(&payload(50));
        }
        opener.set_protection(suite.with_other_keys(protection::opening).unwrap(), true);
        failure_within(&mut opener, &sealed(&mut sealer), &format!("{suite:?}"));
    }
}

#[test]
fn a_packet_cut_short_is_waited_for() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        sealer.seal_payload(&payload(77));
        let packet = sealed(&mut sealer);
        for &byte in &packet[..packet.len() - 1] {
            opener.read_buffer().extend_from_slice(&[byte]);
            assert_eq!(opener.next(), Ok(None), "{suite:?}");
        }
        opener
            .read_buffer()
            .extend_from_slice(&packet[packet.len() - 1..]);
        assert_eq!(opener.next().unwrap().unwrap().payload, payload(77));
    }
}

/// Lengths that no packet has, for a cipher with blocks of `block_bytes` whose length field is `outside` of them.
fn bad_lengths(block_bytes: usize, outside: bool) -> Vec<(u32, PacketError)> {
    let shift = if outside { 0 } else { 4 };
    let aligned = |length: u32| length.next_multiple_of(block_bytes as u32) - shift;
    let not_aligned = |length| PacketError::NotAligned { length, block_bytes };
    let largest = aligned(MAX_PACKET_BYTES as u32);
    vec![
        (0xffff_ffff, PacketError::TooLong { length: 0xffff_ffff }),
        (0x8000_0000, PacketError::TooLong { length: 0x8000_0000 }),
        (262_145, PacketError::TooLong { length: 262_145 }),
        (0, PacketError::TooShort { length: 0 }),
        (1, PacketError::TooShort { length: 1 }),
        (4, PacketError::TooShort { length: 4 }),
        (5, not_aligned(5)),
        (35_001, not_aligned(35_001)),
        (largest - 1, not_aligned(largest - 1)),
    ]
}

#[test]
fn lengths_that_no_packet_has_are_refused_before_any_keys() {
    for (length, error) in bad_lengths(8, false) {
        let mut opener = fed(Opener::new(), &length.to_be_bytes());
        assert_eq!(opener.next(), Err(error));
        assert_eq!(opener.next(), Err(error), "it stays");
    }
}

#[test]
fn lengths_that_no_packet_has_are_refused_under_keys() {
    for suite in suites() {
        let shape = suite.seal().shape();
        for (length, error) in bad_lengths(shape.block_bytes, !shape.length_is_aligned) {
            let packet = suite.forge(length, &payload(60));
            let mut opener = fed(suite.opener(), &packet);
            if !suite.hides_bad_length() {
                assert_eq!(opener.next(), Err(error), "{suite:?}");
                continue;
            }
            // The largest packet must have come before anything is said, and then it is what a wrong MAC is.
            let largest = MAX_PACKET_BYTES + shape.tag_bytes;
            opener.read_buffer().resize(largest - 1, 0x55);
            assert_eq!(opener.next(), Ok(None), "{suite:?} {length}");
            opener.read_buffer().extend_from_slice(&[0x55]);
            assert_eq!(opener.next(), Err(INTEGRITY), "{suite:?} {length}");
        }
    }
}

#[test]
fn a_bad_length_under_a_right_mac_is_refused_all_the_same() {
    for suite in suites().into_iter().filter(|suite| suite.hides_bad_length()) {
        for length in [0, 5, 0xffff_ffff] {
            let forged = suite.forge(length, &payload(MAX_PACKET_BYTES - 4));
            assert_eq!(
                fed(suite.opener(), &forged).next(),
                Err(INTEGRITY),
                "{suite:?} {length}"
            );
        }
    }
}

#[test]
fn the_largest_lengths_are_accepted() {
    // RFC 4253 §6.1: 35000 bytes at least, all told.
    for suite in suites() {
        for whole in [35_000, MAX_PACKET_BYTES] {
            let shape = suite.seal().shape();
            let shift = if shape.length_is_aligned { 4 } else { 0 };
            let length = whole / shape.block_bytes * shape.block_bytes - shift;
            let mut rest = payload(length);
            rest[0] = 100;
            let packet = suite.forge(length as u32, &rest);
            let opened = fed(suite.opener(), &packet).next().unwrap().unwrap();
            assert_eq!(opened.payload, rest[1..length - 100], "{suite:?}");
        }
    }
}

/// A packet with right keys and a length that fits, about `size` bytes of it, but with that padding length.
fn badly_padded(suite: Suite, size: usize, padding: impl FnOnce(usize) -> u8) -> (Opener, Vec<u8>, u32) {
    let shape = suite.seal().shape();
    let shift = if shape.length_is_aligned { 4 } else { 0 };
    let length = size.next_multiple_of(shape.block_bytes) - shift;
    let mut rest = payload(length);
    rest[0] = padding(length);
    (suite.opener(), suite.forge(length as u32, &rest), length as u32)
}

#[test]
fn bad_padding_is_refused_under_a_right_mac() {
    for suite in suites() {
        for padding in 0..4 {
            let (opener, packet, _) = badly_padded(suite, 64, |_| padding);
            assert_eq!(
                fed(opener, &packet).next(),
                Err(PacketError::PaddingTooShort { padding }),
                "{suite:?}"
            );
        }
        for more in [0, 1, 100] {
            let (opener, packet, length) = badly_padded(suite, 64, |length| (length + more) as u8);
            let padding = (length as usize + more) as u8;
            let expected = PacketError::PaddingTooLong { padding, length };
            assert_eq!(fed(opener, &packet).next(), Err(expected), "{suite:?}");
        }
        let (opener, packet, _) = badly_padded(suite, 64, |length| (length - 1) as u8);
        assert_eq!(
            fed(opener, &packet).next(),
            Err(PacketError::EmptyPayload),
            "{suite:?}"
        );
        let (opener, packet, _) = badly_padded(suite, 64, |length| (length - 2) as u8);
        assert_eq!(
            fed(opener, &packet).next().unwrap().unwrap().payload.len(),
            1,
            "{suite:?}"
        );
    }
}

#[test]
fn bad_padding_is_refused_before_any_keys() {
    for (padding, expected) in [
        (0, Err(PacketError::PaddingTooShort { padding: 0 })),
        (3, Err(PacketError::PaddingTooShort { padding: 3 })),
        (4, Ok(7)),
        (10, Ok(1)),
        (11, Err(PacketError::EmptyPayload)),
        (
            12,
            Err(PacketError::PaddingTooLong {
                padding: 12,
                length: 12,
            }),
        ),
        (
            255,
            Err(PacketError::PaddingTooLong {
                padding: 255,
                length: 12,
            }),
        ),
    ] {
        let packet = [&[0, 0, 0, 12, padding][..], &[1; 11]].concat();
        let opened = fed(Opener::new(), &packet).next();
        assert_eq!(opened.map(|packet| packet.unwrap().payload.len()), expected);
    }
}

#[test]
fn a_declared_length_reserves_nothing() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        sealer.seal_payload(&payload(MAX_PAYLOAD_BYTES));
        let packet = sealed(&mut sealer);
        let mut received = 0;
        for piece in packet[..packet.len() - 1].chunks(997) {
            opener.read_buffer().extend_from_slice(piece);
            received += piece.len();
            let before = opener.read_buffer().capacity();
            assert_eq!(opener.next(), Ok(None));
            assert_eq!(opener.read_buffer().capacity(), before, "{suite:?}");
            assert!(
                before <= 2 * received + 64 * 1024,
                "{suite:?}: {before} bytes held for {received}"
            );
        }
    }
}

#[test]
fn the_sequence_number_must_not_come_round_before_any_keys() {
    let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
    sealer.set_sequence(u32::MAX - 1);
    opener.set_sequence(u32::MAX - 1);
    assert_eq!(sealer.try_seal_payload(b"x"), Ok(u32::MAX - 1));
    deliver(&mut sealer, &mut opener);
    assert!(opener.next().unwrap().is_some());
    assert_eq!(sealer.try_seal_payload(b"x"), Err(SealError::SequenceWrapped));
    assert_eq!(
        (sealer.outbox_len(), sealer.failure()),
        (0, Some(SealError::SequenceWrapped))
    );

    let mut other = Sealer::new([1; 32]);
    other.seal_payload(b"x");
    deliver(&mut other, &mut opener);
    assert_eq!(opener.next(), Err(PacketError::SequenceWrapped));
}

#[test]
fn noise_opens_nothing_and_ends_soon() {
    for suite in suites() {
        for seed in 0..20 {
            let mut dice = Dice(seed);
            let noise: Vec<u8> = (0..MAX_PACKET_BYTES + 1024)
                .map(|_| dice.below(256) as u8)
                .collect();
            failure_within(&mut suite.opener(), &noise, &format!("{suite:?}"));
        }
    }
}
