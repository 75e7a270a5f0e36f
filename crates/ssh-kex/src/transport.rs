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
//! [`has_data_room`](Transport::has_data_room) says no. A peer that makes us owe it more than the queue holds ends the
//! connection; one that does not read what we owe it is not read from either ([`Limits::outbox_bytes`](crate::Limits)).

mod exchanging;
mod notices;

use std::time::Instant;

use crate::Role;
use crate::disconnect::DisconnectReason;
use crate::error::{Error, Misbehaviour, Place, SendError};
use crate::exchange::{Completed, Exchange, Link, Trust};
use crate::exchange_hash::SessionId;
use crate::ext_info::Extensions;
use crate::handshake::farewell_of;
use crate::hold_queue::HoldQueue;
use crate::host_key::{HostKeyOffer, HostKeyVerdict};
use crate::keys::PublicKey;
use crate::messages::{DebugMessage, Unimplemented};
use crate::negotiate::Negotiated;
use crate::quirks::{Quirk, Quirks};
use crate::rekey::RekeyPolicy;
use crate::route::{Route, route};
use crate::strict::Strict;
use crate::wire::bytes::BytesMut;
use crate::wire::{Identification, Layer, MAX_PAYLOAD_BYTES, Message, Packet, SealError};

pub use notices::MAX_PINGS;

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
    /// As a server: the second EXT_INFO was sent.
    told_again: bool,
    quirks: Quirks,
    rekey: RekeyPolicy,
    /// K_S of the first exchange.
    initial_host_key: Vec<u8>,
    /// `BeforeLogin` or `AfterLogin`.
    settled: Place,
    exchange: Exchange,
    /// When the exchange in progress began; when none is, when the last one ended.
    since: Instant,
    /// Whether bulk data was sent under our newest keys.
    carried_bulk: bool,
    verdict: Option<HostKeyVerdict>,
    /// Key exchanges begun by the peer before anybody logged in.
    early_exchanges: usize,
    /// Key exchanges that were completed.
    key_exchanges: u64,
    held: HoldQueue,
    overflowed: bool,
    pings: u32,
    /// Messages passed over.
    ignored: u64,
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
    /// The peer says something to our people (RFC 4253 §11.3).
    Debug(DebugMessage),
    /// The peer did not understand a packet of ours (RFC 4253 §11.4).
    Unimplemented {
        /// That packet's sequence number.
        sequence: u32,
    },
}

impl Transport {
    pub(crate) fn new(link: Link, peer: Identification, completed: Completed, since: Instant) -> Self {
        let Completed {
            session_id,
            strict,
            negotiated,
            trust,
            host_key,
        } = completed;
        let quirks = Quirks::of(&peer);
        let rekey = if quirks.has(Quirk::CannotRekey) {
            RekeyPolicy::AS_SELDOM_AS_POSSIBLE
        } else {
            link.config.rekey
        };
        Self {
            link,
            peer,
            session_id,
            strict,
            negotiated,
            trust,
            extensions: Extensions::default(),
            ext_infos: 0,
            told_again: false,
            quirks,
            rekey,
            initial_host_key: host_key,
            settled: Place::BeforeLogin,
            exchange: Exchange::Idle,
            since,
            carried_bulk: false,
            verdict: None,
            early_exchanges: 0,
            key_exchanges: 1,
            held: HoldQueue::default(),
            overflowed: false,
            pings: 0,
            ignored: 0,
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

    /// Whether another message of bulk data may be sealed now: not while keys are being changed, when enough waits to be
    /// sent, or at the end. The last message may pass the limit: one cut to what is left of it would make the next a
    /// little one, sent by itself (docs/decisions/0016).
    pub fn has_data_room(&self) -> bool {
        !self.exchange.holds_messages()
            && !self.is_over()
            && self.link.wire.sealer.outbox_len() < self.link.config.limits.bulk_outbox_bytes
    }

    /// Whether it pays to read several packets at once; see
    /// [`Opener::opens_in_pairs`](crate::wire::Opener::opens_in_pairs).
    pub fn opens_in_pairs(&self) -> bool {
        self.link.wire.opener.opens_in_pairs()
    }

    /// Sends bulk data. Only when there is [room](Self::has_data_room): otherwise it counts against the hold queue.
    pub fn send_data<M: Message + ?Sized>(&mut self, message: &M) {
        self.carried_bulk |= !self.exchange.holds_messages();
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

    /// The line we began with.
    pub fn own_identification(&self) -> &Identification {
        &self.link.config.identification
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

    /// The blob of the host key that signed the first exchange (K_S), the same on both sides and for ever: what a login
    /// binds itself to (OpenSSH `PROTOCOL` §3.1).
    pub fn initial_host_key(&self) -> &[u8] {
        &self.initial_host_key
    }

    /// What is known to be wrong with the peer's software.
    pub const fn quirks(&self) -> Quirks {
        self.quirks
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
        self.hold(message.to_bytes(), hides_length)
    }

    /// Sends a message that is encoded already.
    fn send_payload(&mut self, payload: Vec<u8>) -> Result<(), SendError> {
        if self.is_over() {
            return Err(SendError::Ended);
        }
        if self.exchange.holds_messages() {
            return self.hold(payload, false);
        }
        self.link.wire.sealer.seal_payload(&payload);
        Ok(())
    }

    fn hold(&mut self, payload: Vec<u8>, hides_length: bool) -> Result<(), SendError> {
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
            Route::Ignore => return Ok(self.receive_notice(&packet)),
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
            Exchange::Idle if self.settled == Place::AfterLogin => self.rekey.due_at(self.since),
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
