//! `chacha20-poly1305@openssh.com` (OpenSSH `PROTOCOL.chacha20poly1305`).
//!
//! ```text
//!  │ length under K_1 │ the rest under K_2, from block 1 │ Poly1305 of both, its key from K_2's block 0 │
//!     key = K_2 ‖ K_1          nonce = the sequence number, 64 bits, in both
//! ```

use chacha20::ChaCha20;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Aead, Cipher, Construction};
use crate::packet::LENGTH_BYTES;
use crate::packet::protection::{Open, Seal, Shape, clear_length};
use crate::{IntegrityError, KeysError, SealError, Tier};

const KEY_BYTES: usize = 64;
const TAG_BYTES: usize = 16;
/// The part of the key stream that the Poly1305 key is taken from.
const FIRST_BLOCK_BYTES: u64 = 64;

/// `chacha20-poly1305@openssh.com`.
pub static CHACHA20_POLY1305: Cipher = Cipher {
    name: "chacha20-poly1305@openssh.com",
    key_bytes: KEY_BYTES,
    iv_bytes: 0,
    block_bytes: 8,
    tag_bytes: TAG_BYTES,
    tier: Tier::Recommended,
    // No block collides here; this is where OpenSSH asks for new keys.
    max_bytes_per_key: 1 << 30,
    construction: Construction::Aead(&ChaCha20Poly1305),
};

/// The construction, not keyed yet.
struct ChaCha20Poly1305;

impl Aead for ChaCha20Poly1305 {
    fn opening(&self, key: &[u8], _iv: &[u8]) -> Result<Box<dyn Open>, KeysError> {
        Ok(Box::new(Keyed::new(key)?))
    }

    fn sealing(&self, key: &[u8], _iv: &[u8]) -> Result<Box<dyn Seal>, KeysError> {
        Ok(Box::new(Keyed::new(key)?))
    }

    // A file is a packet without a length, number 0.
    fn decrypt_file(
        &self,
        key: &[u8],
        _iv: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), IntegrityError> {
        let keyed = Keyed::new(key).map_err(|_| IntegrityError)?;
        keyed.check(0, data, tag)?;
        keyed.main_stream(0).apply_keystream(data);
        Ok(())
    }

    fn encrypt_file(&self, key: &[u8], _iv: &[u8], data: &mut [u8]) -> Result<Vec<u8>, KeysError> {
        let keyed = Keyed::new(key)?;
        keyed.main_stream(0).apply_keystream(data);
        Ok(keyed.tag(0, data).to_vec())
    }
}

/// The two keys of one direction.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Keyed {
    main_key: [u8; 32],
    length_key: [u8; 32],
}

impl Keyed {
    fn new(key: &[u8]) -> Result<Self, KeysError> {
        let halves = key
            .split_first_chunk::<32>()
            .and_then(|(main, length)| Some((*main, <[u8; 32]>::try_from(length).ok()?)));
        let (main_key, length_key) = halves.ok_or(KeysError::Length {
            algorithm: CHACHA20_POLY1305.name,
            what: "key",
            needed: KEY_BYTES,
            found: key.len(),
        })?;
        Ok(Self { main_key, length_key })
    }

    fn length_stream(&self, sequence: u32) -> ChaCha20 {
        ChaCha20::new(&self.length_key.into(), &nonce(sequence).into())
    }

    /// The stream that ciphers a packet, past the block that gives the Poly1305 key.
    fn main_stream(&self, sequence: u32) -> ChaCha20 {
        let mut stream = ChaCha20::new(&self.main_key.into(), &nonce(sequence).into());
        stream.seek(FIRST_BLOCK_BYTES);
        stream
    }

    fn tag(&self, sequence: u32, ciphertext: &[u8]) -> [u8; TAG_BYTES] {
        let mut key = poly1305::Key::default();
        ChaCha20::new(&self.main_key.into(), &nonce(sequence).into()).apply_keystream(&mut key);
        let tag = Poly1305::new(&key).compute_unpadded(ciphertext);
        key.zeroize();
        tag.into()
    }

    fn check(&self, sequence: u32, ciphertext: &[u8], tag: &[u8]) -> Result<(), IntegrityError> {
        if bool::from(self.tag(sequence, ciphertext).as_slice().ct_eq(tag)) {
            Ok(())
        } else {
            Err(IntegrityError)
        }
    }
}

/// OpenSSH's cipher has a 64-bit nonce behind a 64-bit block counter; the upper half of that counter stays 0 in a
/// packet, which makes it RFC 8439's cipher with four zero bytes before the nonce.
fn nonce(sequence: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (_, low) = nonce.split_at_mut(8);
    low.copy_from_slice(&sequence.to_be_bytes());
    nonce
}

const SHAPE: Shape = Shape {
    block_bytes: 8,
    tag_bytes: TAG_BYTES,
    head_bytes: LENGTH_BYTES,
    length_is_aligned: false,
    hides_bad_length: false,
};

impl Open for Keyed {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32 {
        // The ciphertext stays as it is: the tag is over it.
        let mut length: [u8; LENGTH_BYTES] = head.first_chunk().copied().unwrap_or_default();
        self.length_stream(sequence).apply_keystream(&mut length);
        clear_length(&length)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
        let (ciphertext, tag) = packet.split_last_chunk_mut::<TAG_BYTES>().ok_or(IntegrityError)?;
        self.check(sequence, ciphertext, tag)?;
        let body = ciphertext.get_mut(LENGTH_BYTES..).ok_or(IntegrityError)?;
        self.main_stream(sequence).apply_keystream(body);
        Ok(())
    }
}

impl Seal for Keyed {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SealError> {
        let (body, room) = packet
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(SealError::Refused)?;
        let (length, rest) = body
            .split_first_chunk_mut::<LENGTH_BYTES>()
            .ok_or(SealError::Refused)?;
        self.length_stream(sequence).apply_keystream(length);
        self.main_stream(sequence).apply_keystream(rest);
        *room = self.tag(sequence, body);
        Ok(())
    }
}
