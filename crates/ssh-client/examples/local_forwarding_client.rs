//! A port on this machine leads through the server to a host behind it (`ssh -L`).
//!
//! `local_forwarding_client alice@example.org key_file known_hosts_file 8080 intranet 80`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen, host, port]) = common::arguments(["listen_port", "host", "port"])?;
    let client = server.connect().await?;
    let listen: u16 = listen.parse()?;
    // The port is closed when `forward` is dropped.
    let forward = client
        .forward_local(("127.0.0.1", listen), &host, port.parse()?)
        .await?;
    println!("{} leads to {host} port {port}", forward.local_addr());
    println!("over: {}", client.closed().await);
    Ok(())
}
