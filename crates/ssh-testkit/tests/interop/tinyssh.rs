//! Our client into TinySSH, a server that knows one cipher and one type of key.

use std::fs;
use std::process::Command;

use ssh_testkit::openssh::Account;
use ssh_testkit::peers;
use ssh_testkit::running::{PerConnection, run};

use crate::table::{Offer, Theirs, keys_of_every_type};

#[test]
fn our_client_reaches_tinyssh_with_every_algorithm_it_knows() {
    let (Some(server), Some(make), Some(print)) = (
        peers::need("tinysshd"),
        peers::need("tinysshd-makekey"),
        peers::need("tinysshd-printkey"),
    ) else {
        return;
    };
    let Some(account) = Account::make("tiny") else {
        return;
    };
    let keys = keys_of_every_type();
    account.authorize(&keys);
    let folder = keys.path("tinyssh");
    let _ = run(Command::new(make).arg(&folder)).with_code(0);
    let public = run(Command::new(print).arg(&folder)).with_code(0).stdout_text();
    let line = public
        .lines()
        .find(|line| line.starts_with("ssh-ed25519 "))
        .unwrap();
    fs::write(keys.path("host_ssh-ed25519.pub"), line).unwrap();
    let server = PerConnection::start(move || {
        let mut command = Command::new(&server);
        command.arg(&folder);
        command
    });
    let theirs = Theirs {
        port: server.port,
        user: &account.name,
        keys: &keys,
        offer: Offer::of_server(server.port),
        ends_silently: false,
    };
    theirs.try_every_row();
}
