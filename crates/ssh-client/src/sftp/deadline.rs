//! How long a server may leave the oldest request unanswered ([`Timeouts::sftp`](crate::Timeouts::sftp)).
//!
//! Of requests that are under way together, only the oldest one's time runs: a server that answers one after the other is
//! not late because many wait, and one that answers all but one is found as soon as that is the oldest.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of one session. Without a limit it does nothing.
pub(super) struct Deadline<Id> {
    limit: Option<Duration>,
    /// The requests under way, by the order in which they were made.
    order: BTreeMap<u64, Id>,
    places: HashMap<Id, u64>,
    next: u64,
    /// Since when the oldest is the oldest.
    since: Instant,
    /// May wake too early: the oldest may be another one by then.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<Id: Copy + Eq + Hash> Deadline<Id> {
    /// [`Duration::MAX`] is no limit.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit: Some(limit).filter(|limit| *limit != Duration::MAX),
            order: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
            since: Instant::now(),
            sleep: None,
        }
    }

    /// A request has been made.
    pub(super) fn asked(&mut self, id: Id) {
        if self.limit.is_none() {
            return;
        }
        if self.order.is_empty() {
            self.since = Instant::now();
        }
        self.order.insert(self.next, id);
        self.places.insert(id, self.next);
        self.next = self.next.saturating_add(1);
    }

    /// It has been answered.
    pub(super) fn answered(&mut self, id: Id) {
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        let was_oldest = self.order.first_key_value().map(|(oldest, _)| *oldest) == Some(place);
        self.order.remove(&place);
        if was_oldest {
            self.since = Instant::now();
        }
    }

    /// Ready, with the limit, when the oldest has waited too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(limit) = self.limit.filter(|_| !self.order.is_empty()) else {
            return Poll::Pending;
        };
        let Some(over) = self.since.checked_add(limit) else {
            return Poll::Pending;
        };
        loop {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(over)));
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if Instant::now() >= over => return Poll::Ready(limit),
                // It was set for an older request.
                Poll::Ready(()) => sleep.as_mut().reset(over),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// How long it takes until the time of the oldest is over; `None` for more than an hour.
    async fn over(deadline: &mut Deadline<u32>) -> Option<Duration> {
        let begin = Instant::now();
        let waited = tokio::time::timeout(Duration::from_secs(3_600), poll_fn(|cx| deadline.poll(cx))).await;
        waited.ok().map(|limit| {
            assert_eq!(limit, LIMIT);
            begin.elapsed()
        })
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Looks at it, as a task does that is woken for something else.
    async fn look(deadline: &mut Deadline<u32>) -> bool {
        poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_oldest_request_s_time_runs() {
        let mut deadline = Deadline::new(LIMIT);
        assert_eq!(over(&mut deadline).await, None, "nothing waits");
        for id in 0..4 {
            deadline.asked(id);
        }
        // One after the other is answered, each in its time.
        for id in 0..3 {
            pass(9).await;
            assert!(!look(&mut deadline).await, "{id}");
            deadline.answered(id);
        }
        assert_eq!(over(&mut deadline).await, Some(LIMIT));
        deadline.answered(3);
        assert_eq!(over(&mut deadline).await, None, "all are answered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_passed_over_is_found() {
        let mut deadline = Deadline::new(LIMIT);
        deadline.asked(0);
        for id in 1..9 {
            pass(1).await;
            deadline.asked(id);
            deadline.answered(id);
            assert!(!look(&mut deadline).await, "{id}");
        }
        assert_eq!(over(&mut deadline).await, Some(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_is_kept() {
        let mut deadline = Deadline::new(Duration::MAX);
        deadline.asked(1);
        assert!(deadline.order.is_empty() && deadline.places.is_empty());
        assert_eq!(over(&mut deadline).await, None);
        let mut longest = Deadline::new(Duration::MAX - Duration::from_secs(1));
        longest.asked(1);
        assert_eq!(over(&mut longest).await, None);
    }
}
