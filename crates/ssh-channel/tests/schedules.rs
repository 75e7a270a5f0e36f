//! Random schedules: two connections do everything they can in any order, over a wire that cuts anywhere. Whatever
//! happens, every byte arrives where it should, the windows of both ends agree, and nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::{Dice, End, Pair, numbered, open_house, pair};
use ssh_channel::{
    ChannelId, ChannelRequest, ChannelType, Config, Connection, Env, Event, GlobalReplyDue, Limits,
    OpenFailure, OpenFailureReason, Opening, ReplyDue, Stream, TcpipForward,
};

const SCHEDULES: u64 = 40;
const STEPS: usize = 2_000;
const STREAMS: [Stream; 2] = [Stream::Data, Stream::Stderr];

/// What one end knows of one channel.
#[derive(Default)]
struct Half {
    id: Option<ChannelId>,
    open: bool,
    eof: bool,
    closed: bool,
    /// The one last event of the channel has come.
    ended: bool,
    written: [usize; 2],
    read: [usize; 2],
    unconsumed: usize,
    /// A write took nothing: the next one waits for its call.
    pending: bool,
    /// What the replies to come must say.
    expected: VecDeque<bool>,
}

/// One channel: what both ends know of it.
#[derive(Default)]
struct Channel {
    halves: [Half; 2],
}

struct World {
    pair: Pair,
    dice: Dice,
    channels: BTreeMap<u32, Channel>,
    ids: [BTreeMap<ChannelId, u32>; 2],
    openings: Vec<(usize, Opening)>,
    due: Vec<(usize, ReplyDue, bool)>,
    global_due: Vec<(usize, GlobalReplyDue, bool)>,
    global_expected: [VecDeque<bool>; 2],
    /// Bytes under way, by who sent them.
    under_way: [VecDeque<u8>; 2],
    tags: u32,
    /// Requests are numbered: an odd one is granted.
    asked: u32,
    calm: bool,
}

/// The byte at a place of a stream.
fn byte_at(tag: u32, from: usize, stream: usize, place: usize) -> u8 {
    let mixed =
        place.wrapping_mul(0x9e37_79b1) ^ (tag as usize * 4 + from * 2 + stream).wrapping_mul(0x85eb_ca6b);
    (mixed >> 13) as u8
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut config = || {
            let mut config = open_house();
            config.window.initial = *dice.pick(&[1, 50, 5_000, 200_000, 2 << 20]).unwrap();
            config.window.max = config.window.initial.saturating_mul(*dice.pick(&[1, 8]).unwrap());
            config.window.budget = *dice.pick(&[0, 100_000, 64 << 20]).unwrap();
            config.max_packet = *dice.pick(&[1, 100, 32_768, 65_536]).unwrap();
            config.limits = Limits {
                channels: 12,
                pending_opens: 4,
                ..Limits::default()
            };
            config
        };
        let (a, b): (Config, Config) = (config(), config());
        Self {
            pair: pair(a, b),
            dice,
            channels: BTreeMap::new(),
            ids: Default::default(),
            openings: Vec::new(),
            due: Vec::new(),
            global_due: Vec::new(),
            global_expected: Default::default(),
            under_way: Default::default(),
            tags: 0,
            asked: 0,
            calm: false,
        }
    }

    fn end(&mut self, side: usize) -> &mut End<Connection> {
        if side == 0 {
            &mut self.pair.a
        } else {
            &mut self.pair.b
        }
    }

    fn machine(&mut self, side: usize) -> &mut Connection {
        &mut self.end(side).machine
    }

    /// A side and a channel that is open there.
    fn pick(&mut self) -> Option<(usize, u32, ChannelId)> {
        let side = self.dice.below(2);
        let open = |(tag, channel): (&u32, &Channel)| {
            let half = &channel.halves[side];
            half.id
                .filter(|_| half.open && !half.closed && !half.ended)
                .map(|id| (side, *tag, id))
        };
        let all: Vec<_> = self.channels.iter().filter_map(open).collect();
        self.dice.pick(&all).copied()
    }

    fn half(&mut self, side: usize, tag: u32) -> &mut Half {
        &mut self.channels.get_mut(&tag).unwrap().halves[side]
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..6 => self.open(),
            6..12 => self.answer_opening(),
            12..37 => self.write(),
            37..60 => self.read(),
            60..62 => self.eof(),
            62..65 => self.close(),
            65..70 => self.request(),
            70..76 => self.answer(),
            76..78 => self.ask_global(),
            78..79 => {
                let side = self.dice.below(2);
                let now = self.pair.now;
                self.machine(side).start_rekey(now);
            }
            _ => {
                let side = self.dice.below(2);
                let most = if self.dice.below(4) == 0 { 100 } else { 200_000 };
                let count = self.dice.below(most);
                self.deliver(side, count);
            }
        }
    }

    fn open(&mut self) {
        let side = self.dice.below(2);
        let tag = self.tags;
        if let Ok(id) = self.machine(side).open(numbered(tag)) {
            self.tags += 1;
            let mut channel = Channel::default();
            channel.halves[side].id = Some(id);
            self.channels.insert(tag, channel);
            self.ids[side].insert(id, tag);
            if self.dice.below(20) == 0 {
                self.machine(side).close(id).unwrap();
                self.half(side, tag).closed = true;
            }
        }
    }

    fn answer_opening(&mut self) {
        if self.openings.is_empty() {
            return;
        }
        let index = self.dice.below(self.openings.len());
        let (side, opening) = self.openings.swap_remove(index);
        let ChannelType::DirectTcpip(fields) = opening.channel_type() else {
            panic!("{opening:?}")
        };
        let tag = fields.originator_port;
        if !self.calm && self.dice.below(5) == 0 {
            let failure = OpenFailure::new(OpenFailureReason::CONNECT_FAILED, "no");
            self.machine(side).refuse(opening, failure);
            return;
        }
        let id = self.machine(side).accept(opening);
        self.ids[side].insert(id, tag);
        let half = self.half(side, tag);
        half.id = Some(id);
        half.open = true;
    }

    fn write(&mut self) {
        let Some((side, tag, id)) = self.pick() else {
            return;
        };
        if self.half(side, tag).eof || self.half(side, tag).pending {
            return;
        }
        let stream = self.dice.below(2);
        let most = if self.dice.below(3) == 0 { 80_000 } else { 2_000 };
        let start = self.half(side, tag).written[stream];
        let bytes: Vec<u8> = (start..start + self.dice.below(most))
            .map(|at| byte_at(tag, side, stream, at))
            .collect();
        let taken = self.machine(side).write(id, STREAMS[stream], &bytes).unwrap();
        let half = self.half(side, tag);
        half.written[stream] += taken;
        half.pending = taken == 0 && !bytes.is_empty();
    }

    fn read(&mut self) {
        let Some((side, tag, id)) = self.pick() else {
            return;
        };
        let stream = self.dice.below(2);
        let most = self.dice.below(100_000);
        self.read_from(side, tag, id, stream, most);
        if self.dice.below(3) > 0 {
            let count = std::mem::take(&mut self.half(side, tag).unconsumed);
            self.machine(side).consumed(id, count);
        }
    }

    fn read_from(&mut self, side: usize, tag: u32, id: ChannelId, stream: usize, most: usize) -> bool {
        let Some(chunk) = self.machine(side).read(id, STREAMS[stream], most) else {
            return false;
        };
        assert!(chunk.len() <= most);
        let half = self.half(side, tag);
        let start = half.read[stream];
        half.read[stream] += chunk.len();
        half.unconsumed += chunk.len();
        let right = chunk
            .iter()
            .zip(start..)
            .all(|(byte, at)| *byte == byte_at(tag, 1 - side, stream, at));
        assert!(right, "wrong bytes on channel {tag}");
        true
    }

    fn eof(&mut self) {
        if let Some((side, tag, id)) = self.pick() {
            self.machine(side).eof(id).unwrap();
            self.half(side, tag).eof = true;
        }
    }

    fn close(&mut self) {
        if let Some((side, tag, id)) = self.pick() {
            self.machine(side).close(id).unwrap();
            self.half(side, tag).closed = true;
        }
    }

    fn request(&mut self) {
        if let Some((side, tag, id)) = self.pick() {
            self.asked += 1;
            let request: ChannelRequest = Env::new("N", self.asked.to_string()).into();
            self.machine(side).request(id, &request, true).unwrap();
            let granted = self.asked % 2 == 1;
            self.half(side, tag).expected.push_back(granted);
        }
    }

    fn ask_global(&mut self) {
        let side = self.dice.below(2);
        if self.dice.below(3) == 0 {
            self.machine(side).keepalive().unwrap();
            return;
        }
        let port = u16::try_from(self.dice.below(2)).unwrap();
        self.machine(side)
            .global_request(&TcpipForward::new("", port).into(), true)
            .unwrap();
        self.global_expected[side].push_back(port == 1);
    }

    fn answer(&mut self) {
        if !self.due.is_empty() {
            let index = self.dice.below(self.due.len());
            let (side, reply, success) = self.due.swap_remove(index);
            self.machine(side).answer(reply, success);
        }
        if !self.global_due.is_empty() {
            let index = self.dice.below(self.global_due.len());
            let (side, reply, success) = self.global_due.swap_remove(index);
            self.machine(side).answer_global(reply, success.then(Vec::new));
        }
    }

    /// Carries up to `count` bytes of what `side` sent.
    fn deliver(&mut self, side: usize, count: usize) {
        self.settle(side);
        let sent = self.end(side).outgoing();
        self.under_way[side].extend(sent);
        let count = count.min(self.under_way[side].len());
        let bytes: Vec<u8> = self.under_way[side].drain(..count).collect();
        self.pair.now += std::time::Duration::from_micros(50);
        let now = self.pair.now;
        self.end(1 - side).incoming(&bytes, now);
        self.settle(1 - side);
    }

    fn settle(&mut self, side: usize) {
        let now = self.pair.now;
        self.end(side).settle(now);
        assert_eq!(self.end(side).error, None);
        for event in self.end(side).taken() {
            self.hear(side, event);
        }
    }

    fn hear(&mut self, side: usize, event: Event) {
        let tag_of = |world: &Self, id: ChannelId| world.ids[side][&id];
        match event {
            Event::Open(opening) => self.openings.push((side, opening)),
            Event::Opened(id) => {
                let tag = tag_of(self, id);
                let half = self.half(side, tag);
                assert!(!half.open && !half.closed && !half.ended);
                half.open = true;
            }
            Event::OpenFailed { id, .. } | Event::Closed(id) => {
                let tag = tag_of(self, id);
                let half = self.half(side, tag);
                assert!(!half.ended, "one end is enough");
                half.ended = true;
            }
            Event::Request { id, request, reply } => {
                let ChannelRequest::Env(env) = request else {
                    panic!("{request:?}")
                };
                let number: u32 = String::from_utf8(env.value).unwrap().parse().unwrap();
                let reply = reply.unwrap();
                assert_eq!(reply.id(), id);
                self.due.push((side, reply, number % 2 == 1));
            }
            Event::Reply { id, success } => {
                let tag = tag_of(self, id);
                assert_eq!(
                    self.half(side, tag).expected.pop_front(),
                    Some(success),
                    "out of order"
                );
            }
            Event::GlobalRequest { request, reply } => {
                let granted = request == TcpipForward::new("", 1).into();
                self.global_due.push((side, reply.unwrap(), granted));
            }
            Event::GlobalReply(reply) => {
                assert_eq!(
                    self.global_expected[side].pop_front(),
                    Some(reply.is_some()),
                    "out of order"
                );
            }
            Event::Readable(id, _) | Event::Writable(id) | Event::Eof(id) => {
                let tag = tag_of(self, id);
                let half = self.half(side, tag);
                assert!(
                    half.open && !half.closed && !half.ended,
                    "an event of a channel that is over"
                );
                half.pending &= !matches!(event, Event::Writable(_));
            }
            Event::Rekeyed | Event::KeepaliveReply => {}
            other => panic!("{other:?}"),
        }
    }

    /// Everything is answered, read and carried until nothing moves.
    fn calm_down(&mut self) {
        self.calm = true;
        loop {
            while !self.openings.is_empty() {
                self.answer_opening();
            }
            while !(self.due.is_empty() && self.global_due.is_empty()) {
                self.answer();
            }
            let mut moved = self.read_all();
            for side in [0, 1] {
                self.settle(side);
                let sent = self.end(side).outgoing();
                self.under_way[side].extend(sent);
                moved |= !self.under_way[side].is_empty();
                self.deliver(side, usize::MAX);
            }
            if !moved && self.openings.is_empty() && self.due.is_empty() {
                return;
            }
        }
    }

    fn read_all(&mut self) -> bool {
        let mut moved = false;
        let all: Vec<u32> = self.channels.keys().copied().collect();
        for (tag, side) in all.into_iter().flat_map(|tag| [(tag, 0), (tag, 1)]) {
            let Some(id) = self
                .half(side, tag)
                .id
                .filter(|_| !self.channels[&tag].halves[side].closed)
            else {
                continue;
            };
            for stream in [0, 1] {
                while self.read_from(side, tag, id, stream, usize::MAX) {
                    moved = true;
                }
            }
            let count = std::mem::take(&mut self.half(side, tag).unconsumed);
            self.machine(side).consumed(id, count);
        }
        moved
    }

    fn check(&mut self) {
        for (tag, channel) in &self.channels {
            let [a, b] = &channel.halves;
            for (from, to) in [(a, b), (b, a)] {
                if to.open && !to.closed {
                    assert_eq!(to.read, from.written, "channel {tag} lost bytes");
                }
                assert!(
                    to.expected.is_empty() || to.closed || to.ended,
                    "channel {tag} lost a reply"
                );
            }
            let [ours, theirs] = [a, b].map(|half| half.open && !half.closed && !half.ended && !half.eof);
            if let (true, true, Some(ours), Some(theirs)) = (ours, theirs, a.id, b.id) {
                let (a, b) = (&self.pair.a.machine, &self.pair.b.machine);
                assert_eq!(a.send_window(ours), b.receive_window(theirs), "channel {tag}");
                assert_eq!(b.send_window(theirs), a.receive_window(ours), "channel {tag}");
            }
        }
        self.check_writers();
        assert!(
            self.global_expected.iter().all(VecDeque::is_empty),
            "a global reply was lost"
        );
    }

    /// Whoever waits to write waits for credit: everybody else has been called.
    fn check_writers(&self) {
        for (side, end) in [&self.pair.a, &self.pair.b].into_iter().enumerate() {
            for (tag, channel) in &self.channels {
                let half = &channel.halves[side];
                if let Some(id) = half
                    .id
                    .filter(|_| half.pending && half.open && !half.eof && !half.closed)
                {
                    assert_eq!(end.machine.send_window(id), 0, "nobody called channel {tag}");
                }
            }
        }
    }

    fn close_all(&mut self) {
        let open = |(tag, channel): (&u32, &Channel)| {
            let halves = channel.halves.iter().enumerate();
            let open = halves.filter(|(_, half)| half.open && !half.closed && !half.ended);
            open.map(|(side, half)| (side, *tag, half.id.unwrap()))
                .collect::<Vec<_>>()
        };
        let all: Vec<_> = self.channels.iter().flat_map(open).collect();
        for (side, tag, id) in all {
            if self.dice.below(3) > 0 || side == 0 {
                self.machine(side).close(id).unwrap();
                self.half(side, tag).closed = true;
            }
        }
        self.calm_down();
        let ended = |half: &Half| half.id.is_none() || half.ended;
        for (tag, channel) in &self.channels {
            assert!(channel.halves.iter().all(ended), "channel {tag} has not ended");
        }
        self.pair.assert_empty();
    }
}

#[test]
fn whatever_happens_bytes_arrive_and_nothing_is_left() {
    let mut moved = 0;
    for seed in 0..SCHEDULES {
        let told = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.calm_down();
            world.check();
            world.close_all();
            let halves = world.channels.values().flat_map(|channel| &channel.halves);
            halves.map(|half| half.read[0] + half.read[1]).sum::<usize>()
        });
        moved += told.unwrap_or_else(|_| panic!("schedule {seed} went wrong"));
    }
    assert!(
        moved > 10_000_000,
        "only {moved} bytes were read: the schedules prove little"
    );
}
