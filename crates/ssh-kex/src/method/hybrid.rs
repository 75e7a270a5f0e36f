//! The two halves of every hybrid of a key encapsulation mechanism and a Diffie-Hellman over a curve (RFC 9941,
//! draft-ietf-sshm-mlkem-hybrid-kex).
//!
//! ```text
//! C_INIT  = the KEM's public key ‖ the client's point
//! S_REPLY = the KEM's ciphertext ‖ the server's point
//! K       = string( HASH( the KEM's secret ‖ the curve's secret ) )
//! ```
//!
//! As long as one of the two secrets is unknown to an attacker, so is their hash. What differs between the methods is a
//! [`Kem`], a [`KeyPair`] and the hash.

use zeroize::Zeroizing;

use super::ecdh::KeyPair;
use super::{
    Agreement, ClientHalf, ClientStep, HostKeyProof, KexEcdhInit, KexEcdhReply, MethodError, ServerHalf,
    ServerStep, both_shares, ecdh_reply,
};
use crate::exchange_hash::{Hash, SharedSecret};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Decode, Encode};

/// A key encapsulation mechanism; a value of it is the secret key for one exchange.
pub(super) trait Kem: Send + Sized + 'static {
    /// The length of a public key, in bytes.
    const KEY_BYTES: usize;
    /// The length of a ciphertext, in bytes.
    const CIPHERTEXT_BYTES: usize;

    /// A new secret key, and its public key.
    fn generate(rng: &mut dyn CryptoRng) -> (Self, Vec<u8>);

    /// A ciphertext for this public key of [`KEY_BYTES`](Self::KEY_BYTES), and the secret in it. `None`: no honest peer
    /// has such a key.
    fn encapsulate(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)>;

    /// The secret in a ciphertext of [`CIPHERTEXT_BYTES`](Self::CIPHERTEXT_BYTES); a forged one gives a secret that nobody
    /// knows. `None`: another length.
    fn decapsulate(self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}

/// A client half.
pub(super) fn client<M: Kem, K: KeyPair>(hash: Hash, rng: &mut dyn CryptoRng) -> Box<dyn ClientHalf> {
    let (kem, mut share) = M::generate(rng);
    let keys = K::generate(rng);
    share.extend_from_slice(keys.share());
    Box::new(Client {
        kem,
        keys,
        share,
        hash,
    })
}

/// A server half.
pub(super) fn server<M: Kem, K: KeyPair>(hash: Hash, rng: &mut dyn CryptoRng) -> Box<dyn ServerHalf> {
    Box::new(Server {
        keys: K::generate(rng),
        kem: std::marker::PhantomData::<fn() -> M>,
        hash,
    })
}

/// A client that has sent its share.
struct Client<M, K> {
    kem: M,
    keys: K,
    share: Vec<u8>,
    hash: Hash,
}

impl<M: Kem, K: KeyPair> ClientHalf for Client<M, K> {
    fn first_message(&self) -> Vec<u8> {
        KexEcdhInit {
            client_share: &self.share,
        }
        .to_bytes()
    }

    fn receive<'a>(
        self: Box<Self>,
        payload: &'a [u8],
        _rng: &mut dyn CryptoRng,
    ) -> Result<ClientStep<'a>, MethodError> {
        let reply = KexEcdhReply::from_bytes(payload)?;
        let (ciphertext, point) = split_share::<K>(reply.server_share, M::CIPHERTEXT_BYTES, "server share")?;
        let exchanged = both_shares(&self.share, reply.server_share);
        let classical = self.keys.agree(point)?;
        let secret = self
            .kem
            .decapsulate(ciphertext)
            .ok_or(MethodError::ShareValue("no ciphertext"))?;
        let secret = combine(self.hash, &secret, &classical);
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
struct Server<M, K> {
    keys: K,
    kem: std::marker::PhantomData<fn() -> M>,
    hash: Hash,
}

impl<M: Kem, K: KeyPair> ServerHalf for Server<M, K> {
    fn receive(self: Box<Self>, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError> {
        let init = KexEcdhInit::from_bytes(payload)?;
        let (key, point) = split_share::<K>(init.client_share, M::KEY_BYTES, "client share")?;
        let (mut share, secret) = M::encapsulate(key, rng).ok_or(MethodError::ShareValue(
            "an encapsulation key with a coefficient that is not reduced",
        ))?;
        share.extend_from_slice(self.keys.share());
        let classical = self.keys.agree(point)?;
        let secret = combine(self.hash, &secret, &classical);
        let exchanged = both_shares(init.client_share, &share);
        Ok(ServerStep::Agreed(
            Agreement { exchanged, secret },
            ecdh_reply(&share),
        ))
    }
}

/// The two parts of a share: `kem_bytes` of the KEM, then a point.
fn split_share<'a, K: KeyPair>(
    share: &'a [u8],
    kem_bytes: usize,
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8]), MethodError> {
    let expected = kem_bytes.saturating_add(K::SHARE_BYTES);
    if share.len() != expected {
        return Err(MethodError::ShareLength {
            what,
            expected,
            found: share.len(),
        });
    }
    Ok(share.split_at_checked(kem_bytes).unwrap_or_default())
}

/// K from both secrets.
fn combine(hash: Hash, kem: &[u8], classical: &[u8]) -> SharedSecret {
    SharedSecret::String(Zeroizing::new(hash.digest(&[kem, classical]).as_ref().to_vec()))
}
