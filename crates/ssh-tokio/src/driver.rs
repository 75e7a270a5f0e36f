//! The event loop: one future that moves bytes between a stream and a [`Connection`] until the connection is over.
//!
//! ```text
//!        ┌───────────────────────────────── until quiet ────────────────────────────────┐
//!        ▼                                                                              │
//!  turn (locked): give the filled block back · poll every event · wake · swap the outbox │
//!        ▼                                                                              │
//!  write (unlocked): what was swapped out, as far as the stream takes it                 │
//!        ▼                                                                              │
//!  read (unlocked): into the spare room of the block ────────────────────────────────────┘
//!        ▼ nothing moved
//!  sleep: stream readable · stream writable · outbox filled · deadline · keepalive
//!
//!  Running ──fatal error, disconnect, last handle gone──▶ Farewell ──sent or given up──▶ Draining ──▶ Done
//!     └──────the peer's DISCONNECT───────────────────────────────────────────────────────────────────▲
//! ```
//!
//! Neither direction waits for the other: a stream that takes no bytes is still read, as long as the outbox stays
//! under [`READ_STOP_BYTES`].

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::wire::bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Handle as Runtime, RuntimeFlavor};
use tokio::time::{Sleep, sleep_until};

use crate::blocks::Blocks;
use crate::channel::Connection;
use crate::error::Error;
use crate::events::Wakes;
use crate::handle::Handle;
use crate::handshake::{FAREWELL, now};
use crate::keepalive::{Dead, Keepalive, Pulse};
use crate::kex::{Blame, DisconnectReason, Fatal};
use crate::shared::{Shared, State, sleep};
use crate::wire::Layer;

/// While more than this has been read and not been looked at, nothing more is read. The transport looks at nothing while
/// its outbox is full of answers ([`Limits::outbox_bytes`](crate::kex::Limits::outbox_bytes)): so a peer that asks and
/// never reads the answers is held up by its own full pipe. Bulk data alone never fills the outbox so far, which is why
/// two busy sides never both stop. More than the longest packet.
pub const READ_STOP_BYTES: usize = 512 * 1024;

/// How often one `poll` goes round before it lets other tasks run.
const ROUNDS_PER_POLL: usize = 64;

/// A piece of at least so many bytes that the stream gave or took means that bulk data is moving.
const BULK_BYTES: usize = 16 * 1024;

/// How often the stream is looked at after bulk data moved before the driver sleeps. The next piece is microseconds away,
/// and to be woken for it costs more than the looks do (docs/decisions/0007). Only where the runtime has one thread and a
/// look is one turn of its event loop, between which every other task runs; with several threads each look would
/// wake another one.
const LOOKS: u32 = 50;

/// How long a clean goodbye may take to leave.
const CLEAN_FAREWELL: Duration = Duration::from_secs(3);

/// After this long without anything moving the buffers are given back. Soon, so that of many connections made at once
/// the first ones rest before the last ones come, and these use what those gave back (docs/decisions/0012).
const REST_AFTER: Duration = Duration::from_millis(200);

/// What an idle connection may keep for writing, in bytes.
const QUIET_BYTES: usize = 4 * 1024;

/// What the driver decides by itself.
#[derive(Debug, Clone)]
pub struct Config {
    /// When to ask a silent peer for a sign of life; `None`: never.
    pub keepalive: Option<Keepalive>,
    /// How many channel opens and global requests of the peer may wait for [`Handle::incoming`]. Zero refuses all of
    /// them at once, which is what a client without listeners wants.
    pub incoming: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keepalive: Some(Keepalive::default()),
            incoming: 0,
        }
    }
}

/// Gives a connection its event loop: spawn the [`Driver`], use the [`Handle`].
pub fn start<S>(mut connection: Connection, stream: S, config: Config) -> (Handle, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // What came in one read with the end of the login is still in there.
    let block = std::mem::take(connection.read_buffer());
    let shared = Arc::new(Shared::new(connection, config.incoming));
    let now = now();
    let one_thread =
        Runtime::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread);
    let driver = Driver {
        shared: Arc::clone(&shared),
        stream,
        block,
        blocks: Blocks::default(),
        outgoing: Vec::new(),
        sent: 0,
        unflushed: false,
        spacious: false,
        read_stopped: false,
        drained: false,
        most_looks: if one_thread { LOOKS } else { 0 },
        looks: 0,
        broken: None,
        pulse: Pulse::new(config.keepalive, now),
        moved: now,
        timer: Box::pin(sleep_until(now.into())),
        timer_at: None,
        wakes: Wakes::default(),
        stage: Stage::Running,
    };
    (Handle::new(shared), driver)
}

/// The future that drives one connection; it ends when the connection is over and the stream is closed.
///
/// It never fails: why the connection ended is told by [`Handle::closed`]. Dropping it ends the connection at once.
#[must_use = "a connection moves only while its driver is polled: spawn it"]
pub struct Driver<S> {
    shared: Arc<Shared>,
    stream: S,
    /// The connection's read buffer, taken out of it to be filled without the lock.
    block: BytesMut,
    blocks: Blocks,
    /// Sealed bytes that were taken out of the outbox, and how many of them the stream has taken.
    outgoing: Vec<u8>,
    sent: usize,
    /// The stream may still hold back what it has taken.
    unflushed: bool,
    /// Nothing is to be written, and there is room for much.
    spacious: bool,
    read_stopped: bool,
    /// The last read brought less than it asked for: the next one will sleep, at no cost.
    drained: bool,
    /// [`LOOKS`], or 0 where looking does not pay.
    most_looks: u32,
    /// How many of them are left.
    looks: u32,
    /// The stream takes no more bytes; what it still has to say is read before anybody is told.
    broken: Option<io::Error>,
    pulse: Pulse,
    /// When bytes last came, or were taken out of the outbox.
    moved: Instant,
    timer: Pin<Box<Sleep>>,
    timer_at: Option<Instant>,
    wakes: Wakes,
    stage: Stage,
}

/// How far the end of the connection has come.
#[derive(Clone, Copy)]
enum Stage {
    Running,
    Farewell,
    Draining,
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Future for Driver<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let next = match this.stage {
                Stage::Running => this.poll_running(cx),
                Stage::Farewell => this.poll_farewell(cx),
                Stage::Draining => this.poll_draining(cx),
                Stage::Done => return Poll::Ready(()),
            };
            match next {
                Poll::Ready(stage) => this.stage = stage,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Driver<S> {
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<Stage> {
        for _ in 0..ROUNDS_PER_POLL {
            if self.turn(cx) {
                return Poll::Ready(self.begin_farewell());
            }
            let wrote = self.write(cx);
            // Readers that were woken go first if there is more to read: what they take is still in the cache, and its
            // block is free again when the next read wants one.
            if std::mem::take(&mut self.wakes.readers) && !self.drained {
                break;
            }
            let read = match self.read(cx) {
                Ok(read) => read,
                Err(why) => {
                    self.end(why);
                    return Poll::Ready(self.begin_farewell());
                }
            };
            if !wrote && !read && self.timer_is_ahead(cx) {
                if self.looks == 0 {
                    return Poll::Pending;
                }
                self.looks = self.looks.saturating_sub(1);
                break;
            }
        }
        self.come_back(cx);
        Poll::Pending
    }

    /// Has this task polled again when the others have run, and the sockets been looked at if that is worth it.
    fn come_back(&self, cx: &mut Context<'_>) {
        if self.most_looks == 0 || pin!(tokio::task::yield_now()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// The part under the lock. True when the connection is over.
    fn turn(&mut self, cx: &Context<'_>) -> bool {
        let now = now();
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.lock();
        let state = &mut *guard;
        sleep(&mut state.driver.waker, cx);
        state.driver.needed = false;
        *state.connection.read_buffer() = std::mem::take(&mut self.block);
        self.work(state, now);
        if self.swap_outbox(state, now) {
            // Room in the outbox is something that writers may wait for, and packets too.
            self.work(state, now);
        }
        self.block = std::mem::take(state.connection.read_buffer());
        self.blocks
            .open_pairs(state.connection.session().opens_in_pairs());
        self.read_stopped = self.block.len() > READ_STOP_BYTES;
        let write_bytes = self
            .outgoing
            .capacity()
            .max(state.connection.transmit().capacity());
        self.spacious = self.outgoing.is_empty() && write_bytes > QUIET_BYTES;
        let over = state.ended.is_some();
        state.driver.idle = self.outgoing.is_empty();
        state.driver.armed = state.connection.deadline();
        self.timer_at = [state.driver.armed, self.pulse.due(), self.rest_due()]
            .into_iter()
            .flatten()
            .min();
        drop(guard);
        self.wake();
        over
    }

    /// Events until there are none, and the beats of the clock.
    fn work(&mut self, state: &mut State, now: Instant) {
        if state.ended.is_some() {
            return;
        }
        if state.abandoned {
            state.leave(DisconnectReason::ByApplication, "", &mut self.wakes.tasks);
            return;
        }
        loop {
            match state.connection.poll(now) {
                Ok(Some(event)) => state.dispatch(event, &mut self.wakes),
                Ok(None) => break,
                Err(error) => {
                    state.end(Error::Below(error), &mut self.wakes.tasks);
                    return;
                }
            }
        }
        match self.pulse.beat(now) {
            Ok(false) => {}
            // Refused only when the peer owes many answers already: the next beat finds out whether it lives.
            Ok(true) => state.connection.keepalive().unwrap_or_default(),
            Err(Dead { probes, silent }) => {
                state.end(Error::KeepaliveTimeout { probes, silent }, &mut self.wakes.tasks);
            }
        }
        if self.rest_due().is_some_and(|due| due <= now) {
            self.rest(state);
        }
    }

    /// An idle connection holds next to nothing.
    fn rest(&mut self, state: &mut State) {
        self.spacious = false;
        state.rest();
        self.blocks.rest(state.connection.read_buffer());
        for buffer in [&mut self.outgoing, state.connection.transmit()] {
            if buffer.is_empty() {
                *buffer = Vec::new();
            }
        }
    }

    /// Takes the outbox if the last one is gone. True if that made room in it.
    fn swap_outbox(&mut self, state: &mut State, now: Instant) -> bool {
        let outbox = state.connection.transmit();
        if !self.outgoing.is_empty() || outbox.is_empty() {
            return false;
        }
        std::mem::swap(outbox, &mut self.outgoing);
        self.moved = now;
        state.connection.transmitted(self.outgoing.len());
        true
    }

    fn wake(&mut self) {
        for _ in 0..std::mem::take(&mut self.wakes.arrivals) {
            self.shared.incoming_ready.notify_one();
        }
        if std::mem::take(&mut self.wakes.patient) {
            self.shared.patient.notify_waiters();
        }
        for task in self.wakes.tasks.drain(..) {
            task.wake();
        }
    }

    /// Writes what was taken out of the outbox. True if the next turn has to come at once.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(bytes) = self.outgoing.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            match pin!(self.stream.write(bytes)).poll(cx) {
                Poll::Ready(Ok(0)) => return self.stream_broke(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sent = self.sent.saturating_add(count);
                    if count >= BULK_BYTES {
                        self.looks = self.most_looks;
                    }
                }
                Poll::Ready(Err(error)) => return self.stream_broke(error),
                Poll::Pending => return false,
            }
        }
        let written = !self.outgoing.is_empty();
        self.outgoing.clear();
        self.sent = 0;
        self.unflushed |= written;
        // Asked again until it is done: a stream that holds bytes back may begin to flush only when it is asked twice.
        if self.unflushed {
            match pin!(self.stream.flush()).poll(cx) {
                Poll::Ready(Err(error)) => return self.stream_broke(error),
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Pending => {}
            }
        }
        written
    }

    fn stream_broke(&mut self, error: io::Error) -> bool {
        self.outgoing.clear();
        self.sent = 0;
        self.unflushed = false;
        self.broken.get_or_insert(error);
        false
    }

    /// Reads once. True if bytes came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        if self.read_stopped && self.broken.is_none() {
            return Ok(false);
        }
        self.blocks.make_room(&mut self.block);
        let room = self.block.capacity().saturating_sub(self.block.len());
        match pin!(self.stream.read_buf(&mut self.block)).poll(cx) {
            Poll::Ready(Ok(0)) => Err(self.broken.take().map_or(Error::PeerClosed, Error::Io)),
            Poll::Ready(Ok(count)) => {
                self.blocks.filled(count, room);
                self.drained = count < room;
                if count >= BULK_BYTES {
                    self.looks = self.most_looks;
                }
                self.moved = now();
                self.pulse.heard(self.moved);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(Error::Io(self.broken.take().unwrap_or(error))),
            Poll::Pending => match self.broken.take() {
                Some(error) => Err(Error::Io(error)),
                None => Ok(false),
            },
        }
    }

    /// Sets the timer. False if its time has come already.
    fn timer_is_ahead(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.timer_at else {
            return true;
        };
        // Moving a timer costs; one that fires early only makes the loop look once more.
        if self.timer.is_elapsed() || self.timer.deadline() > at.into() {
            self.timer.as_mut().reset(at.into());
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if at <= now() {
                return false;
            }
            self.timer.as_mut().reset(at.into());
        }
        true
    }

    /// When the buffers are to be given back.
    fn rest_due(&self) -> Option<Instant> {
        (!self.blocks.is_at_rest() || self.spacious)
            .then(|| self.moved.checked_add(REST_AFTER))
            .flatten()
    }

    fn end(&mut self, why: Error) {
        self.shared.lock().end(why, &mut self.wakes.tasks);
        self.wake();
    }

    /// The connection is over: what is sealed is still sent, for a while, unless the peer said that it takes nothing more
    /// (RFC 4253 §11.1).
    fn begin_farewell(&mut self) -> Stage {
        let mut state = self.shared.lock();
        let rest = std::mem::take(state.connection.transmit());
        state.connection.transmitted(rest.len());
        let clean = matches!(state.ended.as_deref(), Some(Error::Closed));
        let gone =
            matches!(state.ended.as_deref(), Some(Error::Below(error)) if error.blame() == Blame::Gone);
        state.finished = gone;
        drop(state);
        self.shared.everybody();
        if gone {
            return Stage::Done;
        }
        self.outgoing.extend_from_slice(&rest);
        let patience = if clean { CLEAN_FAREWELL } else { FAREWELL };
        self.timer = Box::pin(tokio::time::sleep(patience));
        Stage::Farewell
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<Stage> {
        self.write(cx);
        let gone = self.broken.is_some()
            || (self.outgoing.is_empty() && pin!(self.stream.shutdown()).poll(cx).is_ready());
        if !gone && self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.finish();
        self.timer = Box::pin(tokio::time::sleep(FAREWELL));
        Poll::Ready(Stage::Draining)
    }

    /// Reads to the end for a moment: closing a socket with unread bytes in it would send a reset, and the peer might
    /// lose the DISCONNECT to it.
    fn poll_draining(&mut self, cx: &mut Context<'_>) -> Poll<Stage> {
        for _ in 0..ROUNDS_PER_POLL {
            self.block.clear();
            self.blocks.make_room(&mut self.block);
            match pin!(self.stream.read_buf(&mut self.block)).poll(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Stage::Done),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return self.timer.as_mut().poll(cx).map(|()| Stage::Done),
            }
        }
        Poll::Ready(Stage::Done)
    }

    fn finish(&mut self) {
        self.shared.lock().finished = true;
        self.shared.over.notify_waiters();
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.end(Error::DriverStopped, &mut self.wakes.tasks);
        state.finished = true;
        drop(state);
        for task in self.wakes.tasks.drain(..) {
            task.wake();
        }
        self.shared.everybody();
    }
}
