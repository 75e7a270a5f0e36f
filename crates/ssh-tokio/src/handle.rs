//! The application's grip on a connection: opening channels, hearing of the peer's, asking and being asked globally,
//! saying goodbye.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::channel::{ChannelType, GlobalReplyDue, GlobalRequest, OpenFailure, OpenFailureReason, Opening};
use crate::channel_handle::Channel;
use crate::error::{ChannelError, Error, OpenError, PingError};
use crate::handshake::now;
use crate::kex::{DisconnectReason, Extensions, Negotiated, Quirks};
use crate::shared::{Arrival, Phase, Shared, Slot, State};

/// A connection, for those who use it. Clones share it.
///
/// The connection ends with a DISCONNECT when the last handle and the last channel are dropped.
#[derive(Clone)]
pub struct Handle {
    alive: Arc<Alive>,
}

/// Held by every handle and every channel: when it goes, nobody uses the connection any more.
pub(crate) struct Alive {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.shared.with(|state| {
            state.abandoned = true;
            state.driver.needed = true;
        });
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            alive: Arc::new(Alive { shared }),
        }
    }

    /// A handle to the connection that somebody keeps alive.
    pub(crate) fn of(alive: &Arc<Alive>) -> Self {
        Self {
            alive: Arc::clone(alive),
        }
    }

    fn shared(&self) -> &Shared {
        &self.alive.shared
    }

    /// Opens a channel and waits for the peer's answer. Dropping the future closes the channel again.
    pub async fn open(&self, kind: ChannelType) -> Result<Channel, OpenError> {
        let open = |state: &mut State| {
            state.alive()?;
            let id = state.connection.open(kind.clone())?;
            state.slots.insert(id, Box::new(Slot::new(Phase::Opening)));
            Ok(id)
        };
        let id = self.shared().ask(open).await?;
        Channel::new(id, Arc::clone(&self.alive)).opened().await
    }

    /// The next channel the peer wants to open, or its next global request; `None` when the connection is over.
    ///
    /// Only as many as [`Config::incoming`](crate::Config::incoming) wait here; one that is dropped is refused.
    pub async fn incoming(&self) -> Option<Incoming> {
        loop {
            let ready = self.shared().incoming_ready.notified();
            let mut ready = std::pin::pin!(ready);
            ready.as_mut().enable();
            let arrival = self.shared().with(|state| match state.incoming.pop_front() {
                Some(arrival) => Ok(Some(arrival)),
                None if state.ended.is_some() => Ok(None),
                None => Err(()),
            });
            match arrival {
                Ok(arrival) => return arrival.map(|arrival| Incoming::new(arrival, &self.alive)),
                Err(()) => ready.await,
            }
        }
    }

    /// Lets the peer open channels of a type from now on, beside those of
    /// [`Config::accept_opens`](crate::channel::Config::accept_opens); the name is one of [`ChannelType::NAMES`].
    pub fn allow_opens(&self, channel_type: &'static str) {
        self.shared()
            .with(|state| state.connection.allow_opens(channel_type));
    }

    /// No longer lets the peer open channels of a type. Those that are open stay.
    pub fn forbid_opens(&self, channel_type: &str) {
        self.shared()
            .with(|state| state.connection.forbid_opens(channel_type));
    }

    /// Changes how many channels and global requests of the peer may wait for [`incoming`](Self::incoming): from now on
    /// it is `limit` in place of [`Config::incoming`](crate::Config::incoming). Those beyond it that wait already, the
    /// newest first, are refused.
    pub fn limit_incoming(&self, limit: usize) {
        self.shared().with(|state| {
            state.incoming_limit = limit;
            while state.incoming.len() > limit {
                if let Some(arrival) = state.incoming.pop_back() {
                    let reason = OpenFailureReason::ADMINISTRATIVELY_PROHIBITED;
                    state.refuse(arrival, reason, "not wanted here");
                }
            }
        });
    }

    /// Asks the peer for something about the whole connection: its answer's bytes, or `None` if it refused.
    pub async fn global_request(&self, request: &GlobalRequest) -> Result<Option<Vec<u8>>, ChannelError> {
        let ask = |state: &mut State| {
            state.alive()?;
            state.connection.global_request(request, true)?;
            let (sender, receiver) = oneshot::channel();
            state.global_replies.push_back(sender);
            Ok(receiver)
        };
        let receiver = self.shared().ask(ask).await?;
        match receiver.await {
            Ok(reply) => Ok(reply),
            Err(_gone) => Err(self.shared().with(|state| state.why_gone())),
        }
    }

    /// Tells the peer something about the whole connection that it shall not answer.
    pub fn send_global_request(&self, request: &GlobalRequest) -> Result<(), ChannelError> {
        self.shared().with(|state| {
            state.alive()?;
            state.connection.global_request(request, false)?;
            Ok(())
        })
    }

    /// Asks the peer for a sign of life and says how long it took (`ping@openssh.com`, OpenSSH `PROTOCOL` §1.8): what
    /// lies before it in the queues of both sides counts too. It may wait as long as the connection lives; give it a
    /// timeout of your own. At most [`MAX_PINGS`](crate::kex::MAX_PINGS) wait at once.
    ///
    /// # Errors
    /// The peer did not announce that it answers pings, too many wait, or the connection is over.
    pub async fn ping(&self) -> Result<Duration, PingError> {
        let (sender, receiver) = oneshot::channel();
        let begin = now();
        self.shared().with(|state| state.ping(sender))?;
        match receiver.await {
            Ok(()) => Ok(now().saturating_duration_since(begin)),
            Err(_gone) => Err(self.why_closed().map_or(PingError::Mangled, PingError::Ended)),
        }
    }

    /// Sends a ping whose answer nobody waits for. To whoever sees the ciphered packets it and its answer look like a
    /// typed key and its echo.
    ///
    /// # Errors
    /// As of [`ping`](Self::ping).
    pub fn send_chaff(&self) -> Result<(), PingError> {
        let (sender, _unheard) = oneshot::channel();
        self.shared().with(|state| state.ping(sender))
    }

    /// Sends a message that every peer passes over (IGNORE, RFC 4253 §11.2): something moves on the wire, and nothing
    /// else happens.
    pub fn send_ignore(&self, data: &[u8]) -> Result<(), ChannelError> {
        self.shared().with(|state| {
            state.alive()?;
            Ok(state.connection.send_ignore(data)?)
        })
    }

    /// Says something to the people on the other side (DEBUG, RFC 4253 §11.3); `always_display` asks for it to be shown
    /// without their asking.
    pub fn send_debug(&self, always_display: bool, text: &str) -> Result<(), ChannelError> {
        self.shared().with(|state| {
            state.alive()?;
            Ok(state.connection.send_debug(always_display, text)?)
        })
    }

    /// Begins a new key exchange; data goes on as soon as it is done.
    pub fn rekey(&self) -> Result<(), ChannelError> {
        self.shared().with(|state| {
            state.alive()?;
            state.connection.start_rekey(now());
            state.driver.needed = true;
            Ok(())
        })
    }

    /// Says goodbye and waits until it has left. Channels that are still open end with it.
    pub async fn disconnect(&self) {
        self.disconnect_with(DisconnectReason::ByApplication, "").await;
    }

    /// Says goodbye for a reason of RFC 4253 §11.1, and waits until it has left.
    pub async fn disconnect_with(&self, reason: DisconnectReason, text: &str) {
        let mut wakes: Vec<Waker> = Vec::new();
        self.shared().with(|state| state.leave(reason, text, &mut wakes));
        for task in wakes {
            task.wake();
        }
        self.finished().await;
    }

    /// Waits until the connection is over, and says why.
    pub async fn closed(&self) -> Arc<Error> {
        loop {
            let over = self.shared().over.notified();
            if let Some(why) = self.why_closed() {
                return why;
            }
            over.await;
        }
    }

    /// Why the connection is over, if it is.
    pub fn why_closed(&self) -> Option<Arc<Error>> {
        self.shared().with(|state| state.ended.clone())
    }

    /// Waits until the stream is closed.
    async fn finished(&self) {
        loop {
            let over = self.shared().over.notified();
            if self.shared().with(|state| state.finished) {
                return;
            }
            over.await;
        }
    }

    /// The session identifier (RFC 4253 §7.2).
    pub fn session_id(&self) -> Vec<u8> {
        self.shared()
            .with(|state| state.connection.session().session_id().to_vec())
    }

    /// The algorithms in use.
    pub fn negotiated(&self) -> Negotiated {
        self.shared()
            .with(|state| *state.connection.session().negotiated())
    }

    /// What the peer told about itself in EXT_INFO (RFC 8308).
    pub fn extensions(&self) -> Extensions {
        self.shared()
            .with(|state| state.connection.session().extensions().clone())
    }

    /// Our identification line, without its line end.
    pub fn own_identification(&self) -> String {
        self.shared().with(|state| {
            let session = state.connection.session();
            session.own_identification().as_str().to_owned()
        })
    }

    /// What is known to be wrong with the peer's software.
    pub fn quirks(&self) -> Quirks {
        self.shared().with(|state| state.connection.session().quirks())
    }

    /// How many messages without meaning the peer has sent (IGNORE, RFC 4253 §11.2).
    pub fn ignored(&self) -> u64 {
        self.shared().with(|state| state.connection.session().ignored())
    }

    /// How many key exchanges were completed so far: one at the beginning, and one for each change of keys since.
    pub fn key_exchanges(&self) -> u64 {
        self.shared()
            .with(|state| state.connection.session().key_exchanges())
    }

    /// The peer's identification line, without its line end.
    pub fn peer_identification(&self) -> String {
        self.shared().with(|state| {
            state
                .connection
                .session()
                .peer_identification()
                .as_str()
                .to_owned()
        })
    }

    /// The user who logged in.
    pub fn user(&self) -> String {
        self.shared()
            .with(|state| state.connection.session().user().to_owned())
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// What the peer asks for on its own account.
#[derive(Debug)]
pub enum Incoming {
    /// It wants to open a channel.
    Open(IncomingOpen),
    /// It wants something of the whole connection.
    Global(IncomingGlobal),
}

impl Incoming {
    fn new(arrival: Arrival, alive: &Arc<Alive>) -> Self {
        let alive = Arc::clone(alive);
        match arrival {
            Arrival::Open(opening) => Self::Open(IncomingOpen {
                kind: opening.channel_type().clone(),
                opening: Some(opening),
                alive,
            }),
            Arrival::Global { request, reply } => Self::Global(IncomingGlobal {
                request,
                reply,
                alive,
            }),
        }
    }
}

/// A channel the peer wants to open. Dropped without an answer, it is refused.
pub struct IncomingOpen {
    kind: ChannelType,
    opening: Option<Opening>,
    alive: Arc<Alive>,
}

impl IncomingOpen {
    /// What kind of channel it is to be.
    pub const fn channel_type(&self) -> &ChannelType {
        &self.kind
    }

    /// Agrees.
    pub fn accept(mut self) -> Result<Channel, ChannelError> {
        let Some(opening) = self.opening.take() else {
            return Err(ChannelError::ChannelClosed);
        };
        let id = self.alive.shared.with(|state| {
            state.alive()?;
            let id = state.connection.accept(opening);
            state.slots.insert(id, Box::new(Slot::new(Phase::Open)));
            Ok::<_, ChannelError>(id)
        })?;
        Ok(Channel::new(id, Arc::clone(&self.alive)))
    }

    /// Refuses, and tells the peer why.
    pub fn refuse(mut self, reason: OpenFailureReason, description: &str) {
        self.refuse_with(reason, description);
    }

    fn refuse_with(&mut self, reason: OpenFailureReason, description: &str) {
        if let Some(opening) = self.opening.take() {
            let failure = OpenFailure::new(reason, description);
            self.alive
                .shared
                .with(|state| state.connection.refuse(opening, failure));
        }
    }
}

impl Drop for IncomingOpen {
    fn drop(&mut self) {
        self.refuse_with(OpenFailureReason::ADMINISTRATIVELY_PROHIBITED, "refused");
    }
}

impl std::fmt::Debug for IncomingOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IncomingOpen").field(&self.kind).finish()
    }
}

/// A global request of the peer's (RFC 4254 §4). Dropped without an answer, it is refused.
pub struct IncomingGlobal {
    request: GlobalRequest,
    reply: Option<GlobalReplyDue>,
    alive: Arc<Alive>,
}

impl IncomingGlobal {
    /// What is asked.
    pub const fn request(&self) -> &GlobalRequest {
        &self.request
    }

    /// Whether the peer waits for an answer.
    pub const fn wants_reply(&self) -> bool {
        self.reply.is_some()
    }

    /// Agrees, with the bytes the request's specification puts behind the answer.
    pub fn accept(mut self, payload: &[u8]) {
        self.answer(Some(payload.to_vec()));
    }

    /// Refuses.
    pub fn refuse(self) {}

    fn answer(&mut self, payload: Option<Vec<u8>>) {
        if let Some(reply) = self.reply.take() {
            self.alive
                .shared
                .with(|state| state.connection.answer_global(reply, payload));
        }
    }
}

impl Drop for IncomingGlobal {
    fn drop(&mut self) {
        self.answer(None);
    }
}

impl std::fmt::Debug for IncomingGlobal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IncomingGlobal").field(&self.request).finish()
    }
}

impl State {
    /// `Ok` while the connection lives.
    pub(crate) fn alive(&self) -> Result<(), ChannelError> {
        match &self.ended {
            Some(why) => Err(ChannelError::Ended(Arc::clone(why))),
            None => Ok(()),
        }
    }

    /// Seals a DISCONNECT and tells everybody that this side ended the connection.
    pub(crate) fn leave(&mut self, reason: DisconnectReason, text: &str, wakes: &mut Vec<Waker>) {
        if self.ended.is_none() {
            self.connection.disconnect(reason, text);
            self.end(Error::Closed, wakes);
        }
        self.driver.needed = true;
    }
}
