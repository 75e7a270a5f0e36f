//! AES-GCM (NIST SP 800-38D) by whichever of two libraries is faster on this processor (docs/decisions/0016).

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::{IV_BYTES, KeyLength, TAG_BYTES, wrong_length};
use crate::wipe::overwrite;
use crate::{IntegrityError, KeysError, SealError};

/// The longest AES key, in bytes.
const MAX_KEY_BYTES: usize = 32;

/// A key as a library holds it; it wipes itself.
pub(super) trait Key: Send + 'static {
    /// Enciphers `body` in place and fills `tag`; `clear` is authenticated with it. It refuses what is longer than GCM can be.
    fn seal(
        &self,
        nonce: &[u8; IV_BYTES],
        clear: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) -> Result<(), SealError>;

    /// Checks `clear` and `body`, and deciphers the latter in place. On failure its bytes are nobody's business.
    fn open(
        &self,
        nonce: &[u8; IV_BYTES],
        clear: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), IntegrityError>;
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
    fn seal(
        &self,
        nonce: &[u8; IV_BYTES],
        clear: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) -> Result<(), SealError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(clear), body)
            .map_err(|_| SealError::Refused)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn open(
        &self,
        nonce: &[u8; IV_BYTES],
        clear: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), IntegrityError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(clear), (*tag).into(), body, 0..)
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
    fn seal(
        &self,
        nonce: &[u8; IV_BYTES],
        clear: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_BYTES],
    ) -> Result<(), SealError> {
        self.0.encrypt(nonce, clear, body, tag);
        Ok(())
    }

    fn open(
        &self,
        nonce: &[u8; IV_BYTES],
        clear: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), IntegrityError> {
        self.0
            .decrypt(nonce, clear, body, tag)
            .map_err(|_| IntegrityError)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use chacha20::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    /// What a key makes of a body: the ciphertext and its tag.
    fn sealed(
        key: &impl Key,
        nonce: [u8; IV_BYTES],
        clear: &[u8],
        body: &[u8],
    ) -> (Vec<u8>, [u8; TAG_BYTES]) {
        let (mut body, mut tag) = (body.to_vec(), [0; TAG_BYTES]);
        assert!(key.seal(&nonce, clear, &mut body, &mut tag).is_ok());
        (body, tag)
    }

    fn opened(
        key: &impl Key,
        nonce: [u8; IV_BYTES],
        clear: &[u8],
        body: &[u8],
        tag: &[u8; TAG_BYTES],
    ) -> Option<Vec<u8>> {
        let mut body = body.to_vec();
        key.open(&nonce, clear, &mut body, tag).ok().map(|()| body)
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
                let (mut nonce, mut clear, mut body) = ([0; IV_BYTES], [0; 4], vec![0; bytes]);
                for part in [&mut nonce[..], &mut clear, &mut body] {
                    random.fill_bytes(part);
                }
                let (cipher, tag) = sealed(&portable, nonce, &clear, &body);
                assert_eq!(
                    sealed(&vectors, nonce, &clear, &body),
                    (cipher.clone(), tag),
                    "{bytes}"
                );
                assert_eq!(
                    opened(&vectors, nonce, &clear, &cipher, &tag).as_ref(),
                    Some(&body),
                    "{bytes}"
                );
                // One bit of anything is wrong.
                let (bit, mut other) = (1 << (bytes % 8), (cipher, tag, clear));
                match bytes % 3 {
                    0 => other.1[bytes % TAG_BYTES] ^= bit,
                    1 => other.0[bytes / 2] ^= bit,
                    _ => other.2[bytes % 4] ^= bit,
                }
                let (cipher, tag, clear) = other;
                assert_eq!(opened(&vectors, nonce, &clear, &cipher, &tag), None, "{bytes}");
                assert_eq!(opened(&portable, nonce, &clear, &cipher, &tag), None, "{bytes}");
            }
        }
    }
}
