//! MACs (RFC 4253 §6.4): one static descriptor each, in one list whose order is the order of preference.
//!
//! To add one: its file beside this one with a `pub static` [`Mac`], and its line in [`ALL`].

mod hmac;
mod hmac_md5;
mod umac;

use crate::{KeysError, Tier};

pub use hmac::{
    HMAC_SHA1, HMAC_SHA1_96, HMAC_SHA1_96_ETM, HMAC_SHA1_ETM, HMAC_SHA2_256, HMAC_SHA2_256_ETM,
    HMAC_SHA2_512, HMAC_SHA2_512_ETM,
};
pub use hmac_md5::{HMAC_MD5, HMAC_MD5_96, HMAC_MD5_96_ETM, HMAC_MD5_ETM};
pub use umac::{UMAC_64, UMAC_64_ETM, UMAC_128, UMAC_128_ETM};

/// Every MAC, the preferred one first.
pub static ALL: &[&Mac] = &[
    &HMAC_SHA2_256_ETM,
    &HMAC_SHA2_512_ETM,
    &UMAC_128_ETM,
    &HMAC_SHA2_256,
    &HMAC_SHA2_512,
    &UMAC_128,
    &UMAC_64_ETM,
    &HMAC_SHA1_ETM,
    &UMAC_64,
    &HMAC_SHA1,
    &HMAC_SHA1_96_ETM,
    &HMAC_SHA1_96,
    &HMAC_MD5_ETM,
    &HMAC_MD5,
    &HMAC_MD5_96_ETM,
    &HMAC_MD5_96,
];

/// The MAC of that name.
pub fn find(name: &str) -> Option<&'static Mac> {
    ALL.iter().copied().find(|mac| mac.name == name)
}

/// What a MAC is called, what it needs, and how its keyed state is made.
pub struct Mac {
    /// Its name in KEXINIT.
    pub name: &'static str,
    /// The key, in bytes.
    pub key_bytes: usize,
    /// The tag behind a packet, in bytes; [`MAX_TAG_BYTES`](crate::protection::MAX_TAG_BYTES) at most.
    pub mac_bytes: usize,
    /// Whether it covers the ciphertext (`-etm@openssh.com`) rather than the plaintext.
    pub etm: bool,
    /// Who should use it.
    pub tier: Tier,
    /// How its keyed state is made.
    pub construction: &'static dyn Construction,
}

/// The constructor of a MAC.
pub trait Construction: Sync {
    /// The state keyed with a key of [`Mac::key_bytes`].
    fn keyed(&self, key: &[u8]) -> Result<Box<dyn Authenticate>, KeysError>;
}

/// The keyed state of a MAC.
pub trait Authenticate: Send {
    /// Fills `tag` (as long as [`Mac::mac_bytes`] says) with the MAC of the sequence number and `packet`.
    fn tag(&mut self, sequence: u32, packet: &[u8], tag: &mut [u8]);

    /// Whether [`tag_two`](Self::tag_two) takes less time than [`tag`](Self::tag) twice.
    fn gains_by_pairs(&self) -> bool {
        false
    }

    /// Fills the tags of two packets, each given with its sequence number.
    fn tag_two(&mut self, packets: [(u32, &[u8]); 2], tags: [&mut [u8]; 2]) {
        for ((sequence, packet), tag) in packets.into_iter().zip(tags) {
            self.tag(sequence, packet, tag);
        }
    }
}

impl Mac {
    /// The same, covering the ciphertext.
    const fn etm(self) -> Self {
        Self { etm: true, ..self }
    }

    /// Whether the key has the length this MAC takes.
    pub(crate) const fn check_length(&self, key: &[u8]) -> Result<(), KeysError> {
        if key.len() == self.key_bytes {
            return Ok(());
        }
        Err(KeysError::Length {
            algorithm: self.name,
            what: "key",
            needed: self.key_bytes,
            found: key.len(),
        })
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Mac {}
