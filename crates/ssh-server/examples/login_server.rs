//! A login server for whoever starts it: commands and shells, with a terminal or without, files, forwards to this machine,
//! and ports of this machine that lead to the client.
//!
//! `cargo run -p ssh-server --example login_server -- 127.0.0.1:2222 host_key_file authorized_keys_file`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::error::Error;

use ssh_server::filesystem::Local;
use ssh_server::keys::{PrivateKey, PublicKey};
use ssh_server::{
    Account, Application, AuthorizedKeysFiles, Candidate, Decision, Destination, Forward, GatewayPorts,
    Listen, ListenTarget, Login, Server, Services, Session, Target,
};

struct LoginServer {
    account: Account,
    keys: AuthorizedKeysFiles,
    services: Services,
    forwards: Destination,
}

impl Application for LoginServer {
    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        // Programs run as this process does: nobody else can be served.
        if candidate.user != self.account.name {
            return Decision::Refuse;
        }
        self.keys.decide(&self.account, candidate, key).await
    }

    async fn session(&self, session: Session) {
        self.services.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        if self.forwards.covers(&target.host, target.port) {
            Forward::Connect
        } else {
            Forward::Refuse
        }
    }

    async fn tcpip_forward(&self, _login: &Login, _wanted: &ListenTarget) -> Listen {
        // Whatever address the client names: only programs of this machine may connect.
        Listen::Bind(GatewayPorts::No)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, host_key, keys] = arguments.as_slice() else {
        return Err("usage: login_server address:port host_key_file authorized_keys_file".into());
    };
    let host_key = PrivateKey::from_openssh(&std::fs::read(host_key)?, None)?;
    let programs = common::programs()?;
    let account = programs.account().clone();
    let application = LoginServer {
        keys: AuthorizedKeysFiles::new([keys]),
        services: Services::new().sftp(Local::new(&account.home)).programs(programs),
        account,
        forwards: "127.0.0.1:*".parse()?,
    };
    let mut listening = Server::builder()
        .host_key(host_key)
        .listen(address, application)
        .await?;
    println!("listening on {}", listening.local_addr());
    listening.wait().await;
    Ok(())
}
