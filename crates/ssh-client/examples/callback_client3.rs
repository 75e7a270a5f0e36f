//! Standard output and standard error are two streams: each line is shown with the name of its own.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let client = server.connect().await?;
    let mut process = client.exec(command).spawn().await?;
    // Both at once: the two streams share one window, and one that nobody reads would hold up the other.
    tokio::try_join!(
        show("stdout", &mut process.stdout),
        show("stderr", &mut process.stderr)
    )?;
    println!("{}", process.wait().await?);
    Ok(())
}

async fn show(name: &str, stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        println!("{name}: {line}");
    }
    Ok(())
}
