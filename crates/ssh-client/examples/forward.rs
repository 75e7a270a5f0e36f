//! A forwarded port made of its parts: a listener of our own, and for each connection a task that opens a channel and
//! joins the two. `Client::forward_local` does all of it in one call.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Client;
use ssh_client::tokio_driver::relay;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen, host, port]) = common::arguments(["listen_port", "host", "port"])?;
    let (listen, port): (u16, u16) = (listen.parse()?, port.parse()?);
    let client = server.connect().await?;
    let listener = TcpListener::bind(("127.0.0.1", listen)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, from) = listener.accept().await?;
        let (client, host) = (client.clone(), host.clone());
        tokio::spawn(async move {
            println!("{from}: here");
            match join(&client, stream, &host, port).await {
                Ok(()) => println!("{from}: gone"),
                Err(error) => println!("{from}: {error}"),
            }
        });
    }
}

async fn join(
    client: &Client,
    stream: TcpStream,
    host: &str,
    port: u16,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let channel = client.direct_tcpip(host, port).await?;
    relay(channel, stream).await?;
    Ok(())
}
