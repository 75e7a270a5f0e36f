//! A person's terminal joined to a remote program: keys there, output here, every change of size passed on, and the
//! terminal as it was at the end. Ctrl-] leaves the program alone.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::terminal::{LocalTerminal, Typed};

/// What Ctrl-] sends.
const LEAVE: u8 = 0x1d;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let client = server.connect().await?;
    let local = LocalTerminal::stdio()?;
    let mut process = client.exec(command).terminal(local.describe()?).spawn().await?;
    let ended = process
        .interact_with(&local, |keys| {
            let Some(at) = keys.iter().position(|key| *key == LEAVE) else {
                return Typed::Send;
            };
            keys.truncate(at);
            Typed::Leave
        })
        .await?;
    match ended {
        Some(status) => println!("ended: {status}"),
        None => println!("left"),
    }
    Ok(())
}
