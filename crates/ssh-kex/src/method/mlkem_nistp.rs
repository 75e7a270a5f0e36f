//! `mlkem768nistp256-sha256` and `mlkem1024nistp384-sha384` (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM (FIPS 203) beside a
//! NIST curve, for those who may use nothing else.
//!
//! ```text
//! C_INIT  = ML-KEM encapsulation key (1184 or 1568) ‖ uncompressed point (65 or 97)
//! S_REPLY = ML-KEM ciphertext (1088 or 1568)        ‖ uncompressed point (65 or 97)
//! K       = string( HASH( ML-KEM secret (32) ‖ x of the shared point (32 or 48) ) )
//! ```

use p256::NistP256;
use p384::NistP384;

use super::ecdh_nistp::Nist;
use super::hybrid;
use super::mlkem::{MlKem768, MlKem1024};
use super::{Method, NewClient};
use crate::exchange_hash::Hash;
use crate::wire::Tier;

/// ML-KEM-768 with P-256.
pub static MLKEM768_NISTP256_SHA256: Method = Method {
    name: "mlkem768nistp256-sha256",
    tier: Tier::Compatible,
    is_post_quantum: true,
    hash: Hash::SHA256,
    client: NewClient::Ahead(|rng| hybrid::client::<MlKem768, Nist<NistP256>>(Hash::SHA256, rng)),
    server: |_, rng| hybrid::server::<MlKem768, Nist<NistP256>>(Hash::SHA256, rng),
};

/// ML-KEM-1024 with P-384.
pub static MLKEM1024_NISTP384_SHA384: Method = Method {
    name: "mlkem1024nistp384-sha384",
    tier: Tier::Compatible,
    is_post_quantum: true,
    hash: Hash::SHA384,
    client: NewClient::Ahead(|rng| hybrid::client::<MlKem1024, Nist<NistP384>>(Hash::SHA384, rng)),
    server: |_, rng| hybrid::server::<MlKem1024, Nist<NistP384>>(Hash::SHA384, rng),
};
