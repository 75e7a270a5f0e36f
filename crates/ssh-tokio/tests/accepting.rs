//! What a listener does while the system gives it no connections. Alone in its program: what is traced is decided once
//! for all threads.
#![allow(clippy::unwrap_used, reason = "a test says what must be true by panicking")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use ssh_tokio::Accepting;
use tokio::time::{Instant, timeout};

/// What is traced, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| line.trim_start().to_owned()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn none_left() -> io::Error {
    io::Error::other("none left")
}

#[tokio::test(start_paused = true)]
async fn however_often_it_fails_there_is_a_line_when_it_begins_and_one_when_it_is_over() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let mut accepting = Accepting::new("the test's");
    assert_eq!(accepting.next(|_| Poll::Ready(Ok(1))).await, 1);
    assert!(log.take().is_empty(), "nothing has failed");
    for failures in [1, 2, 1_000] {
        let (mut tries, mut begin) = (0, None);
        let mut accept = |_: &mut std::task::Context<'_>| {
            begin.get_or_insert_with(Instant::now);
            tries += 1;
            Poll::Ready(if tries <= failures {
                Err(none_left())
            } else {
                Ok(tries)
            })
        };
        // Whoever asks gives up and asks again all the time.
        let accepted = loop {
            let patience = Duration::from_millis(3);
            if let Ok(accepted) = timeout(patience, accepting.next(&mut accept)).await {
                break accepted;
            }
        };
        assert_eq!(accepted, failures + 1);
        assert_eq!(
            log.take(),
            [
                r#"WARN cannot accept a connection listener="the test's" error=none left"#.to_owned(),
                format!(r#"WARN accepts connections again listener="the test's" failed={failures}"#),
            ]
        );
        // 10, 20, 40 … 320 ms, and half a second from then on.
        let rests = match failures {
            1 => 10,
            2 => 30,
            many => 630 + (many - 6) * 500,
        };
        let took = begin.unwrap().elapsed();
        let (least, most) = (
            Duration::from_millis(rests),
            Duration::from_millis(rests + 2 * failures),
        );
        assert!(took >= least && took <= most, "{failures} failures: {took:?}");
    }
    // Once more, and for good.
    let accept = |_: &mut std::task::Context<'_>| Poll::Ready(Err::<(), _>(none_left()));
    let hour = timeout(Duration::from_secs(3_600), accepting.next(accept)).await;
    assert!(hour.is_err());
    assert_eq!(log.take().len(), 1);
}
