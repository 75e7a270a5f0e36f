//! What the tests of whole connections share: a seat that drives a machine and notes what it reports, a pump between
//! two seats, and (in `raw`) a peer played by hand.
#![allow(dead_code, reason = "every test file uses a part of this")]

pub(crate) mod raw;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chacha20::ChaCha20Rng;
use ssh_kex::keys::{PrivateKey, PublicKey, Signer};
use ssh_kex::wire::rand_core::{CryptoRng, Rng, SeedableRng};
use ssh_kex::wire::{Layer, Packet, number};
use ssh_kex::{
    Config, DebugMessage, Error, Extensions, Handshake, HandshakeEvent, HostKeyOffer, HostKeyVerdict,
    Preferences, Preset, Role, Transport, TransportEvent,
};

/// A generator that gives the same numbers every time.
pub(crate) fn seeded(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn boxed(seed: u64) -> Box<dyn CryptoRng + Send> {
    Box::new(seeded(seed))
}

pub(crate) fn host_key(seed: u64) -> PrivateKey {
    PrivateKey::generate_ed25519(&mut seeded(seed), "host")
}

pub(crate) fn signers(seed: u64) -> Vec<Arc<dyn Signer>> {
    vec![Arc::new(host_key(seed))]
}

/// A configuration that offers every algorithm.
pub(crate) fn everything() -> Config {
    Config {
        preferences: Preferences::preset(Preset::Legacy),
        ..Config::default()
    }
}

/// What a seat does when a host key is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Reject,
    /// Keeps the offer in `pending`.
    Wait,
}

enum Machine {
    Handshake(Box<Handshake>),
    Transport(Box<Transport>),
    Moving,
}

/// A machine with everything it reported.
pub(crate) struct Seat {
    machine: Machine,
    pub(crate) now: Instant,
    pub(crate) verdict: Verdict,
    /// As a client: takes USERAUTH_SUCCESS for what it says.
    pub(crate) logs_in: bool,
    pub(crate) pending: Option<HostKeyOffer>,
    pub(crate) offered: Vec<PublicKey>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) extensions: Option<Extensions>,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) debugs: Vec<DebugMessage>,
    pub(crate) unimplemented: Vec<u32>,
    pub(crate) rekeyed: usize,
    pub(crate) error: Option<Error>,
}

impl Seat {
    pub(crate) fn client(config: Config, seed: u64) -> Self {
        let now = Instant::now();
        Self::new(Handshake::client(Arc::new(config), boxed(seed), now), now)
    }

    /// A client with randomness of the test's own.
    pub(crate) fn client_drawing(config: Config, rng: Box<dyn CryptoRng + Send>) -> Self {
        let now = Instant::now();
        Self::new(Handshake::client(Arc::new(config), rng, now), now)
    }

    /// A server whose host key is `host_key(1)`.
    pub(crate) fn server(config: Config, seed: u64) -> Self {
        Self::server_with(config, signers(1), seed)
    }

    pub(crate) fn server_with(config: Config, host_keys: Vec<Arc<dyn Signer>>, seed: u64) -> Self {
        let now = Instant::now();
        Self::new(
            Handshake::server(Arc::new(config), host_keys, boxed(seed), now),
            now,
        )
    }

    pub(crate) fn of(role: Role, config: Config, seed: u64) -> Self {
        match role {
            Role::Client => Self::client(config, seed),
            Role::Server => Self::server(config, seed),
        }
    }

    fn new(handshake: Handshake, now: Instant) -> Self {
        Self {
            machine: Machine::Handshake(Box::new(handshake)),
            now,
            verdict: Verdict::Accept,
            logs_in: false,
            pending: None,
            offered: Vec::new(),
            packets: Vec::new(),
            extensions: None,
            pongs: Vec::new(),
            debugs: Vec::new(),
            unimplemented: Vec::new(),
            rekeyed: 0,
            error: None,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.machine, Machine::Transport(_))
    }

    pub(crate) fn transport(&mut self) -> &mut Transport {
        match &mut self.machine {
            Machine::Transport(transport) => transport,
            _ => panic!("no transport yet: {:?}", self.error),
        }
    }

    pub(crate) fn handshake(&mut self) -> &mut Handshake {
        match &mut self.machine {
            Machine::Handshake(handshake) => handshake,
            _ => panic!("the handshake is over"),
        }
    }

    /// Bytes arrive.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        match &mut self.machine {
            Machine::Handshake(handshake) => handshake.read_buffer().extend_from_slice(bytes),
            Machine::Transport(transport) => transport.read_buffer().extend_from_slice(bytes),
            Machine::Moving => unreachable!(),
        }
        self.settle();
    }

    /// Polls until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        while self.error.is_none() && self.poll_once() {}
    }

    fn poll_once(&mut self) -> bool {
        match &mut self.machine {
            Machine::Handshake(handshake) => match handshake.poll(self.now) {
                Ok(None) => false,
                Ok(Some(HandshakeEvent::HostKey(offer))) => {
                    self.take_offer(offer);
                    true
                }
                Ok(Some(HandshakeEvent::Established)) => {
                    let Machine::Handshake(handshake) = std::mem::replace(&mut self.machine, Machine::Moving)
                    else {
                        unreachable!()
                    };
                    self.machine = Machine::Transport(Box::new(handshake.into_transport().unwrap()));
                    true
                }
                Err(error) => self.fail(error),
            },
            Machine::Transport(transport) => match transport.poll(self.now) {
                Ok(None) => false,
                Ok(Some(event)) => {
                    self.note(event);
                    true
                }
                Err(error) => self.fail(error),
            },
            Machine::Moving => unreachable!(),
        }
    }

    fn fail(&mut self, error: Error) -> bool {
        self.error = Some(error);
        false
    }

    fn note(&mut self, event: TransportEvent) {
        match event {
            TransportEvent::Packet(packet) => {
                if self.logs_in && packet.number() == number::USERAUTH_SUCCESS {
                    self.transport().authenticated();
                }
                self.packets.push(packet);
            }
            TransportEvent::Extensions(extensions) => self.extensions = Some(extensions),
            TransportEvent::Rekeyed => self.rekeyed += 1,
            TransportEvent::HostKey(offer) => self.take_offer(offer),
            TransportEvent::Pong(data) => self.pongs.push(data),
            TransportEvent::Debug(message) => self.debugs.push(message),
            TransportEvent::Unimplemented { sequence } => self.unimplemented.push(sequence),
        }
    }

    fn take_offer(&mut self, offer: HostKeyOffer) {
        self.offered.push(offer.key().clone());
        match self.verdict {
            Verdict::Accept => self.answer(offer.accept()),
            Verdict::Reject => self.answer(offer.reject("it is not the one I know")),
            Verdict::Wait => self.pending = Some(offer),
        }
    }

    pub(crate) fn answer(&mut self, verdict: HostKeyVerdict) {
        match &mut self.machine {
            Machine::Handshake(handshake) => handshake.answer(verdict),
            Machine::Transport(transport) => transport.answer(verdict),
            Machine::Moving => unreachable!(),
        }
    }

    /// Everything that is to be sent.
    pub(crate) fn output(&mut self) -> Vec<u8> {
        match &mut self.machine {
            Machine::Handshake(handshake) => std::mem::take(handshake.transmit()),
            Machine::Transport(transport) => std::mem::take(transport.transmit()),
            Machine::Moving => unreachable!(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Handshake(handshake) => handshake.deadline(),
            Machine::Transport(transport) => transport.deadline(),
            Machine::Moving => unreachable!(),
        }
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.settle();
    }

    /// The payloads that came up.
    pub(crate) fn payloads(&self) -> Vec<&[u8]> {
        self.packets.iter().map(|packet| &packet.payload[..]).collect()
    }
}

/// How a stream is cut into what arrives at once.
pub(crate) enum Cuts {
    Whole,
    Bytes,
    Random(Box<ChaCha20Rng>),
}

impl Cuts {
    fn next(&mut self, left: usize) -> usize {
        match self {
            Self::Whole => left,
            Self::Bytes => 1,
            Self::Random(rng) => 1 + usize::try_from(rng.next_u32()).unwrap() % left.min(900),
        }
    }
}

/// Carries bytes both ways until both sides are quiet.
pub(crate) fn pump(client: &mut Seat, server: &mut Seat, cuts: &mut Cuts) {
    client.settle();
    server.settle();
    loop {
        let (up, down) = (client.output(), server.output());
        if up.is_empty() && down.is_empty() {
            return;
        }
        carry(&up, server, cuts);
        carry(&down, client, cuts);
    }
}

fn carry(mut bytes: &[u8], to: &mut Seat, cuts: &mut Cuts) {
    while !bytes.is_empty() {
        let (now, later) = bytes.split_at(cuts.next(bytes.len()));
        to.receive(now);
        bytes = later;
    }
}

/// A client and a server whose keys are in use.
pub(crate) fn connected(client: Config, server: Config) -> (Seat, Seat) {
    let (mut client, mut server) = (Seat::client(client, 2), Seat::server(server, 3));
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert!(
        client.is_established() && server.is_established(),
        "{:?} {:?}",
        client.error,
        server.error
    );
    (client, server)
}

/// The same, and somebody is logged in.
pub(crate) fn logged_in(client: Config, server: Config) -> (Seat, Seat) {
    let (mut client, mut server) = connected(client, server);
    client.transport().authenticated();
    server.transport().authenticated();
    (client, server)
}
