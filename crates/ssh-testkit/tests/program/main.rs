//! The program `bowline`, run as its users run it, against itself and against OpenSSH's programs.
//!
//! ```text
//!  ssh      bowline ssh  ──▶ OpenSSH's sshd, bowline sshd
//!  tmux     bowline ssh in a person's terminal: an editor, a resize, escape characters
//!  route    bowline ssh -J, ProxyCommand, -b
//!  guests   bowline ssh -A, -X, -Y
//!  display   -X and -Y with a real display, and programs that draw on it
//!  forwards   bowline ssh -L, -R, -D
//!  session, stdio_forward   bowline ssh: variables, terminals, the background, -W
//!  sftp     bowline sftp ──▶ OpenSSH's sshd, bowline sshd
//!  sshd     OpenSSH's ssh and sftp ──▶ bowline sshd
//!  sshd_forwarding   what OpenSSH's ssh may forward through bowline sshd, and each setting about it
//!  audit, dheat   ssh-audit ──▶ bowline sshd
//!  journal   the log of bowline sshd, beside that of OpenSSH's
//!  keygen   bowline keygen ⇄ ssh-keygen
//!  tunnels   bowline ssh -w, and bowline sshd with PermitTunnel: traffic between two networks
//!  errors   what is said when something is wrong
//!  host_keys   every type of host key and certificate, in all four pairs
//!  interactive   a person at OpenSSH's ssh in tmux ──▶ bowline sshd
//!  sshd_sessions   the settings about sessions
//!  signals   what bowline sshd and ssh do with signals, and with those they were started to ignore
//!  killed   programs that are killed in the middle of their work, ours and OpenSSH's
//!  algorithms, liveness   the options about them, each seen from outside
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod algorithms;
mod audit;
mod bowline;
#[path = "../interop/bulk.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod bulk;
mod dheat;
mod display;
#[path = "../interop/echo.rs"]
mod echo;
mod errors;
mod forwards;
mod guests;
mod host_keys;
mod interactive;
mod journal;
mod keygen;
mod killed;
mod liveness;
mod route;
mod session;
mod sftp;
mod signals;
mod ssh;
mod sshd;
mod sshd_forwarding;
mod sshd_sessions;
mod sshd_settings;
mod stdio_forward;
mod terminal;
mod tmux;
mod tunnels;
