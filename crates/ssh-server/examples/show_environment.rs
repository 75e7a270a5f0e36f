//! What a client wants to be in the environment of its program. Nothing is run here, so every name may come; the names
//! that change which code a program runs are never taken all the same.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::{AcceptEnvironment, Application, Candidate, Decision, Offer, Session};
use tokio::io::AsyncWriteExt;

struct ShowEnvironment {
    friends: common::Friends,
}

impl Application for ShowEnvironment {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        let offer = Offer {
            environment: AcceptEnvironment::new(["*"]),
            ..Offer::default()
        };
        let Some(mut process) = session.process(&offer).await else {
            return;
        };
        for (name, value) in process.invocation().environment.clone() {
            let line = format!("{name}={}\n", value.escape_ascii());
            if process.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
        process.exit(0);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, ShowEnvironment { friends }).await
}
