//! Several keys, tried in the order given: files, a file with a passphrase, and the user's own if they are there. Each key
//! that a server refuses counts as a failed attempt there, so the right one should not come last.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Client, Credentials, Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [locked_key, passphrase]) = common::arguments(["locked_key_file", "passphrase"])?;
    let keys = Credentials::key_file(&server.key_file)
        .then(Credentials::key_file_with_passphrase(locked_key, passphrase))
        .then(Credentials::default_keys().unwrap_or_default());
    match Client::connect(&server.address, &server.user, server.host_keys(), keys).await {
        Ok(client) => println!("logged in as {}", client.user()),
        Err(Error::LoginRefused { tried, methods, .. }) => {
            println!(
                "tried {}; the server takes {}",
                tried.join(", "),
                methods.join(", ")
            );
        }
        Err(other) => return Err(other.into()),
    }
    Ok(())
}
