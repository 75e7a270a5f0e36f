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
/// So much passes in a direction before limits that an application has set count there, unless bulk data was sent or
/// [`LEAST_TIME`] went by: what may have been held back until the keys were new never wears them out by itself
/// ([`Limits::hold_queue_bytes`](crate::Limits)).
pub(crate) const LEAST_BYTES: u64 = 64 * 1024;
/// So long after an exchange those limits count in any case: for rooms above that is a turn, for keys it is nothing.
pub(crate) const LEAST_TIME: Duration = Duration::from_millis(100);

/// How much may pass under one set of keys before we ask for new ones. Whatever direction reaches a limit first
/// decides; the peer may ask at any time besides.
///
/// More bytes than the cipher in use allows ([`Cipher::max_bytes_per_key`](crate::wire::Cipher)) count as that many, more
/// packets than 2^31 as that many, 0 as 1: limits can be lowered, not lifted.
///
/// However low they are, each set of keys carries bulk data of ours if there is any: `bytes` and `packets` count once some
/// was sent, or 64 KiB have passed in the direction, or 100 ms. Otherwise answers to a peer that never stops asking would
/// use up all keys, and data would wait for ever. What ciphers and counters forbid is forbidden at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeyPolicy {
    /// Bytes on the wire, each direction.
    pub bytes: u64,
    /// Packets, each direction.
    pub packets: u64,
    /// Time since the last exchange ended; `None`: never because of time.
    pub time: Option<Duration>,
}

/// What is known of one set of keys beside its counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wear {
    /// When the exchange that made them ended.
    pub(crate) since: Instant,
    /// Whether bulk data was sent under them.
    pub(crate) carried_bulk: bool,
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

    /// Whether a direction with these counts is worn. `had_turn`: whether the rooms above could have used these keys.
    fn is_worn(&self, bytes: u64, packets: u64, cipher_bytes: u64, had_turn: bool) -> bool {
        let at_the_end = bytes >= cipher_bytes.max(1) || packets >= MAX_PACKETS;
        let as_wanted = bytes >= self.bytes.max(1) || packets >= self.packets.max(1);
        at_the_end || (as_wanted && (had_turn || bytes >= LEAST_BYTES))
    }

    /// Whether it is time for new keys.
    pub(crate) fn is_due(
        &self,
        wire: &Packetizer,
        negotiated: &Negotiated,
        wear: Wear,
        now: Instant,
    ) -> bool {
        let Packetizer { opener, sealer } = wire;
        let [incoming, outgoing] =
            [negotiated.incoming, negotiated.outgoing].map(|way| way.cipher.max_bytes_per_key);
        let had_turn = wear.carried_bulk || now.saturating_duration_since(wear.since) >= LEAST_TIME;
        self.is_worn(opener.bytes(), opener.packets(), incoming, had_turn)
            || self.is_worn(sealer.bytes(), sealer.packets(), outgoing, had_turn)
            || self.due_at(wear.since).is_some_and(|due| now >= due)
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
        assert!(!lifted.is_worn(999, MAX_PACKETS - 1, 1000, true));
        assert!(lifted.is_worn(1000, 0, 1000, true));
        assert!(lifted.is_worn(0, MAX_PACKETS, 1000, true));
        let zero = RekeyPolicy {
            bytes: 0,
            packets: 0,
            time: None,
        };
        assert!(
            !zero.is_worn(0, 0, 1000, true),
            "or an idle connection would change keys without end"
        );
        assert!(zero.is_worn(1, 0, 1000, true));
    }

    #[test]
    fn low_limits_leave_a_turn_and_those_of_ciphers_do_not() {
        let low = RekeyPolicy {
            bytes: 16,
            packets: 1,
            time: None,
        };
        assert!(low.is_worn(16, 1, u64::MAX, true));
        assert!(!low.is_worn(LEAST_BYTES - 1, 1_000, u64::MAX, false));
        assert!(low.is_worn(LEAST_BYTES, 1_000, u64::MAX, false));
        assert!(low.is_worn(1_000, 1, 1_000, false), "a cipher's own limit");
        assert!(
            low.is_worn(1, MAX_PACKETS, u64::MAX, false),
            "the counter of packets"
        );
        let held = crate::Limits::default().hold_queue_bytes;
        assert!(u64::try_from(held).is_ok_and(|held| held <= LEAST_BYTES));
    }

    #[test]
    fn defaults_are_those_of_the_rfcs() {
        let policy = RekeyPolicy::default();
        assert!(!policy.is_worn(DEFAULT_BYTES - 1, MAX_PACKETS - 1, u64::MAX, true));
        assert!(policy.is_worn(DEFAULT_BYTES, 1, u64::MAX, true));
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
