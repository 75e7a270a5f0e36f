//! Channel requests (RFC 4254 §5.4, §6): what is asked about a channel, beside its data.
//!
//! To add one: a file with a struct made by `payload!`, and its name in the list below. Unknown requests, and known
//! ones whose fields do not decode, are answered with FAILURE by the connection.

mod agent;
mod exit;
mod openssh;
mod process;
mod signal;
mod terminal;
mod x11;

use crate::payload::family;

pub use agent::AUTH_AGENT_REQ;
pub use exit::{ExitSignal, ExitStatus};
pub use openssh::EOW;
pub use process::{Env, Exec, SHELL, Subsystem};
pub use signal::{Break, Signal, signals};
pub use terminal::{PtyReq, WindowChange, XonXoff};
pub use x11::{X11Cookie, X11Req};

family! {
    /// A request about a channel. `Unknown` can be received and shown, but not sent.
    pub enum ChannelRequest {
        bare {
            /// Start the user's shell (RFC 4254 §6.5).
            Shell = SHELL,
            /// Nobody reads what is sent on this channel any more (OpenSSH `PROTOCOL` §2.1).
            Eow = EOW,
            /// Lead the session's programs to the client's agent (OpenSSH `PROTOCOL.agent`).
            AuthAgentReq = AUTH_AGENT_REQ,
        }
        structs {
            Exec,
            Subsystem,
            Env,
            PtyReq,
            WindowChange,
            XonXoff,
            Signal,
            Break,
            ExitStatus,
            ExitSignal,
            X11Req,
        }
        /// A request this crate does not know, or whose fields do not decode: it has been answered already.
        unknown { Unknown }
    }
}

impl ChannelRequest {
    /// Whether it is the last word on a channel: `exit-status` or `exit-signal` (RFC 4254 §6.10).
    pub(crate) const fn is_farewell(&self) -> bool {
        matches!(self, Self::ExitStatus(_) | Self::ExitSignal(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TerminalModes;

    fn one_of_each() -> Vec<ChannelRequest> {
        vec![
            ChannelRequest::Shell,
            ChannelRequest::Eow,
            ChannelRequest::AuthAgentReq,
            Exec::new("uname -a").into(),
            Subsystem::new("sftp").into(),
            Env::new("LANG", b"\xff").into(),
            PtyReq {
                terminal: "xterm".to_owned(),
                columns: 80,
                rows: 24,
                width_pixels: 640,
                height_pixels: 480,
                modes: TerminalModes::new([(1, 3), (128, 38_400)]),
            }
            .into(),
            WindowChange::new(132, 43).into(),
            XonXoff { client_can_do: true }.into(),
            Signal::new(signals::TERM).into(),
            Break { milliseconds: 500 }.into(),
            ExitStatus { status: 7 }.into(),
            ExitSignal::new(signals::KILL).into(),
            X11Req {
                single_connection: false,
                protocol: "MIT-MAGIC-COOKIE-1".to_owned(),
                cookie: "00ff".into(),
                screen: 0,
            }
            .into(),
        ]
    }

    #[test]
    fn every_request_comes_back_as_it_went() {
        let requests = one_of_each();
        assert_eq!(requests.len(), ChannelRequest::NAMES.len());
        for (each, name) in requests.into_iter().zip(ChannelRequest::NAMES) {
            assert_eq!(each.name(), *name);
            assert_eq!(ChannelRequest::decode(name, &each.fields()), Some(Ok(each)));
        }
    }

    #[test]
    fn layouts_stand_byte_for_byte() {
        for (request, wire) in [
            (Exec::new("ls").into(), &b"\0\0\0\x02ls"[..]),
            (Env::new("A", "b").into(), b"\0\0\0\x01A\0\0\0\x01b"),
            (ExitStatus { status: 255 }.into(), b"\0\0\0\xff"),
            (
                ExitSignal {
                    name: "HUP".to_owned(),
                    core_dumped: true,
                    message: b"m".to_vec(),
                    language: Vec::new(),
                }
                .into(),
                b"\0\0\0\x03HUP\x01\0\0\0\x01m\0\0\0\0",
            ),
            (
                WindowChange::new(80, 24).into(),
                b"\0\0\0\x50\0\0\0\x18\0\0\0\0\0\0\0\0",
            ),
            (ChannelRequest::Shell, b""),
            (ChannelRequest::AuthAgentReq, b""),
            (
                X11Req {
                    single_connection: true,
                    protocol: "p".to_owned(),
                    cookie: "c".into(),
                    screen: 2,
                }
                .into(),
                b"\x01\0\0\0\x01p\0\0\0\x01c\0\0\0\x02",
            ),
        ] {
            assert_eq!(request.fields(), wire, "{request:?}");
        }
    }

    #[test]
    fn cut_and_padded_requests_do_not_decode() {
        for each in one_of_each() {
            let mut fields = each.fields();
            for cut in 0..fields.len() {
                let result = ChannelRequest::decode(each.name(), &fields[..cut]);
                assert!(matches!(result, Some(Err(_))), "{each:?} cut at {cut}");
            }
            fields.push(0);
            let result = ChannelRequest::decode(each.name(), &fields);
            assert!(matches!(result, Some(Err(_))), "{each:?} with a byte behind it");
        }
        assert_eq!(ChannelRequest::decode("nobody@example.org", b""), None);
    }
}
