//! Without a check of the host, anybody who can answer in its place reads and changes everything: the name of the call says
//! so. Where the key has to come from the network, its fingerprint at least can be compared by a person, and pinned the
//! next time: give it as the last word.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Client, HostKeys};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, words) = common::all_arguments("[fingerprint]")?;
    let host_keys = match words.first() {
        Some(fingerprint) => HostKeys::pinned_fingerprint(fingerprint.parse()?),
        None => HostKeys::dangerous_accept_any(),
    };
    let (address, user) = (&server.address, &server.user);
    let client = Client::connect(address, user, host_keys, server.credentials()).await?;
    let key = client.host_key().ok_or("every server has a key")?;
    println!("{address} showed {}", key.fingerprint());
    Ok(())
}
