//! Connections to port 7 of any host end in this program, which serves them itself, piece by piece: an echo. No socket is
//! opened for them. Connections to other ports are refused.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::tokio_driver::Channel;
use ssh_server::{Application, Candidate, Decision, Forward, Login, Target};
use tokio::io::AsyncWriteExt;

struct EchoServer {
    friends: common::Friends,
}

impl Application for EchoServer {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        match target.port {
            7 => Forward::serve(echo),
            _ => Forward::Refuse,
        }
    }
}

async fn echo(channel: Channel) {
    let mut parts = channel.split();
    while let Ok(Some(chunk)) = parts.reader.next_chunk().await {
        if parts.writer.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let _gone = parts.writer.shutdown().await;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, EchoServer { friends }).await
}
