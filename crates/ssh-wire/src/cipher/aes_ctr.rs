//! `aes128-ctr`, `aes192-ctr`, `aes256-ctr` (RFC 4344 §4): one key stream for the life of the keys, counted over all
//! 128 bits of the block.

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use super::{Cipher, Construction, Crypt, MAX_BYTES_OF_AES, NeedsMac};
use crate::{KeysError, Tier};

/// `aes128-ctr`.
pub static AES128_CTR: Cipher = descriptor("aes128-ctr", 16, &AesCtr::<Ctr128BE<Aes128>>(PhantomData));

/// `aes192-ctr`.
pub static AES192_CTR: Cipher = descriptor("aes192-ctr", 24, &AesCtr::<Ctr128BE<Aes192>>(PhantomData));

/// `aes256-ctr`.
pub static AES256_CTR: Cipher = descriptor("aes256-ctr", 32, &AesCtr::<Ctr128BE<Aes256>>(PhantomData));

const fn descriptor(name: &'static str, key_bytes: usize, family: &'static dyn NeedsMac) -> Cipher {
    Cipher {
        name,
        key_bytes,
        iv_bytes: 16,
        block_bytes: 16,
        tag_bytes: 0,
        tier: Tier::Recommended,
        max_bytes_per_key: MAX_BYTES_OF_AES,
        construction: Construction::NeedsMac(family),
    }
}

/// Counter mode over a block cipher, not keyed yet.
struct AesCtr<C>(PhantomData<C>);

impl<C> NeedsMac for AesCtr<C>
where
    C: KeyIvInit + StreamCipher + Send + Sync + 'static,
{
    fn encrypting(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Crypt>, KeysError> {
        let stream = C::new_from_slices(key, iv).map_err(|_| KeysError::Length {
            algorithm: "aes-ctr",
            what: "key and initialisation vector",
            needed: C::key_size().saturating_add(C::iv_size()),
            found: key.len().saturating_add(iv.len()),
        })?;
        Ok(Box::new(Ctr(stream)))
    }

    fn decrypting(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Crypt>, KeysError> {
        // Both directions are the same exclusive-or.
        self.encrypting(key, iv)
    }
}

/// A key stream and its place in it.
struct Ctr<C>(C);

impl<C: StreamCipher + Send> Crypt for Ctr<C> {
    fn apply(&mut self, data: &mut [u8]) {
        // The stream ends after 2^128 blocks; the keys are worn out after 2^32 packets.
        if self.0.try_apply_keystream(data).is_err() {
            debug_assert!(false, "a key stream of 2^128 blocks has ended");
            data.fill(0);
        }
    }
}
