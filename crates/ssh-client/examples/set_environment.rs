//! Variables for a remote program. Servers take only the names they like; the others are told.
//!
//! `set_environment alice@example.org key_file known_hosts_file LANG=en_GB.UTF-8 LC_COLLATE=C`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, variables) = common::all_arguments("name=value…")?;
    let client = server.connect().await?;
    let mut env = client.exec("env");
    for (name, value) in variables.iter().filter_map(|variable| variable.split_once('=')) {
        env = env.env(name, value);
    }
    let mut process = env.spawn().await?;
    for name in process.refused_env() {
        println!("refused: {}", name.escape_ascii());
    }
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await?;
    print!("{text}");
    Ok(())
}
