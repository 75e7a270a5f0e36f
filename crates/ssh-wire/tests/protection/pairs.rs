//! Where two packets cost less at once than one after the other, nobody sees a difference.

use ssh_wire::{IntegrityError, PacketError};

use crate::suites::{Dice, deliver, payload, sealed, suites};

#[test]
fn hmac_over_ciphertext_looks_ahead_but_for_sha_512() {
    for suite in suites() {
        let pays = suite.mac.is_some_and(|mac| {
            mac.etm && mac.name.starts_with("hmac-") && !mac.name.starts_with("hmac-sha2-512")
        });
        assert_eq!(suite.opener().opens_in_pairs(), pays, "{suite:?}");
        assert_eq!(suite.seal().in_steps().is_some(), pays, "{suite:?}");
    }
}

#[test]
fn packets_sealed_together_are_those_sealed_one_by_one() {
    let longest = payload(70_000);
    let mut dice = Dice(17);
    for suite in suites() {
        let ((mut one, _), (mut many, mut opener)) = (suite.ends(), suite.ends());
        let mut expected = Vec::new();
        for batch in 1..=6 {
            let sizes: Vec<usize> = (0..batch)
                .map(|_| {
                    let most = [40, 300, 5_000, 70_000][dice.below(4)];
                    1 + dice.below(most)
                })
                .collect();
            for &size in &sizes {
                one.seal_payload(&longest[..size]);
                expected.extend(sealed(&mut one));
                many.seal_payload(&longest[..size]);
            }
            let together = sealed(&mut many);
            assert!(together == expected, "{suite:?}: {sizes:?}");
            expected.clear();
            opener.read_buffer().extend_from_slice(&together);
            for size in sizes {
                let packet = opener.next().unwrap().expect("a whole packet");
                assert!(packet.payload == longest[..size], "{suite:?}: {size}");
            }
        }
        assert_eq!(opener.next(), Ok(None), "{suite:?}");
    }
}

#[test]
fn a_flaw_in_one_of_two_packets_leaves_the_other_alone() {
    for suite in suites().into_iter().filter(|suite| !suite.hides_bad_length()) {
        for flawed in 0..3 {
            let (mut sealer, mut opener) = suite.ends();
            let mut ends = Vec::new();
            for size in [500, 700, 600] {
                sealer.seal_payload(&payload(size));
                ends.push(sealer.outbox_len());
            }
            let mut bytes = sealed(&mut sealer);
            // The last byte of a tag.
            bytes[ends[flawed] - 1] ^= 1;
            opener.read_buffer().extend_from_slice(&bytes);
            for _ in 0..flawed {
                assert!(opener.next().unwrap().is_some(), "{suite:?}: {flawed}");
            }
            let failure = Err(PacketError::from(IntegrityError));
            assert_eq!(opener.next(), failure, "{suite:?}: {flawed}");
        }
    }
}

#[test]
fn a_packet_behind_comes_in_any_number_of_pieces() {
    for suite in suites() {
        let (mut sealer, _) = suite.ends();
        for size in [300, 200, 400] {
            sealer.seal_payload(&payload(size));
        }
        let bytes = sealed(&mut sealer);
        for cut in (1..bytes.len()).step_by(7) {
            let mut opener = suite.opener();
            let mut opened = Vec::new();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                opener.read_buffer().extend_from_slice(piece);
                while let Some(packet) = opener.next().unwrap() {
                    opened.push(packet.payload.len());
                }
            }
            assert_eq!(opened, [300, 200, 400], "{suite:?}: {cut}");
        }
    }
}

#[test]
fn a_packet_that_waits_for_its_tag_keeps_the_keys_it_was_sealed_with() {
    for suite in suites() {
        for reset in [false, true] {
            let (mut sealer, mut opener) = suite.ends();
            sealer.seal_payload(&payload(90));
            let other = || suite.with_other_keys(ssh_wire::protection::sealing).unwrap();
            sealer.set_protection(other(), reset);
            sealer.seal_payload(&payload(80));
            sealer.seal_payload(&payload(70));
            deliver(&mut sealer, &mut opener);
            assert_eq!(opener.next().unwrap().unwrap().payload, payload(90), "{suite:?}");
            let other = suite.with_other_keys(ssh_wire::protection::opening).unwrap();
            opener.set_protection(other, reset);
            for size in [80, 70] {
                assert_eq!(
                    opener.next().unwrap().unwrap().payload,
                    payload(size),
                    "{suite:?}"
                );
            }
        }
    }
}
