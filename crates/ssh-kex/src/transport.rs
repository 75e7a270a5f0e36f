//! The transport: packets up, messages down, keys changed on the way (RFC 4253 §9, §11).
//!
//! ```text
//!                      ┌────────────────── exchange done: Rekeyed ─────────────────┐
//!                      ▼                                                           │
//!   up: Packet ◀── Settled ── we ask (bytes, packets, time, on request) ──▶ Changing keys
//!   down: sealed       └───── the peer asks (its KEXINIT) ────────────────▶  down: held back until our NEWKEYS
//! ```
//!
//! Rooms above see a stream that never stops: during a change of keys control messages wait in a bounded queue and
//! [`data_room`](Transport::data_room) is 0. A peer that makes us owe it more than the queue holds ends the connection;
//! one that does not read what we owe it is not read from either ([`Limits::outbox_bytes`](crate::Limits)).

use std::time::Instant;

use crate::Role;
use crate::disconnect::DisconnectReason;
use crate::error::{Error, Misbehaviour, Phase, Place, SendError};
use crate::exchange::{Completed, Exchange, ExpectKexInit, Link, Occasion, Setting, Step, Trust};
use crate::exchange_hash::SessionId;
use crate::ext_info::{self, Extensions};
use crate::handshake::farewell_of;
use crate::hold_queue::HoldQueue;
use crate::host_key::{HostKeyOffer, HostKeyVerdict};
use crate::keys::PublicKey;
use crate::messages::{Ping, Pong, Unimplemented};
use crate::negotiate::Negotiated;
use crate::route::{Route, route};
use crate::strict::Strict;
use crate::wire::bytes::BytesMut;
use crate::wire::{
    DecodeError, Identification, Layer, MAX_PAYLOAD_BYTES, Message, Packet, SealError, number,
};

/// The most key exchanges a peer may begin before somebody is logged in, after the first.
pub const MAX_EARLY_EXCHANGES: usize = 16;

/// A connection whose keys are in use.
pub struct Transport {
    link: Link,
    peer: Identification,
    session_id: SessionId,
    strict: Strict,
    negotiated: Negotiated,
    trust: Trust,
    extensions: Extensions,
    ext_infos: u32,
    /// `BeforeLogin` or `AfterLogin`.
    settled: Place,
    exchange: Exchange,
    /// When the exchange in progress began; when none is, when the last one ended.
    since: Instant,
    verdict: Option<HostKeyVerdict>,
    /// Key exchanges begun by the peer before anybody logged in.
    early_exchanges: usize,
    held: HoldQueue,
    overflowed: bool,
    pings: u32,
    end: End,
}

/// Whether and how the connection is over.
#[derive(Debug)]
enum End {
    Open,
    /// We said farewell because we were asked to.
    Ours,
    /// An error ended it.
    Failed(Error),
}

/// What a transport reports.
#[derive(Debug)]
pub enum TransportEvent {
    /// A packet of the rooms above: 5, 6, 50 to 127.
    Packet(Packet),
    /// The peer sent EXT_INFO: everything it told so far, also in [`Transport::extensions`].
    Extensions(Extensions),
    /// New keys are in use in both directions.
    Rekeyed,
    /// To a client: with its new keys the server proved another host key than the one accepted. Decide, and hand the
    /// verdict to [`Transport::answer`]; until then the connection stands still.
    HostKey(HostKeyOffer),
    /// The answer to a [`Transport::ping`].
    Pong(Vec<u8>),
}

impl Transport {
    pub(crate) fn new(link: Link, peer: Identification, completed: Completed, since: Instant) -> Self {
        let Completed {
            session_id,
            strict,
            negotiated,
            trust,
        } = completed;
        Self {
            link,
            peer,
            session_id,
            strict,
            negotiated,
            trust,
            extensions: Extensions::default(),
            ext_infos: 0,
            settled: Place::BeforeLogin,
            exchange: Exchange::Idle,
            since,
            verdict: None,
            early_exchanges: 0,
            held: HoldQueue::default(),
            overflowed: false,
            pings: 0,
            end: End::Open,
        }
    }

    /// Sends a control message: sealed at once, or held back while keys are being changed.
    pub fn send<M: Message + ?Sized>(&mut self, message: &M) -> Result<(), SendError> {
        self.dispatch(message, false)
    }

    /// Sends a message in a packet whose size does not tell the message's: for passwords.
    pub fn send_hiding_length<M: Message + ?Sized>(&mut self, message: &M) -> Result<(), SendError> {
        self.dispatch(message, true)
    }

    /// How many bytes of bulk data may be sealed now: 0 while keys are being changed, when enough waits to be sent, and
    /// at the end.
    pub fn data_room(&self) -> usize {
        if self.exchange.holds_messages() || self.is_over() {
            return 0;
        }
        let limit = self.link.config.limits.bulk_outbox_bytes;
        let room = limit.saturating_sub(self.link.wire.sealer.outbox_len());
        // A last little room would be filled with a little packet.
        if room < limit / 8 { 0 } else { room }
    }

    /// Sends bulk data. Only when [`data_room`](Self::data_room) is not 0: otherwise it counts against the hold queue.
    pub fn send_data<M: Message + ?Sized>(&mut self, message: &M) {
        // What can fail here is remembered, and `poll` reports it.
        let _ = self.dispatch(message, false);
    }

    /// Whether messages are being held back. Rooms above may want to send less than they could.
    pub const fn is_changing_keys(&self) -> bool {
        self.exchange.holds_messages()
    }

    /// The session's identifier: the first exchange hash, whatever happened since.
    pub fn session_id(&self) -> &[u8] {
        self.session_id.as_ref()
    }

    /// Which side we are.
    pub const fn role(&self) -> Role {
        self.link.role
    }

    /// The line the peer began with.
    pub const fn peer_identification(&self) -> &Identification {
        &self.peer
    }

    /// The algorithms in use.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// What the peer told about itself so far.
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// As a client: the server's host key, proved and accepted.
    pub const fn host_key(&self) -> Option<&PublicKey> {
        match &self.trust {
            Trust::Accepted(accepted) => Some(accepted.key()),
            Trust::Own => None,
        }
    }

    /// Tells the peer that the packet with this number was not understood (RFC 4253 §11.4).
    pub fn unimplemented(&mut self, sequence: u32) {
        let _ = self.send(&Unimplemented {
            sequence_number: sequence,
        });
    }

    /// Says that somebody is logged in. From now on messages nobody knows are answered with UNIMPLEMENTED instead of
    /// ending the connection, pings are answered, EXT_INFO is over, worn keys are changed, and what is sent and received
    /// from here on is compressed if that waited for a login: call this right behind USERAUTH_SUCCESS.
    pub fn authenticated(&mut self) {
        self.settled = Place::AfterLogin;
        let is_server = self.link.role == Role::Server;
        if is_server && self.exchange.holds_messages() {
            // Our USERAUTH_SUCCESS is among them.
            self.held.log_in();
        } else {
            self.link.wire.sealer.log_in();
        }
        // A client that changes keys hears of its login behind our NEWKEYS and its own.
        if !(is_server && self.is_exchanging()) {
            self.link.wire.opener.log_in();
        }
    }

    /// Asks for new keys now, unless they are being changed already. For after login: OpenSSH ends a connection on
    /// which somebody asks earlier.
    pub fn start_rekey(&mut self, now: Instant) {
        if !self.is_exchanging() && !self.is_over() {
            self.begin_exchange(now);
        }
    }

    /// Sends a ping, if the peer announced that it answers them and somebody is logged in; `false` otherwise.
    pub fn ping(&mut self, data: &[u8]) -> bool {
        let answered =
            self.extensions.ping && self.settled == Place::AfterLogin && !self.exchange.holds_messages();
        let sent = answered && self.send(&Ping { data }).is_ok();
        self.pings = self.pings.saturating_add(u32::from(sent));
        sent
    }

    /// Hands over the verdict on a host key. `poll` afterwards.
    pub fn answer(&mut self, verdict: HostKeyVerdict) {
        self.verdict = Some(verdict);
    }

    /// Ends the connection: seals DISCONNECT, after which nothing is sent and `poll` has nothing more to say.
    pub fn disconnect(&mut self, reason: DisconnectReason, text: &str) {
        if !self.is_over() {
            self.link.say_farewell(reason, text);
            self.end = End::Ours;
        }
    }

    const fn is_exchanging(&self) -> bool {
        !matches!(self.exchange, Exchange::Idle)
    }

    const fn is_over(&self) -> bool {
        !matches!(self.end, End::Open)
    }

    fn dispatch<M: Message + ?Sized>(&mut self, message: &M, hides_length: bool) -> Result<(), SendError> {
        if self.is_over() {
            return Err(SendError::Ended);
        }
        let sealer = &mut self.link.wire.sealer;
        if !self.exchange.holds_messages() {
            if hides_length {
                sealer.seal_hiding_length(message);
                return Ok(());
            }
            return match sealer.try_seal(message) {
                Err(SealError::TooLong(_)) => Err(SendError::TooLong),
                // Any other failure is latched in the sealer; `poll` reports it.
                _ => Ok(()),
            };
        }
        let payload = message.to_bytes();
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(SendError::TooLong);
        }
        if self
            .held
            .push(payload, hides_length, self.link.config.limits.hold_queue_bytes)
        {
            Ok(())
        } else {
            self.overflowed = true;
            Err(SendError::HoldQueueFull)
        }
    }

    /// An exchange costs far more to answer than to ask for: who has not logged in gets a few.
    fn count_early_exchange(&mut self) -> Result<(), Misbehaviour> {
        if self.settled == Place::BeforeLogin {
            self.early_exchanges = self.early_exchanges.saturating_add(1);
            if self.early_exchanges > MAX_EARLY_EXCHANGES {
                return Err(Misbehaviour::TooMany {
                    what: "changes of keys before login",
                    limit: MAX_EARLY_EXCHANGES,
                });
            }
        }
        Ok(())
    }

    fn begin_exchange(&mut self, now: Instant) {
        self.exchange = Exchange::ExpectKexInit(ExpectKexInit::begin(&mut self.link, false));
        self.since = now;
    }

    fn step(&mut self, now: Instant) -> Result<Option<TransportEvent>, Error> {
        let limits = self.link.config.limits;
        self.check_deadline(now)?;
        self.take_verdict(now)?;
        loop {
            if self.overflowed {
                return Err(Misbehaviour::HoldQueueFull {
                    limit: limits.hold_queue_bytes,
                }
                .into());
            }
            if self.is_worn(now) {
                self.begin_exchange(now);
            }
            let must_wait = self.exchange.waits_for_verdict();
            if must_wait || self.link.wire.sealer.outbox_len() > limits.outbox_bytes {
                return Ok(None);
            }
            let Some(packet) = self.link.wire.opener.next()? else {
                return Ok(None);
            };
            if let Some(event) = self.receive(packet, now)? {
                return Ok(Some(event));
            }
        }
    }

    /// Whether we should ask for new keys. Before a login nobody does: some peers cannot take it there.
    fn is_worn(&self, now: Instant) -> bool {
        matches!(self.exchange, Exchange::Idle)
            && self.settled == Place::AfterLogin
            && self
                .link
                .config
                .rekey
                .is_due(&self.link.wire, &self.negotiated, self.since, now)
    }

    fn receive(&mut self, packet: Packet, now: Instant) -> Result<Option<TransportEvent>, Error> {
        let place = if self.exchange.binds_peer() {
            Place::Rekey
        } else {
            self.settled
        };
        match route(
            packet.number(),
            place,
            self.exchange.awaited(),
            self.strict.is_on(),
        ) {
            Route::Up => return Ok(Some(TransportEvent::Packet(packet))),
            Route::Farewell => return Err(farewell_of(&packet)),
            Route::Ignore => {}
            Route::ExtInfo => return self.receive_ext_info(&packet).map(Some),
            Route::KexInit => {
                if matches!(self.exchange, Exchange::Idle) {
                    self.count_early_exchange()?;
                    self.begin_exchange(now);
                }
                return self.advance(&packet, now);
            }
            Route::Exchange => return self.advance(&packet, now),
            Route::Ping => self.receive_ping(&packet)?,
            Route::Pong => return self.receive_pong(&packet),
            Route::Unknown => self.unimplemented(packet.sequence),
            Route::Refuse => {
                return Err(Misbehaviour::Unexpected {
                    number: packet.message_number(),
                    place,
                }
                .into());
            }
        }
        Ok(None)
    }

    fn receive_ext_info(&mut self, packet: &Packet) -> Result<TransportEvent, Error> {
        let limit = match self.link.role {
            Role::Client => ext_info::MAX_MESSAGES_FROM_SERVER,
            Role::Server => ext_info::MAX_MESSAGES_FROM_CLIENT,
        };
        self.ext_infos = self.ext_infos.saturating_add(1);
        if self.ext_infos > limit {
            let limit = crate::wire::usize_from(limit);
            return Err(Misbehaviour::TooMany {
                what: "EXT_INFO messages",
                limit,
            }
            .into());
        }
        self.extensions
            .update(&packet.payload)
            .map_err(malformed(packet))?;
        Ok(TransportEvent::Extensions(self.extensions.clone()))
    }

    /// As OpenSSH does, pings are answered after login and not while keys are being changed: they could pile up.
    fn receive_ping(&mut self, packet: &Packet) -> Result<(), Error> {
        let ping: Ping<'_> = packet.decode().map_err(malformed(packet))?;
        if !self.exchange.holds_messages() {
            let _ = self.send(&Pong { data: ping.data });
        }
        Ok(())
    }

    fn receive_pong(&mut self, packet: &Packet) -> Result<Option<TransportEvent>, Error> {
        let pong: Pong<'_> = packet.decode().map_err(malformed(packet))?;
        let Some(left) = self.pings.checked_sub(1) else {
            return Ok(None);
        };
        self.pings = left;
        Ok(Some(TransportEvent::Pong(pong.data.to_vec())))
    }

    fn setting(&mut self) -> (Setting<'_>, &mut Exchange) {
        let occasion = Occasion::Rekey {
            session_id: self.session_id,
            strict: self.strict,
            trust: &self.trust,
        };
        (
            Setting {
                link: &mut self.link,
                peer: &self.peer,
                occasion,
            },
            &mut self.exchange,
        )
    }

    fn advance(&mut self, packet: &Packet, now: Instant) -> Result<Option<TransportEvent>, Error> {
        let (mut setting, exchange) = self.setting();
        let event = match std::mem::take(exchange).receive(packet, &mut setting)? {
            Step::Next(next) => {
                *exchange = next;
                None
            }
            Step::Ask(state, offer) => {
                *exchange = Exchange::ExpectVerdict(state);
                Some(TransportEvent::HostKey(offer))
            }
            Step::Done(completed) => {
                self.negotiated = completed.negotiated;
                self.trust = completed.trust;
                self.since = now;
                if self.settled == Place::AfterLogin {
                    self.link.wire.opener.log_in();
                }
                Some(TransportEvent::Rekeyed)
            }
        };
        self.release_held();
        Ok(event)
    }

    /// Goes on with the application's verdict, if one is due and there.
    fn take_verdict(&mut self, now: Instant) -> Result<(), Error> {
        let Some(verdict) = self.verdict.take() else {
            return Ok(());
        };
        let (mut setting, exchange) = self.setting();
        match std::mem::take(exchange) {
            Exchange::ExpectVerdict(state) => {
                *exchange = Exchange::ExpectNewKeys(state.decide(verdict, &mut setting)?);
                self.since = now;
                self.release_held();
            }
            // Nothing was asked: the verdict is about some other connection.
            other => *exchange = other,
        }
        Ok(())
    }

    /// Sends what was held back, as soon as our NEWKEYS is sealed.
    fn release_held(&mut self) {
        if !self.exchange.holds_messages() {
            self.held.flush(&mut self.link.wire.sealer);
        }
    }

    fn check_deadline(&self, now: Instant) -> Result<(), Error> {
        match self.deadline() {
            Some(deadline) if self.is_exchanging() && now >= deadline => Err(Error::Timeout(Phase::Rekey)),
            _ => Ok(()),
        }
    }
}

fn malformed(packet: &Packet) -> impl FnOnce(DecodeError) -> Misbehaviour + use<> {
    Misbehaviour::malformed(number::name(packet.number()))
}

impl Layer for Transport {
    type Event = TransportEvent;
    type Error = Error;

    fn read_buffer(&mut self) -> &mut BytesMut {
        self.link.wire.opener.read_buffer()
    }

    /// Besides what [`Layer`] says: nothing is taken from the peer while more than
    /// [`Limits::outbox_bytes`](crate::Limits) wait to be sent, so poll again after `transmitted`.
    fn poll(&mut self, now: Instant) -> Result<Option<TransportEvent>, Error> {
        match &self.end {
            End::Failed(error) => return Err(error.clone()),
            End::Ours => return Ok(None),
            End::Open => {}
        }
        let outcome = self
            .step(now)
            .and_then(|event| match self.link.wire.sealer.failure() {
                Some(failure) => Err(failure.into()),
                None => Ok(event),
            });
        outcome.inspect_err(|error| {
            self.link.end_with(error);
            self.end = End::Failed(error.clone());
        })
    }

    fn transmit(&mut self) -> &mut Vec<u8> {
        self.link.wire.sealer.outbox()
    }

    fn transmitted(&mut self, count: usize) {
        self.link.wire.sealer.transmitted(count);
    }

    fn deadline(&self) -> Option<Instant> {
        let config = &self.link.config;
        match &self.exchange {
            _ if self.is_over() => None,
            Exchange::Idle if self.settled == Place::AfterLogin => config.rekey.due_at(self.since),
            // The application may take its time over a verdict.
            Exchange::Idle | Exchange::ExpectVerdict(_) => None,
            _ => self.since.checked_add(config.limits.rekey_deadline),
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("role", &self.link.role)
            .field("peer", &self.peer)
            .field("negotiated", &self.negotiated)
            .field("changing_keys", &self.is_changing_keys())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
