//! The two halves of the packet layer with keys in them.

use ssh_client::wire::protection::{DirectionKeys, opening, sealing};
use ssh_client::wire::{Cipher, Mac, Opener, Sealer, mac};

/// A sealer that protects with `cipher`, and with HMAC-SHA2-256 behind it where the cipher needs a MAC.
///
/// # Panics
///
/// Never, but for a cipher that is none of ours.
pub fn sealer(cipher: &'static Cipher) -> Sealer {
    let mut sealer = Sealer::new([9; 32]);
    sealer.set_protection(with_keys(cipher, |keys| sealing(keys).expect("keys")), true);
    sealer
}

/// An opener of what [`sealer`] seals.
///
/// # Panics
///
/// Never, but for a cipher that is none of ours.
pub fn opener(cipher: &'static Cipher) -> Opener {
    let mut opener = Opener::new();
    opener.set_protection(with_keys(cipher, |keys| opening(keys).expect("keys")), true);
    opener
}

fn mac_of(cipher: &Cipher) -> Option<&'static Mac> {
    cipher
        .needs_mac()
        .then(|| mac::find("hmac-sha2-256-etm@openssh.com").expect("it is registered"))
}

fn with_keys<T>(cipher: &'static Cipher, make: impl FnOnce(&DirectionKeys<'_>) -> T) -> T {
    let mac = mac_of(cipher);
    let (key, iv) = (vec![1; cipher.key_bytes], vec![2; cipher.iv_bytes]);
    let mac_key = vec![3; mac.map_or(0, |mac| mac.key_bytes)];
    make(&DirectionKeys {
        cipher,
        mac,
        key: &key,
        iv: &iv,
        mac_key: &mac_key,
    })
}
