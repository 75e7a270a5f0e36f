//! The beginning of every connection: identification (RFC 4253 §4.2) and the first key exchange.
//!
//! ```text
//!  our line and our KEXINIT are sealed at once
//!        │
//!        ▼         the peer's line             first exchange done
//!  ExpectIdentification ────────▶ Exchanging ─────────────────────▶ Established ──into_transport──▶ Transport
//!        │                             │ a message out of place, a bad proof, a rejected key, time
//!        └─────────────────────────────┴──────────▶ Over: the same error for ever
//! ```
//!
//! A [`Transport`] can only be made of an established handshake: to hold one is to know that keys are in use in both
//! directions and, in a client, that the host key was proved and accepted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::disconnect::DisconnectReason;
use crate::error::{Error, Misbehaviour, Phase, Place};
use crate::exchange::{Completed, Exchange, ExpectKexInit, Link, Occasion, Setting, Step};
use crate::host_key::{HostKeyOffer, HostKeyVerdict};
use crate::keys::Signer;
use crate::messages::read_farewell;
use crate::route::{Route, route};
use crate::transport::Transport;
use crate::wire::bytes::BytesMut;
use crate::wire::identification::{IdentificationReader, Side};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Identification, Layer, Message, Packet};
use crate::{Role, messages};

/// The most IGNORE, DEBUG and UNIMPLEMENTED messages before the first keys. They mean nothing there; a peer that is not
/// strict may send some.
pub const MAX_IGNORED: usize = 64;

/// A connection until its first keys are in use.
pub struct Handshake {
    link: Link,
    exchange: Exchange,
    progress: Progress,
    /// When the current phase began.
    since: Instant,
    ignored: usize,
    verdict: Option<HostKeyVerdict>,
}

enum Progress {
    ExpectIdentification(IdentificationReader),
    Exchanging {
        peer: Identification,
    },
    Established {
        peer: Identification,
        completed: Box<Completed>,
    },
    Over(Error),
    Ended,
}

/// What a handshake reports.
#[derive(Debug)]
pub enum HandshakeEvent {
    /// To a client: the server proved that it holds this host key. Decide, and hand the verdict to
    /// [`answer`](Handshake::answer).
    HostKey(HostKeyOffer),
    /// Keys are in use: [`into_transport`](Handshake::into_transport) succeeds.
    Established,
}

impl Handshake {
    /// Begins as a client. Our identification line and KEXINIT stand in the outbox at once, so this may be called while
    /// the stream is still being connected; deadlines count from `now`.
    pub fn client(config: Arc<Config>, rng: Box<dyn CryptoRng + Send>, now: Instant) -> Self {
        Self::new(
            Link::new(Role::Client, config, Vec::new(), rng),
            Side::Client,
            now,
        )
    }

    /// Begins as a server that proves itself with one of `host_keys`.
    pub fn server(
        config: Arc<Config>,
        host_keys: Vec<Arc<dyn Signer>>,
        rng: Box<dyn CryptoRng + Send>,
        now: Instant,
    ) -> Self {
        Self::new(Link::new(Role::Server, config, host_keys, rng), Side::Server, now)
    }

    fn new(mut link: Link, side: Side, now: Instant) -> Self {
        link.wire.sealer.send_identification(&link.config.identification);
        let exchange = Exchange::ExpectKexInit(ExpectKexInit::begin(&mut link, true));
        Self {
            link,
            exchange,
            progress: Progress::ExpectIdentification(IdentificationReader::new(side)),
            since: now,
            ignored: 0,
            verdict: None,
        }
    }

    /// Hands over the verdict on a host key. `poll` afterwards.
    pub fn answer(&mut self, verdict: HostKeyVerdict) {
        self.verdict = Some(verdict);
    }

    /// The transport, once [`HandshakeEvent::Established`] was reported; before, the handshake comes back.
    pub fn into_transport(self) -> Result<Transport, Box<Self>> {
        match self.progress {
            Progress::Established { peer, completed } => {
                Ok(Transport::new(self.link, peer, *completed, self.since))
            }
            progress => Err(Box::new(Self { progress, ..self })),
        }
    }

    /// The peer's identification, once it is there.
    pub const fn peer_identification(&self) -> Option<&Identification> {
        match &self.progress {
            Progress::Exchanging { peer } | Progress::Established { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// What ended the handshake, if something did.
    pub const fn failure(&self) -> Option<&Error> {
        match &self.progress {
            Progress::Over(error) => Some(error),
            _ => None,
        }
    }

    /// Ends the connection: seals DISCONNECT, after which `poll` has nothing more to say.
    pub fn disconnect(&mut self, reason: DisconnectReason, text: &str) {
        if !matches!(self.progress, Progress::Over(_) | Progress::Ended) {
            self.link.say_farewell(reason, text);
            self.progress = Progress::Ended;
        }
    }

    /// What to report when the stream ended: before the identification, what arrived instead of it.
    pub fn closed(&mut self) -> Error {
        match &self.progress {
            Progress::ExpectIdentification(reader) => reader.closed(self.link.wire.opener.unread()).into(),
            Progress::Over(error) => error.clone(),
            Progress::Exchanging { .. } | Progress::Established { .. } | Progress::Ended => Error::Closed,
        }
    }

    fn step(&mut self, now: Instant) -> Result<Option<HandshakeEvent>, Error> {
        self.check_deadline(now)?;
        if let Progress::ExpectIdentification(reader) = &mut self.progress {
            let Some(peer) = reader.next(self.link.wire.opener.unread())? else {
                return Ok(None);
            };
            self.progress = Progress::Exchanging { peer };
            self.since = now;
        }
        while let Progress::Exchanging { .. } = self.progress {
            self.take_verdict(now)?;
            if self.exchange.waits_for_verdict() {
                return Ok(None);
            }
            let Some(packet) = self.link.wire.opener.next()? else {
                return Ok(None);
            };
            if let Some(event) = self.receive(&packet, now)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn receive(&mut self, packet: &Packet, now: Instant) -> Result<Option<HandshakeEvent>, Error> {
        let place = if self.exchange.binds_peer() {
            Place::FirstExchange
        } else {
            Place::FirstKexInit
        };
        match route(
            packet.number(),
            place,
            self.exchange.awaited(),
            self.exchange.is_strict(),
        ) {
            Route::Farewell => Err(farewell_of(packet)),
            Route::Ignore => self.count_ignored(),
            Route::KexInit | Route::Exchange => self.advance(packet, now),
            // The table lets nothing else through before the first keys.
            Route::ExtInfo | Route::Ping | Route::Pong | Route::Up | Route::Unknown | Route::Refuse => {
                Err(Misbehaviour::Unexpected {
                    number: packet.message_number(),
                    place,
                }
                .into())
            }
        }
    }

    fn count_ignored(&mut self) -> Result<Option<HandshakeEvent>, Error> {
        self.ignored = self.ignored.saturating_add(1);
        if self.ignored > MAX_IGNORED {
            let what = "messages without meaning before keys were agreed";
            return Err(Misbehaviour::TooMany {
                what,
                limit: MAX_IGNORED,
            }
            .into());
        }
        Ok(None)
    }

    fn advance(&mut self, packet: &Packet, now: Instant) -> Result<Option<HandshakeEvent>, Error> {
        let Progress::Exchanging { peer } = &self.progress else {
            return Ok(None);
        };
        let mut setting = Setting {
            link: &mut self.link,
            peer,
            occasion: Occasion::First,
        };
        match std::mem::take(&mut self.exchange).receive(packet, &mut setting)? {
            Step::Next(exchange) => {
                self.exchange = exchange;
                Ok(None)
            }
            Step::Ask(state, offer) => {
                self.exchange = Exchange::ExpectVerdict(state);
                Ok(Some(HandshakeEvent::HostKey(offer)))
            }
            Step::Done(completed) => {
                self.progress = Progress::Established {
                    peer: peer.clone(),
                    completed,
                };
                self.since = now;
                Ok(Some(HandshakeEvent::Established))
            }
        }
    }

    /// Goes on with the application's verdict, if one is due and there.
    fn take_verdict(&mut self, now: Instant) -> Result<(), Error> {
        let (Some(verdict), Progress::Exchanging { peer }) = (self.verdict.take(), &self.progress) else {
            return Ok(());
        };
        match std::mem::take(&mut self.exchange) {
            Exchange::ExpectVerdict(state) => {
                let mut setting = Setting {
                    link: &mut self.link,
                    peer,
                    occasion: Occasion::First,
                };
                self.exchange = Exchange::ExpectNewKeys(state.decide(verdict, &mut setting)?);
                self.since = now;
            }
            // Nothing was asked: the verdict is about some other connection.
            other => self.exchange = other,
        }
        Ok(())
    }

    fn check_deadline(&self, now: Instant) -> Result<(), Error> {
        match (self.deadline(), self.limit()) {
            (Some(deadline), Some((phase, limit))) if now >= deadline => Err(Error::Timeout { phase, limit }),
            _ => Ok(()),
        }
    }

    /// What the peer has to do now, and how long it may take, counted from the beginning of the phase: a peer that
    /// sends a byte now and then gains nothing by it.
    fn limit(&self) -> Option<(Phase, Duration)> {
        let limits = &self.link.config.limits;
        match self.progress {
            Progress::ExpectIdentification(_) => {
                Some((Phase::Identification, limits.identification_deadline))
            }
            // The application may take its time over a verdict.
            Progress::Exchanging { .. } if self.exchange.waits_for_verdict() => None,
            Progress::Exchanging { .. } => Some((Phase::KeyExchange, limits.exchange_deadline)),
            Progress::Established { .. } | Progress::Over(_) | Progress::Ended => None,
        }
    }
}

/// The peer's farewell as an error.
pub(crate) fn farewell_of(packet: &Packet) -> Error {
    match read_farewell(&packet.payload) {
        Ok((code, description)) => Error::Disconnected {
            reason: DisconnectReason::from_code(code),
            description,
        },
        Err(error) => {
            let message = <messages::Disconnect<'_> as Message>::NAME;
            Misbehaviour::Malformed { message, error }.into()
        }
    }
}

impl Layer for Handshake {
    type Event = HandshakeEvent;
    type Error = Error;

    fn read_buffer(&mut self) -> &mut BytesMut {
        self.link.wire.opener.read_buffer()
    }

    fn poll(&mut self, now: Instant) -> Result<Option<HandshakeEvent>, Error> {
        match &self.progress {
            Progress::Over(error) => return Err(error.clone()),
            Progress::Ended => return Ok(None),
            _ => {}
        }
        let outcome = self
            .step(now)
            .and_then(|event| match self.link.wire.sealer.failure() {
                Some(failure) => Err(failure.into()),
                None => Ok(event),
            });
        outcome.inspect_err(|error| {
            self.link.end_with(error);
            self.progress = Progress::Over(error.clone());
        })
    }

    fn transmit(&mut self) -> &mut Vec<u8> {
        self.link.wire.sealer.outbox()
    }

    fn transmitted(&mut self, count: usize) {
        self.link.wire.sealer.transmitted(count);
    }

    fn deadline(&self) -> Option<Instant> {
        let (_phase, limit) = self.limit()?;
        self.since.checked_add(limit)
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let progress = match &self.progress {
            Progress::ExpectIdentification(_) => "ExpectIdentification",
            Progress::Exchanging { .. } => "Exchanging",
            Progress::Established { .. } => "Established",
            Progress::Over(_) => "Over",
            Progress::Ended => "Ended",
        };
        f.debug_struct("Handshake")
            .field("role", &self.link.role)
            .field("progress", &progress)
            .finish_non_exhaustive()
    }
}
