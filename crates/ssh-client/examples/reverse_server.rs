//! The other way round: an SSH client that listens. Servers that nobody could reach dial in; each is believed by its host
//! key, logged in to, and given three commands, whose results are shown as they come. Try it with the server's example
//! `reverse_client`.
//!
//! `reverse_server alice@0.0.0.0:8022 key_file known_hosts_file laptop 'hostname' 'uptime' 'df -h'`: `laptop` is the
//! name under which the known hosts file lists the servers that may dial in.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::sync::Arc;

use ssh_client::{Config, Dialled, Error, ReverseListener};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [name, one, two, three]) = common::arguments(["name", "command", "command", "command"])?;
    let listener = ReverseListener::bind(&server.address).await?;
    println!("listening on {}", listener.local_addr());
    let told = Arc::new((server.at(&name), [one, two, three]));
    loop {
        let dialled = listener.accept().await?;
        let (from, told) = (dialled.peer_addr(), Arc::clone(&told));
        println!("{from} dials in");
        tokio::spawn(async move {
            let (server, commands) = &*told;
            match serve(dialled, server, commands).await {
                Ok(()) => println!("{from} is done"),
                Err(error) => println!("{from}: {error}"),
            }
        });
    }
}

async fn serve(dialled: Dialled, server: &common::Server, commands: &[String]) -> Result<(), Error> {
    let (config, hosts, keys) = (Config::default(), server.host_keys(), server.credentials());
    let client = dialled
        .log_in(&config, &server.address, &server.user, hosts, keys)
        .await?;
    let mut runs = JoinSet::new();
    for command in commands {
        let run = client.exec(command.as_str()).output();
        let command = command.clone();
        runs.spawn(async move { (command, run.await) });
    }
    while let Some(Ok((command, output))) = runs.join_next().await {
        println!("{command}: {}", output?.stdout_text().trim_end());
    }
    client.disconnect().await;
    Ok(())
}
