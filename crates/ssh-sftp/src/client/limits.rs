//! How large requests to a server may be: its own words, clamped.

use crate::extension::LimitsReply;
use crate::{MAX_DATA_BYTES, MAX_MESSAGE_BYTES};

/// What every server must take (draft §3): 32 KiB of data in a message of 34,000 bytes.
const SAFE_DATA_BYTES: u32 = 32 * 1024;

/// How large requests may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes a READ should ask for.
    pub read_bytes: u32,
    /// The most bytes a WRITE should carry.
    pub write_bytes: u32,
    /// How many handles may be open at once, where the server says so.
    pub handles: Option<u64>,
}

impl Default for Limits {
    /// What the draft promises of every server.
    fn default() -> Self {
        Self {
            read_bytes: SAFE_DATA_BYTES,
            write_bytes: SAFE_DATA_BYTES,
            handles: None,
        }
    }
}

impl Limits {
    /// The server's word, kept between what every server must take and what this crate sends: a server cannot make
    /// a client fetch a file byte by byte, or build messages that are larger than any message may be.
    pub fn clamped(reply: &LimitsReply) -> Self {
        let message = match u32::try_from(reply.max_packet_bytes).unwrap_or(u32::MAX) {
            0 => u32::MAX,
            bytes => bytes.saturating_sub(1024), // room for the other fields, as OpenSSH's client leaves it
        };
        let data = |said: u64| match u32::try_from(said).unwrap_or(u32::MAX) {
            0 => message,
            bytes => bytes.min(message),
        };
        let clamp = |bytes: u32| bytes.clamp(SAFE_DATA_BYTES, MAX_DATA_BYTES);
        Self {
            read_bytes: clamp(data(reply.max_read_bytes)),
            write_bytes: clamp(data(reply.max_write_bytes)),
            handles: Some(reply.max_open_handles).filter(|&handles| handles > 0),
        }
    }
}

// One READ's answer and one WRITE fit in a message, with 1 KiB for handle, offset and lengths.
const _: () = assert!(MAX_MESSAGE_BYTES == 256 * 1024 && MAX_DATA_BYTES == 255 * 1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_numbers_are_clamped() {
        for (packet, read, write, handles, expected) in [
            (262_144, 261_120, 261_120, 1019, (261_120, 261_120, Some(1019))),
            (0, 0, 0, 0, (261_120, 261_120, None)),
            (
                u64::MAX,
                u64::MAX,
                u64::MAX,
                u64::MAX,
                (261_120, 261_120, Some(u64::MAX)),
            ),
            (1, 1, 1, 1, (32_768, 32_768, Some(1))),
            (65_536, 0, 40_000, 0, (64_512, 40_000, None)),
        ] {
            let limits = Limits::clamped(&LimitsReply {
                max_packet_bytes: packet,
                max_read_bytes: read,
                max_write_bytes: write,
                max_open_handles: handles,
            });
            assert_eq!((limits.read_bytes, limits.write_bytes, limits.handles), expected);
        }
    }
}
