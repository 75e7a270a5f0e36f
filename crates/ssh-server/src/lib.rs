//! An SSH server as a library: listen, let people in, serve their sessions, files and forwards.
//!
//! ```text
//!                        Server ── one task for each connection ──▶ Application
//!   Listening ─accept─▶  limits, key exchange, login  ─asks─────────▶ password, public_key
//!                        sessions: a stream of typed requests ──────▶ session   ──▶ Services: programs, files
//!                        direct-tcpip, direct-streamlocal ──────────▶ direct_tcpip, direct_streamlocal
//!                        tcpip-forward, streamlocal-forward ────────▶ tcpip_forward, streamlocal_forward
//!                        agent, X11, tunnels ───────────────────────▶ agent_forwarding, x11, tun
//! ```
//!
//! Implement [`Application`]; what you leave out refuses. [`AuthorizedKeysFiles`] answers for keys in files,
//! [`Services`] serves whole sessions: real programs ([`Programs`]) and the subsystem `sftp` over a
//! [`Filesystem`](filesystem::Filesystem).
//!
//! ```no_run
//! use ssh_server::filesystem::Local;
//! use ssh_server::keys::PublicKey;
//! use ssh_server::{Account, Application, AuthorizedKeysFiles, Candidate, Decision, Programs, Server, Services, Session};
//!
//! struct LoginServer {
//!     account: Account,
//!     keys: AuthorizedKeysFiles,
//!     services: Services,
//! }
//!
//! impl Application for LoginServer {
//!     async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
//!         if candidate.user != self.account.name {
//!             return Decision::Refuse;
//!         }
//!         self.keys.decide(&self.account, candidate, key).await
//!     }
//!
//!     async fn session(&self, session: Session) {
//!         self.services.serve(session).await;
//!     }
//! }
//!
//! # async fn run(host_key: ssh_server::keys::PrivateKey) -> Result<(), Box<dyn std::error::Error>> {
//! let account = Account::current()?;
//! let services = Services::new().sftp(Local::new(&account.home)).programs(Programs::new(account.clone()));
//! let application = LoginServer { account, keys: AuthorizedKeysFiles::default(), services };
//! let mut listening = Server::builder().host_key(host_key).listen(("127.0.0.1", 2222), application).await?;
//! listening.wait().await;
//! # Ok(()) }
//! ```
//!
//! | what | where | source |
//! |---|---|---|
//! | sessions: environment, terminals, programs, shells, subsystems, signals, exit | [`Session`], [`Services`] | RFC 4254 §6 |
//! | connections through the server | [`Application::direct_tcpip`], [`forward`] | RFC 4254 §7.2, OpenSSH `PROTOCOL` §2.4 |
//! | listening for the client | [`Application::tcpip_forward`], [`Listen`], [`GatewayPorts`] | RFC 4254 §7.1, OpenSSH `PROTOCOL` §2.4 |
//! | the client's agent | [`Application::agent_forwarding`] | OpenSSH `PROTOCOL.agent` |
//! | the client's display | [`Application::x11`], [`DisplayPolicy`] | RFC 4254 §6.3 |
//! | files | [`filesystem`] | draft-ietf-secsh-filexfer-02, OpenSSH `PROTOCOL` §4 |
//! | keys that may log in | [`AuthorizedKeysFiles`] | sshd(8) |
//! | lines from a person at a terminal | [`editor`] | ECMA-48 |
//! | a log that tools for OpenSSH's understand | [`JOURNAL`] | OpenSSH's `auth.c` |
//! | limits | [`Limits`] | sshd_config(5), `MaxStartups` and its neighbours |
//!
//! What is deliberately absent: changing users (programs run as whoever runs the server); devices for tunnels
//! where the feature `tunnel` is off or the system is not Linux (an application can serve them: [`TunnelEnd`]).

#![forbid(unsafe_code)]

mod account;
mod agent;
mod application;
mod aside;
mod attend;
mod authorize;
mod broadcast;
mod child;
mod config;
mod connection;
pub mod editor;
mod environment;
mod error;
pub mod filesystem;
pub mod forward;
mod guests;
mod journal;
mod limits;
mod listen;
mod lookup;
mod peer;
mod permissions;
mod places;
mod private_directory;
mod process;
mod pty;
mod pump;
mod served_process;
mod server;
mod services;
mod session;
mod sftp_subsystem;
mod terminal;
mod timeouts;
mod visit;
mod x11;

pub use account::Account;
pub use application::{Agreed, Application, Candidate, Decision, Login, constant_time_eq};
pub use authorize::AuthorizedKeysFiles;
pub use broadcast::{Broadcast, BroadcastClosed, Seat, SlowPolicy};
pub use config::Config;
pub use environment::AcceptEnvironment;
pub use error::{Error, Phase};
pub use forward::{
    Destination, Endpoint, Forward, Handler, ListenPlace, NotADestination, PermitTunnel, Target, TunnelEnd,
};
pub use journal::JOURNAL;
pub use limits::{Limits, MaxStartups, NotMaxStartups};
pub use listen::{GatewayPorts, Listen, ListenSocket, ListenTarget, SocketPolicy};
pub use peer::Peer;
pub use permissions::Permissions;
pub use process::Programs;
pub use served_process::{
    Invocation, Offer, Output, Process, ProcessEvent, ProcessEvents, SessionHandler, Streams,
};
pub use server::{Builder, Listening, Server, bind};
pub use services::Services;
pub use session::{Asked, Program, Request, Session, Start};
#[doc(no_inline)]
pub use ssh_tokio::{self as tokio_driver, Keepalive, auth, channel, kex, keys, sftp, wire};
pub use terminal::{MAX_TERMINAL_NAME_BYTES, Terminal};
pub use timeouts::ChannelTimeouts;
pub use x11::DisplayPolicy;
