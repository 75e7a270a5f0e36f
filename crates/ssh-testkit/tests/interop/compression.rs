//! Compression with other people's SSH, in both seats: data that shrinks and data that does not, keys that change in
//! the middle of it.

use sha2::{Digest, Sha256};
use ssh_client::wire::Compression;
use ssh_client::wire::compression::{NONE, ZLIB_OPENSSH};
use ssh_client::{Config, kex};
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run_with};

use crate::openssh_server::{connect, server};
use crate::ours::Ours;

/// 12 MiB: half of it text that shrinks well, half of it noise that does not, in turns of 96 KiB.
fn mixture() -> Vec<u8> {
    let text = b"all work and no play makes a dull packet; ".repeat(2341);
    let mut data = Vec::new();
    let mut seed = Sha256::digest(b"noise");
    while data.len() < 12 << 20 {
        data.extend_from_slice(&text);
        for _ in 0..3072 {
            seed = Sha256::digest(seed);
            data.extend_from_slice(&seed);
        }
    }
    data
}

/// What we say when compression is wanted.
fn wanting(preferences: &mut kex::Preferences) {
    preferences.edit_compression("^zlib@openssh.com").unwrap();
}

fn occurrences(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

/// OpenSSH's `ssh`, which sends the mixture and gets it back.
fn openssh_round(ours: &Ours, options: &[&str]) -> Option<Finished> {
    let program = peers::need("ssh")?;
    let data = mixture();
    let mut line = ours.client(&program, options);
    let finished = run_with(line.arg(ours.destination()).arg("cat"), data.clone()).with_code(0);
    assert!(
        finished.stdout == data,
        "{} bytes came back",
        finished.stdout.len()
    );
    Some(finished)
}

#[test]
fn openssh_compresses_both_ways_while_keys_change() {
    let ours = Ours::start();
    let Some(finished) = openssh_round(&ours, &["-C", "-v", "-o", "RekeyLimit=1M"]) else {
        return;
    };
    let told = finished.stderr_text();
    assert!(told.contains("compression: zlib@openssh.com"), "{told}");
    // Some versions tell of the direction they send in alone.
    let begun = occurrences(&told, "Enabling compression at level 6");
    assert!(begun >= 5, "{begun} streams:\n{told}");
}

#[test]
fn openssh_compresses_while_our_server_asks_for_new_keys() {
    let ours = Ours::with(|config| config.transport.rekey.bytes = 1 << 20);
    let Some(finished) = openssh_round(&ours, &["-C", "-v"]) else {
        return;
    };
    let told = finished.stderr_text();
    assert!(
        occurrences(&told, "Enabling compression at level 6") >= 5,
        "{told}"
    );
}

#[test]
fn openssh_gets_what_the_configurations_allow() {
    for (options, server, expected) in [
        (&["-v"][..], None, "none"),
        (&["-v", "-C"], Some("none"), "none"),
        (&["-v"], Some("zlib@openssh.com"), "zlib@openssh.com"),
    ] {
        let ours = Ours::with(|config| {
            if let Some(list) = server {
                config.transport.preferences.edit_compression(list).unwrap();
            }
        });
        let Some(finished) = openssh_round(&ours, options) else {
            return;
        };
        let told = finished.stderr_text();
        assert!(told.contains(&format!("compression: {expected}\r\n")), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_compresses_into_openssh_while_keys_change() {
    for (line, limit, expected) in [
        ("Compression yes", 1 << 30, &ZLIB_OPENSSH),
        ("Compression yes", 1 << 20, &ZLIB_OPENSSH),
        ("Compression yes\nRekeyLimit 1M", 1 << 30, &ZLIB_OPENSSH),
        ("Compression no", 1 << 20, &NONE),
    ] {
        let Some(server) = server(line) else { return };
        let mut config = Config::default();
        wanting(&mut config.transport.preferences);
        config.transport.rekey.bytes = limit;
        let client = connect(&server, &config).await.unwrap();
        let agreed = client.negotiated();
        let both: [&Compression; 2] = [agreed.outgoing.compression, agreed.incoming.compression];
        assert_eq!(both, [expected; 2], "{line}");
        let data = mixture();
        let output = client.exec("cat").stdin(data.clone()).output().await.unwrap();
        assert!(
            output.stdout == data,
            "{line}: {} bytes came back",
            output.stdout.len()
        );
        client.disconnect().await;
    }
}
