//! The same with a guard: each connection is judged by where it comes from, before anything is done for it. What the
//! server says about that proves nothing about the stranger; it only proves what the server says.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Forwarding, ListenOn, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [listen, host, port, welcome]) =
        common::arguments(["listen_port", "host", "port", "welcome_address"])?;
    let client = server.connect().await?;
    let listen = ListenOn::server("localhost", listen.parse()?);
    let target = Target::port(&host, port.parse()?);
    let forwarding = Forwarding::new(listen, target).accept_if(move |arrival| {
        let from = arrival
            .originator
            .map_or_else(String::new, |(address, _port)| address);
        let is_welcome = from == welcome;
        println!("{from:?}: {}", if is_welcome { "welcome" } else { "refused" });
        std::future::ready(is_welcome)
    });
    let forward = client.forward(&forwarding).await?;
    println!("listening on {}", forward.address());
    println!("over: {}", client.closed().await);
    Ok(())
}
