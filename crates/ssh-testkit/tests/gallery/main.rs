//! The gallery (`docs/gallery.md`): each example is run as a person runs it, and does what its first lines promise.
//!
//! ```text
//!  examples   an example as a value: its file, its lines, its end
//!  visited    the servers that clients visit: our `login_server`, OpenSSH's sshd
//!  commands   examples of the client: commands and their streams
//!  logins     examples of the client: hosts, users, keys, passwords
//!  terminals  examples of the client at a terminal
//!  forwards   examples of the client: forwards of every kind
//!  servers    examples of the server, visited by OpenSSH's client and asyncssh
//! ```
//!
//! The programs are those that cargo has built beside this test: `cargo test --workspace` builds them first.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must be true by panicking"
)]

mod commands;
mod examples;
mod forwards;
mod logins;
mod servers;
mod terminals;
mod visited;
