//! The name to log in with is an argument of its own; it has nothing to do with the name of whoever runs the program.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [user]) = common::arguments(["user"])?;
    let (host_keys, credentials) = (server.host_keys(), server.credentials());
    let client = Client::connect(&server.address, &user, host_keys, credentials).await?;
    let output = client.run("id -un").await?;
    println!("{} is {} there", client.user(), output.stdout_text().trim_end());
    Ok(())
}
