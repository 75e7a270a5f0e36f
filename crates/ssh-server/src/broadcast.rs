//! One text to many sessions, with a bound on what waits for a slow one.
//!
//! ```text
//!  Broadcast ──send──▶ a queue for each Seat ──next──▶ its session's writer
//!                       full: SlowPolicy
//! ```
//!
//! Sending never waits: who is slow costs a bounded amount of memory and holds up nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::wire::bytes::Bytes;

/// What becomes of a seat whose queue is full when something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowPolicy {
    /// The oldest that waits is dropped for it: for states, where the newest counts.
    DropOldest,
    /// It skips what is sent: for logs, where what began should go on.
    Skip,
    /// Its seat is taken away: [`Seat::next`] gives what waited and then ends. For conversations, where a gap misleads.
    Disconnect,
}

/// Sends to all its seats. Clones are the same.
#[derive(Clone, Debug)]
pub struct Broadcast {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: SlowPolicy,
    most: usize,
    most_bytes: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    queues: Vec<Arc<Queue>>,
    is_closed: bool,
}

/// The [`Broadcast`] was closed: nothing will be sent to it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broadcast is closed")]
pub struct BroadcastClosed;

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
    missed: u64,
    is_over: bool,
}

/// Somebody who listens. Dropped, it listens no more.
#[derive(Debug)]
pub struct Seat {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

impl Broadcast {
    /// Nobody listens yet. Up to `most` messages with up to `most_bytes` together wait for each seat (one of any size may
    /// wait alone); then `policy` holds.
    pub fn new(policy: SlowPolicy, most: usize, most_bytes: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                most: most.max(1),
                most_bytes,
                seats: Mutex::default(),
            }),
        }
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// It is closed already: there would be nothing to wait for.
    pub fn join(&self) -> Result<Seat, BroadcastClosed> {
        let queue = Arc::new(Queue::default());
        let mut seats = self.shared.lock();
        if seats.is_closed {
            return Err(BroadcastClosed);
        }
        seats.queues.push(Arc::clone(&queue));
        drop(seats);
        Ok(Seat {
            queue,
            shared: Arc::clone(&self.shared),
        })
    }

    /// How many listen.
    pub fn seats(&self) -> usize {
        self.shared.lock().queues.len()
    }

    /// Sends to everybody; to nobody once it is closed. Never waits; of messages sent one after the other every seat sees the same order.
    pub fn send(&self, message: impl Into<Bytes>) {
        self.deliver(&message.into(), None);
    }

    /// Sends to everybody but `own`, as one who speaks in a room does.
    pub fn send_to_others(&self, own: &Seat, message: impl Into<Bytes>) {
        self.deliver(&message.into(), Some(own));
    }

    fn deliver(&self, message: &Bytes, but: Option<&Seat>) {
        let own = but.map(|seat| Arc::as_ptr(&seat.queue));
        self.shared
            .lock()
            .queues
            .retain(|queue| own == Some(Arc::as_ptr(queue)) || queue.take(message, &self.shared));
    }

    /// Ends all seats once they have read what waits for them, and lets nobody join any more.
    pub fn close(&self) {
        let mut seats = self.shared.lock();
        seats.is_closed = true;
        for queue in seats.queues.drain(..) {
            queue.end();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message as the policy has it; whether the seat stays.
    fn take(&self, message: &Bytes, shared: &Shared) -> bool {
        let mut waiting = self.lock();
        while waiting.is_full_for(message, shared) {
            waiting.missed = waiting.missed.saturating_add(1);
            match shared.policy {
                SlowPolicy::DropOldest => waiting.drop_oldest(),
                SlowPolicy::Skip => return true,
                SlowPolicy::Disconnect => {
                    drop(waiting);
                    self.end();
                    return false;
                }
            }
        }
        waiting.bytes = waiting.bytes.saturating_add(message.len());
        waiting.messages.push_back(message.clone());
        drop(waiting);
        self.news.notify_one();
        true
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.news.notify_one();
    }
}

impl Waiting {
    fn is_full_for(&self, message: &Bytes, shared: &Shared) -> bool {
        let bytes = self.bytes.saturating_add(message.len());
        !self.messages.is_empty() && (self.messages.len() >= shared.most || bytes > shared.most_bytes)
    }

    fn drop_oldest(&mut self) {
        drop(self.pop());
    }

    fn pop(&mut self) -> Option<Bytes> {
        let oldest = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(oldest.len());
        Some(oldest)
    }
}

impl Seat {
    /// The next message; `None` when the seat was taken away or the broadcast is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            {
                let mut waiting = self.queue.lock();
                if let Some(message) = waiting.pop() {
                    return Some(message);
                }
                if waiting.is_over {
                    return None;
                }
            }
            self.queue.news.notified().await;
        }
    }

    /// How many messages this seat has missed because it was slow.
    pub fn missed(&self) -> u64 {
        self.queue.lock().missed
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared
            .lock()
            .queues
            .retain(|queue| !Arc::ptr_eq(queue, &self.queue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(seat: &mut Seat) -> String {
        let mut all = Vec::new();
        while let Some(message) = seat.next().await {
            all.extend_from_slice(&message);
        }
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn a_slow_seat_costs_a_bound_and_the_others_nothing() {
        for (policy, slow_reads, missed, stays) in [
            (SlowPolicy::DropOldest, "789", 7, true),
            (SlowPolicy::Skip, "012", 7, true),
            (SlowPolicy::Disconnect, "012", 1, false),
        ] {
            let broadcast = Broadcast::new(policy, 3, 1024);
            let (mut slow, mut quick) = (broadcast.join().unwrap(), broadcast.join().unwrap());
            for n in 0..10 {
                broadcast.send(n.to_string());
                assert_eq!(quick.next().await.unwrap(), n.to_string());
            }
            assert_eq!(broadcast.seats(), if stays { 2 } else { 1 }, "{policy:?}");
            broadcast.close();
            assert_eq!(all(&mut slow).await, slow_reads, "{policy:?}");
            assert_eq!((slow.missed(), quick.missed()), (missed, 0), "{policy:?}");
            assert_eq!(quick.next().await, None);
        }
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_a_large_message_may_wait_alone() {
        let broadcast = Broadcast::new(SlowPolicy::Skip, 100, 10);
        let mut seat = broadcast.join().unwrap();
        broadcast.send("x".repeat(50));
        broadcast.send("y");
        broadcast.close();
        assert_eq!(all(&mut seat).await, "x".repeat(50));
        assert_eq!(seat.missed(), 1);
    }

    #[tokio::test]
    async fn who_speaks_does_not_hear_itself_and_who_leaves_is_gone() {
        let broadcast = Broadcast::new(SlowPolicy::Disconnect, 3, 1024);
        let (own, mut other) = (broadcast.join().unwrap(), broadcast.join().unwrap());
        broadcast.send_to_others(&own, "hello");
        drop(own);
        assert_eq!(broadcast.seats(), 1);
        broadcast.close();
        assert_eq!(all(&mut other).await, "hello");
    }

    #[tokio::test]
    async fn who_comes_after_the_end_hears_of_it_at_once() {
        let broadcast = Broadcast::new(SlowPolicy::Skip, 3, 1024);
        let mut seat = broadcast.join().unwrap();
        broadcast.clone().close();
        assert_eq!(broadcast.join().unwrap_err(), BroadcastClosed);
        broadcast.send("to nobody");
        assert_eq!((broadcast.seats(), seat.next().await), (0, None));
    }

    #[tokio::test]
    async fn a_seat_that_waits_is_woken() {
        let broadcast = Broadcast::new(SlowPolicy::Skip, 1, 1);
        let mut seat = broadcast.join().unwrap();
        let waiting = tokio::spawn(async move { seat.next().await });
        tokio::task::yield_now().await;
        broadcast.send("now");
        assert_eq!(waiting.await.unwrap().unwrap(), "now");
    }
}
