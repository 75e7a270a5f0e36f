//! Data with borders (OpenSSH `PROTOCOL` §2.3): each message is a datagram, which is sent whole or not at all.

use super::Connection;
use crate::channel::Sending;
use crate::error::Misuse;
use crate::kex::Quirk;
use crate::messages::ChannelData;
use crate::table::ChannelId;
use crate::wire::u32_saturating;

/// What OpenSSH counts of its window for a datagram besides the datagram: it keeps it as a string.
const LENGTH_BYTES: usize = 4;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram {
    /// It is on its way.
    Sent,
    /// It is longer than the peer or this side takes in one message, and never fits.
    TooLong,
    /// The peer's window has no room for it now. Who waits for room keeps a network's packets until they are of no use:
    /// it is better lost.
    NoCredit,
    /// The outbox is full, keys are being changed, it is another channel's turn or the channel is not confirmed yet:
    /// [`Event::Writable`](crate::Event::Writable) will follow.
    Later,
}

impl Connection {
    /// Seals `bytes` as one message of data, or leaves it. For channels whose type
    /// [has datagrams](crate::ChannelType::has_datagrams).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn send_datagram(&mut self, id: ChannelId, bytes: &[u8]) -> Result<Datagram, Misuse> {
        self.alive()?;
        self.control.flush(&mut self.session);
        let extra = match self.session.quirks().has(Quirk::CountsDatagramLengths) {
            true => LENGTH_BYTES,
            false => 0,
        };
        let charge = u32_saturating(bytes.len().saturating_add(extra));
        let channel = self.channels.get_mut(id).ok_or(Misuse::UnknownChannel(id))?;
        if channel.is_opening() && !channel.is_abandoned() {
            channel.wants_credit = true;
            return Ok(Datagram::Later);
        }
        let link = channel.speak(id)?;
        if link.ours == Sending::Eof {
            return Err(Misuse::AfterEof(id));
        }
        if charge > link.window.max_packet().min(self.config.max_packet_out) {
            return Ok(Datagram::TooLong);
        }
        if charge > link.window.credit() {
            return Ok(Datagram::NoCredit);
        }
        let number = id.number();
        if self.turns.must_wait(number) || !self.session.has_data_room() {
            self.turns.wait(number);
            return Ok(Datagram::Later);
        }
        self.session.send_data(&ChannelData {
            recipient: link.number,
            data: bytes,
        });
        link.window.sent(charge);
        self.turns.wrote(number, bytes.len(), false);
        Ok(Datagram::Sent)
    }
}
