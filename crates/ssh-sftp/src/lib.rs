//! The SSH file transfer protocol, version 3, as two machines without I/O: bytes in, bytes out.
//!
//! ```text
//!   ssh-client                                                        ssh-server
//!       │ request(&Stat { path })            Incoming::Stat(question)     │  ▲ reply.attributes(…)
//!       ▼                                                                 ▼  │
//!   client::Client ── Outbox ── one SSH channel, "subsystem sftp" ── Framing ── server::Server
//!       ▲ Event::Reply { id, reply }                                      (handles, limits, refusals)
//!       │
//!   client::transfer: Download, Upload, Listing say what to ask for next
//! ```
//!
//! | draft-ietf-secsh-filexfer-02 | here |
//! |---|---|
//! | §3 general packet format | `framing`, [`Outbox`] |
//! | §4 protocol initialization | [`messages::Init`], [`messages::Version`] |
//! | §5 file attributes | [`Attributes`] |
//! | §6.3, §6.4 open, close, read, write | [`messages::Open`] and its neighbours |
//! | §6.5, §6.10, §6.11 names, links, canonical names | [`messages::Rename`] and its neighbours |
//! | §6.6, §6.7 directories | [`messages::OpenDir`] and its neighbours |
//! | §6.8, §6.9 attributes of files | [`messages::Stat`] and its neighbours |
//! | §7 responses | [`Reply`], [`Status`] |
//! | §8 extensions, and OpenSSH's `PROTOCOL` §4 | [`extension`] |
//!
//! Both seats, with nothing between them:
//!
//! ```
//! use ssh_sftp::messages::Stat;
//! use ssh_sftp::server::{self, Incoming};
//! use ssh_sftp::{Attributes, Client, Server, client};
//!
//! let (mut client, mut server) = (Client::new(), Server::new(server::Config::default()));
//! let mut asked = None;
//! loop {
//!     while let Some(bytes) = client.output().take() {
//!         server.receive(bytes);
//!     }
//!     while let Some(event) = server.poll()? {
//!         if let server::Event::Request(Incoming::Stat(question)) = event {
//!             assert_eq!(question.request.path, b"/etc/motd");
//!             server.answer(question.reply.attributes(Attributes::with_size(42)));
//!         }
//!     }
//!     while let Some(bytes) = server.output().take() {
//!         client.receive(bytes);
//!     }
//!     match client.poll()? {
//!         Some(client::Event::Ready { .. }) => {
//!             let path = b"/etc/motd".to_vec();
//!             asked = Some(client.request(&Stat { path })?);
//!         }
//!         Some(client::Event::Reply { id, reply }) => {
//!             assert_eq!(Some(id), asked);
//!             assert_eq!(reply.answer::<Stat>()?.size, Some(42));
//!             break;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is deliberately absent: files (the server machine asks the application), path checks beyond what the
//! protocol itself needs, the text of long names, versions 4 to 6 (their status codes are known by name; a later
//! version would enter through `messages::Body` and [`messages::Version`]). `SSH_FXP_SYMLINK` stands on the wire in
//! OpenSSH's order, but with peers that are known to have the draft's (see [`messages::Symlink`]).

#![forbid(unsafe_code)]

mod attributes;
mod error;
mod flags;
mod framing;
mod outbox;
mod pump;
mod status;

pub mod client;
pub mod extension;
pub mod messages;
pub mod server;

pub use attributes::{Attributes, ExtendedAttribute, FileType, MAX_EXTENDED_ATTRIBUTES};
pub use client::Client;
pub use error::{Error, Misbehaviour, Misuse};
pub use flags::OpenFlags;
pub use framing::MAX_MESSAGE_BYTES;
pub use messages::{Extensions, Handle, Name, Reply, Request};
pub use outbox::Outbox;
pub use server::Server;
#[doc(no_inline)]
pub use ssh_channel::{self as channel, auth, kex, keys, wire};
pub use status::{Status, StatusCode};

/// The version of the protocol this crate speaks, in both seats.
pub const VERSION: u32 = 3;

/// The most bytes one READ or WRITE carries here: what OpenSSH's server takes, 1 KiB under the message limit.
pub const MAX_DATA_BYTES: u32 = 255 * 1024;

/// The largest offset a file can have where sizes are signed, which is everywhere this protocol is served.
pub const MAX_OFFSET: u64 = i64::MAX.unsigned_abs();
