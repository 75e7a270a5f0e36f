//! `curve25519-sha256` (RFC 8731), also under the name it had before there was an RFC.

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{
    Agreement, ClientHalf, ClientStep, HostKeyProof, KexEcdhInit, KexEcdhReply, Method, MethodError,
    ServerHalf, ServerStep, both_shares, ecdh_reply,
};
use crate::exchange_hash::{Hash, SharedSecret};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Decode, Encode, Tier};

/// RFC 8731.
pub static CURVE25519_SHA256: Method = Method {
    name: "curve25519-sha256",
    tier: Tier::Recommended,
    hash: Hash::SHA256,
    client: new_client,
    server: new_server,
};

/// The same under the name libssh gave it; the only one some peers know.
pub static CURVE25519_SHA256_LIBSSH: Method = Method {
    name: "curve25519-sha256@libssh.org",
    tier: Tier::Recommended,
    hash: Hash::SHA256,
    client: new_client,
    server: new_server,
};

/// The length of an X25519 public value, in bytes.
pub(super) const SHARE_BYTES: usize = 32;

/// An X25519 key pair for one exchange.
pub(super) struct KeyPair {
    secret: StaticSecret,
    public: PublicKey,
}

impl KeyPair {
    pub(super) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; SHARE_BYTES]);
        rng.fill_bytes(&mut *seed);
        let secret = StaticSecret::from(*seed);
        let public = PublicKey::from(&secret);
        Self { secret, public }
    }

    pub(super) fn share(&self) -> &[u8] {
        self.public.as_bytes()
    }

    /// The shared point. RFC 8731 §3: a share of another length and an all-zero result end the exchange; the latter is
    /// what the points of low order give, with which a peer could fix the secret.
    pub(super) fn agree(self, theirs: &[u8]) -> Result<x25519_dalek::SharedSecret, MethodError> {
        let theirs: [u8; SHARE_BYTES] = theirs.try_into().map_err(|_| MethodError::ShareLength {
            what: "X25519 share",
            expected: SHARE_BYTES,
            found: theirs.len(),
        })?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(theirs));
        if shared.was_contributory() {
            Ok(shared)
        } else {
            Err(MethodError::ShareValue("an X25519 point of low order"))
        }
    }
}

fn new_client(rng: &mut dyn CryptoRng) -> Box<dyn ClientHalf> {
    Box::new(Half {
        keys: KeyPair::generate(rng),
    })
}

fn new_server(rng: &mut dyn CryptoRng) -> Box<dyn ServerHalf> {
    Box::new(Half {
        keys: KeyPair::generate(rng),
    })
}

/// Either half: both hold nothing but a key pair.
struct Half {
    keys: KeyPair,
}

impl Half {
    fn secret(keys: KeyPair, theirs: &[u8]) -> Result<SharedSecret, MethodError> {
        let shared = keys.agree(theirs)?;
        Ok(SharedSecret::Mpint(Zeroizing::new(shared.as_bytes().to_vec())))
    }
}

impl ClientHalf for Half {
    fn first_message(&self) -> Vec<u8> {
        KexEcdhInit {
            client_share: self.keys.share(),
        }
        .to_bytes()
    }

    fn receive<'a>(self: Box<Self>, payload: &'a [u8]) -> Result<ClientStep<'a>, MethodError> {
        let reply = KexEcdhReply::from_bytes(payload)?;
        let exchanged = both_shares(self.keys.share(), reply.server_share);
        let secret = Self::secret(self.keys, reply.server_share)?;
        Ok(ClientStep::Agreed(
            Agreement { exchanged, secret },
            HostKeyProof {
                host_key: reply.host_key,
                signature: reply.signature,
            },
        ))
    }
}

impl ServerHalf for Half {
    fn receive(self: Box<Self>, payload: &[u8], _rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError> {
        let init = KexEcdhInit::from_bytes(payload)?;
        let exchanged = both_shares(init.client_share, self.keys.share());
        let reply = ecdh_reply(self.keys.share());
        let secret = Self::secret(self.keys, init.client_share)?;
        Ok(ServerStep::Agreed(Agreement { exchanged, secret }, reply))
    }
}
