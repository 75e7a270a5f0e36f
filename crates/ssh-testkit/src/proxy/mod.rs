//! The fault proxy: stands between any client and any server on loopback and does to their bytes what networks, cables
//! and enemies do. The same seed, the same faults.
//!
//! ```text
//!   client ──▶ Proxy ──▶ server        each direction: Fault ──▶ Shaper (no I/O): what is sent, when, and the end
//!          ◀──       ◀──                                  └──▶ packets: where encrypted packets begin and end
//! ```

mod packets;
mod relay;
mod shaper;

use std::time::Duration;

pub use relay::Proxy;
pub use shaper::{Shaper, Step};

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They pass as they come.
    None,
    /// Each piece is sent with so many bytes, at least 1, and for itself.
    Chunks(usize),
    /// Pieces of any size from 1 to this.
    RandomChunks(usize),
    /// One by one for the first `bytes`, then in pieces of any size up to 64 KiB: every message up to the login is cut
    /// everywhere, and bulk data does not take for ever.
    Crumbs {
        /// So many bytes one by one.
        bytes: usize,
    },
    /// What comes within this time leaves in one piece.
    Coalesced(Duration),
    /// Each piece is late by `delay` and up to `jitter` more; their order stays.
    Delayed {
        /// At least so late.
        delay: Duration,
        /// And up to so much more.
        jitter: Duration,
    },
    /// No more than so many bytes in a second.
    Throttled(usize),
    /// After so many bytes nothing moves for a while; then it goes on.
    Frozen {
        /// After so many bytes of this direction.
        after: usize,
        /// So long.
        time: Duration,
    },
    /// Both directions end with FIN after so many bytes of this one.
    Cut(usize),
    /// Both directions end with RST after so many bytes of this one.
    Reset(usize),
    /// This direction ends with FIN after so many bytes, the other goes on.
    HalfClosed(usize),
    /// The byte at this place is changed by XOR with `mask`.
    Corrupt {
        /// Which byte of this direction.
        at: usize,
        /// What is changed of it.
        mask: u8,
    },
    /// An encrypted packet, the first of which is number 0, is left out.
    DropPacket(usize),
    /// An encrypted packet arrives twice.
    DoublePacket(usize),
    /// An encrypted packet arrives after the one that follows it.
    SwapPackets(usize),
}

impl Fault {
    /// Whether packets have to be found. Their lengths must be readable, as with AES-GCM, and their integrity check
    /// [`packets::TAG_BYTES`] long.
    const fn needs_packets(self) -> bool {
        matches!(
            self,
            Self::DropPacket(_) | Self::DoublePacket(_) | Self::SwapPackets(_)
        )
    }
}

/// What happens in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// From the client to the server.
    pub up: Fault,
    /// From the server to the client.
    pub down: Fault,
    /// Whatever is left to chance.
    pub seed: u64,
}

impl Faults {
    /// The same in both directions.
    pub const fn both(fault: Fault) -> Self {
        Self {
            up: fault,
            down: fault,
            seed: 1,
        }
    }

    /// From the client to the server only.
    pub const fn up(fault: Fault) -> Self {
        Self {
            up: fault,
            down: Fault::None,
            seed: 1,
        }
    }

    /// From the server to the client only.
    pub const fn down(fault: Fault) -> Self {
        Self {
            up: Fault::None,
            down: fault,
            seed: 1,
        }
    }

    /// What `BOWLINE_FRAGMENTS` asks for.
    fn of_environment() -> Option<Self> {
        match std::env::var("BOWLINE_FRAGMENTS").as_deref() {
            Ok("crumbs") => Some(Self::both(Fault::Crumbs { bytes: 16 * 1024 })),
            Ok("random") => Some(Self::both(Fault::RandomChunks(64 * 1024))),
            Ok(other) => panic!("BOWLINE_FRAGMENTS={other}: it is `crumbs` or `random`"),
            Err(_) => None,
        }
    }
}

/// The port by which a server on `port` is to be reached, so that whole suites can be run over a wire that cuts: with
/// `BOWLINE_FRAGMENTS=crumbs` or `random` that of a proxy, which lives as long as the value beside it.
///
/// # Panics
/// The variable says something else.
pub fn in_front_of(port: u16) -> (u16, Option<Proxy>) {
    let proxy = Faults::of_environment().map(|faults| Proxy::start(port, faults));
    (proxy.as_ref().map_or(port, |proxy| proxy.port), proxy)
}
