//! The client's seat: requests go out as fast as the caller makes them, replies come back in any order.
//!
//! ```text
//!   (INIT is queued) ─▶ ExpectVersion ──VERSION──▶ ExpectReply ◀──┐
//!                             │                        ├──────────┘ Event::Reply for a request that waits
//!                             │ anything else          │ unknown or answered id, a reply that cannot answer,
//!                             └─────────▶ Broken ◀─────┘ more data than asked, a bad length
//! ```
//!
//! A server's limits are asked for as soon as VERSION says that it tells them; [`Client::limits`] is right from its
//! answer on, which a server that answers in order gives before that of any later request. No round trip is spent.

mod limits;
pub mod transfer;

use std::collections::BTreeMap;

pub use limits::Limits;

use crate::extension::Limits as LimitsRequest;
use crate::framing::Framing;
use crate::messages::{
    Answer, Body, Extensions, INIT, Init, Layout, Reply, Request, VERSION as VERSION_NUMBER, Version,
    message_name,
};
use crate::wire::DecodeError;
use crate::wire::bytes::Bytes;
use crate::{Error, Misbehaviour, Misuse, Outbox, VERSION};

/// The number of a request that waits for its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u32);

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server introduced itself: requests may be made.
    Ready {
        /// The version that is spoken.
        version: u32,
        /// What the server announced.
        extensions: Extensions,
    },
    /// The reply to a request, of a kind that can answer it: see [`Reply::answer`].
    Reply {
        /// The request.
        id: RequestId,
        /// What the server says.
        reply: Reply,
    },
}

/// One conversation with a server. Bytes go in by [`receive`](Self::receive), events come out by
/// [`poll`](Self::poll), bytes to send lie in [`output`](Self::output).
///
/// Whoever sends the output should read at the same time: a server stops reading requests while its replies are
/// not read. How many requests are made at once is the caller's affair; [`transfer`] keeps a budget for file data.
#[derive(Debug)]
pub struct Client {
    framing: Framing,
    output: Outbox,
    state: State,
    /// Requests that wait for their replies.
    waiting: BTreeMap<u32, Waiting>,
    next_id: u32,
    limits: Limits,
    extensions: Extensions,
}

#[derive(Debug)]
enum State {
    ExpectVersion,
    ExpectReply,
    Broken(Error),
}

/// What the reply to a request must be.
#[derive(Debug)]
struct Waiting {
    request: &'static str,
    /// Whether a reply that is not a failing status can answer it.
    fits: fn(&Reply) -> bool,
    /// The most bytes of data it may carry.
    asked: usize,
    /// Whose request it is.
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Callers,
    /// Our own question for the server's limits.
    Ours,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client whose INIT waits to be sent.
    pub fn new() -> Self {
        let init = Init {
            version: VERSION,
            extensions: Extensions::default(),
        };
        let mut output = Outbox::default();
        // Nine bytes always fit.
        let _ = output.message(INIT, None, |out| init.put(out));
        Self {
            framing: Framing::default(),
            output,
            state: State::ExpectVersion,
            waiting: BTreeMap::new(),
            next_id: 0,
            limits: Limits::default(),
            extensions: Extensions::default(),
        }
    }

    /// Takes received bytes; [`poll`](Self::poll) afterwards until it gives nothing, which leaves less than one
    /// message waiting here.
    pub fn receive(&mut self, bytes: Bytes) {
        if !matches!(self.state, State::Broken(_)) {
            self.framing.receive(bytes);
        }
    }

    /// The bytes to send.
    pub fn output(&mut self) -> &mut Outbox {
        &mut self.output
    }

    /// How large requests may be: safe values until the server said its own.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the server announced; empty before [`Event::Ready`].
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// How many requests wait for their replies.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a request. Its reply comes as an [`Event::Reply`] with the id given here.
    pub fn request<R: Request>(&mut self, request: &R) -> Result<RequestId, Misuse> {
        self.send(request, Whose::Callers)
    }

    fn send<R: Request>(&mut self, request: &R, whose: Whose) -> Result<RequestId, Misuse> {
        match self.state {
            State::ExpectVersion => return Err(Misuse::NotReady),
            State::Broken(_) => return Err(Misuse::Ended),
            State::ExpectReply => {}
        }
        let id = self.free_id();
        self.output.message(R::NUMBER, request.payload(), |out| {
            out.uint32(id);
            if R::EXTENSION_VERSION.is_some() {
                out.string(R::NAME.as_bytes());
            }
            request.put(out);
        })?;
        let waiting = Waiting {
            request: R::NAME,
            fits: R::Answer::fits,
            asked: request.asked_bytes(),
            whose,
        };
        self.waiting.insert(id, waiting);
        Ok(RequestId(id))
    }

    /// The next id that no request waits under: ids come round after four thousand million.
    fn free_id(&mut self) -> u32 {
        while self.waiting.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// The next event; `None` when more bytes must come first. An error is final: close the channel, no request that
    /// still waits will be answered.
    pub fn poll(&mut self) -> Result<Option<Event>, Error> {
        if let State::Broken(error) = &self.state {
            return Err(error.clone());
        }
        let result = self.next_event();
        if let Err(error) = &result {
            self.state = State::Broken(error.clone());
            self.framing = Framing::default();
            self.waiting.clear();
        }
        result
    }

    fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let Some(message) = self.next_message()? else {
                return Ok(None);
            };
            let event = match self.state {
                State::ExpectVersion => Some(self.version(&message)?),
                _ => self.reply(&message)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// The next message. Where the first one has an impossible length that reads as text, it is not SFTP at all: a
    /// start-up file of the remote shell prints something, and the error should say what.
    fn next_message(&mut self) -> Result<Option<Bytes>, Misbehaviour> {
        match (self.framing.take(), &self.state) {
            (Err(Misbehaviour::MessageTooLong { length }), State::ExpectVersion) if is_text(length) => {
                let beginning: Vec<u8> = self.framing.bytes().take(MAX_SHOWN_BYTES).collect();
                let text = String::from_utf8_lossy(&beginning).into_owned();
                Err(Misbehaviour::TextBeforeVersion(text))
            }
            (result, _) => result,
        }
    }

    fn version(&mut self, message: &Bytes) -> Result<Event, Error> {
        let mut body = Body::new(message);
        let undecodable = |error| undecodable(VERSION_NUMBER, error);
        let number = body.byte().map_err(undecodable)?;
        if number != VERSION_NUMBER {
            return Err(Misbehaviour::UnexpectedMessage { number }.into());
        }
        let version = Version::take(&mut body).map_err(undecodable)?;
        // A server speaks at most the version that INIT named; ours speaks none but that.
        if version.version != VERSION {
            return Err(Error::PeerIncompatible {
                theirs: version.version,
            });
        }
        self.state = State::ExpectReply;
        self.extensions = version.extensions.clone();
        if self.extensions.supports::<LimitsRequest>() {
            // Sixty bytes always fit.
            let _ = self.send(&LimitsRequest {}, Whose::Ours);
        }
        Ok(Event::Ready {
            version: version.version,
            extensions: version.extensions,
        })
    }

    /// One reply: `None` where it answered a question of our own.
    fn reply(&mut self, message: &Bytes) -> Result<Option<Event>, Error> {
        let mut body = Body::new(message);
        let number = body.byte().map_err(|error| undecodable(0, error))?;
        let undecodable = |error| undecodable(number, error);
        if !Reply::is_reply(number) {
            return Err(Misbehaviour::UnexpectedMessage { number }.into());
        }
        let id = u32::take(&mut body).map_err(undecodable)?;
        let waiting = self.waiting.remove(&id).ok_or(Misbehaviour::UnknownRequest(id))?;
        let reply = Reply::take(number, &mut body).map_err(undecodable)?;
        body.finish().map_err(undecodable)?;
        waiting.check(&reply)?;
        if waiting.whose == Whose::Ours {
            // A server that announces the extension and then refuses it has no limits to tell.
            if let Ok(limits) = reply.answer::<LimitsRequest>() {
                self.limits = Limits::clamped(&limits);
            }
            return Ok(None);
        }
        let id = RequestId(id);
        Ok(Some(Event::Reply { id, reply }))
    }
}

impl Waiting {
    fn check(&self, reply: &Reply) -> Result<(), Misbehaviour> {
        match reply {
            Reply::Status(status) if !status.is_ok() => Ok(()),
            Reply::Data(data) if data.len() > self.asked && (self.fits)(reply) => {
                Err(Misbehaviour::TooMuchData {
                    asked: self.asked,
                    given: data.len(),
                })
            }
            reply if (self.fits)(reply) => Ok(()),
            reply => Err(Misbehaviour::WrongReply {
                request: self.request,
                reply: message_name(reply.number()),
            }),
        }
    }
}

/// The most bytes of something that is not SFTP that an error shows.
const MAX_SHOWN_BYTES: usize = 80;

fn is_text(length: u32) -> bool {
    let printable = |byte: &u8| byte.is_ascii_graphic() || b" \t\r\n\x1b".contains(byte);
    length.to_be_bytes().iter().all(printable)
}

fn undecodable(number: u8, error: DecodeError) -> Error {
    let message = message_name(number);
    Misbehaviour::Undecodable { message, error }.into()
}
