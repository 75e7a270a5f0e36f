//! Which terminal a client sits at, and every size it gets while the session lasts. `q` ends it.

mod common;

use std::error::Error;
use std::io;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Offer, Process, ProcessEvent, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct ShowTerminal {
    friends: common::Friends,
}

impl Application for ShowTerminal {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        if let Some(process) = session.process(&Offer::default()).await {
            // It only fails when the client has gone.
            let _gone = show(process).await;
        }
    }
}

async fn show(process: Process) -> io::Result<()> {
    let first = match &process.invocation().terminal {
        Some(terminal) => {
            let (kind, size) = (&terminal.name, &terminal.size);
            format!("{kind}, {} columns, {} rows\r\n", size.columns, size.rows)
        }
        None => "no terminal\r\n".to_owned(),
    };
    // Keys and sizes come each on their own way: whichever is first.
    let mut streams = process.split();
    streams.stdout.write_all(first.as_bytes()).await?;
    loop {
        tokio::select! {
            key = streams.stdin.read_u8() => if key? == b'q' {
                break;
            },
            event = streams.events.next() => match event {
                Some(ProcessEvent::Resized(size)) => {
                    let line = format!("{} columns, {} rows\r\n", size.columns, size.rows);
                    streams.stdout.write_all(line.as_bytes()).await?;
                }
                Some(_other) => {}
                None => break,
            },
        }
    }
    streams.events.exit(0);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, ShowTerminal { friends }).await
}
