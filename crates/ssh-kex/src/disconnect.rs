//! Farewells: the reasons of RFC 4253 §11.1, and the one place that decides which of them an error deserves.

use std::fmt;

/// Why a side ends the connection (RFC 4253 §11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// 1: this host may not connect.
    HostNotAllowedToConnect,
    /// 2: the other side broke the protocol.
    ProtocolError,
    /// 3: no keys could be agreed on.
    KeyExchangeFailed,
    /// 4: reserved, never to be sent.
    Reserved,
    /// 5: a packet's integrity check failed.
    MacError,
    /// 6: compressed data cannot be decompressed.
    CompressionError,
    /// 7: the requested service is not offered.
    ServiceNotAvailable,
    /// 8: the other side speaks another version.
    ProtocolVersionNotSupported,
    /// 9: the host key is not trusted.
    HostKeyNotVerifiable,
    /// 10: the other side is gone.
    ConnectionLost,
    /// 11: the application wants to end, in the ordinary way.
    ByApplication,
    /// 12: too many connections.
    TooManyConnections,
    /// 13: the user gave up logging in.
    AuthCancelledByUser,
    /// 14: nothing is left to log in with.
    NoMoreAuthMethodsAvailable,
    /// 15: that is no user name.
    IllegalUserName,
    /// A code that RFC 4253 does not assign.
    Unassigned(u32),
}

/// The assigned codes with their names: code, value, name in RFC 4253 without its common prefix.
const ASSIGNED: [(u32, DisconnectReason, &str); 15] = [
    (
        1,
        DisconnectReason::HostNotAllowedToConnect,
        "HOST_NOT_ALLOWED_TO_CONNECT",
    ),
    (2, DisconnectReason::ProtocolError, "PROTOCOL_ERROR"),
    (3, DisconnectReason::KeyExchangeFailed, "KEY_EXCHANGE_FAILED"),
    (4, DisconnectReason::Reserved, "RESERVED"),
    (5, DisconnectReason::MacError, "MAC_ERROR"),
    (6, DisconnectReason::CompressionError, "COMPRESSION_ERROR"),
    (7, DisconnectReason::ServiceNotAvailable, "SERVICE_NOT_AVAILABLE"),
    (
        8,
        DisconnectReason::ProtocolVersionNotSupported,
        "PROTOCOL_VERSION_NOT_SUPPORTED",
    ),
    (
        9,
        DisconnectReason::HostKeyNotVerifiable,
        "HOST_KEY_NOT_VERIFIABLE",
    ),
    (10, DisconnectReason::ConnectionLost, "CONNECTION_LOST"),
    (11, DisconnectReason::ByApplication, "BY_APPLICATION"),
    (12, DisconnectReason::TooManyConnections, "TOO_MANY_CONNECTIONS"),
    (
        13,
        DisconnectReason::AuthCancelledByUser,
        "AUTH_CANCELLED_BY_USER",
    ),
    (
        14,
        DisconnectReason::NoMoreAuthMethodsAvailable,
        "NO_MORE_AUTH_METHODS_AVAILABLE",
    ),
    (15, DisconnectReason::IllegalUserName, "ILLEGAL_USER_NAME"),
];

impl DisconnectReason {
    /// The code on the wire.
    pub fn code(self) -> u32 {
        match self {
            Self::Unassigned(code) => code,
            assigned => ASSIGNED
                .iter()
                .find(|(_, each, _)| *each == assigned)
                .map_or(0, |(code, ..)| *code),
        }
    }

    /// The reason with this code.
    pub fn from_code(code: u32) -> Self {
        ASSIGNED
            .iter()
            .find(|(each, ..)| *each == code)
            .map_or(Self::Unassigned(code), |(_, reason, _)| *reason)
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unassigned(code) => write!(f, "reason {code}"),
            assigned => {
                let name = ASSIGNED
                    .iter()
                    .find(|(_, each, _)| each == assigned)
                    .map_or("", |(.., name)| *name);
                write!(f, "{name} ({})", assigned.code())
            }
        }
    }
}

/// What a fatal error is about, told by every room's error type through [`Fatal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer broke a rule of the protocol or a limit of ours.
    Protocol,
    /// No keys could be agreed on: nothing in common, a bad share, a bad signature.
    KeyExchange,
    /// A packet failed its integrity check.
    Integrity,
    /// A packet could not be decompressed.
    Compression,
    /// The peer speaks another version of SSH, or something that is not SSH.
    Version,
    /// The host key was not accepted.
    HostKey,
    /// The service asked for is not offered.
    Service,
    /// The user, or the program for the user, gave up logging in.
    AuthCancelled,
    /// Every way to log in was used up, or too many attempts failed.
    AuthExhausted,
    /// A user name that no account can have.
    UserName,
    /// The peer may not connect from where it is.
    HostNotAllowed,
    /// More connections than are served.
    TooManyConnections,
    /// The peer did not do in time what was its turn.
    Timeout,
    /// Our own side ends it: on request, or because of a fault of ours.
    Ourselves,
    /// Nobody is left to tell: the peer said farewell itself.
    Gone,
}

impl Blame {
    /// The reason that is sealed before the stream is closed; `None` where nobody would read it.
    ///
    /// This is the one map from errors to the wire: rooms above answer [`Fatal::blame`] and nothing else.
    pub const fn reason(self) -> Option<DisconnectReason> {
        Some(match self {
            Self::Protocol => DisconnectReason::ProtocolError,
            Self::KeyExchange => DisconnectReason::KeyExchangeFailed,
            Self::Integrity => DisconnectReason::MacError,
            Self::Compression => DisconnectReason::CompressionError,
            Self::Version => DisconnectReason::ProtocolVersionNotSupported,
            Self::HostKey => DisconnectReason::HostKeyNotVerifiable,
            Self::Service => DisconnectReason::ServiceNotAvailable,
            Self::AuthCancelled => DisconnectReason::AuthCancelledByUser,
            Self::AuthExhausted => DisconnectReason::NoMoreAuthMethodsAvailable,
            Self::UserName => DisconnectReason::IllegalUserName,
            Self::HostNotAllowed => DisconnectReason::HostNotAllowedToConnect,
            Self::TooManyConnections => DisconnectReason::TooManyConnections,
            Self::Timeout => DisconnectReason::ConnectionLost,
            Self::Ourselves => DisconnectReason::ByApplication,
            Self::Gone => return None,
        })
    }
}

/// A fatal error: one that ends the connection and knows what it is about.
pub trait Fatal {
    /// What it is about.
    fn blame(&self) -> Blame;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_4253() {
        for code in 0..=20 {
            assert_eq!(DisconnectReason::from_code(code).code(), code);
        }
        assert_eq!(DisconnectReason::MacError.code(), 5);
        assert_eq!(DisconnectReason::from_code(16), DisconnectReason::Unassigned(16));
        assert_eq!(DisconnectReason::ByApplication.to_string(), "BY_APPLICATION (11)");
        assert_eq!(DisconnectReason::Unassigned(99).to_string(), "reason 99");
    }
}
