//! A talk with a program that keeps running: one line goes to `bc` on the server, one line comes back.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, sums) = common::all_arguments("sum…")?;
    let client = server.connect().await?;
    let mut bc = client.exec("bc -q").spawn().await?;
    let mut answers = BufReader::new(&mut bc.stdout).lines();
    for sum in sums {
        bc.stdin.write_all(format!("{sum}\n").as_bytes()).await?;
        let answer = answers.next_line().await?.ok_or("bc has ended")?;
        println!("{sum} = {answer}");
    }
    bc.stdin.shutdown().await?;
    println!("bc: {}", bc.wait().await?);
    Ok(())
}
