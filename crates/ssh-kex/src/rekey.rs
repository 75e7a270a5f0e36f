//! When keys are worn: by bytes, packets and time, counted in both directions (RFC 4253 §9, RFC 4344 §3).

use std::time::{Duration, Instant};

use crate::negotiate::Negotiated;
use crate::wire::Packetizer;

/// The default and the highest useful number of packets under one set of keys (RFC 4344 §3.1: before 2^32 have passed).
pub(crate) const MAX_PACKETS: u64 = 1 << 31;
/// The default number of bytes: one gibibyte (RFC 4253 §9).
pub(crate) const DEFAULT_BYTES: u64 = 1 << 30;
/// The default time: one hour (RFC 4253 §9).
pub(crate) const DEFAULT_TIME: Duration = Duration::from_secs(3600);

/// How much may pass under one set of keys before we ask for new ones. Whatever direction reaches a limit first
/// decides; the peer may ask at any time besides.
///
/// More bytes than the cipher in use allows ([`Cipher::max_bytes_per_key`](crate::wire::Cipher)) count as that many, more
/// packets than 2^31 as that many, 0 as 1: limits can be lowered, not lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeyPolicy {
    /// Bytes on the wire, each direction.
    pub bytes: u64,
    /// Packets, each direction.
    pub packets: u64,
    /// Time since the last exchange ended; `None`: never because of time.
    pub time: Option<Duration>,
}

impl Default for RekeyPolicy {
    fn default() -> Self {
        Self {
            bytes: DEFAULT_BYTES,
            packets: MAX_PACKETS,
            time: Some(DEFAULT_TIME),
        }
    }
}

impl RekeyPolicy {
    /// Only where a cipher or the counter of packets forbids to go on.
    pub const AS_SELDOM_AS_POSSIBLE: Self = Self {
        bytes: u64::MAX,
        packets: MAX_PACKETS,
        time: None,
    };

    /// Whether a direction with these counts is worn.
    fn is_worn(&self, bytes: u64, packets: u64, cipher_bytes: u64) -> bool {
        bytes >= self.bytes.min(cipher_bytes).max(1) || packets >= self.packets.clamp(1, MAX_PACKETS)
    }

    /// Whether it is time for new keys, the last ones being from `since`.
    pub(crate) fn is_due(
        &self,
        wire: &Packetizer,
        negotiated: &Negotiated,
        since: Instant,
        now: Instant,
    ) -> bool {
        let Packetizer { opener, sealer } = wire;
        self.is_worn(
            opener.bytes(),
            opener.packets(),
            negotiated.incoming.cipher.max_bytes_per_key,
        ) || self.is_worn(
            sealer.bytes(),
            sealer.packets(),
            negotiated.outgoing.cipher.max_bytes_per_key,
        ) || self.due_at(since).is_some_and(|due| now >= due)
    }

    /// When time alone makes new keys due.
    pub(crate) fn due_at(&self, since: Instant) -> Option<Instant> {
        // A time so long that it cannot be added to the clock is never.
        self.time.and_then(|time| since.checked_add(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_clamped_towards_safety() {
        let lifted = RekeyPolicy {
            bytes: u64::MAX,
            packets: u64::MAX,
            time: None,
        };
        assert!(!lifted.is_worn(999, MAX_PACKETS - 1, 1000));
        assert!(lifted.is_worn(1000, 0, 1000));
        assert!(lifted.is_worn(0, MAX_PACKETS, 1000));
        let zero = RekeyPolicy {
            bytes: 0,
            packets: 0,
            time: None,
        };
        assert!(
            !zero.is_worn(0, 0, 1000),
            "or an idle connection would change keys without end"
        );
        assert!(zero.is_worn(1, 0, 1000));
    }

    #[test]
    fn defaults_are_those_of_the_rfcs() {
        let policy = RekeyPolicy::default();
        assert!(!policy.is_worn(DEFAULT_BYTES - 1, MAX_PACKETS - 1, u64::MAX));
        assert!(policy.is_worn(DEFAULT_BYTES, 1, u64::MAX));
        let start = Instant::now();
        assert_eq!(policy.due_at(start), Some(start + DEFAULT_TIME));
        assert_eq!(
            RekeyPolicy {
                time: Some(Duration::MAX),
                ..policy
            }
            .due_at(start),
            None
        );
    }
}
