//! Flow control: data arrives whole and in order whatever the windows, and nobody gets more than was granted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{Pair, drain, open_house, pair, pattern, siege, windows_of};
use ssh_channel::messages::{ChannelData, ChannelExtendedData, ChannelWindowAdjust};
use ssh_channel::wire::number;
use ssh_channel::{ChannelId, Config, Event, Misuse, Stream};

/// Sends `bytes` from `a` to `b`, who reads at once; what arrived.
fn transfer(pair: &mut Pair, from: ChannelId, to: ChannelId, stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let mut arrived = Vec::new();
    let mut sent = 0;
    while arrived.len() < bytes.len() {
        sent += pair.a.machine.write(from, stream, &bytes[sent..]).unwrap();
        let before = arrived.len();
        pair.pump();
        arrived.extend(drain(&mut pair.b, to, stream));
        pair.pump();
        assert!(arrived.len() > before || sent < bytes.len(), "stuck at {before}");
    }
    arrived
}

#[test]
fn data_arrives_whole_through_every_window_and_packet_size() {
    for (window, max_packet, length) in [
        (1, 1, 300),
        (1, 65_536, 300),
        (2_000_000, 1, 3_000),
        (7, 3, 1_000),
        (4_096, 4_096, 100_000),
        (2 << 20, 32_768, 5_000_000),
        (2 << 20, 255 * 1024, 5_000_000),
    ] {
        let receiver = Config {
            max_packet,
            ..windows_of(window)
        };
        let mut pair = pair(open_house(), receiver);
        let (ours, theirs) = pair.open();
        for stream in [Stream::Data, Stream::Stderr] {
            let bytes = pattern(length, u64::from(window));
            let arrived = transfer(&mut pair, ours, theirs, stream, &bytes);
            assert!(arrived == bytes, "window {window}, packets of {max_packet}");
        }
        assert_eq!(
            pair.a.machine.send_window(ours),
            pair.b.machine.receive_window(theirs)
        );
    }
}

#[test]
fn a_peer_that_never_credits_gets_one_window_and_no_more() {
    let mut pair = pair(open_house(), windows_of(10_000));
    let (ours, theirs) = pair.open();
    let bytes = pattern(50_000, 1);
    assert_eq!(pair.a.machine.write(ours, Stream::Data, &bytes).unwrap(), 10_000);
    pair.pump();
    for _ in 0..10 {
        assert_eq!(
            pair.a.machine.write(ours, Stream::Data, &bytes).unwrap(),
            0,
            "pending, not an error"
        );
        pair.pump();
    }
    assert!(
        !pair
            .a
            .taken()
            .iter()
            .any(|event| matches!(event, Event::Writable(_)))
    );
    assert_eq!(pair.b.machine.readable(theirs, Stream::Data), 10_000);
    // Reading alone is not enough: credit comes back when the bytes have been used.
    let chunk = pair.b.machine.read(theirs, Stream::Data, 8_000).unwrap();
    pair.pump();
    assert_eq!(pair.a.machine.send_window(ours), 0);
    pair.b.machine.consumed(theirs, chunk.len());
    pair.pump();
    assert_eq!(pair.a.machine.send_window(ours), 8_000);
    assert!(matches!(pair.a.taken()[..], [Event::Writable(id)] if id == ours));
}

#[test]
fn both_streams_share_the_window() {
    let mut pair = pair(open_house(), windows_of(100));
    let (ours, theirs) = pair.open();
    assert_eq!(pair.a.machine.write(ours, Stream::Data, &[1; 60]).unwrap(), 60);
    assert_eq!(pair.a.machine.write(ours, Stream::Stderr, &[2; 60]).unwrap(), 40);
    pair.pump();
    assert_eq!(drain(&mut pair.b, theirs, Stream::Stderr), [2; 40]);
    assert_eq!(pair.b.machine.readable(theirs, Stream::Data), 60);
}

#[test]
fn a_write_before_the_channel_is_confirmed_is_pending() {
    let mut pair = pair(open_house(), open_house());
    let id = pair.a.machine.open(ssh_channel::ChannelType::Session).unwrap();
    assert_eq!(pair.a.machine.write(id, Stream::Data, b"early"), Ok(0));
    pair.pump();
    let opening = pair.b.taken().pop();
    let Some(Event::Open(opening)) = opening else {
        panic!("{opening:?}")
    };
    let theirs = pair.b.machine.accept(opening);
    pair.pump();
    let events = pair.a.taken();
    assert!(
        matches!(events[..], [Event::Opened(a), Event::Writable(b)] if a == id && b == id),
        "{events:?}"
    );
    assert_eq!(pair.a.machine.write(id, Stream::Data, b"early"), Ok(5));
    pair.pump();
    assert_eq!(drain(&mut pair.b, theirs, Stream::Data), b"early");
}

#[test]
fn a_window_of_zero_is_a_window() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(4, 0, 1);
    assert_eq!(siege.a.machine.write(id, Stream::Data, b"abc"), Ok(0));
    for expected in [b"a", b"b", b"c"] {
        siege.send(&ChannelWindowAdjust {
            recipient: id.number(),
            bytes_to_add: 1,
        });
        siege.pump();
        assert!(matches!(siege.a.taken()[..], [Event::Writable(_)]));
        assert_eq!(siege.a.machine.write(id, Stream::Data, expected), Ok(1));
        assert_eq!(siege.a.machine.write(id, Stream::Data, b"more"), Ok(0));
        let packets = siege.received();
        let [packet] = &packets[..] else {
            panic!("{packets:?}")
        };
        let message: ChannelData<'_> = packet.decode().unwrap();
        assert_eq!((message.recipient, message.data), (4, &expected[..]));
    }
}

#[test]
fn credit_byte_by_byte_is_taken_for_ever() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(0, 0, 32_768);
    assert_eq!(siege.a.machine.write(id, Stream::Data, b"x"), Ok(0));
    for _ in 0..100_000 {
        siege.send(&ChannelWindowAdjust {
            recipient: id.number(),
            bytes_to_add: 1,
        });
    }
    siege.pump();
    assert_eq!(siege.a.machine.send_window(id), 100_000);
    assert_eq!(siege.a.taken().len(), 1, "one Writable for one write");
    siege.send(&ChannelWindowAdjust {
        recipient: id.number(),
        bytes_to_add: u32::MAX - 100_000,
    });
    siege.pump();
    assert_eq!(
        siege.a.machine.send_window(id),
        u32::MAX,
        "to the brim is no violation"
    );
    assert_eq!(siege.a.error, None);
}

#[test]
fn credit_is_coalesced() {
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(0, 0, 32_768);
    for _ in 0..1_000 {
        siege.send(&ChannelData {
            recipient: id.number(),
            data: &[7; 1_000],
        });
        siege.pump();
        drain(&mut siege.a, id, Stream::Data);
    }
    let adjusts: Vec<u32> = siege
        .received()
        .iter()
        .map(|packet| packet.decode::<ChannelWindowAdjust>().unwrap().bytes_to_add)
        .collect();
    assert_eq!(
        adjusts.len(),
        3,
        "one for every four packets of the largest size: {adjusts:?}"
    );
    assert_eq!(
        u64::from(siege.a.machine.receive_window(id)) + 1_000_000,
        adjusts.iter().map(|each| u64::from(*each)).sum::<u64>() + (2 << 20)
    );
}

#[test]
fn extended_data_of_unknown_type_is_dropped_and_credited() {
    let mut siege = siege(windows_of(10_000));
    let id = siege.open_as_peer(0, 0, 32_768);
    for data_type in [0, 2, 99, u32::MAX] {
        for _ in 0..100 {
            siege.send(&ChannelExtendedData {
                recipient: id.number(),
                data_type,
                data: &[7; 5_000],
            });
            siege.pump();
        }
    }
    assert_eq!(siege.a.error, None);
    assert_eq!(siege.a.taken().len(), 0, "nobody hears of it");
    assert_eq!(siege.a.machine.readable(id, Stream::Stderr), 0);
    assert!(
        siege
            .received()
            .iter()
            .all(|packet| packet.number() == number::CHANNEL_WINDOW_ADJUST)
    );
    assert_eq!(siege.a.machine.receive_window(id), 10_000);
}

#[test]
fn no_room_in_the_outbox_is_pending_too() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    let bytes = pattern(1 << 20, 3);
    let first = pair.a.machine.write(ours, Stream::Data, &bytes).unwrap();
    assert!(first > 0 && first < bytes.len(), "{first} bytes in an outbox");
    assert_eq!(pair.a.machine.write(ours, Stream::Data, &bytes[first..]), Ok(0));
    pair.pump();
    assert!(matches!(pair.a.taken()[..], [Event::Writable(id)] if id == ours));
    assert_eq!(drain(&mut pair.b, theirs, Stream::Data), &bytes[..first]);
}

/// Cut to what was left of the outbox's room, the last message of a block left one of some bytes, which then went out by
/// itself with a system call and a packet of TCP: a quarter of the speed of a stream between two threads.
#[test]
fn a_block_goes_in_whole_messages_or_waits() {
    for piece in [8 * 1024, 32 * 1024, 64 * 1024, 256 * 1024] {
        let mut pair = pair(open_house(), open_house());
        let (ours, theirs) = pair.open();
        let bytes = pattern(piece, 16);
        for _round in 0..3 {
            let mut taken = Vec::new();
            loop {
                match pair.a.machine.write(ours, Stream::Data, &bytes).unwrap() {
                    0 => break,
                    count => taken.push(count),
                }
            }
            assert_eq!(taken, vec![piece; 256 * 1024 / piece], "pieces of {piece}");
            pair.pump();
            drain(&mut pair.b, theirs, Stream::Data);
            pair.pump();
        }
    }
}

#[test]
fn channels_take_turns_when_the_outbox_is_short() {
    let mut pair = pair(open_house(), windows_of(8 << 20));
    let channels: Vec<_> = (0..4).map(|_| pair.open()).collect();
    let bytes = vec![0; 1 << 20];
    let mut written = [0_usize; 4];
    // Writers as tasks are: each writes until it is pending and again when it is called; the first is always first.
    let mut runnable: Vec<usize> = (0..4).collect();
    for _ in 0..400 {
        for index in std::mem::take(&mut runnable) {
            loop {
                match pair
                    .a
                    .machine
                    .write(channels[index].0, Stream::Data, &bytes)
                    .unwrap()
                {
                    0 => break,
                    count => written[index] += count,
                }
            }
        }
        let out = pair.a.outgoing();
        pair.b.incoming(&out, pair.now);
        for (_, theirs) in &channels {
            drain(&mut pair.b, *theirs, Stream::Data);
        }
        let back = pair.b.outgoing();
        pair.a.incoming(&back, pair.now);
        pair.a.settle(pair.now);
        for event in pair.a.taken() {
            if let Event::Writable(id) = event {
                runnable.push(channels.iter().position(|(ours, _)| *ours == id).unwrap());
            }
        }
        runnable.sort_unstable();
    }
    let (least, most) = (written.iter().min().unwrap(), written.iter().max().unwrap());
    assert!(
        least * 10 > most * 9,
        "shares differ by more than a tenth: {written:?}"
    );
}

#[test]
fn who_writes_in_small_pieces_has_no_longer_turn_than_others() {
    let mut pair = pair(open_house(), windows_of(8 << 20));
    let bytes = vec![0; 1 << 20];
    let writers = [(pair.open(), 1_000), (pair.open(), bytes.len())];
    let mut written = [0_usize; 2];
    for _ in 0..200 {
        // The one with the small pieces always comes first.
        for (((ours, _), length), written) in writers.iter().zip(&mut written) {
            while let count @ 1.. = pair
                .a
                .machine
                .write(*ours, Stream::Data, &bytes[..*length])
                .unwrap()
            {
                *written += count;
            }
        }
        pair.pump();
        for ((_, theirs), _) in &writers {
            drain(&mut pair.b, *theirs, Stream::Data);
        }
        pair.pump();
    }
    let [small, large] = written;
    assert!(
        small * 2 > large && large * 2 > small,
        "{small} bytes in small pieces and {large} in large ones"
    );
}

#[test]
fn a_keystroke_does_not_wait_for_a_bulk_transfer() {
    let mut pair = pair(open_house(), windows_of(8 << 20));
    let (bulk, sink) = pair.open();
    let (shell, _) = pair.open();
    let bytes = vec![0; 1 << 20];
    let mut longest = 0;
    let mut waited = 0;
    for _ in 0..200 {
        // The bulk writer always comes first and takes all it gets.
        while pair.a.machine.write(bulk, Stream::Data, &bytes).unwrap() > 0 {}
        waited = if pair.a.machine.write(shell, Stream::Data, b"k").unwrap() == 1 {
            0
        } else {
            waited + 1
        };
        longest = longest.max(waited);
        pair.pump();
        drain(&mut pair.b, sink, Stream::Data);
    }
    assert!(longest <= 1, "a keystroke waited {longest} times for the outbox");
}

#[test]
fn a_writer_that_goes_away_holds_up_nobody() {
    let mut pair = pair(open_house(), open_house());
    let (gone, _) = pair.open();
    let (stays, reader) = pair.open();
    let bytes = vec![0; 1 << 20];
    pair.a.machine.write(gone, Stream::Data, &bytes).unwrap();
    assert_eq!(pair.a.machine.write(gone, Stream::Data, &bytes), Ok(0));
    assert_eq!(pair.a.machine.write(stays, Stream::Data, &bytes), Ok(0));
    // `gone` is called and never comes; `stays` is called with it, and from then on alone.
    for _ in 0..5 {
        pair.pump();
        assert!(
            pair.a
                .taken()
                .iter()
                .any(|event| matches!(event, Event::Writable(id) if *id == stays))
        );
        while pair.a.machine.write(stays, Stream::Data, &bytes).unwrap() > 0 {}
        drain(&mut pair.b, reader, Stream::Data);
    }
}

#[test]
fn a_fast_reader_gets_a_larger_window() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = pair.open();
    let bytes = vec![1; 512 * 1024];
    let mut moved = 0;
    while moved < 400 << 20 {
        // A round trip of 100 ms: what the window lets out arrives at once, credit comes back later.
        loop {
            let taken = pair.a.machine.write(ours, Stream::Data, &bytes).unwrap();
            let out = pair.a.outgoing();
            pair.b.incoming(&out, pair.now);
            if taken == 0 && pair.a.machine.send_window(ours) == 0 {
                break;
            }
            moved += taken;
            pair.a.settle(pair.now);
        }
        pair.now += std::time::Duration::from_millis(100);
        pair.b.settle(pair.now);
        drain(&mut pair.b, theirs, Stream::Data);
        pair.pump();
    }
    let window = pair.b.machine.receive_window(theirs);
    assert!(window > 15 << 20, "a window of {window}");
    assert!(pair.b.machine.window_bytes() <= 64 << 20);
}

#[test]
fn writing_nothing_takes_nothing_and_asks_for_nothing() {
    let mut pair = pair(open_house(), open_house());
    let (ours, _) = pair.open();
    assert_eq!(pair.a.machine.write(ours, Stream::Data, b""), Ok(0));
    pair.pump();
    assert!(pair.a.events.is_empty() && pair.b.events.is_empty());
    pair.a.machine.close(ours).unwrap();
    assert_eq!(
        pair.a.machine.write(ours, Stream::Data, b""),
        Err(Misuse::Closed(ours))
    );
}
