//! Channels of the hostile peer: opened by either side in the right way, so that what is wrong comes afterwards.

use ssh_client::channel::messages::{
    ChannelClose, ChannelData, ChannelEof, ChannelExtendedData, ChannelOpen, ChannelOpenConfirmation,
    ChannelRequest, ChannelWindowAdjust,
};
use ssh_client::channel::{self, ChannelId, ChannelType};
use ssh_client::kex::Role;
use ssh_client::wire::{Encode, Rest, number};

use super::{Answers, Peer, Target, Traits, Victim};

/// A channel between the peer and its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The peer's own number of it.
    pub own: u32,
    /// The target's number of it: the recipient of what the peer says.
    pub theirs: u32,
    /// What the target lets the peer send, in bytes.
    pub window: u32,
    /// The most it takes in one message, in bytes.
    pub max_packet: u32,
}

impl Peer {
    /// Opens a channel, granting `window` bytes; the target has to agree.
    ///
    /// # Panics
    /// It does not.
    pub fn open(&mut self, own: u32, kind: &ChannelType, window: u32, target: &mut dyn Target) -> Line {
        self.say(&open(own, kind.name(), &kind.fields(), window), target);
        let packet = self.until(number::CHANNEL_OPEN_CONFIRMATION, target);
        let confirmed: ChannelOpenConfirmation<'_> = packet.decode().expect("a CONFIRMATION");
        assert_eq!(confirmed.recipient, own, "the answer is about this channel");
        Line {
            own,
            theirs: confirmed.sender,
            window: confirmed.initial_window,
            max_packet: confirmed.max_packet,
        }
    }

    /// Hears the target's open and agrees, granting `window` bytes.
    ///
    /// # Panics
    /// It opens nothing.
    pub fn agree_to_open(&mut self, own: u32, window: u32, target: &mut dyn Target) -> Line {
        let packet = self.until(number::CHANNEL_OPEN, target);
        let opened: ChannelOpen<'_> = packet.decode().expect("an OPEN");
        let line = Line {
            own,
            theirs: opened.sender,
            window: opened.initial_window,
            max_packet: opened.max_packet,
        };
        self.say(&confirmation(line.theirs, own, window), target);
        line
    }
}

/// A victim with such a room of channels, somebody logged in, and its peer. Nothing is left to hear.
pub fn logged_in(role: Role, connection: channel::Config) -> (Peer, Victim) {
    let answers = Answers {
        connection,
        ..Answers::default()
    };
    let mut victim = Victim::new(role, Victim::config(), answers);
    let mut peer = Peer::of(role, Traits::default());
    peer.connect(&mut victim);
    peer.rest(&mut victim);
    (peer, victim)
}

impl Victim {
    /// Its application opens a session channel.
    ///
    /// # Panics
    /// Nobody is logged in, or it may not.
    pub fn open_session(&mut self) -> ChannelId {
        let id = self
            .connection()
            .open(ChannelType::Session)
            .expect("room for a channel");
        self.settle();
        id
    }
}

/// CHANNEL_OPEN, whatever the type and its fields.
pub fn open(sender: u32, channel_type: &str, fields: &[u8], window: u32) -> Vec<u8> {
    ChannelOpen {
        channel_type,
        sender,
        initial_window: window,
        max_packet: 32 * 1024,
        data: Rest(fields),
    }
    .to_bytes()
}

/// CHANNEL_OPEN_CONFIRMATION.
pub fn confirmation(recipient: u32, sender: u32, window: u32) -> Vec<u8> {
    ChannelOpenConfirmation {
        recipient,
        sender,
        initial_window: window,
        max_packet: 32 * 1024,
        data: Rest(b""),
    }
    .to_bytes()
}

/// CHANNEL_WINDOW_ADJUST.
pub fn adjust(recipient: u32, bytes_to_add: u32) -> Vec<u8> {
    ChannelWindowAdjust {
        recipient,
        bytes_to_add,
    }
    .to_bytes()
}

/// CHANNEL_DATA.
pub fn data(recipient: u32, data: &[u8]) -> Vec<u8> {
    ChannelData { recipient, data }.to_bytes()
}

/// CHANNEL_EXTENDED_DATA.
pub fn extended(recipient: u32, data_type: u32, data: &[u8]) -> Vec<u8> {
    ChannelExtendedData {
        recipient,
        data_type,
        data,
    }
    .to_bytes()
}

/// CHANNEL_EOF.
pub fn eof(recipient: u32) -> Vec<u8> {
    ChannelEof { recipient }.to_bytes()
}

/// CHANNEL_CLOSE.
pub fn close(recipient: u32) -> Vec<u8> {
    ChannelClose { recipient }.to_bytes()
}

/// CHANNEL_REQUEST, whatever the type and its fields.
pub fn request(recipient: u32, request_type: &str, want_reply: bool, fields: &[u8]) -> Vec<u8> {
    ChannelRequest {
        recipient,
        request_type,
        want_reply,
        data: Rest(fields),
    }
    .to_bytes()
}
