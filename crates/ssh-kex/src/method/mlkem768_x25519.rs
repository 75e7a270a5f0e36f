//! `mlkem768x25519-sha256` (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM-768 (FIPS 203) beside X25519.
//!
//! ```text
//! C_INIT  = ML-KEM encapsulation key (1184) ‖ X25519 public value (32)
//! S_REPLY = ML-KEM ciphertext (1088)        ‖ X25519 public value (32)
//! K       = string( SHA-256( ML-KEM secret (32) ‖ X25519 secret (32) ) )
//! ```

use ml_kem::kem::{Decapsulate, Encapsulate, Key, KeyExport};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, Seed};
use zeroize::{Zeroize, Zeroizing};

use super::curve25519::X25519;
use super::ecdh::KeyPair;
use super::{
    Agreement, ClientHalf, ClientStep, HostKeyProof, KexEcdhInit, KexEcdhReply, Method, MethodError,
    ServerHalf, ServerStep, both_shares, ecdh_reply,
};
use crate::exchange_hash::{Hash, SharedSecret};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Decode, Encode, Tier};

/// draft-ietf-sshm-mlkem-hybrid-kex.
pub static MLKEM768_X25519_SHA256: Method = Method {
    name: "mlkem768x25519-sha256",
    tier: Tier::Recommended,
    hash: Hash::SHA256,
    client: new_client,
    server: new_server,
};

/// The length of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// The length of an ML-KEM-768 ciphertext (FIPS 203, table 3).
const CIPHERTEXT_BYTES: usize = 1088;

fn new_client(rng: &mut dyn CryptoRng) -> Box<dyn ClientHalf> {
    let mut seed = Seed::default();
    rng.fill_bytes(&mut seed);
    let kem = DecapsulationKey::from_seed(seed);
    seed.zeroize();
    let keys = X25519::generate(rng);
    let mut share = kem.encapsulation_key().to_bytes().to_vec();
    share.extend_from_slice(keys.share());
    Box::new(Client { kem, keys, share })
}

fn new_server(rng: &mut dyn CryptoRng) -> Box<dyn ServerHalf> {
    Box::new(Server {
        keys: X25519::generate(rng),
    })
}

/// A client that has sent its share.
struct Client {
    kem: DecapsulationKey,
    keys: X25519,
    share: Vec<u8>,
}

impl ClientHalf for Client {
    fn first_message(&self) -> Vec<u8> {
        KexEcdhInit {
            client_share: &self.share,
        }
        .to_bytes()
    }

    fn receive<'a>(self: Box<Self>, payload: &'a [u8]) -> Result<ClientStep<'a>, MethodError> {
        let reply = KexEcdhReply::from_bytes(payload)?;
        let (ciphertext, point) = split_share(reply.server_share, CIPHERTEXT_BYTES, "server share")?;
        let ciphertext = Ciphertext::try_from(ciphertext).map_err(|_| MethodError::ShareLength {
            what: "ML-KEM ciphertext",
            expected: CIPHERTEXT_BYTES,
            found: ciphertext.len(),
        })?;
        let exchanged = both_shares(&self.share, reply.server_share);
        let classical = self.keys.agree(point)?;
        let mut kem_secret = self.kem.decapsulate(&ciphertext);
        let secret = combine(&kem_secret, &classical);
        kem_secret.zeroize();
        Ok(ClientStep::Agreed(
            Agreement { exchanged, secret },
            HostKeyProof {
                host_key: reply.host_key,
                signature: reply.signature,
            },
        ))
    }
}

/// A server that waits for the client's share.
struct Server {
    keys: X25519,
}

impl ServerHalf for Server {
    fn receive(self: Box<Self>, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError> {
        let init = KexEcdhInit::from_bytes(payload)?;
        let (key, point) = split_share(init.client_share, ENCAPSULATION_KEY_BYTES, "client share")?;
        let key = Key::<EncapsulationKey>::try_from(key).map_err(|_| MethodError::ShareLength {
            what: "ML-KEM encapsulation key",
            expected: ENCAPSULATION_KEY_BYTES,
            found: key.len(),
        })?;
        // FIPS 203 §7.2, the modulus check: a coefficient that is not reduced makes this fail.
        let kem = EncapsulationKey::new(&key).map_err(|_| {
            MethodError::ShareValue("an ML-KEM encapsulation key with a coefficient that is not reduced")
        })?;
        let (ciphertext, mut kem_secret) = kem.encapsulate_with_rng(rng);
        let mut share = ciphertext.to_vec();
        share.extend_from_slice(self.keys.share());
        let classical = self.keys.agree(point)?;
        let secret = combine(&kem_secret, &classical);
        kem_secret.zeroize();
        let exchanged = both_shares(init.client_share, &share);
        Ok(ServerStep::Agreed(
            Agreement { exchanged, secret },
            ecdh_reply(&share),
        ))
    }
}

/// The two parts of a share: `kem_bytes` of ML-KEM, then X25519.
fn split_share<'a>(
    share: &'a [u8],
    kem_bytes: usize,
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8]), MethodError> {
    let expected = kem_bytes.saturating_add(X25519::SHARE_BYTES);
    if share.len() != expected {
        return Err(MethodError::ShareLength {
            what,
            expected,
            found: share.len(),
        });
    }
    Ok(share.split_at_checked(kem_bytes).unwrap_or_default())
}

/// K from both secrets: as long as one of them is unknown to an attacker, so is their hash.
fn combine(kem: &B32, classical: &[u8]) -> SharedSecret {
    SharedSecret::String(Zeroizing::new(
        Hash::SHA256.digest(&[kem, classical]).as_ref().to_vec(),
    ))
}
