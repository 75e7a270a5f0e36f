//! The two halves of every method that is one Diffie-Hellman over a curve (RFC 5656 §4, RFC 8731): a share each way, K is
//! the shared coordinate as an `mpint`. What differs between the curves is a [`KeyPair`].

use zeroize::Zeroizing;

use super::{
    Agreement, ClientHalf, ClientStep, Context, HostKeyProof, KexEcdhInit, KexEcdhReply, MethodError,
    ServerHalf, ServerStep, both_shares, ecdh_reply,
};
use crate::exchange_hash::SharedSecret;
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Decode, Encode};

/// A key pair on some curve, fresh for one exchange.
pub(super) trait KeyPair: Send + Sized + 'static {
    /// The length of a share, in bytes.
    const SHARE_BYTES: usize;

    /// A new pair.
    fn generate(rng: &mut dyn CryptoRng) -> Self;

    /// Our public value, as it is sent.
    fn share(&self) -> &[u8];

    /// The secret shared with whoever holds the other half of `theirs`, as long as a coordinate. Refuses what no honest
    /// peer sends and what would fix the secret.
    fn agree(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, MethodError>;
}

/// A client half over this kind of key.
pub(super) fn client<K: KeyPair>(rng: &mut dyn CryptoRng) -> Box<dyn ClientHalf> {
    Box::new(Half {
        keys: K::generate(rng),
    })
}

/// A server half over this kind of key.
pub(super) fn server<K: KeyPair>(_: &Context, rng: &mut dyn CryptoRng) -> Box<dyn ServerHalf> {
    Box::new(Half {
        keys: K::generate(rng),
    })
}

/// Either half: both hold nothing but a key pair.
struct Half<K> {
    keys: K,
}

impl<K: KeyPair> ClientHalf for Half<K> {
    fn first_message(&self) -> Vec<u8> {
        KexEcdhInit {
            client_share: self.keys.share(),
        }
        .to_bytes()
    }

    fn receive<'a>(
        self: Box<Self>,
        payload: &'a [u8],
        _rng: &mut dyn CryptoRng,
    ) -> Result<ClientStep<'a>, MethodError> {
        let reply = KexEcdhReply::from_bytes(payload)?;
        let exchanged = both_shares(self.keys.share(), reply.server_share);
        let secret = SharedSecret::Mpint(self.keys.agree(reply.server_share)?);
        Ok(ClientStep::Agreed(
            Agreement { exchanged, secret },
            HostKeyProof {
                host_key: reply.host_key,
                signature: reply.signature,
            },
        ))
    }
}

impl<K: KeyPair> ServerHalf for Half<K> {
    fn receive(self: Box<Self>, payload: &[u8], _rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError> {
        let init = KexEcdhInit::from_bytes(payload)?;
        let exchanged = both_shares(init.client_share, self.keys.share());
        let reply = ecdh_reply(self.keys.share());
        let secret = SharedSecret::Mpint(self.keys.agree(init.client_share)?);
        Ok(ServerStep::Agreed(Agreement { exchanged, secret }, reply))
    }
}
