//! What a lax ECDSA verifier would let through: numbers out of range, points that are none, keys with several blobs,
//! files whose halves differ (`security.md` A9, A10, B17).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{Repeating, key_file, strings, unhex};
use ssh_keys::wire::{Reader, Writer};
use ssh_keys::{FileProblem, KeyError, KeyFileError, KeyKind, PrivateKey, PublicKey, SignatureAlgorithm};
use ssh_keys::{SignatureError, algorithm};

/// Kind, algorithm, curve, and the order of its group (SP 800-186 §3.2.1).
const CURVES: [(KeyKind, &SignatureAlgorithm, &str, &str); 3] = [
    (
        KeyKind::EcdsaP256,
        &algorithm::ECDSA_NISTP256,
        "nistp256",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    ),
    (
        KeyKind::EcdsaP384,
        &algorithm::ECDSA_NISTP384,
        "nistp384",
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
    (
        KeyKind::EcdsaP521,
        &algorithm::ECDSA_NISTP521,
        "nistp521",
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03b\
         b5c9b8899c47aebb6fb71e91386409",
    ),
];

fn private(kind: KeyKind) -> PrivateKey {
    PrivateKey::generate(kind, &mut Repeating::new((1..=131).collect::<Vec<u8>>()), "")
}

/// The point of a public key blob.
fn point(key: &PublicKey) -> Vec<u8> {
    let mut reader = Reader::new(key.blob());
    let _ = (reader.string().unwrap(), reader.string().unwrap());
    reader.string().unwrap().to_vec()
}

fn signature(name: &str, r: &[u8], s: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    let mut writer = Writer::new(&mut inner);
    writer.mpint(r);
    writer.mpint(s);
    strings(&[name.as_bytes(), &inner])
}

/// `a + b`, big end first.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let width = a.len().max(b.len()) + 1;
    let at = |number: &[u8], index: usize| number.iter().rev().nth(index).copied().unwrap_or(0);
    let (mut carry, mut sum) = (0, Vec::new());
    for index in 0..width {
        carry += u16::from(at(a, index)) + u16::from(at(b, index));
        let [low, high] = carry.to_le_bytes();
        sum.insert(0, low);
        carry = u16::from(high);
    }
    sum
}

#[test]
fn r_and_s_out_of_range_are_refused() {
    for (kind, algorithm, _, order) in CURVES {
        let key = private(kind);
        let order = unhex(order);
        let good = key.sign(algorithm, b"message").unwrap();
        let mut reader = Reader::new(&good);
        let _ = reader.string().unwrap();
        let mut pair = reader.nested().unwrap();
        let (r, s) = (
            pair.mpint().unwrap().magnitude(),
            pair.mpint().unwrap().magnitude(),
        );
        let verify = |r: &[u8], s: &[u8]| {
            key.public()
                .verify(algorithm, b"message", &signature(algorithm.name, r, s))
        };
        assert!(verify(r, s).is_ok());
        for (what, r, s) in [
            ("r = 0", &[][..], s),
            ("s = 0", r, &[]),
            ("both 0", &[], &[]),
            ("r = n", &order, s),
            ("s = n", r, &order),
            ("r + n", &add(r, &order), s),
            ("s + n", r, &add(s, &order)),
            ("r of 1 KiB", &[1; 1024], s),
            ("s of 1 KiB", r, &[1; 1024]),
            ("swapped", s, r),
        ] {
            assert_eq!(
                verify(r, s).unwrap_err(),
                SignatureError::Invalid,
                "{algorithm}: {what}"
            );
        }
    }
}

#[test]
fn signatures_in_another_form_or_under_another_name_are_refused() {
    for (kind, algorithm, ..) in CURVES {
        let key = private(kind);
        let good = key.sign(algorithm, b"message").unwrap();
        let mut reader = Reader::new(&good);
        let _ = reader.string().unwrap();
        let inner = reader.string().unwrap();
        let verify = |blob: &[u8]| key.public().verify(algorithm, b"message", blob).unwrap_err();
        let name = algorithm.name.as_bytes();
        let padded = {
            let mut pair = Reader::new(inner);
            let (r, s) = (pair.string().unwrap(), pair.string().unwrap());
            strings(&[&[&[0, 0], r].concat(), s])
        };
        let negative = strings(&[&[0x80], &[1]]);
        for (what, blob) in [
            ("trailing", strings(&[name, &[inner, &[0]].concat()])),
            ("behind", [&good[..], &[0]].concat()),
            ("one number", strings(&[name, &strings(&[&[1]])])),
            ("empty", strings(&[name, &[]])),
            ("leading zeros", strings(&[name, &padded])),
            ("negative", strings(&[name, &negative])),
        ] {
            assert!(
                matches!(verify(&blob), SignatureError::Malformed(_)),
                "{algorithm}: {what}"
            );
        }
        for other in [
            "ssh-ed25519",
            "ecdsa-sha2-nistp224",
            "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            "",
        ] {
            assert!(matches!(
                verify(&strings(&[other.as_bytes(), inner])),
                SignatureError::WrongAlgorithm { .. }
            ));
        }
        for (_, other, ..) in CURVES.iter().filter(|(_, other, ..)| *other != algorithm) {
            assert!(matches!(
                key.public().verify(other, b"message", &good),
                Err(SignatureError::WrongKeyType { .. })
            ));
            assert!(matches!(
                key.sign(other, b"message"),
                Err(SignatureError::WrongKeyType { .. })
            ));
        }
    }
}

#[test]
fn points_that_are_none_are_refused() {
    for (kind, algorithm, curve, _) in CURVES {
        let good = point(private(kind).public());
        let bytes = good.len() / 2;
        let read = |point: &[u8]| {
            PublicKey::from_blob(&strings(&[algorithm.name.as_bytes(), curve.as_bytes(), point]))
        };
        assert!(read(&good).is_ok());
        let compressed = [&[2 | (good[2 * bytes] & 1)], &good[1..=bytes]].concat();
        let hybrid = [&[6 | (good[2 * bytes] & 1)], &good[1..]].concat();
        let mut off = good.clone();
        off[2 * bytes] ^= 1;
        let zero = [&[4], &vec![0; 2 * bytes][..]].concat();
        let over = [&[4], &vec![0xff; 2 * bytes][..]].concat();
        for (what, point, expected) in [
            ("at infinity", &[0][..], "at infinity"),
            ("compressed", &compressed, "not uncompressed"),
            ("hybrid", &hybrid, "not uncompressed"),
            ("compact", &[&[5], &good[1..=bytes]].concat(), "not uncompressed"),
            ("empty", &[], "not uncompressed"),
            ("short", &good[..2 * bytes], "not uncompressed"),
            ("long", &[&good[..], &[0]].concat(), "not uncompressed"),
            ("tag only", &[4], "not uncompressed"),
            ("off the curve", &off, "not on the curve"),
            ("zero", &zero, "not on the curve"),
            ("coordinates beyond the field", &over, "not on the curve"),
        ] {
            assert_eq!(
                read(point),
                Err(KeyError::BadPoint(expected)),
                "{algorithm}: {what}"
            );
        }
        for other in ["nistp224", "nistp256\0", "", "secp256k1"] {
            let blob = strings(&[algorithm.name.as_bytes(), other.as_bytes(), &good]);
            assert!(matches!(
                PublicKey::from_blob(&blob),
                Err(KeyError::WrongCurve { .. })
            ));
        }
        for (_, _, other, _) in CURVES.iter().filter(|(_, _, other, _)| *other != curve) {
            let blob = strings(&[algorithm.name.as_bytes(), other.as_bytes(), &good]);
            assert!(matches!(
                PublicKey::from_blob(&blob),
                Err(KeyError::WrongCurve { .. })
            ));
        }
    }
}

#[test]
fn files_whose_number_is_not_the_keys_are_refused() {
    for (kind, algorithm, curve, order) in CURVES {
        let scalar = [&[0][..], &vec![1; unhex(order).len() - 1]].concat();
        let key = PrivateKey::generate(kind, &mut Repeating::new(scalar.clone()), "");
        let (curve, point) = (curve.as_bytes(), point(key.public()));
        let order = unhex(order);
        let positive = |number: &[u8]| {
            let mut out = Vec::new();
            Writer::new(&mut out).mpint(number);
            out[4..].to_vec()
        };
        let read = |number: &[u8]| {
            PrivateKey::from_openssh(&key_file(key.public(), &strings(&[curve, &point, number])), None)
        };
        assert_eq!(read(&positive(&scalar)).unwrap().public(), key.public());
        let key_error = |error| KeyFileError::Malformed(FileProblem::Key(error));
        for (what, number, expected) in [
            ("zero", vec![], key_error(KeyError::BadScalar)),
            ("the order", positive(&order), key_error(KeyError::BadScalar)),
            (
                "plus the order",
                positive(&add(&scalar, &order)),
                key_error(KeyError::BadScalar),
            ),
            ("huge", vec![1; 4096], key_error(KeyError::BadScalar)),
            (
                "another",
                vec![5],
                KeyFileError::Malformed(FileProblem::PublicMismatch),
            ),
        ] {
            assert_eq!(read(&number).unwrap_err(), expected, "{algorithm}: {what}");
        }
    }
}

#[test]
fn nonces_differ_between_messages_and_keys() {
    use std::collections::HashSet;
    let mut seen = HashSet::new();
    for (kind, algorithm, ..) in CURVES {
        let key = private(kind);
        for number in 0..40_u32 {
            let blob = key.sign(algorithm, &number.to_be_bytes()).unwrap();
            let mut reader = Reader::new(&blob);
            let _ = reader.string().unwrap();
            let r = reader.nested().unwrap().string().unwrap().to_vec();
            assert!(seen.insert(r), "{algorithm}: a nonce came twice");
        }
    }
}
