//! `aes128-gcm@openssh.com`, `aes256-gcm@openssh.com` (RFC 5647 as amended by OpenSSH `PROTOCOL` §1.6).
//!
//! ```text
//!  │ length, clear, authenticated │ ciphered │ tag 16 │      nonce: 4 fixed bytes, 8 that count packets
//! ```

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::{Aead, Cipher, Construction, MAX_BYTES_OF_AES};
use crate::packet::LENGTH_BYTES;
use crate::packet::protection::{Open, Seal, Shape, clear_length};
use crate::wipe::overwrite;
use crate::{IntegrityError, KeysError, SealError, Tier};

const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// `aes128-gcm@openssh.com`.
pub static AES128_GCM: Cipher = descriptor("aes128-gcm@openssh.com", 16, &AesGcm(&AES_128_GCM));

/// `aes256-gcm@openssh.com`.
pub static AES256_GCM: Cipher = descriptor("aes256-gcm@openssh.com", 32, &AesGcm(&AES_256_GCM));

const fn descriptor(name: &'static str, key_bytes: usize, family: &'static dyn Aead) -> Cipher {
    Cipher {
        name,
        key_bytes,
        iv_bytes: IV_BYTES,
        block_bytes: 16,
        tag_bytes: TAG_BYTES,
        tier: Tier::Recommended,
        max_bytes_per_key: MAX_BYTES_OF_AES,
        construction: Construction::Aead(family),
    }
}

/// AES-GCM with one key length, not keyed yet.
struct AesGcm(&'static Algorithm);

impl Aead for AesGcm {
    fn opening(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Open>, KeysError> {
        Ok(Box::new(Keyed::new(self.0, key, iv)?))
    }

    fn sealing(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Seal>, KeysError> {
        Ok(Box::new(Keyed::new(self.0, key, iv)?))
    }

    // A file is one message without additional data under the nonce the key derivation gave.
    fn decrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), IntegrityError> {
        let key = less_safe_key(self.0, key).map_err(|_| IntegrityError)?;
        let nonce = Nonce::try_assume_unique_for_key(iv).map_err(|_| IntegrityError)?;
        let tag = tag.try_into().map_err(|_| IntegrityError)?;
        key.open_in_place_separate_tag(nonce, Aad::empty(), tag, data, 0..)
            .map(|_| ())
            .map_err(|_| IntegrityError)
    }

    fn encrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<Vec<u8>, KeysError> {
        let nonce = Nonce::try_assume_unique_for_key(iv)
            .map_err(|_| wrong_length("initialisation vector", IV_BYTES, iv.len()))?;
        let length = data.len();
        less_safe_key(self.0, key)?
            .seal_in_place_separate_tag(nonce, Aad::empty(), data)
            .map(|tag| tag.as_ref().to_vec())
            .map_err(|_| wrong_length("content (at most)", usize::MAX, length))
    }
}

/// The longest AES key, in bytes.
const MAX_KEY_BYTES: usize = 32;

/// The key and the nonce of one direction.
struct Keyed {
    key: LessSafeKey,
    fixed: [u8; 4],
    /// The nonce's counter. It goes up by one for every packet; the framing refuses the 2^32nd packet under one key,
    /// so no value comes twice.
    invocation: u64,
}

impl Keyed {
    fn new(algorithm: &'static Algorithm, key: &[u8], iv: &[u8]) -> Result<Self, KeysError> {
        let (fixed, invocation) = iv
            .split_first_chunk::<4>()
            .and_then(|(fixed, counter)| Some((*fixed, u64::from_be_bytes(counter.try_into().ok()?))))
            .ok_or_else(|| wrong_length("initialisation vector", IV_BYTES, iv.len()))?;
        Ok(Self {
            key: less_safe_key(algorithm, key)?,
            fixed,
            invocation,
        })
    }

    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = [0; IV_BYTES];
        let (fixed, counter) = nonce.split_at_mut(self.fixed.len());
        fixed.copy_from_slice(&self.fixed);
        counter.copy_from_slice(&self.invocation.to_be_bytes());
        self.invocation = self.invocation.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }
}

const SHAPE: Shape = Shape {
    block_bytes: 16,
    tag_bytes: TAG_BYTES,
    head_bytes: LENGTH_BYTES,
    length_is_aligned: false,
    length_is_ciphered: false,
    hides_bad_length: false,
};

impl Open for Keyed {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
        let nonce = self.next_nonce();
        let (length, rest) = packet
            .split_first_chunk_mut::<LENGTH_BYTES>()
            .ok_or(IntegrityError)?;
        self.key
            .open_in_place(nonce, Aad::from(*length), rest)
            .map(|_| ())
            .map_err(|_| IntegrityError)
    }
}

impl Seal for Keyed {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn seal(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), SealError> {
        let nonce = self.next_nonce();
        let (length, rest) = packet
            .split_first_chunk_mut::<LENGTH_BYTES>()
            .ok_or(SealError::Refused)?;
        let (body, room) = rest
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(SealError::Refused)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(*length), body)
            .map_err(|_| SealError::Refused)?;
        room.copy_from_slice(tag.as_ref());
        Ok(())
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        let algorithm = self.key.algorithm();
        let zeros = [0; MAX_KEY_BYTES];
        if let Some(Ok(harmless)) = zeros
            .get(..algorithm.key_len())
            .map(|zeros| less_safe_key(algorithm, zeros))
        {
            overwrite(&mut self.key, harmless);
        }
    }
}

fn less_safe_key(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, KeysError> {
    UnboundKey::new(algorithm, key)
        .map(LessSafeKey::new)
        .map_err(|_| wrong_length("key", algorithm.key_len(), key.len()))
}

const fn wrong_length(what: &'static str, needed: usize, found: usize) -> KeysError {
    KeysError::Length {
        algorithm: "AES-GCM",
        what,
        needed,
        found,
    }
}
