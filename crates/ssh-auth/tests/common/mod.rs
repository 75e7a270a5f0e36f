//! Both sides in memory on real handshakes: two authenticators that talk to each other, or one and a raw peer that may
//! say anything.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a shelf for tests: every test file uses its part"
)]

pub mod server_places;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chacha20::ChaCha20Rng;
use ssh_auth::kex::{self, Config, Handshake, HandshakeEvent, Transport, TransportEvent};
use ssh_auth::keys::{PrivateKey, PublicKey, Signer};
use ssh_auth::messages::{ServiceRequest, UserauthRequest};
use ssh_auth::server::{self, Attempt, Policy, Verdict};
use ssh_auth::wire::rand_core::SeedableRng;
use ssh_auth::wire::{Encode, Identification, Layer, Message, Packet, Rest, Writer};
use ssh_auth::{Authenticated, Session, UserName, client};

pub fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// A key that is always the same for a seed.
pub fn key(seed: u8) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate_ed25519(&mut rng(seed), "test"))
}

pub fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

/// Any payload at all.
pub struct Raw(pub Vec<u8>);

impl Encode for Raw {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.0);
    }
}

impl Message for Raw {
    const NUMBER: u8 = 0;
    const NAME: &'static str = "raw";
}

/// Moves all bytes, whole.
pub fn carry(from: &mut impl Layer, to: &mut impl Layer) -> usize {
    let bytes = std::mem::take(from.transmit());
    from.transmitted(bytes.len());
    to.read_buffer().extend_from_slice(&bytes);
    bytes.len()
}

/// Client and server behind their first key exchange. Differently seeded pairs are different connections.
pub fn transports(seed: u8) -> (Transport, Transport) {
    transports_with(seed, Identification::ours("Bowline_0", None).unwrap())
}

/// The same where the server calls itself something else.
pub fn transports_with(seed: u8, server_line: Identification) -> (Transport, Transport) {
    let now = Instant::now();
    let mut config = Config::default();
    config.preferences.edit_kex("curve25519-sha256").unwrap();
    let server_config = Config {
        identification: server_line,
        ..config.clone()
    };
    let config = Arc::new(config);
    let host_key: Arc<dyn Signer> = key(200);
    let mut client = Handshake::client(Arc::clone(&config), Box::new(rng(seed)), now);
    let server_rng = Box::new(rng(seed.wrapping_add(128)));
    let mut server = Handshake::server(Arc::new(server_config), vec![host_key], server_rng, now);
    let (mut client_done, mut server_done) = (false, false);
    for _ in 0..20 {
        while let Some(event) = client.poll(now).unwrap() {
            match event {
                HandshakeEvent::HostKey(offer) => client.answer(offer.accept()),
                HandshakeEvent::Established => client_done = true,
            }
        }
        carry(&mut client, &mut server);
        while let Some(event) = server.poll(now).unwrap() {
            server_done |= matches!(event, HandshakeEvent::Established);
        }
        carry(&mut server, &mut client);
        if client_done && server_done {
            break;
        }
    }
    (client.into_transport().unwrap(), server.into_transport().unwrap())
}

/// One side of which a test decides every byte.
pub struct RawPeer {
    pub transport: Transport,
    /// What the other side said, without the transport's own messages.
    pub heard: VecDeque<Packet>,
    /// How the connection ended, if it did.
    pub end: Option<kex::Error>,
}

impl RawPeer {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            heard: VecDeque::new(),
            end: None,
        }
    }

    pub fn send(&mut self, payload: &[u8]) {
        self.transport.send(&Raw(payload.to_vec())).unwrap();
    }

    pub fn say(&mut self, message: &impl Encode) {
        self.send(&message.to_bytes());
    }

    pub fn listen(&mut self, now: Instant) {
        loop {
            match self.transport.poll(now) {
                Ok(Some(TransportEvent::Packet(packet))) => self.heard.push_back(packet),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    self.end = Some(error);
                    return;
                }
            }
        }
    }

    /// What was heard since the last call, as payloads.
    pub fn take_heard(&mut self) -> Vec<Vec<u8>> {
        self.heard
            .drain(..)
            .map(|packet| packet.payload.to_vec())
            .collect()
    }

    /// The numbers heard since the last call.
    pub fn numbers(&mut self) -> Vec<u8> {
        self.heard.drain(..).map(|packet| packet.number()).collect()
    }

    /// The reason and text of the DISCONNECT that was heard.
    pub fn farewell(&self) -> Option<(u32, String)> {
        match &self.end {
            Some(kex::Error::Disconnected { reason, description }) => {
                Some((reason.code(), description.clone()))
            }
            _ => None,
        }
    }
}

/// A server under test, a raw client before it, an application that notes what it is asked.
pub struct ServerTest {
    pub client: RawPeer,
    pub server: server::Authenticator,
    pub session_id: Vec<u8>,
    pub now: Instant,
    /// Questions not answered yet.
    pub asked: Vec<Attempt>,
    pub questions: usize,
    pub failed: Vec<(String, String)>,
    /// The key of the last one that did.
    pub failed_key: Option<PublicKey>,
    pub debugs: Vec<String>,
    pub success: Option<Authenticated>,
    pub error: Option<ssh_auth::Error>,
}

impl ServerTest {
    pub fn new(policy: Policy) -> Self {
        Self::seeded(1, policy)
    }

    pub fn seeded(seed: u8, policy: Policy) -> Self {
        let (client, server) = transports(seed);
        let now = Instant::now();
        let session_id = client.session_id().to_vec();
        let server = server::Authenticator::new(server, policy, now);
        Self {
            client: RawPeer::new(client),
            server,
            session_id,
            now,
            asked: Vec::new(),
            questions: 0,
            failed: Vec::new(),
            failed_key: None,
            debugs: Vec::new(),
            success: None,
            error: None,
        }
    }

    /// With the service accepted, and no delays.
    pub fn open(policy: Policy) -> Self {
        Self::new(Policy {
            failure_delay: Duration::ZERO,
            ..policy
        })
        .opened()
    }

    /// With the service accepted, and this delay of refusals.
    pub fn open_with_delay(failure_delay: Duration) -> Self {
        Self::new(Policy {
            failure_delay,
            ..Policy::default()
        })
        .opened()
    }

    fn opened(mut self) -> Self {
        self.client.say(&ServiceRequest {
            service_name: "ssh-userauth",
        });
        self.go();
        assert_eq!(self.client.numbers(), [6]);
        self
    }

    /// Carries everything until nobody has anything to say.
    pub fn go(&mut self) {
        loop {
            let sent = carry(&mut self.client.transport, &mut self.server);
            self.poll();
            let answered = carry(&mut self.server, &mut self.client.transport);
            self.client.listen(self.now);
            if sent + answered == 0 {
                return;
            }
        }
    }

    fn poll(&mut self) {
        loop {
            match self.server.poll(self.now) {
                Ok(Some(server::Event::Attempt(attempt))) => {
                    self.questions += 1;
                    self.asked.push(attempt);
                }
                Ok(Some(server::Event::Failed { user, method, key })) => {
                    self.failed.push((user, method));
                    self.failed_key = key;
                }
                Ok(Some(server::Event::Debug(message))) => self.debugs.push(message.text),
                Ok(Some(server::Event::Success(authenticated))) => self.success = Some(authenticated),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => return,
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            }
        }
    }

    pub fn send(&mut self, payload: &[u8]) {
        self.client.send(payload);
        self.go();
    }

    /// Answers the question asked last.
    pub fn answer(&mut self, decide: impl FnOnce(Attempt) -> Verdict) {
        let attempt = self.asked.pop().expect("nothing was asked");
        self.server.answer(decide(attempt));
        self.go();
    }

    pub fn into_session(self) -> (Session, RawPeer) {
        (self.server.into_session().unwrap(), self.client)
    }
}

/// A USERAUTH_REQUEST for the connection service.
pub fn request(user: &[u8], method: &str, fields: &[u8]) -> Vec<u8> {
    UserauthRequest {
        user_name: user,
        service_name: "ssh-connection",
        method_name: method,
        method_fields: Rest(fields),
    }
    .to_bytes()
}

pub fn none(user: &str) -> Vec<u8> {
    request(user.as_bytes(), "none", b"")
}

pub fn password(user: &str, password: &str) -> Vec<u8> {
    request(
        user.as_bytes(),
        "password",
        &fields(|writer| {
            writer.boolean(false);
            writer.string(password.as_bytes());
        }),
    )
}

pub fn query(user: &str, key: &PrivateKey) -> Vec<u8> {
    request(
        user.as_bytes(),
        "publickey",
        &key_fields(false, "ssh-ed25519", key.public().blob()),
    )
}

/// A signed request: the layout of RFC 4252 §7, written out once more.
pub fn signed(session_id: &[u8], user: &str, key: &PrivateKey) -> Vec<u8> {
    let request = request(
        user.as_bytes(),
        "publickey",
        &key_fields(true, "ssh-ed25519", key.public().blob()),
    );
    let data = fields(|writer| {
        writer.string(session_id);
        writer.raw(&request);
    });
    let signature = key.sign(key.algorithms()[0], &data).unwrap();
    [request, fields(|writer| writer.string(&signature))].concat()
}

pub fn key_fields(signed: bool, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    fields(|writer| {
        writer.boolean(signed);
        writer.string(algorithm.as_bytes());
        writer.string(blob);
    })
}

pub fn fields(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Writer::new(&mut out));
    out
}

/// A client under test and a raw server behind it.
pub struct ClientTest {
    pub client: client::Authenticator,
    pub server: RawPeer,
    pub now: Instant,
    /// Events the test has not looked at.
    pub events: VecDeque<client::Event>,
    pub debugs: Vec<String>,
    pub error: Option<ssh_auth::Error>,
}

impl ClientTest {
    pub fn new() -> Self {
        Self::seeded(1)
    }

    pub fn seeded(seed: u8) -> Self {
        Self::over(transports(seed))
    }

    pub fn over((client, server): (Transport, Transport)) -> Self {
        let client = client::Authenticator::new(client, user("alice"));
        let mut test = Self {
            client,
            server: RawPeer::new(server),
            now: Instant::now(),
            events: VecDeque::new(),
            debugs: Vec::new(),
            error: None,
        };
        test.go();
        test
    }

    /// With the service accepted; the first turn waits.
    pub fn open() -> Self {
        let mut test = Self::new();
        assert_eq!(test.server.numbers(), [5]);
        test.send(b"\x06\0\0\0\x0cssh-userauth");
        test
    }

    pub fn go(&mut self) {
        loop {
            self.poll();
            let sent = carry(&mut self.client, &mut self.server.transport);
            self.server.listen(self.now);
            let answered = carry(&mut self.server.transport, &mut self.client);
            if sent + answered == 0 {
                return;
            }
        }
    }

    fn poll(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Ok(Some(client::Event::Debug(message))) => self.debugs.push(message.text),
                Ok(Some(event)) => self.events.push_back(event),
                Ok(None) => return,
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            }
        }
    }

    pub fn send(&mut self, payload: &[u8]) {
        self.server.send(payload);
        self.go();
    }

    pub fn turn(&mut self) -> client::Turn {
        match self.events.pop_front() {
            Some(client::Event::Turn(turn)) => turn,
            other => panic!("no turn but {other:?}, {:?}", self.error),
        }
    }

    pub fn signing(&mut self) -> client::SigningRequest {
        match self.events.pop_front() {
            Some(client::Event::SignatureWanted(request)) => request,
            other => panic!("no signing request but {other:?}"),
        }
    }

    pub fn attempt(&mut self, attempt: client::Attempt) {
        self.client.attempt(attempt);
        self.go();
    }

    pub fn signed(&mut self, signed: client::Signed) {
        self.client.signed(signed);
        self.go();
    }

    pub fn succeeded(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, client::Event::Success))
    }
}

/// USERAUTH_FAILURE.
pub fn failure(methods: &str, partial: bool) -> Vec<u8> {
    let mut payload = vec![51];
    payload.extend(fields(|writer| {
        writer.string(methods.as_bytes());
        writer.boolean(partial);
    }));
    payload
}

/// The name of requests that hold the server's host key.
pub const HOSTBOUND: &str = "publickey-hostbound-v00@openssh.com";

/// Their own fields: what is signed ends with them, and the signature follows.
pub fn bound_fields(signed: bool, key: &PrivateKey, host_key: &[u8]) -> Vec<u8> {
    fields(|writer| {
        writer.boolean(signed);
        writer.string(b"ssh-ed25519");
        writer.string(key.public().blob());
        writer.string(host_key);
    })
}

/// A signed request under this name that holds a host key, made over `session_id`.
pub fn bound(session_id: &[u8], name: &str, key: &PrivateKey, host_key: &[u8]) -> Vec<u8> {
    let request = request(b"alice", name, &bound_fields(true, key, host_key));
    let data = fields(|writer| {
        writer.string(session_id);
        writer.raw(&request);
    });
    let signature = key.sign(key.algorithms()[0], &data).unwrap();
    [request, fields(|writer| writer.string(&signature))].concat()
}

/// The blob of the server's host key.
pub fn host_key() -> Vec<u8> {
    key(200).public().blob().to_vec()
}

/// PK_OK for a key.
pub fn pk_ok(key: &PrivateKey) -> Vec<u8> {
    let mut payload = vec![60];
    payload.extend(fields(|writer| {
        writer.string(b"ssh-ed25519");
        writer.string(key.public().blob());
    }));
    payload
}

pub fn banner(text: &[u8]) -> Vec<u8> {
    let mut payload = vec![53];
    payload.extend(fields(|writer| {
        writer.string(text);
        writer.string(b"");
    }));
    payload
}

pub fn change_request(prompt: &[u8]) -> Vec<u8> {
    let mut payload = banner(prompt);
    payload[0] = 60;
    payload
}

/// Whether this room refused a message because it does not decode.
pub fn is_malformed(error: Option<&ssh_auth::Error>) -> bool {
    matches!(
        error,
        Some(ssh_auth::Error::PeerMisbehaved(
            ssh_auth::Misbehaviour::Malformed { .. }
        ))
    )
}
