//! `curve25519-sha256` (RFC 8731), also under the name it had before there was an RFC.

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::ecdh::{self, KeyPair};
use super::{Method, MethodError, NewClient};
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
    secret: StaticSecret,
    public: PublicKey,
}

impl KeyPair for X25519 {
    const SHARE_BYTES: usize = 32;

    fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; Self::SHARE_BYTES]);
        rng.fill_bytes(&mut *seed);
        let secret = StaticSecret::from(*seed);
        let public = PublicKey::from(&secret);
        Self { secret, public }
    }

    fn share(&self) -> &[u8] {
        self.public.as_bytes()
    }

    /// RFC 8731 §3: a share of another length and an all-zero result end the exchange; the latter is what the points of
    /// low order give, with which a peer could fix the secret.
    fn agree(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, MethodError> {
        let theirs: [u8; Self::SHARE_BYTES] = theirs.try_into().map_err(|_| MethodError::ShareLength {
            what: "X25519 share",
            expected: Self::SHARE_BYTES,
            found: theirs.len(),
        })?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(theirs));
        if shared.was_contributory() {
            Ok(Zeroizing::new(shared.as_bytes().to_vec()))
        } else {
            Err(MethodError::ShareValue("an X25519 point of low order"))
        }
    }
}
