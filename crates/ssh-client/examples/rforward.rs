//! A port of the server that leads here, until a line is typed: then the server stops listening, the connections there are
//! end by themselves, and the handle says how many there were.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Target;
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen, host, port]) = common::arguments(["listen_port", "host", "port"])?;
    let client = server.connect().await?;
    let target = Target::port(host, port.parse()?);
    let forward = client.forward_remote("", listen.parse()?, target).await?;
    println!("listening on port {}", forward.port());
    BufReader::new(tokio::io::stdin()).lines().next_line().await?;
    forward.close().await?;
    forward.finished().await;
    let connections = forward.connections();
    println!(
        "{} came, {} of them in vain",
        connections.total, connections.refused
    );
    Ok(())
}
