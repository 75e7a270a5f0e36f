//! SSH user authentication: the room between keys and channels.
//!
//! ```text
//!                 Session ──▶ the rooms above (80 and up)
//!                    ▲
//!     into_session   │ after USERAUTH_SUCCESS, and in no other way
//!        ┌───────────┴───────────┐
//!  client::Authenticator   server::Authenticator        5, 6, 50–53, 60–79
//!        │ Turn ─▶ Attempt       │ Attempt ─▶ Verdict
//!        └───────────┬───────────┘
//!                Transport (ssh-kex)
//! ```
//!
//! | what | where | source |
//! |---|---|---|
//! | service request | `service.rs` | RFC 4253 §10 |
//! | requests, refusals, success, banner | [`client`], [`server`], [`messages`] | RFC 4252 §4–6 |
//! | method `none` | [`method::NONE`] | RFC 4252 §5.2 |
//! | method `publickey` | [`method::PUBLICKEY`] | RFC 4252 §7, RFC 8332 §3.2, RFC 8308 §3.1 |
//! | method `password` | [`method::PASSWORD`] | RFC 4252 §8 |
//! | what is left of a login | [`Session`] | RFC 4252 §5.3 |
//!
//! The two roles are two types here and for the last time: a [`Session`] does not know its own. Questions leave as
//! events, answers are values that only the question makes, and each answer fits one question of one connection. Any
//! message that has no place before login, all of 80 and up among them, ends the connection.
//!
//! What is deliberately absent: sockets, clocks, waiting; whom to let in (the application says); any other method yet;
//! the service `ssh-connection` without login; SASLprep of names and passwords (RFC 4013: bytes go out as they came in).

#![forbid(unsafe_code)]

pub mod client;
mod error;
pub mod messages;
pub mod method;
pub mod server;
pub mod service;
mod session;
mod text;
mod ticket;
mod user;

pub use error::{Error, Misbehaviour, Place};
pub use method::Method;
pub use session::{Authenticated, Factor, Session, SessionEvent};
pub use user::{MAX_USER_BYTES, UserName, UserNameError};

#[doc(no_inline)]
pub use ssh_kex::{self as kex, keys, wire};
