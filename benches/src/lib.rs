//! What the benches share: the numbers they agree on, and our client and server in memory.
#![forbid(unsafe_code)]

pub mod gcm;
pub mod memory_pair;
pub mod packets;

/// Payload sizes that packets are measured at: a keystroke, a small message, the usual data packet, a large one.
pub const PAYLOAD_SIZES: [usize; 4] = [64, 1024, 32 * 1024, 64 * 1024];

/// How many of something there are while its cost is measured.
pub const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
