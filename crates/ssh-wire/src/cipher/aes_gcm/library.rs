//! AES-GCM (NIST SP 800-38D) by whichever of two libraries is faster on this processor (docs/decisions/0016).

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::{IV_BYTES, KeyLength, TAG_BYTES, wrong_length};
use crate::wipe::overwrite;
use crate::{IntegrityError, KeysError, SealError};

/// The longest AES key, in bytes.
const MAX_KEY_BYTES: usize = 32;

/// What a key works on: all of it in its place.
pub(super) struct Parts<'p> {
    /// Only authenticated.
    pub(super) clear: &'p [u8],
    /// Authenticated and ciphered.
    pub(super) body: &'p mut [u8],
    /// Filled when sealing, compared when opening.
    pub(super) tag: &'p mut [u8; TAG_BYTES],
}

/// A key as a library holds it; it wipes itself.
pub(super) trait Key: Send + 'static {
    /// Enciphers the body and fills the tag. It refuses what is longer than GCM can be.
    fn seal(&self, nonce: &[u8; IV_BYTES], parts: Parts<'_>) -> Result<(), SealError>;

    /// Checks the tag and deciphers the body, whose bytes are nobody's business on failure.
    fn open(&self, nonce: &[u8; IV_BYTES], parts: Parts<'_>) -> Result<(), IntegrityError>;
}

/// A key of `ring`, for every processor.
pub(super) struct Portable(LessSafeKey);

impl Portable {
    pub(super) fn new(length: KeyLength, key: &[u8]) -> Result<Self, KeysError> {
        let algorithm = match length {
            KeyLength::Bits128 => &AES_128_GCM,
            KeyLength::Bits256 => &AES_256_GCM,
        };
        less_safe_key(algorithm, key).map(Self)
    }
}

impl Key for Portable {
    fn seal(&self, nonce: &[u8; IV_BYTES], parts: Parts<'_>) -> Result<(), SealError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(parts.clear), parts.body)
            .map_err(|_| SealError::Refused)?;
        parts.tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn open(&self, nonce: &[u8; IV_BYTES], parts: Parts<'_>) -> Result<(), IntegrityError> {
        let (nonce, tag) = (Nonce::assume_unique_for_key(*nonce), (*parts.tag).into());
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(parts.clear), tag, parts.body, 0..)
            .map(|_| ())
            .map_err(|_| IntegrityError)
    }
}

impl Drop for Portable {
    fn drop(&mut self) {
        let algorithm = self.0.algorithm();
        let zeros = [0; MAX_KEY_BYTES];
        if let Some(Ok(harmless)) = zeros
            .get(..algorithm.key_len())
            .map(|zeros| less_safe_key(algorithm, zeros))
        {
            overwrite(&mut self.0, harmless);
        }
    }
}

fn less_safe_key(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, KeysError> {
    UnboundKey::new(algorithm, key)
        .map(LessSafeKey::new)
        .map_err(|_| wrong_length("key", algorithm.key_len(), key.len()))
}

/// A key of `graviola`, for processors that cipher four blocks with one instruction: elsewhere it is the slower one. Boxed: it
/// is aligned to 64 bytes, and so would be what it stands in, by 128 bytes for an idle connection.
#[cfg(target_arch = "x86_64")]
pub(super) struct Vectors(Box<graviola::aead::AesGcm>);

#[cfg(target_arch = "x86_64")]
impl Vectors {
    /// The key, whose length has been checked, if this processor has what `graviola` asks of it for its widest form.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let wide = is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        // It panics where it is not supported, and for a key of another length.
        (wide && graviola::util::is_cpu_supported() && matches!(key.len(), 16 | 32))
            .then(|| Self(Box::new(graviola::aead::AesGcm::new(key))))
    }
}

#[cfg(target_arch = "x86_64")]
impl Key for Vectors {
    fn seal(&self, nonce: &[u8; IV_BYTES], parts: Parts<'_>) -> Result<(), SealError> {
        self.0.encrypt(nonce, parts.clear, parts.body, parts.tag);
        Ok(())
    }

    fn open(&self, nonce: &[u8; IV_BYTES], parts: Parts<'_>) -> Result<(), IntegrityError> {
        self.0
            .decrypt(nonce, parts.clear, parts.body, parts.tag)
            .map_err(|_| IntegrityError)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use chacha20::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Message {
        nonce: [u8; IV_BYTES],
        clear: [u8; 4],
        body: Vec<u8>,
        tag: [u8; TAG_BYTES],
    }

    impl Message {
        fn parts(&mut self) -> ([u8; IV_BYTES], Parts<'_>) {
            let (clear, body, tag) = (&self.clear[..], &mut self.body[..], &mut self.tag);
            (self.nonce, Parts { clear, body, tag })
        }

        fn sealed(mut self, key: &impl Key) -> Self {
            let (nonce, parts) = self.parts();
            assert!(key.seal(&nonce, parts).is_ok());
            self
        }

        fn opened(mut self, key: &impl Key) -> Option<Vec<u8>> {
            let (nonce, parts) = self.parts();
            key.open(&nonce, parts).ok().map(|()| self.body)
        }
    }

    #[test]
    fn the_two_libraries_agree_about_every_length_and_every_flaw() {
        let mut random = ChaCha20Rng::from_seed([16; 32]);
        for length in [KeyLength::Bits128, KeyLength::Bits256] {
            let mut key = [0; MAX_KEY_BYTES];
            let key = match length {
                KeyLength::Bits128 => &mut key[..16],
                KeyLength::Bits256 => &mut key[..],
            };
            random.fill_bytes(key);
            let Some(vectors) = Vectors::new(key) else {
                return; // This processor has only one of the two.
            };
            let portable = Portable::new(length, key).unwrap();
            for bytes in (0..=1100).chain([4_095, 32_768, 32_784, 262_144]) {
                let mut plain = Message {
                    nonce: [0; IV_BYTES],
                    clear: [0; 4],
                    body: vec![0; bytes],
                    tag: [0; TAG_BYTES],
                };
                for part in [&mut plain.nonce[..], &mut plain.clear, &mut plain.body] {
                    random.fill_bytes(part);
                }
                let mut sealed = plain.clone().sealed(&portable);
                assert_eq!(plain.clone().sealed(&vectors), sealed, "{bytes}");
                let opened = [sealed.clone().opened(&portable), sealed.clone().opened(&vectors)];
                assert_eq!(opened, [Some(plain.body.clone()), Some(plain.body)], "{bytes}");
                // One bit of anything is wrong.
                let bit = 1 << (bytes % 8);
                match bytes % 3 {
                    0 => sealed.tag[bytes % TAG_BYTES] ^= bit,
                    1 => sealed.body[bytes / 2] ^= bit,
                    _ => sealed.clear[bytes % 4] ^= bit,
                }
                let opened = [sealed.clone().opened(&portable), sealed.opened(&vectors)];
                assert_eq!(opened, [None, None], "{bytes}");
            }
        }
    }
}
