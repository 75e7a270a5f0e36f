//! Whom to believe: only hosts whose keys stand in the files given. What is wrong with another one is in the error, with
//! both keys and the line of the file.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Client, Error, HostKeyError, HostKeys};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, []) = common::arguments([])?;
    let host_keys = HostKeys::known_hosts(&server.known_hosts).and_file("/etc/ssh/ssh_known_hosts");
    let (address, user) = (&server.address, &server.user);
    match Client::connect(address, user, host_keys, server.credentials()).await {
        Ok(client) => {
            let key = client.host_key().ok_or("every server has a key")?;
            println!("{address} is known by {}", key.fingerprint());
        }
        Err(Error::HostKey { source, .. }) => match *source {
            HostKeyError::Unknown { key, .. } => println!("{address} is not known: {}", key.fingerprint()),
            HostKeyError::Changed { line, path, .. } => {
                println!(
                    "{address} has another key than line {line} of {} says",
                    path.display()
                );
            }
            other => println!("{address} is not believed: {other}"),
        },
        Err(other) => return Err(other.into()),
    }
    Ok(())
}
