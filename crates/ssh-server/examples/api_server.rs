//! The parts below the comfort: a socket of our own, each decision about a login, and a channel taken apart: its requests,
//! its two streams, and what the server says at the end. The client's example `api_client` is the other side of it.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::error::Error;

use ssh_server::channel::ExitStatus;
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Peer, Program, Request, Server, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Upper {
    friends: common::Friends,
}

impl Application for Upper {
    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        let decision = self.friends.decide(key);
        println!("{:?} with {}: {decision:?}", candidate.user, key.fingerprint());
        decision
    }

    async fn session(&self, mut session: Session) {
        while let Some(request) = session.next().await {
            match request {
                Request::Start(start) if start.program == Program::Command(b"upper".to_vec()) => {
                    start.accept();
                    return upper(session).await;
                }
                other => println!("refused: {other:?}"),
            }
        }
    }
}

/// The input in capital letters.
async fn upper(session: Session) {
    let mut parts = session.into_channel().split();
    let mut text = String::new();
    // Only a client that has gone is not told how it ended.
    if parts.reader.read_to_string(&mut text).await.is_ok()
        && parts
            .writer
            .write_all(text.to_uppercase().as_bytes())
            .await
            .is_ok()
        && parts.writer.shutdown().await.is_ok()
    {
        let _gone = parts.control.send_request(&ExitStatus { status: 0 }.into());
        parts.control.close();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let application = Upper {
        friends: start.friends,
    };
    let server = Server::builder().host_key(start.host_key).build(application)?;
    let listener = TcpListener::bind(&start.address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (server, peer) = (server.clone(), Peer::tcp(from, stream.local_addr()?));
        tokio::spawn(async move {
            match server.serve_stream(stream, peer).await {
                Ok(()) => println!("{from} has gone"),
                Err(error) => println!("{from}: {error}"),
            }
        });
    }
}
