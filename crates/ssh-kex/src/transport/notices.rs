//! What a peer tells beside the conversation: EXT_INFO (RFC 8308), PING and PONG (OpenSSH `PROTOCOL` §1.8).

use super::{Transport, TransportEvent};
use crate::Role;
use crate::error::{Error, Misbehaviour};
use crate::ext_info;
use crate::messages::{Ping, Pong};
use crate::wire::{DecodeError, Packet, number};

impl Transport {
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

    /// As OpenSSH does, pings are answered after login and not while keys are being changed: they could pile up.
    pub(super) fn receive_ping(&mut self, packet: &Packet) -> Result<(), Error> {
        let ping: Ping<'_> = packet.decode().map_err(malformed(packet))?;
        if !self.exchange.holds_messages() {
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
