//! The same with a port that the system chooses, so that the program can run twice: the result of listening says which.
//! One connection is made through it; afterwards the port is gone.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [host, port]) = common::arguments(["host", "port"])?;
    let client = server.connect().await?;
    let forward = client.forward_local("127.0.0.1:0", &host, port.parse()?).await?;
    println!("listening on {}", forward.local_addr());
    let through = TcpStream::connect(forward.local_addr()).await?;
    let first_line = BufReader::new(through).lines().next_line().await?;
    println!("{host} says: {}", first_line.unwrap_or_default());
    Ok(())
}
