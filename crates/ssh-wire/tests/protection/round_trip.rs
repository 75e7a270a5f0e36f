//! What is sealed is opened, however it arrives.

use std::collections::HashSet;

use ssh_wire::{
    DirectionKeys, KeysError, MAX_PAYLOAD_BYTES, Opener, SealError, Sealer, Tier, cipher, mac, protection,
};

use crate::suites::{Dice, deliver, payload, sealed, suites};

#[test]
fn every_payload_size_round_trips() {
    let longest = payload(4096);
    for suite in suites() {
        // Every cipher once and every MAC once with all sizes, the other pairs with all small ones and some.
        let is_complete =
            suite.mac.is_none_or(|mac| mac == mac::ALL[0]) || suite.cipher == &cipher::AES128_CTR;
        let (mut sealer, mut opener) = suite.ends();
        for size in (1..=longest.len()).filter(|size| is_complete || *size < 150 || size % 61 == 0) {
            let sent = &longest[..size];
            let sequence = sealer.seal_payload(sent);
            deliver(&mut sealer, &mut opener);
            let packet = opener
                .next()
                .unwrap()
                .unwrap_or_else(|| panic!("{suite:?}: {size}"));
            assert_eq!(
                (packet.sequence, &packet.payload[..]),
                (sequence, sent),
                "{suite:?}"
            );
        }
        assert_eq!(opener.next(), Ok(None), "{suite:?}");
        assert_eq!(
            (opener.packets(), opener.bytes()),
            (sealer.packets(), sealer.bytes()),
            "{suite:?}"
        );
        assert!(!is_complete || opener.packets() == 4096, "{suite:?}");
    }
}

#[test]
fn empty_payloads_are_not_sealed() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        assert_eq!(sealer.try_seal_payload(&[]), Err(SealError::EmptyPayload));
        assert_eq!((sealer.outbox_len(), sealer.failure()), (0, None), "{suite:?}");
        sealer.seal_payload(&[1]);
        deliver(&mut sealer, &mut opener);
        assert_eq!(&opener.next().unwrap().unwrap().payload[..], [1], "{suite:?}");
    }
}

#[test]
fn the_largest_payload_round_trips_and_a_larger_one_is_not_sealed() {
    let longest = payload(MAX_PAYLOAD_BYTES + 1);
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        assert_eq!(
            sealer.try_seal_payload(&longest),
            Err(SealError::TooLong(longest.len()))
        );
        assert_eq!((sealer.outbox_len(), sealer.failure()), (0, None), "{suite:?}");
        sealer.try_seal_payload(&longest[1..]).unwrap();
        deliver(&mut sealer, &mut opener);
        assert_eq!(opener.next().unwrap().unwrap().payload, longest[1..], "{suite:?}");

        sealer.seal_payload(&longest);
        assert_eq!(sealer.failure(), Some(SealError::TooLong(longest.len())));
        assert_eq!(
            sealer.try_seal_payload(&[1]),
            Err(SealError::TooLong(longest.len()))
        );
        assert_eq!(sealer.outbox_len(), 0, "{suite:?}");
    }
}

#[test]
fn unprotected_packets_round_trip_in_multiples_of_eight() {
    let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
    for size in 1..=4096 {
        sealer.seal_payload(&payload(size));
        assert!(
            sealer.outbox_len().is_multiple_of(8) && sealer.outbox_len() >= 16,
            "{size}"
        );
        deliver(&mut sealer, &mut opener);
        assert_eq!(opener.next().unwrap().unwrap().payload, payload(size));
    }
}

#[test]
fn packets_come_out_of_any_cuts() {
    let sizes = [1, 30_000, 5, 4095, 4096, 700, 9000, 1, 1, 33_000, 12];
    let sent: Vec<_> = sizes.into_iter().map(payload).collect();
    for suite in suites() {
        let (mut sealer, _) = suite.ends();
        for payload in &sent {
            sealer.seal_payload(payload);
        }
        let stream = sealed(&mut sealer);
        for seed in 0..12 {
            let mut dice = Dice(seed);
            let mut opener = suite.opener();
            let mut opened = Vec::new();
            let mut left = &stream[..];
            while !left.is_empty() {
                let count = match seed {
                    0 => 1,
                    1 => stream.len(),
                    _ => 1 + dice.below(1 << seed),
                };
                let (head, tail) = left.split_at(count.min(left.len()));
                opener.read_buffer().extend_from_slice(head);
                left = tail;
                // Taken out and put back, as a driver does.
                let block = std::mem::take(opener.read_buffer());
                *opener.read_buffer() = block;
                while let Some(packet) = opener.next().unwrap() {
                    opened.push(packet.payload);
                }
            }
            assert_eq!(opened, sent, "{suite:?} seed {seed}");
        }
    }
}

#[test]
fn keys_change_between_two_packets_of_one_block() {
    let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
    sealer.seal_payload(b"clear");
    for suite in suites() {
        sealer.set_protection(suite.seal(), true);
        assert_eq!((sealer.sequence(), sealer.packets(), sealer.bytes()), (0, 0, 0));
        sealer.seal_payload(format!("{suite:?}").as_bytes());
    }
    deliver(&mut sealer, &mut opener);
    assert_eq!(&opener.next().unwrap().unwrap().payload[..], b"clear");
    for suite in suites() {
        opener.set_protection(suite.with_keys(protection::opening).unwrap(), true);
        let packet = opener.next().unwrap().unwrap();
        assert_eq!(
            (packet.sequence, &packet.payload[..]),
            (0, format!("{suite:?}").as_bytes())
        );
    }
}

#[test]
fn sequence_numbers_go_on_over_new_keys_unless_they_are_reset() {
    for suite in suites() {
        let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
        sealer.seal_payload(b"a");
        deliver(&mut sealer, &mut opener);
        assert_eq!(opener.next().unwrap().unwrap().sequence, 0);
        sealer.set_protection(suite.seal(), false);
        opener.set_protection(suite.with_keys(protection::opening).unwrap(), false);
        assert_eq!(sealer.seal_payload(b"b"), 1);
        deliver(&mut sealer, &mut opener);
        assert_eq!(opener.next().unwrap().unwrap().sequence, 1, "{suite:?}");
    }
}

#[test]
fn sequence_numbers_come_round_under_keys() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        sealer.set_sequence(0xffff_fff0);
        opener.set_sequence(0xffff_fff0);
        for expected in (0xffff_fff0..=u32::MAX).chain(0..16) {
            assert_eq!(sealer.seal_payload(b"x"), expected);
            deliver(&mut sealer, &mut opener);
            assert_eq!(opener.next().unwrap().unwrap().sequence, expected, "{suite:?}");
        }
    }
}

#[test]
fn padding_is_drawn_from_the_seed() {
    let packet = |seed: u8, count: usize| {
        let mut sealer = Sealer::new([seed; 32]);
        for _ in 0..count {
            sealer.outbox().clear();
            sealer.seal_payload(b"abc");
        }
        sealed(&mut sealer)
    };
    assert_eq!(packet(1, 1), packet(1, 1));
    let different: HashSet<_> = (0..20)
        .flat_map(|seed| (1..20).map(move |count| packet(seed, count)))
        .collect();
    assert_eq!(different.len(), 20 * 19);
}

#[test]
fn hidden_lengths_are_one_class() {
    for suite in suites() {
        let lengths: HashSet<_> = (5..=231)
            .map(|size| {
                let (mut sealer, mut opener) = suite.ends();
                sealer.seal_hiding_length(&Text {
                    data: &payload(size - 5),
                });
                let length = sealer.outbox_len();
                deliver(&mut sealer, &mut opener);
                assert_eq!(opener.next().unwrap().unwrap().payload.len(), size);
                length
            })
            .collect();
        assert_eq!(lengths.len(), 1, "{suite:?}: {lengths:?}");
    }
}

ssh_wire::message! {
    /// A message of any length.
    struct Text<'a> = 250, "TEXT" { data: &'a [u8] }
}

#[test]
fn messages_are_encoded_into_packets() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        assert_eq!(sealer.seal(&Text { data: b"hello" }), 0);
        deliver(&mut sealer, &mut opener);
        let packet = opener.next().unwrap().unwrap();
        assert_eq!(packet.message_number().to_string(), "250 (private extension)");
        assert_eq!(packet.decode::<Text<'_>>(), Ok(Text { data: b"hello" }));
    }
}

#[test]
fn payloads_are_slices_of_the_block_unless_they_are_small() {
    for suite in suites() {
        for (size, is_slice) in [(1000, false), (4096, true), (32_768, true)] {
            let (mut sealer, mut opener) = suite.ends();
            sealer.seal_payload(&payload(size));
            opener.read_buffer().reserve(64 * 1024);
            let block = opener.read_buffer().as_ptr().addr();
            deliver(&mut sealer, &mut opener);
            let packet = opener.next().unwrap().unwrap();
            assert_eq!(
                packet.payload.as_ptr().addr() == block + 5,
                is_slice,
                "{suite:?} {size}"
            );
            // A block is free again when the slices of it are gone.
            assert_eq!(opener.read_buffer().try_reclaim(64 * 1024), !is_slice);
            drop(packet);
            assert!(opener.read_buffer().try_reclaim(64 * 1024));
        }
    }
}

#[test]
fn an_idle_outbox_keeps_next_to_no_memory() {
    let mut sealer = Sealer::new([1; 32]);
    for (size, kept) in [(200_000, true), (100, false), (200_000, true)] {
        sealer.seal_payload(&payload(size));
        let count = sealer.outbox_len();
        sealer.outbox().clear();
        sealer.transmitted(count);
        assert_eq!(sealer.outbox().capacity() > 1024, kept, "{size}");
    }
    sealer.outbox().reserve(2 * 1024 * 1024);
    sealer.transmitted(1024 * 1024);
    assert_eq!(sealer.outbox().capacity(), 0);
    // Only part was taken: the rest stays.
    sealer.seal_payload(&payload(5000));
    let all = sealer.outbox().clone();
    sealer.outbox().drain(..100);
    sealer.transmitted(100);
    assert_eq!(sealer.outbox()[..], all[100..]);
}

#[test]
fn file_contents_round_trip_and_are_checked() {
    for &cipher in cipher::ALL {
        let (key, iv, plain) = (
            payload(cipher.key_bytes),
            payload(cipher.iv_bytes),
            payload(10_000),
        );
        let mut data = plain.clone();
        let tag = cipher.encrypt_file(&key, &iv, &mut data).unwrap();
        assert_eq!(tag.len(), cipher.tag_bytes);
        assert!(
            data.iter()
                .zip(&plain)
                .filter(|(sealed, plain)| sealed == plain)
                .count()
                < 200
        );
        let mut opened = data.clone();
        cipher.decrypt_file(&key, &iv, &mut opened, &tag).unwrap();
        assert_eq!(opened, plain, "{cipher:?}");

        assert!(
            cipher.decrypt_file(&key, &iv, &mut data.clone(), &[1]).is_err(),
            "{cipher:?}: a tag too long or short"
        );
        assert!(
            cipher
                .decrypt_file(&key, &iv, &mut data[1..].to_vec(), &tag)
                .is_err(),
            "{cipher:?}: not whole blocks"
        );
        assert!(
            cipher
                .decrypt_file(&key[1..], &iv, &mut data.clone(), &tag)
                .is_err(),
            "{cipher:?}: a short key"
        );
        assert!(cipher.encrypt_file(&key, &iv, &mut data[1..].to_vec()).is_err());
        assert!(
            cipher
                .encrypt_file(&key, &payload(cipher.iv_bytes + 1), &mut data.clone())
                .is_err()
        );
        for at in 0..tag.len() {
            let mut wrong = tag.clone();
            wrong[at] ^= 1;
            assert!(
                cipher.decrypt_file(&key, &iv, &mut data.clone(), &wrong).is_err(),
                "{cipher:?}"
            );
        }
    }
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    for suite in suites() {
        let refusal = |change: fn(&mut DirectionKeys<'_>)| {
            let [sealing, opening] = suite.with_keys(|keys| {
                let mut keys = *keys;
                change(&mut keys);
                [protection::sealing(&keys).err(), protection::opening(&keys).err()]
            });
            assert_eq!(sealing, opening);
            sealing
        };
        assert!(matches!(
            refusal(|keys| keys.key = &[]),
            Some(KeysError::Length { what: "key", .. })
        ));
        assert!(matches!(
            refusal(|keys| keys.iv = &[1; 50]),
            Some(KeysError::Length {
                what: "initialisation vector",
                ..
            })
        ));
        assert_eq!(refusal(|keys| keys.mac_key = &[]).is_some(), suite.mac.is_some());
        assert_eq!(refusal(|keys| keys.mac = None).is_some(), suite.mac.is_some());
        // Beside a cipher that authenticates, a MAC that was negotiated all the same does nothing.
        if suite.mac.is_none() {
            assert_eq!(refusal(|keys| keys.mac = Some(&mac::HMAC_SHA2_256)), None);
        }
    }
}

#[test]
fn keys_of_ciphers_with_short_blocks_wear_out_sooner() {
    // RFC 4344 §3.2: 2^(L/4) blocks of L bits.
    for cipher in cipher::ALL.iter().filter(|cipher| cipher.needs_mac()) {
        let blocks = 1_u64 << (cipher.block_bytes * 8 / 4);
        assert_eq!(
            cipher.max_bytes_per_key,
            blocks * cipher.block_bytes as u64,
            "{cipher:?}"
        );
    }
}

#[test]
fn registries_are_in_order_and_can_be_searched() {
    for pair in cipher::ALL.windows(2) {
        assert!(pair[0].tier <= pair[1].tier);
    }
    for cipher in cipher::ALL {
        assert_eq!(
            cipher.tier == Tier::Legacy,
            cipher.name.ends_with("-cbc"),
            "{cipher:?}"
        );
    }
    for pair in mac::ALL.windows(2) {
        assert!(pair[0].tier <= pair[1].tier);
    }
    for &cipher in cipher::ALL {
        assert_eq!(cipher::find(cipher.name), Some(cipher));
        assert_eq!(cipher.needs_mac(), cipher.tag_bytes == 0);
    }
    for &mac in mac::ALL {
        assert_eq!(mac::find(mac.name), Some(mac));
        assert_eq!(mac.etm, mac.name.ends_with("-etm@openssh.com"));
        assert!((8..=protection::MAX_TAG_BYTES).contains(&mac.mac_bytes));
        let is_legacy = mac.name.contains("-96") || mac.name.contains("md5");
        assert_eq!(mac.tier == Tier::Legacy, is_legacy, "{mac:?}");
    }
    let recommended: Vec<_> = mac::ALL
        .iter()
        .filter(|mac| mac.tier == Tier::Recommended)
        .map(|mac| mac.name)
        .collect();
    assert_eq!(
        recommended,
        [
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "umac-128-etm@openssh.com"
        ]
    );
    assert_eq!(cipher::find("AES128-CTR"), None);
    assert_eq!(mac::find("none"), None);
}
