//! Channel types (RFC 4254 §5.1): what a channel is opened for, and why it may not be.
//!
//! To add one: a file with a struct made by `payload!`, and its name in the list below.

mod agent;
mod direct_tcpip;
mod forwarded_tcpip;
mod session;
mod streamlocal;
mod tun;
mod x11;

use std::fmt;

use crate::kex::messages::printable;
use crate::payload::family;

pub use agent::AUTH_AGENT;
pub use direct_tcpip::DirectTcpip;
pub use forwarded_tcpip::ForwardedTcpip;
pub use session::SESSION;
pub use streamlocal::{DirectStreamlocal, ForwardedStreamlocal};
pub use tun::{TUN_ANY_UNIT, TUN_ETHERNET, TUN_POINT_TO_POINT, Tun};
pub use x11::X11;

family! {
    /// What a channel is opened for. A type that is not listed here can neither be asked for nor accepted: the
    /// connection refuses it with [`OpenFailureReason::UNKNOWN_CHANNEL_TYPE`].
    pub enum ChannelType {
        bare {
            /// A program, a shell or a subsystem on the other side (RFC 4254 §6.1).
            Session = SESSION,
            /// The client's agent, for a program of a session (OpenSSH `PROTOCOL.agent`).
            AuthAgent = AUTH_AGENT,
        }
        structs {
            DirectTcpip,
            ForwardedTcpip,
            DirectStreamlocal,
            ForwardedStreamlocal,
            X11,
            Tun,
        }
    }
}

impl ChannelType {
    /// Whether each message of data on such a channel is a datagram: it has borders that are kept, and it may be lost.
    /// On all others data is a stream.
    pub const fn has_datagrams(&self) -> bool {
        matches!(self, Self::Tun(_))
    }
}

/// A channel that was not opened: why, and the same for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFailure {
    /// Why.
    pub reason: OpenFailureReason,
    /// For people. From a peer: at most [`MAX_DESCRIPTION_BYTES`](crate::limits::MAX_DESCRIPTION_BYTES), as it came.
    /// Showing the failure escapes control characters in it; showing this field does not.
    pub description: String,
}

impl OpenFailure {
    /// A failure with its reason and description.
    pub fn new(reason: OpenFailureReason, description: impl Into<String>) -> Self {
        Self {
            reason,
            description: description.into(),
        }
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.description.is_empty() {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "{}: {}", self.reason, printable(&self.description))
        }
    }
}

/// A reason code of CHANNEL_OPEN_FAILURE (RFC 4254 §5.1); codes without a name survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpenFailureReason(pub u32);

impl OpenFailureReason {
    /// The other side's policy forbids it.
    pub const ADMINISTRATIVELY_PROHIBITED: Self = Self(1);
    /// What the channel should lead to could not be reached.
    pub const CONNECT_FAILED: Self = Self(2);
    /// The other side does not know the channel type.
    pub const UNKNOWN_CHANNEL_TYPE: Self = Self(3);
    /// The other side has no room for another channel now.
    pub const RESOURCE_SHORTAGE: Self = Self(4);
}

impl fmt::Display for OpenFailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ADMINISTRATIVELY_PROHIBITED => f.write_str("administratively prohibited"),
            Self::CONNECT_FAILED => f.write_str("connect failed"),
            Self::UNKNOWN_CHANNEL_TYPE => f.write_str("unknown channel type"),
            Self::RESOURCE_SHORTAGE => f.write_str("resource shortage"),
            Self(code) => write!(f, "reason {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_as_it_went() {
        let types = [
            ChannelType::Session,
            ChannelType::AuthAgent,
            DirectTcpip {
                host: "example.org".to_owned(),
                port: 443,
                originator: "127.0.0.1".to_owned(),
                originator_port: 65_536,
            }
            .into(),
            ForwardedTcpip {
                address: String::new(),
                port: 8080,
                originator: "::1".to_owned(),
                originator_port: 1,
            }
            .into(),
            DirectStreamlocal::new(b"/run/\xff.sock").into(),
            ForwardedStreamlocal::new(b"/run/x").into(),
            X11 {
                originator: "127.0.0.1".to_owned(),
                originator_port: 6010,
            }
            .into(),
            Tun {
                mode: TUN_POINT_TO_POINT,
                unit: TUN_ANY_UNIT,
            }
            .into(),
        ];
        assert_eq!(types.len(), ChannelType::NAMES.len());
        for (each, name) in types.into_iter().zip(ChannelType::NAMES) {
            assert_eq!(each.name(), *name);
            assert_eq!(ChannelType::decode(name, &each.fields()), Some(Ok(each)));
        }
        assert_eq!(ChannelType::decode("x", b""), None);
    }

    #[test]
    fn a_peers_words_cannot_forge_a_log_line() {
        let words = "no\r\nroot logged in \u{1b}[2J\u{202e}";
        let failure = OpenFailure::new(OpenFailureReason::CONNECT_FAILED, words);
        let expected = "connect failed: no\\r\\nroot logged in \\u{1b}[2J\\u{202e}";
        assert_eq!(failure.to_string(), expected);
        assert_eq!(failure.description, words);
    }

    #[test]
    fn layouts_stand_byte_for_byte() {
        let direct = DirectTcpip {
            host: "a".to_owned(),
            port: 22,
            originator: "b".to_owned(),
            originator_port: 3,
        };
        assert_eq!(
            ChannelType::from(direct).fields(),
            *b"\0\0\0\x01a\0\0\0\x16\0\0\0\x01b\0\0\0\x03"
        );
        assert_eq!(
            ChannelType::from(DirectStreamlocal::new(b"/x")).fields(),
            *b"\0\0\0\x02/x\0\0\0\0\0\0\0\0"
        );
        assert_eq!(
            ChannelType::from(ForwardedStreamlocal::new(b"/x")).fields(),
            *b"\0\0\0\x02/x\0\0\0\0"
        );
        let x11 = X11 {
            originator: "a".to_owned(),
            originator_port: 3,
        };
        assert_eq!(ChannelType::from(x11).fields(), *b"\0\0\0\x01a\0\0\0\x03");
        let tun = Tun {
            mode: TUN_ETHERNET,
            unit: TUN_ANY_UNIT,
        };
        assert_eq!(ChannelType::from(tun).fields(), *b"\0\0\0\x02\x7f\xff\xff\xff");
        assert_eq!(ChannelType::AuthAgent.fields(), b"");
    }

    #[test]
    fn a_session_with_fields_is_malformed() {
        assert!(matches!(ChannelType::decode(SESSION, b"x"), Some(Err(_))));
    }

    #[test]
    fn reasons_read_as_the_rfc_names_them() {
        let failure = OpenFailure::new(OpenFailureReason(2), "no route to host");
        assert_eq!(failure.to_string(), "connect failed: no route to host");
        assert_eq!(OpenFailureReason(77).to_string(), "reason 77");
    }
}
