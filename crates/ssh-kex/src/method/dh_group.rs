//! `diffie-hellman-group14-sha256` and its like: Diffie-Hellman in a group with a number (RFC 4253 §8, RFC 8268).
//!
//! H = HASH( V_C ‖ V_S ‖ I_C ‖ I_S ‖ K_S ‖ mpint e ‖ mpint f ‖ mpint K )

use super::dh::{KeyPair, encoded};
use super::modp::{Group1, Group14, Group15, Group16, Group17, Group18, Modp};
use super::{
    Agreement, ClientHalf, ClientStep, Context, HostKeyProof, Method, MethodError, NewClient, ReplyForm,
    ServerHalf, ServerStep,
};
use crate::exchange_hash::{Hash, SharedSecret};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Decode, Encode, Message, Mpint, Tier, message};

/// RFC 8268 §3, 2048 bits.
pub static GROUP14_SHA256: Method =
    method::<Group14>("diffie-hellman-group14-sha256", Tier::Compatible, Hash::SHA256);
/// RFC 8268 §3, 3072 bits.
pub static GROUP15_SHA512: Method =
    method::<Group15>("diffie-hellman-group15-sha512", Tier::Compatible, Hash::SHA512);
/// RFC 8268 §3, 4096 bits.
pub static GROUP16_SHA512: Method =
    method::<Group16>("diffie-hellman-group16-sha512", Tier::Compatible, Hash::SHA512);
/// RFC 8268 §3, 6144 bits.
pub static GROUP17_SHA512: Method =
    method::<Group17>("diffie-hellman-group17-sha512", Tier::Compatible, Hash::SHA512);
/// RFC 8268 §3, 8192 bits.
pub static GROUP18_SHA512: Method =
    method::<Group18>("diffie-hellman-group18-sha512", Tier::Compatible, Hash::SHA512);
/// RFC 4253 §8.2, 2048 bits and SHA-1.
pub static GROUP14_SHA1: Method = method::<Group14>("diffie-hellman-group14-sha1", Tier::Legacy, Hash::SHA1);
/// RFC 4253 §8.1, 1024 bits and SHA-1.
pub static GROUP1_SHA1: Method = method::<Group1>("diffie-hellman-group1-sha1", Tier::Legacy, Hash::SHA1);

const fn method<G: Modp>(name: &'static str, tier: Tier, hash: Hash) -> Method {
    Method {
        name,
        tier,
        hash,
        is_post_quantum: false,
        client: NewClient::Ahead(|rng| Box::new(Half::new::<G>(rng))),
        server: |_: &Context, rng| Box::new(Half::new::<G>(rng)),
    }
}

message! {
    /// RFC 4253 §8, client to server.
    pub struct KexDhInit<'a> = 30, "SSH_MSG_KEXDH_INIT" {
        /// e = g^x mod p.
        pub e: Mpint<'a>,
    }
    /// RFC 4253 §8, server to client.
    pub struct KexDhReply<'a> = 31, "SSH_MSG_KEXDH_REPLY" {
        /// K_S.
        pub host_key: &'a [u8],
        /// f = g^y mod p.
        pub f: Mpint<'a>,
        /// Over H.
        pub signature: &'a [u8],
    }
}

/// Either half: both hold nothing but a key pair.
struct Half {
    keys: KeyPair,
}

impl Half {
    fn new<G: Modp>(rng: &mut dyn CryptoRng) -> Self {
        Self {
            keys: KeyPair::generate(G::group().clone(), rng),
        }
    }
}

impl ClientHalf for Half {
    fn first_message(&self) -> Vec<u8> {
        KexDhInit { e: self.keys.share() }.to_bytes()
    }

    fn receive<'a>(
        self: Box<Self>,
        payload: &'a [u8],
        _rng: &mut dyn CryptoRng,
    ) -> Result<ClientStep<'a>, MethodError> {
        let reply = KexDhReply::from_bytes(payload)?;
        let secret = SharedSecret::Mpint(self.keys.agree(reply.f)?);
        let exchanged = encoded([self.keys.share(), reply.f]);
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
        let init = KexDhInit::from_bytes(payload)?;
        let secret = SharedSecret::Mpint(self.keys.agree(init.e)?);
        let exchanged = encoded([init.e, self.keys.share()]);
        let reply = ReplyForm {
            number: KexDhReply::NUMBER,
            middle: encoded([self.keys.share()]),
        };
        Ok(ServerStep::Agreed(Agreement { exchanged, secret }, reply))
    }
}
