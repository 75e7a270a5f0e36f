//! One channel as the simulator knows it: what each end has done, and what it may expect.

use std::collections::VecDeque;
use std::sync::OnceLock;

use ssh_client::channel::{ChannelId, Stream};

/// Both streams of a channel.
pub(super) const STREAMS: [Stream; 2] = [Stream::Data, Stream::Stderr];

/// What one end knows of one channel.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) id: Option<ChannelId>,
    pub(super) open: bool,
    pub(super) eof: bool,
    /// The application here has closed it.
    pub(super) closed: bool,
    /// The one last event of the channel has come.
    pub(super) ended: bool,
    /// What the application wants to have sent, on each stream.
    pub(super) wanted: [usize; 2],
    pub(super) written: [usize; 2],
    pub(super) read: [usize; 2],
    /// Read, and not yet paid for.
    pub(super) unconsumed: usize,
    /// A write took nothing: the next one waits until it is called.
    pub(super) waits: bool,
    /// What the replies to come must say.
    pub(super) expected: VecDeque<bool>,
}

impl Half {
    /// Its number, while the application here may use it, confirmed or not.
    pub(super) fn usable(&self) -> Option<ChannelId> {
        self.id.filter(|_| !self.closed && !self.ended)
    }

    /// The same, once it is open.
    pub(super) fn speaking(&self) -> Option<ChannelId> {
        self.usable().filter(|_| self.open)
    }

    /// Nothing more will be sent than has been.
    pub(super) fn stop(&mut self) {
        self.wanted = self.written;
        self.waits = false;
    }

    /// Whether the application has yet to send something.
    pub(super) fn has_more(&self) -> bool {
        self.written != self.wanted
    }
}

/// One channel: what both ends know of it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) halves: [Half; 2],
}

/// A length of the pattern that is no multiple of any packet's.
const PERIOD: usize = 65_521;

/// The most bytes that [`sent_bytes`] gives at once.
pub(super) const MOST_BYTES: usize = 2 * PERIOD;

/// The bytes from place `at` on of a stream that `from` sends on channel `tag`: lost, doubled or strayed bytes differ.
pub(super) fn sent_bytes(tag: u32, from: usize, stream: usize, at: usize, count: usize) -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        let mixed = (0..PERIOD as u64).map(|place| place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37);
        let once: Vec<u8> = mixed.map(|mixed| mixed.to_le_bytes()[0]).collect();
        once.repeat(3)
    });
    let salt = (tag as usize * 4 + from * 2 + stream) * 7_919;
    let start = (salt + at) % PERIOD;
    &pattern[start..start + count]
}
