//! The server listens, and this program serves what connects there, piece by piece: an echo.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{ForwardedStream, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen]) = common::arguments(["listen_port"])?;
    let client = server.connect().await?;
    let target = Target::serve(echo);
    let forward = client
        .forward_remote("localhost", listen.parse()?, target)
        .await?;
    println!("listening on {}", forward.address());
    println!("over: {}", client.closed().await);
    Ok(())
}

async fn echo(mut stream: ForwardedStream) {
    let (host, port) = stream.arrival().originator.clone().unwrap_or_default();
    println!("{host:?} port {port}: here");
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let heard = buffer.get(..count).unwrap_or_default();
        println!("{host:?} port {port}: {}", heard.escape_ascii());
        if stream.write_all(heard).await.is_err() {
            break;
        }
    }
    println!("{host:?} port {port}: gone");
}
