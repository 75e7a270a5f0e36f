//! What a lax Ed25519 verifier would let through: malleable signatures, keys that any signature fits, keys with several
//! encodings, signatures under another name (`security.md` A9, A10).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{Repeating, strings, unhex};
use ssh_keys::wire::DecodeError;
use ssh_keys::{KeyError, PrivateKey, PublicKey, SignatureError, Signer, algorithm};

/// The order of the group, little end first (RFC 8032 §5.1).
const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn public(key: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::from_blob(&strings(&[b"ssh-ed25519", key]))
}

fn private() -> PrivateKey {
    PrivateKey::generate_ed25519(&mut Repeating::new([7; 32]), "")
}

/// `a + b`, little end first, as long as `a`.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = a.iter().zip(b).map(|(a, b)| {
        carry += u16::from(*a) + u16::from(*b);
        let [low, high] = carry.to_le_bytes();
        carry = u16::from(high);
        low
    });
    sum.collect()
}

#[test]
fn a_signature_with_the_order_added_to_s_is_refused() {
    let key = private();
    let blob = key.sign(&algorithm::ED25519, b"message").unwrap();
    let signature = &blob[blob.len() - 64..];
    let mut s = signature[32..].to_vec();
    for times in 1..=15 {
        s = add(&s, &unhex(L));
        let forged = strings(&[b"ssh-ed25519", &[&signature[..32], &s].concat()]);
        let result = key.public().verify(&algorithm::ED25519, b"message", &forged);
        assert_eq!(
            result.unwrap_err(),
            SignatureError::Invalid,
            "{times} times the order"
        );
    }
}

#[test]
fn keys_of_small_order_are_refused() {
    let mut refused = 0;
    // The eight points of small order, in every encoding a lax decoder takes (y below 2^255, sign bit 0 and 1).
    for y in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for sign in [0, 0x80] {
            let mut key = unhex(y);
            key[31] |= sign;
            assert!(matches!(public(&key), Err(KeyError::BadPoint(_))), "{y} {sign}");
            refused += usize::from(public(&key) == Err(KeyError::BadPoint("of small order")));
        }
    }
    assert!(refused >= 8, "only {refused} were refused for their order");
}

#[test]
fn keys_that_are_not_in_their_shortest_form_are_refused() {
    let mut refused = 0;
    // y + p for every y that still fits into 255 bits.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            assert!(
                matches!(public(&key), Err(KeyError::BadPoint(_))),
                "{low:x} {high:x}"
            );
            refused += usize::from(public(&key) == Err(KeyError::BadPoint("not in its shortest form")));
        }
    }
    assert!(refused > 0, "none of them was a point at all");
}

#[test]
fn points_off_the_curve_are_refused() {
    let mut off = 0;
    for y in 2..40 {
        let mut key = [0; 32];
        key[0] = y;
        off += usize::from(public(&key) == Err(KeyError::BadPoint("not on the curve")));
    }
    assert!(off > 10, "about half of all values are no points: {off}");
}

#[test]
fn a_signature_under_another_name_or_of_another_length_is_refused() {
    let key = private();
    let good = key.sign(&algorithm::ED25519, b"message").unwrap();
    let signature = &good[good.len() - 64..];
    let verify = |blob: &[u8]| {
        key.public()
            .verify(&algorithm::ED25519, b"message", blob)
            .unwrap_err()
    };
    for name in [
        "ssh-rsa",
        "rsa-sha2-256",
        "",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed25519\0",
    ] {
        let expected = SignatureError::WrongAlgorithm {
            expected: "ssh-ed25519",
            found: name.escape_default().to_string().replace("\\u{0}", "\\x00"),
        };
        assert_eq!(verify(&strings(&[name.as_bytes(), signature])), expected);
    }
    let long = [signature, &[0]].concat();
    for bytes in [&signature[..63], &long, &[]] {
        let expected = SignatureError::WrongLength {
            expected: 64,
            found: bytes.len(),
        };
        assert_eq!(verify(&strings(&[b"ssh-ed25519", bytes])), expected);
    }
    let trailing = [&good[..], &[0]].concat();
    assert_eq!(
        verify(&trailing),
        SignatureError::Malformed(DecodeError::TrailingBytes(1))
    );
}

#[test]
fn a_signer_behind_an_arc_is_the_same_signer() {
    let key: std::sync::Arc<dyn Signer> = std::sync::Arc::new(private());
    let [algorithm] = key.algorithms() else {
        panic!("one algorithm")
    };
    assert_eq!(**algorithm, algorithm::ED25519);
    let blob = Signer::sign(&key, algorithm, b"m").unwrap();
    assert!(key.public_key().verify(algorithm, b"m", &blob).is_ok());
    assert_eq!(key.public_key(), private().public());
}

#[test]
fn debug_shows_no_secret() {
    let key = private();
    let shown = format!("{key:?}");
    assert_eq!(
        shown,
        format!("PrivateKey(ssh-ed25519 {}, …)", key.public().fingerprint())
    );
}
