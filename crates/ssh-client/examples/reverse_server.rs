//! The other way round: an SSH client that listens. Servers that nobody could reach dial in; each is believed by its host
//! key, logged in to, and given three commands, whose results are shown as they come. Try it with the server's example
//! `reverse_client`.
//!
//! `reverse_server alice@0.0.0.0:8022 key_file known_hosts_file laptop 'hostname' 'uptime' 'df -h'`: `laptop` is the
//! name under which the known hosts file lists the servers that may dial in.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::sync::Arc;

use ssh_client::{Client, Config, Error};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [name, one, two, three]) = common::arguments(["name", "command", "command", "command"])?;
    let listener = TcpListener::bind(&server.address).await?;
    println!("listening on {}", listener.local_addr()?);
    let told = Arc::new((server.at(&name), [one, two, three]));
    loop {
        let (stream, from) = listener.accept().await?;
        println!("{from} dials in");
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            let (server, commands) = &*told;
            match serve(stream, server, commands).await {
                Ok(()) => println!("{from} is done"),
                Err(error) => println!("{from}: {error}"),
            }
        });
    }
}

async fn serve(stream: TcpStream, server: &common::Server, commands: &[String]) -> Result<(), Error> {
    let (config, keys) = (Config::default(), server.credentials());
    let hosts = server.host_keys();
    let client = Client::over(&config, stream, &server.address, &server.user, hosts, keys).await?;
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
