//! Data, credit, EOF and CLOSE (RFC 4254 §5.2, §5.3).

use super::Connection;
use crate::Stream;
use crate::auth::Session;
use crate::channel::{Delivery, Link, Receiving, Sending, Terms};
use crate::error::{Misbehaviour, Misuse};
use crate::event::Event;
use crate::inbox::Arrival;
use crate::messages::{
    ChannelClose, ChannelData, ChannelEof, ChannelExtendedData, ChannelWindowAdjust, EXTENDED_DATA_STDERR,
};
use crate::table::ChannelId;
use crate::wire::bytes::Bytes;
use crate::wire::{Message, Packet, u32_saturating, usize_from};

impl Connection {
    /// Seals as much of `bytes` as the peer's window, its packets and the outbox take now; how many bytes that was.
    /// Zero means that there is no room, or that the channel is not confirmed yet: [`Event::Writable`] will follow.
    pub fn write(&mut self, id: ChannelId, stream: Stream, bytes: &[u8]) -> Result<usize, Misuse> {
        self.alive()?;
        // Data never overtakes what waited for new keys: the channel's own CONFIRMATION may be among it.
        self.control.flush(&mut self.session);
        let channel = self.channels.get_mut(id).ok_or(Misuse::UnknownChannel(id))?;
        if channel.is_opening() && !channel.is_abandoned() {
            channel.wants_credit = true;
            return Ok(0);
        }
        let link = channel.speak(id)?;
        if link.ours == Sending::Eof {
            return Err(Misuse::AfterEof(id));
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        if link.window.credit() == 0 {
            channel.wants_credit = true;
            return Ok(0);
        }
        let number = id.number();
        if self.turns.must_wait(number) {
            return Ok(0);
        }
        let share = bytes.get(..self.turns.left(number)).unwrap_or(bytes);
        let taken = fill(&mut self.session, link, stream, share, self.config.max_packet_out);
        if taken == 0 {
            self.turns.wait(number);
        } else {
            let wants_more = taken < bytes.len() && link.window.credit() > 0;
            self.turns.wrote(number, taken, wants_more);
        }
        Ok(taken)
    }

    /// Takes up to `max` bytes of what has arrived: a slice of the packet it came in. The peer gets credit for it when
    /// it is [`consumed`](Self::consumed).
    pub fn read(&mut self, id: ChannelId, stream: Stream, max: usize) -> Option<Bytes> {
        let channel = self.channels.get_mut(id)?;
        let chunk = channel.inbox_mut(stream).pop(max);
        self.sweep(id);
        chunk
    }

    /// How many bytes of a stream have arrived and not been read.
    pub fn readable(&self, id: ChannelId, stream: Stream) -> usize {
        self.channels
            .get(id)
            .map_or(0, |channel| channel.inbox(stream).len())
    }

    /// Whether no more data will arrive: the peer has said EOF or CLOSE, or the channel is gone. What arrived before
    /// may still be there to [`read`](Self::read).
    pub fn is_eof(&self, id: ChannelId) -> bool {
        self.channels.get(id).is_none_or(|channel| channel.is_eof())
    }

    /// How many bytes the peer lets us send on a channel now.
    pub fn send_window(&self, id: ChannelId) -> u32 {
        self.channels.get(id).map_or(0, |channel| channel.credit())
    }

    /// How many bytes we let the peer send on a channel now.
    pub fn receive_window(&self, id: ChannelId) -> u32 {
        self.channels
            .get(id)
            .map_or(0, |channel| channel.window.granted())
    }

    /// The application has used `count` of the bytes it read: the peer may send as many more.
    pub fn consumed(&mut self, id: ChannelId, count: usize) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let Some(recipient) = channel.credited() else {
            return;
        };
        if channel.window.consumed(u32_saturating(count), self.now) {
            self.budget.grow(&mut channel.window);
        }
        if let Some(bytes_to_add) = channel.window.grant(self.config.max_packet) {
            self.send(&ChannelWindowAdjust {
                recipient,
                bytes_to_add,
            });
        }
    }

    /// Says that no more data will come from us. The peer may still send. Saying it again does nothing.
    pub fn eof(&mut self, id: ChannelId) -> Result<(), Misuse> {
        self.alive()?;
        let channel = self.channels.get_mut(id).ok_or(Misuse::UnknownChannel(id))?;
        let link = channel.speak(id)?;
        if link.ours == Sending::Eof {
            return Ok(());
        }
        link.ours = Sending::Eof;
        let recipient = link.number;
        channel.wants_credit = false;
        self.turns.leave(id.number());
        self.send(&ChannelEof { recipient });
        Ok(())
    }

    /// Closes a channel and lets go of it: nothing more is sent, what lies unread is thrown away and what still
    /// arrives is discarded. [`Event::Closed`] follows when the peer has closed it too. A channel that is not yet
    /// confirmed is closed as soon as it is.
    pub fn close(&mut self, id: ChannelId) -> Result<(), Misuse> {
        if self.channels.get(id).is_none() {
            return Err(Misuse::UnknownChannel(id));
        }
        self.forget(id);
        Ok(())
    }

    /// [`close`](Self::close)s a channel if it is there, in whatever state it is.
    pub fn forget(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let due = channel.close();
        self.turns.leave(id.number());
        if let Some(recipient) = due {
            self.send(&ChannelClose { recipient });
        }
        self.sweep(id);
    }

    /// Removes a channel that nobody wants anything of.
    fn sweep(&mut self, id: ChannelId) {
        if self.channels.get(id).is_some_and(|channel| channel.is_gone()) {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: ChannelId) {
        self.turns.leave(id.number());
        if let Some(channel) = self.channels.remove(id) {
            self.budget.close(&channel.window);
        }
    }

    pub(super) fn received_adjust(&mut self, message: &ChannelWindowAdjust) -> Result<(), Misbehaviour> {
        let id = ChannelId(message.recipient);
        let channel = self.channels.heard(id, ChannelWindowAdjust::NAME)?;
        let window = &mut channel.hear(id, ChannelWindowAdjust::NAME)?.window;
        let credit = window.credit();
        window
            .adjusted(message.bytes_to_add)
            .ok_or(Misbehaviour::WindowOverflow {
                channel: message.recipient,
                credit,
                added: message.bytes_to_add,
            })?;
        if window.credit() > 0 && std::mem::take(&mut channel.wants_credit) {
            self.turns.wait(id.number());
        }
        Ok(())
    }

    pub(super) fn received_data(
        &mut self,
        packet: &Packet,
        message: &ChannelData<'_>,
    ) -> Result<(), Misbehaviour> {
        let data = packet.payload.slice_ref(message.data);
        self.deliver(
            ChannelId(message.recipient),
            ChannelData::NAME,
            Some(Stream::Data),
            data,
        )
    }

    pub(super) fn received_extended_data(
        &mut self,
        packet: &Packet,
        message: &ChannelExtendedData<'_>,
    ) -> Result<(), Misbehaviour> {
        let data = packet.payload.slice_ref(message.data);
        let stream = (message.data_type == EXTENDED_DATA_STDERR).then_some(Stream::Stderr);
        self.deliver(
            ChannelId(message.recipient),
            ChannelExtendedData::NAME,
            stream,
            data,
        )
    }

    fn deliver(
        &mut self,
        id: ChannelId,
        message: &'static str,
        stream: Option<Stream>,
        data: Bytes,
    ) -> Result<(), Misbehaviour> {
        let terms = Terms {
            max_packet: self.config.max_packet,
            empty_limit: self.config.limits.empty_data,
            arrival: Arrival {
                is_crowded: self.channels.len() > 1,
                turn: self.now,
            },
        };
        let channel = self.channels.heard(id, message)?;
        let count = data.len();
        match channel.received(id, message, stream, data, terms)? {
            Delivery::Inbox(stream) => self.events.push_back(Event::Readable(id, stream)),
            Delivery::Dropped => self.consumed(id, count),
            Delivery::Ignored => {}
        }
        Ok(())
    }

    pub(super) fn received_eof(&mut self, message: &ChannelEof) -> Result<(), Misbehaviour> {
        let id = ChannelId(message.recipient);
        let link = self
            .channels
            .heard(id, ChannelEof::NAME)?
            .hear(id, ChannelEof::NAME)?;
        if link.theirs != Receiving::ExpectData {
            return Err(Misbehaviour::AfterEof {
                message: ChannelEof::NAME,
                channel: message.recipient,
            });
        }
        link.theirs = Receiving::ExpectClose;
        if link.ours != Sending::Closed {
            self.events.push_back(Event::Eof(id));
        }
        Ok(())
    }

    pub(super) fn received_close(&mut self, message: &ChannelClose) -> Result<(), Misbehaviour> {
        let id = ChannelId(message.recipient);
        let channel = self.channels.heard(id, ChannelClose::NAME)?;
        if let Some(recipient) = channel.closed_by_peer(id, ChannelClose::NAME)? {
            self.send(&ChannelClose { recipient });
        }
        self.turns.leave(id.number());
        self.events.push_back(Event::Closed(id));
        self.sweep(id);
        Ok(())
    }
}

/// Seals data packet by packet, straight from the caller's slice, until it, the window or the room is used up.
fn fill(session: &mut Session, link: &mut Link, stream: Stream, bytes: &[u8], max_packet: u32) -> usize {
    let mut left = bytes;
    while session.has_data_room() {
        let packet_room = usize_from(link.window.packet_room().min(max_packet));
        let count = left.len().min(packet_room);
        if count == 0 {
            break;
        }
        let Some((data, rest)) = left.split_at_checked(count) else {
            break;
        };
        let recipient = link.number;
        match stream {
            Stream::Data => session.send_data(&ChannelData { recipient, data }),
            Stream::Stderr => session.send_data(&ChannelExtendedData {
                recipient,
                data_type: EXTENDED_DATA_STDERR,
                data,
            }),
        }
        link.window.sent(u32_saturating(count));
        left = rest;
    }
    bytes.len().saturating_sub(left.len())
}
