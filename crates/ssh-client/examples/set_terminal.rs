//! A terminal for a remote program: its kind, its size, and later another size.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Terminal;
use ssh_client::channel::WindowChange;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, []) = common::arguments([])?;
    let client = server.connect().await?;
    let command = "echo $TERM; stty size; read line; stty size";
    let mut process = client
        .exec(command)
        .terminal(Terminal::new("xterm-color", 80, 24))
        .spawn()
        .await?;
    let mut lines = BufReader::new(&mut process.stdout).lines();
    println!("kind: {}", lines.next_line().await?.unwrap_or_default());
    println!(
        "rows and columns: {}",
        lines.next_line().await?.unwrap_or_default()
    );
    process.control.resize(WindowChange::new(132, 43))?;
    process.stdin.write_all(b"go on\n").await?;
    // A terminal shows what is typed: the first line is ours.
    lines.next_line().await?;
    println!("and now: {}", lines.next_line().await?.unwrap_or_default());
    Ok(())
}
