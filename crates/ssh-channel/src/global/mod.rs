//! Global requests (RFC 4254 §4): what is asked about the connection as a whole.
//!
//! To add one: a file with a struct made by `payload!`, and its name in the list below. Unknown requests, and known
//! ones whose fields do not decode, are answered with FAILURE by the connection.

mod forward;
mod keepalive;
mod no_more_sessions;

use crate::payload::family;

pub use forward::{
    CancelStreamlocalForward, CancelTcpipForward, StreamlocalForward, TcpipForward, bound_port,
    bound_port_reply,
};
pub use keepalive::KEEPALIVE;
pub use no_more_sessions::NO_MORE_SESSIONS;

family! {
    /// A request about the connection. `Unknown` can be received and shown, but not sent.
    pub enum GlobalRequest {
        bare {
            /// No more sessions will be opened (OpenSSH `PROTOCOL` §2.2): further ones are refused.
            NoMoreSessions = NO_MORE_SESSIONS,
            /// Answer, please (OpenSSH `PROTOCOL`): never seen in an event, the connection answers it.
            Keepalive = KEEPALIVE,
        }
        structs {
            TcpipForward,
            CancelTcpipForward,
            StreamlocalForward,
            CancelStreamlocalForward,
        }
        /// A request this crate does not know, or whose fields do not decode: it has been answered already.
        unknown { Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_comes_back_as_it_went() {
        let requests = [
            GlobalRequest::NoMoreSessions,
            GlobalRequest::Keepalive,
            TcpipForward::new("localhost", 0).into(),
            CancelTcpipForward::new("", 8080).into(),
            StreamlocalForward {
                path: b"/run/\xff".to_vec(),
            }
            .into(),
            CancelStreamlocalForward { path: b"/x".to_vec() }.into(),
        ];
        assert_eq!(requests.len(), GlobalRequest::NAMES.len());
        for (each, name) in requests.into_iter().zip(GlobalRequest::NAMES) {
            assert_eq!(each.name(), *name);
            assert_eq!(GlobalRequest::decode(name, &each.fields()), Some(Ok(each)));
        }
        assert_eq!(GlobalRequest::decode("hostkeys-00@openssh.com", b""), None);
    }

    #[test]
    fn layouts_stand_byte_for_byte() {
        assert_eq!(
            GlobalRequest::from(TcpipForward::new("", 22)).fields(),
            *b"\0\0\0\0\0\0\0\x16"
        );
        assert_eq!(
            GlobalRequest::NoMoreSessions.name(),
            "no-more-sessions@openssh.com"
        );
        assert_eq!(GlobalRequest::Keepalive.name(), "keepalive@openssh.com");
    }
}
