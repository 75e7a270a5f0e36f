//! What an application can read of a connection, and what it is warned of.

use std::sync::{Arc, Mutex};

use ssh_client::{Config, ShowWarning, Warning};

use crate::{Notes, host_key, joined};

#[tokio::test]
async fn what_was_agreed_on_is_the_same_on_both_sides() {
    let mut config = Config::default();
    let preferences = &mut config.transport.preferences;
    preferences.edit_kex("curve25519-sha256").unwrap();
    preferences.edit_ciphers("aes256-ctr").unwrap();
    preferences.edit_macs("hmac-sha2-512-etm@openssh.com").unwrap();
    preferences.edit_compression("zlib@openssh.com").unwrap();
    let notes = Arc::new(Notes::default());
    let client = joined(&config, &notes).await;
    let _refused = client.run("anything").await;
    let ours = client.negotiated();
    let agreed = notes.agreed.lock().unwrap().clone().unwrap();
    let theirs = agreed.negotiated;
    assert_eq!(
        (ours.kex.name, theirs.kex.name),
        ("curve25519-sha256", "curve25519-sha256")
    );
    assert_eq!(
        (ours.host_key.name, theirs.host_key.name),
        ("ssh-ed25519", "ssh-ed25519")
    );
    for (one, other) in [(ours.outgoing, theirs.incoming), (ours.incoming, theirs.outgoing)] {
        assert_eq!((one.cipher.name, other.cipher.name), ("aes256-ctr", "aes256-ctr"));
        let mac = Some("hmac-sha2-512-etm@openssh.com");
        assert_eq!(
            (one.mac.map(|mac| mac.name), other.mac.map(|mac| mac.name)),
            (mac, mac)
        );
        let compression = "zlib@openssh.com";
        assert_eq!(
            (one.compression.name, other.compression.name),
            (compression, compression)
        );
    }
    assert!(ours.strict && theirs.strict);
    assert!(!ours.is_post_quantum() && !theirs.is_post_quantum());
    assert_eq!(client.own_identification(), agreed.client_identification);
    assert_eq!(client.server_identification(), agreed.server_identification);
    assert!(agreed.client_identification.starts_with("SSH-2.0-Bowline_"));
    assert!(client.extensions().publickey_hostbound && client.extensions().ping);
    assert!(agreed.extensions.ext_info_in_auth && agreed.extensions.ping);
    assert_eq!(
        (client.user(), client.peer_addr(), client.local_addr()),
        ("alice", None, None)
    );
    assert_eq!(client.host_key(), Some(host_key().public()));
    client.disconnect().await;
}

#[tokio::test]
async fn an_aead_cipher_is_told_without_a_mac() {
    let mut config = Config::default();
    config
        .transport
        .preferences
        .edit_ciphers("aes256-gcm@openssh.com")
        .unwrap();
    let notes = Arc::new(Notes::default());
    let client = joined(&config, &notes).await;
    let _refused = client.run("anything").await;
    let theirs = notes.agreed.lock().unwrap().clone().unwrap().negotiated;
    for direction in [
        client.negotiated().outgoing,
        client.negotiated().incoming,
        theirs.outgoing,
        theirs.incoming,
    ] {
        assert_eq!(
            (direction.cipher.name, direction.mac.map(|mac| mac.name)),
            ("aes256-gcm@openssh.com", None)
        );
    }
}

#[tokio::test]
async fn the_application_is_warned_when_a_key_exchange_is_not_post_quantum() {
    for (kex, warned) in [
        ("curve25519-sha256", true),
        ("mlkem768x25519-sha256", false),
        ("sntrup761x25519-sha512", false),
    ] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut config = Config::default();
        config.transport.preferences.edit_kex(kex).unwrap();
        let noted = Arc::clone(&told);
        config.warning = Some(ShowWarning::new(move |warning| {
            noted.lock().unwrap().push(warning.clone());
        }));
        let client = joined(&config, &Arc::new(Notes::default())).await;
        let expected = Warning::NotPostQuantum {
            address: client.address().clone(),
            kex: client.negotiated().kex.name,
        };
        let expected = if warned { vec![expected] } else { Vec::new() };
        assert_eq!(*told.lock().unwrap(), expected, "{kex}");
        client.disconnect().await;
    }
}
