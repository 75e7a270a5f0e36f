//! What a lax RSA verifier would let through: keys too small to trust or too large to work with, even numbers, exponents
//! that betray, signatures of another length, hash or name, files whose numbers do not belong together (`security.md`
//! A9, A10, A11, B15).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{fixture, fixture_text, key_file, mpints, strings};
use ssh_keys::wire::{Reader, Tier};
use ssh_keys::{KeyError, KeyFileError, PrivateKey, PublicKey, SignatureError, algorithm};

fn private(name: &str) -> PrivateKey {
    PrivateKey::from_openssh(&fixture(name), None).unwrap()
}

fn public(e: &[u8], n: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::from_blob(&[strings(&[b"ssh-rsa"]), mpints(&[e, n])].concat())
}

/// An odd number of so many bits.
fn odd(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] = 0xff >> (number.len() * 8 - bits);
    number
}

#[test]
fn keys_out_of_range_are_refused() {
    let f4 = [1, 0, 1];
    let even = [&[0xff; 255][..], &[0xfe]].concat();
    for (what, e, n, expected) in [
        ("no modulus", &f4[..], vec![], KeyError::RsaSize(0)),
        ("768 bits", &f4, odd(768), KeyError::RsaSize(768)),
        ("1024 bits", &f4, odd(1024), KeyError::RsaSize(1024)),
        ("2047 bits", &f4, odd(2047), KeyError::RsaSize(2047)),
        ("8193 bits", &f4, odd(8193), KeyError::RsaSize(8193)),
        ("64 Kbit", &f4, odd(1 << 16), KeyError::RsaSize(1 << 16)),
        ("even", &f4, even, KeyError::BadRsaNumber("modulus is even")),
        (
            "e = 0",
            &[],
            odd(2048),
            KeyError::BadRsaNumber("exponent is below 3"),
        ),
        (
            "e = 1",
            &[1],
            odd(2048),
            KeyError::BadRsaNumber("exponent is below 3"),
        ),
        (
            "e = 2",
            &[2],
            odd(2048),
            KeyError::BadRsaNumber("exponent is below 3"),
        ),
        (
            "e = 4",
            &[4],
            odd(2048),
            KeyError::BadRsaNumber("exponent is even"),
        ),
        (
            "e = 2^16",
            &[1, 0, 0],
            odd(2048),
            KeyError::BadRsaNumber("exponent is even"),
        ),
        (
            "e = 2^33 + 1",
            &[2, 0, 0, 0, 1],
            odd(2048),
            KeyError::BadRsaNumber("exponent is too large"),
        ),
        (
            "e of 16 Kbit",
            &odd(1 << 14),
            odd(8192),
            KeyError::BadRsaNumber("exponent is too large"),
        ),
    ] {
        assert_eq!(public(e, &n), Err(expected), "{what}");
    }
    for (e, bits) in [
        (&[3][..], 2048),
        (&f4, 8192),
        (&[1, 0xff, 0xff, 0xff, 0xff], 2049),
    ] {
        assert_eq!(public(e, &odd(bits)).unwrap().bits(), bits);
    }
    let (weak, _) = fixture_text("rsa_1024.pub")
        .split_once(" rsa")
        .map(|(line, rest)| (line.to_owned(), rest.len()))
        .unwrap();
    assert_eq!(PublicKey::from_openssh(&weak), Err(KeyError::RsaSize(1024)));
    assert_eq!(
        PrivateKey::from_openssh(&fixture("rsa_1024"), None).unwrap_err(),
        KeyFileError::RefusedSize(KeyError::RsaSize(1024))
    );
}

#[test]
fn numbers_not_in_shortest_form_are_refused() {
    let key = private("rsa");
    let mut reader = Reader::new(key.public().blob());
    let (kind, e, n) = (
        reader.string().unwrap(),
        reader.string().unwrap(),
        reader.string().unwrap(),
    );
    assert!(PublicKey::from_blob(&strings(&[kind, e, n])).is_ok());
    for (e, n) in [
        (&[&[0], e].concat()[..], n),
        (e, &[&[0], n].concat()[..]),
        (e, &n[1..]),
        (&[0x81], n),
    ] {
        assert!(matches!(
            PublicKey::from_blob(&strings(&[kind, e, n])),
            Err(KeyError::Malformed(_))
        ));
    }
    assert!(matches!(
        PublicKey::from_blob(&strings(&[kind, e, n, b""])),
        Err(KeyError::Malformed(_))
    ));
}

#[test]
fn a_key_has_three_algorithms_and_signs_with_two() {
    let key = private("rsa");
    let names = |list: Vec<&'static ssh_keys::SignatureAlgorithm>| {
        list.iter().map(|each| each.name).collect::<Vec<_>>()
    };
    assert_eq!(
        names(key.public().algorithms().collect()),
        ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]
    );
    assert_eq!(names(key.algorithms().to_vec()), ["rsa-sha2-512", "rsa-sha2-256"]);
    assert_eq!(algorithm::SSH_RSA.tier, Tier::Legacy);
    assert!(matches!(
        key.sign(&algorithm::SSH_RSA, b"m"),
        Err(SignatureError::WrongKeyType { .. })
    ));
    assert_eq!(key.public().key_type(), "ssh-rsa");
}

#[test]
fn a_signature_under_another_name_is_refused() {
    let key = private("rsa_3072");
    for made in key.algorithms() {
        let good = key.sign(made, b"message").unwrap();
        let mut reader = Reader::new(&good);
        assert_eq!(reader.utf8().unwrap(), made.name);
        let inner = reader.string().unwrap();
        for agreed in key.public().algorithms() {
            let verify = |blob: &[u8]| key.public().verify(agreed, b"message", blob).map(|_| ());
            if agreed == *made {
                assert_eq!(verify(&good), Ok(()));
            } else {
                let expected = agreed.name;
                let found = made.name.to_owned();
                assert_eq!(
                    verify(&good),
                    Err(SignatureError::WrongAlgorithm { expected, found })
                );
                // The label of one hash around the signature of another.
                let relabelled = strings(&[agreed.name.as_bytes(), inner]);
                assert_eq!(verify(&relabelled), Err(SignatureError::Invalid));
            }
        }
        assert!(
            key.public()
                .verify(&algorithm::ED25519, b"message", &good)
                .is_err()
        );
    }
}

#[test]
fn leading_zeros_may_be_missing_and_nothing_else() {
    let key = private("rsa");
    let algorithm = &algorithm::RSA_SHA2_512;
    // One signature in 256 begins with a zero.
    let (message, good) = (0_u32..)
        .map(|number| {
            let message = number.to_be_bytes();
            let blob = key.sign(algorithm, &message).unwrap();
            let mut reader = Reader::new(&blob);
            let _ = reader.string().unwrap();
            (message, reader.string().unwrap().to_vec())
        })
        .find(|(_, signature)| signature[0] == 0)
        .unwrap();
    assert_eq!(good.len(), 256);
    let verify = |signature: &[u8]| {
        let blob = strings(&[b"rsa-sha2-512", signature]);
        key.public().verify(algorithm, &message, &blob).map(|_| ())
    };
    assert_eq!((verify(&good), verify(&good[1..])), (Ok(()), Ok(())));
    let wrong = |found| Err(SignatureError::WrongLength { expected: 256, found });
    assert_eq!(verify(&[&[0], &good[..]].concat()), wrong(257));
    assert_eq!(verify(&[0; 4096]), wrong(4096));
    for bad in [&good[2..], &good[..255], &[], &[1], &[0; 256], &[0xff; 256]] {
        assert_eq!(verify(bad), Err(SignatureError::Invalid), "{} bytes", bad.len());
    }
}

/// The numbers of the private section: n, e, d, q⁻¹, p, q.
fn numbers(name: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let text = fixture_text(name);
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let mut reader = Reader::new(&bytes[15..]);
    for _ in 0..3 {
        let _ = reader.string().unwrap();
    }
    let _ = (reader.uint32().unwrap(), reader.string().unwrap());
    let mut section = reader.nested().unwrap();
    let _ = (section.take(8).unwrap(), section.string().unwrap());
    (0..6)
        .map(|_| section.mpint().unwrap().magnitude().to_vec())
        .collect()
}

#[test]
fn files_whose_numbers_do_not_belong_together_are_refused() {
    let key = private("rsa");
    let good = numbers("rsa");
    let other = numbers("rsa_3072");
    let read = |numbers: &[Vec<u8>]| {
        let fields: Vec<&[u8]> = numbers.iter().map(Vec::as_slice).collect();
        PrivateKey::from_openssh(&key_file(key.public(), &mpints(&fields)), None)
    };
    assert_eq!(read(&good).unwrap().public(), key.public());
    for (at, name) in ["n", "e", "d", "q⁻¹", "p", "q"].into_iter().enumerate() {
        let last = good[at].len() - 1;
        for change in [
            vec![],
            vec![1],
            vec![0xff; 5000],
            other[at].clone(),
            [&good[at][..last], &[good[at][last] ^ 2]].concat(),
            [&good[at][..last], &[good[at][last] ^ 1]].concat(),
        ] {
            let mut numbers = good.clone();
            if numbers[at] == change {
                continue;
            }
            numbers[at] = change;
            assert!(read(&numbers).is_err(), "{name}");
        }
    }
    let mut swapped = good.clone();
    swapped.swap(4, 5);
    assert!(read(&swapped).is_err(), "p and q swapped without their inverse");
}
