//! Every registered cipher, beside every MAC where it needs one, with keys.

use std::fmt;

use ssh_wire::{Cipher, DirectionKeys, Mac, Opener, Seal, Sealer, cipher, mac, protection};

/// A cipher and, where it needs one, a MAC.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) cipher: &'static Cipher,
    pub(crate) mac: Option<&'static Mac>,
}

/// Every suite there is.
pub(crate) fn suites() -> Vec<Suite> {
    let mut all = Vec::new();
    for &cipher in cipher::ALL {
        if cipher.needs_mac() {
            all.extend(mac::ALL.iter().map(|&mac| Suite {
                cipher,
                mac: Some(mac),
            }));
        } else {
            all.push(Suite { cipher, mac: None });
        }
    }
    all
}

impl Suite {
    /// The keys of these tests, handed to `make`.
    pub(crate) fn with_keys<T>(self, make: impl FnOnce(&DirectionKeys<'_>) -> T) -> T {
        self.with_keys_from(0, make)
    }

    /// The keys of the other direction, handed to `make`.
    pub(crate) fn with_other_keys<T>(self, make: impl FnOnce(&DirectionKeys<'_>) -> T) -> T {
        self.with_keys_from(1, make)
    }

    fn with_keys_from<T>(self, first: usize, make: impl FnOnce(&DirectionKeys<'_>) -> T) -> T {
        make(&DirectionKeys {
            cipher: self.cipher,
            mac: self.mac,
            key: &payload(first + self.cipher.key_bytes)[first..],
            iv: &payload(first + self.cipher.iv_bytes)[first..],
            mac_key: &payload(first + self.mac.map_or(0, |mac| mac.key_bytes))[first..],
        })
    }

    /// Both ends of one protected direction.
    pub(crate) fn ends(self) -> (Sealer, Opener) {
        let mut sealer = Sealer::new([7; 32]);
        sealer.set_protection(self.seal(), true);
        (sealer, self.opener())
    }

    /// The end that opens.
    pub(crate) fn opener(self) -> Opener {
        let mut opener = Opener::new();
        opener.set_protection(self.with_keys(protection::opening).unwrap(), true);
        opener
    }

    /// The bare state that seals.
    pub(crate) fn seal(self) -> Box<dyn Seal> {
        self.with_keys(protection::sealing).unwrap()
    }

    /// Packet number 0 with that length field and whatever stands behind it, protected with the right keys.
    pub(crate) fn forge(self, length: u32, rest: &[u8]) -> Vec<u8> {
        let mut seal = self.seal();
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend_from_slice(rest);
        packet.resize(packet.len() + seal.shape().tag_bytes, 0);
        seal.seal(0, &mut packet).unwrap();
        packet
    }

    /// Whether a length that is not allowed must look like a wrong MAC.
    pub(crate) fn hides_bad_length(self) -> bool {
        self.seal().shape().hides_bad_length
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cipher.name)?;
        self.mac.map_or(Ok(()), |mac| write!(f, " {}", mac.name))
    }
}

/// `size` bytes that are not all the same.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Takes everything out of the outbox.
pub(crate) fn sealed(sealer: &mut Sealer) -> Vec<u8> {
    std::mem::take(sealer.outbox())
}

/// Hands everything in the outbox to the opener.
pub(crate) fn deliver(sealer: &mut Sealer, opener: &mut Opener) {
    opener.read_buffer().extend_from_slice(sealer.outbox());
    sealer.outbox().clear();
}

/// Numbers below a bound, the same ones in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The generator of Knuth's MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
