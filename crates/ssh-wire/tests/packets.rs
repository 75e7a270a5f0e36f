//! Packets through every registered cipher and MAC: a new registry line is tested by being there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod suites;

use ssh_wire::{MAX_PAYLOAD_BYTES, Opener, Sealer};
use suites::{deliver, payload, suites};

#[test]
fn every_payload_size_round_trips() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        for size in 1..=4096 {
            let sent = payload(size);
            let sequence = sealer.seal_payload(&sent);
            deliver(&mut sealer, &mut opener);
            let packet = opener
                .next()
                .unwrap()
                .unwrap_or_else(|| panic!("{suite:?}: {size}"));
            assert_eq!(
                (packet.sequence, &packet.payload[..]),
                (sequence, &sent[..]),
                "{suite:?}"
            );
        }
        assert_eq!(opener.next(), Ok(None), "{suite:?}");
        assert_eq!(
            (opener.packets(), opener.bytes()),
            (sealer.packets(), sealer.bytes()),
            "{suite:?}"
        );
    }
}

#[test]
fn the_largest_payload_round_trips_and_a_larger_one_is_not_sealed() {
    for suite in suites() {
        let (mut sealer, mut opener) = suite.ends();
        assert!(sealer.try_seal_payload(&payload(MAX_PAYLOAD_BYTES + 1)).is_err());
        assert_eq!(sealer.outbox_len(), 0, "{suite:?}");
        let sent = payload(MAX_PAYLOAD_BYTES);
        sealer.try_seal_payload(&sent).unwrap();
        deliver(&mut sealer, &mut opener);
        assert_eq!(opener.next().unwrap().unwrap().payload, sent, "{suite:?}");
    }
}

#[test]
fn unprotected_packets_round_trip() {
    let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
    for size in 1..=4096 {
        sealer.seal_payload(&payload(size));
        assert!(sealer.outbox_len().is_multiple_of(8) && sealer.outbox_len() >= 16);
        deliver(&mut sealer, &mut opener);
        assert_eq!(opener.next().unwrap().unwrap().payload, payload(size));
    }
}
