//! The SSH transport: identification, key exchange, rekeying, extensions, farewell.
//!
//! ```text
//!             Handshake                                        Transport
//!  line ▶ KEXINIT ▶ method ▶ HostKeyOffer? ▶ NEWKEYS  ═▶  Packet up, messages down, keys changed when worn
//!             │         │          │
//!         negotiate  method/*   signature over H is checked first; nothing secret is sent before the verdict
//! ```
//!
//! | what | where | source |
//! |---|---|---|
//! | identification, first exchange | [`Handshake`] | RFC 4253 §4.2, §7 |
//! | routing, rekey, hold queue, ping | [`Transport`] | RFC 4253 §9, §11, OpenSSH `PROTOCOL` §1.8 |
//! | algorithm negotiation | [`Negotiated`], [`Preferences`] | RFC 4253 §7.1 |
//! | exchange hash, key derivation | `exchange_hash.rs`, `derive.rs` | RFC 4253 §7.2, §8 |
//! | methods | [`method::ALL`] | RFC 8731, RFC 8268, RFC 4419, draft-ietf-sshm-mlkem-hybrid-kex |
//! | strict key exchange | [`strict`] | OpenSSH `PROTOCOL` §1.9, draft-miller-sshm-strict-kex |
//! | extensions | [`Extensions`] | RFC 8308 |
//! | peers that need care | [`quirks::TABLE`] | their identification, RFC 4253 §4.2 |
//! | farewells | [`DisconnectReason`], [`Blame`] | RFC 4253 §11.1 |
//!
//! This room owns the message numbers 1 to 4, 7, 20 to 49, 192 and 193 and answers those nobody owns; 5, 6 and 50 to
//! 127 are moved up as [`Packet`](wire::Packet)s. It is the only one that knows the [`Role`], and the only one that
//! knows that keys are being changed.
//!
//! What is deliberately absent: sockets, clocks and system randomness (`now` and the generator are arguments); sending a
//! guessed key exchange packet (a wrong guess costs more than the half round trip a right one saves, and peers exist that
//! stumble over it); any list of algorithm names beside the registries.

#![forbid(unsafe_code)]

mod config;
mod derive;
mod disconnect;
mod error;
mod exchange;
mod exchange_hash;
pub mod ext_info;
mod handshake;
mod hold_queue;
mod host_key;
pub mod messages;
pub mod method;
mod moduli;
mod negotiate;
mod preferences;
mod preset;
pub mod quirks;
mod rekey;
mod route;
pub mod strict;
mod transport;

pub use config::{Config, Limits};
pub use disconnect::{Blame, DisconnectReason, Fatal};
pub use error::{Error, Incompatible, Misbehaviour, Negotiable, Phase, PingError, Place, SendError};
pub use exchange_hash::{Digest, Hash, SessionId, SharedSecret};
pub use ext_info::Extensions;
pub use handshake::{Handshake, HandshakeEvent, MAX_IGNORED};
pub use host_key::{HostKeyAccepted, HostKeyOffer, HostKeyVerdict};
pub use messages::DebugMessage;
pub use method::{Agreement, Method};
pub use moduli::{MAX_MODULI, MAX_MODULI_BYTES, Moduli, ModuliError};
pub use negotiate::{Direction, Negotiated};
pub use preferences::{MAX_EDIT_BYTES, PreferenceError, Preferences, nearest};
pub use preset::Preset;
pub use quirks::{Quirk, Quirks};
pub use rekey::RekeyPolicy;
pub use transport::{MAX_EARLY_EXCHANGES, MAX_PINGS, Transport, TransportEvent};

#[doc(no_inline)]
pub use ssh_keys::{self as keys, wire};

/// Which side of a connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that connected.
    Client,
    /// The side that was connected to.
    Server,
}
