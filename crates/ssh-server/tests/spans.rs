//! What a server traces stands in spans, and holds no secret. Alone in its program: what is traced is decided once for
//! all threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::memory::{Proof, connect, session};
use common::{PASSWORD, Place, USER, text};
use ssh_server::channel::{Env, Exec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is traced, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_traced_stands_in_spans_and_holds_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let place = Place::new();
    let server = place.builder().build(place.site()).unwrap();
    let handle = connect(&server, USER, Proof::Password(PASSWORD)).await.unwrap();
    let mut channel = session(&handle).await;
    assert!(
        channel
            .request(&Env::new("LC_SECRET", "of the environment").into())
            .await
            .unwrap()
    );
    assert!(channel.request(&Exec::new("cat").into()).await.unwrap());
    channel.write_all(b"typed in confidence").await.unwrap();
    channel.eof().unwrap();
    let mut echoed = String::new();
    channel.read_to_string(&mut echoed).await.unwrap();
    assert_eq!(echoed, "typed in confidence");
    let told = text(&log.0.lock().unwrap());
    let started = told
        .lines()
        .find(|line| line.contains("program started"))
        .unwrap();
    assert!(
        started.contains("connection{peer=memory user=tester}:channel{kind=\"session\" id="),
        "{started}"
    );
    // The command itself is a matter of debugging: people write secrets there.
    assert!(!started.contains("cat"), "{started}");
    for secret in ["correct horse", "in confidence", "of the environment"] {
        assert!(!told.contains(secret), "{secret}");
    }
}
