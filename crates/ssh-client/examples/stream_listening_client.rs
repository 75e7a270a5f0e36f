//! The same with the stream as a whole: its one half is copied to its other.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Target;
use tokio::io::AsyncWriteExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen]) = common::arguments(["listen_port"])?;
    let client = server.connect().await?;
    let echo = Target::serve(|stream| async {
        let (mut from, mut to) = tokio::io::split(stream);
        let _count = tokio::io::copy(&mut from, &mut to).await;
        let _gone = to.shutdown().await;
    });
    let forward = client.forward_remote("localhost", listen.parse()?, echo).await?;
    println!("listening on {}", forward.address());
    println!("over: {}", client.closed().await);
    Ok(())
}
