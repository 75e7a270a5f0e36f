//! What must hold after each step, and at rest.

use ssh_client::channel::limits::MIN_WINDOW_BYTES;
use ssh_client::wire::Layer;

use super::lane::{Half, STREAMS};
use super::schedule::Schedule;

/// What may wait to be sent beyond the bulk data that the transport takes: control messages, and a last packet.
const OUTBOX_SLACK_BYTES: usize = 1024 * 1024;

impl Schedule<'_> {
    /// Windows and memory, as they must be at any moment.
    pub(super) fn check_step(&mut self) {
        for tag in self.lanes.keys() {
            for side in [0, 1] {
                self.check_window(*tag, side, false);
            }
        }
        for side in [0, 1] {
            self.check_memory(side);
        }
    }

    /// The window of what `from` sends: what it may still send and what is under way was granted, and no more than the
    /// policy allows is. At rest nothing is under way, and both sides know the same.
    fn check_window(&self, tag: u32, from: usize, at_rest: bool) {
        let (sender, receiver) = (&self.lanes[&tag].halves[from], &self.lanes[&tag].halves[1 - from]);
        let (Some(ours), Some(theirs)) = (sender.speaking(), receiver.speaking()) else {
            return;
        };
        let (speaks, hears) = (self.connection(from), self.connection(1 - from));
        let credit = speaks.send_window(ours) as usize;
        let granted = hears.receive_window(theirs) as usize;
        let unread: usize = STREAMS.iter().map(|stream| hears.readable(theirs, *stream)).sum();
        let sent: usize = sender.written.iter().sum();
        let arrived: usize = receiver.read.iter().sum::<usize>() + unread;
        assert!(arrived <= sent, "channel {tag}: more arrived than was sent");
        let under_way = sent - arrived;
        assert!(
            granted >= credit + under_way,
            "channel {tag}: {granted} granted, {credit} of it unused, {under_way} under way"
        );
        let policy = self.policies[1 - from];
        let held = granted + unread + receiver.unconsumed;
        assert!(
            held <= policy.max.max(policy.initial) as usize,
            "channel {tag}: a window of {held} bytes"
        );
        if at_rest {
            assert_eq!(under_way, 0, "channel {tag}: bytes are under way for ever");
            if !sender.eof {
                assert_eq!(credit, granted, "channel {tag}: credit was lost");
            }
        }
    }

    /// What lies unread is bounded by the windows, these by the budget, and what waits to be sent by the outbox.
    fn check_memory(&mut self, side: usize) {
        let policy = self.policies[side];
        let bulk = self.bulk_outbox_bytes;
        let connection = self.connection(side);
        let least = u64::from(MIN_WINDOW_BYTES) * connection.channels() as u64;
        let windows = connection.window_bytes();
        assert!(
            windows <= policy.budget + least,
            "windows of {windows} bytes together"
        );
        let halves = self.lanes.values().map(|lane| &lane.halves[side]);
        let unread = |half: &Half| {
            let readable = |id| {
                STREAMS
                    .iter()
                    .map(|stream| connection.readable(id, *stream))
                    .sum()
            };
            half.id.map_or(0, readable)
        };
        let unread: usize = halves.map(unread).sum();
        assert!(unread as u64 <= windows, "{unread} bytes lie unread");
        let outbox = self.machine(side).transmit().len();
        assert!(
            outbox <= bulk + OUTBOX_SLACK_BYTES,
            "{outbox} bytes wait to be sent"
        );
    }

    /// Both sides have read all there is and nothing moves: everything must have arrived.
    pub(super) fn check_rest(&self) {
        for (tag, lane) in &self.lanes {
            let [a, b] = &lane.halves;
            for (side, (from, to)) in [(a, b), (b, a)].into_iter().enumerate() {
                if from.usable().is_some() && to.usable().is_some() {
                    assert!(!from.has_more(), "channel {tag}: side {side} waits for ever");
                }
                if to.open && !to.closed {
                    assert_eq!(to.read, from.written, "channel {tag} lost bytes of side {side}");
                }
                assert!(
                    from.expected.is_empty() || from.usable().is_none(),
                    "channel {tag} lost a reply"
                );
                self.check_window(*tag, side, true);
            }
        }
        for expected in &self.global_expected {
            assert!(expected.is_empty(), "a global reply was lost");
        }
    }

    /// Everything is closed: nothing is left of it.
    pub(super) fn check_empty(&self) {
        for (tag, lane) in &self.lanes {
            let ended = |half: &Half| half.id.is_none() || half.ended;
            assert!(lane.halves.iter().all(ended), "channel {tag} has not ended");
        }
        for side in [0, 1] {
            let connection = self.connection(side);
            assert_eq!(connection.channels(), 0, "side {side} keeps channels");
            assert_eq!(connection.window_bytes(), 0, "side {side} keeps windows");
        }
    }
}
