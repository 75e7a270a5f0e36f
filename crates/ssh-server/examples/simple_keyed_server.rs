//! Each user has a file of keys, in the form of `authorized_keys`, named after them in one folder. The users are listed:
//! a name that a stranger typed never becomes part of a path.
//!
//! `cargo run -p ssh-server --example simple_keyed_server -- 127.0.0.1:2222 host_key_file keys_folder alice,bob`

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

use ssh_server::keys::{PrivateKey, PublicKey};
use ssh_server::{Account, Application, AuthorizedKeysFiles, Candidate, Decision, Offer, Server, Session};
use tokio::io::AsyncWriteExt;

struct KeyedServer {
    users: Vec<Account>,
    files: AuthorizedKeysFiles,
}

impl Application for KeyedServer {
    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        match self.users.iter().find(|user| user.name == candidate.user) {
            Some(user) => self.files.decide(user, candidate, key).await,
            None => Decision::Refuse,
        }
    }

    async fn session(&self, session: Session) {
        let Some(mut process) = session.process(&Offer::default()).await else {
            return;
        };
        let welcome = format!(
            "Welcome, {}!
",
            process.invocation().login.user
        );
        if process.write_all(welcome.as_bytes()).await.is_ok() {
            process.exit(0);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, host_key, folder, users] = words.as_slice() else {
        return Err("usage: simple_keyed_server address:port host_key_file keys_folder user,user…".into());
    };
    // Nothing here runs as these users: they have names, and everything else is the account's that runs the server.
    let own = Account::current()?;
    let named = |name: &str| Account {
        name: name.to_owned(),
        ..own.clone()
    };
    let application = KeyedServer {
        users: users.split(',').map(named).collect(),
        files: AuthorizedKeysFiles::new([format!("{folder}/%u")]),
    };
    let mut listening = Server::builder()
        .host_key(PrivateKey::from_openssh(&std::fs::read(host_key)?, None)?)
        .listen(address, application)
        .await?;
    println!("listening on {}", listening.local_addr());
    listening.wait().await;
    Ok(())
}
