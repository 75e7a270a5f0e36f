//! Channels come into being, or do not (RFC 4254 §5.1).

use super::Connection;
use crate::channel::{Channel, Link};
use crate::error::{Misbehaviour, Misuse};
use crate::event::{Event, Opening};
use crate::kex::{Quirk, Quirks};
use crate::limits::MAX_DESCRIPTION_BYTES;
use crate::messages::{ChannelOpen, ChannelOpenConfirmation, ChannelOpenFailure};
use crate::open::{ChannelType, OpenFailure, OpenFailureReason, SESSION};
use crate::table::ChannelId;
use crate::wire::{Message, Rest, compression};

impl Connection {
    /// Asks the peer for a channel. [`Event::Opened`] or [`Event::OpenFailed`] will follow.
    pub fn open(&mut self, channel_type: ChannelType) -> Result<ChannelId, Misuse> {
        let fields = channel_type.fields();
        self.may_ask(fields.len())?;
        let limit = self.config.limits.channels;
        if self.channels_claimed() >= limit {
            return Err(Misuse::TooManyChannels { limit });
        }
        let window = self.budget.open();
        let initial_window = window.size();
        let id = self
            .channels
            .insert(Channel::opening(window).with_datagrams(channel_type.has_datagrams()));
        self.send(&ChannelOpen {
            channel_type: channel_type.name(),
            sender: id.number(),
            initial_window,
            max_packet: self.config.max_packet,
            data: Rest(&fields),
        });
        Ok(id)
    }

    /// Agrees to a channel the peer wants to open.
    pub fn accept(&mut self, opening: Opening) -> ChannelId {
        self.pending_opens = self.pending_opens.saturating_sub(1);
        let window = self.budget.open();
        let initial_window = window.size();
        let link = Link::new(
            opening.number,
            opening.credit,
            self.usable_packet(opening.max_packet),
        );
        let id = self
            .channels
            .insert(Channel::opened(link, window).with_datagrams(opening.channel_type.has_datagrams()));
        self.send(&ChannelOpenConfirmation {
            recipient: opening.number,
            sender: id.number(),
            initial_window,
            max_packet: self.config.max_packet,
            data: Rest(b""),
        });
        id
    }

    /// Refuses a channel the peer wants to open. A description longer than [`MAX_DESCRIPTION_BYTES`] is cut.
    pub fn refuse(&mut self, opening: Opening, failure: OpenFailure) {
        self.pending_opens = self.pending_opens.saturating_sub(1);
        self.send_refusal(opening.number, failure.reason, &failure.description);
    }

    /// Lets the peer open channels of a type from now on; the name is one of [`ChannelType::NAMES`].
    pub fn allow_opens(&mut self, channel_type: &'static str) {
        if !self.config.accept_opens.contains(&channel_type) {
            self.config.accept_opens.push(channel_type);
        }
    }

    /// No longer lets the peer open channels of a type.
    pub fn forbid_opens(&mut self, channel_type: &str) {
        self.config.accept_opens.retain(|each| *each != channel_type);
    }

    /// How much of the data in a message that the peer says it takes it does take.
    fn usable_packet(&self, offered: u32) -> u32 {
        let is_compressed = *self.session.negotiated().outgoing.compression != compression::NONE;
        usable_packet(offered, self.session.quirks(), is_compressed)
    }

    /// Channels that exist, and those that will if the application accepts them.
    fn channels_claimed(&self) -> usize {
        self.channels.len().saturating_add(self.pending_opens)
    }

    pub(super) fn received_open(&mut self, message: &ChannelOpen<'_>) -> Result<(), Misbehaviour> {
        if message.max_packet == 0 {
            return Err(Misbehaviour::ZeroMaxPacket {
                message: ChannelOpen::NAME,
            });
        }
        match self.consider(message) {
            Ok(channel_type) => {
                self.pending_opens = self.pending_opens.saturating_add(1);
                self.events.push_back(Event::Open(Opening {
                    channel_type,
                    number: message.sender,
                    credit: message.initial_window,
                    max_packet: message.max_packet,
                }));
            }
            Err((reason, why)) => self.send_refusal(message.sender, reason, why),
        }
        Ok(())
    }

    /// Whether the application is to be asked. What it is not asked about leaves nothing behind.
    fn consider(&self, message: &ChannelOpen<'_>) -> Result<ChannelType, (OpenFailureReason, &'static str)> {
        let name = message.channel_type;
        let limits = &self.config.limits;
        if !ChannelType::NAMES.contains(&name) {
            return Err((OpenFailureReason::UNKNOWN_CHANNEL_TYPE, "unknown channel type"));
        }
        let prohibited = |why| Err((OpenFailureReason::ADMINISTRATIVELY_PROHIBITED, why));
        if !self.config.accept_opens.contains(&name) {
            return prohibited("channels of this type are not accepted");
        }
        if self.no_more_sessions && name == SESSION {
            return prohibited("no more sessions were to come");
        }
        if message.data.0.len() > limits.request_bytes {
            return prohibited("the fields are too long");
        }
        let Some(Ok(channel_type)) = ChannelType::decode(name, message.data.0) else {
            return prohibited("the fields do not decode");
        };
        if self.pending_opens >= limits.pending_opens || self.channels_claimed() >= limits.channels {
            return Err((OpenFailureReason::RESOURCE_SHORTAGE, "too many channels"));
        }
        Ok(channel_type)
    }

    fn send_refusal(&mut self, recipient: u32, reason: OpenFailureReason, description: &str) {
        let ends = description
            .char_indices()
            .map(|(at, each)| at.saturating_add(each.len_utf8()));
        let cut = ends
            .take_while(|end| *end <= MAX_DESCRIPTION_BYTES)
            .last()
            .unwrap_or(0);
        self.send(&ChannelOpenFailure {
            recipient,
            reason: reason.0,
            description: description.as_bytes().get(..cut).unwrap_or_default(),
            language: b"",
        });
    }

    pub(super) fn received_confirmation(
        &mut self,
        message: &ChannelOpenConfirmation<'_>,
    ) -> Result<(), Misbehaviour> {
        let id = ChannelId(message.recipient);
        let name = ChannelOpenConfirmation::NAME;
        let max_packet = self.usable_packet(message.max_packet);
        let channel = self.channels.heard(id, name)?;
        if message.max_packet == 0 {
            return Err(Misbehaviour::ZeroMaxPacket { message: name });
        }
        let link = Link::new(message.sender, message.initial_window, max_packet);
        let close = channel.confirmed(link).ok_or(Misbehaviour::UnexpectedAnswer {
            message: name,
            channel: message.recipient,
        })?;
        let wakes = std::mem::take(&mut channel.wants_credit);
        if close {
            self.forget(id);
            return Ok(());
        }
        self.events.push_back(Event::Opened(id));
        if wakes {
            self.turns.wait(id.number());
        }
        Ok(())
    }

    pub(super) fn received_open_failure(
        &mut self,
        message: &ChannelOpenFailure<'_>,
    ) -> Result<(), Misbehaviour> {
        let id = ChannelId(message.recipient);
        let name = ChannelOpenFailure::NAME;
        if !self.channels.heard(id, name)?.is_opening() {
            return Err(Misbehaviour::UnexpectedAnswer {
                message: name,
                channel: message.recipient,
            });
        }
        self.remove(id);
        let description = message
            .description
            .get(..MAX_DESCRIPTION_BYTES)
            .unwrap_or(message.description);
        self.events.push_back(Event::OpenFailed {
            id,
            reason: OpenFailureReason(message.reason),
            description: String::from_utf8_lossy(description).into_owned(),
        });
        Ok(())
    }
}

fn usable_packet(offered: u32, quirks: Quirks, is_compressed: bool) -> u32 {
    if is_compressed && quirks.has(Quirk::PacketOneByteShort) {
        offered.saturating_sub(1).max(1)
    } else {
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Identification;

    #[test]
    fn quirk_dropbear_gets_a_byte_less_than_it_takes_when_it_is_compressed() {
        for (software, is_compressed, expected) in [
            ("dropbear_2022.83", true, 32_767),
            ("dropbear_2022.83", false, 32_768),
            ("OpenSSH_10.2", true, 32_768),
        ] {
            let quirks = Quirks::of(&Identification::ours(software, None).unwrap());
            assert_eq!(
                usable_packet(32_768, quirks, is_compressed),
                expected,
                "{software}"
            );
            assert_eq!(usable_packet(1, quirks, is_compressed), 1);
        }
    }
}
