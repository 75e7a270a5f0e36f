//! Users with passwords, of which the server knows only hashes (bcrypt, as `htpasswd -B` writes them to a file), and a guest
//! who needs no password at all.
//!
//! `cargo run -p ssh-server --example simple_server -- 127.0.0.1:2222 host_key_file users_file`

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::collections::HashMap;
use std::error::Error;

use ssh_server::keys::PrivateKey;
use ssh_server::{Application, Candidate, Config, Decision, Offer, Permissions, Server, Session};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

struct SimpleServer {
    /// Names and hashes.
    users: HashMap<String, String>,
}

/// Nobody's: a name that nobody has takes as long to refuse as one that somebody has.
const NOBODY: &str = "$2b$10$llNkLaaMtUGD3Eid303ueOOgkeNY8DOMJaHyXHRKARhOI4Jm6NerG";

impl Application for SimpleServer {
    async fn none(&self, candidate: &Candidate) -> Decision {
        Decision::accept_if(candidate.user == "guest", Permissions::default())
    }

    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        let known = self.users.get(&candidate.user).cloned();
        let password = password.to_vec();
        // A good hash takes its time, which nobody else should have to wait for.
        let right = spawn_blocking(move || {
            let hash = known.as_deref().unwrap_or(NOBODY);
            bcrypt::verify(password, hash).unwrap_or(false) & known.is_some()
        });
        Decision::accept_if(right.await.unwrap_or(false), Permissions::default())
    }

    async fn session(&self, session: Session) {
        let Some(mut process) = session.process(&Offer::default()).await else {
            return;
        };
        let welcome = format!("Welcome, {}!\n", process.invocation().login.user);
        if process.write_all(welcome.as_bytes()).await.is_ok() {
            process.exit(0);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, host_key, users] = words.as_slice() else {
        return Err("usage: simple_server address:port host_key_file users_file".into());
    };
    let lines = std::fs::read_to_string(users)?;
    let users = lines.lines().filter_map(|line| line.split_once(':'));
    let application = SimpleServer {
        users: users
            .map(|(name, hash)| (name.to_owned(), hash.to_owned()))
            .collect(),
    };
    // Offers have to be made on purpose.
    let config = Config {
        none_login: true,
        password_login: true,
        public_key_login: false,
        ..Config::default()
    };
    let mut listening = Server::builder()
        .host_key(PrivateKey::from_openssh(&std::fs::read(host_key)?, None)?)
        .config(config)
        .listen(address, application)
        .await?;
    println!("listening on {}", listening.local_addr());
    listening.wait().await;
    Ok(())
}
