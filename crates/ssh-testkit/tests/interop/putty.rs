//! PuTTY's command line client into our server.

use std::fs;
use std::process::Command;

use ssh_testkit::peers;

use crate::foreign::{carries_bytes_and_status, converted, plink};
use crate::openssh_server::public_key;
use crate::ours::Ours;
use crate::table::{KEY_TYPES, Nature, Offer, into_ours, key_file, keys_of_every_type, rows};

/// Everything PuTTY has, and nothing that it asks about before it is used.
const EVERYTHING: &str = "KEX=ntru-curve25519,ecdh,dh-gex-sha1,dh-group18-sha512,dh-group17-sha512,dh-group16-sha512,\
     dh-group15-sha512,dh-group14-sha1,dh-group1-sha1,WARN\nHostKey=ed25519,ecdsa,rsa,WARN\n\
     Cipher=aesgcm,chacha20,aes,3des,WARN\nCompression=0\n";

#[test]
fn plink_reaches_our_server_with_every_algorithm_it_knows() {
    let (Some(plink), Some(puttygen)) = (peers::need("plink"), peers::need("puttygen")) else {
        return;
    };
    let keys = keys_of_every_type();
    let mut trusted = Vec::new();
    for (key_type, _) in KEY_TYPES {
        let user = key_file("user", key_type);
        converted(
            &puttygen,
            &[&user, "-O", "private", "-o", &format!("{user}.ppk")],
            &keys,
        );
        let host = public_key(&keys, &key_file("host", key_type));
        trusted.extend(["-hostkey".to_owned(), host.fingerprint().to_string()]);
    }
    let sessions = keys.path(".putty/sessions");
    fs::create_dir_all(&sessions).unwrap();
    fs::write(sessions.join("Default%20Settings"), EVERYTHING).unwrap();
    let client = |port: u16, key: &str, more: &[&str]| {
        let mut command = Command::new(&plink);
        command.args(["-batch", "-ssh", "-P", &port.to_string(), "-i"]);
        command
            .arg(keys.path(&format!("{key}.ppk")))
            .args(&trusted)
            .args(more);
        command.args([&format!("{}@127.0.0.1", peers::user()), "cat"]);
        command.env("HOME", keys.folder());
        command
    };
    let offer = Offer::of_client(|port| client(port, "user_ssh-ed25519", &[]));
    into_ours(
        &rows(&offer),
        &keys,
        Nature {
            refusal: "does not correspond to any supported algorithm",
            hears_while_it_speaks: true,
        },
        |row, ours| {
            let packed: &[&str] = if row.compression.construction.is_some() {
                &["-C"]
            } else {
                &[]
            };
            client(ours.port, &row.key_file("user"), packed)
        },
        |_, _| Ok(()),
    );
}

#[test]
fn plink_runs_a_command_through_our_server() {
    let ours = Ours::start();
    let Some(mut client) = plink(&ours.keys, ours.port, "host") else {
        return;
    };
    client.arg(ours.destination());
    carries_bytes_and_status(client, ours.keys.folder());
}

#[test]
fn plink_refuses_another_host_key_before_it_logs_in() {
    let ours = Ours::start();
    let Some(mut client) = plink(&ours.keys, ours.port, "stranger") else {
        return;
    };
    let output = client.args([&ours.destination(), "true"]).output().unwrap();
    assert!(!output.status.success());
    assert!(ours.attempts().is_empty(), "{:?}", ours.attempts());
}
