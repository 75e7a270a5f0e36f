//! The server's seat: requests come out as typed questions, answers go in, in any order.
//!
//! ```text
//!   ExpectInit ──INIT──▶ ExpectRequest ◀──┐
//!       │                      │          │ answered at once: unknown, unclaimed, undecodable,
//!       │                      ├──────────┘ a path with a NUL, a handle of 300 bytes, …
//!       │                      ├──▶ Event::Request(question) … Server::answer(response)
//!       │ anything else        │ INIT again, a bad length, a message too short for an id
//!       └──────────▶ Broken ◀──┘
//! ```
//!
//! Memory is bounded by [`Limits`]: a request is only taken from the input while fewer than 64 are in work and what
//! they and the unsent replies hold is under a budget; [`Server::wants_input`] says when to stop reading. So a client
//! that asks and never listens costs a fixed amount, and one that listens is never kept waiting by another request.

mod handles;
mod incoming;
mod question;

pub use handles::{DEFAULT_MAX_HANDLES, Handles};
pub use incoming::Incoming;
pub use question::{Question, ReplyDue, Response};

pub(crate) use question::Abandoned;

use std::sync::mpsc::{Receiver, Sender, channel};

use crate::extension::{Extension, Limits as LimitsRequest, LimitsReply};
use crate::framing::Framing;
use crate::messages::{
    Body, EXTENDED, Extensions, INIT, Init, Layout, Reply, Request, VERSION as VERSION_NUMBER, Version,
    message_name,
};
use crate::wire::bytes::Bytes;
use crate::wire::{DecodeError, u32_saturating};
use crate::{Error, MAX_DATA_BYTES, MAX_MESSAGE_BYTES, Misbehaviour, Outbox, Status, StatusCode, VERSION};

/// What one client may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests handed to the application and not answered yet.
    pub requests_in_work: usize,
    /// Bytes that those requests, their answers, and the replies that are not sent yet may hold together. One
    /// request more may begin while there is any room.
    pub budget_bytes: usize,
    /// The most bytes one READ gives; also what is announced for WRITE. At most [`MAX_DATA_BYTES`].
    pub data_bytes: u32,
    /// Handles open at once, as announced: the application's [`Handles`] enforce it.
    pub handles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_in_work: 64,
            budget_bytes: 4 * 1024 * 1024,
            data_bytes: MAX_DATA_BYTES,
            handles: DEFAULT_MAX_HANDLES,
        }
    }
}

/// How a server behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// What one client may use.
    pub limits: Limits,
    /// The extensions the application answers; all others are refused by the machine.
    pub extensions: Vec<Extension>,
    /// Whether this client has the two paths of `SSH_FXP_SYMLINK` in the order of the draft
    /// ([`Quirk::DraftSymlink`](crate::kex::Quirk)).
    pub draft_symlink: bool,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The client introduced itself and was answered.
    Started {
        /// The version that is spoken.
        version: u32,
        /// What the client announced.
        extensions: Extensions,
    },
    /// A request waits for its answer.
    Request(Incoming),
}

/// One conversation with a client. Bytes go in by [`receive`](Self::receive), events come out by
/// [`poll`](Self::poll), bytes to send lie in [`output`](Self::output).
#[derive(Debug)]
pub struct Server {
    config: Config,
    framing: Framing,
    output: Outbox,
    state: State,
    in_work: usize,
    /// What the requests in work weigh.
    in_work_bytes: usize,
    /// Requests that were dropped without an answer, from wherever that happened.
    abandoned: (Sender<Abandoned>, Receiver<Abandoned>),
}

#[derive(Debug)]
enum State {
    ExpectInit,
    ExpectRequest,
    Broken(Error),
}

impl Server {
    /// A server that waits for its client's INIT.
    pub fn new(mut config: Config) -> Self {
        config.limits.data_bytes = config.limits.data_bytes.clamp(1, MAX_DATA_BYTES);
        config.limits.requests_in_work = config.limits.requests_in_work.max(1);
        config.limits.budget_bytes = config.limits.budget_bytes.max(1);
        Self {
            config,
            framing: Framing::default(),
            output: Outbox::default(),
            state: State::ExpectInit,
            in_work: 0,
            in_work_bytes: 0,
            abandoned: channel(),
        }
    }

    /// Takes received bytes; [`poll`](Self::poll) afterwards.
    pub fn receive(&mut self, bytes: Bytes) {
        if !matches!(self.state, State::Broken(_)) {
            self.framing.receive(bytes);
        }
    }

    /// Whether more bytes should be read from the channel. `false` while requests wait for room: leave the bytes
    /// where the channel's window bounds them.
    pub fn wants_input(&self) -> bool {
        self.framing.len() < MAX_MESSAGE_BYTES.saturating_add(4)
    }

    /// The bytes to send.
    pub fn output(&mut self) -> &mut Outbox {
        &mut self.output
    }

    /// What the application configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Requests that are not answered yet.
    pub fn in_work(&self) -> usize {
        self.in_work
    }

    /// Sends an answer. [`poll`](Self::poll) afterwards: there may be room for the next request.
    pub fn answer(&mut self, response: Response) {
        self.output.written(&response.head, response.payload.as_ref());
        self.free_place(response.place.leave());
    }

    fn free_place(&mut self, weight: usize) {
        self.in_work = self.in_work.saturating_sub(1);
        self.in_work_bytes = self.in_work_bytes.saturating_sub(weight);
    }

    fn refuse_abandoned(&mut self) {
        while let Ok(abandoned) = self.abandoned.1.try_recv() {
            self.free_place(abandoned.weight);
            self.refuse(abandoned.id, Status::failure("the server gave up on the request"));
        }
    }

    /// The next event; `None` when bytes, answers, or the sending of replies must come first. An error is final:
    /// send what [`output`](Self::output) holds and close the channel.
    pub fn poll(&mut self) -> Result<Option<Event>, Error> {
        if let State::Broken(error) = &self.state {
            return Err(error.clone());
        }
        self.refuse_abandoned();
        let result = self.next_event();
        if let Err(error) = &result {
            self.state = State::Broken(error.clone());
            self.framing = Framing::default();
        }
        result
    }

    fn next_event(&mut self) -> Result<Option<Event>, Error> {
        while self.has_room() {
            let Some(message) = self.framing.take()? else {
                return Ok(None);
            };
            let event = match self.state {
                State::ExpectInit => Some(self.init(&message)?),
                _ => self.request(&message)?.map(Event::Request),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn has_room(&self) -> bool {
        let held = self.in_work_bytes.saturating_add(self.output.len());
        self.in_work < self.config.limits.requests_in_work && held < self.config.limits.budget_bytes
    }

    fn init(&mut self, message: &Bytes) -> Result<Event, Error> {
        let mut body = Body::new(message);
        let undecodable = |error| undecodable(INIT, error);
        let number = body.byte().map_err(undecodable)?;
        if number != INIT {
            return Err(Misbehaviour::UnexpectedMessage { number }.into());
        }
        let init = Init::take(&mut body).map_err(undecodable)?;
        if init.version < VERSION {
            return Err(Error::PeerIncompatible { theirs: init.version });
        }
        let version = Version {
            version: VERSION,
            extensions: Extension::announced(&self.config.extensions),
        };
        // A VERSION of ours is some hundred bytes long: it always fits.
        let _ = self.output.message(VERSION_NUMBER, None, |out| version.put(out));
        self.state = State::ExpectRequest;
        Ok(Event::Started {
            version: VERSION,
            extensions: init.extensions,
        })
    }

    /// One request: `None` where it was answered at once.
    fn request(&mut self, message: &Bytes) -> Result<Option<Incoming>, Error> {
        let mut body = Body::new(message);
        let number = body.byte().map_err(|error| undecodable(0, error))?;
        if number == INIT {
            return Err(Misbehaviour::UnexpectedMessage { number }.into());
        }
        // Without an id there is nobody to answer to.
        let id = u32::take(&mut body).map_err(|error| undecodable(number, error))?;
        let mut incoming = match self.decode(number, id, body) {
            Ok(Decoded::Incoming(incoming)) => incoming,
            Ok(Decoded::Limits) => {
                self.send_limits(id);
                return Ok(None);
            }
            Ok(Decoded::Unsupported) => {
                self.refuse(id, StatusCode::OP_UNSUPPORTED.into());
                return Ok(None);
            }
            Err(error) => {
                self.refuse(
                    id,
                    Status::with_message(StatusCode::BAD_MESSAGE, error.to_string()),
                );
                return Ok(None);
            }
        };
        if self.config.draft_symlink {
            incoming = incoming.in_draft_order();
        }
        if let Some(status) = incoming.objection() {
            self.refuse(id, status);
            return Ok(None);
        }
        incoming.limit_data(self.config.limits.data_bytes);
        let weight = incoming.begin(message.len(), self.abandoned.0.clone());
        self.in_work = self.in_work.saturating_add(1);
        self.in_work_bytes = self.in_work_bytes.saturating_add(weight);
        Ok(Some(incoming))
    }

    fn decode(&self, number: u8, id: u32, mut body: Body<'_>) -> Result<Decoded, DecodeError> {
        let incoming = if number == EXTENDED {
            let name = body.string()?;
            if name == LimitsRequest::NAME.as_bytes() {
                body.finish()?;
                return Ok(Decoded::Limits);
            }
            let claimed = self.config.extensions.iter().copied();
            match claimed
                .into_iter()
                .find(|extension| extension.name().as_bytes() == name)
            {
                Some(extension) => Incoming::extended(extension, id, &mut body)?,
                None => return Ok(Decoded::Unsupported),
            }
        } else {
            match Incoming::take(number, id, &mut body) {
                Some(incoming) => incoming?,
                None => return Ok(Decoded::Unsupported),
            }
        };
        body.finish()?;
        Ok(Decoded::Incoming(incoming))
    }

    fn refuse(&mut self, id: u32, status: Status) {
        self.send(id, &Reply::Status(status));
    }

    fn send_limits(&mut self, id: u32) {
        let limits = &self.config.limits;
        let reply = LimitsReply {
            max_packet_bytes: u64::from(u32_saturating(MAX_MESSAGE_BYTES)),
            max_read_bytes: u64::from(limits.data_bytes),
            max_write_bytes: u64::from(limits.data_bytes),
            max_open_handles: u64::try_from(limits.handles).unwrap_or(u64::MAX),
        };
        let mut body = Vec::new();
        reply.put(&mut crate::wire::Writer::new(&mut body));
        self.send(id, &Reply::Extended(body.into()));
    }

    fn send(&mut self, id: u32, reply: &Reply) {
        // Only statuses and the limits come here: short ones.
        let _ = self.output.message(reply.number(), None, |out| {
            out.uint32(id);
            reply.put(out);
        });
    }
}

enum Decoded {
    Incoming(Incoming),
    /// `limits@openssh.com`, which the machine answers itself.
    Limits,
    Unsupported,
}

fn undecodable(number: u8, error: DecodeError) -> Error {
    let message = message_name(number);
    Misbehaviour::Undecodable { message, error }.into()
}
