//! A server for one visitor, on a socket of its own: it takes a password or a key, greets, asks for a name, and is done.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::error::Error;
use std::io;

use ssh_server::keys::PublicKey;
use ssh_server::{
    Application, Candidate, Config, Decision, Offer, Peer, Permissions, Process, Server, Session,
    constant_time_eq,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

struct Greeter {
    friends: common::Friends,
    password: String,
}

impl Application for Greeter {
    async fn password(&self, _candidate: &Candidate, password: &[u8]) -> Decision {
        let right = constant_time_eq(password, self.password.as_bytes());
        Decision::accept_if(right, Permissions::default())
    }

    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        let Some(mut process) = session.process(&Offer::default()).await else {
            return;
        };
        if greet(&mut process).await.is_ok() {
            process.exit(0);
        }
    }
}

async fn greet(process: &mut Process) -> io::Result<()> {
    process
        .write_all(b"Welcome aboard!\r\nWhat is your name? ")
        .await?;
    let mut name = String::new();
    BufReader::new(&mut *process).read_line(&mut name).await?;
    process
        .write_all(format!("\r\nA good journey, {}.\r\n", name.trim()).as_bytes())
        .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, [password]) = common::arguments(["password"])?;
    let application = Greeter {
        friends: start.friends,
        password,
    };
    // An offer to take passwords invites the whole world to guess, so it has to be made on purpose.
    let config = Config {
        password_login: true,
        ..Config::default()
    };
    let server = Server::builder()
        .host_key(start.host_key)
        .config(config)
        .build(application)?;
    let listener = TcpListener::bind(&start.address).await?;
    println!("listening on {}", listener.local_addr()?);
    let (stream, visitor) = listener.accept().await?;
    let peer = Peer::tcp(visitor, stream.local_addr()?);
    server.serve_stream(stream, peer).await?;
    println!("the visitor has gone");
    Ok(())
}
