//! A shell at a terminal. A host never seen before is told of and believed this once; one whose key has changed is not.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::terminal::LocalTerminal;
use ssh_client::{Answer, Client, HostKeys};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, []) = common::arguments([])?;
    let host_keys = HostKeys::known_hosts(&server.known_hosts).ask(|unknown| {
        println!("{} is unknown: {}", unknown.address, unknown.key.fingerprint());
        Answer::AcceptOnce
    });
    let client = Client::connect(&server.address, &server.user, host_keys, server.credentials()).await?;
    println!("here we are");
    let local = LocalTerminal::stdio()?;
    let mut shell = client.shell().terminal(local.describe()?).spawn().await?;
    let status = shell.interact(&local).await?;
    println!("the shell has ended: {status}");
    Ok(())
}
