//! A security key in software: signatures as a FIDO device makes them (OpenSSH's `PROTOCOL.u2f`), with the flags a test
//! wants. Built from the format alone: nothing here is shared with the code that verifies.

use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest as _, Sha256};
use ssh_client::keys::{
    KeyKind, PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer, algorithm,
};
use ssh_client::wire::{Reader, Writer};

use crate::rng::seeded;

/// The owner touched the device (WebAuthn §6.1, `UP`).
pub const TOUCHED: u8 = 0x01;
/// The device made sure who its owner is (`UV`).
pub const VERIFIED: u8 = 0x04;

/// What OpenSSH calls itself to devices.
const APPLICATION: &[u8] = b"ssh:";

/// A device with one key, played by an ordinary one.
#[derive(Debug)]
pub struct SecurityKey {
    key: PrivateKey,
    public: PublicKey,
    algorithms: [&'static SignatureAlgorithm; 1],
    flags: u8,
    counter: AtomicU32,
}

impl SecurityKey {
    /// A device whose key is Ed25519, or on the curve P-256.
    ///
    /// # Panics
    /// What is built is no key.
    pub fn new(is_ed25519: bool, flags: u8) -> Self {
        let (kind, algorithm) = if is_ed25519 {
            (KeyKind::Ed25519, &algorithm::SK_ED25519)
        } else {
            (KeyKind::EcdsaP256, &algorithm::SK_ECDSA_NISTP256)
        };
        let key = PrivateKey::generate(kind, &mut *seeded(2), "device");
        // string type, the fields of the ordinary key, string application
        let mut blob = Vec::new();
        let mut reader = Reader::new(key.public().blob());
        let _type = reader.string().expect("a key begins with its type");
        let mut writer = Writer::new(&mut blob);
        writer.string(algorithm.name.as_bytes());
        writer.raw(reader.rest());
        writer.string(APPLICATION);
        Self {
            public: PublicKey::from_blob(&blob).expect("the blob of a key"),
            key,
            algorithms: [algorithm],
            flags,
            counter: AtomicU32::new(0),
        }
    }
}

impl Signer for SecurityKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        &self.algorithms
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let behind = [&[self.flags][..], &counter.to_be_bytes()].concat();
        // SHA-256(application), byte flags, uint32 counter, SHA-256(message)
        let signed = [
            &Sha256::digest(APPLICATION)[..],
            &behind,
            &Sha256::digest(message),
        ]
        .concat();
        let ordinary = self.key.sign(self.key.algorithms()[0], &signed)?;
        let mut reader = Reader::new(&ordinary);
        let _name = reader.string()?;
        // string type, string signature, byte flags, uint32 counter
        let mut blob = Vec::new();
        let mut writer = Writer::new(&mut blob);
        writer.string(algorithm.name.as_bytes());
        writer.string(reader.string()?);
        writer.raw(&behind);
        Ok(blob)
    }
}
