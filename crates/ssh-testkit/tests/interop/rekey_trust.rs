//! A host key that changes in the middle of a connection: whoever asked for the new keys, our client ends it and says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ssh_client::keys::{PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer};
use ssh_client::{Client, Credentials, HostKeys};
use ssh_testkit::openssh::Keys;
use ssh_testkit::rng::seeded;

use crate::ours::Ours;

/// The limit of a test; nothing here is decided by it but that the connection does not end at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that changes its key when it is told to.
struct Turncoat {
    keys: [PrivateKey; 2],
    has_turned: Arc<AtomicBool>,
}

impl Turncoat {
    fn new() -> Self {
        Self {
            keys: [1, 2].map(|seed| PrivateKey::generate_ed25519(&mut *seeded(seed), "host")),
            has_turned: Arc::default(),
        }
    }

    fn key(&self) -> &PrivateKey {
        &self.keys[usize::from(self.has_turned.load(Ordering::SeqCst))]
    }
}

impl Signer for Turncoat {
    fn public_key(&self) -> &PublicKey {
        self.key().public()
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        self.key().algorithms()
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.key().sign(algorithm, message)
    }
}

/// Who asks for new keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Client,
    Server,
}

/// More than our server here sends under one set of keys.
const MANY_BYTES: &str = "head -c 1000000 /dev/zero";

fn start(host: Turncoat, asks: Asks) -> Ours {
    Ours::with_host_key(Keys::make(), host, |config| {
        if asks == Asks::Server {
            config.transport.rekey.bytes = 100_000;
        }
    })
}

async fn connect(ours: &Ours, host_keys: HostKeys) -> Client {
    let key = Credentials::key_file(ours.keys.path("user"));
    Client::connect(("127.0.0.1", ours.port), &ours.user(), host_keys, key)
        .await
        .unwrap()
}

/// The error and what is behind it.
fn whole(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(|error| format!("{error}\n"))
        .collect()
}

#[test]
fn a_host_key_that_changes_on_a_rekey_ends_the_connection_with_an_error_that_says_so() {
    for asks in [Asks::Client, Asks::Server] {
        // Even who believes every host at first does not believe this.
        for is_pinned in [true, false] {
            let host = Turncoat::new();
            let [before, after] = [0, 1].map(|index: usize| host.keys[index].public().clone());
            let has_turned = Arc::clone(&host.has_turned);
            let ours = start(host, asks);
            let host_keys = if is_pinned {
                HostKeys::pinned(before.clone())
            } else {
                HostKeys::dangerous_accept_any()
            };
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = connect(&ours, host_keys).await;
                assert_eq!(client.host_key(), Some(&before));
                has_turned.store(true, Ordering::SeqCst);
                if asks == Asks::Client {
                    client.rekey().unwrap();
                }
                let running = client.run(MANY_BYTES).await.unwrap_err();
                let ended = tokio::time::timeout(PATIENCE, client.closed()).await.unwrap();
                for told in [whole(&*ended), whole(&running)] {
                    for word in [
                        "the host key changed during the connection",
                        &before.fingerprint().to_string(),
                        &after.fingerprint().to_string(),
                    ] {
                        assert!(told.contains(word), "{asks:?}: {word:?} is not said: {told}");
                    }
                }
            });
        }
    }
}

#[test]
fn a_host_key_that_stays_passes_on_every_rekey() {
    for asks in [Asks::Client, Asks::Server] {
        let host = Turncoat::new();
        let pinned = HostKeys::pinned(host.key().public().clone());
        let ours = start(host, asks);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = connect(&ours, pinned).await;
            if asks == Asks::Client {
                client.rekey().unwrap();
            }
            let output = client.run(MANY_BYTES).await.unwrap();
            assert_eq!(output.stdout.len(), 1_000_000);
            client.disconnect().await;
        });
    }
}
