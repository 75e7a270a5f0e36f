//! Connects, runs a command, and prints what it says. A command that fails is an error that holds its standard error.
//!
//! `cargo run -p ssh-client --example simple_client -- alice@example.org key_file known_hosts_file 'uname -a'`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let client = Client::connect(
        &server.address,
        &server.user,
        server.host_keys(),
        server.credentials(),
    )
    .await?;
    let output = client.exec(command).check().output().await;
    // Shown, an error is one line: the host, the step, and the last words of the program. All of them are in its fields.
    let output = output.map_err(|error| error.to_string())?;
    print!("{}", output.stdout_text());
    client.disconnect().await;
    Ok(())
}
