//! `chacha20-poly1305@openssh.com` (OpenSSH `PROTOCOL.chacha20poly1305`).
//!
//! ```text
//!  │ length under K_1 │ the rest under K_2, from block 1 │ Poly1305 of both, its key from K_2's block 0 │
//!     key = K_2 ‖ K_1          nonce = the sequence number, 64 bits, in both
//! ```
//!
//! Two implementations share the work, because each is the faster one in its range: ring's ready-made construction
//! has next to no cost per packet, the pair of `chacha20` and `poly1305` has less cost per byte. A test holds one
//! against the other.

use chacha20::ChaCha20;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use poly1305::universal_hash::{KeyInit, UniversalHash};
use poly1305::{Block, Poly1305};
use ring::aead::chacha20_poly1305_openssh::{OpeningKey, SealingKey};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Aead, Cipher, Construction};
use crate::packet::LENGTH_BYTES;
use crate::packet::protection::{Open, Seal, Shape, clear_length};
use crate::wipe::overwrite;
use crate::{IntegrityError, KeysError, SealError, Tier};

const KEY_BYTES: usize = 64;
const TAG_BYTES: usize = 16;

/// Packets from this size on go to the pair of crates. Measured: the two meet between 2 KiB (with AVX-512) and
/// 11 KiB (with AVX2).
const BULK_BYTES: usize = 8 * 1024;

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
    // No block can collide here; this is where OpenSSH asks for new keys.
    max_bytes_per_key: 1 << 30,
    construction: Construction::Aead(&ChaCha20Poly1305),
};

/// The construction, not keyed yet.
struct ChaCha20Poly1305;

impl Aead for ChaCha20Poly1305 {
    fn opening(&self, key: &[u8], _iv: &[u8]) -> Result<Box<dyn Open>, KeysError> {
        let small = OpeningKey::new(key.try_into().map_err(|_| wrong_length(key))?);
        let bulk = Keys::new(key)?;
        Ok(Box::new(Opening { small, bulk }))
    }

    fn sealing(&self, key: &[u8], _iv: &[u8]) -> Result<Box<dyn Seal>, KeysError> {
        let small = SealingKey::new(key.try_into().map_err(|_| wrong_length(key))?);
        let bulk = Keys::new(key)?;
        Ok(Box::new(Sealing { small, bulk }))
    }

    // A file is a packet without a length, number 0.
    fn decrypt_file(
        &self,
        key: &[u8],
        _iv: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), IntegrityError> {
        let keys = Keys::new(key).map_err(|_| IntegrityError)?;
        keys.check(0, data, tag)?;
        keys.main_stream(0).apply_keystream(data);
        Ok(())
    }

    fn encrypt_file(&self, key: &[u8], _iv: &[u8], data: &mut [u8]) -> Result<Vec<u8>, KeysError> {
        let keys = Keys::new(key)?;
        keys.main_stream(0).apply_keystream(data);
        Ok(keys.tag(0, data).to_vec())
    }
}

const SHAPE: Shape = Shape {
    block_bytes: 8,
    tag_bytes: TAG_BYTES,
    head_bytes: LENGTH_BYTES,
    length_is_aligned: false,
    length_is_ciphered: true,
    hides_bad_length: false,
};

struct Opening {
    small: OpeningKey,
    bulk: Keys,
}

impl Open for Opening {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32 {
        // The ciphertext stays as it is: the tag is over it.
        let length = head.first_chunk().copied().unwrap_or_default();
        clear_length(&self.small.decrypt_packet_length(sequence, length))
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
        let (ciphertext, tag) = packet.split_last_chunk_mut::<TAG_BYTES>().ok_or(IntegrityError)?;
        if ciphertext.len() < BULK_BYTES {
            let opened = self.small.open_in_place(sequence, ciphertext, tag);
            return opened.map(|_| ()).map_err(|_| IntegrityError);
        }
        self.bulk.open(sequence, ciphertext, tag)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        overwrite(&mut self.small, OpeningKey::new(&[0; KEY_BYTES]));
    }
}

struct Sealing {
    small: SealingKey,
    bulk: Keys,
}

impl Seal for Sealing {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SealError> {
        let (plaintext, tag) = packet
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(SealError::Refused)?;
        if plaintext.len() < LENGTH_BYTES {
            // ring would panic.
            return Err(SealError::Refused);
        }
        if plaintext.len() < BULK_BYTES {
            self.small.seal_in_place(sequence, plaintext, tag);
        } else {
            *tag = self.bulk.seal(sequence, plaintext);
        }
        Ok(())
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        overwrite(&mut self.small, SealingKey::new(&[0; KEY_BYTES]));
    }
}

/// The two keys, for the pair of crates.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Keys {
    main: [u8; 32],
    length: [u8; 32],
}

impl Keys {
    fn new(key: &[u8]) -> Result<Self, KeysError> {
        let halves = key
            .split_first_chunk()
            .and_then(|(main, length)| Some((*main, length.try_into().ok()?)));
        let (main, length) = halves.ok_or_else(|| wrong_length(key))?;
        Ok(Self { main, length })
    }

    /// Ciphers length and body in place and returns the tag.
    fn seal(&self, sequence: u32, plaintext: &mut [u8]) -> [u8; TAG_BYTES] {
        let (length, body) = plaintext.split_at_mut_checked(LENGTH_BYTES).unwrap_or_default();
        self.length_stream(sequence).apply_keystream(length);
        self.main_stream(sequence).apply_keystream(body);
        self.tag(sequence, plaintext)
    }

    /// Checks length and body, and deciphers the body in place.
    fn open(&self, sequence: u32, ciphertext: &mut [u8], tag: &[u8]) -> Result<(), IntegrityError> {
        self.check(sequence, ciphertext, tag)?;
        let body = ciphertext.get_mut(LENGTH_BYTES..).ok_or(IntegrityError)?;
        self.main_stream(sequence).apply_keystream(body);
        Ok(())
    }

    fn length_stream(&self, sequence: u32) -> ChaCha20 {
        ChaCha20::new(&self.length.into(), &nonce(sequence).into())
    }

    /// The stream that ciphers a packet, past the block that gives the Poly1305 key.
    fn main_stream(&self, sequence: u32) -> ChaCha20 {
        let mut stream = ChaCha20::new(&self.main.into(), &nonce(sequence).into());
        stream.seek(FIRST_BLOCK_BYTES);
        stream
    }

    fn tag(&self, sequence: u32, ciphertext: &[u8]) -> [u8; TAG_BYTES] {
        let mut key = poly1305::Key::default();
        ChaCha20::new(&self.main.into(), &nonce(sequence).into()).apply_keystream(&mut key);
        let mut poly1305 = Poly1305::new(&key);
        key.zeroize();
        let (blocks, tail) = Block::slice_as_chunks(ciphertext);
        poly1305.update(blocks);
        poly1305.compute_unpadded(tail).into()
    }

    fn check(&self, sequence: u32, ciphertext: &[u8], tag: &[u8]) -> Result<(), IntegrityError> {
        let computed = self.tag(sequence, ciphertext);
        if bool::from(computed.as_slice().ct_eq(tag)) {
            Ok(())
        } else {
            Err(IntegrityError)
        }
    }
}

/// OpenSSH's cipher has a 64-bit nonce behind a 64-bit block counter; the upper half of that counter stays 0 in a
/// packet, which makes it RFC 8439's cipher with a nonce of eight zero bytes and the sequence number.
fn nonce(sequence: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    if let Some(low) = nonce.last_chunk_mut() {
        *low = sequence.to_be_bytes();
    }
    nonce
}

const fn wrong_length(key: &[u8]) -> KeysError {
    KeysError::Length {
        algorithm: CHACHA20_POLY1305.name,
        what: "key",
        needed: KEY_BYTES,
        found: key.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_make_the_same_packets() {
        let key = [[7; 32], [9; 32]].concat().try_into().unwrap();
        let (ring, crates) = (SealingKey::new(&key), Keys::new(&key).unwrap());
        let opening = OpeningKey::new(&key);
        for size in (4..700).chain([1024, BULK_BYTES - 8, BULK_BYTES, 32_768, 262_148]) {
            for sequence in [0, 1, 0x0102_0304, u32::MAX] {
                let plaintext: Vec<u8> = (0..=250).cycle().take(size).collect();
                let (mut by_ring, mut by_crates, mut tag) =
                    (plaintext.clone(), plaintext.clone(), [0; TAG_BYTES]);
                ring.seal_in_place(sequence, &mut by_ring, &mut tag);
                assert_eq!(crates.seal(sequence, &mut by_crates), tag, "{size}");
                assert_eq!(by_crates, by_ring, "{size}");
                assert_eq!(crates.open(sequence, &mut by_ring, &tag), Ok(()));
                let opened = opening.open_in_place(sequence, &mut by_crates, &tag).unwrap();
                assert_eq!(
                    (opened, &by_ring[4..]),
                    (&plaintext[4..], &plaintext[4..]),
                    "{size}"
                );
            }
        }
    }
}
