//! Interoperation with other people's SSH.
//!
//! ```text
//!  table            rows of algorithms for every peer below, and both ways to try them
//!  matrix           every algorithm, OpenSSH in both seats
//!  certificates     OpenSSH in both seats: host certificates
//!  compression      OpenSSH in both seats
//!  dead_peers       OpenSSH in both seats, stopped
//!  diffie_hellman   OpenSSH in both seats, asyncssh: groups and group exchange
//!  fragments        OpenSSH in both seats, dropbear, plink: through the fault proxy, in pieces and cut off
//!  halted           OpenSSH in both seats, stopped for a while, and killed
//!  key_types        OpenSSH in both seats: RSA
//!  security_keys    OpenSSH in both seats: keys of a FIDO device in software
//!  rekeyed          OpenSSH, asyncssh, Go, dropbear in both seats, plink: keys that last for next to nothing, under load
//!  rekey_trust      our client library     ──▶ our server library: a host key that changes
//!  openssh_client   OpenSSH's ssh and sftp ──▶ our server library
//!  openssh_server   our client library     ──▶ OpenSSH's sshd; openssh_server_forwards: forwards of every kind;
//!                   openssh_server_routes: jump hosts, programs, proxies
//!  python_clients   asyncssh, paramiko     ──▶ our server library
//!  python_servers   our client library     ──▶ asyncssh
//!  go               a client of Go's       ──▶ our server library, our client library ──▶ a server of Go's
//!  putty            plink                  ──▶ our server library
//!  dropbear         dbclient               ──▶ our server library, our client library ──▶ dropbear
//!  libssh           a client of libssh     ──▶ our server library, our client library ──▶ a server of libssh
//!  processes        our client library     ──▶ our server library, sshd
//!  tinyssh          our client library     ──▶ tinysshd
//! ```
//!
//! Everything is started here, on free loopback ports, with keys made on the spot, and ends with its handle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod bulk;
mod certificates;
mod compression;
mod dead_peers;
mod diffie_hellman;
mod dropbear;
mod echo;
mod foreign;
mod fragments;
mod go;
mod halted;
mod key_types;
mod libssh;
mod matrix;
mod mechanics;
mod openssh_client;
mod openssh_client_transfers;
mod openssh_server;
mod openssh_server_forwards;
mod openssh_server_logins;
mod openssh_server_routes;
mod openssh_server_sftp;
mod openssh_server_transfers;
mod ours;
mod processes;
mod putty;
mod python_clients;
mod python_servers;
mod rekey_trust;
mod rekeyed;
mod security_keys;
mod table;
mod tinyssh;
