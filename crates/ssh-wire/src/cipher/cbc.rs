//! `aes128-cbc`, `aes192-cbc`, `aes256-cbc`, `3des-cbc` (RFC 4253 §6.3): each block is chained to the one before it, and
//! a packet's first to the last block of the packet before.
//!
//! For files that were locked with them, and for peers that know nothing newer. A MAC over the plaintext does not make
//! CBC safe by itself: how packets that fail are treated does (`packet/opener.rs`).

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};
use ctr::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::TdesEde3;

use super::{Cipher, Construction, Crypt, MAX_BYTES_OF_AES, NeedsMac};
use crate::{KeysError, Tier};

/// `aes128-cbc`.
pub static AES128_CBC: Cipher = aes(
    "aes128-cbc",
    16,
    &Cbc::<Encryptor<Aes128>, Decryptor<Aes128>>::NEW,
);

/// `aes192-cbc`.
pub static AES192_CBC: Cipher = aes(
    "aes192-cbc",
    24,
    &Cbc::<Encryptor<Aes192>, Decryptor<Aes192>>::NEW,
);

/// `aes256-cbc`.
pub static AES256_CBC: Cipher = aes(
    "aes256-cbc",
    32,
    &Cbc::<Encryptor<Aes256>, Decryptor<Aes256>>::NEW,
);

/// `3des-cbc`: three keys, encrypt-decrypt-encrypt.
pub static TRIPLE_DES_CBC: Cipher = Cipher {
    name: "3des-cbc",
    key_bytes: 24,
    iv_bytes: 8,
    block_bytes: 8,
    tag_bytes: 0,
    tier: Tier::Legacy,
    max_bytes_per_key: MAX_BYTES_OF_TRIPLE_DES,
    construction: Construction::NeedsMac(&Cbc::<Encryptor<TdesEde3>, Decryptor<TdesEde3>>::NEW),
};

/// 2^16 blocks of 64 bits (RFC 4344 §3.2). With blocks this short two are soon the same, and then the difference of two
/// plaintexts can be read (CVE-2016-2183).
const MAX_BYTES_OF_TRIPLE_DES: u64 = 8 << 16;

const fn aes(name: &'static str, key_bytes: usize, family: &'static dyn NeedsMac) -> Cipher {
    Cipher {
        name,
        key_bytes,
        iv_bytes: 16,
        block_bytes: 16,
        tag_bytes: 0,
        tier: Tier::Legacy,
        max_bytes_per_key: MAX_BYTES_OF_AES,
        construction: Construction::NeedsMac(family),
    }
}

/// Both directions of the mode over a block cipher, not keyed yet.
struct Cbc<E, D>(PhantomData<(E, D)>);

impl<E, D> Cbc<E, D> {
    const NEW: Self = Self(PhantomData);
}

impl<E, D> NeedsMac for Cbc<E, D>
where
    E: KeyIvInit + BlockModeEncrypt + Send + Sync + 'static,
    D: KeyIvInit + BlockModeDecrypt + Send + Sync + 'static,
{
    fn encrypting(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Crypt>, KeysError> {
        Ok(Box::new(Encrypting(keyed::<E>(key, iv)?)))
    }

    fn decrypting(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn Crypt>, KeysError> {
        Ok(Box::new(Decrypting(keyed::<D>(key, iv)?)))
    }
}

fn keyed<C: KeyIvInit>(key: &[u8], iv: &[u8]) -> Result<C, KeysError> {
    C::new_from_slices(key, iv).map_err(|_| KeysError::Length {
        algorithm: "cbc",
        what: "key and initialisation vector",
        needed: C::key_size().saturating_add(C::iv_size()),
        found: key.len().saturating_add(iv.len()),
    })
}

/// A key and the last block that was enciphered.
struct Encrypting<E>(E);

impl<E: BlockModeEncrypt + Send> Crypt for Encrypting<E> {
    fn apply(&mut self, data: &mut [u8]) {
        let (blocks, tail) = Array::slice_as_chunks_mut(data);
        self.0.encrypt_blocks(blocks);
        no_tail(tail);
    }
}

/// A key and the last block that was deciphered.
struct Decrypting<D>(D);

impl<D: BlockModeDecrypt + Send> Crypt for Decrypting<D> {
    fn apply(&mut self, data: &mut [u8]) {
        let (blocks, tail) = Array::slice_as_chunks_mut(data);
        self.0.decrypt_blocks(blocks);
        no_tail(tail);
    }
}

/// Whoever calls pads to whole blocks; what is left over must not leave as plaintext in any case.
fn no_tail(tail: &mut [u8]) {
    debug_assert!(tail.is_empty(), "{} bytes are no block", tail.len());
    tail.fill(0);
}
