//! Connections that the system cannot give: a listener rests and tries again, and its log stays short.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a listener rests after an accept that failed, first and at most.
const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_millis(500);

/// How one listener takes its connections. Where it gets none, out of file descriptors as a rule, it rests before it
/// tries again, for 10 ms at first and for half a second at most: whoever waits stays in the system's queue, and trying
/// at once would only burn the time of those who are inside.
///
/// However many tries fail one after the other, they are two lines of the log: the first, with its error, and their
/// number when there is a connection again.
#[derive(Debug)]
pub struct Accepting {
    listener: &'static str,
    failed: u64,
    rest: Duration,
    rests_until: Option<Instant>,
}

impl Accepting {
    /// Nothing has failed yet. The log calls the listener `listener`.
    pub const fn new(listener: &'static str) -> Self {
        Self {
            listener,
            failed: 0,
            rest: SHORTEST_REST,
            rests_until: None,
        }
    }

    /// The next connection that `poll_accept` gives. May be dropped at any point: a rest that has begun is kept.
    pub async fn next<T>(
        &mut self,
        mut poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> T {
        loop {
            if let Some(end) = self.rests_until {
                sleep_until(end).await;
            }
            match poll_fn(&mut poll_accept).await {
                Ok(accepted) => {
                    self.succeeded();
                    return accepted;
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if self.failed == 0 {
            tracing::warn!(listener = self.listener, %error, "cannot accept a connection");
        }
        self.failed = self.failed.saturating_add(1);
        self.rests_until = Some(Instant::now() + self.rest);
        self.rest = self.rest.saturating_mul(2).min(LONGEST_REST);
    }

    fn succeeded(&mut self) {
        if self.failed > 0 {
            let (listener, failed) = (self.listener, self.failed);
            // As loud as the line that said it could not.
            tracing::warn!(listener, failed, "accepts connections again");
            *self = Self::new(listener);
        }
    }
}
