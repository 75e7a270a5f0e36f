//! What a client wants to be in the environment of its program.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Request, Session};
use tokio::io::AsyncWriteExt;

struct ShowEnvironment {
    friends: common::Friends,
}

impl Application for ShowEnvironment {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, mut session: Session) {
        let mut told = String::new();
        while let Some(request) = session.next().await {
            match request {
                // Nothing is run here, so every variable is welcome as long as there is room.
                Request::Environment(asked) if told.len() < ENOUGH_BYTES => {
                    let (name, value) = (asked.what.name.escape_ascii(), asked.what.value.escape_ascii());
                    told += &format!("{name}={value}\n");
                    asked.accept();
                }
                Request::Start(start) => {
                    start.accept();
                    let _gone = session.write_all(told.as_bytes()).await;
                    return session.exit(0);
                }
                refused => drop(refused),
            }
        }
    }
}

/// A client may ask for as many variables as it likes.
const ENOUGH_BYTES: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, ShowEnvironment { friends }).await
}
