//! One of our machines with everything above it, in memory: what a hostile peer is let loose on.
//!
//! ```text
//!  Handshake ──▶ client or server Authenticator ──▶ Connection          each event: one answer, one mark in Told
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_client::auth::method::{Attempt, ServerEvent};
use ssh_client::auth::{UserName, client, server};
use ssh_client::channel::{self, Connection, Event};
use ssh_client::kex::{Config, Handshake, HandshakeEvent, Role};
use ssh_client::keys::{PrivateKey, Signer};
use ssh_client::wire::Layer;

use super::target::Target;
use crate::clock::Clock;
use crate::rng::seeded;

/// What the application behind a victim does.
#[derive(Debug, Clone)]
pub struct Answers {
    /// As a server: who may try what.
    pub policy: server::Policy,
    /// As a server: never answers an attempt to log in.
    pub thinks_for_ever: bool,
    /// As a client: asks whether a signature by its key would help before it signs.
    pub asks_before_signing: bool,
    /// As a client: how many attempts it makes; then it sits there.
    pub attempts: usize,
    /// The room of channels.
    pub connection: channel::Config,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            policy: server::Policy::default(),
            thinks_for_ever: false,
            asks_before_signing: false,
            attempts: 1,
            connection: channel::Config {
                accept_opens: channel::ChannelType::NAMES.to_vec(),
                ..channel::Config::default()
            },
        }
    }
}

/// What a victim reported to its application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Host keys to decide on.
    pub host_keys: usize,
    /// Attempts to log in (server), turns to try something (client).
    pub attempts: usize,
    /// Logins.
    pub logins: usize,
    /// Anything of the rooms above authentication: channels, requests, data.
    pub above: usize,
    /// Changes of keys after login.
    pub rekeyed: usize,
}

enum Machine {
    Handshake(Box<Handshake>),
    Client(Box<client::Authenticator>),
    Server(Box<server::Authenticator>),
    Connection(Box<Connection>),
    /// Only while one becomes the next.
    Moving,
}

/// A machine of ours, its application and its clock.
pub struct Victim {
    machine: Machine,
    answers: Answers,
    user_key: PrivateKey,
    clock: Clock,
    /// What it reported.
    pub told: Told,
    /// The channels its application has accepted.
    pub channels: Vec<channel::ChannelId>,
    error: Option<String>,
}

impl Victim {
    /// A machine with that role. A server's host key is [`host_key`](Self::host_key).
    pub fn new(role: Role, config: Config, answers: Answers) -> Self {
        let host_key: Arc<dyn Signer> = Arc::new(Self::host_key());
        Self::with_host_keys(role, config, answers, vec![host_key])
    }

    /// The same; a server proves itself with these keys.
    pub fn with_host_keys(
        role: Role,
        config: Config,
        answers: Answers,
        host_keys: Vec<Arc<dyn Signer>>,
    ) -> Self {
        let clock = Clock::default();
        let (config, now) = (Arc::new(config), clock.now());
        let handshake = match role {
            Role::Client => Handshake::client(config, seeded(11), now),
            Role::Server => Handshake::server(config, host_keys, seeded(12), now),
        };
        Self {
            machine: Machine::Handshake(Box::new(handshake)),
            answers,
            user_key: Self::user_key(),
            clock,
            told: Told::default(),
            channels: Vec::new(),
            error: None,
        }
    }

    /// A machine with default settings, but for a fast method.
    ///
    /// # Panics
    /// The method is not registered.
    pub fn plain(role: Role) -> Self {
        Self::new(role, Self::config(), Answers::default())
    }

    /// Default settings, but for a fast method.
    ///
    /// # Panics
    /// The method is not registered.
    pub fn config() -> Config {
        let mut config = Config::default();
        config
            .preferences
            .edit_kex("curve25519-sha256")
            .expect("a registered method");
        config
    }

    /// The host key of servers.
    pub fn host_key() -> PrivateKey {
        PrivateKey::generate_ed25519(&mut *seeded(13), "host")
    }

    /// The only key that logs in, and the one that clients log in with.
    pub fn user_key() -> PrivateKey {
        PrivateKey::generate_ed25519(&mut *seeded(14), "user")
    }

    /// The name that clients log in with.
    pub const USER: &str = "victim";

    // ---- what happens to it ------------------------------------------------------------------------------------------

    /// Bytes stand in its read buffer; nothing is done about them until [`settle`](Self::settle).
    pub fn receive(&mut self, bytes: &[u8]) {
        match &mut self.machine {
            Machine::Handshake(layer) => layer.read_buffer().extend_from_slice(bytes),
            Machine::Client(layer) => layer.read_buffer().extend_from_slice(bytes),
            Machine::Server(layer) => layer.read_buffer().extend_from_slice(bytes),
            Machine::Connection(layer) => layer.read_buffer().extend_from_slice(bytes),
            Machine::Moving => {}
        }
    }

    /// Polls until nothing is left to do.
    pub fn settle(&mut self) {
        while self.error.is_none() {
            match self.poll_once() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Time passes at once.
    pub fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    /// What it has to send.
    pub fn output(&mut self) -> Vec<u8> {
        fn taken(layer: &mut impl Layer) -> Vec<u8> {
            let bytes = std::mem::take(layer.transmit());
            layer.transmitted(bytes.len());
            bytes
        }
        match &mut self.machine {
            Machine::Handshake(layer) => taken(&mut **layer),
            Machine::Client(layer) => taken(&mut **layer),
            Machine::Server(layer) => taken(&mut **layer),
            Machine::Connection(layer) => taken(&mut **layer),
            Machine::Moving => Vec::new(),
        }
    }

    /// How much it has to send.
    pub fn output_len(&mut self) -> usize {
        match &mut self.machine {
            Machine::Handshake(layer) => layer.transmit().len(),
            Machine::Client(layer) => layer.transmit().len(),
            Machine::Server(layer) => layer.transmit().len(),
            Machine::Connection(layer) => layer.transmit().len(),
            Machine::Moving => 0,
        }
    }

    /// Begins to change keys, as it does when they are worn.
    ///
    /// # Panics
    /// Nobody is logged in.
    pub fn start_rekey(&mut self) {
        let now = self.clock.now();
        self.connection().start_rekey(now);
        self.settle();
    }

    /// The room of channels.
    ///
    /// # Panics
    /// Nobody is logged in.
    pub fn connection(&mut self) -> &mut Connection {
        match &mut self.machine {
            Machine::Connection(connection) => connection,
            _ => panic!("nobody is logged in: {:?}", self.error),
        }
    }

    /// Whether keys are in use.
    pub const fn is_keyed(&self) -> bool {
        !matches!(self.machine, Machine::Handshake(_))
    }

    /// Why it ended the connection, if it did.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The session identifier it holds; `None` before there are keys.
    pub fn session_id(&self) -> Option<Vec<u8>> {
        match &self.machine {
            Machine::Client(layer) => Some(layer.transport().session_id().to_vec()),
            Machine::Server(layer) => Some(layer.transport().session_id().to_vec()),
            Machine::Connection(layer) => Some(layer.session().session_id().to_vec()),
            Machine::Handshake(_) | Machine::Moving => None,
        }
    }

    /// When it will do something by itself.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Handshake(layer) => layer.deadline(),
            Machine::Client(layer) => layer.deadline(),
            Machine::Server(layer) => layer.deadline(),
            Machine::Connection(layer) => layer.deadline(),
            Machine::Moving => None,
        }
    }

    /// Its present.
    pub const fn now(&self) -> Instant {
        self.clock.now()
    }

    // ---- how it lives ------------------------------------------------------------------------------------------------

    /// One poll and the answer to what it told; whether there was anything.
    fn poll_once(&mut self) -> Result<bool, String> {
        let now = self.clock.now();
        match &mut self.machine {
            Machine::Handshake(handshake) => match handshake.poll(now).map_err(|error| error.to_string())? {
                None => return Ok(false),
                Some(HandshakeEvent::HostKey(offer)) => {
                    self.told.host_keys += 1;
                    handshake.answer(offer.accept());
                }
                Some(HandshakeEvent::Established) => self.begin_login(),
            },
            Machine::Client(layer) => match layer.poll(now).map_err(|error| error.to_string())? {
                None => return Ok(false),
                Some(event) => self.as_client(event),
            },
            Machine::Server(layer) => match layer.poll(now).map_err(|error| error.to_string())? {
                None => return Ok(false),
                Some(event) => self.as_server(event),
            },
            Machine::Connection(layer) => match layer.poll(now).map_err(|error| error.to_string())? {
                None => return Ok(false),
                Some(event) => self.as_connection(event),
            },
            Machine::Moving => return Ok(false),
        }
        Ok(true)
    }

    fn begin_login(&mut self) {
        let Machine::Handshake(handshake) = std::mem::replace(&mut self.machine, Machine::Moving) else {
            unreachable!("only a handshake is established")
        };
        let transport = handshake.into_transport().expect("it is established");
        self.machine = match transport.role() {
            Role::Client => {
                let user = UserName::new(Self::USER).expect("a user name");
                Machine::Client(Box::new(client::Authenticator::new(transport, user)))
            }
            Role::Server => Machine::Server(Box::new(server::Authenticator::new(
                transport,
                self.answers.policy.clone(),
                self.clock.now(),
            ))),
        };
    }

    fn begin_connection(&mut self) {
        self.told.logins += 1;
        let session = match std::mem::replace(&mut self.machine, Machine::Moving) {
            Machine::Client(layer) => layer.into_session().expect("it is logged in"),
            Machine::Server(layer) => layer.into_session().expect("it is logged in"),
            _ => unreachable!("only a login logs in"),
        };
        let connection = Connection::new(session, self.answers.connection.clone());
        self.machine = Machine::Connection(Box::new(connection));
    }

    fn as_client(&mut self, event: client::Event) {
        let Machine::Client(layer) = &mut self.machine else {
            return;
        };
        match event {
            client::Event::Turn(turn) => {
                self.told.attempts += 1;
                if self.told.attempts <= self.answers.attempts {
                    let (key, algorithm) = (self.user_key.public().clone(), self.user_key.algorithms()[0]);
                    layer.attempt(if self.answers.asks_before_signing {
                        turn.publickey_query(key, algorithm)
                    } else {
                        turn.publickey(key, algorithm)
                    });
                }
            }
            client::Event::SignatureWanted(request) => match request.sign_with(&self.user_key) {
                Ok(signed) | Err((_, signed)) => layer.signed(signed),
            },
            client::Event::HostKey(offer) => {
                self.told.host_keys += 1;
                layer.answer(offer.accept());
            }
            client::Event::Success => self.begin_connection(),
            _ => {}
        }
    }

    fn as_server(&mut self, event: ServerEvent) {
        let Machine::Server(layer) = &mut self.machine else {
            return;
        };
        match event {
            ServerEvent::Attempt(attempt) => {
                self.told.attempts += 1;
                if self.answers.thinks_for_ever {
                    return;
                }
                let right = self.user_key.public();
                layer.answer(match attempt {
                    Attempt::PublicKey(attempt) if attempt.key() == right => attempt.accept(),
                    Attempt::PublicKeyQuery(query) if query.key_asked_about() == right => query.accept(),
                    attempt => attempt.reject(),
                });
            }
            ServerEvent::Success(_) => self.begin_connection(),
            _ => {}
        }
    }

    fn as_connection(&mut self, event: Event) {
        let Machine::Connection(layer) = &mut self.machine else {
            return;
        };
        match event {
            Event::Rekeyed => self.told.rekeyed += 1,
            Event::HostKey(offer) => {
                self.told.host_keys += 1;
                layer.answer_host_key(offer.accept());
            }
            event => {
                self.told.above += 1;
                match event {
                    Event::Open(opening) => self.channels.push(layer.accept(opening)),
                    Event::Request {
                        reply: Some(reply), ..
                    } => layer.answer(reply, false),
                    Event::GlobalRequest {
                        reply: Some(reply), ..
                    } => layer.answer_global(reply, None),
                    _ => {}
                }
            }
        }
    }
}

impl Target for Victim {
    fn give(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.receive(bytes);
            self.settle();
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = self.output();
        // What waited for room to answer goes on now.
        self.settle();
        bytes.extend(self.output());
        bytes
    }

    fn is_over(&self) -> bool {
        self.error.is_some()
    }
}

impl std::fmt::Debug for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = match self.machine {
            Machine::Handshake(_) => "Handshake",
            Machine::Client(_) => "client Authenticator",
            Machine::Server(_) => "server Authenticator",
            Machine::Connection(_) => "Connection",
            Machine::Moving => "Moving",
        };
        f.debug_struct("Victim")
            .field("machine", &machine)
            .field("told", &self.told)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
