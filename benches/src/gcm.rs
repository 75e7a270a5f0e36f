//! AES-GCM, bare, by the two libraries that packets may use (docs/decisions/0016).

use graviola::aead::AesGcm;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

/// A key, and the library that has it.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Gcm {
    /// `ring`'s.
    Ring(LessSafeKey),
    /// `graviola`'s.
    Graviola(AesGcm),
}

impl Gcm {
    /// By `ring`.
    ///
    /// # Panics
    ///
    /// For a key that is not 16 or 32 bytes long.
    pub fn ring(key: &[u8]) -> Self {
        let algorithm = if key.len() == 16 {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        Self::Ring(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("a key")))
    }

    /// By the library that packets use on this processor.
    ///
    /// # Panics
    ///
    /// As [`ring`](Self::ring) does.
    pub fn fastest(key: &[u8]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if graviola::util::is_cpu_supported()
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
        {
            return Self::Graviola(AesGcm::new(key));
        }
        Self::ring(key)
    }

    /// Seals `body` in place and returns the tag.
    ///
    /// # Panics
    ///
    /// For more than GCM can seal.
    pub fn seal(&self, nonce: [u8; 12], clear: [u8; 4], body: &mut [u8]) -> [u8; 16] {
        let mut room = [0; 16];
        match self {
            Self::Ring(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(clear), body);
                room.copy_from_slice(tag.expect("it seals").as_ref());
            }
            Self::Graviola(key) => key.encrypt(&nonce, &clear, body, &mut room),
        }
        room
    }

    /// Whether `body` opens, in place.
    pub fn opens(&self, nonce: [u8; 12], clear: [u8; 4], body: &mut [u8], tag: [u8; 16]) -> bool {
        match self {
            Self::Ring(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place_separate_tag(nonce, Aad::from(clear), Tag::from(tag), body, 0..)
                    .is_ok()
            }
            Self::Graviola(key) => key.decrypt(&nonce, &clear, body, &tag).is_ok(),
        }
    }
}
