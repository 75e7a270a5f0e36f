//! Shared by the benches: nothing but the numbers they agree on.
#![forbid(unsafe_code)]

/// Payload sizes that packets are measured at: a keystroke, a small message, the usual data packet, a large one.
pub const PAYLOAD_SIZES: [usize; 4] = [64, 1024, 32 * 1024, 64 * 1024];
