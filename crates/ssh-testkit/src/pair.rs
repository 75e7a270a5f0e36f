//! Client and server in memory: two real machines, a wire between them, a clock that the test moves.
//!
//! ```text
//!  Setup ──transports──▶ two Transports ──sessions──▶ two Sessions ──connect──▶ Pair of Connections
//! ```
//!
//! A story reads: make a [`Pair`], do something on one side, [`pump`](Pair::pump), look at the events of the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ssh_client::auth::{self, Session, UserName, client, server};
use ssh_client::channel::{self, Connection, Event};
use ssh_client::kex::{self, Handshake, HandshakeEvent, Transport};
use ssh_client::keys::{PrivateKey, Signer};
use ssh_client::wire::Layer;

use crate::clock::Clock;
use crate::link::{Feed, Link};
use crate::rng::seeded;

/// Rounds after which a pair that still talks is said to talk for ever.
const MOST_ROUNDS: usize = 10_000_000;

/// How a pair is made.
#[derive(Debug)]
pub struct Setup {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// How bytes arrive.
    pub feed: Feed,
    /// How long they travel.
    pub latency: Duration,
    /// The client's transport.
    pub client: kex::Config,
    /// The server's transport.
    pub server: kex::Config,
    /// The client's connection.
    pub client_connection: channel::Config,
    /// The server's connection.
    pub server_connection: channel::Config,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            feed: Feed::Whole,
            latency: Duration::ZERO,
            client: kex::Config::default(),
            server: kex::Config::default(),
            client_connection: channel::Config::default(),
            server_connection: channel::Config {
                accept_opens: channel::ChannelType::NAMES.to_vec(),
                ..channel::Config::default()
            },
        }
    }
}

/// Two machines of one kind and what lies between them.
#[derive(Debug)]
pub struct Ends<C, S> {
    /// The client's machine.
    pub client: C,
    /// The server's machine.
    pub server: S,
    /// The bytes on their way to the server.
    pub up: Link,
    /// The bytes on their way to the client.
    pub down: Link,
    /// The time for both.
    pub clock: Clock,
}

/// What one side answers an event with, done on its machine.
type Answer<'a, L> = &'a mut dyn FnMut(&mut L, <L as Layer>::Event);

impl<C: Layer, S: Layer> Ends<C, S> {
    /// Lets both sides talk until neither has anything to say. Time does not pass.
    ///
    /// # Errors
    /// The first side that ends the connection, and why.
    ///
    /// # Panics
    /// They talk for ever.
    pub fn settle(
        &mut self,
        on_client: Answer<'_, C>,
        on_server: Answer<'_, S>,
    ) -> Result<(), Fault<C::Error, S::Error>> {
        for _ in 0..MOST_ROUNDS {
            let now = self.clock.now();
            drain(&mut self.client, now, on_client).map_err(Fault::Client)?;
            self.up.collect(&mut self.client, now);
            drain(&mut self.server, now, on_server).map_err(Fault::Server)?;
            self.down.collect(&mut self.server, now);
            let (up, down) = (self.up.deliver(now), self.down.deliver(now));
            if up.is_none() && down.is_none() {
                return Ok(());
            }
            self.server
                .read_buffer()
                .extend_from_slice(&up.unwrap_or_default());
            self.client
                .read_buffer()
                .extend_from_slice(&down.unwrap_or_default());
        }
        panic!("two machines talk for ever")
    }

    /// Moves the clock to whatever happens next: bytes that arrive, or a deadline. False if nothing ever will.
    pub fn skip(&mut self) -> bool {
        let next = [
            self.up.arrival(),
            self.down.arrival(),
            self.client.deadline(),
            self.server.deadline(),
        ];
        let Some(next) = next.into_iter().flatten().min() else {
            return false;
        };
        self.clock.advance_to(next);
        true
    }
}

fn drain<L: Layer>(layer: &mut L, now: std::time::Instant, answer: Answer<'_, L>) -> Result<(), L::Error> {
    while let Some(event) = layer.poll(now)? {
        answer(layer, event);
    }
    Ok(())
}

/// Who ended the connection.
#[derive(Debug)]
pub enum Fault<C, S> {
    /// The client.
    Client(C),
    /// The server.
    Server(S),
}

impl Setup {
    /// The same with another way of cutting bytes.
    #[must_use]
    pub fn fed(self, feed: Feed) -> Self {
        Self { feed, ..self }
    }

    /// The two handshakes, before any byte has moved.
    pub fn handshakes(&self) -> Ends<Handshake, Handshake> {
        let clock = Clock::default();
        let host_key: Arc<dyn Signer> = Arc::new(self.host_key());
        let client = Handshake::client(
            Arc::new(self.client.clone()),
            seeded(self.seed ^ 0xc11e),
            clock.now(),
        );
        let server = Handshake::server(
            Arc::new(self.server.clone()),
            vec![host_key],
            seeded(self.seed ^ 0x5e11),
            clock.now(),
        );
        let link = |salt: u64| Link::new(self.feed, self.seed ^ salt, self.latency);
        Ends {
            client,
            server,
            up: link(1),
            down: link(2),
            clock,
        }
    }

    /// The host key of the server.
    pub fn host_key(&self) -> PrivateKey {
        PrivateKey::generate_ed25519(&mut *seeded(self.seed ^ 0x4057), "host")
    }

    /// The key the user logs in with.
    pub fn user_key(&self) -> PrivateKey {
        PrivateKey::generate_ed25519(&mut *seeded(self.seed ^ 0x05e1), "user")
    }

    /// After the first key exchange; the client accepts the host key.
    ///
    /// # Panics
    /// The handshake fails.
    pub fn transports(&self) -> Ends<Transport, Transport> {
        let mut ends = self.handshakes();
        let (mut client_done, mut server_done) = (false, false);
        while !(client_done && server_done) {
            let settled = ends.settle(
                &mut |layer, event| match event {
                    HandshakeEvent::HostKey(offer) => layer.answer(offer.accept()),
                    HandshakeEvent::Established => client_done = true,
                },
                &mut |_, event| server_done |= matches!(event, HandshakeEvent::Established),
            );
            settled.unwrap_or_else(|fault| panic!("the handshake failed: {fault:?}"));
            assert!(
                (client_done && server_done) || ends.skip(),
                "the handshake stands still"
            );
        }
        let Ends {
            client,
            server,
            up,
            down,
            clock,
        } = ends;
        let [client, server] = [client, server].map(|side| side.into_transport().expect("it is established"));
        Ends {
            client,
            server,
            up,
            down,
            clock,
        }
    }

    /// After a login by key.
    ///
    /// # Panics
    /// The login fails.
    pub fn sessions(&self) -> Ends<Session, Session> {
        let Ends {
            client,
            server,
            up,
            down,
            clock,
        } = self.transports();
        let user = UserName::new("story").expect("a user name");
        let client = client::Authenticator::new(client, user);
        let server = server::Authenticator::new(server, server::Policy::default(), clock.now());
        let mut ends = Ends {
            client,
            server,
            up,
            down,
            clock,
        };
        let key = self.user_key();
        let (mut client_done, mut server_done) = (false, false);
        while !(client_done && server_done) {
            let settled = ends.settle(
                &mut |layer, event| client_done |= login(layer, event, &key),
                &mut |layer, event| server_done |= admit(layer, event, &key),
            );
            settled.unwrap_or_else(|fault| panic!("the login failed: {fault:?}"));
            assert!(
                (client_done && server_done) || ends.skip(),
                "the login stands still"
            );
        }
        let Ends {
            client,
            server,
            up,
            down,
            clock,
        } = ends;
        let client = client.into_session().expect("it is logged in");
        let server = server.into_session().expect("it is logged in");
        Ends {
            client,
            server,
            up,
            down,
            clock,
        }
    }

    /// The whole way up: two connections.
    pub fn connect(&self) -> Pair {
        let Ends {
            client,
            server,
            up,
            down,
            clock,
        } = self.sessions();
        let client = Connection::new(client, self.client_connection.clone());
        let server = Connection::new(server, self.server_connection.clone());
        let ends = Ends {
            client,
            server,
            up,
            down,
            clock,
        };
        Pair {
            ends,
            client_events: VecDeque::new(),
            server_events: VecDeque::new(),
        }
    }
}

fn login(layer: &mut client::Authenticator, event: client::Event, key: &PrivateKey) -> bool {
    match event {
        client::Event::Turn(turn) => {
            let algorithm = key.algorithms()[0];
            layer.attempt(turn.publickey(key.public().clone(), algorithm));
        }
        client::Event::SignatureWanted(request) => match request.sign_with(key) {
            Ok(signed) | Err((_, signed)) => layer.signed(signed),
        },
        client::Event::Success => return true,
        _ => {}
    }
    false
}

fn admit(layer: &mut server::Authenticator, event: auth::method::ServerEvent, key: &PrivateKey) -> bool {
    match event {
        auth::method::ServerEvent::Attempt(auth::method::Attempt::PublicKey(attempt)) => {
            let verdict = if attempt.key() == key.public() {
                attempt.accept()
            } else {
                attempt.reject()
            };
            layer.answer(verdict);
        }
        auth::method::ServerEvent::Attempt(attempt) => layer.answer(attempt.reject()),
        auth::method::ServerEvent::Success(_) => return true,
        auth::method::ServerEvent::Failed { .. } | _ => {}
    }
    false
}

/// Two connections and the events nobody has looked at yet.
pub struct Pair {
    /// The machines and the wire.
    pub ends: Ends<Connection, Connection>,
    /// What the client reported.
    pub client_events: VecDeque<Event>,
    /// What the server reported.
    pub server_events: VecDeque<Event>,
}

impl Pair {
    /// Lets both sides talk until nothing more happens at this moment; their events pile up.
    ///
    /// # Errors
    /// The side that ended the connection, and why.
    pub fn pump(&mut self) -> Result<(), Fault<channel::Error, channel::Error>> {
        let Self {
            ends,
            client_events,
            server_events,
        } = self;
        ends.settle(&mut |_, event| client_events.push_back(event), &mut |_, event| {
            server_events.push_back(event)
        })
    }

    /// As [`pump`](Self::pump), and lets `by` pass in steps: everything that is due on the way happens in its order.
    ///
    /// # Errors
    /// The side that ended the connection, and why.
    pub fn pass(&mut self, by: Duration) -> Result<(), Fault<channel::Error, channel::Error>> {
        let until = self.ends.clock.now() + by;
        loop {
            self.pump()?;
            let mut next = self.ends.clock;
            let moved = self.ends.skip();
            if !moved || self.ends.clock.now() > until || self.ends.clock.now() == next.now() {
                next.advance_to(until);
                self.ends.clock = next;
                return self.pump();
            }
        }
    }
}
