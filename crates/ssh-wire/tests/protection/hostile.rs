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

/// As much as it takes until an opener that hides what is wrong says something, and more.
fn filler() -> Vec<u8> {
    vec![0x55; MAX_PACKET_BYTES + 1024]
}

#[test]
fn every_changed_bit_is_noticed() {
    for suite in suites() {
        // Of chacha20-poly1305 one packet that ring opens and one that the pair of crates opens.
        let sizes: &[usize] = if suite.mac.is_none() { &[20, 9000] } else { &[20] };
        for &size in sizes {
            let (mut sealer, _) = suite.ends();
            sealer.seal_payload(&payload(size));
            let packet = sealed(&mut sealer);
            for bit in 0..packet.len() * 8 {
                let mut changed = packet.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let mut state = suite.with_keys(protection::opening).unwrap();
                let head = state.shape().head_bytes;
                state.packet_length(0, &mut changed[..head]);
                assert_eq!(
                    state.open(0, &mut changed),
                    Err(IntegrityError),
                    "{suite:?} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn nothing_comes_out_of_a_changed_packet() {
    let filler = filler();
    for suite in suites() {
        let (mut sealer, _) = suite.ends();
        sealer.seal_payload(&payload(20));
        let packet = sealed(&mut sealer);
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let what = format!("{suite:?} bit {bit}");
            let mut opener = fed(suite.opener(), &changed);
            match opener.next() {
                Err(_) => assert!(!suite.hides_bad_length(), "{what}"),
                // More is waited for, and then it is noticed: tried at one bit of each eight bytes, for the time it takes.
                Ok(None) if bit % 64 == bit / 64 => _ = failure_within(&mut opener, &filler, &what),
                Ok(None) => {}
                Ok(Some(opened)) => panic!("{what}: {opened:?}"),
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
        let mut replayed = vec![&packets[0]; 5000];
        let mut dropped = vec![&packets[2]; 5000];
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
            let rest = if shape.length_is_aligned { 60 } else { 64 };
            let packet = suite.forge(length, &payload(rest));
            if suite.hides_bad_length() {
                assert_fails_at_the_largest(suite, &packet, &format!("length {length}"));
            } else {
                // Deciphered before anything is authenticated, it may be a packet that is missing.
                let error = if shape.length_is_ciphered {
                    INTEGRITY
                } else {
                    error
                };
                assert_eq!(fed(suite.opener(), &packet).next(), Err(error), "{suite:?}");
            }
        }
    }
}

/// As much as the largest packet has must have come before anything is said, and then it is what a wrong MAC is.
fn assert_fails_at_the_largest(suite: Suite, packet: &[u8], what: &str) {
    let largest = MAX_PACKET_BYTES + suite.seal().shape().tag_bytes;
    let mut opener = fed(suite.opener(), packet);
    assert_eq!(opener.next(), Ok(None), "{suite:?} {what}");
    opener.read_buffer().resize(largest - 1, 0x55);
    assert_eq!(opener.next(), Ok(None), "{suite:?} {what}");
    opener.read_buffer().extend_from_slice(&[0x55]);
    assert_eq!(opener.next(), Err(INTEGRITY), "{suite:?} {what}");
    assert_eq!(opener.next(), Err(INTEGRITY), "{suite:?} {what}: it stays");
}

#[test]
fn bad_lengths_bad_padding_and_wrong_macs_look_the_same_where_the_length_is_ciphered() {
    let hiding: Vec<_> = suites()
        .into_iter()
        .filter(|suite| suite.hides_bad_length())
        .collect();
    for name in ["aes128-ctr", "aes256-cbc", "3des-cbc"] {
        assert!(hiding.iter().any(|suite| suite.cipher.name == name), "{name}");
    }
    for suite in hiding {
        for length in [0, 5, 0xffff_ffff] {
            assert_fails_at_the_largest(suite, &suite.forge(length, &payload(60)), "a bad length");
        }
        for padding in [0, 3, 60, 255] {
            let (_, packet, _) = badly_padded(suite, 64, |_| padding);
            assert_fails_at_the_largest(suite, &packet, "bad padding");
        }
        let (_, mut packet, _) = badly_padded(suite, 64, |_| 10);
        *packet.last_mut().unwrap() ^= 1;
        assert_fails_at_the_largest(suite, &packet, "a wrong MAC");
        // The same in the largest packet there is.
        let (_, mut packet, _) = badly_padded(suite, MAX_PACKET_BYTES, |_| 10);
        *packet.last_mut().unwrap() ^= 1;
        assert_eq!(fed(suite.opener(), &packet).next(), Err(INTEGRITY), "{suite:?}");
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
        let refused = |padding: &dyn Fn(usize) -> u8, expected: &dyn Fn(u8, u32) -> PacketError| {
            let (opener, packet, length) = badly_padded(suite, 64, padding);
            if suite.hides_bad_length() {
                assert_fails_at_the_largest(suite, &packet, "bad padding");
            } else {
                let expected = expected(padding(length as usize), length);
                assert_eq!(fed(opener, &packet).next(), Err(expected), "{suite:?}");
            }
        };
        for padding in 0..4 {
            refused(&|_| padding, &|padding, _| PacketError::PaddingTooShort {
                padding,
            });
        }
        for more in [0, 1, 100] {
            refused(&|length| (length + more) as u8, &|padding, length| {
                PacketError::PaddingTooLong { padding, length }
            });
        }
        refused(&|length| (length - 1) as u8, &|_, _| PacketError::EmptyPayload);
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
