//! Logging in (RFC 4252), the client's side: questions leave as events, answers come back as values that only the
//! question could make.
//!
//! ```text
//!             ┌───────────────────────── 51 ─────────────────────────┐
//!             ▼                                                      │
//!  OfferTurn ──Turn──▶ ExpectAnswer ──Attempt──▶ Answered ──50──▶ ExpectReply ──52──▶ LoggedIn
//!                        ▲    ▲                   │    │             │
//!                        │    └─ SigningRequest ──┘    └─ skipped,   │ 60
//!                        └───────── PasswordChange, SigningRequest ◀─┘
//! ```
//!
//! The first turn comes at once, before a word from the server: SERVICE_REQUEST and the first USERAUTH_REQUEST leave in
//! one write, so a login by key costs one round trip. Banners may arrive at any time. What the server may not send ends
//! the connection: a SUCCESS that answers nothing above all.

use std::time::Instant;

use crate::error::{Error, Misbehaviour, Place};
use crate::kex::{DisconnectReason, HostKeyVerdict, Transport, TransportEvent};
use crate::keys::{SignatureAlgorithm, Signer};
use crate::messages::{UserauthBanner, UserauthFailure, UserauthSuccess};
use crate::method::{Conversation, Method, Outbox, Step, choose_algorithm};
use crate::service::ClientDoor;
use crate::session::{Factor, Login, Session};
use crate::text;
use crate::ticket::{Questions, Ticket};
use crate::user::UserName;
use crate::wire::bytes::BytesMut;
use crate::wire::{Layer, Message, Packet, number};

#[doc(inline)]
pub use crate::method::{Event, PasswordChange, SigningRequest};

/// The most banners taken from a server: one is usual, login modules may add some.
pub const MAX_BANNERS: usize = 32;
/// The most bytes of banners taken from a server, all together.
pub const MAX_BANNER_BYTES: usize = 64 * 1024;
/// The most refusals taken from a server: more credentials than anybody has, so that a server cannot keep a client
/// busy for ever.
pub const MAX_FAILURES: usize = 1024;

/// Logs a user in over a transport.
///
/// Poll it; answer each [`Event::Turn`] and every other question; after [`Event::Success`] take the session with
/// [`into_session`](Authenticator::into_session). Where the wait for the server is to be limited, the caller limits it.
#[derive(Debug)]
pub struct Authenticator {
    transport: Transport,
    user: UserName,
    door: ClientDoor,
    questions: Questions,
    outlook: Outlook,
    proved: Vec<Factor>,
    failures: usize,
    banners: Banners,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The application is to be asked what to try, as soon as nothing is left to read.
    OfferTurn,
    /// The application was asked.
    ExpectAnswer,
    /// The application answered.
    Answered(Next),
    /// The server was asked.
    ExpectReply(Box<dyn Conversation>),
    /// The server said SUCCESS in answer to a request.
    LoggedIn(Login),
    /// The application ended it.
    Ended,
    /// An error ended it.
    Failed(Error),
}

/// What is known about the next attempt's chances.
#[derive(Debug, Default)]
struct Outlook {
    methods: Vec<String>,
    partial_success: bool,
    failed: Option<&'static str>,
}

/// What banners have cost so far.
#[derive(Debug, Default)]
struct Banners {
    count: usize,
    bytes: usize,
}

impl Authenticator {
    /// Begins to log `user` in.
    pub fn new(transport: Transport, user: UserName) -> Self {
        let questions = Questions::new(transport.session_id());
        Self {
            transport,
            user,
            door: ClientDoor::Silent,
            questions,
            outlook: Outlook::default(),
            proved: Vec::new(),
            failures: 0,
            banners: Banners::default(),
            state: State::OfferTurn,
        }
    }

    /// Tries what was chosen on a [`Turn`]. An attempt made on an earlier turn, or for another connection, changes
    /// nothing.
    pub fn attempt(&mut self, attempt: Attempt) {
        self.answered(attempt.0);
    }

    /// Goes on with the answer to a [`SigningRequest`]; one to another request changes nothing.
    pub fn signed(&mut self, signed: Signed) {
        self.answered(signed.0);
    }

    /// Answers [`Event::HostKey`].
    pub fn answer(&mut self, verdict: HostKeyVerdict) {
        self.transport.answer(verdict);
    }

    /// The algorithm for `signer` to log in with on this server; `None`: they have none in common.
    pub fn algorithm_for(&self, signer: &dyn Signer) -> Option<&'static SignatureAlgorithm> {
        choose_algorithm(signer, self.transport.extensions(), self.transport.quirks())
    }

    /// Says farewell; nothing is sent after it.
    pub fn disconnect(&mut self, reason: DisconnectReason, description: &str) {
        self.transport.disconnect(reason, description);
        self.state = State::Ended;
    }

    /// The transport beneath, to look at.
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The session, once [`Event::Success`] was reported; before that, the authenticator as it was.
    pub fn into_session(self) -> Result<Session, Box<Self>> {
        match self {
            Self {
                transport,
                state: State::LoggedIn(login),
                ..
            } => Ok(Session::new(transport, login)),
            unfinished => Err(Box::new(unfinished)),
        }
    }

    fn answered(&mut self, answer: Answer) {
        if matches!(self.state, State::ExpectAnswer) && self.questions.asked_last(&answer.ticket) {
            self.state = State::Answered(answer.next);
        }
    }

    /// Works off what the transport has, until something is to be told.
    fn run(&mut self, now: Instant) -> Result<Option<Event>, Error> {
        loop {
            self.door.ring(&mut self.transport)?;
            if let Some(event) = self.act()? {
                return Ok(Some(event));
            }
            match self.transport.poll(now)? {
                Some(TransportEvent::Packet(packet)) => {
                    if let Some(event) = self.receive(&packet)? {
                        return Ok(Some(event));
                    }
                }
                Some(TransportEvent::HostKey(offer)) => return Ok(Some(Event::HostKey(offer))),
                Some(TransportEvent::Debug(message)) => return Ok(Some(Event::Debug(message))),
                Some(
                    TransportEvent::Extensions(_)
                    | TransportEvent::Rekeyed
                    | TransportEvent::Pong(_)
                    | TransportEvent::Unimplemented { .. },
                ) => {}
                None => return Ok(self.offer_turn()),
            }
        }
    }

    /// Asks what to try next. Only when nothing is left to read: what the server said about signature algorithms has
    /// been read by then.
    fn offer_turn(&mut self) -> Option<Event> {
        if !matches!(self.state, State::OfferTurn) {
            return None;
        }
        self.state = State::ExpectAnswer;
        Some(Event::Turn(Turn {
            ticket: self.questions.next(),
            methods: self.outlook.methods.clone(),
            partial_success: self.outlook.partial_success,
            failed: self.outlook.failed,
        }))
    }

    /// Acts on the application's answer, if there is one.
    fn act(&mut self) -> Result<Option<Event>, Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Answered(Next::Start(conversation)) => {
                let step = conversation.start(&mut self.outbox())?;
                Ok(self.go_on(step))
            }
            State::Answered(Next::Skip(method)) => {
                self.outlook.failed = Some(method.name);
                self.outlook.partial_success = false;
                self.state = State::OfferTurn;
                Ok(None)
            }
            State::Answered(Next::GiveUp) => Err(Error::GaveUp {
                methods: std::mem::take(&mut self.outlook.methods),
            }),
            other => {
                self.state = other;
                Ok(None)
            }
        }
    }

    fn go_on(&mut self, step: Step) -> Option<Event> {
        match step {
            Step::ExpectReply(conversation) => {
                self.state = State::ExpectReply(conversation);
                None
            }
            Step::Ask(event) => {
                self.state = State::ExpectAnswer;
                Some(event)
            }
        }
    }

    fn outbox(&mut self) -> Outbox<'_> {
        Outbox {
            transport: &mut self.transport,
            user: &self.user,
            ticket: self.questions.next(),
        }
    }

    /// A packet of this room arrived.
    fn receive(&mut self, packet: &Packet) -> Result<Option<Event>, Error> {
        if packet.number() == number::SERVICE_ACCEPT {
            self.door.accepted(packet)?;
            return Ok(None);
        }
        if self.door != ClientDoor::Open {
            return Err(unexpected(packet, Place::Service).into());
        }
        if packet.number() == number::USERAUTH_BANNER {
            return Ok(Some(Event::Banner(self.banners.take(packet)?)));
        }
        match (packet.number(), std::mem::replace(&mut self.state, State::Ended)) {
            (number::USERAUTH_FAILURE, State::ExpectReply(conversation)) => {
                self.refused(packet, &*conversation)
            }
            (number::USERAUTH_SUCCESS, State::ExpectReply(conversation)) => {
                let _: UserauthSuccess = packet
                    .decode()
                    .map_err(Misbehaviour::malformed(UserauthSuccess::NAME))?;
                let earlier = std::mem::take(&mut self.proved);
                let login = Login::complete(
                    &mut self.transport,
                    self.user.clone(),
                    earlier,
                    conversation.factor(),
                );
                self.state = State::LoggedIn(login);
                Ok(Some(Event::Success))
            }
            (60..=79, State::ExpectReply(conversation)) => {
                let step = conversation.message(packet, &mut self.outbox())?;
                Ok(self.go_on(step))
            }
            (_, State::ExpectReply(_)) => Err(unexpected(packet, Place::Login).into()),
            _ => Err(unexpected(packet, Place::OurTurn).into()),
        }
    }

    /// USERAUTH_FAILURE answers the request in progress.
    fn refused(&mut self, packet: &Packet, conversation: &dyn Conversation) -> Result<Option<Event>, Error> {
        self.failures = self.failures.saturating_add(1);
        if self.failures > MAX_FAILURES {
            return Err(Misbehaviour::TooMany {
                what: "refusals",
                limit: MAX_FAILURES,
            }
            .into());
        }
        let failure: UserauthFailure<'_> = packet
            .decode()
            .map_err(Misbehaviour::malformed(UserauthFailure::NAME))?;
        let factor = conversation.factor();
        let method = factor.method().name;
        if failure.partial_success {
            self.proved.push(factor);
        }
        self.outlook = Outlook {
            methods: failure
                .authentications_that_can_continue
                .iter()
                .map(str::to_owned)
                .collect(),
            partial_success: failure.partial_success,
            failed: (!failure.partial_success).then_some(method),
        };
        self.state = State::OfferTurn;
        Ok(None)
    }
}

impl Layer for Authenticator {
    type Event = Event;
    type Error = Error;

    fn read_buffer(&mut self) -> &mut BytesMut {
        self.transport.read_buffer()
    }

    fn poll(&mut self, now: Instant) -> Result<Option<Event>, Error> {
        match &self.state {
            // What follows SUCCESS is the session's to read.
            State::LoggedIn(_) | State::Ended => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
            _ => {}
        }
        self.run(now).inspect_err(|error| {
            error.say_to(&mut self.transport);
            self.state = State::Failed(error.clone());
        })
    }

    fn transmit(&mut self) -> &mut Vec<u8> {
        self.transport.transmit()
    }

    fn transmitted(&mut self, count: usize) {
        self.transport.transmitted(count);
    }

    fn deadline(&self) -> Option<Instant> {
        self.transport.deadline()
    }
}

impl Banners {
    fn take(&mut self, packet: &Packet) -> Result<String, Misbehaviour> {
        let banner: UserauthBanner<'_> = packet
            .decode()
            .map_err(Misbehaviour::malformed(UserauthBanner::NAME))?;
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(banner.message.len());
        if self.count > MAX_BANNERS {
            return Err(Misbehaviour::TooMany {
                what: "banners",
                limit: MAX_BANNERS,
            });
        }
        if self.bytes > MAX_BANNER_BYTES {
            return Err(Misbehaviour::TooMany {
                what: "bytes of banners",
                limit: MAX_BANNER_BYTES,
            });
        }
        Ok(text::lines(banner.message))
    }
}

fn unexpected(packet: &Packet, place: Place) -> Misbehaviour {
    Misbehaviour::Unexpected {
        number: packet.message_number(),
        place,
    }
}

/// What may be tried next. Each of its methods is a way to answer it: `none`, `password`, `publickey`,
/// `publickey_query`, `give_up`.
#[derive(Debug)]
#[must_use = "the login waits until an attempt is handed to `attempt`"]
pub struct Turn {
    ticket: Ticket,
    methods: Vec<String>,
    partial_success: bool,
    failed: Option<&'static str>,
}

impl Turn {
    /// The methods that the server says may help. Empty on the first turn: it was not asked yet. Names are as the
    /// server wrote them: printable, and at most [`MAX_NAME_BYTES`](crate::wire::MAX_NAME_BYTES) long.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Whether the attempt before this turn was successful, and the server wants more.
    pub const fn partial_success(&self) -> bool {
        self.partial_success
    }

    /// The method that failed before this turn, if one did.
    pub const fn failed(&self) -> Option<&'static str> {
        self.failed
    }

    /// Nothing is left to try: the connection ends.
    pub fn give_up(self) -> Attempt {
        Attempt(Answer {
            ticket: self.ticket,
            next: Next::GiveUp,
        })
    }

    pub(crate) fn start(self, conversation: Box<dyn Conversation>) -> Attempt {
        Attempt::start(self.ticket, conversation)
    }
}

/// Something to try; made by a [`Turn`] or a [`PasswordChange`].
#[derive(Debug)]
#[must_use = "nothing is tried until this is handed to `attempt`"]
pub struct Attempt(Answer);

impl Attempt {
    pub(crate) fn start(ticket: Ticket, conversation: Box<dyn Conversation>) -> Self {
        Self(Answer {
            ticket,
            next: Next::Start(conversation),
        })
    }

    pub(crate) fn skip(ticket: Ticket, method: &'static Method) -> Self {
        Self(Answer {
            ticket,
            next: Next::Skip(method),
        })
    }
}

/// The answer to a [`SigningRequest`].
#[derive(Debug)]
#[must_use = "nothing is signed until this is handed to `signed`"]
pub struct Signed(Answer);

impl Signed {
    pub(crate) fn start(ticket: Ticket, conversation: Box<dyn Conversation>) -> Self {
        Self(Answer {
            ticket,
            next: Next::Start(conversation),
        })
    }

    pub(crate) fn skip(ticket: Ticket, method: &'static Method) -> Self {
        Self(Answer {
            ticket,
            next: Next::Skip(method),
        })
    }
}

#[derive(Debug)]
struct Answer {
    ticket: Ticket,
    next: Next,
}

/// What the application decided.
#[derive(Debug)]
enum Next {
    Start(Box<dyn Conversation>),
    Skip(&'static Method),
    GiveUp,
}
