//! What one says, all others hear. Whoever reads too slowly misses some of it, and nobody waits for them: sending never does.

mod common;

use std::error::Error;
use std::io;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Broadcast, Candidate, Decision, Offer, Seat, Session, SlowPolicy};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

struct ChatServer {
    friends: common::Friends,
    room: Broadcast,
}

impl Application for ChatServer {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        let Some(process) = session.process(&Offer::default()).await else {
            return;
        };
        let name = harmless(&process.invocation().login.user);
        let Ok(mut seat) = self.room.join() else {
            return process.exit(1);
        };
        let mut streams = process.split();
        self.room.send(format!("* {name} is here\r\n"));
        let (heard, mut said) = (
            seat_to(&mut seat, &mut streams.stdout),
            BufReader::new(streams.stdin),
        );
        tokio::select! {
            _gone = heard => {}
            _left = self.listen_to(&name, &mut said) => {}
        }
        self.room.send(format!("* {name} has left\r\n"));
        streams.events.exit(0);
    }
}

impl ChatServer {
    /// Passes on every line of one of them, until there are no more.
    async fn listen_to(&self, name: &str, said: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<()> {
        let mut line = Vec::new();
        while (&mut *said)
            .take(LONGEST_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await?
            > 0
        {
            let text = harmless(&String::from_utf8_lossy(&line));
            self.room.send(format!("{name}: {text}\r\n"));
            line.clear();
        }
        Ok(())
    }
}

/// Writes what the room says to one of them.
async fn seat_to(seat: &mut Seat, screen: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    while let Some(message) = seat.next().await {
        screen.write_all(&message).await?;
    }
    Ok(())
}

/// What a stranger says goes to other people's terminals.
fn harmless(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Whoever says more at once has said two things.
const LONGEST_LINE_BYTES: u64 = 1000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let application = ChatServer {
        friends: start.friends,
        // Up to 100 messages with 64 KiB together wait for each.
        room: Broadcast::new(SlowPolicy::Skip, 100, 64 * 1024),
    };
    common::serve(&start.address, start.host_key, application).await
}
