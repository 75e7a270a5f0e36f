//! `umac-64@openssh.com`, `umac-128@openssh.com` and their `-etm@openssh.com` forms: UMAC (RFC 4418) on AES-128, with
//! the sequence number as the nonce, 64 bits, big endian (draft-miller-secsh-umac).
//!
//! ```text
//!  packet ──▶ NH of each KiB ──▶ polynomial mod 2^64 - 59, ──▶ inner product mod 2^36 - 5 ──▶ ⊕ ──▶ tag
//!             (L1, §5.2)         if more than one KiB           (L3, §5.4)                     ▲
//!                                (L2, §5.3)                                                    │
//!  sequence number ──▶ AES-128 (§3.3) ─────────────────────────────────────────────────────────┘
//! ```
//!
//! All of it happens once for each 32 bits of tag: a *stream*, with keys of its own. Everything is derived from the key
//! once; a packet costs the hash and one block of AES.
//!
//! What is deliberately absent: the polynomial mod 2^128 - 159 that takes over beyond 16 MiB. No packet is that long.

use aes::Aes128;
use ctr::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Authenticate, Construction, Mac};
use crate::packet::{LENGTH_BYTES, MAX_PACKET_BYTES};
use crate::{KeysError, Tier};

/// `umac-64@openssh.com`.
pub static UMAC_64: Mac = descriptor("umac-64@openssh.com", 8, Tier::Compatible, &Umac::<2>);

/// `umac-64-etm@openssh.com`.
pub static UMAC_64_ETM: Mac = descriptor("umac-64-etm@openssh.com", 8, Tier::Compatible, &Umac::<2>).etm();

/// `umac-128@openssh.com`.
pub static UMAC_128: Mac = descriptor("umac-128@openssh.com", 16, Tier::Compatible, &Umac::<4>);

/// `umac-128-etm@openssh.com`.
pub static UMAC_128_ETM: Mac =
    descriptor("umac-128-etm@openssh.com", 16, Tier::Recommended, &Umac::<4>).etm();

const fn descriptor(
    name: &'static str,
    mac_bytes: usize,
    tier: Tier,
    construction: &'static dyn Construction,
) -> Mac {
    Mac {
        name,
        key_bytes: KEY_BYTES,
        mac_bytes,
        etm: false,
        tier,
        construction,
    }
}

/// UMAC with so many streams, not keyed yet.
struct Umac<const STREAMS: usize>;

impl<const STREAMS: usize> Construction for Umac<STREAMS> {
    fn keyed(&self, key: &[u8]) -> Result<Box<dyn Authenticate>, KeysError> {
        Ok(Box::new(Keyed::<STREAMS>::new(key)?))
    }
}

/// What is derived from a key of [`KEY_BYTES`].
#[derive(Zeroize, ZeroizeOnDrop)]
struct Keyed<const STREAMS: usize> {
    /// The words of `L1Key`: each stream's begin [`SHIFT_WORDS`] after the one before.
    nh: Vec<u32>,
    /// `k64` of each stream.
    polynomial: [u64; STREAMS],
    /// The last four words of each stream's `L3Key1`: the first four only ever meet zeros.
    product: [[u64; 4]; STREAMS],
    /// `L3Key2`.
    mask: [u32; STREAMS],
    /// The cipher that makes pads; it wipes itself.
    #[zeroize(skip)]
    pads: Aes128,
}

impl<const STREAMS: usize> Keyed<STREAMS> {
    /// RFC 4418 §5.1: the keys of each layer, derived under indices of their own.
    fn new(key: &[u8]) -> Result<Self, KeysError> {
        let cipher = aes128(key)?;
        let nh = derived(
            &cipher,
            1,
            NH_BYTES.saturating_add(SHIFT_WORDS * 4 * STREAMS.saturating_sub(1)),
        );
        let polynomials = derived(&cipher, 2, STREAMS.saturating_mul(24));
        let products = derived(&cipher, 3, STREAMS.saturating_mul(64));
        let masks = derived(&cipher, 4, STREAMS.saturating_mul(4));
        let mut keyed = Self {
            nh: words(&nh).collect(),
            polynomial: [0; STREAMS],
            product: [[0; 4]; STREAMS],
            mask: [0; STREAMS],
            pads: aes128(&derived(&cipher, 0, KEY_BYTES))?,
        };
        for (to, from) in keyed.polynomial.iter_mut().zip(polynomials.chunks(24)) {
            *to = long_words(from).next().unwrap_or_default() & POLYNOMIAL_KEY_BITS;
        }
        for (to, from) in keyed.product.iter_mut().zip(products.chunks(64)) {
            for (to, from) in to.iter_mut().zip(long_words(from).skip(4)) {
                *to = from % PRIME_36;
            }
        }
        for (to, from) in keyed.mask.iter_mut().zip(words(&masks)) {
            *to = from;
        }
        Ok(keyed)
    }

    /// UHASH (§5.1).
    fn hash(&self, message: &[u8]) -> [u32; STREAMS] {
        debug_assert!(
            message.len() <= MAX_MESSAGE_BYTES,
            "UMAC over {} bytes",
            message.len()
        );
        let mut sums = [1; STREAMS];
        if message.len() <= NH_BYTES {
            sums = self.compress(message);
        } else {
            for piece in message.chunks(NH_BYTES) {
                let values = self.compress(piece);
                for ((sum, key), value) in sums.iter_mut().zip(&self.polynomial).zip(values) {
                    *sum = polynomial_step(*key, *sum, value);
                }
            }
        }
        let mut hashes = [0; STREAMS];
        for (((hash, sum), keys), mask) in hashes.iter_mut().zip(sums).zip(&self.product).zip(self.mask) {
            *hash = inner_product(keys, sum) ^ mask;
        }
        hashes
    }

    /// L1-HASH (§5.2) of one KiB at most: NH of it, padded with zeros to whole blocks, and its length in bits.
    fn compress(&self, piece: &[u8]) -> [u64; STREAMS] {
        let (blocks, tail) = piece.as_chunks::<BLOCK_BYTES>();
        let mut last = [0; BLOCK_BYTES];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        let last = if tail.is_empty() && !blocks.is_empty() {
            &[][..]
        } else {
            &[last][..]
        };
        let bits = u64::try_from(piece.len()).unwrap_or_default().wrapping_mul(8);
        let mut sums = [bits; STREAMS];
        for (stream, sum) in sums.iter_mut().enumerate() {
            let keys = self
                .nh
                .get(stream.saturating_mul(SHIFT_WORDS)..)
                .unwrap_or_default();
            let (keys, _) = keys.as_chunks::<BLOCK_WORDS>();
            let (first, behind) = keys.split_at_checked(blocks.len()).unwrap_or_default();
            *sum = sum.wrapping_add(nh(first, blocks)).wrapping_add(nh(behind, last));
        }
        sums
    }

    /// PDF (§3.3). Tags of 8 bytes share a block of AES: the nonce's last bit tells the halves apart.
    fn pad(&self, nonce: u64) -> [u8; 16] {
        let halves = u64::from(STREAMS == 2);
        let mut pad = (u128::from(nonce & !halves) << 64).to_be_bytes().into();
        self.pads.encrypt_block(&mut pad);
        if nonce & halves == 1 {
            pad.rotate_left(8);
        }
        pad.into()
    }

    fn tag_under(&self, nonce: u64, message: &[u8], tag: &mut [u8]) {
        let hashes = self.hash(message);
        let pad = self.pad(nonce);
        let (tag, _) = tag.as_chunks_mut();
        for ((to, hash), pad) in tag.iter_mut().zip(hashes).zip(words(&pad)) {
            *to = (hash ^ pad).to_be_bytes();
        }
    }
}

impl<const STREAMS: usize> Authenticate for Keyed<STREAMS> {
    fn tag(&mut self, sequence: u32, packet: &[u8], tag: &mut [u8]) {
        self.tag_under(sequence.into(), packet, tag);
    }
}

/// NH (§5.2.2) of whole blocks: sums of words and keys, multiplied four words apart. Words are little endian.
fn nh(keys: &[[u32; BLOCK_WORDS]], blocks: &[[u8; BLOCK_BYTES]]) -> u64 {
    let mut sum = 0_u64;
    for (block, keys) in blocks.iter().zip(keys) {
        let mut words = [0; BLOCK_WORDS];
        for ((to, from), key) in words.iter_mut().zip(block.as_chunks().0).zip(keys) {
            *to = u32::from_le_bytes(*from).wrapping_add(*key);
        }
        let [a, b, c, d, e, f, g, h] = words.map(u64::from);
        for product in [
            a.wrapping_mul(e),
            b.wrapping_mul(f),
            c.wrapping_mul(g),
            d.wrapping_mul(h),
        ] {
            sum = sum.wrapping_add(product);
        }
    }
    sum
}

/// A step of POLY (§5.3.2) with 64-bit words. The few values that are no residues are marked and shifted.
fn polynomial_step(key: u64, sum: u64, value: u64) -> u64 {
    if value < FIRST_SHIFTED {
        return multiply_add(key, sum, value);
    }
    let marked = multiply_add(key, sum, PRIME_64 - 1);
    multiply_add(key, marked, value.wrapping_sub(PRIME_64_BELOW))
}

/// `key * sum + value` mod 2^64 - 59, for a key under 2^57.
fn multiply_add(key: u64, sum: u64, value: u64) -> u64 {
    let whole = u128::from(key)
        .wrapping_mul(sum.into())
        .wrapping_add(value.into());
    // 2^64 is 59 here. Once folded the number is under 2^65, twice folded under 2^64.
    let fold = |whole: u128| {
        let low = whole & u128::from(u64::MAX);
        low.wrapping_add((whole >> 64).wrapping_mul(PRIME_64_BELOW.into()))
    };
    let folded = u64::try_from(fold(fold(whole))).unwrap_or_default();
    folded.checked_sub(PRIME_64).unwrap_or(folded)
}

/// L3-HASH (§5.4), before its mask: an inner product mod 2^36 - 5, cut to 32 bits.
fn inner_product(keys: &[u64; 4], value: u64) -> u32 {
    let value = value.to_be_bytes();
    let (parts, _) = value.as_chunks();
    let whole = parts.iter().zip(keys).fold(0_u64, |sum, (part, key)| {
        sum.wrapping_add(u64::from(u16::from_be_bytes(*part)).wrapping_mul(*key))
    });
    // 2^36 is 5 here. Folded rather than divided: how long a division takes depends on what is divided.
    let folded = (whole & ((1 << 36) - 1)).wrapping_add((whole >> 36).wrapping_mul(5));
    let residue = folded.checked_sub(PRIME_36).unwrap_or(folded);
    let [_, _, _, _, low @ ..] = residue.to_be_bytes();
    u32::from_be_bytes(low)
}

/// KDF (§3.2): `bytes` bytes under an index.
fn derived(cipher: &Aes128, index: u128, bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.next_multiple_of(KEY_BYTES)));
    let mut counter = 0_u128;
    while out.len() < bytes {
        counter = counter.saturating_add(1);
        let mut block = ((index << 64) | counter).to_be_bytes().into();
        cipher.encrypt_block(&mut block);
        out.extend_from_slice(&block);
    }
    out.truncate(bytes);
    out
}

fn aes128(key: &[u8]) -> Result<Aes128, KeysError> {
    Aes128::new_from_slice(key).map_err(|_| KeysError::Length {
        algorithm: "umac",
        what: "key",
        needed: KEY_BYTES,
        found: key.len(),
    })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word))
}

fn long_words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word))
}

/// The key: AES-128's.
const KEY_BYTES: usize = 16;

/// What NH takes at once.
const BLOCK_BYTES: usize = 32;
const BLOCK_WORDS: usize = BLOCK_BYTES / 4;

/// `L1KEYLEN`: what NH compresses to 8 bytes.
const NH_BYTES: usize = 1024;

/// How far apart the keys of two streams begin.
const SHIFT_WORDS: usize = 4;

/// The longest message for which the polynomial mod 2^64 - 59 is enough: 2^17 bytes of NH's values (§5.3.1).
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

const _: () = assert!(LENGTH_BYTES + MAX_PACKET_BYTES <= MAX_MESSAGE_BYTES);

/// How far `p64` is below 2^64 (§2.3).
const PRIME_64_BELOW: u64 = 59;
const PRIME_64: u64 = 0_u64.wrapping_sub(PRIME_64_BELOW);

/// Values from 2^64 - 2^32 on are shifted below `p64`.
const FIRST_SHIFTED: u64 = 0xffff_ffff_0000_0000;

/// The bits a polynomial's key may have.
const POLYNOMIAL_KEY_BITS: u64 = 0x01ff_ffff_01ff_ffff;

/// `p36`.
const PRIME_36: u64 = (1 << 36) - 5;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"abcdefghijklmnop";
    const NONCE: u64 = u64::from_be_bytes(*b"bcdefghi");

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn tag<const STREAMS: usize>(nonce: u64, message: &[u8]) -> String {
        let mut tag = vec![0; STREAMS * 4];
        Keyed::<STREAMS>::new(KEY)
            .unwrap()
            .tag_under(nonce, message, &mut tag);
        hex(&tag)
    }

    #[test]
    fn the_examples_of_rfc_4418_come_out() {
        // RFC 4418, appendix; its 96-bit tags are the first three streams of UMAC-128. The fourth stream's are from
        // GNU Nettle's testsuite/umac-test.c. The RFC's example of 32 MiB is beyond what a packet holds.
        for (text, times, umac_64, umac_96, fourth) in [
            ("", 0, "6E155FAD26900BE1", "32FEDB100C79AD58F07FF764", "3CC60465"),
            ("a", 3, "44B5CB542F220104", "185E4FE905CBA7BD85E4C2DC", "3D117D8D"),
            (
                "a",
                1 << 10,
                "26BF2F5D60118BD9",
                "7A54ABE04AF82D60FB298C3C",
                "BD195BCB",
            ),
            (
                "a",
                1 << 15,
                "27F8EF643B0D118D",
                "7B136BD911E4B734286EF2BE",
                "501F2C3C",
            ),
            (
                "a",
                1 << 20,
                "A4477E87E9F55853",
                "F8ACFA3AC31CFEEA047F7B11",
                "5B03BEF5",
            ),
            (
                "abc",
                1,
                "D4D7B9F6BD4FBFCF",
                "883C3D4B97A61976FFCF2323",
                "08CBA5A5",
            ),
            (
                "abc",
                500,
                "D4CF26DDEFD5C01A",
                "8824A260C53C66A36C9260A6",
                "2CB83AA1",
            ),
        ] {
            let message = text.repeat(times);
            assert_eq!(tag::<2>(NONCE, message.as_bytes()), umac_64, "{text} * {times}");
            assert_eq!(
                tag::<4>(NONCE, message.as_bytes()),
                format!("{umac_96}{fourth}"),
                "{text} * {times}"
            );
        }
    }

    #[test]
    fn values_that_are_no_residues_are_marked() {
        let slow = |key: u64, sum: u64, value: u128| {
            let whole = u128::from(key) * u128::from(sum) + value;
            u64::try_from(whole % u128::from(PRIME_64)).unwrap()
        };
        let key = POLYNOMIAL_KEY_BITS;
        for sum in [0, 1, 12_345, PRIME_64 - 1] {
            for value in [0, 1, FIRST_SHIFTED - 1] {
                assert_eq!(polynomial_step(key, sum, value), slow(key, sum, value.into()));
            }
            // RFC 4418 §5.3.2: first the marker, then the value less the offset.
            for value in [FIRST_SHIFTED, PRIME_64, u64::MAX] {
                let marked = slow(key, sum, (PRIME_64 - 1).into());
                let expected = slow(key, marked, (value - PRIME_64_BELOW).into());
                assert_eq!(polynomial_step(key, sum, value), expected);
            }
        }
    }

    #[test]
    fn inner_products_are_residues_cut_to_32_bits() {
        for keys in [[PRIME_36 - 1; 4], [0, 0, 0, 1], [1 << 35, 3, PRIME_36 - 1, 77]] {
            for value in [0, 1, 5, u64::MAX, 0x0123_4567_89ab_cdef] {
                let whole = [48, 32, 16, 0]
                    .into_iter()
                    .zip(keys)
                    .fold(0_u64, |sum, (shift, key)| sum + (value >> shift & 0xffff) * key);
                let expected = whole % PRIME_36 % (1 << 32);
                assert_eq!(u64::from(inner_product(&keys, value)), expected);
            }
        }
    }

    #[test]
    fn neighbouring_nonces_take_the_halves_of_one_pad() {
        let [even, odd] = [6, 7].map(|nonce| Keyed::<2>::new(KEY).unwrap().pad(nonce));
        assert_eq!((&even[..8], &even[8..]), (&odd[8..], &odd[..8]));
        let [even, odd] = [6, 7].map(|nonce| Keyed::<4>::new(KEY).unwrap().pad(nonce));
        assert_ne!(even[..8], odd[8..]);
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert!(matches!(
            UMAC_64.construction.keyed(&KEY[1..]).err(),
            Some(KeysError::Length { found: 15, .. })
        ));
    }
}
