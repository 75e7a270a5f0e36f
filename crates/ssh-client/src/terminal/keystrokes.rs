//! When typed keys leave (`ObscureKeystrokeTiming` of `ssh_config(5)`): the times between somebody's keys tell much about
//! what is typed, and a packet each would show them to everybody on the way.
//!
//! ```text
//!            a key: it leaves at once             every interval: what was typed since, or chaff
//!  resting ─────────────────────────▶ running ◀──────┐
//!     ▲  no key for one to three seconds │ └─────────┘
//!     └──────────────────────────────────┘ ◀── more than a few keys: they leave at once
//! ```
//!
//! Chaff is a ping as long as a key; its answer is as long as an echo. Nothing here waits while nobody types.

use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::keys::Keys;
use crate::tokio_driver::{Handle, system_rng};
use crate::wire::rand_core::CryptoRng;

/// The usual interval.
const INTERVAL: Duration = Duration::from_millis(20);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(1);
/// Chaff is sent for at least so long after the last key, and for at most so much longer.
const CHAFF_LEAST: Duration = Duration::from_millis(1024);
const CHAFF_MORE: Duration = Duration::from_millis(2048);
/// The part of an interval by which it, and those of one run together, are made longer or shorter at random.
const FUZZ: u32 = 10;
/// More bytes than a person types in an interval: something was pasted, and leaves at once.
const MOST_TYPED: usize = 256;

/// When the keys that are typed at a terminal leave for the remote program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeystrokeTiming {
    /// At once: whoever sees the packets sees when each key was pressed.
    AtOnce,
    /// One packet in each interval while somebody types and for one to three seconds afterwards, whether there is a key
    /// or not, where the server answers pings (`ping@openssh.com`). Text longer than 256 bytes is not held up, nor are
    /// other channels. Keys that send three bytes or more, as arrows do, and many typed in one interval may still be told by
    /// the length of their packet. An interval is at most a second; none is [`AtOnce`](Self::AtOnce).
    Every(Duration),
}

impl Default for KeystrokeTiming {
    /// Every 20 milliseconds.
    fn default() -> Self {
        Self::Every(INTERVAL)
    }
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Nothing before then.
    Wait(Instant),
    Keys,
    Chaff,
}

/// A run of packets at regular times.
#[derive(Debug)]
struct Run {
    /// When the next packet leaves.
    next: Instant,
    /// Without another key it ends then.
    until: Instant,
    /// By how much each of its intervals is longer.
    drift: Duration,
}

/// The clock of typed keys.
struct Pace {
    interval: Duration,
    rng: Box<dyn CryptoRng + Send>,
    run: Option<Run>,
}

impl Pace {
    fn new(interval: Duration, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self {
            interval,
            rng,
            run: None,
        }
    }

    /// What is due while `typed` bytes wait.
    fn due(&mut self, typed: usize, now: Instant) -> Due {
        if typed > MOST_TYPED {
            self.run = None;
        }
        let Some(run) = &self.run else {
            return if typed > 0 { Due::Keys } else { Due::Nothing };
        };
        if typed == 0 && now >= run.until {
            self.run = None;
            return Due::Nothing;
        }
        match (now >= run.next, typed > 0) {
            (false, _) => Due::Wait(run.next),
            (true, true) => Due::Keys,
            (true, false) => Due::Chaff,
        }
    }

    /// Up to [`MOST_TYPED`] bytes of keys, or chaff where `is_key` is false, have left.
    fn sent(&mut self, is_key: bool, now: Instant) {
        let most = self.interval / FUZZ;
        let drift = match &self.run {
            Some(run) => run.drift,
            None => {
                tracing::trace!("keys leave every {:?} or so", self.interval);
                self.up_to(most)
            }
        };
        let step = self.interval.saturating_sub(most) + drift + self.up_to(most);
        let until = match &self.run {
            Some(run) if !is_key => run.until,
            _ => now + CHAFF_LEAST + self.up_to(CHAFF_MORE),
        };
        self.run = Some(Run {
            next: now + step,
            until,
            drift,
        });
    }

    /// A random time.
    fn up_to(&mut self, most: Duration) -> Duration {
        let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let drawn = (u128::from(self.rng.next_u64()) * u128::from(nanoseconds)) >> 64;
        Duration::from_nanos(u64::try_from(drawn).unwrap_or(nanoseconds))
    }
}

/// Keys on their way to a remote program.
pub(super) struct Lane<'a, W: AsyncWrite + Unpin> {
    to: &'a mut W,
    /// Typed and not taken yet.
    waiting: Keys,
    pace: Option<(Pace, Handle)>,
}

impl<'a, W: AsyncWrite + Unpin> Lane<'a, W> {
    /// Without a `handle` there is nothing to send in place of keys, and they leave at once.
    pub(super) fn new(to: &'a mut W, timing: KeystrokeTiming, handle: Option<Handle>) -> io::Result<Self> {
        let pace = match (timing, handle) {
            (KeystrokeTiming::Every(interval), Some(handle))
                if interval > Duration::ZERO && handle.extensions().ping =>
            {
                Some((Pace::new(interval.min(LONGEST), system_rng()?), handle))
            }
            _ => None,
        };
        Ok(Self {
            to,
            waiting: Keys::default(),
            pace,
        })
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds what was typed.
    pub(super) fn push(&mut self, typed: &[u8]) {
        self.waiting.push(typed);
    }

    /// Waits for what is due next and does it; false when the program takes no more. May be dropped: no key is lost.
    pub(super) async fn step(&mut self) -> bool {
        let due = match &mut self.pace {
            Some((pace, _)) => pace.due(self.waiting.len(), Instant::now()),
            None if self.waiting.is_empty() => Due::Nothing,
            None => Due::Keys,
        };
        match due {
            Due::Nothing => std::future::pending().await,
            Due::Wait(until) => sleep_until(until).await,
            Due::Chaff => {
                if let Some((pace, handle)) = &mut self.pace {
                    if let Err(error) = handle.send_chaff() {
                        // Too many are on their way: this interval stays empty.
                        tracing::trace!(%error, "no chaff");
                    }
                    pace.sent(false, Instant::now());
                }
            }
            Due::Keys => {
                let Ok(count @ 1..) = self.to.write(self.waiting.as_slice()).await else {
                    return false;
                };
                self.waiting.taken(count);
                if let Some((pace, _)) = &mut self.pace
                    && count <= MOST_TYPED
                {
                    pace.sent(true, Instant::now());
                }
            }
        }
        true
    }

    /// Sends what waits, at once; false if the program takes no more.
    pub(super) async fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            let Ok(count @ 1..) = self.to.write(self.waiting.as_slice()).await else {
                return false;
            };
            self.waiting.taken(count);
        }
        true
    }

    /// Forgets what waits.
    pub(super) fn forget(&mut self) {
        self.waiting.forget();
    }

    /// Sends what waits, and that nothing more will come.
    pub(super) async fn end(&mut self) {
        // A program that has ended does not need to hear that its input has, too.
        if self.flush().await {
            let _gone = self.to.shutdown().await;
        }
    }
}

impl<W: AsyncWrite + Unpin> Drop for Lane<'_, W> {
    /// Keys that only waited for their turn are not lost with whoever drops an interaction, as far as the program has room.
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            let _taken = Pin::new(&mut *self.to).poll_write(&mut cx, self.waiting.as_slice());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(INTERVAL, system_rng().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_due_while_nobody_types() {
        let mut pace = pace();
        let now = Instant::now();
        assert_eq!(pace.due(0, now), Due::Nothing);
        assert_eq!(pace.due(1, now), Due::Keys);
        pace.sent(true, now);
        assert!(matches!(pace.due(0, now), Due::Wait(_)));
        assert_eq!(pace.due(0, now + CHAFF_LEAST + CHAFF_MORE), Due::Nothing);
        assert_eq!(pace.due(0, now), Due::Nothing, "it has not ended");
    }

    #[tokio::test(start_paused = true)]
    async fn each_interval_has_its_packet_and_each_has_another_length() {
        let mut pace = pace();
        let begin = Instant::now();
        pace.sent(true, begin);
        let (mut now, mut steps) = (begin, Vec::new());
        loop {
            match pace.due(0, now) {
                Due::Wait(until) => {
                    steps.push(until - now);
                    now = until;
                }
                Due::Chaff => pace.sent(false, now),
                Due::Nothing => break,
                Due::Keys => panic!("there are none"),
            }
        }
        let whole = now - begin;
        assert!(
            whole >= CHAFF_LEAST && whole <= CHAFF_LEAST + CHAFF_MORE + 2 * INTERVAL,
            "{whole:?}"
        );
        let (least, most) = (INTERVAL - INTERVAL / FUZZ, INTERVAL + INTERVAL / FUZZ);
        assert!(
            steps.iter().all(|step| (least..=most).contains(step)),
            "{steps:?}"
        );
        assert!(steps.iter().any(|step| *step != steps[0]), "{steps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_for_its_turn_and_a_paste_does_not() {
        let mut pace = pace();
        let now = Instant::now();
        pace.sent(true, now);
        let Due::Wait(next) = pace.due(1, now) else {
            panic!("it does not wait")
        };
        assert_eq!(pace.due(MOST_TYPED, now), Due::Wait(next));
        assert_eq!(pace.due(1, next), Due::Keys);
        assert_eq!(pace.due(MOST_TYPED + 1, now), Due::Keys);
    }
}
