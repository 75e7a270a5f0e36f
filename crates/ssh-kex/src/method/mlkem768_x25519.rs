//! `mlkem768x25519-sha256` (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM-768 (FIPS 203) beside X25519.
//!
//! ```text
//! C_INIT  = ML-KEM encapsulation key (1184) ‖ X25519 public value (32)
//! S_REPLY = ML-KEM ciphertext (1088)        ‖ X25519 public value (32)
//! K       = string( SHA-256( ML-KEM secret (32) ‖ X25519 secret (32) ) )
//! ```

use super::curve25519::X25519;
use super::hybrid;
use super::mlkem::MlKem768;
use super::{Method, NewClient};
use crate::exchange_hash::Hash;
use crate::wire::Tier;

/// draft-ietf-sshm-mlkem-hybrid-kex.
pub static MLKEM768_X25519_SHA256: Method = Method {
    name: "mlkem768x25519-sha256",
    tier: Tier::Recommended,
    is_post_quantum: true,
    hash: Hash::SHA256,
    client: NewClient::Ahead(|rng| hybrid::client::<MlKem768, X25519>(Hash::SHA256, rng)),
    server: |_, rng| hybrid::server::<MlKem768, X25519>(Hash::SHA256, rng),
};
