//! How every example of the client is started: `NAME [user@]host[:port] key_file known_hosts_file`, and words of its own.

#![allow(dead_code, reason = "each example takes what it needs")]

use ssh_client::{Client, Credentials, Error, HostKeys};

/// The server an example is told to connect to.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) key_file: String,
    pub(crate) known_hosts: String,
}

impl Server {
    /// Connects and logs in.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        Client::connect(&self.address, &self.user, self.host_keys(), self.credentials()).await
    }

    /// Only hosts in the file are believed.
    pub(crate) fn host_keys(&self) -> HostKeys {
        HostKeys::known_hosts(&self.known_hosts)
    }

    /// The key in the file, which has no passphrase.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::key_file(&self.key_file)
    }

    /// The same user with the same files at another host.
    pub(crate) fn at(&self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            user: self.user.clone(),
            key_file: self.key_file.clone(),
            known_hosts: self.known_hosts.clone(),
        }
    }
}

/// The server and the words that come after it: as many as have a name here.
pub(crate) fn arguments<const WORDS: usize>(
    names: [&str; WORDS],
) -> Result<(Server, [String; WORDS]), String> {
    let (server, words) = all_arguments(&names.join(" "))?;
    Ok((server, words.try_into().map_err(|_| usage(&names.join(" ")))?))
}

/// The server and all words that come after it.
pub(crate) fn all_arguments(names: &str) -> Result<(Server, Vec<String>), String> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().ok_or_else(|| usage(names));
    let (place, key_file, known_hosts) = (next()?, next()?, next()?);
    let (user, address) = match place.rsplit_once('@') {
        Some((user, address)) => (user.to_owned(), address.to_owned()),
        None => (std::env::var("USER").unwrap_or_else(|_| "root".to_owned()), place),
    };
    let server = Server {
        address,
        user,
        key_file,
        known_hosts,
    };
    Ok((server, words.collect()))
}

fn usage(names: &str) -> String {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    format!("usage: {name} [user@]host[:port] key_file known_hosts_file {names}")
}
