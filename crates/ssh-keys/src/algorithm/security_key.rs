//! `sk-ssh-ed25519@openssh.com` and `sk-ecdsa-sha2-nistp256@openssh.com`: signatures of FIDO security keys (OpenSSH
//! `PROTOCOL.u2f`). They are verified here; making one takes the device, so private key files are not read.
//!
//! ```text
//! public blob      string type · string key[32] · string application                  Ed25519
//!                  string type · string "nistp256" · string point · string application ECDSA
//! signature blob   string type · string signature · byte flags · uint32 counter
//! signed data      SHA-256(application) · byte flags · uint32 counter · SHA-256(message)
//! ```
//!
//! The flags are the device's word on what its owner did, and are signed with the message. Without a touch a signature
//! may have been made by whoever can reach the device, so [`PublicKey::verify`](crate::PublicKey::verify) refuses it;
//! [`PublicKey::verify_demanding`](crate::PublicKey::verify_demanding) says otherwise.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::ecdsa::{self, Curve, P256};
use super::{PrivateMaterial, PublicMaterial, SignatureAlgorithm, SignatureParts, ed25519};
use crate::wire::{Reader, Tier};
use crate::{Demands, KeyError, SecurityKeyUse, SignatureError};

/// `sk-ssh-ed25519@openssh.com`.
pub static SK_ED25519: SignatureAlgorithm = SignatureAlgorithm {
    name: ED25519_NAME,
    signature_name: ED25519_NAME,
    key_type: ED25519_NAME,
    tier: Tier::Compatible,
    certified: None,
    read_public: read_ed25519,
    read_private: |_| refuse_private(ED25519_NAME),
};
/// `sk-ecdsa-sha2-nistp256@openssh.com`.
pub static SK_ECDSA_NISTP256: SignatureAlgorithm = SignatureAlgorithm {
    name: ECDSA_NAME,
    signature_name: ECDSA_NAME,
    key_type: ECDSA_NAME,
    tier: Tier::Compatible,
    certified: None,
    read_public: read_ecdsa,
    read_private: |_| refuse_private(ECDSA_NAME),
};

const ED25519_NAME: &str = "sk-ssh-ed25519@openssh.com";
const ECDSA_NAME: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

/// The bit of the flags that says that the owner touched the device (WebAuthn §6.1, `UP`).
const TOUCHED: u8 = 0x01;
/// The bit that says that the device made sure who its owner is (`UV`).
const VERIFIED: u8 = 0x04;
/// Flags and counter.
const BEHIND_BYTES: usize = 5;

struct Public {
    key: Key,
    application: Vec<u8>,
}

enum Key {
    Ed25519(ed25519::Public),
    Ecdsa(<P256 as Curve>::Verifying),
}

impl PublicMaterial for Public {
    fn bits(&self) -> usize {
        256
    }

    fn behind_bytes(&self) -> usize {
        BEHIND_BYTES
    }

    fn verify(
        &self,
        _: &SignatureAlgorithm,
        message: &[u8],
        signature: &SignatureParts<'_>,
        demands: &Demands,
    ) -> Result<Option<SecurityKeyUse>, SignatureError> {
        let mut reader = Reader::new(signature.behind);
        let (flags, counter) = (reader.byte()?, reader.uint32()?);
        let mut signed = digest(&SHA256, &self.application).as_ref().to_vec();
        signed.extend_from_slice(signature.behind);
        signed.extend_from_slice(digest(&SHA256, message).as_ref());
        match &self.key {
            Key::Ed25519(key) => key.check(&signed, signature.bytes)?,
            Key::Ecdsa(key) => ecdsa::verify::<P256>(key, &signed, signature.bytes)?,
        }
        let made = SecurityKeyUse {
            touched: flags & TOUCHED != 0,
            verified: flags & VERIFIED != 0,
            counter,
        };
        demands.check(&made)?;
        Ok(Some(made))
    }
}

fn read_ed25519(reader: &mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError> {
    let key = Key::Ed25519(ed25519::Public::read(reader, ED25519_NAME)?);
    let application = reader.string()?.to_vec();
    Ok(Arc::new(Public { key, application }))
}

fn read_ecdsa(reader: &mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError> {
    let key = Key::Ecdsa(ecdsa::read_point::<P256>(reader)?);
    let application = reader.string()?.to_vec();
    Ok(Arc::new(Public { key, application }))
}

/// What such a file holds is a handle: only the device makes signatures of it.
fn refuse_private(name: &str) -> Result<Box<dyn PrivateMaterial>, KeyError> {
    Err(KeyError::UnsupportedType(name.to_owned()))
}
