//! Every registered cipher, beside every MAC where it needs one, with keys.

use ssh_wire::{Cipher, DirectionKeys, Mac, Opener, Sealer, cipher, mac, protection};

/// A cipher and, where it needs one, a MAC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite {
    /// The cipher.
    pub(crate) cipher: &'static Cipher,
    /// The MAC beside it.
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
        make(&DirectionKeys {
            cipher: self.cipher,
            mac: self.mac,
            key: &payload(self.cipher.key_bytes),
            iv: &payload(self.cipher.iv_bytes),
            mac_key: &payload(self.mac.map_or(0, |mac| mac.key_bytes)),
        })
    }

    /// Both ends of one protected direction.
    pub(crate) fn ends(self) -> (Sealer, Opener) {
        (self.sealer(), self.opener())
    }

    /// A sealer with these keys.
    pub(crate) fn sealer(self) -> Sealer {
        let mut sealer = Sealer::new([7; 32]);
        sealer.set_protection(self.with_keys(protection::sealing).unwrap(), true);
        sealer
    }

    /// An opener with these keys.
    pub(crate) fn opener(self) -> Opener {
        let mut opener = Opener::new();
        opener.set_protection(self.with_keys(protection::opening).unwrap(), true);
        opener
    }
}

/// `size` bytes that are not all the same.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Hands everything in the outbox to the opener.
pub(crate) fn deliver(sealer: &mut Sealer, opener: &mut Opener) {
    opener.read_buffer().extend_from_slice(sealer.outbox());
    sealer.outbox().clear();
}
