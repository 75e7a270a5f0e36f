//! Every registered signature algorithm against the vectors of its specification (`tests/vectors/NAME.txt`). An
//! algorithm without a file fails here, so none can be added without one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::collections::HashMap;

use common::{Repeating, folder, strings, unhex};
use ssh_keys::{KeyKind, PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, algorithm};

/// The entries of an algorithm's file: blocks of `name = hex`, each under the line that names its source.
fn vectors(algorithm: &SignatureAlgorithm) -> Vec<HashMap<String, Vec<u8>>> {
    let path = folder("vectors").join(format!("{}.txt", algorithm.name));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let blocks = text
        .split("\n\n")
        .filter(|block| block.lines().any(|line| line.contains('=')));
    blocks
        .map(|block| {
            assert!(
                block.starts_with("# source: "),
                "{}: a block without a source:\n{block}",
                path.display()
            );
            let fields = block.lines().filter_map(|line| line.split_once('='));
            fields
                .map(|(name, hex)| (name.trim().to_owned(), unhex(hex.trim())))
                .collect()
        })
        .collect()
}

/// Every algorithm that makes its own signatures. Those of certificates sign as these do; `certificates.rs` has theirs.
fn plain() -> impl Iterator<Item = &'static SignatureAlgorithm> {
    algorithm::ALL
        .iter()
        .copied()
        .filter(|each| !each.is_certificate())
}

fn signature_blob(algorithm: &SignatureAlgorithm, entry: &HashMap<String, Vec<u8>>) -> Vec<u8> {
    let behind = entry.get("behind").map_or(&[][..], Vec::as_slice);
    let strings = strings(&[algorithm.signature_name.as_bytes(), &entry["signature"]]);
    [&strings, behind].concat()
}

#[test]
fn every_algorithm_accepts_its_vectors() {
    for algorithm in plain() {
        let entries = vectors(algorithm);
        let mut signatures = 0;
        for entry in &entries {
            let key = PublicKey::from_blob(&entry["public"]).unwrap();
            assert_eq!(key.key_type(), algorithm.key_type);
            if let Some(hash) = entry.get("sha256") {
                assert_eq!(key.fingerprint().as_bytes().as_slice(), hash);
            }
            if entry.contains_key("signature") {
                let blob = signature_blob(algorithm, entry);
                assert!(
                    key.verify(algorithm, &entry["message"], &blob).is_ok(),
                    "{algorithm}"
                );
                signatures += 1;
            }
        }
        assert!(signatures > 0, "{algorithm} has no vector with a signature");
    }
}

#[test]
fn every_changed_byte_of_a_vector_is_refused() {
    for algorithm in plain() {
        for entry in vectors(algorithm)
            .iter()
            .filter(|entry| entry.contains_key("signature"))
        {
            let key = PublicKey::from_blob(&entry["public"]).unwrap();
            let (message, good) = (&entry["message"], signature_blob(algorithm, entry));
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                assert!(
                    key.verify(algorithm, message, &bad).is_err(),
                    "{algorithm}: byte {at}"
                );
            }
            for length in 0..good.len() {
                assert!(
                    key.verify(algorithm, message, &good[..length]).is_err(),
                    "{algorithm}: cut to {length}"
                );
            }
            for at in 0..message.len() {
                let mut other = message.clone();
                other[at] ^= 0x40;
                assert_eq!(
                    key.verify(algorithm, &other, &good).unwrap_err(),
                    SignatureError::Invalid
                );
            }
        }
    }
}

#[test]
fn ed25519_signs_as_rfc_8032_does() {
    let algorithm = &algorithm::ED25519;
    let mut checked = 0;
    for entry in vectors(algorithm)
        .iter()
        .filter(|entry| entry.contains_key("seed"))
    {
        let key = PrivateKey::generate_ed25519(&mut Repeating::new(entry["seed"].clone()), "");
        assert_eq!(key.public().blob(), entry["public"]);
        let blob = signature_blob(algorithm, entry);
        assert_eq!(key.sign(algorithm, &entry["message"]).unwrap(), blob);
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn ecdsa_keys_and_signatures_are_those_of_rfc_6979() {
    for (kind, algorithm) in [
        (KeyKind::EcdsaP256, &algorithm::ECDSA_NISTP256),
        (KeyKind::EcdsaP384, &algorithm::ECDSA_NISTP384),
        (KeyKind::EcdsaP521, &algorithm::ECDSA_NISTP521),
    ] {
        let entries = vectors(algorithm);
        assert!(entries.len() >= 2, "{algorithm}");
        for entry in entries {
            let key = PrivateKey::generate(kind, &mut Repeating::new(entry["private"].clone()), "");
            assert_eq!(key.public().blob(), entry["public"]);
            let blob = signature_blob(algorithm, &entry);
            assert_eq!(key.sign(algorithm, &entry["message"]).unwrap(), blob);
        }
    }
}
