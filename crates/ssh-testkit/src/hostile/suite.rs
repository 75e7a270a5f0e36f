//! Every cipher of the registry, beside every MAC where it needs one: what tests that must hold for all of them go
//! through.

use std::fmt;

use ssh_client::wire::{Cipher, DirectionKeys, Mac, Open, Seal, cipher, mac, protection};

/// A cipher and, where it needs one, a MAC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// The cipher.
    pub cipher: &'static Cipher,
    /// The MAC; `None` beside a cipher that authenticates by itself.
    pub mac: Option<&'static Mac>,
}

/// How a suite puts its parts together: what differs in the way it can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Construction {
    /// The cipher authenticates, and the length stands in the clear.
    AeadClearLength,
    /// The cipher authenticates, and the length is enciphered by itself.
    AeadHiddenLength,
    /// The MAC is over the plaintext of a stream cipher.
    StreamAndMac,
    /// The MAC is over the plaintext of chained blocks.
    ChainAndMac,
    /// The MAC is over the ciphertext of a stream cipher.
    StreamThenMac,
    /// The MAC is over the ciphertext of chained blocks.
    ChainThenMac,
}

impl Suite {
    /// Every suite of the registries.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for &cipher in cipher::ALL {
            if cipher.needs_mac() {
                all.extend(mac::ALL.iter().map(|&mac| Self {
                    cipher,
                    mac: Some(mac),
                }));
            } else {
                all.push(Self { cipher, mac: None });
            }
        }
        all
    }

    /// The first suite of each construction.
    pub fn one_of_each() -> Vec<Self> {
        let mut seen = Vec::new();
        let mut all = Self::all();
        all.retain(|suite| {
            let new = !seen.contains(&suite.construction());
            seen.push(suite.construction());
            new
        });
        all
    }

    /// The suite of these names.
    ///
    /// # Panics
    /// No such algorithm is registered.
    pub fn named(cipher_name: &str, mac_name: &str) -> Self {
        let cipher = cipher::find(cipher_name).unwrap_or_else(|| panic!("no cipher {cipher_name}"));
        let mac = cipher
            .needs_mac()
            .then(|| mac::find(mac_name).unwrap_or_else(|| panic!("no MAC {mac_name}")));
        Self { cipher, mac }
    }

    /// How its parts are put together.
    pub fn construction(self) -> Construction {
        let chained = self.cipher.name.contains("cbc");
        match self.mac {
            None if self.cipher.name.starts_with("chacha20") => Construction::AeadHiddenLength,
            None => Construction::AeadClearLength,
            Some(mac) if mac.etm && chained => Construction::ChainThenMac,
            Some(mac) if mac.etm => Construction::StreamThenMac,
            Some(_) if chained => Construction::ChainAndMac,
            Some(_) => Construction::StreamAndMac,
        }
    }

    /// Whether an impossible length must look like a wrong MAC from outside.
    pub fn hides_bad_length(self) -> bool {
        matches!(
            self.construction(),
            Construction::StreamAndMac | Construction::ChainAndMac
        )
    }

    /// Whether the four bytes of the length count towards the multiple that a packet fills.
    pub fn length_is_aligned(self) -> bool {
        self.hides_bad_length()
    }

    /// The bytes behind a packet.
    pub fn tag_bytes(self) -> usize {
        self.mac.map_or(self.cipher.tag_bytes, |mac| mac.mac_bytes)
    }

    /// Made-up keys that fit.
    pub fn keys(self) -> Keys {
        let bytes = |count: usize, salt: usize| (0..count).map(|at| (at * 7 + salt) as u8).collect();
        Keys {
            suite: self,
            key: bytes(self.cipher.key_bytes, 1),
            iv: bytes(self.cipher.iv_bytes, 2),
            mac_key: bytes(self.mac.map_or(0, |mac| mac.key_bytes), 3),
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cipher.name)?;
        self.mac.map_or(Ok(()), |mac| write!(f, " {}", mac.name))
    }
}

/// One direction's keys, kept by whoever wants to lie with them.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(super) suite: Suite,
    pub(super) key: Vec<u8>,
    pub(super) iv: Vec<u8>,
    pub(super) mac_key: Vec<u8>,
}

impl Keys {
    fn borrowed(&self) -> DirectionKeys<'_> {
        DirectionKeys {
            cipher: self.suite.cipher,
            mac: self.suite.mac,
            key: &self.key,
            iv: &self.iv,
            mac_key: &self.mac_key,
        }
    }

    /// A fresh state that seals with them.
    ///
    /// # Panics
    /// They do not fit the suite.
    pub fn sealing(&self) -> Box<dyn Seal> {
        protection::sealing(&self.borrowed()).expect("keys of the right length")
    }

    /// A fresh state that opens with them.
    ///
    /// # Panics
    /// They do not fit the suite.
    pub fn opening(&self) -> Box<dyn Open> {
        protection::opening(&self.borrowed()).expect("keys of the right length")
    }
}
