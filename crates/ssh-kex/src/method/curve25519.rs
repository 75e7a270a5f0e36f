//! `curve25519-sha256` (RFC 8731), also under the name it had before there was an RFC.

use zeroize::Zeroizing;

use super::ecdh::{self, KeyPair};
use super::{Method, MethodError, NewClient, x25519};
use crate::exchange_hash::Hash;
use crate::wire::Tier;
use crate::wire::rand_core::CryptoRng;

/// RFC 8731.
pub static CURVE25519_SHA256: Method = Method {
    name: "curve25519-sha256",
    tier: Tier::Recommended,
    is_post_quantum: false,
    hash: Hash::SHA256,
    client: NewClient::Ahead(ecdh::client::<X25519>),
    server: ecdh::server::<X25519>,
};

/// The same under the name libssh gave it; the only one some peers know.
pub static CURVE25519_SHA256_LIBSSH: Method = Method {
    name: "curve25519-sha256@libssh.org",
    tier: Tier::Recommended,
    is_post_quantum: false,
    hash: Hash::SHA256,
    client: NewClient::Ahead(ecdh::client::<X25519>),
    server: ecdh::server::<X25519>,
};

/// An X25519 key pair for one exchange.
pub(super) struct X25519 {
    secret: Zeroizing<x25519::Bytes>,
    point: x25519::Bytes,
}

impl KeyPair for X25519 {
    const SHARE_BYTES: usize = x25519::BYTES;

    fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; x25519::BYTES]);
        rng.fill_bytes(&mut *secret);
        let point = x25519::point(&secret);
        Self { secret, point }
    }

    fn share(&self) -> &[u8] {
        &self.point
    }

    /// RFC 8731 §3: a share of another length and an all-zero result end the exchange; the latter is what the points of
    /// low order give, with which a peer could fix the secret.
    fn agree(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, MethodError> {
        let theirs = theirs.try_into().map_err(|_| MethodError::ShareLength {
            what: "X25519 share",
            expected: Self::SHARE_BYTES,
            found: theirs.len(),
        })?;
        match x25519::agree(&self.secret, theirs) {
            Some(shared) => Ok(Zeroizing::new(shared.to_vec())),
            None => Err(MethodError::ShareValue("an X25519 point of low order")),
        }
    }
}
