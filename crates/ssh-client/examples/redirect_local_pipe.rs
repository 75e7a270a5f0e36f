//! `local command | remote command`: what a local program writes is what a remote one reads. If the remote one is slow,
//! the local one waits: nothing is kept but what is on its way.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::process::Stdio;

use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [local, remote]) = common::arguments(["local_command", "remote_command"])?;
    let client = server.connect().await?;
    let mut child = Command::new("sh")
        .args(["-c", &local])
        .stdout(Stdio::piped())
        .spawn()?;
    let pipe = child.stdout.take().ok_or("its output is piped")?;
    let output = client.exec(remote).stdin_from(pipe).check().output().await?;
    print!("{}", output.stdout_text());
    child.wait().await?;
    Ok(())
}
