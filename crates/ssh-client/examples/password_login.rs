//! A login with a password that is asked for only when the server takes passwords, and asked for again when it was wrong.
//! The key is tried first. (A real program turns the terminal's echo off while the password is typed.)

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Client, Credentials};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, []) = common::arguments([])?;
    let password = Credentials::password_asking(|question| {
        println!("{}@{}'s password:", question.user, question.host);
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .ok()
            .filter(|count| *count > 0)?;
        Some(line.trim_end_matches('\n').as_bytes().to_vec())
    });
    let credentials = server.credentials().then(password);
    let client = Client::connect(&server.address, &server.user, server.host_keys(), credentials).await?;
    println!("logged in as {}", client.user());
    Ok(())
}
