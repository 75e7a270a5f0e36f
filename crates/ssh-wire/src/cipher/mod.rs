//! Ciphers (RFC 4253 §6.3): one static descriptor each, in one list whose order is the order of preference.
//!
//! To add one: its file beside this one with a `pub static` [`Cipher`], and its line in [`ALL`].

mod aes_ctr;
mod aes_gcm;
mod cbc;
mod chacha20_poly1305;

use crate::packet::protection::{Open, Seal};
use crate::{IntegrityError, KeysError, Tier};

pub use aes_ctr::{AES128_CTR, AES192_CTR, AES256_CTR};
pub use aes_gcm::{AES128_GCM, AES256_GCM};
pub use cbc::{AES128_CBC, AES192_CBC, AES256_CBC, TRIPLE_DES_CBC};
pub use chacha20_poly1305::CHACHA20_POLY1305;

/// Every cipher, the preferred one first.
pub static ALL: &[&Cipher] = &[
    &AES128_GCM,
    &AES256_GCM,
    &CHACHA20_POLY1305,
    &AES128_CTR,
    &AES192_CTR,
    &AES256_CTR,
    &AES256_CBC,
    &AES192_CBC,
    &AES128_CBC,
    &TRIPLE_DES_CBC,
];

/// The cipher of that name.
pub fn find(name: &str) -> Option<&'static Cipher> {
    ALL.iter().copied().find(|cipher| cipher.name == name)
}

/// What a cipher is called, what it needs, and how its keyed states are made.
pub struct Cipher {
    /// Its name in KEXINIT and in `OPENSSH PRIVATE KEY` files.
    pub name: &'static str,
    /// The key, in bytes.
    pub key_bytes: usize,
    /// The initialisation vector, in bytes.
    pub iv_bytes: usize,
    /// What packets are padded to a multiple of, in bytes: its block, 8 at least.
    pub block_bytes: usize,
    /// The tag behind a packet, in bytes; 0 where the cipher needs a MAC beside it.
    pub tag_bytes: usize,
    /// Who should use it.
    pub tier: Tier,
    /// The most bytes one set of keys should protect (RFC 4344 §3.2): rekeying later than that is clamped to it.
    pub max_bytes_per_key: u64,
    /// How its keyed states are made.
    pub construction: Construction,
}

/// How a cipher's keyed states are made.
pub enum Construction {
    /// It authenticates what it ciphers.
    Aead(&'static dyn Aead),
    /// It only ciphers: a MAC stands beside it.
    NeedsMac(&'static dyn NeedsMac),
}

/// The constructors of a cipher that authenticates. Keys, vectors and tags have the descriptor's lengths.
pub trait Aead: Sync {
    /// The state that opens packets.
    fn opening(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Open>, KeysError>;

    /// The state that seals packets.
    fn sealing(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Seal>, KeysError>;

    /// Checks and deciphers the content of a file.
    fn decrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), IntegrityError>;

    /// Ciphers the content of a file and returns the tag.
    fn encrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<Vec<u8>, KeysError>;
}

/// The constructors of a cipher that needs a MAC. Keys and vectors have the descriptor's lengths.
pub trait NeedsMac: Sync {
    /// The state that enciphers.
    fn encrypting(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Crypt>, KeysError>;

    /// The state that deciphers.
    fn decrypting(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Crypt>, KeysError>;
}

/// The keyed state of a cipher that needs a MAC; it lives on from packet to packet.
pub trait Crypt: Send {
    /// Enciphers or deciphers in place; `data` is a whole number of blocks.
    fn apply(&mut self, data: &mut [u8]);
}

impl Cipher {
    /// Whether a MAC must stand beside it.
    pub const fn needs_mac(&self) -> bool {
        matches!(self.construction, Construction::NeedsMac(_))
    }

    /// Deciphers the content of an `OPENSSH PRIVATE KEY` file (OpenSSH `PROTOCOL.key`) in place; `tag` is what
    /// stands behind it, empty for ciphers without one. Wrong lengths are an integrity failure too.
    pub fn decrypt_file(
        &self,
        key: &[u8],
        iv: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), IntegrityError> {
        self.check_lengths(key, iv).map_err(|_| IntegrityError)?;
        if tag.len() != self.tag_bytes || !data.len().is_multiple_of(self.block_bytes) {
            return Err(IntegrityError);
        }
        match &self.construction {
            Construction::Aead(aead) => aead.decrypt_file(key, iv, data, tag),
            Construction::NeedsMac(stream) => {
                let mut keyed = stream.decrypting(key, iv).map_err(|_| IntegrityError)?;
                keyed.apply(data);
                Ok(())
            }
        }
    }

    /// Enciphers the content of an `OPENSSH PRIVATE KEY` file in place and returns the tag to put behind it, empty
    /// for ciphers without one. `data` is padded to a multiple of [`block_bytes`](Cipher::block_bytes) already.
    pub fn encrypt_file(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<Vec<u8>, KeysError> {
        self.check_lengths(key, iv)?;
        if !data.len().is_multiple_of(self.block_bytes) {
            return Err(self.wrong_length(
                "content (whole blocks)",
                data.len().next_multiple_of(self.block_bytes),
                data.len(),
            ));
        }
        match &self.construction {
            Construction::Aead(aead) => aead.encrypt_file(key, iv, data),
            Construction::NeedsMac(stream) => {
                stream.encrypting(key, iv)?.apply(data);
                Ok(Vec::new())
            }
        }
    }

    /// Whether key and vector have the lengths this cipher takes.
    pub(crate) fn check_lengths(&self, key: &[u8], iv: &[u8]) -> Result<(), KeysError> {
        if key.len() != self.key_bytes {
            return Err(self.wrong_length("key", self.key_bytes, key.len()));
        }
        if iv.len() != self.iv_bytes {
            return Err(self.wrong_length("initialisation vector", self.iv_bytes, iv.len()));
        }
        Ok(())
    }

    const fn wrong_length(&self, what: &'static str, needed: usize, found: usize) -> KeysError {
        KeysError::Length {
            algorithm: self.name,
            what,
            needed,
            found,
        }
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Cipher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Cipher {}

/// Bytes under one key of a cipher with 16-byte blocks: 2^32 blocks (RFC 4344 §3.2).
const MAX_BYTES_OF_AES: u64 = 16 << 32;
