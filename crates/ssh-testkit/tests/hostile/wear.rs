//! Keys that wear out and changes of keys that never end: floods while keys are being changed (B8), numbers that come
//! round (B19), and ten thousand changes of keys under load (promise 22).

use std::time::Duration;

use ssh_client::channel::limits::OWED_BYTES;
use ssh_client::channel::{ChannelId, ChannelType, Connection, Event, Stream};
use ssh_client::kex::messages::{Ignore, Ping};
use ssh_client::kex::{Config, MAX_IGNORED, RekeyPolicy, Role};
use ssh_client::wire::{Encode, Opener, PacketError, SealError, Sealer, Writer, number};
use ssh_testkit::hostile::{Answers, Peer, Position, Suite, Target, Traits, Victim};
use ssh_testkit::pair::{Ends, Setup};

use super::ROLES;

const FLOOD_BYTES: usize = 100 << 20;

/// Somebody is logged in, the victim wants new keys, and its peer has not answered.
fn wants_new_keys(role: Role) -> (Peer, Victim) {
    let mut victim = Victim::plain(role);
    let mut peer = Peer::of(role, Traits::default());
    peer.connect(&mut victim);
    victim.start_rekey();
    peer.until(number::KEXINIT, &mut victim);
    (peer, victim)
}

fn keepalive() -> Vec<u8> {
    let mut payload = vec![80];
    let mut writer = Writer::new(&mut payload);
    writer.string(b"keepalive@openssh.com");
    writer.boolean(true);
    payload
}

#[test]
fn b08_a_flood_during_a_change_of_keys_is_answered_by_nothing_or_by_the_end() {
    let ping = Ping {
        data: &[b'p'; 200_000],
    }
    .to_bytes();
    let ignore = Ignore {
        data: &[b'i'; 200_000],
    }
    .to_bytes();
    let unknown = [&[200][..], &[0; 200]].concat();
    for role in ROLES {
        // Pings and IGNOREs: 100 MB of them cost nothing, and nothing is owed.
        for payload in [&ping, &ignore] {
            let (mut peer, mut victim) = wants_new_keys(role);
            let mut said = 0;
            while said < FLOOD_BYTES {
                peer.say(payload, &mut victim);
                said += payload.len();
                assert_eq!(victim.output_len(), 0, "{role:?}");
                assert_eq!(victim.error(), None, "{role:?}");
            }
            // The peer is honest after all: keys are changed.
            peer.rekey_in_answer(&mut victim);
            assert_eq!((victim.error(), victim.told.rekeyed), (None, 1), "{role:?}");
        }
        // What has to be answered waits for the keys, and what waits has a limit: 64 KiB of the transport's own, and as
        // much of the channels', where nobody has opened one (docs/decisions/0005).
        for (payload, most, words) in [
            (
                &unknown,
                64 * 1024 / 32,
                "65536 bytes of answers during a change of keys",
            ),
            (&keepalive(), OWED_BYTES / 5 + 1, "65536 bytes of answers"),
        ] {
            let (mut peer, mut victim) = wants_new_keys(role);
            let mut said = 0;
            while !victim.is_over() {
                peer.say(payload, &mut victim);
                said += 1;
                assert!(said <= most, "{role:?}: more is owed than the limit");
            }
            assert!(victim.error().unwrap().contains(words), "{:?}", victim.error());
            assert_eq!(victim.output_len() / 1024, 0, "a farewell and no more");
        }
    }
}

#[test]
fn b08_data_during_a_change_of_keys_has_its_window_and_no_more() {
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(role, Traits::default());
        peer.connect(&mut victim);
        peer.rest(&mut victim);
        let mut open = vec![number::CHANNEL_OPEN];
        let mut writer = Writer::new(&mut open);
        writer.string(b"session");
        writer.raw(&[0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0x80, 0]);
        peer.say(&open, &mut victim);
        let confirmed = peer.until(number::CHANNEL_OPEN_CONFIRMATION, &mut victim);
        let word = |at: usize| u32::from_be_bytes(confirmed.payload[at..at + 4].try_into().unwrap());
        let (channel, window) = (word(5), word(9) as usize);
        victim.start_rekey();
        peer.until(number::KEXINIT, &mut victim);
        let mut data = vec![number::CHANNEL_DATA];
        let mut writer = Writer::new(&mut data);
        writer.raw(&channel.to_be_bytes());
        writer.string(&[b'd'; 32 * 1024]);
        // What was under way is taken. Nobody reads it, so nothing is granted again, and the rest of 100 MB ends it.
        let mut taken = 0;
        while !victim.is_over() && taken < FLOOD_BYTES {
            peer.say(&data, &mut victim);
            taken += 32 * 1024;
            if taken <= window {
                assert_eq!(victim.error(), None, "{role:?}: {taken}");
                assert_eq!(victim.output_len(), 0, "{role:?}: {taken}");
            }
        }
        assert!(
            victim.is_over() && taken <= window + 32 * 1024,
            "{role:?}: {taken} bytes"
        );
        assert!(victim.error().unwrap().contains("window"), "{:?}", victim.error());
        assert!(victim.output_len() < 1024, "a farewell and no more");
    }
}

#[test]
fn b08_a_change_of_keys_that_is_never_finished_ends_in_time() {
    let limit = Config::default().limits.rekey_deadline;
    assert_eq!(limit, Duration::from_secs(60));
    for role in ROLES {
        // Ours, never answered; theirs, begun and left.
        let stalled = [wants_new_keys(role).1, {
            let mut victim = Victim::plain(role);
            let mut peer = Peer::of(role, Traits::default());
            peer.connect(&mut victim);
            peer.negotiate(&mut victim);
            victim
        }];
        for mut victim in stalled {
            victim.wait(limit - Duration::from_millis(1));
            assert_eq!(victim.error(), None, "{role:?}");
            victim.wait(Duration::from_millis(1));
            assert!(
                victim.error().unwrap().contains("too long over a change of keys"),
                "{role:?}"
            );
        }
    }
}

#[test]
fn b08_a_peer_that_asks_and_does_not_read_is_not_read_from() {
    let limit = Config::default().limits.outbox_bytes;
    let ping = Ping {
        data: &[b'p'; 30_000],
    }
    .to_bytes();
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(role, Traits::default());
        peer.connect(&mut victim);
        peer.rest(&mut victim);
        for _ in 0..2000 {
            // Given, and nothing taken.
            peer.say(&ping, &mut victim);
        }
        assert_eq!(victim.error(), None);
        let owed = victim.output_len();
        assert!(
            owed > limit / 2 && owed <= limit + 64 * 1024,
            "{role:?}: {owed} bytes are owed"
        );
    }
}

#[test]
fn b08_kexinits_without_end_before_login() {
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(role, Traits::default());
        peer.start(Position::Keyed, &mut victim);
        peer.rest(&mut victim);
        let mut changes = 0;
        while !victim.is_over() {
            let kexinit = peer.kexinit();
            peer.say(&kexinit, &mut victim);
            if !victim.is_over() {
                peer.hear_kexinit(kexinit, &mut victim);
                peer.advance(Position::Negotiated, Position::Keyed, &mut victim);
            }
            changes += 1;
            assert!(changes <= 17, "{role:?}");
        }
        // Twice in one exchange is not even once allowed.
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(
            role,
            Traits {
                strict: false,
                ..Traits::default()
            },
        );
        peer.start(Position::Negotiated, &mut victim);
        let kexinit = peer.kexinit();
        peer.say(&kexinit, &mut victim);
        assert_eq!(peer.farewell(&mut victim), Some(2), "{role:?}");
    }
}

// ---- B19 -------------------------------------------------------------------------------------------------------------

#[test]
fn b19_the_sequence_number_does_not_come_round_before_keys() {
    // Nobody gets there on a whole machine: what means nothing is counted.
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(
            role,
            Traits {
                strict: false,
                ..Traits::default()
            },
        );
        peer.greet(&mut victim);
        let mut said = 0;
        while !victim.is_over() {
            peer.say(&Ignore { data: b"" }.to_bytes(), &mut victim);
            said += 1;
        }
        assert_eq!(said, MAX_IGNORED + 1, "{role:?}");
    }
    // And the packets themselves refuse it.
    let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
    sealer.set_sequence(0xffff_fff0);
    opener.set_sequence(0xffff_fff0);
    for _ in 0..15 {
        sealer.seal_payload(b"x");
    }
    opener.read_buffer().extend_from_slice(sealer.outbox());
    assert!(std::iter::from_fn(|| opener.next().unwrap()).count() == 15);
    assert_eq!(sealer.try_seal_payload(b"x"), Err(SealError::SequenceWrapped));
    let mut other = Sealer::new([1; 32]);
    other.seal_payload(b"x");
    opener.read_buffer().extend_from_slice(other.outbox());
    assert_eq!(opener.next(), Err(PacketError::SequenceWrapped));
}

#[test]
fn b19_under_keys_every_suite_goes_on_where_the_number_comes_round() {
    for suite in Suite::all() {
        let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
        sealer.set_protection(suite.keys().sealing(), true);
        opener.set_protection(suite.keys().opening(), true);
        sealer.set_sequence(0xffff_fff0);
        opener.set_sequence(0xffff_fff0);
        for round in 0..32_u32 {
            sealer.seal_payload(&round.to_be_bytes());
            opener
                .read_buffer()
                .extend_from_slice(&std::mem::take(sealer.outbox()));
            let packet = opener.next().unwrap().unwrap();
            assert_eq!(packet.payload, &round.to_be_bytes()[..], "{suite:?}");
            assert_eq!(packet.sequence, 0xffff_fff0_u32.wrapping_add(round), "{suite:?}");
        }
    }
}

/// A pair that is logged in, with one channel open each way round; `policy` for both.
fn pair(policy: RekeyPolicy) -> Ends<Connection, Connection> {
    let mut setup = Setup::default();
    for side in [&mut setup.client, &mut setup.server] {
        side.preferences.edit_kex("curve25519-sha256").unwrap();
        side.rekey = policy;
    }
    let mut pair = setup.connect();
    pair.ends.client.open(ChannelType::Session).unwrap();
    pair.pump().unwrap();
    let Some(Event::Open(opening)) = pair.server_events.pop_front() else {
        panic!("no open arrived")
    };
    pair.ends.server.accept(opening);
    pair.pump().unwrap();
    pair.ends
}

#[test]
fn b19_new_keys_are_asked_for_by_packets_whoever_sends_them() {
    let policy = RekeyPolicy {
        packets: 16,
        ..RekeyPolicy::default()
    };
    for role in ROLES {
        let mut config = Victim::config();
        config.rekey = policy;
        let mut victim = Victim::new(role, config, Answers::default());
        let mut peer = Peer::of(role, Traits::default());
        peer.connect(&mut victim);
        peer.rest(&mut victim);
        // Together they are more than the 64 KiB below which those have a turn first that have sent nothing.
        for _ in 0..16 {
            peer.say(&Ignore { data: &[0; 5_000] }.to_bytes(), &mut victim);
        }
        peer.until(number::KEXINIT, &mut victim);
    }
}

#[test]
fn b19_both_sides_ask_at_once_ten_thousand_times() {
    let mut ends = pair(RekeyPolicy::default());
    let (mut client_rekeys, mut server_rekeys) = (0, 0);
    for _ in 0..10_000 {
        let now = ends.clock.now();
        ends.client.start_rekey(now);
        ends.server.start_rekey(now);
        ends.settle(
            &mut |_, event| client_rekeys += usize::from(matches!(event, Event::Rekeyed)),
            &mut |_, event| server_rekeys += usize::from(matches!(event, Event::Rekeyed)),
        )
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    }
    assert_eq!(
        (client_rekeys, server_rekeys),
        (10_000, 10_000),
        "one exchange each time, not two"
    );
}

// ---- promise 22 ------------------------------------------------------------------------------------------------------

const HALF_A_GIBIBYTE: usize = 512 << 20;
/// What is sent repeats after this many bytes: a prime, so that no packet lost or doubled fits in by chance.
const PERIOD: usize = 65_521;

/// One side's stream: what it has sent and what has arrived of the other's.
#[derive(Default)]
struct Flow {
    sent: usize,
    heard: usize,
    rekeyed: usize,
}

impl Flow {
    fn write(&mut self, side: &mut Connection, id: ChannelId, pattern: &[u8]) {
        while self.sent < HALF_A_GIBIBYTE {
            let from = self.sent % PERIOD;
            let most = (HALF_A_GIBIBYTE - self.sent).min(PERIOD);
            let taken = side.write(id, Stream::Data, &pattern[from..from + most]).unwrap();
            if taken == 0 {
                return;
            }
            self.sent += taken;
        }
    }

    fn hear(&mut self, side: &mut Connection, event: &Event, pattern: &[u8]) {
        match event {
            Event::Rekeyed => self.rekeyed += 1,
            Event::Readable(id, stream) => {
                while let Some(bytes) = side.read(*id, *stream, PERIOD) {
                    let from = self.heard % PERIOD;
                    assert_eq!(
                        bytes,
                        pattern[from..from + bytes.len()],
                        "after {} bytes",
                        self.heard
                    );
                    self.heard += bytes.len();
                    side.consumed(*id, bytes.len());
                }
            }
            _ => {}
        }
    }
}

/// Ten thousand changes of keys while a gibibyte goes both ways: not a byte is lost, doubled or changed.
#[test]
fn b19_ten_thousand_changes_of_keys_under_load_lose_nothing() {
    let mut setup = Setup::default();
    for side in [&mut setup.client, &mut setup.server] {
        side.preferences.edit_kex("curve25519-sha256").unwrap();
        side.rekey.bytes = 32 * 1024;
        // Little is under way at once, so that keys are worn by what one of them has protected.
        side.limits.bulk_outbox_bytes = 32 * 1024;
    }
    for side in [&mut setup.client_connection, &mut setup.server_connection] {
        side.max_packet_out = 16 * 1024;
    }
    let mut pair = setup.connect();
    let up = pair.ends.client.open(ChannelType::Session).unwrap();
    pair.pump().unwrap();
    let Some(Event::Open(opening)) = pair.server_events.pop_front() else {
        panic!("no open arrived")
    };
    let down = pair.ends.server.accept(opening);
    pair.pump().unwrap();
    let pattern: Vec<u8> = (0..2 * PERIOD).map(|at| (at % PERIOD % 251) as u8).collect();
    let (mut client, mut server) = (Flow::default(), Flow::default());
    let mut rounds = 0;
    while client.heard < HALF_A_GIBIBYTE || server.heard < HALF_A_GIBIBYTE {
        client.write(&mut pair.ends.client, up, &pattern);
        server.write(&mut pair.ends.server, down, &pattern);
        pair.ends
            .settle(
                &mut |side, event| client.hear(side, &event, &pattern),
                &mut |side, event| server.hear(side, &event, &pattern),
            )
            .unwrap_or_else(|fault| panic!("{fault:?}"));
        rounds += 1;
        assert!(rounds < 1_000_000, "it stands still");
    }
    assert_eq!((client.heard, server.heard), (HALF_A_GIBIBYTE, HALF_A_GIBIBYTE));
    assert!(client.rekeyed >= 10_000, "{} changes of keys", client.rekeyed);
    assert_eq!(client.rekeyed, server.rekeyed);
}
