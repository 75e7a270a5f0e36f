//! What the driver and the handles share: the [`Connection`] behind the only lock of the workspace, and who is to be
//! woken when something happened to it.
//!
//! ```text
//!  handles                           Shared                              driver
//!  write ──seal under the lock──▶ outbox  ─empty→filled: wake──▶ swaps it out, writes it without the lock
//!  read  ◀─chunk under the lock── inboxes ◀──opened under the lock── the block it filled without the lock
//!  sleep ────── waker ─────────▶ Slot     ──event: wake──▶ the reader or writer that waits
//! ```
//!
//! The lock is a plain one, never held across an await; every way in is [`Shared::with`], which finds out whether
//! the driver has to be woken and does so after the lock is free. A wake-up cannot be lost: whoever finds nothing to
//! do leaves its waker under the same lock under which the next one changes the state.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::channel::{
    ChannelId, ChannelRequest, Connection, GlobalReplyDue, GlobalRequest, Misuse, OpenFailure, Opening,
    ReplyDue, Stream,
};
use crate::error::{ChannelError, Error};
use crate::wire::Layer;
use crate::wire::bytes::Bytes;

/// The connection and all who wait for it.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something is in the incoming queue.
    pub(crate) incoming_ready: Notify,
    /// `State::ended` or `State::finished` changed.
    pub(crate) over: Notify,
    /// Keys have been changed: those may try again who were told that the connection is busy with it.
    pub(crate) patient: Notify,
}

/// What lies behind the lock.
pub(crate) struct State {
    pub(crate) connection: Connection,
    /// Boxed: the smallest table has room for four, and most connections have one channel.
    pub(crate) slots: HashMap<ChannelId, Box<Slot>>,
    pub(crate) driver: DriverSeat,
    pub(crate) incoming: VecDeque<Arrival>,
    /// Most entries of `incoming`; what comes beyond is refused at once.
    pub(crate) incoming_limit: usize,
    pub(crate) global_replies: VecDeque<oneshot::Sender<Option<Vec<u8>>>>,
    /// Pings on their way: the bytes of each, and who waits for its answer.
    pub(crate) pings: VecDeque<(u64, oneshot::Sender<()>)>,
    /// The number of the next ping.
    pub(crate) next_ping: u64,
    /// Why the connection is over, once it is.
    pub(crate) ended: Option<Arc<Error>>,
    /// The last byte has been sent and the stream is closed.
    pub(crate) finished: bool,
    /// No handle is left: the driver says goodbye.
    pub(crate) abandoned: bool,
}

/// A question of the peer's that waits for the application.
pub(crate) enum Arrival {
    Open(Opening),
    Global {
        request: GlobalRequest,
        reply: Option<GlobalReplyDue>,
    },
}

/// Where the driver sleeps, and what it has to be woken for.
#[derive(Default)]
pub(crate) struct DriverSeat {
    pub(crate) waker: Option<Waker>,
    /// It has nothing to write: whoever fills the outbox wakes it.
    pub(crate) idle: bool,
    /// Something besides the outbox needs it.
    pub(crate) needed: bool,
    /// The deadline its timer is set to.
    pub(crate) armed: Option<Instant>,
}

/// Where a channel stands, as its handles see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Opening,
    Open,
    Refused(OpenFailure),
    Closed,
}

/// One channel: its state and the tasks that wait for it.
pub(crate) struct Slot {
    pub(crate) phase: Phase,
    /// No handle is left; the entry goes as soon as the peer has closed too.
    pub(crate) released: bool,
    /// This side has closed it: nothing is read or written any more.
    pub(crate) closed_here: bool,
    pub(crate) wakers: Wakers,
    pub(crate) requests: VecDeque<(ChannelRequest, Option<ReplyDue>)>,
    /// The sum of the fields of `requests`.
    pub(crate) request_bytes: usize,
    pub(crate) replies: VecDeque<oneshot::Sender<bool>>,
    pub(crate) data_readers: Readers,
    pub(crate) stderr_readers: Readers,
    /// Bytes that were read and sealed.
    pub(crate) moved: u64,
}

/// How many readers a stream has. When the last one is dropped, what arrives is thrown away: the window is shared with
/// the other stream, and nobody must have to read the one to get at the other.
#[derive(Default)]
pub(crate) struct Readers {
    count: usize,
    discard: bool,
}

/// One task for each thing there is to wait for on a channel: its halves are not shared, so one place is enough.
#[derive(Default)]
pub(crate) struct Wakers {
    pub(crate) read: Option<Waker>,
    pub(crate) read_stderr: Option<Waker>,
    pub(crate) write: Option<Waker>,
    pub(crate) write_stderr: Option<Waker>,
    pub(crate) request: Option<Waker>,
    pub(crate) phase: Option<Waker>,
}

impl Wakers {
    pub(crate) fn reader(&mut self, stream: Stream) -> &mut Option<Waker> {
        match stream {
            Stream::Data => &mut self.read,
            Stream::Stderr => &mut self.read_stderr,
        }
    }

    pub(crate) fn writer(&mut self, stream: Stream) -> &mut Option<Waker> {
        match stream {
            Stream::Data => &mut self.write,
            Stream::Stderr => &mut self.write_stderr,
        }
    }

    /// The tasks that wait to write.
    pub(crate) fn writers(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.write.take());
        wakes.extend(self.write_stderr.take());
    }

    /// The tasks that wait to read.
    pub(crate) fn readers(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.read.take());
        wakes.extend(self.read_stderr.take());
    }

    /// Every task.
    pub(crate) fn all(&mut self, wakes: &mut Vec<Waker>) {
        self.writers(wakes);
        self.readers(wakes);
        wakes.extend(self.request.take());
        wakes.extend(self.phase.take());
    }
}

/// Leaves the task's waker in `place`.
pub(crate) fn sleep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *place = Some(cx.waker().clone()),
    }
}

impl Slot {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            phase,
            released: false,
            closed_here: false,
            wakers: Wakers::default(),
            requests: VecDeque::new(),
            request_bytes: 0,
            replies: VecDeque::new(),
            data_readers: Readers::default(),
            stderr_readers: Readers::default(),
            moved: 0,
        }
    }

    pub(crate) fn count(&mut self, bytes: usize) {
        self.moved = self
            .moved
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn readers(&mut self, stream: Stream) -> &mut Readers {
        match stream {
            Stream::Data => &mut self.data_readers,
            Stream::Stderr => &mut self.stderr_readers,
        }
    }
}

impl Shared {
    pub(crate) fn new(connection: Connection, incoming_limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                connection,
                slots: HashMap::new(),
                driver: DriverSeat::default(),
                incoming: VecDeque::new(),
                incoming_limit,
                global_replies: VecDeque::new(),
                pings: VecDeque::new(),
                next_ping: 0,
                ended: None,
                finished: false,
                abandoned: false,
            }),
            incoming_ready: Notify::new(),
            over: Notify::new(),
            patient: Notify::new(),
        }
    }

    /// The connection is over: wakes those who do not wait for one channel.
    pub(crate) fn everybody(&self) {
        self.over.notify_waiters();
        self.incoming_ready.notify_waiters();
        self.patient.notify_waiters();
    }

    /// Lets a handle ask for something, again and again while the connection is busy changing its keys.
    pub(crate) async fn ask<T>(
        &self,
        mut act: impl FnMut(&mut State) -> Result<T, ChannelError>,
    ) -> Result<T, ChannelError> {
        loop {
            let again = self.patient.notified();
            match self.with(&mut act) {
                Err(ChannelError::Misuse(Misuse::Busy)) => again.await,
                result => return result,
            }
        }
    }

    /// The state, for the driver, which looks after itself. A task that panicked while it held the lock left the
    /// machine as it was between two calls; the others go on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a handle act on the state, and wakes the driver afterwards if it has to know.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        let driver = state.driver_due();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }
}

impl State {
    /// The driver's waker, if what happened under this lock concerns it.
    fn driver_due(&mut self) -> Option<Waker> {
        let sooner = match (self.connection.deadline(), self.driver.armed) {
            (Some(wanted), Some(armed)) => wanted < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let filled = self.driver.idle && !self.connection.transmit().is_empty();
        if !(filled || sooner || self.driver.needed) {
            return None;
        }
        self.driver.idle = false;
        self.driver.needed = false;
        self.driver.waker.clone()
    }

    /// `Ok` while the connection lives and the channel is open.
    pub(crate) fn usable(&mut self, id: ChannelId) -> Result<&mut Slot, ChannelError> {
        if let Some(why) = &self.ended {
            return Err(ChannelError::Ended(Arc::clone(why)));
        }
        match self.slots.get_mut(&id) {
            Some(slot) if slot.phase == Phase::Open => Ok(slot),
            _ => Err(ChannelError::ChannelClosed),
        }
    }

    /// Seals as much of `data` as the connection takes now.
    pub(crate) fn poll_write(
        &mut self,
        id: ChannelId,
        stream: Stream,
        data: &[u8],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.usable(id) {
            return Poll::Ready(Err(error.into()));
        }
        match self.connection.write(id, stream, data) {
            Ok(0) => {}
            Ok(count) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.count(count);
                }
                return Poll::Ready(Ok(count));
            }
            Err(misuse) => return Poll::Ready(Err(ChannelError::from(misuse).into())),
        }
        // The connection knows what is missing (credit of the peer, room in the outbox, the channel's turn) and says
        // `Writable` when it is there.
        if let Some(slot) = self.slots.get_mut(&id) {
            sleep(slot.wakers.writer(stream), cx);
        }
        Poll::Pending
    }

    /// The next piece of the channel's inbox, or the end of it.
    pub(crate) fn poll_read(
        &mut self,
        id: ChannelId,
        stream: Stream,
        max: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ChannelError>> {
        // What came before the end is still read after it.
        if let Some(chunk) = self.connection.read(id, stream, max) {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.count(chunk.len());
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        let ended = self.ended.clone();
        let Some(slot) = self.slots.get_mut(&id) else {
            return Poll::Ready(Err(ChannelError::ChannelClosed));
        };
        if slot.phase == Phase::Closed || slot.closed_here || self.connection.is_eof(id) {
            return Poll::Ready(Ok(None));
        }
        if let Some(why) = ended {
            return Poll::Ready(Err(ChannelError::Ended(why)));
        }
        sleep(slot.wakers.reader(stream), cx);
        Poll::Pending
    }

    /// Somebody is going to read the stream.
    pub(crate) fn reader_made(&mut self, id: ChannelId, stream: Stream) {
        if let Some(slot) = self.slots.get_mut(&id) {
            let readers = slot.readers(stream);
            readers.count = readers.count.saturating_add(1);
            readers.discard = false;
        }
    }

    /// A reader of the stream is gone, which had still to pay for `consumed` bytes.
    pub(crate) fn reader_dropped(&mut self, id: ChannelId, stream: Stream, consumed: usize) {
        self.connection.consumed(id, consumed);
        if let Some(slot) = self.slots.get_mut(&id) {
            let readers = slot.readers(stream);
            readers.count = readers.count.saturating_sub(1);
            readers.discard = readers.count == 0;
            self.readable(id, stream);
        }
    }

    /// Data arrived: the reader to be woken, if there is one. What nobody will read is thrown away.
    pub(crate) fn readable(&mut self, id: ChannelId, stream: Stream) -> Option<Waker> {
        let slot = self.slots.get_mut(&id)?;
        if slot.readers(stream).discard {
            while let Some(chunk) = self.connection.read(id, stream, usize::MAX) {
                self.connection.consumed(id, chunk.len());
            }
        }
        slot.wakers.reader(stream).take()
    }

    /// Nothing moved for a while: queues in which nothing waits hold no room for it.
    pub(crate) fn rest(&mut self) {
        self.connection.rest();
        self.incoming.shrink_to_fit();
        self.global_replies.shrink_to_fit();
        self.pings.shrink_to_fit();
        for slot in self.slots.values_mut() {
            slot.requests.shrink_to_fit();
            slot.replies.shrink_to_fit();
        }
    }

    /// The last handle of the channel is gone.
    pub(crate) fn release(&mut self, id: ChannelId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.released = true;
        for (_request, reply) in std::mem::take(&mut slot.requests) {
            if let Some(reply) = reply {
                self.connection.answer(reply, false);
            }
        }
        // An open channel is closed now, one that is being opened as soon as the peer has agreed. What lies unread is
        // thrown away. The slot stays until the peer has closed too.
        self.connection.forget(id);
        if matches!(slot.phase, Phase::Refused(_) | Phase::Closed) {
            self.slots.remove(&id);
        }
        self.driver.needed = true;
    }

    /// The connection is over: everybody hears why.
    pub(crate) fn end(&mut self, why: Error, wakes: &mut Vec<Waker>) {
        if self.ended.is_none() {
            self.ended = Some(Arc::new(why));
        }
        for slot in self.slots.values_mut() {
            slot.wakers.all(wakes);
            // Dropping the senders tells those who wait for a reply. What the peer said before the end, an exit
            // status above all, stays to be heard.
            slot.replies.clear();
        }
        self.global_replies.clear();
        self.pings.clear();
        self.incoming.clear();
    }
}
