//! `remote command | remote command`: the output of one is the input of the other, by way of this machine. They could as
//! well run on two servers.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [first, second]) = common::arguments(["first_command", "second_command"])?;
    let client = server.connect().await?;
    let mut first = client.exec(first).spawn().await?;
    let second = client.exec(second).stdin_from(first.stdout);
    print!("{}", second.check().output().await?.stdout_text());
    println!("the first: {}", first.control.wait().await?);
    Ok(())
}
