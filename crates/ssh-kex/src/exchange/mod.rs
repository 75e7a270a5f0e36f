//! One key exchange (RFC 4253 §7), the first or a later one, in either role.
//!
//! ```text
//!            our KEXINIT sealed       client          shares agreed, signature valid
//!  Idle ──────────────────▶ ExpectKexInit ─▶ ExpectReply ─────────┬──────────▶ ExpectVerdict
//!   ▲   (we begin, or the        │                                │ key already    │ accepted
//!   │    peer did)               │ server                         │ accepted       │
//!   │                            ▼                                ▼                ▼
//!   │                       ExpectInit ───────────────────▶ ExpectNewKeys ◀────────┘
//!   │                             reply sealed     │  (our NEWKEYS sealed, our new keys in use)
//!   └──────────────────────────────────────────────┘
//!                   NEWKEYS: the peer's new keys in use
//! ```
//!
//! A state is consumed by the message it waits for and gives the next one, so no step can be taken twice or left out.
//! Which messages may come beside is decided before, in [`route`](crate::route).

pub(crate) mod client;
pub(crate) mod server;

use std::sync::Arc;

use crate::config::Config;
use crate::derive::{KeySource, Purpose};
use crate::disconnect::{DisconnectReason, Fatal};
use crate::error::{Error, Misbehaviour};
use crate::exchange_hash::{Digest, SessionId, SharedSecret, Transcript};
use crate::host_key::{HostKeyAccepted, HostKeyOffer};
use crate::keys::Signer;
use crate::messages::{Disconnect, KexInit, NewKeys};
use crate::method::{Agreement, ClientHalf, Method, TestedPrimes, curve25519, dh_group_exchange};
use crate::negotiate::{Choice, Direction, Negotiated, Offer};
use crate::quirks::{Quirk, Quirks};
use crate::route::Awaited;
use crate::strict::Strict;
use crate::wire::bytes::Bytes;
use crate::wire::rand_core::CryptoRng;
use crate::wire::{DirectionKeys, Identification, Message, Open, Packet, Packetizer, protection};
use crate::{Role, ext_info};

/// Everything a transport keeps through all its exchanges.
pub(crate) struct Link {
    pub(crate) role: Role,
    pub(crate) config: Arc<Config>,
    pub(crate) rng: Box<dyn CryptoRng + Send>,
    pub(crate) wire: Packetizer,
    /// The keys a server signs with; none in a client.
    pub(crate) host_keys: Vec<Arc<dyn Signer>>,
    /// The moduli a client has tested; none in a server.
    pub(crate) tested: TestedPrimes,
}

impl Link {
    pub(crate) fn new(
        role: Role,
        config: Arc<Config>,
        host_keys: Vec<Arc<dyn Signer>>,
        mut rng: Box<dyn CryptoRng + Send>,
    ) -> Self {
        let mut padding_seed = [0; 32];
        rng.fill_bytes(&mut padding_seed);
        Self {
            role,
            config,
            rng,
            wire: Packetizer::new(padding_seed),
            host_keys,
            tested: TestedPrimes::default(),
        }
    }

    /// Tells the peer why this is the end, if it is still there to be told.
    pub(crate) fn end_with(&mut self, error: &Error) {
        if let Some(reason) = error.blame().reason() {
            self.say_farewell(reason, &error.farewell());
        }
    }

    pub(crate) fn say_farewell(&mut self, reason: DisconnectReason, text: &str) {
        // A text too long to seal is worth less than the reason.
        let message = |description| Disconnect {
            reason_code: reason.code(),
            description,
            language_tag: b"",
        };
        if self.wire.sealer.try_seal(&message(text.as_bytes())).is_err() {
            self.wire.sealer.seal(&message(b""));
        }
    }

    fn offer(&self) -> Offer<'_> {
        Offer::new(self.role, &self.config, &self.host_keys)
    }
}

/// What makes one exchange differ from another.
pub(crate) enum Occasion<'a> {
    /// The first of a connection: it gives the session its identifier and decides about strictness.
    First,
    /// A later one.
    Rekey {
        session_id: SessionId,
        strict: Strict,
        trust: &'a Trust,
    },
}

/// What the steps of an exchange work with.
pub(crate) struct Setting<'a> {
    pub(crate) link: &'a mut Link,
    pub(crate) peer: &'a Identification,
    pub(crate) occasion: Occasion<'a>,
}

impl Setting<'_> {
    fn exchange_hash(
        &self,
        inits: &Inits,
        hash: crate::Hash,
        host_key: &[u8],
        agreement: &Agreement,
    ) -> Digest {
        let (ours, theirs) = (self.link.config.identification.as_str(), self.peer.as_str());
        let (client, server) = match self.link.role {
            Role::Client => (ours, theirs),
            Role::Server => (theirs, ours),
        };
        Transcript {
            client_identification: client,
            server_identification: server,
            client_kexinit: &inits.client,
            server_kexinit: &inits.server,
            host_key,
            exchanged: &agreement.exchanged,
        }
        .hash(hash, &agreement.secret)
    }
}

/// Where an exchange stands.
#[derive(Default)]
pub(crate) enum Exchange {
    /// None is in progress.
    #[default]
    Idle,
    ExpectKexInit(ExpectKexInit),
    ExpectInit(server::ExpectInit),
    ExpectReply(client::ExpectReply),
    ExpectVerdict(client::ExpectVerdict),
    ExpectNewKeys(ExpectNewKeys),
}

/// What a step came to.
pub(crate) enum Step {
    /// Wait for the next message.
    Next(Exchange),
    /// Wait for the application's verdict.
    Ask(client::ExpectVerdict, HostKeyOffer),
    /// New keys are in use in both directions.
    Done(Box<Completed>),
}

impl Exchange {
    /// Takes a message that [`route`](crate::route) let through to the exchange.
    pub(crate) fn receive(self, packet: &Packet, setting: &mut Setting<'_>) -> Result<Step, Error> {
        match self {
            Self::ExpectKexInit(state) => state.receive(packet, setting).map(Step::Next),
            Self::ExpectInit(state) => state.receive(packet, setting).map(Step::Next),
            Self::ExpectReply(state) => state.receive(packet, setting),
            Self::ExpectNewKeys(state) => state.receive(packet, setting.link).map(Box::new).map(Step::Done),
            // The router sends nothing here in these two states; nothing is also what they would do with it.
            Self::Idle | Self::ExpectVerdict(_) => Ok(Step::Next(self)),
        }
    }

    pub(crate) const fn awaited(&self) -> Awaited {
        match self {
            Self::ExpectInit(_) | Self::ExpectReply(_) => Awaited::Method,
            Self::ExpectNewKeys(_) => Awaited::NewKeys,
            Self::Idle | Self::ExpectKexInit(_) | Self::ExpectVerdict(_) => Awaited::Neither,
        }
    }

    /// Whether we may send nothing but the exchange's own messages: from our KEXINIT to our NEWKEYS (RFC 4253 §7.1).
    pub(crate) const fn holds_messages(&self) -> bool {
        !matches!(self, Self::Idle | Self::ExpectNewKeys(_))
    }

    /// Whether the same holds for the peer: from its KEXINIT to its NEWKEYS.
    pub(crate) const fn binds_peer(&self) -> bool {
        !matches!(self, Self::Idle | Self::ExpectKexInit(_))
    }

    /// Whether the first KEXINITs made the connection strict; before them nobody knows.
    pub(crate) const fn is_strict(&self) -> bool {
        match self {
            Self::ExpectInit(state) => state.terms.strict.is_on(),
            Self::ExpectReply(state) => state.terms.strict.is_on(),
            Self::ExpectNewKeys(state) => state.completed.strict.is_on(),
            Self::Idle | Self::ExpectKexInit(_) | Self::ExpectVerdict(_) => false,
        }
    }

    /// Whether it is the application's turn.
    pub(crate) const fn waits_for_verdict(&self) -> bool {
        matches!(self, Self::ExpectVerdict(_))
    }
}

/// Our KEXINIT is on its way, the peer's is not here yet.
pub(crate) struct ExpectKexInit {
    ours: Bytes,
    /// As a client: a share for the method we like best, made while the peer's KEXINIT travels.
    prepared: Option<Prepared>,
}

/// A client half, and the message it begins with.
pub(crate) struct Prepared {
    method: &'static Method,
    half: Box<dyn ClientHalf>,
    first_message: Vec<u8>,
}

impl Prepared {
    /// For the method we like best, unless what it says depends on what the server likes.
    fn make(link: &mut Link) -> Option<Self> {
        let method = *link.config.preferences.kex.first()?;
        let half = method.client_half_ahead(&mut *link.rng)?;
        let first_message = half.first_message();
        Some(Self {
            method,
            half,
            first_message,
        })
    }
}

/// What a peer may get wrong about a method, so that it cannot be used with that peer.
fn quirk_that_spoils(kex: &'static Method) -> Option<Quirk> {
    let is_one_of = |methods: [&'static Method; 2]| methods.contains(&kex);
    if is_one_of([
        &curve25519::CURVE25519_SHA256,
        &curve25519::CURVE25519_SHA256_LIBSSH,
    ]) {
        Some(Quirk::PadsCurve25519)
    } else if is_one_of([
        &dh_group_exchange::GROUP_EXCHANGE_SHA256,
        &dh_group_exchange::GROUP_EXCHANGE_SHA1,
    ]) {
        Some(Quirk::OldGroupExchange)
    } else {
        None
    }
}

impl ExpectKexInit {
    /// Begins an exchange: seals our KEXINIT.
    pub(crate) fn begin(link: &mut Link, first: bool) -> Self {
        let mut cookie = [0; 16];
        link.rng.fill_bytes(&mut cookie);
        let ours = Bytes::from(link.offer().kexinit(cookie, first));
        link.wire.sealer.seal_payload(&ours);
        let prepared = match link.role {
            Role::Client => Prepared::make(link),
            Role::Server => None,
        };
        Self { ours, prepared }
    }

    fn receive(self, packet: &Packet, setting: &mut Setting<'_>) -> Result<Exchange, Error> {
        let theirs: KexInit<'_> = packet
            .decode()
            .map_err(Misbehaviour::malformed(<KexInit<'_> as Message>::NAME))?;
        let role = setting.link.role;
        let strict = match setting.occasion {
            Occasion::First => Strict::decide(role, &theirs.kex_algorithms, packet.sequence)?,
            Occasion::Rekey { strict, .. } => strict,
        };
        let choice = setting.link.offer().negotiate(&theirs)?;
        let quirks = Quirks::of(setting.peer);
        if quirk_that_spoils(choice.kex).is_some_and(|quirk| quirks.has(quirk)) {
            return Err(Error::Unreliable {
                software: setting.peer.software().to_owned(),
                algorithm: choice.kex.name,
            });
        }
        let terms = Terms {
            choice,
            strict,
            tells_extensions: matches!(setting.occasion, Occasion::First)
                && theirs.kex_algorithms.contains(match role {
                    Role::Client => ext_info::SERVER_MARKER,
                    Role::Server => ext_info::CLIENT_MARKER,
                }),
        };
        let theirs = packet.payload.clone();
        Ok(match role {
            Role::Client => {
                let inits = Inits {
                    client: self.ours,
                    server: theirs,
                };
                Exchange::ExpectReply(client::ExpectReply::begin(
                    setting.link,
                    terms,
                    inits,
                    self.prepared,
                ))
            }
            Role::Server => {
                let inits = Inits {
                    client: theirs,
                    server: self.ours,
                };
                Exchange::ExpectInit(server::ExpectInit::begin(setting.link, terms, inits))
            }
        })
    }
}

/// Both KEXINIT payloads, which enter the exchange hash byte for byte (I_C and I_S).
pub(crate) struct Inits {
    client: Bytes,
    server: Bytes,
}

/// What the KEXINITs settled.
pub(crate) struct Terms {
    choice: Choice,
    strict: Strict,
    /// The peer takes EXT_INFO, and this is the first exchange.
    tells_extensions: bool,
}

/// How the server's host key is known.
#[derive(Debug)]
pub(crate) enum Trust {
    /// To us as a client: proved and accepted.
    Accepted(HostKeyAccepted),
    /// To us as a server: it is ours.
    Own,
}

/// A secret both sides hold, from which keys may be made as soon as there is [`Trust`].
pub(crate) struct Settled {
    terms: Terms,
    secret: SharedSecret,
    exchange_hash: Digest,
    /// K_S, as it entered the hash.
    host_key: Vec<u8>,
}

impl Settled {
    /// Derives the keys, seals NEWKEYS and begins to send under the new ones.
    fn into_new_keys(self, trust: Trust, setting: &mut Setting<'_>) -> Result<ExpectNewKeys, Error> {
        let link = &mut *setting.link;
        let Terms {
            choice,
            strict,
            tells_extensions,
        } = self.terms;
        let session_id = match setting.occasion {
            Occasion::First => SessionId::of_first(self.exchange_hash),
            Occasion::Rekey { session_id, .. } => session_id,
        };
        let source = KeySource::new(choice.kex.hash, &self.secret, self.exchange_hash, session_id);
        let client_to_server = DerivedKeys::derive(&source, choice.client_to_server, &CLIENT_TO_SERVER);
        let server_to_client = DerivedKeys::derive(&source, choice.server_to_client, &SERVER_TO_CLIENT);
        let (outgoing, incoming) = match link.role {
            Role::Client => (client_to_server, server_to_client),
            Role::Server => (server_to_client, client_to_server),
        };
        let opening = protection::opening(&incoming.as_direction_keys())?;
        let sealing = protection::sealing(&outgoing.as_direction_keys())?;
        let sealer = &mut link.wire.sealer;
        sealer.seal(&NewKeys {});
        sealer.set_protection(sealing, strict.is_on());
        sealer.set_compression(outgoing.direction.compression);
        if tells_extensions {
            let names = link.config.login_signatures.iter().map(|each| each.name);
            sealer.seal_payload(&match link.role {
                Role::Client => ext_info::of_client(),
                Role::Server => ext_info::of_server(names),
            });
        }
        let negotiated = choice.for_role(link.role, strict.is_on());
        Ok(ExpectNewKeys {
            opening,
            completed: Completed {
                session_id,
                strict,
                negotiated,
                trust,
                host_key: self.host_key,
            },
        })
    }
}

/// The keys of one direction.
struct DerivedKeys {
    direction: Direction,
    iv: zeroize::Zeroizing<Vec<u8>>,
    key: zeroize::Zeroizing<Vec<u8>>,
    mac_key: zeroize::Zeroizing<Vec<u8>>,
}

/// The letters of one direction: for the IV, the cipher's key, the MAC's key.
const CLIENT_TO_SERVER: [Purpose; 3] = [
    Purpose::IvClientToServer,
    Purpose::CipherClientToServer,
    Purpose::MacClientToServer,
];
const SERVER_TO_CLIENT: [Purpose; 3] = [
    Purpose::IvServerToClient,
    Purpose::CipherServerToClient,
    Purpose::MacServerToClient,
];

impl DerivedKeys {
    fn derive(source: &KeySource, direction: Direction, [iv, key, mac_key]: &[Purpose; 3]) -> Self {
        Self {
            direction,
            iv: source.derive(*iv, direction.cipher.iv_bytes),
            key: source.derive(*key, direction.cipher.key_bytes),
            mac_key: source.derive(*mac_key, direction.mac.map_or(0, |mac| mac.key_bytes)),
        }
    }

    fn as_direction_keys(&self) -> DirectionKeys<'_> {
        DirectionKeys {
            cipher: self.direction.cipher,
            mac: self.direction.mac,
            key: &self.key,
            iv: &self.iv,
            mac_key: &self.mac_key,
        }
    }
}

/// We send under the new keys; the peer does not yet.
pub(crate) struct ExpectNewKeys {
    opening: Box<dyn Open>,
    completed: Completed,
}

impl ExpectNewKeys {
    fn receive(self, packet: &Packet, link: &mut Link) -> Result<Completed, Error> {
        let _: NewKeys = packet
            .decode()
            .map_err(Misbehaviour::malformed(<NewKeys as Message>::NAME))?;
        let opener = &mut link.wire.opener;
        opener.set_protection(self.opening, self.completed.strict.is_on());
        opener.set_compression(self.completed.negotiated.incoming.compression);
        Ok(self.completed)
    }
}

/// A finished exchange: only [`ExpectNewKeys`] makes one, so whoever holds it knows that keys are in use both ways and,
/// in a client, that the host key was proved and accepted.
pub(crate) struct Completed {
    pub(crate) session_id: SessionId,
    pub(crate) strict: Strict,
    pub(crate) negotiated: Negotiated,
    pub(crate) trust: Trust,
    /// K_S: the blob of the host key that signed.
    pub(crate) host_key: Vec<u8>,
}

/// Whether a packet is the guess that is to be passed over: the next message of a method, whatever it holds.
fn is_guess(skip_guess: bool, packet: &Packet) -> bool {
    skip_guess && (30..=49).contains(&packet.number())
}
