//! The SSH connection protocol (RFC 4254): many channels over one session, each with its own flow control.
//!
//! ```text
//!              application (ssh-sftp, ssh-tokio)
//!     open, write, read, request …   │  ▲  events: Open, Readable, Writable, Request, Eof, Closed …
//!                                    ▼  │
//!   ┌───────────────────────────── Connection ─────────────────────────────┐
//!   │  channel 0            channel 1            channel 2        global   │
//!   │  ├ inboxes (2)        ├ …                  ├ …              requests │
//!   │  ├ receive window     │                    │                         │
//!   │  └ send window        │                    │                         │
//!   └──────────────────────────────────┬───────────────────────────────────┘
//!                                      │  packets 80–127
//!                                   Session
//! ```
//!
//! What a program does with the events, in a few lines:
//!
//! ```
//! use ssh_channel::{Connection, Event, Exec, Misuse};
//!
//! fn react(connection: &mut Connection, event: Event, output: &mut Vec<u8>) -> Result<(), Misuse> {
//!     match event {
//!         Event::Opened(id) => connection.request(id, &Exec::new("uname -a").into(), true)?,
//!         Event::Readable(id, stream) => {
//!             while let Some(chunk) = connection.read(id, stream, usize::MAX) {
//!                 output.extend_from_slice(&chunk);
//!                 connection.consumed(id, chunk.len());
//!             }
//!         }
//!         Event::Eof(id) => connection.close(id)?,
//!         _ => {}
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What it implements: RFC 4254 §4 to §9 but X11 and agent forwarding; RFC 4335 (`break`), RFC 8160 (IUTF8), OpenSSH's
//! Unix-socket channels, `eow`, `keepalive` and `no-more-sessions`.
//!
//! What it deliberately does not:
//!
//! * It does not know whether it is a client or a server: [`Config::accept_opens`] says what a peer may open.
//! * It connects to nothing and runs nothing: requests and opens leave as [`Event`]s and wait for an answer.
//! * It buffers nothing that was not granted: what lies unread is bounded by the window, what is written is sealed at
//!   once or not taken.
//! * It forgives nothing that RFC 4254 forbids: data beyond the window, messages about channels that do not exist, EOF
//!   after EOF and their like end the connection ([`Misbehaviour`] has them all).
#![forbid(unsafe_code)]

mod channel;
mod config;
mod connection;
mod control;
mod error;
mod event;
mod global;
mod inbox;
pub mod limits;
pub mod messages;
mod open;
mod payload;
mod replies;
mod request;
mod table;
mod terminal_modes;
mod turns;
mod window;

#[doc(no_inline)]
pub use ssh_auth::{self as auth, kex, keys, wire};

pub use config::{Config, WindowPolicy};
pub use connection::{Connection, Datagram};
pub use error::{Error, Misbehaviour, Misuse};
pub use event::{Event, GlobalReplyDue, Opening, ReplyDue, Stream};
pub use global::{
    CancelStreamlocalForward, CancelTcpipForward, GlobalRequest, KEEPALIVE, NO_MORE_SESSIONS,
    StreamlocalForward, TcpipForward, bound_port, bound_port_reply,
};
pub use limits::Limits;
pub use open::{
    AUTH_AGENT, ChannelType, DirectStreamlocal, DirectTcpip, ForwardedStreamlocal, ForwardedTcpip,
    OpenFailure, OpenFailureReason, SESSION, TUN_ANY_UNIT, TUN_ETHERNET, TUN_POINT_TO_POINT, Tun, X11,
};
pub use request::{
    AUTH_AGENT_REQ, Break, ChannelRequest, EOW, Env, Exec, ExitSignal, ExitStatus, PtyReq, SHELL, Signal,
    Subsystem, WindowChange, X11Cookie, X11Req, XonXoff, signals,
};
pub use table::ChannelId;
pub use terminal_modes::{MAX_TERMINAL_MODES, TerminalModes, opcode};
