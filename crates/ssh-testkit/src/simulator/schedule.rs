//! The schedule itself: what may be done next, and what is heard.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ssh_client::channel::{
    self, ChannelId, ChannelRequest, ChannelType, Connection, DirectTcpip, Env, Event, GlobalReplyDue,
    Limits, OpenFailure, OpenFailureReason, Opening, ReplyDue, TcpipForward, WindowPolicy,
};
use ssh_client::kex::{DisconnectReason, RekeyPolicy};
use ssh_client::wire::Layer;

use super::lane::{Half, Lane, MOST_BYTES, STREAMS, sent_bytes};
use super::{Choices, Told};
use crate::link::{Feed, Link};
use crate::pair::{Ends, Setup};

/// Rounds after which two sides that still move while nobody wants anything new are said to do so for ever.
const MOST_ROUNDS: usize = 100_000;

/// Two connections, what their applications know, and the choices to come.
pub(super) struct Schedule<'a> {
    choices: Choices<'a>,
    ends: Ends<Connection, Connection>,
    pub(super) policies: [WindowPolicy; 2],
    pub(super) bulk_outbox_bytes: usize,
    /// The most that the application of each side wants to send at a time.
    most_wanted: [usize; 2],
    pub(super) lanes: BTreeMap<u32, Lane>,
    ids: [BTreeMap<ChannelId, u32>; 2],
    openings: Vec<(usize, Opening)>,
    due: Vec<(usize, ReplyDue, bool)>,
    global_due: Vec<(usize, GlobalReplyDue, bool)>,
    pub(super) global_expected: [VecDeque<bool>; 2],
    /// Requests are numbered: an odd one is granted.
    asked: u32,
    /// Bytes are lost from now on: what is under way never arrives.
    cut: bool,
    /// A side whose machine has reported the end.
    over: [bool; 2],
    calm: bool,
    told: Told,
}

/// Settings that a few choices make.
fn setup(choices: &mut Choices<'_>) -> Setup {
    let mut setup = Setup {
        feed: choices.pick(&[Feed::Whole, Feed::Cuts(7_000), Feed::Cuts(300)]),
        latency: Duration::from_micros(choices.pick(&[0, 100, 20_000, 300_000])),
        ..Setup::default()
    };
    for config in [&mut setup.client, &mut setup.server] {
        // The cheapest exchange: what is looked at comes after it.
        config
            .preferences
            .edit_kex("curve25519-sha256")
            .expect("it is registered");
        config.rekey = RekeyPolicy {
            bytes: choices.pick(&[u64::MAX, u64::MAX, u64::MAX, 200_000]),
            ..RekeyPolicy::default()
        };
        config.limits.bulk_outbox_bytes = choices.pick(&[256 * 1024, 40_000]);
    }
    for config in [&mut setup.client_connection, &mut setup.server_connection] {
        let initial = choices.pick(&[1, 50, 5_000, 200_000, 2 << 20]);
        config.window = WindowPolicy {
            initial,
            max: initial.saturating_mul(choices.pick(&[1, 8])),
            budget: choices.pick(&[0, 100_000, 64 << 20]),
        };
        config.max_packet = choices.pick(&[1, 100, 32_768, 65_536]);
        config.limits = Limits {
            channels: 12,
            pending_opens: 4,
            ..Limits::default()
        };
        config.accept_opens = ChannelType::NAMES.to_vec();
    }
    setup
}

/// What is wanted at a time where windows or packets are small, in messages: a schedule is to end soon.
const MOST_MESSAGES: u32 = 300;

/// A channel type that carries a number.
fn numbered(number: u32) -> ChannelType {
    DirectTcpip {
        host: "host".to_owned(),
        port: 1,
        originator: "here".to_owned(),
        originator_port: number,
    }
    .into()
}

impl<'a> Schedule<'a> {
    pub(super) fn new(mut choices: Choices<'a>) -> Self {
        let setup = setup(&mut choices);
        let policies = [&setup.client_connection, &setup.server_connection].map(|config| config.window);
        let most_wanted = [&setup.server_connection, &setup.client_connection].map(|hears| {
            let message = hears.window.initial.min(hears.max_packet);
            message.saturating_mul(MOST_MESSAGES) as usize
        });
        let bulks = [&setup.client, &setup.server].map(|config| config.limits.bulk_outbox_bytes);
        Self {
            ends: setup.connect().ends,
            choices,
            policies,
            bulk_outbox_bytes: bulks[0].max(bulks[1]),
            most_wanted,
            lanes: BTreeMap::new(),
            ids: Default::default(),
            openings: Vec::new(),
            due: Vec::new(),
            global_due: Vec::new(),
            global_expected: Default::default(),
            asked: 0,
            cut: false,
            over: [false; 2],
            calm: false,
            told: Told::default(),
        }
    }

    /// All of it: the steps, the rest after them, and one of the ends there can be.
    pub(super) fn play(mut self) -> Told {
        while self.choices.another_step() {
            self.step();
            self.check_step();
        }
        if self.cut {
            self.told.cuts += 1;
            return self.told;
        }
        self.calm_down();
        self.check_rest();
        if self.choices.once_in(8) {
            self.farewell();
        } else {
            self.close_all();
            self.calm_down();
            self.check_empty();
        }
        self.told
    }

    fn step(&mut self) {
        match self.choices.below(100) {
            0..6 => self.open(),
            6..12 => self.answer_opening(),
            12..34 => self.want(),
            34..56 => self.read(),
            56..58 => self.eof(),
            58..61 => self.close(),
            61..65 => self.request(),
            65..71 => self.answer(),
            71..74 => self.ask_global(),
            74 => self.start_rekey(),
            75 if self.choices.once_in(40) => self.cut_cable(),
            76..80 => self.pass(),
            _ => {
                let side = self.choices.below(2);
                let pieces = self.choices.below(6);
                self.carry(side, pieces);
            }
        }
    }

    pub(super) const fn connection(&self, side: usize) -> &Connection {
        if side == 0 {
            &self.ends.client
        } else {
            &self.ends.server
        }
    }

    pub(super) const fn machine(&mut self, side: usize) -> &mut Connection {
        if side == 0 {
            &mut self.ends.client
        } else {
            &mut self.ends.server
        }
    }

    /// The machine of a side, and the wire away from it.
    const fn way_out(&mut self, side: usize) -> (&mut Connection, &mut Link) {
        if side == 0 {
            (&mut self.ends.client, &mut self.ends.up)
        } else {
            (&mut self.ends.server, &mut self.ends.down)
        }
    }

    fn half(&mut self, side: usize, tag: u32) -> &mut Half {
        &mut self.lanes.get_mut(&tag).expect("a channel").halves[side]
    }

    /// A side, and a channel that its application may use.
    fn pick(&mut self, is_fit: fn(&Half) -> Option<ChannelId>) -> Option<(usize, u32, ChannelId)> {
        let side = self.choices.below(2);
        let fit = |(tag, lane): (&u32, &Lane)| is_fit(&lane.halves[side]).map(|id| (side, *tag, id));
        let all: Vec<_> = self.lanes.iter().filter_map(fit).collect();
        (!all.is_empty()).then(|| self.choices.pick(&all))
    }

    fn open(&mut self) {
        let side = self.choices.below(2);
        let tag = self.lanes.len() as u32;
        let Ok(id) = self.machine(side).open(numbered(tag)) else {
            return;
        };
        self.told.channels += 1;
        self.lanes.insert(tag, Lane::default());
        self.ids[side].insert(id, tag);
        self.half(side, tag).id = Some(id);
        if self.choices.once_in(20) {
            self.close_one(side, tag, id);
        }
    }

    fn answer_opening(&mut self) {
        if self.openings.is_empty() {
            return;
        }
        let index = self.choices.below(self.openings.len());
        let (side, opening) = self.openings.swap_remove(index);
        let ChannelType::DirectTcpip(fields) = opening.channel_type() else {
            panic!("{opening:?}")
        };
        let tag = fields.originator_port;
        if !self.calm && self.choices.once_in(5) {
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

    /// An application has more to send.
    fn want(&mut self) {
        let Some((side, tag, _)) = self.pick(Half::usable) else {
            return;
        };
        let stream = self.choices.below(2);
        let most = self.choices.pick(&[3, 2_000, 2_000, 90_000]);
        let more = self.choices.below(most.min(self.most_wanted[side]));
        let half = self.half(side, tag);
        if !half.eof {
            half.wanted[stream] += more;
            self.write(side, tag);
        }
    }

    /// Writes until everything is taken or a write takes nothing; after that only a call makes it try again.
    fn write(&mut self, side: usize, tag: u32) {
        for stream in [0, 1] {
            loop {
                let half = self.half(side, tag);
                let Some(id) = half.usable().filter(|_| !half.waits) else {
                    return;
                };
                let start = half.written[stream];
                let count = (half.wanted[stream] - start).min(MOST_BYTES);
                if count == 0 {
                    break;
                }
                let bytes = sent_bytes(tag, side, stream, start, count);
                let taken = self.machine(side).write(id, STREAMS[stream], bytes);
                let taken = taken.unwrap_or_else(|misuse| panic!("channel {tag}: {misuse}"));
                let half = self.half(side, tag);
                half.written[stream] += taken;
                half.waits = taken == 0;
                self.told.waits += u64::from(taken == 0);
            }
        }
    }

    fn read(&mut self) {
        let Some((side, tag, id)) = self.pick(|half| half.id.filter(|_| !half.closed)) else {
            return;
        };
        let (stream, most) = (self.choices.below(2), self.choices.below(100_000));
        self.read_from(side, tag, id, stream, most);
        if !self.choices.once_in(3) {
            let count = std::mem::take(&mut self.half(side, tag).unconsumed);
            self.machine(side).consumed(id, count);
        }
    }

    fn read_from(&mut self, side: usize, tag: u32, id: ChannelId, stream: usize, most: usize) -> bool {
        let Some(chunk) = self.machine(side).read(id, STREAMS[stream], most) else {
            return false;
        };
        assert!(chunk.len() <= most);
        self.told.bytes += chunk.len() as u64;
        let half = self.half(side, tag);
        let start = half.read[stream];
        half.read[stream] += chunk.len();
        half.unconsumed += chunk.len();
        for (piece, at) in chunk.chunks(MOST_BYTES).zip((start..).step_by(MOST_BYTES)) {
            let sent = sent_bytes(tag, 1 - side, stream, at, piece.len());
            assert!(piece == sent, "channel {tag}: other bytes arrived than were sent");
        }
        true
    }

    fn eof(&mut self) {
        if let Some((side, tag, id)) = self.pick(Half::speaking) {
            self.machine(side).eof(id).expect("an open channel");
            let half = self.half(side, tag);
            half.eof = true;
            half.stop();
        }
    }

    fn close(&mut self) {
        if let Some((side, tag, id)) = self.pick(Half::usable) {
            self.close_one(side, tag, id);
        }
    }

    fn close_one(&mut self, side: usize, tag: u32, id: ChannelId) {
        self.machine(side).close(id).expect("a channel");
        let half = self.half(side, tag);
        half.closed = true;
        half.stop();
    }

    fn request(&mut self) {
        if let Some((side, tag, id)) = self.pick(Half::speaking) {
            self.asked += 1;
            let (number, granted) = (self.asked, self.asked % 2 == 1);
            let request: ChannelRequest = Env::new("N", number.to_string()).into();
            if self.machine(side).request(id, &request, true).is_ok() {
                self.half(side, tag).expected.push_back(granted);
            }
        }
    }

    fn ask_global(&mut self) {
        let side = self.choices.below(2);
        let granted = self.choices.below(3);
        let machine = self.machine(side);
        if granted == 2 {
            let _ = machine.keepalive();
            let _ = machine.ping(b"?");
            let _ = machine.send_ignore(b"nothing");
            return;
        }
        let request = TcpipForward::new("", granted as u16).into();
        if machine.global_request(&request, true).is_ok() {
            self.global_expected[side].push_back(granted == 1);
        }
    }

    fn answer(&mut self) {
        if !self.due.is_empty() {
            let index = self.choices.below(self.due.len());
            let (side, reply, success) = self.due.swap_remove(index);
            self.machine(side).answer(reply, success);
        }
        if !self.global_due.is_empty() {
            let index = self.choices.below(self.global_due.len());
            let (side, reply, success) = self.global_due.swap_remove(index);
            self.machine(side).answer_global(reply, success.then(Vec::new));
        }
    }

    fn start_rekey(&mut self) {
        let side = self.choices.below(2);
        let now = self.ends.clock.now();
        self.machine(side).start_rekey(now);
    }

    /// From now on nothing enters the wire, and what is in it is lost.
    fn cut_cable(&mut self) {
        self.cut = true;
        for link in [&mut self.ends.up, &mut self.ends.down] {
            *link = Link::new(Feed::Whole, 0, Duration::ZERO);
            link.cut_after = Some(0);
        }
    }

    fn pass(&mut self) {
        let micros = self.choices.below(400_000) as u64;
        self.ends.clock.advance(Duration::from_micros(micros));
        for side in [0, 1] {
            self.poll(side);
        }
    }

    /// Puts on the wire what a side has to send, and lets the other hear up to so many pieces of what has arrived.
    fn carry(&mut self, from: usize, pieces: usize) -> bool {
        self.poll(from);
        let now = self.ends.clock.now();
        let (machine, link) = self.way_out(from);
        link.collect(machine, now);
        let mut moved = false;
        for _ in 0..pieces {
            let Some(piece) = self.way_out(from).1.deliver(now) else {
                break;
            };
            moved = true;
            self.machine(1 - from).read_buffer().extend_from_slice(&piece);
            self.poll(1 - from);
        }
        moved
    }

    fn poll(&mut self, side: usize) {
        let now = self.ends.clock.now();
        while !self.over[side] {
            match self.machine(side).poll(now) {
                Ok(Some(event)) => self.hear(side, event),
                Ok(None) => return,
                Err(error) => {
                    assert!(self.cut, "side {side} ended the connection: {error}");
                    self.over[side] = true;
                }
            }
        }
    }

    /// The channel an event is about, which must not be over here.
    fn living(&mut self, side: usize, id: ChannelId) -> &mut Half {
        let tag = self.ids[side][&id];
        let half = self.half(side, tag);
        assert!(!half.ended, "channel {tag}: an event after the last");
        half
    }

    fn hear(&mut self, side: usize, event: Event) {
        match event {
            Event::Open(opening) => self.openings.push((side, opening)),
            Event::Opened(id) => {
                let half = self.living(side, id);
                assert!(!half.open && !half.closed);
                half.open = true;
            }
            Event::OpenFailed { id, .. } | Event::Closed(id) => {
                let half = self.living(side, id);
                half.ended = true;
                half.stop();
            }
            Event::Readable(id, _) | Event::Eof(id) => {
                let half = self.living(side, id);
                assert!(half.open && !half.closed, "{id}: nobody is there to hear");
            }
            Event::Writable(id) => {
                let half = self.living(side, id);
                assert!(!half.closed && !half.eof, "{id}: nobody waits to write");
                half.waits = false;
                let tag = self.ids[side][&id];
                if self.calm || !self.choices.once_in(4) {
                    self.write(side, tag);
                }
            }
            Event::Request { id, request, reply } => {
                let ChannelRequest::Env(env) = request else {
                    panic!("{request:?}")
                };
                let number = String::from_utf8(env.value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let number: u32 = number.expect("a number");
                let reply = reply.expect("a reply is wanted");
                assert_eq!(reply.id(), id);
                self.due.push((side, reply, number % 2 == 1));
            }
            Event::Reply { id, success } => {
                let expected = self.living(side, id).expected.pop_front();
                assert_eq!(expected, Some(success), "{id}: a reply out of order");
            }
            Event::GlobalRequest { request, reply } => {
                let granted = request == TcpipForward::new("", 1).into();
                self.global_due
                    .push((side, reply.expect("a reply is wanted"), granted));
            }
            Event::GlobalReply(reply) => {
                let expected = self.global_expected[side].pop_front();
                assert_eq!(expected, Some(reply.is_some()), "a reply out of order");
            }
            Event::Rekeyed => self.told.rekeys += 1,
            Event::KeepaliveReply | Event::Pong(_) | Event::Extensions => {}
            other => panic!("{other:?}"),
        }
    }

    /// Everything is answered, written, read and carried until nothing moves any more.
    fn calm_down(&mut self) {
        self.calm = true;
        for _ in 0..MOST_ROUNDS {
            while !self.openings.is_empty() {
                self.answer_opening();
            }
            while !(self.due.is_empty() && self.global_due.is_empty()) {
                self.answer();
            }
            let mut moved = self.read_and_write_all();
            for side in [0, 1] {
                moved |= self.carry(side, usize::MAX);
            }
            let asked = !(self.openings.is_empty() && self.due.is_empty() && self.global_due.is_empty());
            let under_way = [&self.ends.up, &self.ends.down].map(Link::arrival);
            match under_way.into_iter().flatten().min() {
                Some(arrival) => self.ends.clock.advance_to(arrival),
                None if !moved && !asked => return,
                None => {}
            }
        }
        panic!("two sides talk for ever");
    }

    fn read_and_write_all(&mut self) -> bool {
        let mut moved = false;
        let all: Vec<u32> = self.lanes.keys().copied().collect();
        for (tag, side) in all.into_iter().flat_map(|tag| [(tag, 0), (tag, 1)]) {
            let half = self.half(side, tag);
            let Some(id) = half.id.filter(|_| !half.closed) else {
                continue;
            };
            self.write(side, tag);
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

    fn close_all(&mut self) {
        let tags: Vec<u32> = self.lanes.keys().copied().collect();
        for tag in tags {
            // One side, or both at once.
            let who = self.choices.below(3);
            for side in [0, 1].into_iter().filter(|side| who != *side) {
                if let Some(id) = self.half(side, tag).usable() {
                    self.close_one(side, tag, id);
                }
            }
        }
    }

    /// A side says goodbye, or both do at once: each hears that it is over, and nothing more is taken.
    fn farewell(&mut self) {
        let who = self.choices.below(3);
        for side in [0, 1].into_iter().filter(|side| who != *side) {
            let reason = DisconnectReason::ByApplication;
            self.machine(side).disconnect(reason, "enough");
            self.over[side] = true;
        }
        for side in [0, 1] {
            let now = self.ends.clock.now();
            let (machine, link) = self.way_out(side);
            link.collect(machine, now);
        }
        self.ends.clock.advance(Duration::from_secs(1));
        let now = self.ends.clock.now();
        let over = self.over;
        for side in [0, 1].into_iter().filter(|side| !over[*side]) {
            let mut heard = Ok(());
            while let Some(piece) = self.way_out(1 - side).1.deliver(now) {
                self.machine(side).read_buffer().extend_from_slice(&piece);
                while let Some(event) = self.machine(side).poll(now).transpose() {
                    heard = event.map(drop);
                    if heard.is_err() {
                        break;
                    }
                }
            }
            let error = heard.expect_err("a farewell was not heard");
            assert!(matches!(error, channel::Error::Below(_)), "{error}");
        }
        for side in [0, 1] {
            assert!(self.machine(side).open(numbered(0)).is_err());
        }
        self.told.farewells += 1;
    }
}
