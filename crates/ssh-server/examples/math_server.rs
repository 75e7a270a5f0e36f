//! A session is a stream: this one reads numbers, one a line, and answers with their sum when there are no more.

mod common;

use std::error::Error;
use std::io;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Offer, Process, Session};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

struct MathServer {
    friends: common::Friends,
}

impl Application for MathServer {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        let Some(mut process) = session.process(&Offer::default()).await else {
            return;
        };
        // Otherwise the client has gone, and nobody is left to be told.
        if let Ok(status) = add_up(&mut process).await {
            process.exit(status);
        }
    }
}

async fn add_up(process: &mut Process) -> io::Result<u32> {
    let (mut total, mut status) = (0.0, 0);
    let mut errors = process.stderr();
    let mut lines = BufReader::new(&mut *process).lines();
    while let Some(line) = lines.next_line().await? {
        match line.trim().parse::<f64>() {
            Ok(number) => total += number,
            Err(_) => {
                status = 1;
                errors
                    .write_all(format!("no number: {line}\n").as_bytes())
                    .await?;
            }
        }
    }
    process.write_all(format!("total = {total}\n").as_bytes()).await?;
    Ok(status)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, MathServer { friends }).await
}
