//! The hostile-peer suite: what has gone wrong in SSH implementations, as tests against ours. One test for each row of
//! the list of attacks, named by the row (`b01_terrapin…`), in both roles where both can be reached; one file for each
//! theme; `rows.rs` checks that every row has its test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod addresses;
mod agents;
#[path = "../program/bowline.rs"]
#[allow(dead_code, reason = "the tests of the program use the rest")]
mod bowline;
mod channels;
mod compression;
mod doors;
mod groups;
mod identification;
mod lives;
mod login;
mod order;
mod packets;
mod policy;
mod programs;
mod requests;
mod rows;
mod shares;
mod sockets;
mod visit;
mod wear;

use ssh_client::kex::Role;

/// Both roles of a target.
const ROLES: [Role; 2] = [Role::Client, Role::Server];
