//! The other way round: an SSH server that nobody could reach dials out, to where an SSH client listens, and serves that
//! client over the connection it made. Try it with the client's example `reverse_server`.
//!
//! `reverse_client 198.51.100.7:8022 host_key_file authorized_keys_file`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Peer, Server, Services, Session};
use tokio::net::TcpStream;

struct ReverseClient {
    friends: common::Friends,
    services: Services,
}

impl Application for ReverseClient {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        self.services.serve(session).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let application = ReverseClient {
        friends: start.friends,
        services: Services::new().programs(common::programs()?),
    };
    let server = Server::builder().host_key(start.host_key).build(application)?;
    let stream = TcpStream::connect(&start.address).await?;
    let peer = Peer::tcp(stream.peer_addr()?, stream.local_addr()?);
    println!("connected to {peer}");
    server.serve_stream(stream, peer).await?;
    println!("served");
    Ok(())
}
