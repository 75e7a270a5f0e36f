//! What is told beside the conversation: IGNORE, DEBUG and UNIMPLEMENTED (RFC 4253 §11), EXT_INFO (RFC 8308), PING and
//! PONG (OpenSSH `PROTOCOL` §1.8).

use super::{Transport, TransportEvent};
use crate::Role;
use crate::error::{Error, Misbehaviour, PingError, Place, SendError};
use crate::ext_info;
use crate::keys::SignatureAlgorithm;
use crate::messages::{Debug, DebugMessage, Ignore, Ping, Pong, Unimplemented};
use crate::wire::{DecodeError, Packet, number};

/// The most pings that may wait for their answers.
pub const MAX_PINGS: u32 = 128;

impl Transport {
    /// Sends IGNORE, which every peer passes over (RFC 4253 §11.2).
    pub fn send_ignore(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.send(&Ignore { data })
    }

    /// Sends DEBUG (RFC 4253 §11.3): a text for people, which a peer shows to its user if `always_display` says so.
    pub fn send_debug(&mut self, always_display: bool, text: &str) -> Result<(), SendError> {
        self.send(&Debug {
            always_display,
            message: text.as_bytes(),
            language_tag: b"",
        })
    }

    /// How many messages of the peer's were passed over so far because they mean nothing: IGNORE, and what is named
    /// DEBUG or UNIMPLEMENTED and does not decode.
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Sends a ping; [`TransportEvent::Pong`] will follow, in the order of the pings. While keys are being changed it
    /// waits for the new ones.
    pub fn ping(&mut self, data: &[u8]) -> Result<(), PingError> {
        if !self.extensions.ping {
            return Err(PingError::NotAnnounced);
        }
        if self.settled != Place::AfterLogin {
            return Err(PingError::BeforeLogin);
        }
        if self.pings >= MAX_PINGS {
            return Err(PingError::TooMany);
        }
        self.send(&Ping { data })?;
        self.pings = self.pings.saturating_add(1);
        Ok(())
    }

    /// As a server, before anybody is logged in: tells the client again which signatures are taken for its login. From
    /// the client's first request on, once for a connection, and only if it announced `ext-info-in-auth@openssh.com`;
    /// `false`: it was not told.
    pub fn tell_login_signatures(&mut self, algorithms: &[&'static SignatureAlgorithm]) -> bool {
        let may = self.link.role == Role::Server
            && self.extensions.ext_info_in_auth
            && self.settled == Place::BeforeLogin
            && !self.told_again;
        let names = algorithms.iter().map(|each| each.name);
        self.told_again |= may && self.send_payload(ext_info::of_server_in_auth(names)).is_ok();
        may && self.told_again
    }

    /// The signatures a client was told of in the first EXT_INFO.
    pub fn login_signatures(&self) -> &[&'static SignatureAlgorithm] {
        &self.link.config.login_signatures
    }

    /// IGNORE, DEBUG and UNIMPLEMENTED, and pings before login. RFC 4253 §11 wants all three taken at any time, so one
    /// that does not decode is passed over too.
    pub(super) fn receive_notice(&mut self, packet: &Packet) -> Option<TransportEvent> {
        let event = match packet.number() {
            number::DEBUG => DebugMessage::read(&packet.payload).map(TransportEvent::Debug),
            number::UNIMPLEMENTED => {
                let notice: Result<Unimplemented, _> = packet.decode();
                notice.ok().map(|notice| TransportEvent::Unimplemented {
                    sequence: notice.sequence_number,
                })
            }
            _ => None,
        };
        self.ignored = self.ignored.saturating_add(u64::from(event.is_none()));
        event
    }

    pub(super) fn receive_ext_info(&mut self, packet: &Packet) -> Result<TransportEvent, Error> {
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

    /// Pings are answered after login. While keys are being changed the answers wait, and may take half of the room
    /// there is: whoever sends more than that is not owed an answer to all.
    pub(super) fn receive_ping(&mut self, packet: &Packet) -> Result<(), Error> {
        let ping: Ping<'_> = packet.decode().map_err(malformed(packet))?;
        let room = self.link.config.limits.hold_queue_bytes / 2;
        if self.held.bytes().saturating_add(packet.payload.len()) <= room {
            let _ = self.send(&Pong { data: ping.data });
        }
        Ok(())
    }

    pub(super) fn receive_pong(&mut self, packet: &Packet) -> Result<Option<TransportEvent>, Error> {
        let pong: Pong<'_> = packet.decode().map_err(malformed(packet))?;
        let Some(left) = self.pings.checked_sub(1) else {
            return Ok(None);
        };
        self.pings = left;
        Ok(Some(TransportEvent::Pong(pong.data.to_vec())))
    }
}

fn malformed(packet: &Packet) -> impl FnOnce(DecodeError) -> Misbehaviour + use<> {
    Misbehaviour::malformed(number::name(packet.number()))
}
