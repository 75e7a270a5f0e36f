//! Everything that happens on a connection and in a session, in the order in which it happens. Where other libraries call
//! back, here each event is the value of an `await`: what comes next stands in the next line.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Client, Config, ShowBanner};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let config = Config {
        banner: Some(ShowBanner::new(|text| println!("banner: {text}"))),
        ..Config::default()
    };
    let (host_keys, credentials) = (server.host_keys(), server.credentials());
    let client = Client::connect_with(&config, &server.address, &server.user, host_keys, credentials).await?;
    println!("connected: {}", client.server_identification());
    println!("logged in: {}", client.user());

    let mut process = client.exec(command).spawn().await?;
    println!("session: open");
    while let Some(chunk) = process.stdout.next_chunk().await? {
        println!("data: {}", chunk.escape_ascii());
    }
    println!("end of data");
    println!("exit: {}", process.wait().await?);

    client.disconnect().await;
    println!("disconnected: {}", client.closed().await);
    Ok(())
}
