//! The connection protocol (RFC 4254) as a machine without I/O: messages 80 to 127 come up from the session, are
//! decoded, and become events or answers.
//!
//! ```text
//!   Session ──Packet──▶ receive: 80–82 ──▶ requests.rs     global requests and their replies
//!                                90–92 ──▶ opening.rs      channels come into being, or do not
//!                                93–97 ──▶ data.rs         credit, data, EOF, CLOSE
//!                               98–100 ──▶ requests.rs     channel requests and their replies
//!                            the rest  ──▶ UNIMPLEMENTED
//! ```
//!
//! There is no role in here: a client and a server differ in what their [`Config`] lets the peer open and in what they
//! do with the events.

mod data;
mod datagrams;
mod opening;
mod requests;

use std::collections::VecDeque;
use std::time::Instant;

pub use datagrams::Datagram;

use crate::auth::{Session, SessionEvent};
use crate::config::Config;
use crate::control::Control;
use crate::error::{Error, Misbehaviour, Misuse};
use crate::event::Event;
use crate::kex::{DisconnectReason, Fatal, HostKeyVerdict, PingError};
use crate::limits::MAX_FIELDS_BYTES;
use crate::replies::RepliesDue;
use crate::table::{ChannelId, Table};
use crate::turns::Turns;
use crate::window::WindowBudget;
use crate::wire::bytes::BytesMut;
use crate::wire::{Decode, Layer, Message, Packet, number};

/// A session and its channels.
///
/// Drive it as every [`Layer`]: after bytes arrived, a deadline passed or a method was called, poll until `Ok(None)`,
/// then send what [`transmit`](Layer::transmit) holds. Nothing here waits for anybody: a call that cannot do anything
/// now says so, and an event tells when it is worth another attempt.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    config: Config,
    channels: Table,
    budget: WindowBudget,
    turns: Turns,
    control: Control,
    events: VecDeque<Event>,
    /// Opens of the peer that the application has not answered.
    pending_opens: usize,
    /// Replies to the peer's global requests: what each yields, or `None` if it is not granted.
    global_due: RepliesDue<Option<Vec<u8>>>,
    /// What our global requests that want a reply were.
    global_expected: VecDeque<Asked>,
    unsolicited_replies: u32,
    /// The peer has promised to open no more sessions.
    no_more_sessions: bool,
    /// The time of the last poll.
    now: Option<Instant>,
    over: bool,
}

/// Who waits for the reply to a global request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Keepalive,
    Application,
}

impl Connection {
    /// The connection over a session in which somebody has logged in.
    pub fn new(session: Session, config: Config) -> Self {
        let config = config.clamped();
        Self {
            session,
            channels: Table::default(),
            budget: WindowBudget::new(config.window),
            config,
            turns: Turns::default(),
            control: Control::default(),
            events: VecDeque::new(),
            pending_opens: 0,
            global_due: RepliesDue::default(),
            global_expected: VecDeque::new(),
            unsolicited_replies: 0,
            no_more_sessions: false,
            now: None,
            over: false,
        }
    }

    /// The session below.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// How many channels there are, those included that are closed but not yet read to the end.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// The sum of the receive windows of all channels, in bytes: the most that can lie unread.
    pub const fn window_bytes(&self) -> u64 {
        self.budget.used()
    }

    /// Gives back the room of queues in which nothing waits. For a driver whose connection has been idle for a while: what
    /// such a one holds is what servers hold thousands of times.
    pub fn rest(&mut self) {
        self.events.shrink_to_fit();
        self.global_expected.shrink_to_fit();
        self.global_due.rest();
    }

    /// Begins to change keys.
    pub fn start_rekey(&mut self, now: Instant) {
        self.session.start_rekey(now);
    }

    /// Sends a ping, if the peer has said that it answers them. [`Event::Pong`] will follow, in the order of the pings.
    pub fn ping(&mut self, data: &[u8]) -> Result<(), PingError> {
        self.session.ping(data)
    }

    /// Sends a message that every peer passes over (RFC 4253 §11.2).
    pub fn send_ignore(&mut self, data: &[u8]) -> Result<(), Misuse> {
        self.may_ask(data.len())?;
        self.session.send_ignore(data).map_err(|_| Misuse::Over)
    }

    /// Says something to the peer's people (RFC 4253 §11.3).
    pub fn send_debug(&mut self, always_display: bool, text: &str) -> Result<(), Misuse> {
        self.may_ask(text.len())?;
        self.session
            .send_debug(always_display, text)
            .map_err(|_| Misuse::Over)
    }

    /// Answers an [`Event::HostKey`].
    pub fn answer_host_key(&mut self, verdict: HostKeyVerdict) {
        self.session.answer(verdict);
    }

    /// Says farewell: seals a DISCONNECT and ends the connection. Send what [`transmit`](Layer::transmit) holds and
    /// close the stream.
    pub fn disconnect(&mut self, reason: DisconnectReason, description: &str) {
        if !self.over {
            self.session.disconnect(reason, description);
            self.over = true;
        }
    }

    /// One room of the house, one `match`: who owns which number.
    fn receive(&mut self, packet: &Packet) -> Result<(), Misbehaviour> {
        match packet.number() {
            number::GLOBAL_REQUEST => self.received_global_request(&decode(packet)?),
            number::REQUEST_SUCCESS => self.received_global_success(&decode(packet)?),
            number::REQUEST_FAILURE => self.received_global_failure(&decode(packet)?),
            number::CHANNEL_OPEN => self.received_open(&decode(packet)?),
            number::CHANNEL_OPEN_CONFIRMATION => self.received_confirmation(&decode(packet)?),
            number::CHANNEL_OPEN_FAILURE => self.received_open_failure(&decode(packet)?),
            number::CHANNEL_WINDOW_ADJUST => self.received_adjust(&decode(packet)?),
            number::CHANNEL_DATA => self.received_data(packet, &decode(packet)?),
            number::CHANNEL_EXTENDED_DATA => self.received_extended_data(packet, &decode(packet)?),
            number::CHANNEL_EOF => self.received_eof(&decode(packet)?),
            number::CHANNEL_CLOSE => self.received_close(&decode(packet)?),
            number::CHANNEL_REQUEST => self.received_request(&decode(packet)?),
            number::CHANNEL_SUCCESS => self.received_success(&decode(packet)?),
            number::CHANNEL_FAILURE => self.received_failure(&decode(packet)?),
            _ => {
                self.session.unimplemented(packet.sequence);
                Ok(())
            }
        }
    }

    /// The next channel to call, if there is room to write.
    fn next_writable(&mut self) -> Option<Event> {
        if !self.session.has_data_room() {
            return None;
        }
        self.turns
            .call()
            .map(|channel| Event::Writable(ChannelId(channel)))
    }

    /// Seals the farewell that the error deserves.
    fn fail(&mut self, misbehaviour: Misbehaviour) -> Error {
        let farewell = format!("you {misbehaviour}");
        let error = Error::PeerMisbehaved(misbehaviour);
        if let Some(reason) = error.blame().reason() {
            self.session.disconnect(reason, &farewell);
        }
        self.over = true;
        error
    }

    fn alive(&self) -> Result<(), Misuse> {
        if self.over { Err(Misuse::Over) } else { Ok(()) }
    }

    /// Whether the application may send a control message with `bytes` of fields.
    fn may_ask(&self, bytes: usize) -> Result<(), Misuse> {
        if self.over {
            Err(Misuse::Over)
        } else if bytes > MAX_FIELDS_BYTES {
            Err(Misuse::TooLong {
                bytes,
                limit: MAX_FIELDS_BYTES,
            })
        } else if self.control.is_busy() {
            Err(Misuse::Busy)
        } else {
            Ok(())
        }
    }

    fn send(&mut self, message: &impl Message) {
        if !self.over {
            let channels = self.channels.len();
            self.control.send(&mut self.session, channels, message);
        }
    }
}

fn decode<'a, M: Message + Decode<'a>>(packet: &'a Packet) -> Result<M, Misbehaviour> {
    packet.decode().map_err(|error| Misbehaviour::Malformed {
        message: M::NAME,
        error,
    })
}

impl Layer for Connection {
    type Event = Event;
    type Error = Error;

    fn read_buffer(&mut self) -> &mut BytesMut {
        self.session.read_buffer()
    }

    fn poll(&mut self, now: Instant) -> Result<Option<Event>, Error> {
        self.now = Some(now);
        while !self.over {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            self.control.flush(&mut self.session);
            if let Some(event) = self.next_writable() {
                return Ok(Some(event));
            }
            let event = match self.session.poll(now) {
                Ok(Some(event)) => event,
                Ok(None) => {
                    // Our new keys may have come into use with the last packet: nothing waits for the peer's.
                    self.control.flush(&mut self.session);
                    return Ok(self.next_writable());
                }
                Err(error) => {
                    self.over = true;
                    return Err(Error::Below(error));
                }
            };
            match event {
                SessionEvent::Packet(packet) => {
                    self.receive(&packet)
                        .map_err(|misbehaviour| self.fail(misbehaviour))?;
                }
                SessionEvent::Extensions => return Ok(Some(Event::Extensions)),
                SessionEvent::Rekeyed => return Ok(Some(Event::Rekeyed)),
                SessionEvent::HostKey(offer) => return Ok(Some(Event::HostKey(offer))),
                SessionEvent::Pong(data) => return Ok(Some(Event::Pong(data))),
                SessionEvent::Debug(message) => return Ok(Some(Event::Debug(message))),
                SessionEvent::Unimplemented { sequence } => {
                    return Ok(Some(Event::Unimplemented { sequence }));
                }
            }
            if let Some(limit) = self.control.exceeded_limit() {
                return Err(self.fail(Misbehaviour::TooManyAnswersDue { limit }));
            }
        }
        Ok(self.events.pop_front())
    }

    fn transmit(&mut self) -> &mut Vec<u8> {
        self.session.transmit()
    }

    fn transmitted(&mut self, count: usize) {
        self.session.transmitted(count);
    }

    fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }
}
