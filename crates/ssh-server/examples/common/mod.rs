//! How every example of the server is started: `NAME address:port host_key_file authorized_keys_file`, and words of its
//! own. Port 0 takes a free one; every example says where it listens.

#![allow(dead_code, reason = "each example takes what it needs")]
#![allow(clippy::print_stdout, reason = "it is part of a program")]

use std::error::Error;

use ssh_server::keys::authorized_keys::AuthorizedKeys;
use ssh_server::keys::{PrivateKey, PublicKey};
use ssh_server::{Account, Application, Decision, Permissions, Programs, Server};

/// What an example is started with.
pub(crate) struct Start {
    /// Where to listen.
    pub(crate) address: String,
    /// What the server proves itself with.
    pub(crate) host_key: PrivateKey,
    /// Who may log in.
    pub(crate) friends: Friends,
}

/// Whoever has one of the keys in the file may log in, under any name. A server for accounts of the system looks at more
/// than the key: `login_server` shows how.
pub(crate) struct Friends(AuthorizedKeys);

impl Friends {
    pub(crate) fn decide(&self, key: &PublicKey) -> Decision {
        Decision::accept_if(self.0.find(key).is_some(), Permissions::default())
    }
}

/// The usual words and those that come after them: as many as have a name here.
pub(crate) fn arguments<const WORDS: usize>(
    names: [&str; WORDS],
) -> Result<(Start, [String; WORDS]), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(address), Some(host_key), Some(keys)) = (words.next(), words.next(), words.next()) else {
        return Err(usage(&names).into());
    };
    let own: Vec<String> = words.collect();
    let start = Start {
        address,
        host_key: PrivateKey::from_openssh(&std::fs::read(host_key)?, None)?,
        friends: Friends(AuthorizedKeys::parse(&std::fs::read(keys)?)),
    };
    Ok((start, own.try_into().map_err(|_| usage(&names))?))
}

/// Runs programs for whoever started the example. What their shell reads when it starts, it reads in the home of this
/// process's environment: whoever wants to do without names another.
pub(crate) fn programs() -> Result<Programs, Box<dyn Error>> {
    let programs = Programs::new(Account::current()?);
    Ok(match std::env::var_os("HOME") {
        Some(home) => programs.variable("HOME", home),
        None => programs,
    })
}

/// Listens, says where, and serves for ever.
pub(crate) async fn serve(
    address: &str,
    host_key: PrivateKey,
    application: impl Application,
) -> Result<(), Box<dyn Error>> {
    let mut listening = Server::builder()
        .host_key(host_key)
        .listen(address, application)
        .await?;
    println!("listening on {}", listening.local_addr());
    listening.wait().await;
    Ok(())
}

fn usage(names: &[&str]) -> String {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    format!(
        "usage: {name} address:port host_key_file authorized_keys_file {}",
        names.join(" ")
    )
}
