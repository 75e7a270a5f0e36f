//! How packets are protected: the [`Open`] and [`Seal`] seams, and the arrangements of a cipher with a MAC.
//!
//! ```text
//!                    length     padding len, payload, padding      tag
//!  Plain            │ clear   │ clear                           │     │  RFC 4253 §6, before the first NEWKEYS
//!  EncryptAndMac    │ ciphered with the rest                    │ MAC │  RFC 4253 §6.3–6.4: MAC over the plaintext
//!  encrypt_then_mac │ clear   │ ciphered                        │ MAC │  OpenSSH PROTOCOL §1.5: MAC over the ciphertext
//!  an AEAD          │ its own affair: cipher/aes_gcm/mod.rs, cipher/chacha20_poly1305.rs
//! ```

mod encrypt_then_mac;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::LENGTH_BYTES;
use crate::cipher::{Cipher, Construction, Crypt};
use crate::mac::{Authenticate, Mac};
use crate::{IntegrityError, KeysError, SealError};

/// The longest tag any arrangement here produces, in bytes: HMAC-SHA-512.
pub const MAX_TAG_BYTES: usize = 64;

/// The algorithms and keys of one direction (RFC 4253 §7.2).
#[derive(Clone, Copy)]
pub struct DirectionKeys<'a> {
    /// The cipher.
    pub cipher: &'static Cipher,
    /// The MAC, where the cipher needs one; beside an AEAD it is ignored.
    pub mac: Option<&'static Mac>,
    /// [`Cipher::key_bytes`] bytes.
    pub key: &'a [u8],
    /// [`Cipher::iv_bytes`] bytes.
    pub iv: &'a [u8],
    /// [`Mac::key_bytes`] bytes.
    pub mac_key: &'a [u8],
}

impl std::fmt::Debug for DirectionKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectionKeys")
            .field("cipher", &self.cipher)
            .field("mac", &self.mac)
            .finish_non_exhaustive()
    }
}

/// What the framing must know of a protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What a packet's length must be a multiple of, in bytes: 8 or the cipher's block.
    pub block_bytes: usize,
    /// The MAC or tag behind the packet, in bytes.
    pub tag_bytes: usize,
    /// How many of a packet's first bytes [`Open::packet_length`] needs: 4, or a block where the length is ciphered
    /// together with what follows.
    pub head_bytes: usize,
    /// Whether the four bytes of the length count towards the multiple.
    pub length_is_aligned: bool,
    /// Whether the length is deciphered before anything is authenticated. Then an impossible one is what comes of a packet
    /// that was changed, or of one that is missing, and counts as a wrong MAC.
    pub length_is_ciphered: bool,
    /// Whether impossible lengths, wrong MACs and bad padding must look the same from outside: the maximum is read,
    /// and then it is a wrong MAC (CVE-2008-5161).
    pub hides_bad_length: bool,
}

/// The keyed state that opens one direction's packets.
pub trait Open: Send {
    /// How its packets are laid out; the same for its whole life.
    fn shape(&self) -> Shape;

    /// The `packet_length` of the packet that begins with `head`, which is [`Shape::head_bytes`] long and may be
    /// deciphered in place. Asked once per packet. The answer is not authenticated yet.
    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32;

    /// Checks and deciphers a whole packet in place, length and tag included. On success everything between them is
    /// plaintext; on failure the bytes are nobody's business.
    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError>;

    /// Whether [`open_before`](Self::open_before) takes less time than [`open`](Self::open) for each. Only where
    /// lengths are clear.
    fn looks_ahead(&self) -> bool {
        false
    }

    /// Like [`open`](Self::open), with the packet behind this one, whole and as it came: what both need may be computed
    /// at once. That packet is opened later, unchanged, or never.
    fn open_before(&mut self, sequence: u32, packet: &mut [u8], next: &[u8]) -> Result<(), IntegrityError> {
        let _not_needed = next;
        self.open(sequence, packet)
    }
}

/// The keyed state that protects one direction's packets.
pub trait Seal: Send {
    /// How its packets are laid out; the same for its whole life.
    fn shape(&self) -> Shape;

    /// Protects a whole packet in place; its last [`Shape::tag_bytes`] bytes are room for the tag.
    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SealError>;

    /// The steps of sealing, where the second takes less time for two packets at once.
    fn in_steps(&mut self) -> Option<&mut dyn SealInSteps> {
        None
    }
}

/// A packet and its sequence number.
pub type Numbered<'p> = (u32, &'p mut [u8]);

/// Sealing in two steps: a packet that is enciphered may wait for its tag.
pub trait SealInSteps {
    /// Enciphers a whole packet in place, all but its tag. Packets come in their order.
    fn encipher(&mut self, packet: &mut [u8]) -> Result<(), SealError>;

    /// Fills the tag of a packet that is enciphered.
    fn tag(&mut self, packet: Numbered<'_>) -> Result<(), SealError>;

    /// Fills the tags of two packets that are enciphered.
    fn tag_two(&mut self, packet: Numbered<'_>, other: Numbered<'_>) -> Result<(), SealError>;
}

/// The state that opens what the holder of these keys sealed.
pub fn opening(keys: &DirectionKeys<'_>) -> Result<Box<dyn Open>, KeysError> {
    keys.cipher.check_lengths(keys.key, keys.iv)?;
    Ok(match &keys.cipher.construction {
        Construction::Aead(aead) => aead.opening(keys.key, keys.iv)?,
        Construction::NeedsMac(stream) => match Pair::new(keys, stream.decrypting(keys.key, keys.iv)?)? {
            (pair, Order::EncryptThenMac) => Box::new(encrypt_then_mac::Opening::new(pair)),
            (pair, Order::EncryptAndMac) => Box::new(EncryptAndMac(pair)),
        },
    })
}

/// The state that seals what the holder of these keys opens.
pub fn sealing(keys: &DirectionKeys<'_>) -> Result<Box<dyn Seal>, KeysError> {
    keys.cipher.check_lengths(keys.key, keys.iv)?;
    Ok(match &keys.cipher.construction {
        Construction::Aead(aead) => aead.sealing(keys.key, keys.iv)?,
        Construction::NeedsMac(stream) => match Pair::new(keys, stream.encrypting(keys.key, keys.iv)?)? {
            (pair, Order::EncryptThenMac) => Box::new(encrypt_then_mac::Sealing(pair)),
            (pair, Order::EncryptAndMac) => Box::new(EncryptAndMac(pair)),
        },
    })
}

/// No protection: the state before the first NEWKEYS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

const PLAIN_SHAPE: Shape = Shape {
    block_bytes: 8,
    tag_bytes: 0,
    head_bytes: LENGTH_BYTES,
    length_is_aligned: true,
    length_is_ciphered: false,
    hides_bad_length: false,
};

impl Open for Plain {
    fn shape(&self) -> Shape {
        PLAIN_SHAPE
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, _sequence: u32, _packet: &mut [u8]) -> Result<(), IntegrityError> {
        Ok(())
    }
}

impl Seal for Plain {
    fn shape(&self) -> Shape {
        PLAIN_SHAPE
    }

    fn seal(&mut self, _sequence: u32, _packet: &mut [u8]) -> Result<(), SealError> {
        Ok(())
    }
}

/// RFC 4253 §6.4: the whole packet is ciphered, the MAC is over the plaintext.
struct EncryptAndMac(Pair);

impl EncryptAndMac {
    const fn shape(&self) -> Shape {
        Shape {
            block_bytes: self.0.block_bytes,
            tag_bytes: self.0.tag_bytes,
            head_bytes: self.0.block_bytes,
            length_is_aligned: true,
            length_is_ciphered: true,
            hides_bad_length: true,
        }
    }
}

impl Open for EncryptAndMac {
    fn shape(&self) -> Shape {
        self.shape()
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        self.0.crypt.apply(head);
        clear_length(head)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
        let (body, tag) = self.0.split(packet).ok_or(IntegrityError)?;
        // The head was deciphered when its length was asked for.
        let rest = body.get_mut(self.0.block_bytes..).ok_or(IntegrityError)?;
        self.0.crypt.apply(rest);
        self.0.check(sequence, body, tag)
    }
}

impl Seal for EncryptAndMac {
    fn shape(&self) -> Shape {
        self.shape()
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SealError> {
        let (body, tag) = self.0.split(packet).ok_or(SealError::Refused)?;
        self.0.mac.tag(sequence, body, tag);
        self.0.crypt.apply(body);
        Ok(())
    }
}

/// Which of the two comes first, as the MAC's name says.
enum Order {
    EncryptThenMac,
    EncryptAndMac,
}

/// A keyed cipher and a keyed MAC.
struct Pair {
    crypt: Box<dyn Crypt>,
    block_bytes: usize,
    mac: Box<dyn Authenticate>,
    tag_bytes: usize,
}

impl Pair {
    fn new(keys: &DirectionKeys<'_>, crypt: Box<dyn Crypt>) -> Result<(Self, Order), KeysError> {
        let mac = keys.mac.ok_or(KeysError::MacMissing {
            cipher: keys.cipher.name,
        })?;
        mac.check_length(keys.mac_key)?;
        let pair = Self {
            crypt,
            block_bytes: keys.cipher.block_bytes,
            mac: mac.construction.keyed(keys.mac_key)?,
            tag_bytes: mac.mac_bytes,
        };
        let order = if mac.etm {
            Order::EncryptThenMac
        } else {
            Order::EncryptAndMac
        };
        Ok((pair, order))
    }

    /// The packet before its tag, and the tag.
    fn split<'p>(&self, packet: &'p mut [u8]) -> Option<(&'p mut [u8], &'p mut [u8])> {
        let body = packet.len().checked_sub(self.tag_bytes)?;
        packet.split_at_mut_checked(body)
    }

    /// The packet before its tag, and as much of `room` as the tag is long.
    fn room<'p, 'r>(
        &self,
        packet: &'p [u8],
        room: &'r mut [u8; MAX_TAG_BYTES],
    ) -> Option<(&'p [u8], &'r mut [u8])> {
        let body = packet.len().checked_sub(self.tag_bytes)?;
        Some((packet.get(..body)?, room.get_mut(..self.tag_bytes)?))
    }

    fn check(&mut self, sequence: u32, body: &[u8], tag: &[u8]) -> Result<(), IntegrityError> {
        // Whoever reads the right tag of a packet they forged could send it.
        let mut room = Zeroizing::new([0; MAX_TAG_BYTES]);
        let computed = room.get_mut(..tag.len()).ok_or(IntegrityError)?;
        self.mac.tag(sequence, body, computed);
        if bool::from(computed.ct_eq(tag)) {
            Ok(())
        } else {
            Err(IntegrityError)
        }
    }
}

/// The length that stands readable at the front of `packet`.
pub(crate) fn clear_length(packet: &[u8]) -> u32 {
    packet
        .first_chunk()
        .map_or(0, |length| u32::from_be_bytes(*length))
}
