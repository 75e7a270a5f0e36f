//! A port of the server leads back through this program to a host that this machine can reach (`ssh -R`).
//!
//! `remote_forwarding_client alice@example.org key_file known_hosts_file 8080 localhost 3000`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::Target;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen, host, port]) = common::arguments(["listen_port", "host", "port"])?;
    let client = server.connect().await?;
    let target = Target::port(&host, port.parse()?);
    let forward = client
        .forward_remote("localhost", listen.parse()?, target)
        .await?;
    // Port 0 lets the server choose; it is known now which it took.
    println!("port {} of the server leads to {host}:{port}", forward.port());
    println!("over: {}", client.closed().await);
    Ok(())
}
