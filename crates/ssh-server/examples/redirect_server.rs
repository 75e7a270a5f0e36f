//! A session joined to a program of this machine: whoever logs in talks to `bc`, with a terminal if they have one, and its
//! exit status is the session's.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::error::Error;
use std::time::Duration;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Offer, Session};
use tokio::process::Command;

struct Calculator {
    friends: common::Friends,
}

impl Application for Calculator {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        let Some(process) = session.process(&Offer::default()).await else {
            return;
        };
        let mut bc = Command::new("bc");
        bc.arg("-q");
        // How long it may take to end when its client has gone, before it is made to.
        let patience = Duration::from_secs(1);
        if let Err(error) = process.redirect(bc, patience).await {
            println!("bc: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, Calculator { friends }).await
}
