//! What the stories share: two sessions that have shaken hands and logged in, and a pump that carries bytes between
//! whatever stands on their ends.

#![allow(dead_code, reason = "each story uses its own part of this module")]

pub(crate) mod login;

use std::time::{Duration, Instant};

use ssh_channel::auth::{Session, SessionEvent};
use ssh_channel::wire::{Layer, Message, Packet};
use ssh_channel::{ChannelId, ChannelType, Config, Connection, DirectTcpip, Error, Event, Stream};

pub(crate) use login::sessions;

/// One end of the wire: a machine, what it reported and why it ended.
pub(crate) struct End<L: Layer> {
    pub(crate) machine: L,
    pub(crate) events: Vec<L::Event>,
    pub(crate) error: Option<L::Error>,
    /// Bytes sent so far.
    pub(crate) sent: u64,
}

impl<L: Layer> End<L> {
    pub(crate) fn new(machine: L) -> Self {
        Self {
            machine,
            events: Vec::new(),
            error: None,
            sent: 0,
        }
    }

    /// Polls until nothing is left.
    pub(crate) fn settle(&mut self, now: Instant) {
        while self.error.is_none() {
            match self.machine.poll(now) {
                Ok(Some(event)) => self.events.push(event),
                Ok(None) => return,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// What waits to be sent.
    pub(crate) fn outgoing(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.machine.transmit());
        self.machine.transmitted(bytes.len());
        self.sent += u64::try_from(bytes.len()).unwrap();
        bytes
    }

    /// Takes in bytes and works through them.
    pub(crate) fn incoming(&mut self, bytes: &[u8], now: Instant) {
        for piece in bytes.chunks(32 * 1024) {
            self.machine.read_buffer().extend_from_slice(piece);
            self.settle(now);
        }
    }

    /// The events so far.
    pub(crate) fn taken(&mut self) -> Vec<L::Event> {
        std::mem::take(&mut self.events)
    }
}

/// Two ends and the clock.
pub(crate) struct Wire<A: Layer, B: Layer> {
    pub(crate) a: End<A>,
    pub(crate) b: End<B>,
    pub(crate) now: Instant,
}

impl<A: Layer, B: Layer> Wire<A, B> {
    /// Carries bytes both ways until both ends are quiet.
    pub(crate) fn pump(&mut self) {
        loop {
            self.a.settle(self.now);
            self.b.settle(self.now);
            let from_a = self.a.outgoing();
            let from_b = self.b.outgoing();
            if from_a.is_empty() && from_b.is_empty() {
                return;
            }
            self.now += Duration::from_micros(100);
            self.b.incoming(&from_a, self.now);
            self.a.incoming(&from_b, self.now);
        }
    }
}

/// Two connections.
pub(crate) type Pair = Wire<Connection, Connection>;

/// A connection and a peer that may send what it likes.
pub(crate) type Siege = Wire<Connection, Session>;

/// A connection at each end; the first is the one that logged in.
pub(crate) fn pair(a: Config, b: Config) -> Pair {
    let (client, server, now) = sessions();
    Pair {
        a: End::new(Connection::new(client, a)),
        b: End::new(Connection::new(server, b)),
        now,
    }
}

/// A connection in the server's seat against a peer that may send what it likes.
pub(crate) fn siege(config: Config) -> Siege {
    let (client, server, now) = sessions();
    Siege {
        a: End::new(Connection::new(server, config)),
        b: End::new(client),
        now,
    }
}

/// A configuration that lets the peer open everything.
pub(crate) fn open_house() -> Config {
    Config {
        accept_opens: ChannelType::NAMES.to_vec(),
        ..Config::default()
    }
}

/// The same with windows of one size.
pub(crate) fn windows_of(bytes: u32) -> Config {
    let mut config = open_house();
    config.window.initial = bytes;
    config.window.max = bytes;
    config
}

/// A channel type that carries a number.
pub(crate) fn numbered(number: u32) -> ChannelType {
    DirectTcpip {
        host: "host".to_owned(),
        port: 1,
        originator: "here".to_owned(),
        originator_port: number,
    }
    .into()
}

impl Pair {
    /// Opens a channel from `a` to `b`; the ids at both ends.
    pub(crate) fn open(&mut self) -> (ChannelId, ChannelId) {
        let ours = self.a.machine.open(ChannelType::Session).unwrap();
        self.pump();
        let mut theirs = None;
        for event in self.b.taken() {
            match event {
                Event::Open(opening) => theirs = Some(self.b.machine.accept(opening)),
                other => self.b.events.push(other),
            }
        }
        self.pump();
        let opened = self
            .a
            .events
            .iter()
            .position(|event| matches!(event, Event::Opened(id) if *id == ours));
        self.a.events.remove(opened.expect("the channel was not opened"));
        (ours, theirs.expect("nobody asked for a channel"))
    }

    /// Nothing went wrong, nothing is left.
    pub(crate) fn assert_empty(&self) {
        for end in [&self.a, &self.b] {
            assert_eq!(end.error, None);
            assert_eq!(end.machine.channels(), 0);
            assert_eq!(end.machine.window_bytes(), 0);
        }
    }
}

impl Siege {
    /// Sends a message as the peer.
    pub(crate) fn send(&mut self, message: &impl Message) {
        self.b.machine.send(message).unwrap();
        if self.b.machine.transmit().len() > 128 * 1024 {
            self.pump();
        }
    }

    /// What the connection sent to the peer.
    pub(crate) fn received(&mut self) -> Vec<Packet> {
        self.pump();
        let packets = self.b.taken().into_iter().filter_map(|event| match event {
            SessionEvent::Packet(packet) => Some(packet),
            _ => None,
        });
        packets.collect()
    }

    /// Opens a channel as the peer, and accepts it. Its number on the peer's side is given, the connection's returned.
    pub(crate) fn open_as_peer(&mut self, number: u32, initial_window: u32, max_packet: u32) -> ChannelId {
        self.send(&ssh_channel::messages::ChannelOpen {
            channel_type: "session",
            sender: number,
            initial_window,
            max_packet,
            data: ssh_channel::wire::Rest(b""),
        });
        self.pump();
        let mut id = None;
        for event in self.a.taken() {
            if let Event::Open(opening) = event {
                id = Some(self.a.machine.accept(opening));
            }
        }
        self.received();
        id.expect("the open was not reported")
    }

    /// The error that ended the connection.
    pub(crate) fn verdict(&mut self) -> Error {
        self.pump();
        self.a.error.clone().expect("the connection lives")
    }
}

/// Reads all there is and gives the credit back.
pub(crate) fn drain(end: &mut End<Connection>, id: ChannelId, stream: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = end.machine.read(id, stream, usize::MAX) {
        all.extend_from_slice(&chunk);
        end.machine.consumed(id, chunk.len());
    }
    all
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..length).map(|_| dice.byte()).collect()
}

/// A small generator for tests (xorshift64*): the same seed, the same story.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() >> 33).unwrap() % limit.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.roll().to_be_bytes()[0]
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            None
        } else {
            from.get(self.below(from.len()))
        }
    }
}
