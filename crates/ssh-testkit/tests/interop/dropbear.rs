//! Dropbear: its client into our server, our client into its server.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_testkit::openssh::{Account, Keys};
use ssh_testkit::peers;
use ssh_testkit::running::{PerConnection, Running, free_port, wait_for_greeting};

use crate::foreign::{carries_bytes_and_status, converted, dbclient};
use crate::openssh_server::public_key;
use crate::ours::Ours;
use crate::table::{KEY_TYPES, Nature, Offer, Theirs, into_ours, key_file, keys_of_every_type, rows};

/// Keys of every type, the host's and the user's also in Dropbear's format.
fn keys(convert: &Path) -> Arc<Keys> {
    let keys = keys_of_every_type();
    for (key_type, _) in KEY_TYPES {
        for owner in ["host", "user"] {
            let name = key_file(owner, key_type);
            converted(
                convert,
                &["openssh", "dropbear", &name, &format!("{name}.db")],
                &keys,
            );
        }
    }
    keys
}

#[test]
fn dropbears_client_reaches_our_server_with_every_algorithm_it_knows() {
    let (Some(dbclient), Some(convert)) = (peers::need("dbclient"), peers::need("dropbearconvert")) else {
        return;
    };
    let keys = keys(&convert);
    let client = |port: u16, key: &str| {
        let mut command = Command::new(&dbclient);
        command.args(["-y", "-y", "-p", &port.to_string(), "-i"]);
        command.arg(keys.path(&format!("{key}.db")));
        command.args([&format!("{}@127.0.0.1", peers::user()), "cat"]);
        command.env("HOME", keys.folder());
        command
    };
    let offer = Offer::of_client(|port| client(port, "user_ssh-ed25519"));
    into_ours(
        &rows(&offer),
        &keys,
        Nature {
            refusal: "No matching algo",
            hears_while_it_speaks: true,
        },
        |row, ours| client(ours.port, &row.key_file("user")),
        |_, _| Ok(()),
    );
}

#[test]
fn our_client_reaches_dropbear_with_every_algorithm_it_knows() {
    let (Some(dropbear), Some(convert)) = (peers::need("dropbear"), peers::need("dropbearconvert")) else {
        return;
    };
    let Some(account) = Account::make("every") else {
        return;
    };
    let keys = keys(&convert);
    account.authorize(&keys);
    // Dropbear takes four host keys at most, and names RSA whether it has such a key or not.
    let (rsa, others): (Vec<_>, Vec<_>) = KEY_TYPES.iter().partition(|(name, _)| *name == "ssh-rsa");
    for (index, some) in others.chunks(3).enumerate() {
        let some = [some, &rsa].concat();
        let files = some.iter().map(|(key_type, _)| key_file("host", key_type));
        let host_keys: Vec<_> = files.map(|name| keys.path(&format!("{name}.db"))).collect();
        let program = dropbear.clone();
        // As a program for one connection it does not count those of strangers.
        let server = PerConnection::start(move || {
            let mut command = Command::new(&program);
            command.arg("-i");
            for host_key in &host_keys {
                command.arg("-r").arg(host_key);
            }
            command
        });
        let theirs = Theirs {
            port: server.port,
            user: &account.name,
            keys: &keys,
            offer: Offer::of_server(server.port),
            ends_silently: false,
        };
        // The second time about the keys alone.
        theirs.try_rows(|row| index == 0 || row.subject == row.host_key.name);
        if index == 0 {
            theirs.try_under_load();
        }
    }
}

#[test]
fn dropbears_client_runs_a_command_through_our_server() {
    let ours = Ours::start();
    let Some(mut client) = dbclient(&ours.keys, ours.port) else {
        return;
    };
    client.arg(ours.destination());
    carries_bytes_and_status(client, ours.keys.folder());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_logs_in_to_dropbear_by_key_and_by_password() {
    let (Some(dropbear), Some(convert)) = (peers::need("dropbear"), peers::need("dropbearconvert")) else {
        return;
    };
    let Some(account) = Account::make("drop") else {
        return;
    };
    let keys = Keys::make();
    converted(&convert, &["openssh", "dropbear", "host", "host.db"], &keys);
    // Dropbear takes keys from the account's home alone.
    account.authorize(&keys);
    let port = free_port();
    let mut command = Command::new(dropbear);
    command
        .args(["-F", "-p", &format!("127.0.0.1:{port}"), "-r"])
        .arg(keys.path("host.db"));
    command.arg("-P").arg(keys.path("dropbear.pid"));
    let mut server = Running::start(&mut command);
    wait_for_greeting(&mut server, port).unwrap();
    let logins = [
        Credentials::key_file(keys.path("user")),
        Credentials::password(&account.password),
    ];
    for (credentials, compression) in logins.into_iter().zip(["^zlib@openssh.com", "none"]) {
        let host_keys = HostKeys::pinned(public_key(&keys, "host"));
        let mut config = Config::default();
        config
            .transport
            .preferences
            .edit_compression(compression)
            .unwrap();
        let client = Client::connect_with(
            &config,
            ("127.0.0.1", port),
            &account.name,
            host_keys,
            credentials,
        )
        .await
        .unwrap();
        assert!(compression.ends_with(client.negotiated().outgoing.compression.name));
        let output = client
            .exec("cat; echo oops >&2; exit 7")
            .stdin(vec![5; 3_000_000])
            .output()
            .await
            .unwrap();
        assert!(output.stdout == vec![5; 3_000_000] && output.stderr == b"oops\n");
        assert_eq!(output.status.code(), Some(7));
        client.disconnect().await;
    }
}
