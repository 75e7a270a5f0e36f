//! What a connection may do and how much of it.

use crate::limits::{Limits, MAX_PACKET_DATA_BYTES};

/// Policy of a connection. It has no role: what a client and a server allow their peers to open is what they write
/// into `accept_opens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much may be under way to us.
    pub window: WindowPolicy,
    /// The most data the peer may put in one message, in bytes; at most
    /// [`MAX_PACKET_DATA_BYTES`](crate::limits::MAX_PACKET_DATA_BYTES), at least 1.
    pub max_packet: u32,
    /// The most data we put in one message even where the peer takes more, in bytes. Clamped as `max_packet` is.
    pub max_packet_out: u32,
    /// What a peer may use up.
    pub limits: Limits,
    /// The channel types the peer may open, by name: [`ChannelType::NAMES`](crate::ChannelType::NAMES) has all that
    /// can be. Empty by default: nothing. See also [`Connection::allow_opens`](crate::Connection::allow_opens).
    pub accept_opens: Vec<&'static str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: WindowPolicy::default(),
            max_packet: 64 * 1024,
            max_packet_out: 64 * 1024,
            limits: Limits::default(),
            accept_opens: Vec::new(),
        }
    }
}

impl Config {
    /// The same with every number inside the range it works in.
    pub(crate) fn clamped(mut self) -> Self {
        self.max_packet = self.max_packet.clamp(1, MAX_PACKET_DATA_BYTES);
        self.max_packet_out = self.max_packet_out.clamp(1, MAX_PACKET_DATA_BYTES);
        self.window.max = self.window.max.max(self.window.initial);
        self
    }
}

/// Receive windows: what the peer may send before the application has read (RFC 4254 §5.2), in bytes. A channel never
/// holds more unread than its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPolicy {
    /// What a channel begins with while the budget lasts.
    pub initial: u32,
    /// What a window may grow to when the reader keeps up and growing pays; at least `initial`.
    pub max: u32,
    /// The sum over all channels of a connection. A channel opened when half of it is used gets
    /// [`MODEST_WINDOW_BYTES`](crate::limits::MODEST_WINDOW_BYTES), when all of it is used
    /// [`MIN_WINDOW_BYTES`](crate::limits::MIN_WINDOW_BYTES): only those go beyond it.
    pub budget: u64,
}

impl Default for WindowPolicy {
    fn default() -> Self {
        Self {
            initial: 2 * 1024 * 1024,
            max: 16 * 1024 * 1024,
            budget: 64 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_clamped() {
        let config = Config {
            max_packet: 0,
            max_packet_out: u32::MAX,
            window: WindowPolicy {
                initial: 1_000,
                max: 10,
                budget: 0,
            },
            ..Config::default()
        };
        let clamped = config.clamped();
        assert_eq!(clamped.max_packet, 1);
        assert_eq!(clamped.max_packet_out, MAX_PACKET_DATA_BYTES);
        assert_eq!(clamped.window.max, 1_000);
    }
}
