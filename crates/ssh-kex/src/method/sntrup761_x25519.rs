//! `sntrup761x25519-sha512` (RFC 9941), also under the name it had before there was an RFC: Streamlined NTRU Prime
//! beside X25519.
//!
//! ```text
//! C_INIT  = sntrup761 public key (1158) ‖ X25519 public value (32)
//! S_REPLY = sntrup761 ciphertext (1039) ‖ X25519 public value (32)
//! K       = string( SHA-512( sntrup761 secret (32) ‖ X25519 secret (32) ) )
//! ```
//!
//! Every public key and every ciphertext of the right length decodes: there is nothing to refuse but the length.

use sntrup761::{CIPHERTEXT_SIZE, Ciphertext, DecapsulationKey, EncapsulationKey, PUBLIC_KEY_SIZE};
use zeroize::Zeroizing;

use super::curve25519::X25519;
use super::hybrid::{self, Kem};
use super::{Method, NewClient};
use crate::exchange_hash::Hash;
use crate::wire::Tier;
use crate::wire::rand_core::CryptoRng;

/// RFC 9941.
pub static SNTRUP761_X25519_SHA512: Method = Method {
    name: "sntrup761x25519-sha512",
    tier: Tier::Recommended,
    is_post_quantum: true,
    hash: Hash::SHA512,
    client: NewClient::Ahead(|rng| hybrid::client::<Sntrup761, X25519>(Hash::SHA512, rng)),
    server: |_, rng| hybrid::server::<Sntrup761, X25519>(Hash::SHA512, rng),
};

/// The same under the name OpenSSH gave it; the only one that OpenSSH 8.5 to 9.8 know.
pub static SNTRUP761_X25519_SHA512_OPENSSH: Method = Method {
    name: "sntrup761x25519-sha512@openssh.com",
    tier: Tier::Recommended,
    is_post_quantum: true,
    hash: Hash::SHA512,
    client: NewClient::Ahead(|rng| hybrid::client::<Sntrup761, X25519>(Hash::SHA512, rng)),
    server: |_, rng| hybrid::server::<Sntrup761, X25519>(Hash::SHA512, rng),
};

/// Streamlined NTRU Prime with the parameters 761, 4591, 286.
struct Sntrup761(DecapsulationKey);

impl Kem for Sntrup761 {
    const KEY_BYTES: usize = PUBLIC_KEY_SIZE;
    const CIPHERTEXT_BYTES: usize = CIPHERTEXT_SIZE;

    fn generate(rng: &mut dyn CryptoRng) -> (Self, Vec<u8>) {
        let (public, secret) = sntrup761::generate_key(rng);
        (Self(secret), public.as_ref().to_vec())
    }

    fn encapsulate(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        let (ciphertext, secret) = EncapsulationKey::try_from(key).ok()?.encapsulate(rng);
        Some((
            ciphertext.as_ref().to_vec(),
            Zeroizing::new(secret.as_ref().to_vec()),
        ))
    }

    fn decapsulate(self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.0.decapsulate(&Ciphertext::try_from(ciphertext).ok()?);
        Some(Zeroizing::new(secret.as_ref().to_vec()))
    }
}
