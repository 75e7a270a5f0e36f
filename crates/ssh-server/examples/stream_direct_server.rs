//! The same with the stream as a whole: its one half is copied to its other.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
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
            7 => Forward::serve(|channel| async {
                let (mut from, mut to) = tokio::io::split(channel);
                let _count = tokio::io::copy(&mut from, &mut to).await;
                let _gone = to.shutdown().await;
            }),
            _ => Forward::Refuse,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, EchoServer { friends }).await
}
