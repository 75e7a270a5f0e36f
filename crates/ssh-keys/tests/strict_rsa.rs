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

use std::convert::Infallible;

use common::{fixture, fixture_text, key_file, mpints, strings};
use ssh_keys::algorithm::rsa::REQUIRED_MODULUS_BITS;
use ssh_keys::wire::rand_core::{TryCryptoRng, TryRng};
use ssh_keys::wire::{Reader, Tier};
use ssh_keys::{KeyError, KeyFileError, PrivateKey, PublicKey, SignatureError, algorithm};

/// A generator that is not random but looks so: primes are found in it (splitmix64, Steele, Lea, Flood 2014).
struct Scrambled(u64);

impl TryRng for Scrambled {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| (number >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Scrambled {}

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
        ("1023 bits", &f4, odd(1023), KeyError::RsaSize(1023)),
        ("16385 bits", &f4, odd(16385), KeyError::RsaSize(16385)),
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
        (&f4, 1024),
        (&f4, 16384),
        (&[1, 0xff, 0xff, 0xff, 0xff], 2049),
    ] {
        assert_eq!(public(e, &odd(bits)).unwrap().bits(), bits);
    }
    assert_eq!(
        KeyFileError::from(KeyError::RsaSize(768)),
        KeyFileError::RefusedSize(KeyError::RsaSize(768))
    );
}

#[test]
fn a_size_that_is_required_is_asked_for_by_name() {
    let weak = PublicKey::from_openssh(&fixture_text("rsa_1024.pub")).unwrap().0;
    assert_eq!(weak.check_rsa_bits(1024), Ok(()));
    let error = weak.check_rsa_bits(REQUIRED_MODULUS_BITS).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the RSA key {} of 1024 bits is too small: 2048 are required",
            weak.fingerprint()
        )
    );
    assert!(
        public(&[1, 0, 1], &odd(2047))
            .unwrap()
            .check_rsa_bits(2048)
            .is_err()
    );
    assert_eq!(
        public(&[1, 0, 1], &odd(2048)).unwrap().check_rsa_bits(2048),
        Ok(())
    );
    assert_eq!(
        private("ed25519").public().check_rsa_bits(16384),
        Ok(()),
        "others have no size"
    );
}

#[test]
fn keys_of_unusual_sizes_sign_and_are_checked() {
    for (name, bits) in [("rsa_1024", 1024), ("rsa_2560", 2560), ("rsa_16384", 16384)] {
        let key = private(name);
        assert_eq!(key.public().bits(), bits);
        for algorithm in key.algorithms() {
            let good = key.sign(algorithm, b"message").unwrap();
            let verify =
                |message: &[u8], blob: &[u8]| key.public().verify(algorithm, message, blob).map(|_| ());
            assert_eq!(verify(b"message", &good), Ok(()), "{name} {algorithm}");
            assert_eq!(
                verify(b"massage", &good),
                Err(SignatureError::Invalid),
                "{name} {algorithm}"
            );
            let mut bad = good.clone();
            *bad.last_mut().unwrap() ^= 1;
            assert_eq!(
                verify(b"message", &bad),
                Err(SignatureError::Invalid),
                "{name} {algorithm}"
            );
            let all_ones = strings(&[algorithm.name.as_bytes(), &vec![0xff; bits / 8]]);
            assert_eq!(
                verify(b"message", &all_ones),
                Err(SignatureError::Invalid),
                "above the modulus"
            );
        }
    }
}

#[test]
fn a_new_key_has_the_size_asked_for_and_is_read_again() {
    let mut rng = Scrambled(0);
    for bits in [1024, 1536, 2048] {
        let key = PrivateKey::generate_rsa(bits, &mut rng, "me").unwrap();
        assert_eq!((key.public().bits(), key.public().key_type()), (bits, "ssh-rsa"));
        let text = key.to_openssh(None, &mut rng).unwrap();
        let again = PrivateKey::from_openssh(text.as_bytes(), None).unwrap();
        assert_eq!(again.public(), key.public());
        let signature = again.sign(&algorithm::RSA_SHA2_256, b"message").unwrap();
        assert!(
            key.public()
                .verify(&algorithm::RSA_SHA2_256, b"message", &signature)
                .is_ok()
        );
    }
    for bits in [0, 1023, 16385] {
        let made = PrivateKey::generate_rsa(bits, &mut rng, "");
        assert_eq!(made.unwrap_err(), KeyError::RsaSize(bits));
    }
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
fn a_key_has_three_algorithms_and_the_legacy_one_is_the_last() {
    let key = private("rsa");
    let names = |list: Vec<&'static ssh_keys::SignatureAlgorithm>| {
        list.iter().map(|each| each.name).collect::<Vec<_>>()
    };
    assert_eq!(
        names(key.public().algorithms().collect()),
        ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]
    );
    assert_eq!(
        names(key.algorithms().to_vec()),
        ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]
    );
    assert_eq!(algorithm::SSH_RSA.tier, Tier::Legacy);
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
