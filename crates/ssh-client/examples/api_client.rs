//! The parts below the comfort: a socket of our own, the agreed algorithms, a session channel with its requests one by
//! one, and what the server asks in return. The server's example `api_server` is the other side of it.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::channel::{ChannelRequest, ChannelType, Exec};
use ssh_client::{Client, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command, input]) = common::arguments(["command", "input"])?;
    let stream = TcpStream::connect(&server.address).await?;
    stream.set_nodelay(true)?;
    let (host_keys, credentials) = (server.host_keys(), server.credentials());
    let (address, user) = (&server.address, &server.user);
    let client = Client::over(&Config::default(), stream, address, user, host_keys, credentials).await?;
    let negotiated = client.negotiated();
    println!(
        "kex: {}, host key: {}",
        negotiated.kex.name, negotiated.host_key.name
    );

    let mut channel = client.handle().open(ChannelType::Session).await?;
    if !channel.request(&Exec::new(command).into()).await? {
        return Err("the server does not run it".into());
    }
    channel.write_all(input.as_bytes()).await?;
    channel.eof()?;
    let mut output = String::new();
    channel.read_to_string(&mut output).await?;
    println!("output: {}", output.trim_end());
    while let Some(asked) = channel.next_request().await {
        if let ChannelRequest::ExitStatus(exit) = asked.request() {
            println!("exit status: {}", exit.status);
        }
    }
    client.disconnect().await;
    Ok(())
}
