//! What the machine reports, brought to whoever waits for it. Runs under the lock, wakes nobody itself: the driver
//! does that when the lock is free.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::oneshot;

use crate::channel::{ChannelId, ChannelRequest, Event, OpenFailure, OpenFailureReason};
use crate::error::PingError;
use crate::shared::{Arrival, Phase, Slot, State};

/// Most requests of the peer that may wait on one channel for the application; what comes beyond is refused.
pub const MAX_WAITING_REQUESTS: usize = 128;

/// Most bytes in the fields of those requests; a single one of any size the connection takes may wait.
pub const MAX_WAITING_REQUEST_BYTES: usize = 64 * 1024;

/// Who is to be woken when the lock is free.
#[derive(Default)]
pub(crate) struct Wakes {
    pub(crate) tasks: Vec<Waker>,
    /// How many entries the incoming queue gained.
    pub(crate) arrivals: usize,
    /// Tasks that read are among them.
    pub(crate) readers: bool,
    /// Those are to try again who were told to wait until keys are changed.
    pub(crate) patient: bool,
}

impl Slot {
    /// Whether the request that waits last is of no interest beside this one: of two sizes of a window in a row only the
    /// newer one counts, so however fast somebody drags its corner, other requests find room. They are of one length.
    fn is_overtaken_by(&self, request: &ChannelRequest) -> bool {
        matches!(request, ChannelRequest::WindowChange(_))
            && matches!(
                self.requests.back(),
                Some((ChannelRequest::WindowChange(_), None))
            )
    }

    /// Whether another request with `bytes` of fields may wait.
    fn has_room_for(&self, bytes: usize) -> bool {
        let waiting = self.request_bytes.saturating_add(bytes);
        !self.released
            && self.requests.len() < MAX_WAITING_REQUESTS
            && (self.requests.is_empty() || waiting <= MAX_WAITING_REQUEST_BYTES)
    }
}

/// What a ping says: its number, in as many bytes as make it as long as a CHANNEL_DATA with one byte.
fn ping_data(number: u64) -> [u8; 5] {
    let [_, _, _, data @ ..] = number.to_be_bytes();
    data
}

impl State {
    /// Sends a ping whose answer `waiting` is told of.
    pub(crate) fn ping(&mut self, waiting: oneshot::Sender<()>) -> Result<(), PingError> {
        if let Some(why) = &self.ended {
            return Err(PingError::Ended(Arc::clone(why)));
        }
        let number = self.next_ping;
        self.connection.ping(&ping_data(number))?;
        self.next_ping = number.wrapping_add(1);
        self.pings.push_back((number, waiting));
        Ok(())
    }

    /// Brings one event to its place.
    pub(crate) fn dispatch(&mut self, event: Event, wakes: &mut Wakes) {
        match event {
            Event::Readable(id, stream) => {
                if let Some(reader) = self.readable(id, stream) {
                    wakes.tasks.push(reader);
                    wakes.readers = true;
                }
            }
            Event::Writable(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.wakers.writers(&mut wakes.tasks);
                }
            }
            Event::Eof(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.wakers.readers(&mut wakes.tasks);
                }
            }
            Event::Request { id, request, reply } => self.channel_request(id, request, reply, wakes),
            Event::Reply { id, success } => {
                let waiting = self.slots.get_mut(&id).and_then(|slot| slot.replies.pop_front());
                // Nobody waits: the future that asked was dropped.
                if let Some(waiting) = waiting {
                    let _unheard = waiting.send(success);
                }
            }
            Event::Opened(id) => self.opened(id, wakes),
            Event::OpenFailed {
                id,
                reason,
                description,
            } => self.gone(id, Phase::Refused(OpenFailure::new(reason, description)), wakes),
            Event::Closed(id) => self.gone(id, Phase::Closed, wakes),
            Event::Open(opening) => self.arrive(Arrival::Open(opening), wakes),
            Event::GlobalRequest { request, reply } => self.arrive(Arrival::Global { request, reply }, wakes),
            Event::GlobalReply(reply) => {
                if let Some(waiting) = self.global_replies.pop_front() {
                    let _unheard = waiting.send(reply);
                }
            }
            // The host showed another key than the accepted one in the middle of a connection: nobody is asked again.
            Event::HostKey(offer) => {
                let why = offer.change("connection");
                let verdict = offer.reject(why);
                self.connection.answer_host_key(verdict);
            }
            Event::Rekeyed => wakes.patient = true,
            Event::Pong(data) => {
                // Answers come in the order of the pings; one with other bytes answers none.
                if let Some((number, waiting)) = self.pings.pop_front()
                    && data == ping_data(number)
                {
                    let _unheard = waiting.send(());
                }
            }
            // The peer's words are printable and short by now.
            Event::Debug(message) if message.always_display => {
                tracing::warn!("the peer says: {}", message.text);
            }
            Event::Debug(message) => tracing::debug!("the peer says: {}", message.text),
            Event::Unimplemented { sequence } => {
                tracing::debug!(sequence, "the peer did not understand a packet");
            }
            Event::KeepaliveReply | Event::Extensions => {}
            other => tracing::debug!(?other, "an event nobody waits for"),
        }
    }

    /// Refuses a question of the peer's that nobody will answer.
    pub(crate) fn refuse(&mut self, arrival: Arrival, reason: OpenFailureReason, why: &str) {
        match arrival {
            Arrival::Open(opening) => {
                self.connection.refuse(opening, OpenFailure::new(reason, why));
            }
            Arrival::Global {
                reply: Some(reply), ..
            } => self.connection.answer_global(reply, None),
            Arrival::Global { reply: None, .. } => {}
        }
    }

    fn arrive(&mut self, arrival: Arrival, wakes: &mut Wakes) {
        if self.incoming_limit == 0 {
            self.refuse(
                arrival,
                OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
                "not wanted here",
            );
        } else if self.incoming.len() >= self.incoming_limit {
            self.refuse(
                arrival,
                OpenFailureReason::RESOURCE_SHORTAGE,
                "too many requests are waiting",
            );
        } else {
            self.incoming.push_back(arrival);
            wakes.arrivals = wakes.arrivals.saturating_add(1);
        }
    }

    fn channel_request(
        &mut self,
        id: ChannelId,
        request: ChannelRequest,
        reply: Option<crate::channel::ReplyDue>,
        wakes: &mut Wakes,
    ) {
        let bytes = request.fields().len();
        match self.slots.get_mut(&id) {
            Some(slot) if slot.is_overtaken_by(&request) => {
                if let Some(last) = slot.requests.back_mut() {
                    *last = (request, reply);
                }
            }
            Some(slot) if slot.has_room_for(bytes) => {
                slot.request_bytes = slot.request_bytes.saturating_add(bytes);
                slot.requests.push_back((request, reply));
                wakes.tasks.extend(slot.wakers.request.take());
            }
            _ => {
                tracing::debug!(?id, "a channel request came that nobody will look at");
                if let Some(reply) = reply {
                    self.connection.answer(reply, false);
                }
            }
        }
    }

    fn opened(&mut self, id: ChannelId, wakes: &mut Wakes) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.phase = Phase::Open;
            wakes.tasks.extend(slot.wakers.phase.take());
        }
    }

    /// The last that is heard of a channel: it was refused, or both sides have closed it.
    fn gone(&mut self, id: ChannelId, phase: Phase, wakes: &mut Wakes) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.phase = phase;
        slot.replies.clear();
        slot.wakers.all(&mut wakes.tasks);
        if slot.released {
            self.slots.remove(&id);
        }
    }
}
