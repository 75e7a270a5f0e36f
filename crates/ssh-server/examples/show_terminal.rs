//! Which terminal a client sits at, and every size it gets while the session lasts.

mod common;

use std::error::Error;
use std::io;

use ssh_server::channel::WindowChange;
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Request, Session};
use tokio::io::AsyncWriteExt;

struct ShowTerminal {
    friends: common::Friends,
}

impl Application for ShowTerminal {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, mut session: Session) {
        let mut told = "no terminal\r\n".to_owned();
        while let Some(request) = session.next().await {
            match request {
                Request::Terminal(asked) => {
                    let pty = &asked.what;
                    let kind = pty.terminal.escape_debug();
                    told = format!("{kind}, {} columns, {} rows\r\n", pty.columns, pty.rows);
                    asked.accept();
                }
                Request::Start(start) => {
                    start.accept();
                    let _gone = show(&mut session, &told).await;
                    return;
                }
                refused => drop(refused),
            }
        }
    }
}

async fn show(session: &mut Session, told: &str) -> io::Result<()> {
    session.write_all(told.as_bytes()).await?;
    while let Some(request) = session.next().await {
        if let Request::WindowChange(asked) = request {
            let WindowChange { columns, rows, .. } = asked.what;
            session
                .write_all(format!("{columns} columns, {rows} rows\r\n").as_bytes())
                .await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, ShowTerminal { friends }).await
}
