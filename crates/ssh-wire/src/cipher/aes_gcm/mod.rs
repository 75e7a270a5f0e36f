//! `aes128-gcm@openssh.com`, `aes256-gcm@openssh.com` (RFC 5647 as amended by OpenSSH `PROTOCOL` §1.6).
//!
//! ```text
//!  │ length, clear, authenticated │ ciphered │ tag 16 │      nonce: 4 fixed bytes, 8 that count packets
//! ```

mod library;

use self::library::{Key, Parts, Portable};
use super::{Aead, Cipher, Construction, MAX_BYTES_OF_AES};
use crate::packet::LENGTH_BYTES;
use crate::packet::protection::{Open, Seal, Shape, clear_length};
use crate::{IntegrityError, KeysError, SealError, Tier};

const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// `aes128-gcm@openssh.com`.
pub static AES128_GCM: Cipher = descriptor("aes128-gcm@openssh.com", 16, &AesGcm(KeyLength::Bits128));

/// `aes256-gcm@openssh.com`.
pub static AES256_GCM: Cipher = descriptor("aes256-gcm@openssh.com", 32, &AesGcm(KeyLength::Bits256));

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

/// How long an AES key is.
#[derive(Debug, Clone, Copy)]
enum KeyLength {
    Bits128,
    Bits256,
}

/// AES-GCM with one key length, not keyed yet.
struct AesGcm(KeyLength);

impl Aead for AesGcm {
    fn opening(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Open>, KeysError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(key) = library::Vectors::new(key) {
            return Ok(Box::new(Keyed::new(key, iv)?));
        }
        Ok(Box::new(Keyed::new(Portable::new(self.0, key)?, iv)?))
    }

    fn sealing(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Seal>, KeysError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(key) = library::Vectors::new(key) {
            return Ok(Box::new(Keyed::new(key, iv)?));
        }
        Ok(Box::new(Keyed::new(Portable::new(self.0, key)?, iv)?))
    }

    // A file is one message without additional data under the nonce the key derivation gave.
    fn decrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), IntegrityError> {
        let key = Portable::new(self.0, key).map_err(|_| IntegrityError)?;
        let nonce = iv.try_into().map_err(|_| IntegrityError)?;
        let mut tag = tag.try_into().map_err(|_| IntegrityError)?;
        let (clear, body, tag) = (&[][..], data, &mut tag);
        key.open(nonce, Parts { clear, body, tag })
    }

    fn encrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<Vec<u8>, KeysError> {
        let nonce = iv
            .try_into()
            .map_err(|_| wrong_length("initialisation vector", IV_BYTES, iv.len()))?;
        let (mut tag, length) = ([0; TAG_BYTES], data.len());
        let parts = Parts {
            clear: &[],
            body: data,
            tag: &mut tag,
        };
        Portable::new(self.0, key)?
            .seal(nonce, parts)
            .map_err(|_| wrong_length("content (at most)", usize::MAX, length))?;
        Ok(tag.to_vec())
    }
}

/// The key and the nonce of one direction.
struct Keyed<K> {
    key: K,
    fixed: [u8; 4],
    /// The nonce's counter. It goes up by one for every packet; the framing refuses the 2^32nd packet under one key,
    /// so no value comes twice.
    invocation: u64,
}

impl<K> Keyed<K> {
    fn new(key: K, iv: &[u8]) -> Result<Self, KeysError> {
        let (fixed, invocation) = iv
            .split_first_chunk::<4>()
            .and_then(|(fixed, counter)| Some((*fixed, u64::from_be_bytes(counter.try_into().ok()?))))
            .ok_or_else(|| wrong_length("initialisation vector", IV_BYTES, iv.len()))?;
        Ok(Self {
            key,
            fixed,
            invocation,
        })
    }

    fn next_nonce(&mut self) -> [u8; IV_BYTES] {
        let mut nonce = [0; IV_BYTES];
        let (fixed, counter) = nonce.split_at_mut(self.fixed.len());
        fixed.copy_from_slice(&self.fixed);
        counter.copy_from_slice(&self.invocation.to_be_bytes());
        self.invocation = self.invocation.wrapping_add(1);
        nonce
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

impl<K: Key> Open for Keyed<K> {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
        let nonce = self.next_nonce();
        self.key.open(&nonce, parts(packet).ok_or(IntegrityError)?)
    }
}

impl<K: Key> Seal for Keyed<K> {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn seal(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), SealError> {
        let nonce = self.next_nonce();
        self.key.seal(&nonce, parts(packet).ok_or(SealError::Refused)?)
    }
}

/// A packet's length, which stays clear, what is ciphered, and its tag.
fn parts(packet: &mut [u8]) -> Option<Parts<'_>> {
    let (clear, rest) = packet.split_at_mut_checked(LENGTH_BYTES)?;
    let (body, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
    Some(Parts { clear, body, tag })
}

const fn wrong_length(what: &'static str, needed: usize, found: usize) -> KeysError {
    KeysError::Length {
        algorithm: "AES-GCM",
        what,
        needed,
        found,
    }
}
