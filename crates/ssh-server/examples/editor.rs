//! A person at a terminal and no program behind it: the server edits their lines. A name with the keys of a shell, a
//! secret that is not shown, and one key without Return.

mod common;

use std::error::Error;

use ssh_server::editor::{Input, Key, LineEditor, ReadError, Settings};
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Offer, Session};

struct Conversation {
    friends: common::Friends,
}

impl Application for Conversation {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        let Some(process) = session.process(&Offer::default()).await else {
            return;
        };
        let mut person = process.line_editor(Settings::default());
        // Otherwise the client has gone, and nobody is left to be told.
        if let Ok(status) = talk(&mut person).await {
            let _gone = person.exit(status).await;
        }
    }
}

async fn talk(person: &mut LineEditor) -> Result<u32, ReadError> {
    let screen = person.writer();
    let Some(name) = person.read_line("name: ").await? else {
        return Ok(1);
    };
    screen.print(format!("hello {}", name.trim())).await?;
    let Some(secret) = person.read_secret("secret: ").await? else {
        return Ok(1);
    };
    screen
        .print(format!("{} characters", secret.chars().count()))
        .await?;
    if !person.has_terminal() {
        return Ok(0);
    }
    person.set_line_mode(false);
    let answer = person.next("again? (y or n) ").await?;
    person.set_line_mode(true);
    let is_yes = matches!(answer, Some(Input::Key(Key::Char('y'))));
    screen
        .print(if is_yes { "another time" } else { "goodbye" })
        .await?;
    Ok(0)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, Conversation { friends }).await
}
