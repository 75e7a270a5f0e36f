//! What a login leaves behind: who logged in, by what, and a transport whose upper numbers are open.
//!
//! ```text
//!  client: USERAUTH_SUCCESS in answer to a request ─┐
//!                                                   ├─▶ Login ──into_session──▶ Session ──▶ the rooms above
//!  server: a verdict that accepts ──────────────────┘
//! ```
//!
//! [`Login::complete`] is the one place where a login happens, and only a [`Login`] makes a [`Session`]: there is no
//! flag to be forgotten, forged, or flipped.

use std::time::Instant;

use crate::error::{Error, Misbehaviour, Place};
use crate::kex::{
    DebugMessage, DisconnectReason, Extensions, HostKeyOffer, HostKeyVerdict, Negotiated, PingError, Quirks,
    SendError, Transport, TransportEvent,
};
use crate::keys::PublicKey;
use crate::method::Method;
use crate::user::UserName;
use crate::wire::bytes::BytesMut;
use crate::wire::{Identification, Layer, Message, Packet, number};

/// One thing that proved who someone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    method: &'static Method,
    key: Option<PublicKey>,
}

impl Factor {
    pub(crate) const fn new(method: &'static Method, key: Option<PublicKey>) -> Self {
        Self { method, key }
    }

    /// The method.
    pub const fn method(&self) -> &'static Method {
        self.method
    }

    /// The key that signed, if the method is one of keys. A key that was only asked about never stands here.
    pub const fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }
}

/// Who logged in, and what proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    user: UserName,
    earlier: Vec<Factor>,
    last: Factor,
}

impl Authenticated {
    /// The user.
    pub fn user(&self) -> &str {
        self.user.as_str()
    }

    /// The method that completed the login.
    pub const fn method(&self) -> &'static Method {
        self.last.method
    }

    /// The key that signed last; `None` if no key was needed.
    pub fn key(&self) -> Option<&PublicKey> {
        self.factors().rev().find_map(Factor::key)
    }

    /// Everything that was proved for this user, in order: one factor, or several where one was not enough. The
    /// restrictions of each of them apply together.
    pub fn factors(&self) -> impl DoubleEndedIterator<Item = &Factor> {
        self.earlier.iter().chain(std::iter::once(&self.last))
    }
}

/// Proof that a login took place.
#[derive(Debug)]
pub(crate) struct Login {
    authenticated: Authenticated,
}

impl Login {
    /// The moment of login, in both roles: `last` completed what the `earlier` factors began.
    pub(crate) fn complete(
        transport: &mut Transport,
        user: UserName,
        earlier: Vec<Factor>,
        last: Factor,
    ) -> Self {
        transport.authenticated();
        Self {
            authenticated: Authenticated { user, earlier, last },
        }
    }

    /// Who logged in.
    pub(crate) const fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }
}

/// An authenticated transport: the ticket to the room of channels. It does not know which side it is on.
#[derive(Debug)]
pub struct Session {
    transport: Transport,
    login: Login,
}

/// What a [`Session`] reports.
#[derive(Debug)]
pub enum SessionEvent {
    /// A message for the rooms above: its number is 80 or more.
    Packet(Packet),
    /// The peer told more about itself; see [`Session::extensions`]. RFC 8308 §2.4 lets nobody do so after login, and
    /// neither does the transport as it stands.
    Extensions,
    /// New keys are in use.
    Rekeyed,
    /// The server proved another host key than before. Answer with [`Session::answer`].
    HostKey(HostKeyOffer),
    /// The peer answered a ping; these are its bytes.
    Pong(Vec<u8>),
    /// The peer says something to our people.
    Debug(DebugMessage),
    /// The peer did not understand the packet with this sequence number of ours.
    Unimplemented {
        /// The sequence number.
        sequence: u32,
    },
}

impl Session {
    pub(crate) const fn new(transport: Transport, login: Login) -> Self {
        Self { transport, login }
    }

    /// The user who logged in.
    pub fn user(&self) -> &str {
        self.login.authenticated().user()
    }

    /// Who logged in, and what proved it.
    pub const fn authenticated(&self) -> &Authenticated {
        self.login.authenticated()
    }

    /// Sends a control message; see [`Transport::send`].
    pub fn send<M: Message + ?Sized>(&mut self, message: &M) -> Result<(), SendError> {
        self.transport.send(message)
    }

    /// Whether a message of bulk data may be sent now; see [`Transport::has_data_room`].
    pub fn has_data_room(&self) -> bool {
        self.transport.has_data_room()
    }

    /// Whether it pays to read several packets at once; see [`Transport::opens_in_pairs`].
    pub fn opens_in_pairs(&self) -> bool {
        self.transport.opens_in_pairs()
    }

    /// Sends a message of bulk data; see [`Transport::send_data`].
    pub fn send_data<M: Message + ?Sized>(&mut self, message: &M) {
        self.transport.send_data(message);
    }

    /// Tells the peer that its packet with this sequence number was not understood (RFC 4253 §11.4).
    pub fn unimplemented(&mut self, sequence: u32) {
        self.transport.unimplemented(sequence);
    }

    /// Says farewell; nothing is sent after it.
    pub fn disconnect(&mut self, reason: DisconnectReason, description: &str) {
        self.transport.disconnect(reason, description);
    }

    /// Changes keys now.
    pub fn start_rekey(&mut self, now: Instant) {
        self.transport.start_rekey(now);
    }

    /// Whether control messages are being held back because keys are being changed.
    pub const fn is_changing_keys(&self) -> bool {
        self.transport.is_changing_keys()
    }

    /// Sends a ping; see [`Transport::ping`].
    pub fn ping(&mut self, data: &[u8]) -> Result<(), PingError> {
        self.transport.ping(data)
    }

    /// Sends a message that the peer passes over; see [`Transport::send_ignore`].
    pub fn send_ignore(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.transport.send_ignore(data)
    }

    /// Says something to the peer's people; see [`Transport::send_debug`].
    pub fn send_debug(&mut self, always_display: bool, text: &str) -> Result<(), SendError> {
        self.transport.send_debug(always_display, text)
    }

    /// How many messages without meaning the peer has sent; see [`Transport::ignored`].
    pub const fn ignored(&self) -> u64 {
        self.transport.ignored()
    }

    /// How many key exchanges were completed so far; see [`Transport::key_exchanges`].
    pub const fn key_exchanges(&self) -> u64 {
        self.transport.key_exchanges()
    }

    /// Answers [`SessionEvent::HostKey`].
    pub fn answer(&mut self, verdict: HostKeyVerdict) {
        self.transport.answer(verdict);
    }

    /// The session identifier: the first exchange hash, for ever.
    pub fn session_id(&self) -> &[u8] {
        self.transport.session_id()
    }

    /// Our own identification line.
    pub fn own_identification(&self) -> &Identification {
        self.transport.own_identification()
    }

    /// What is known to be wrong with the peer's software.
    pub const fn quirks(&self) -> Quirks {
        self.transport.quirks()
    }

    /// The peer's identification line.
    pub fn peer_identification(&self) -> &Identification {
        self.transport.peer_identification()
    }

    /// The algorithms in use.
    pub fn negotiated(&self) -> &Negotiated {
        self.transport.negotiated()
    }

    /// What the peer told about itself (RFC 8308).
    pub fn extensions(&self) -> &Extensions {
        self.transport.extensions()
    }

    /// The server's host key, on the client's side.
    pub fn host_key(&self) -> Option<&PublicKey> {
        self.transport.host_key()
    }

    /// Sorts a packet: up, dropped, or the end.
    fn sort(&mut self, packet: Packet) -> Result<Option<Packet>, Error> {
        match packet.number() {
            80.. => Ok(Some(packet)),
            // RFC 4252 §5.3: requests that were under way when the login succeeded are passed over in silence.
            number::USERAUTH_REQUEST => Ok(None),
            _ => {
                let number = packet.message_number();
                let error = Error::from(Misbehaviour::Unexpected {
                    number,
                    place: Place::AfterLogin,
                });
                error.say_to(&mut self.transport);
                Err(error)
            }
        }
    }
}

impl Layer for Session {
    type Event = SessionEvent;
    type Error = Error;

    fn read_buffer(&mut self) -> &mut BytesMut {
        self.transport.read_buffer()
    }

    fn poll(&mut self, now: Instant) -> Result<Option<SessionEvent>, Error> {
        while let Some(event) = self.transport.poll(now)? {
            return Ok(Some(match event {
                TransportEvent::Packet(packet) => match self.sort(packet)? {
                    Some(packet) => SessionEvent::Packet(packet),
                    None => continue,
                },
                TransportEvent::Extensions(_) => SessionEvent::Extensions,
                TransportEvent::Rekeyed => SessionEvent::Rekeyed,
                TransportEvent::HostKey(offer) => SessionEvent::HostKey(offer),
                TransportEvent::Pong(data) => SessionEvent::Pong(data),
                TransportEvent::Debug(message) => SessionEvent::Debug(message),
                TransportEvent::Unimplemented { sequence } => SessionEvent::Unimplemented { sequence },
            }));
        }
        Ok(None)
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
