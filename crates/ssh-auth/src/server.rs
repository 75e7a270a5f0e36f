//! Letting users log in (RFC 4252), the server's side: every request that could succeed becomes a question to the
//! application, and every answer is a [`Verdict`] that only the question could make.
//!
//! ```text
//!  ExpectServiceRequest ──5──▶ ExpectRequest ──50──▶ ExpectVerdict ──answer──▶ Decided ──accept, 52──▶ LoggedIn
//!                                 ▲  ▲  │                                       │   │
//!                                 │  │  └── no chance, nobody asked ──┐  reject │   │ 60…79, or 51 partial
//!                                 │  │                                ▼         │   │
//!                                 │  └───────── 51 ────────── ExpectReplyTime ◀─┘   │
//!                                 └─────────────────────────────────────────────────┘
//! ```
//!
//! There is one way to be refused, whoever refused and why: same message, same list, same delay; so a peer cannot tell
//! a user that does not exist from a key that is not listed. The delay is a deadline, nobody sleeps. What a user has
//! proved so far is dropped as soon as another name is given (CVE-2026-46705). A number that has no place here, any
//! message of the rooms above among them, ends the connection at once, even while a verdict is awaited.

mod tally;
mod verdict;
mod waiting;

use std::time::{Duration, Instant};

use crate::error::{Error, Misbehaviour, Place};
use crate::kex::{DisconnectReason, SendError, Transport, TransportEvent};
use crate::keys::PublicKey;
use crate::keys::algorithm::rsa::REQUIRED_MODULUS_BITS;
use crate::keys::algorithm::{self, SignatureAlgorithm};
use crate::messages::{UserauthBanner, UserauthFailure, UserauthRequest, UserauthSuccess};
use crate::method::{self, Dialogue, Judgement, Method, Request, Weight};
use crate::service::{CONNECTION, ServerDoor};
use crate::session::{Factor, Login, Session};
use crate::text;
use crate::ticket::Questions;
use crate::user::UserName;
use crate::wire::bytes::BytesMut;
use crate::wire::{Layer, Message, NameList, Packet, Tier, number};

use tally::{Tally, reply_time};
use verdict::Decision;
use waiting::Waiting;

#[doc(inline)]
pub use crate::method::{
    Attempt, NoneAttempt, PasswordAttempt, PasswordChangeAttempt, PublicKeyAttempt, PublicKeyQuery,
    ServerEvent as Event,
};
pub(crate) use verdict::Claim;
pub use verdict::Verdict;
pub use waiting::{MAX_WAITING_BYTES, MAX_WAITING_REQUESTS};

/// The longest banner sent, in bytes; a longer one is cut.
pub const MAX_BANNER_BYTES: usize = 64 * 1024;
/// The most USERAUTH_REQUESTs taken from one peer, of whatever kind and success.
pub const MAX_REQUESTS: usize = 256;

/// Who may try what, how often, and for how long.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The methods that are offered, in the order they are listed. `none` is asked about only if it stands here, and is
    /// never listed.
    pub methods: Vec<&'static Method>,
    /// The signature algorithms taken for public key login. Tell clients the same ones:
    /// [`Config::login_signatures`](crate::kex::Config::login_signatures). Where they differ, clients that listen are told
    /// these at their first request.
    pub key_algorithms: Vec<&'static SignatureAlgorithm>,
    /// The smallest RSA key that is taken, in bits (`RequiredRSASize`).
    pub required_rsa_bits: usize,
    /// How many attempts may fail; with the last one the connection ends. The first request does not count if it is
    /// `none`, nor do public key queries and partial successes.
    pub max_attempts: u32,
    /// How many public key queries are answered.
    pub max_queries: u32,
    /// Refusals leave this long after their request arrived, or a multiple of it: the time an application takes to
    /// decide then tells little. A first request that is `none` is refused at once.
    pub failure_delay: Duration,
    /// How long a peer may take to log in, counted from the construction of the [`Authenticator`].
    pub login_grace: Duration,
    /// Text to show before login, sent with the answer to the first request.
    pub banner: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            methods: vec![method::PUBLICKEY, method::PASSWORD],
            key_algorithms: algorithm::ALL
                .iter()
                .copied()
                // Certificates log nobody in so far.
                .filter(|each| each.tier != Tier::Legacy && !each.is_certificate())
                .collect(),
            required_rsa_bits: REQUIRED_MODULUS_BITS,
            max_attempts: 6,
            max_queries: 64,
            failure_delay: Duration::from_millis(20),
            login_grace: Duration::from_secs(120),
            banner: None,
        }
    }
}

/// Lets somebody log in over a transport.
///
/// Poll it; answer each [`Event::Attempt`]; after [`Event::Success`] take the session with
/// [`into_session`](Authenticator::into_session).
#[derive(Debug)]
pub struct Authenticator {
    transport: Transport,
    policy: Policy,
    deadline: Option<Instant>,
    door: ServerDoor,
    questions: Questions,
    tally: Tally,
    waiting: Waiting,
    /// Who is being talked about, and what that user proved; dropped when another name is given.
    progress: Option<Progress>,
    banner: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The peer has to ask for the service.
    ExpectServiceRequest,
    /// A request may come; with a dialogue, also its messages.
    ExpectRequest(Option<Box<dyn Dialogue>>),
    /// The application was asked.
    ExpectVerdict(Pending),
    /// The application answered.
    Decided(Pending, Decision),
    /// A refusal is due at its time.
    ExpectReplyTime(Instant),
    /// The application let somebody in.
    LoggedIn(Login),
    /// The application ended the connection.
    Ended,
    /// An error ended it.
    Failed(Error),
}

/// One user's way through a login.
#[derive(Debug)]
struct Progress {
    user: UserName,
    methods: Vec<&'static Method>,
    proved: Vec<Factor>,
}

/// A request on its way to an answer.
#[derive(Debug)]
struct Pending {
    /// The name that was given, fit for a log.
    user: String,
    /// The method that was named, fit for a log.
    method: String,
    /// The key that is tried.
    key: Option<PublicKey>,
    weight: Weight,
    arrived: Instant,
}

/// What a step led to.
enum Outcome {
    /// Something to tell.
    Tell(Event),
    /// Something changed: look again.
    Again,
    /// Nothing to do.
    Quiet,
}

impl Authenticator {
    /// Begins to wait for a login.
    pub fn new(transport: Transport, policy: Policy, now: Instant) -> Self {
        let questions = Questions::new(transport.session_id());
        let banner = policy.banner.as_deref().map(wire_banner);
        Self {
            transport,
            deadline: now.checked_add(policy.login_grace),
            policy,
            door: ServerDoor::default(),
            questions,
            tally: Tally::default(),
            waiting: Waiting::default(),
            progress: None,
            banner,
            state: State::ExpectServiceRequest,
        }
    }

    /// Goes on with the application's verdict. One about an earlier attempt, or about another connection's, changes
    /// nothing.
    pub fn answer(&mut self, verdict: Verdict) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::ExpectVerdict(pending) if self.questions.asked_last(&verdict.ticket) => {
                self.state = State::Decided(pending, verdict.decision);
            }
            other => self.state = other,
        }
    }

    /// Takes these signature algorithms for public key login from now on, in place of the policy's. A client that listens
    /// is told, once and not before its first request (`ext-info-in-auth@openssh.com`, OpenSSH `PROTOCOL` §1.10): for
    /// servers that take different ones from different users. Call it while an attempt is being decided.
    pub fn set_key_algorithms(&mut self, algorithms: Vec<&'static SignatureAlgorithm>) {
        self.policy.key_algorithms = algorithms;
        if self.tally.has_begun() {
            self.transport.tell_login_signatures(&self.policy.key_algorithms);
        }
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

    fn run(&mut self, now: Instant) -> Result<Option<Event>, Error> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(Error::LoginTimeout(self.policy.login_grace));
        }
        loop {
            match self.step(now)? {
                Outcome::Tell(event) => return Ok(Some(event)),
                Outcome::Again => continue,
                Outcome::Quiet => {}
            }
            match self.transport.poll(now)? {
                Some(TransportEvent::Packet(packet)) => self.admit(packet)?,
                // Nobody can show a server a host key, and a server sends no pings before login.
                Some(
                    TransportEvent::Extensions(_)
                    | TransportEvent::Rekeyed
                    | TransportEvent::HostKey(_)
                    | TransportEvent::Pong(_)
                    | TransportEvent::Unimplemented { .. },
                ) => {}
                Some(TransportEvent::Debug(message)) => return Ok(Some(Event::Debug(message))),
                None => return Ok(None),
            }
        }
    }

    /// Which numbers may arrive: decided on arrival, whatever waits to be worked off.
    fn admit(&mut self, packet: Packet) -> Result<(), Error> {
        let place = match (packet.number(), &self.state) {
            // A dialogue is on only while nothing waits.
            (number::SERVICE_REQUEST | number::USERAUTH_REQUEST, _)
            | (60..=79, State::ExpectRequest(Some(_))) => return Ok(self.waiting.push(packet)?),
            (_, State::ExpectServiceRequest) => Place::Service,
            (_, State::ExpectRequest(_)) => Place::Login,
            _ => Place::OurTurn,
        };
        Err(Misbehaviour::Unexpected {
            number: packet.message_number(),
            place,
        }
        .into())
    }

    fn step(&mut self, now: Instant) -> Result<Outcome, Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Decided(pending, decision) => self.decide(pending, decision, now),
            State::ExpectReplyTime(due) if now >= due => {
                self.tally.check(&self.policy)?;
                self.send_failure(false)?;
                self.state = State::ExpectRequest(None);
                Ok(Outcome::Again)
            }
            State::ExpectServiceRequest => match self.waiting.pop() {
                Some(packet) => self.open_door(&packet),
                None => self.stay(State::ExpectServiceRequest),
            },
            State::ExpectRequest(dialogue) => match self.waiting.pop() {
                Some(packet) => self.take(&packet, dialogue, now),
                None => self.stay(State::ExpectRequest(dialogue)),
            },
            other => self.stay(other),
        }
    }

    fn stay(&mut self, state: State) -> Result<Outcome, Error> {
        self.state = state;
        Ok(Outcome::Quiet)
    }

    fn open_door(&mut self, packet: &Packet) -> Result<Outcome, Error> {
        if packet.number() != number::SERVICE_REQUEST {
            let number = packet.message_number();
            return Err(Misbehaviour::Unexpected {
                number,
                place: Place::Service,
            }
            .into());
        }
        self.door.requested(packet, &mut self.transport)?;
        self.state = State::ExpectRequest(None);
        Ok(Outcome::Again)
    }

    /// A packet in its turn. A dialogue that is not gone on with is over.
    fn take(
        &mut self,
        packet: &Packet,
        dialogue: Option<Box<dyn Dialogue>>,
        now: Instant,
    ) -> Result<Outcome, Error> {
        match (packet.number(), dialogue, &self.progress) {
            (number::SERVICE_REQUEST, ..) => self.open_door(packet),
            (number::USERAUTH_REQUEST, ..) => self.requested(packet, now),
            (_, Some(dialogue), Some(progress)) => {
                let claim = Claim::new(self.questions.next(), progress.user.clone());
                let pending = Pending {
                    user: text::shown(progress.user.as_str().as_bytes()),
                    method: dialogue.method().name.to_owned(),
                    key: None,
                    weight: Weight::Attempt,
                    arrived: now,
                };
                match dialogue.message(packet, claim) {
                    Some(Ok(judgement)) => self.judged(judgement, pending, now),
                    Some(Err(error)) => {
                        let message = number::name(packet.number());
                        Err(Misbehaviour::Malformed { message, error }.into())
                    }
                    None => Err(unexpected(packet, Place::Login)),
                }
            }
            _ => Err(unexpected(packet, Place::Login)),
        }
    }

    /// USERAUTH_REQUEST.
    fn requested(&mut self, packet: &Packet, now: Instant) -> Result<Outcome, Error> {
        let first = self.tally.request()?;
        let malformed = || Misbehaviour::malformed(UserauthRequest::NAME);
        let request: UserauthRequest<'_> = packet.decode().map_err(malformed())?;
        if request.service_name != CONNECTION {
            let service = text::shown(request.service_name.as_bytes());
            return Err(Error::ServiceNotAvailable { service });
        }
        let is_news = self.transport.login_signatures() != self.policy.key_algorithms;
        if first && is_news {
            self.transport.tell_login_signatures(&self.policy.key_algorithms);
        }
        if let Some(banner) = self.banner.take() {
            self.transport.send(&UserauthBanner {
                message: banner.as_bytes(),
                language_tag: b"",
            })?;
        }
        let courtesy = first && request.method_name == method::NONE.name;
        let mut pending = Pending {
            user: text::shown(request.user_name),
            method: text::shown(request.method_name.as_bytes()),
            key: None,
            weight: if courtesy {
                Weight::Courtesy
            } else {
                Weight::Attempt
            },
            arrived: now,
        };
        let method = self
            .talk_about(request.user_name)
            .and_then(|progress| progress.method(request.method_name));
        let (Some(method), Some(progress)) = (method, &self.progress) else {
            return Ok(self.refuse(&pending, now));
        };
        method.name.clone_into(&mut pending.method);
        let judgement = method
            .requested(Request {
                claim: Claim::new(self.questions.next(), progress.user.clone()),
                method_name: request.method_name,
                fields: request.method_fields.0,
                session_id: self.transport.session_id(),
                host_key: self.transport.initial_host_key(),
                proved: &progress.proved,
                key_algorithms: &self.policy.key_algorithms,
                required_rsa_bits: self.policy.required_rsa_bits,
            })
            .map_err(malformed())?;
        if !courtesy {
            pending.weight = judgement.weight();
        }
        self.judged(judgement, pending, now)
    }

    /// The progress of the user of this name: what was known about another one is dropped.
    fn talk_about(&mut self, name: &[u8]) -> Option<&Progress> {
        let user = UserName::from_wire(name);
        let known = self
            .progress
            .take()
            .filter(|progress| user.as_ref() == Some(&progress.user));
        let methods = &self.policy.methods;
        self.progress = known.or_else(|| {
            Some(Progress {
                user: user?,
                methods: methods.clone(),
                proved: Vec::new(),
            })
        });
        self.progress.as_ref()
    }

    fn judged(&mut self, judgement: Judgement, mut pending: Pending, now: Instant) -> Result<Outcome, Error> {
        self.tally.weighed(pending.weight, &self.policy)?;
        match judgement {
            Judgement::Ask(attempt, _) => {
                if let Attempt::PublicKey(attempt) = &attempt {
                    pending.key = Some(attempt.key().clone());
                }
                self.state = State::ExpectVerdict(pending);
                Ok(Outcome::Tell(Event::Attempt(attempt)))
            }
            Judgement::Refuse(_, key) => {
                pending.key = key;
                Ok(self.refuse(&pending, now))
            }
        }
    }

    /// The application's verdict.
    fn decide(&mut self, pending: Pending, decision: Decision, now: Instant) -> Result<Outcome, Error> {
        match (decision, self.progress.take()) {
            (Decision::Accept(factor), Some(Progress { user, proved, .. })) => {
                self.transport.send(&UserauthSuccess {})?;
                let login = Login::complete(&mut self.transport, user, proved, factor);
                let authenticated = login.authenticated().clone();
                self.state = State::LoggedIn(login);
                Ok(Outcome::Tell(Event::Success(authenticated)))
            }
            (Decision::Partial(factor, methods), Some(mut progress)) => {
                progress.proved.push(factor);
                progress.methods = methods
                    .into_iter()
                    .filter(|each| self.policy.methods.contains(each))
                    .collect();
                self.progress = Some(progress);
                self.send_failure(true)?;
                self.state = State::ExpectRequest(None);
                Ok(Outcome::Again)
            }
            (Decision::Reply(dialogue), Some(progress)) => {
                self.progress = Some(progress);
                dialogue.send(&mut self.transport)?;
                self.state = State::ExpectRequest(Some(dialogue));
                Ok(Outcome::Again)
            }
            (_, progress) => {
                self.progress = progress;
                Ok(self.refuse(&pending, now))
            }
        }
    }

    /// The one way to be refused. The answer leaves when it is due.
    fn refuse(&mut self, pending: &Pending, now: Instant) -> Outcome {
        self.tally.refused(pending.weight);
        let delay = if pending.weight == Weight::Courtesy {
            Duration::ZERO
        } else {
            self.policy.failure_delay
        };
        self.state = State::ExpectReplyTime(reply_time(pending.arrived, now, delay));
        match pending.weight {
            Weight::Courtesy | Weight::Query => Outcome::Again,
            Weight::Attempt => Outcome::Tell(Event::Failed {
                user: pending.user.clone(),
                method: pending.method.clone(),
                key: pending.key.clone(),
            }),
        }
    }

    fn send_failure(&mut self, partial_success: bool) -> Result<(), SendError> {
        let methods = self
            .progress
            .as_ref()
            .map_or(&self.policy.methods, |progress| &progress.methods);
        let names: Vec<&str> = methods
            .iter()
            .map(|each| each.name)
            .filter(|name| *name != method::NONE.name)
            .collect();
        let list = names.join(",");
        // Names of methods are short, printable words: the list is always one.
        let authentications_that_can_continue = NameList::new(&list).unwrap_or_default();
        self.transport.send(&UserauthFailure {
            authentications_that_can_continue,
            partial_success,
        })
    }
}

impl Progress {
    /// The method of this name, if it may be tried.
    fn method(&self, name: &str) -> Option<&'static Method> {
        self.methods
            .iter()
            .copied()
            .find(|method| method.is_meant_by(name))
    }
}

fn unexpected(packet: &Packet, place: Place) -> Error {
    Misbehaviour::Unexpected {
        number: packet.message_number(),
        place,
    }
    .into()
}

/// A banner as it is sent: line ends as RFC 4252 §5.4 wants them, and not too long.
fn wire_banner(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let end = (0..=MAX_BANNER_BYTES.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
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
        let own = match self.state {
            State::LoggedIn(_) | State::Ended | State::Failed(_) => None,
            State::ExpectReplyTime(due) => Some(self.deadline.map_or(due, |deadline| deadline.min(due))),
            _ => self.deadline,
        };
        [own, self.transport.deadline()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_are_cut_and_their_lines_end_as_the_rfc_says() {
        assert_eq!(wire_banner("a\nb\r\nc"), "a\r\nb\r\nc");
        let long = "ü".repeat(MAX_BANNER_BYTES);
        assert_eq!(wire_banner(&long).len(), MAX_BANNER_BYTES);
        assert_eq!(wire_banner(&format!("x{long}")).len(), MAX_BANNER_BYTES - 1);
    }
}
