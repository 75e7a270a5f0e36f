//! What the tests of this crate share: fixtures, hex, and a generator that is not random.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::convert::Infallible;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_keys::wire::Writer;
use ssh_keys::wire::rand_core::{TryCryptoRng, TryRng};
use ssh_keys::{KeyKind, PublicKey};

/// Every kind of key that can be made.
pub(crate) const KINDS: [KeyKind; 4] = [
    KeyKind::Ed25519,
    KeyKind::EcdsaP256,
    KeyKind::EcdsaP384,
    KeyKind::EcdsaP521,
];

/// A sequence of strings as a blob holds them.
pub(crate) fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    parts.iter().for_each(|part| writer.string(part));
    out
}

/// A sequence of non-negative numbers as a blob holds them.
pub(crate) fn mpints(numbers: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    numbers.iter().for_each(|number| writer.mpint(number));
    out
}

/// An unencrypted key file with these fields between type and comment of its private section.
pub(crate) fn key_file(public: &PublicKey, fields: &[u8]) -> Vec<u8> {
    let key_type = strings(&[public.key_type().as_bytes()]);
    let mut section = [&[0; 8], &key_type[..], fields, &strings(&[b"comment"])].concat();
    for pad in 1.. {
        if section.len().is_multiple_of(8) {
            break;
        }
        section.push(pad);
    }
    let mut bytes = b"openssh-key-v1\0".to_vec();
    bytes.extend(strings(&[b"none", b"none", b""]));
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(strings(&[public.blob(), &section]));
    let text = STANDARD.encode(bytes);
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n").into_bytes()
}

/// A file of `tests/fixtures`, made by the real ssh-keygen.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = folder("fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fixture that is text.
pub(crate) fn fixture_text(name: &str) -> String {
    String::from_utf8(fixture(name)).unwrap()
}

/// A folder beside the tests.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The bytes that hex digits stand for.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "{text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Gives the bytes it was made of, round and round: tests must come out the same every time.
pub(crate) struct Repeating(Vec<u8>, usize);

impl Repeating {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into(), 0)
    }
}

impl TryRng for Repeating {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Repeating {}
