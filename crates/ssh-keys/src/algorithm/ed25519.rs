//! `ssh-ed25519`: Ed25519 (RFC 8032) as SSH uses it (RFC 8709).
//!
//! ```text
//! public blob      string "ssh-ed25519" · string key[32]                             RFC 8709 §4
//! signature blob   string "ssh-ed25519" · string signature[64]                       RFC 8709 §6
//! private section  string "ssh-ed25519" · string key[32] · string seed[32]‖key[32]   OpenSSH's files and agents
//! ```
//!
//! Verification is the strict one: a signature whose `S` is not below the group's order is refused, and so is every key
//! of small order, with which a signature could be made that holds for any message. Keys that are not in their shortest
//! form are refused too, so that one key has one blob and one fingerprint.

use std::sync::Arc;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::{PrivateMaterial, PublicMaterial, SignatureAlgorithm, SignatureParts};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Reader, Tier, Writer};
use crate::{Demands, KeyError, PublicKey, SecurityKeyUse, SignatureError};

const NAME: &str = "ssh-ed25519";
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// `ssh-ed25519` (RFC 8709).
pub static ED25519: SignatureAlgorithm = SignatureAlgorithm {
    name: NAME,
    signature_name: NAME,
    key_type: NAME,
    tier: Tier::Recommended,
    certified: None,
    read_public,
    read_private,
};

static ALGORITHMS: [&SignatureAlgorithm; 1] = [&ED25519];

/// A new key from 32 bytes of the generator.
pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Box<dyn PrivateMaterial> {
    let mut seed = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(seed.as_mut());
    Box::new(Private::new(&seed))
}

pub(super) struct Public(VerifyingKey);

impl PublicMaterial for Public {
    fn bits(&self) -> usize {
        256
    }

    fn verify(
        &self,
        _: &SignatureAlgorithm,
        message: &[u8],
        signature: &SignatureParts<'_>,
        _: &Demands,
    ) -> Result<Option<SecurityKeyUse>, SignatureError> {
        self.check(message, signature.bytes).map(|()| None)
    }
}

impl Public {
    /// Reads the key of a blob of type `key_type`.
    pub(super) fn read(reader: &mut Reader<'_>, key_type: &'static str) -> Result<Self, KeyError> {
        let bytes = sized::<KEY_BYTES>(reader, key_type)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::BadPoint("not on the curve"))?;
        if key.is_weak() {
            return Err(KeyError::BadPoint("of small order"));
        }
        if !is_reduced(bytes) {
            return Err(KeyError::BadPoint("not in its shortest form"));
        }
        Ok(Self(key))
    }

    /// Whether these 64 bytes are a signature over `message`.
    pub(super) fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let bytes: [u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| SignatureError::WrongLength {
            expected: SIGNATURE_BYTES,
            found: signature.len(),
        })?;
        self.0
            .verify_strict(message, &Signature::from_bytes(&bytes))
            .map_err(|_| SignatureError::Invalid)
    }
}

/// Whether the y in these bytes, without the sign of x above it, is below 2^255 - 19 (RFC 8032 §5.1.2). The other longer form,
/// a sign where x is zero, is one of small order.
fn is_reduced([lowest, middle @ .., highest]: &[u8; KEY_BYTES]) -> bool {
    highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff) || *lowest < 0xed
}

/// Both keys wipe themselves when dropped.
struct Private {
    key: SigningKey,
    signer: Signer,
}

impl Private {
    fn new(seed: &[u8; KEY_BYTES]) -> Self {
        Self {
            key: SigningKey::from_bytes(seed),
            signer: Signer::new(seed),
        }
    }
}

/// Makes signatures, by whichever of two libraries is faster on this processor (docs/decisions/0015): a key and a message
/// have one signature only, so that both make the same.
enum Signer {
    /// Where the other does not run.
    Portable(SigningKey),
    /// Where it does.
    #[cfg(target_arch = "x86_64")]
    Assembler(graviola::signing::eddsa::Ed25519SigningKey),
}

impl Signer {
    fn new(seed: &[u8; KEY_BYTES]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if graviola::util::is_cpu_supported()
            && let Ok(key) = graviola::signing::eddsa::Ed25519SigningKey::from_bytes(seed)
        {
            return Self::Assembler(key);
        }
        Self::portable(seed)
    }

    fn portable(seed: &[u8; KEY_BYTES]) -> Self {
        Self::Portable(SigningKey::from_bytes(seed))
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match self {
            Self::Portable(key) => key.sign(message).to_bytes(),
            #[cfg(target_arch = "x86_64")]
            Self::Assembler(key) => key.sign(message),
        }
    }
}

impl PrivateMaterial for Private {
    fn algorithms(&self) -> &'static [&'static SignatureAlgorithm] {
        &ALGORITHMS
    }

    fn public(&self) -> PublicKey {
        let key = self.key.verifying_key();
        let mut blob = Vec::new();
        let mut writer = Writer::new(&mut blob);
        writer.string(NAME.as_bytes());
        writer.string(key.as_bytes());
        PublicKey::from_parts(blob, NAME, Arc::new(Public(key)))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let pair = Zeroizing::new(self.key.to_keypair_bytes());
        writer.string(self.key.verifying_key().as_bytes());
        writer.string(pair.as_ref());
    }

    fn sign(&self, _: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.signer.sign(message).to_vec())
    }
}

fn read_public(reader: &mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError> {
    Ok(Arc::new(Public::read(reader, NAME)?))
}

/// The public key stands in the section twice; both must be the one that belongs to the seed.
fn read_private(reader: &mut Reader<'_>) -> Result<Box<dyn PrivateMaterial>, KeyError> {
    let public = sized::<KEY_BYTES>(reader, NAME)?;
    let pair = sized::<{ 2 * KEY_BYTES }>(reader, NAME)?;
    let Some((seed, repeated)) = pair.split_first_chunk::<KEY_BYTES>() else {
        return Err(KeyError::HalvesDiffer);
    };
    let private = Private::new(seed);
    if private.key.verifying_key().as_bytes() != public || repeated != public {
        return Err(KeyError::HalvesDiffer);
    }
    Ok(Box::new(private))
}

/// A `string` of exactly `N` bytes, borrowed so that no copy of a secret is left behind.
fn sized<'a, const N: usize>(
    reader: &mut Reader<'a>,
    key_type: &'static str,
) -> Result<&'a [u8; N], KeyError> {
    let bytes = reader.string()?;
    bytes.try_into().map_err(|_| KeyError::WrongLength {
        key_type,
        expected: N,
        found: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_make_the_same_signatures() {
        for seed in 0..=255 {
            let seed = [seed; KEY_BYTES];
            let message: Vec<u8> = seed
                .iter()
                .cycle()
                .take(usize::from(seed[0]) * 5)
                .copied()
                .collect();
            let signature = Signer::new(&seed).sign(&message);
            assert_eq!(signature, Signer::portable(&seed).sign(&message));
            let public = Public(SigningKey::from_bytes(&seed).verifying_key());
            assert_eq!(public.check(&message, &signature), Ok(()));
        }
    }
}
