//! libssh in both seats, by the program beside this file.

use std::path::{Path, PathBuf};
use std::process::Command;

use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, PerConnection};

use crate::table::{
    KEY_TYPES, Nature, Offer, Row, Theirs, every_name, into_ours, key_file, keys_of_every_type, rows,
};

/// The program in one of its seats, allowed every name of our registries.
fn peer(python: &Path, seat: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/libssh_peer.py"));
    command.args([seat, &every_name()]);
    command
}

/// Its client, with a user's key and the key it expects of the host.
fn client(python: &Path, port: u16, keys: &Keys, [user, host]: [&str; 2]) -> Command {
    let mut command = peer(python, "client");
    command.args([&port.to_string(), &peers::user()]);
    command
        .arg(keys.path(user))
        .arg(keys.path(&format!("{host}.pub")));
    command.arg("cat");
    command
}

/// Whether the client has told of the row.
fn told(row: &Row, finished: &Finished) -> Result<(), String> {
    let text = finished.stderr_text();
    let cipher = row.cipher.name;
    let mut expected = vec![format!("cipher_in {cipher}"), format!("cipher_out {cipher}")];
    if let Some(mac) = row.mac {
        expected.extend([format!("hmac_in {}", mac.name), format!("hmac_out {}", mac.name)]);
    }
    let missing = expected
        .into_iter()
        .find(|expected| !text.lines().any(|line| line == expected));
    missing.map_or(Ok(()), |line| Err(format!("`{line}` is not in {text}")))
}

#[test]
fn libssh_reaches_our_server_with_every_algorithm_it_knows() {
    let Some(python) = peers::need_libssh() else {
        return;
    };
    let keys = keys_of_every_type();
    let offer = Offer::of_client(|port| client(&python, port, &keys, ["user", "host"]));
    into_ours(
        &rows(&offer),
        &keys,
        Nature {
            // Whichever side is first says why; the other one sees the connection end.
            refusal: "connect: ",
            hears_while_it_speaks: false,
        },
        |row, ours| {
            let names = [row.key_file("user"), row.key_file("host")];
            client(&python, ours.port, &keys, names.each_ref().map(String::as_str))
        },
        told,
    );
}

/// Its server, with these host keys.
fn server(python: &Path, keys: &Keys, host_keys: Vec<PathBuf>) -> PerConnection {
    let (python, authorized) = (python.to_owned(), keys.path("authorized_keys"));
    PerConnection::start(move || {
        let mut command = peer(&python, "server");
        command.arg(&authorized).args(&host_keys);
        command
    })
}

#[test]
fn our_client_reaches_libssh_with_every_algorithm_it_knows() {
    let Some(python) = peers::need_libssh() else {
        return;
    };
    let keys = keys_of_every_type();
    // A server of libssh has one ECDSA key at most.
    let (ecdsa, others): (Vec<_>, Vec<_>) = KEY_TYPES
        .iter()
        .map(|(name, _)| *name)
        .partition(|name| name.starts_with("ecdsa-"));
    for (index, ecdsa) in ecdsa.into_iter().enumerate() {
        let types = others.iter().chain([&ecdsa]);
        let host_keys = types.map(|name| keys.path(&key_file("host", name))).collect();
        let server = server(&python, &keys, host_keys);
        let theirs = Theirs {
            port: server.port,
            user: &peers::user(),
            keys: &keys,
            offer: Offer::of_server(server.port),
            ends_silently: true,
        };
        if index == 0 {
            theirs.try_every_row();
        } else {
            theirs.try_rows(|row| row.subject == ecdsa);
        }
    }
}
