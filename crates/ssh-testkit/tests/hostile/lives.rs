//! C7: numbers of channels that do not exist or no longer do, CLOSE twice, data behind EOF or CLOSE, in any order. A peer
//! throws dice, a model of RFC 4254 §5 says whether the connection has to end there, and the machine has to agree.
//!
//! ```text
//!   a sequence: up to 24 steps on one connection that other sequences used before
//!     says anything about any channel ──▶ model: fine  ──▶ machine lives, and says nothing about what it has closed
//!                                     ──▶ model: wrong ──▶ machine ends with PROTOCOL_ERROR, and a new one is made
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ssh_client::channel::{ChannelId, ChannelRequest, Misuse, Stream};
use ssh_client::kex::Role;
use ssh_client::wire::number;
use ssh_testkit::hostile::channels::{
    adjust, close, confirmation, data, eof, extended, logged_in, open, request,
};
use ssh_testkit::hostile::{Peer, Victim};
use ssh_testkit::rng::Dice;

use super::ROLES;
use super::channels::room;

/// Sequences in each role; `BOWLINE_SEQUENCES` asks for another number.
const SEQUENCES: usize = 60_000;
const MOST_STEPS: usize = 24;
/// Sequences that one connection lives through if none ends it: the machine passes over 10,000 replies to nothing, and
/// this many sequences have fewer steps.
const SEQUENCES_A_CONNECTION: usize = 400;

/// What the model knows of a channel, by the victim's number.
#[derive(Debug, Clone, Copy)]
struct Channel {
    id: ChannelId,
    /// The peer's number; `None` until the peer has agreed to the victim's open.
    own: Option<u32>,
    /// The victim has sent CLOSE, or will as soon as the peer agrees.
    closed: bool,
    said_eof: bool,
    heard_eof: bool,
    heard_close: bool,
    /// What the peer may still send, and what the victim may.
    granted: u32,
    credit: u64,
    unread: u32,
}

struct World {
    peer: Peer,
    victim: Victim,
    dice: Dice,
    channels: BTreeMap<u32, Channel>,
    /// Numbers that the victim has given away on this connection, and the peer.
    numbers: BTreeSet<u32>,
    next_own: u32,
    /// The peer's numbers of channels whose CLOSE came.
    closed: BTreeSet<u32>,
}

impl World {
    fn new(role: Role, seed: u64) -> Self {
        let (peer, victim) = logged_in(role, room());
        Self {
            peer,
            victim,
            dice: Dice::new(seed),
            channels: BTreeMap::new(),
            numbers: BTreeSet::new(),
            next_own: 0,
            closed: BTreeSet::new(),
        }
    }

    /// One sequence. Whether the connection is still there.
    fn play(&mut self) -> bool {
        for _ in 0..1 + self.dice.below(MOST_STEPS) {
            let fine = match self.dice.below(10) {
                0..3 => self.application(),
                _ => self.provoke(),
            };
            let error = self.victim.error().map(str::to_owned);
            assert_eq!(error.is_none(), fine, "{error:?} {:?}", self.channels);
            if !fine {
                assert_eq!(self.peer.farewell(&mut self.victim), Some(2), "{error:?}");
                return false;
            }
            self.hear();
        }
        true
    }

    // ---- the victim's application ------------------------------------------------------------------------------------

    /// It opens, reads, ends or closes something. That never ends a connection.
    fn application(&mut self) -> bool {
        let all: Vec<u32> = self.channels.keys().copied().collect();
        let number = all.get(self.dice.below(all.len())).copied();
        match (self.dice.below(6), number) {
            (0, _) | (_, None) => self.opens(),
            (1, Some(number)) => self.reads(number),
            (2, Some(number)) => self.says_eof(number),
            (3, Some(number)) => self.closes(number),
            (_, Some(number)) => self.speaks(number),
        }
        true
    }

    fn opens(&mut self) {
        let id = self.victim.open_session();
        self.insert(id, None, 0);
        let opened = self.peer.until(number::CHANNEL_OPEN, &mut self.victim);
        assert_eq!(opened.payload[12..16], id.number().to_be_bytes());
    }

    fn insert(&mut self, id: ChannelId, own: Option<u32>, credit: u32) {
        assert!(self.numbers.insert(id.number()), "{id} was given twice");
        let granted = self.victim.connection().receive_window(id);
        let channel = Channel {
            id,
            own,
            closed: false,
            said_eof: false,
            heard_eof: false,
            heard_close: false,
            granted,
            credit: u64::from(credit),
            unread: 0,
        };
        self.channels.insert(id.number(), channel);
    }

    fn reads(&mut self, number: u32) {
        let id = self.channels[&number].id;
        for stream in [Stream::Data, Stream::Stderr] {
            while let Some(bytes) = self.victim.connection().read(id, stream, 5_000) {
                self.victim.connection().consumed(id, bytes.len());
                let channel = self.channels.get_mut(&number).unwrap();
                channel.unread -= u32::try_from(bytes.len()).unwrap();
            }
        }
        self.victim.settle();
        self.sweep(number);
    }

    fn says_eof(&mut self, number: u32) {
        let channel = self.channels.get_mut(&number).unwrap();
        let said = self.victim.connection().eof(channel.id);
        match channel.own {
            None => assert!(matches!(said, Err(Misuse::NotOpenYet(_) | Misuse::Closed(_)))),
            Some(_) if channel.closed => assert!(matches!(said, Err(Misuse::Closed(_)))),
            Some(_) => channel.said_eof |= said.is_ok(),
        }
        self.victim.settle();
    }

    fn closes(&mut self, number: u32) {
        let channel = self.channels.get_mut(&number).unwrap();
        assert_eq!(self.victim.connection().close(channel.id), Ok(()));
        (channel.closed, channel.unread) = (true, 0);
        self.victim.settle();
        self.sweep(number);
    }

    fn speaks(&mut self, number: u32) {
        let channel = self.channels.get_mut(&number).unwrap();
        let bytes = vec![b'v'; 1 + self.dice.below(3_000)];
        let written = self.victim.connection().write(channel.id, Stream::Data, &bytes);
        if let Ok(count) = written {
            let count = count as u64;
            assert!(count <= channel.credit, "{count} bytes of {}", channel.credit);
            assert!(count == 0 || !(channel.closed || channel.said_eof));
            channel.credit -= count;
        }
        if self.dice.below(8) == 0 {
            let shell = ChannelRequest::Shell;
            let _asked = self.victim.connection().request(channel.id, &shell, false);
        }
        self.victim.settle();
    }

    /// Forgets a channel that both have closed and nobody wants to read any more: its number means nothing now.
    fn sweep(&mut self, number: u32) {
        let channel = self.channels[&number];
        if channel.own.is_some() && channel.closed && channel.heard_close && channel.unread == 0 {
            self.channels.remove(&number);
        }
    }

    // ---- the peer ----------------------------------------------------------------------------------------------------

    /// The peer says something about some channel; whether it may.
    fn provoke(&mut self) -> bool {
        if self.channels.is_empty() || self.dice.below(8) == 0 {
            return self.peer_opens();
        }
        let number = self.some_number();
        let known = self.channels.get(&number).copied();
        match self.dice.below(40) {
            0..12 => self.says_data(number, known),
            12..16 => self.says(may_speak(known), &request(number, "shell", false, b""), |_| {}),
            16..18 => {
                let kind = 99 + u8::try_from(self.dice.below(2)).unwrap();
                let reply = [&[kind][..], &number.to_be_bytes()].concat();
                self.says(may_speak(known), &reply, |_| {})
            }
            18..22 => self.adjusts(number, known),
            22..25 => self.peer_says_eof(number, known),
            25..30 => self.peer_closes(number, known),
            30 => self.refuses(number, known),
            _ => self.confirms(number, known),
        }
    }

    /// Says what is fine or not, and does what follows from it in the model. What is wrong is mostly left unsaid: a
    /// sequence shall get somewhere before it ends.
    fn says(&mut self, fine: bool, message: &[u8], follows: impl FnOnce(&mut Self)) -> bool {
        if fine {
            self.peer.say(message, &mut self.victim);
            follows(self);
        } else if self.dice.below(12) == 0 {
            self.peer.say(message, &mut self.victim);
            return false;
        }
        true
    }

    /// The model's channel of a number that it knows.
    fn channel(&mut self, number: u32) -> &mut Channel {
        self.channels.get_mut(&number).unwrap()
    }

    /// Mostly the number of a channel that is there; sometimes one that is gone, or was never given.
    fn some_number(&mut self) -> u32 {
        let all: Vec<u32> = self.channels.keys().copied().collect();
        match self.dice.below(150) {
            0 => self.dice.throw() as u32,
            1 => self.numbers.last().map_or(0, |last| last + 1),
            2 => self.numbers.first().copied().unwrap_or_default(),
            _ => all[self.dice.below(all.len())],
        }
    }

    fn peer_opens(&mut self) -> bool {
        let own = self.next_own;
        self.next_own += 1;
        let window = u32::try_from(self.dice.below(10_000)).unwrap();
        self.peer
            .say(&open(own, "session", b"", window), &mut self.victim);
        let accepted = self.victim.channels.pop().expect("the application accepts");
        self.insert(accepted, Some(own), window);
        true
    }

    fn says_data(&mut self, number: u32, known: Option<Channel>) -> bool {
        let many = self.dice.below(20) == 0;
        let count = self.dice.below(if many { 40_000 } else { 2_000 });
        let (bytes, kind) = (vec![b'p'; count], self.dice.below(4));
        let message = match kind {
            0 => extended(number, 1, &bytes),
            1 => extended(number, 99, &bytes),
            _ => data(number, &bytes),
        };
        let count = u32::try_from(count).unwrap();
        let fits = |channel: Channel| !channel.heard_eof && count <= channel.granted && count <= 32 * 1024;
        let fine = may_speak(known) && known.is_some_and(fits);
        self.says(fine, &message, |world| {
            let channel = world.channel(number);
            channel.granted -= count;
            if !channel.closed && kind != 1 {
                channel.unread += count;
            }
        })
    }

    fn adjusts(&mut self, number: u32, known: Option<Channel>) -> bool {
        let much = self.dice.below(40) == 0;
        let bytes = if much {
            u32::MAX
        } else {
            self.dice.below(5_000) as u32
        };
        let sum = |channel: Channel| channel.credit + u64::from(bytes);
        let fine = may_speak(known) && known.is_some_and(|channel| sum(channel) <= u64::from(u32::MAX));
        self.says(fine, &adjust(number, bytes), |world| {
            world.channel(number).credit += u64::from(bytes);
        })
    }

    fn peer_says_eof(&mut self, number: u32, known: Option<Channel>) -> bool {
        let fine = may_speak(known) && known.is_some_and(|channel| !channel.heard_eof);
        self.says(fine, &eof(number), |world| world.channel(number).heard_eof = true)
    }

    fn peer_closes(&mut self, number: u32, known: Option<Channel>) -> bool {
        self.says(may_speak(known), &close(number), |world| {
            let channel = world.channel(number);
            (channel.heard_close, channel.heard_eof, channel.closed) = (true, true, true);
            world.sweep(number);
        })
    }

    fn confirms(&mut self, number: u32, known: Option<Channel>) -> bool {
        let own = self.next_own;
        self.next_own += 1;
        let fine = known.is_some_and(|channel| channel.own.is_none());
        self.says(fine, &confirmation(number, own, 1_000), |world| {
            let channel = world.channel(number);
            (channel.own, channel.credit) = (Some(own), 1_000);
        })
    }

    fn refuses(&mut self, number: u32, known: Option<Channel>) -> bool {
        let refusal = [
            &[number::CHANNEL_OPEN_FAILURE][..],
            &number.to_be_bytes(),
            b"\0\0\0\x01\0\0\0\0\0\0\0\0",
        ];
        let fine = known.is_some_and(|channel| channel.own.is_none());
        self.says(fine, &refusal.concat(), |world| {
            world.channels.remove(&number);
        })
    }

    // ---- what the victim says ----------------------------------------------------------------------------------------

    /// Everything it says names a channel that it has not closed, and its CLOSE comes where the model has it.
    fn hear(&mut self) {
        for packet in self.peer.rest(&mut self.victim) {
            let word = |at: usize| u32::from_be_bytes(packet.payload[at..at + 4].try_into().unwrap());
            let kind = packet.number();
            if !(number::CHANNEL_WINDOW_ADJUST..=number::CHANNEL_FAILURE).contains(&kind) {
                continue;
            }
            let own = word(1);
            assert!(
                !self.closed.contains(&own),
                "message {kind} about {own} after its CLOSE"
            );
            let channel = self.channels.values_mut().find(|each| each.own == Some(own));
            match kind {
                number::CHANNEL_CLOSE => {
                    self.closed.insert(own);
                    assert!(channel.is_none_or(|channel| channel.closed), "CLOSE of {own}");
                }
                number::CHANNEL_WINDOW_ADJUST => {
                    let channel = channel.expect("credit for a channel that is there");
                    channel.granted += word(5);
                    assert!(channel.granted + channel.unread <= 100_000, "{channel:?}");
                }
                _ => {}
            }
        }
        for channel in self.channels.values() {
            let said = channel.own.is_some_and(|own| self.closed.contains(&own));
            assert_eq!(said, channel.closed && channel.own.is_some(), "{channel:?}");
        }
    }
}

/// Whether the peer may say anything about a channel: both know of it, and it has not said CLOSE.
fn may_speak(known: Option<Channel>) -> bool {
    known.is_some_and(|channel| channel.own.is_some() && !channel.heard_close)
}

#[test]
fn c07_any_order_of_messages_ends_a_connection_exactly_where_the_protocol_says() {
    let wanted = std::env::var("BOWLINE_SEQUENCES").map_or(SEQUENCES, |text| text.parse().unwrap());
    for role in ROLES {
        let (mut played, mut ended, mut seed) = (0, 0, 0);
        while played < wanted {
            seed += 1;
            let mut world = World::new(role, seed);
            for _ in 0..SEQUENCES_A_CONNECTION.min(wanted - played) {
                played += 1;
                if !world.play() {
                    ended += 1;
                    break;
                }
            }
        }
        println!("{role:?}: {played} sequences, {ended} of them ended their connection");
        assert!(ended > played / 50, "the dice provoke enough");
    }
}
