//! Key exchange methods: a static descriptor each, and the two halves a method is made of.
//!
//! ```text
//!            client half                                   server half
//!   first_message ──────────── 30 ───────────────────────▶ receive
//!                                                             │ Agreement + ReplyForm
//!   receive ◀───────────────── 31 ──────────────────────── host key, share, signature
//!      │ Agreement + HostKeyProof
//! ```
//!
//! A half decodes the numbers 30 to 49 itself (they mean something else in every family of methods), checks everything the
//! peer chose, and ends in an [`Agreement`]. A method with more steps (group exchange) goes on to another half in between.
//! Hashing H, signing it and deriving keys happen once for all methods, in `exchange/`.
//!
//! To add one: a file here with a `pub static`, and its line in [`ALL`].

pub mod curve25519;
mod dh;
pub mod dh_group;
pub mod dh_group_exchange;
mod ecdh;
pub mod ecdh_nistp;
mod hybrid;
mod mlkem;
pub mod mlkem768_x25519;
pub mod mlkem_nistp;
mod modp;
mod safe_prime;
pub mod sntrup761_x25519;
mod tested_primes;
mod x25519;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::exchange_hash::{Hash, SharedSecret};
use crate::moduli::Moduli;
use crate::wire::rand_core::CryptoRng;
use crate::wire::{DecodeError, Encode, Tier, Writer, message};

pub use tested_primes::{MAX_TESTED_PRIMES, TestedPrimes};

/// Every method of this crate, in the order in which we prefer them within a tier.
pub static ALL: &[&Method] = &[
    &mlkem768_x25519::MLKEM768_X25519_SHA256,
    &sntrup761_x25519::SNTRUP761_X25519_SHA512,
    &sntrup761_x25519::SNTRUP761_X25519_SHA512_OPENSSH,
    &curve25519::CURVE25519_SHA256,
    &curve25519::CURVE25519_SHA256_LIBSSH,
    &ecdh_nistp::ECDH_NISTP256,
    &ecdh_nistp::ECDH_NISTP384,
    &ecdh_nistp::ECDH_NISTP521,
    &mlkem_nistp::MLKEM768_NISTP256_SHA256,
    &mlkem_nistp::MLKEM1024_NISTP384_SHA384,
    &dh_group_exchange::GROUP_EXCHANGE_SHA256,
    &dh_group::GROUP16_SHA512,
    &dh_group::GROUP18_SHA512,
    &dh_group::GROUP14_SHA256,
    &dh_group::GROUP15_SHA512,
    &dh_group::GROUP17_SHA512,
    &dh_group::GROUP14_SHA1,
    &dh_group_exchange::GROUP_EXCHANGE_SHA1,
    &dh_group::GROUP1_SHA1,
];

/// The method with this name.
pub fn find(name: &str) -> Option<&'static Method> {
    ALL.iter().copied().find(|method| method.name == name)
}

/// A key exchange method.
pub struct Method {
    /// Its name in KEXINIT.
    pub name: &'static str,
    /// Whether it is offered by default, and how early.
    pub tier: Tier,
    /// Whether its secret stays one for somebody who records the connection today and has a large quantum computer one
    /// day.
    pub is_post_quantum: bool,
    /// The hash of the exchange and of key derivation.
    pub hash: Hash,
    /// Makes a client half with fresh secrets.
    pub client: NewClient,
    /// Makes a server half with fresh secrets.
    pub server: fn(&Context, &mut dyn CryptoRng) -> Box<dyn ServerHalf>,
}

/// How a client half is made.
#[derive(Clone, Copy)]
pub enum NewClient {
    /// Of randomness alone: a client makes it while the server's KEXINIT still travels.
    Ahead(fn(&mut dyn CryptoRng) -> Box<dyn ClientHalf>),
    /// What it says first depends on what was negotiated.
    Negotiated(fn(&Context, &mut dyn CryptoRng) -> Box<dyn ClientHalf>),
}

/// What a half may depend on, beside its randomness.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The length of the longest key that the agreed ciphers and MACs need, in bits; at most
    /// [`MAX_STRENGTH_BITS`].
    pub strength_bits: u32,
    /// The groups of a server for group exchange.
    pub moduli: Arc<Moduli>,
    /// The moduli of group exchange that a client has tested on this connection: shared by its exchanges.
    pub tested: TestedPrimes,
}

/// More strength than this, in bits, is asked of no method.
pub const MAX_STRENGTH_BITS: u32 = 256;

impl Method {
    /// A client half with fresh secrets.
    pub fn client_half(&self, context: &Context, rng: &mut dyn CryptoRng) -> Box<dyn ClientHalf> {
        match self.client {
            NewClient::Ahead(make) => make(rng),
            NewClient::Negotiated(make) => make(context, rng),
        }
    }

    /// The same before anything was negotiated, if that can be.
    pub(crate) fn client_half_ahead(&self, rng: &mut dyn CryptoRng) -> Option<Box<dyn ClientHalf>> {
        match self.client {
            NewClient::Ahead(make) => Some(make(rng)),
            NewClient::Negotiated(_) => None,
        }
    }

    /// A server half with fresh secrets.
    pub fn server_half(&self, context: &Context, rng: &mut dyn CryptoRng) -> Box<dyn ServerHalf> {
        (self.server)(context, rng)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Methods are told apart by their names, as on the wire.
impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Method {}

/// What both sides of a finished method hold.
#[derive(Debug)]
pub struct Agreement {
    /// The method's own part of the exchange hash (what stands between K_S and K), already encoded.
    pub exchanged: Vec<u8>,
    /// K.
    pub secret: SharedSecret,
}

/// The client's side of one exchange; consumed by each step.
pub trait ClientHalf: Send {
    /// The payload of the message this half begins with.
    fn first_message(&self) -> Vec<u8>;
    /// Takes the server's next message (a payload whose number is 30 to 49).
    fn receive<'a>(
        self: Box<Self>,
        payload: &'a [u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<ClientStep<'a>, MethodError>;
}

/// What a client half made of a message.
pub enum ClientStep<'a> {
    /// Go on with this half, whose first message is due.
    Next(Box<dyn ClientHalf>),
    /// Finished; what the server showed of its host key is still to be checked.
    Agreed(Agreement, HostKeyProof<'a>),
}

/// What a server's last message says about its host key.
#[derive(Debug, Clone, Copy)]
pub struct HostKeyProof<'a> {
    /// K_S: the public key blob as it stood in the message (it enters the hash byte for byte).
    pub host_key: &'a [u8],
    /// The signature over H.
    pub signature: &'a [u8],
}

/// The server's side of one exchange; consumed by each step.
pub trait ServerHalf: Send {
    /// Takes the client's next message (a payload whose number is 30 to 49).
    fn receive(self: Box<Self>, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError>;
}

/// What a server half made of a message.
pub enum ServerStep {
    /// Send this payload and go on.
    Send(Vec<u8>, Box<dyn ServerHalf>),
    /// Finished; the reply wants the host key and the signature over H.
    Agreed(Agreement, ReplyForm),
}

/// A server's last message but for its first and last field: all methods say `K_S`, their own part, signature.
#[derive(Debug)]
pub struct ReplyForm {
    /// The message number.
    pub number: u8,
    /// The method's own part, already encoded.
    pub middle: Vec<u8>,
}

impl ReplyForm {
    /// The whole payload.
    pub fn fill(&self, host_key: &[u8], signature: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let mut writer = Writer::new(&mut payload);
        writer.byte(self.number);
        writer.string(host_key);
        writer.raw(&self.middle);
        writer.string(signature);
        payload
    }
}

/// Why a peer's message of a method was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MethodError {
    /// It does not decode, or has a number the method does not use here.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A share has the wrong length.
    #[error("a {what} of {found} bytes where {expected} are due")]
    ShareLength {
        /// Which share.
        what: &'static str,
        /// How long it must be.
        expected: usize,
        /// How long it is.
        found: usize,
    },
    /// A share has a value that would make the secret weak or that no honest peer produces.
    #[error("a share that is {0}")]
    ShareValue(&'static str),
    /// A group of a size that was not asked for.
    #[error("a group of {bits} bits where {min} to {max} were asked for")]
    GroupSize {
        /// The length of its modulus, in bits.
        bits: u32,
        /// The least that was asked for.
        min: u32,
        /// The most that was asked for.
        max: u32,
    },
    /// A group in which nothing is safe.
    #[error("a group {0}")]
    Group(&'static str),
    /// A request for a group that cannot be met: contradictory bounds, or none of our sizes between them.
    #[error("a request for a group of {min} to {max} bits, best of {n}, that cannot be met")]
    GroupRequest {
        /// The least it takes, in bits.
        min: u32,
        /// What it would like, in bits.
        n: u32,
        /// The most it takes, in bits.
        max: u32,
    },
}

message! {
    /// RFC 5656 §4 in the form of RFC 8731 §3 and of the hybrids, client to server.
    pub struct KexEcdhInit<'a> = 30, "SSH_MSG_KEX_ECDH_INIT" {
        /// Q_C (RFC 5656, RFC 8731) or C_INIT (hybrids).
        pub client_share: &'a [u8],
    }
    /// RFC 5656 §4 in the form of RFC 8731 §3 and of the hybrids, server to client.
    pub struct KexEcdhReply<'a> = 31, "SSH_MSG_KEX_ECDH_REPLY" {
        /// K_S.
        pub host_key: &'a [u8],
        /// Q_S (RFC 5656, RFC 8731) or S_REPLY (hybrids).
        pub server_share: &'a [u8],
        /// Over H.
        pub signature: &'a [u8],
    }
}

/// The two shares as they enter the exchange hash: two strings.
pub(crate) fn both_shares(client: &[u8], server: &[u8]) -> Vec<u8> {
    let mut out = client.to_bytes();
    server.encode(&mut Writer::new(&mut out));
    out
}

/// The server's reply with its share in the middle.
pub(crate) fn ecdh_reply(server_share: &[u8]) -> ReplyForm {
    ReplyForm {
        number: <KexEcdhReply<'_> as crate::wire::Message>::NUMBER,
        middle: server_share.to_bytes(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
