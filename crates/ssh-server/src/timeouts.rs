//! Channels that nobody uses are closed (`ChannelTimeout` of sshd_config(5)).

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::keys::pattern;
use crate::tokio_driver::ChannelWatch;

/// How long channels may be open while nothing moves on them, by their type. Empty: for ever.
///
/// Types are those of sshd_config(5): `session:shell`, `session:command`, `session:subsystem:…`, `session` before anything
/// was started; `direct-tcpip`, `direct-streamlocal@openssh.com`, `forwarded-tcpip`, `forwarded-streamlocal@openssh.com`,
/// `agent-connection`, `x11-connection`, and `tun@openssh.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelTimeouts(Vec<(String, Duration)>);

impl ChannelTimeouts {
    /// Adds a limit for the types that fit `pattern` and none of the patterns before; zero is none.
    #[must_use]
    pub fn with(mut self, pattern: impl Into<String>, limit: Duration) -> Self {
        self.0.push((pattern.into(), limit));
        self
    }

    /// Whether no channel has a limit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limit for a type.
    pub fn of(&self, channel: &str) -> Option<Duration> {
        self.0
            .iter()
            .find(|(known, _)| pattern::matches_exactly(known.as_bytes(), channel.as_bytes()))
            .map(|(_, limit)| *limit)
            .filter(|limit| !limit.is_zero())
    }
}

/// Waits until a session, whose type is told when something is started in it, has been idle for too long.
pub(crate) async fn session(timeouts: &ChannelTimeouts, watch: &ChannelWatch, started: &Started) {
    loop {
        let limited = async {
            match timeouts.of(started.kind()) {
                Some(limit) => idle(watch, limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = started.changes() => {}
            () = limited => return,
        }
    }
}

/// Whether something was started in a session, and what.
#[derive(Debug, Default)]
pub(crate) struct Started {
    kind: OnceLock<String>,
    told: Notify,
}

impl Started {
    /// Something is started: `command`, `shell`, `subsystem:` and its name.
    pub(crate) fn set(&self, what: &str) {
        let _once = self.kind.set(format!("session:{what}"));
        self.told.notify_one();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.kind.get().is_some()
    }

    /// The session's type for [`ChannelTimeouts`].
    fn kind(&self) -> &str {
        self.kind.get().map_or("session", String::as_str)
    }

    /// Waits until something was started. Each start is told once.
    async fn changes(&self) {
        self.told.notified().await;
    }
}

/// Does the work of a channel until it is done, or nothing has moved on the channel for as long as `limit`: then the
/// channel is closed.
pub(crate) async fn within(limit: Option<Duration>, watch: ChannelWatch, work: impl Future<Output = ()>) {
    let Some(limit) = limit else {
        return work.await;
    };
    tokio::select! {
        () = work => {}
        () = idle(&watch, limit) => watch.close(),
    }
}

/// Waits until nothing has moved on a channel for as long as `limit`. It is looked at four times in that time, and may be
/// that much late.
pub(crate) async fn idle(watch: &ChannelWatch, limit: Duration) {
    let step = (limit / 4).max(SHORTEST_STEP);
    let (mut moved, mut since) = (watch.moved(), Instant::now());
    loop {
        sleep(step).await;
        let now = watch.moved();
        if now.is_none() {
            // Nobody holds the channel any more.
            std::future::pending::<()>().await;
        }
        if now != moved {
            (moved, since) = (now, Instant::now());
        } else if since.elapsed() >= limit {
            return;
        }
    }
}

const SHORTEST_STEP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let second = Duration::from_secs(1);
        let timeouts = ChannelTimeouts::default()
            .with("session:subsystem:*", Duration::ZERO)
            .with("session*", second)
            .with("*-tcpip", second * 2);
        assert_eq!(timeouts.of("session:subsystem:sftp"), None);
        assert_eq!(timeouts.of("session:shell"), Some(second));
        assert_eq!(timeouts.of("session"), Some(second));
        assert_eq!(timeouts.of("direct-tcpip"), Some(second * 2));
        assert_eq!(timeouts.of("forwarded-tcpip"), Some(second * 2));
        assert_eq!(timeouts.of("agent-connection"), None);
        assert_eq!(ChannelTimeouts::default().of("session"), None);
    }
}
