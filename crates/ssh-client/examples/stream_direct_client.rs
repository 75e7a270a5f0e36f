//! The same as a stream like any other: what speaks HTTP over TCP speaks it over a channel.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [host, port]) = common::arguments(["host", "port"])?;
    let client = server.connect().await?;
    let mut stream = client.direct_tcpip(&host, port.parse()?).await?;
    stream
        .write_all(format!("HEAD / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    print!("{answer}");
    Ok(())
}
