//! What a program may decide about a transport.

use std::sync::Arc;
use std::time::Duration;

use crate::keys::algorithm::rsa::REQUIRED_MODULUS_BITS;
use crate::keys::{SignatureAlgorithm, algorithm};
use crate::moduli::Moduli;
use crate::preferences::{Preferences, by_tier};
use crate::rekey::RekeyPolicy;
use crate::wire::{Identification, Tier};

/// A transport's settings. `Config::default()` is right for both roles, but for the algorithms: a server had better offer
/// [`for_server`](Self::for_server)'s.
#[derive(Debug, Clone)]
pub struct Config {
    /// The line we begin with (RFC 4253 §4.2).
    pub identification: Identification,
    /// The algorithms we offer.
    pub preferences: Preferences,
    /// When we ask for new keys.
    pub rekey: RekeyPolicy,
    /// What a peer can make us hold, and for how long we wait for it.
    pub limits: Limits,
    /// The smallest RSA key of others that is believed, in bits (`RequiredRSASize`); smaller ones are refused by name.
    pub required_rsa_bits: usize,
    /// As a server: the algorithms told to clients for public key login (`server-sig-algs`, RFC 8308 §3.1).
    pub login_signatures: Vec<&'static SignatureAlgorithm>,
    /// As a server: the groups for `diffie-hellman-group-exchange-sha256`. Without any, and where none fits, those of
    /// RFC 3526 serve.
    pub moduli: Arc<Moduli>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identification: own_identification(),
            preferences: Preferences::default(),
            rekey: RekeyPolicy::default(),
            limits: Limits::default(),
            required_rsa_bits: REQUIRED_MODULUS_BITS,
            login_signatures: login_signatures(),
            moduli: Arc::default(),
        }
    }
}

impl Config {
    /// The default with the narrow lists of [`Preferences::for_server`].
    pub fn for_server() -> Self {
        Self {
            preferences: Preferences::for_server(),
            ..Self::default()
        }
    }
}

/// What a key can log in with by itself: certificates log nobody in so far.
fn login_signatures() -> Vec<&'static SignatureAlgorithm> {
    let mut list = by_tier(algorithm::ALL, Tier::Compatible);
    list.retain(|each| !each.is_certificate());
    list
}

/// `SSH-2.0-Bowline_` and the version of this crate.
fn own_identification() -> Identification {
    let Ok(line) = Identification::ours(concat!("Bowline_", env!("CARGO_PKG_VERSION")), None) else {
        // No input decides about this, and the first test of this file would fail.
        unreachable!("the crate's version has a form that cannot be sent")
    };
    line
}

/// Limits on what the peer chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages held back while keys are being changed, in bytes: what the peer can make us owe it until it is done.
    pub hold_queue_bytes: usize,
    /// Bulk data is sealed until this many bytes wait to be sent, or more: the last message is not cut for it.
    pub bulk_outbox_bytes: usize,
    /// While this many bytes wait to be sent, nothing more is taken from the peer: one that asks without reading
    /// our answers stops itself. More than [`bulk_outbox_bytes`](Self::bulk_outbox_bytes) and the longest packet together,
    /// or bulk data would stop the peer.
    pub outbox_bytes: usize,
    /// How long the peer may take until its identification line is complete.
    pub identification_deadline: Duration,
    /// How long the first key exchange may take from there. The time an application takes to decide on a host key
    /// does not count.
    pub exchange_deadline: Duration,
    /// How long a later key exchange may take from our KEXINIT.
    pub rekey_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold_queue_bytes: 64 * 1024,
            bulk_outbox_bytes: 256 * 1024,
            outbox_bytes: 1024 * 1024,
            identification_deadline: Duration::from_secs(20),
            exchange_deadline: Duration::from_secs(30),
            rekey_deadline: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_line_can_be_sent() {
        assert!(
            Config::default()
                .identification
                .as_str()
                .starts_with("SSH-2.0-Bowline_")
        );
    }

    #[test]
    fn bulk_data_alone_never_stops_the_peer() {
        let limits = Limits::default();
        assert!(limits.bulk_outbox_bytes + crate::wire::MAX_PACKET_BYTES < limits.outbox_bytes);
    }
}
