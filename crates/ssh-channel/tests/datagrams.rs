//! Channels of datagrams (OpenSSH `PROTOCOL` §2.3): each message of data arrives as it left, or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::login::{quick, sessions_with};
use common::{Dice, End, Pair, drain, open_house, pair, windows_of};
use ssh_channel::limits::MAX_UNREAD_DATAGRAMS;
use ssh_channel::wire::Identification;
use ssh_channel::{
    ChannelId, Config, Connection, Datagram, Event, Misuse, Stream, TUN_ANY_UNIT, TUN_ETHERNET, Tun,
};

/// Opens a channel for a tunnel from `a` to `b`; the ids at both ends.
fn tunnel(pair: &mut Pair) -> (ChannelId, ChannelId) {
    let (mode, unit) = (TUN_ETHERNET, TUN_ANY_UNIT);
    let ours = pair.a.machine.open(Tun { mode, unit }.into()).unwrap();
    assert_eq!(pair.a.machine.send_datagram(ours, b"early"), Ok(Datagram::Later));
    pair.pump();
    let opening = pair.b.taken().into_iter().find_map(|event| match event {
        Event::Open(opening) => Some(opening),
        _ => None,
    });
    let theirs = pair.b.machine.accept(opening.expect("nobody asked"));
    pair.pump();
    pair.a.taken();
    (ours, theirs)
}

fn read(pair: &mut Pair, id: ChannelId) -> Option<Vec<u8>> {
    let datagram = pair.b.machine.read(id, Stream::Data, usize::MAX)?;
    pair.b.machine.consumed(id, datagram.len());
    Some(datagram.to_vec())
}

#[test]
fn borders_are_kept_whatever_the_sizes_and_however_late_they_are_read() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = tunnel(&mut pair);
    let mut dice = Dice::new(7);
    for round in 0..20 {
        let mut sent = Vec::new();
        for number in 0..200_u32 {
            let length = 1 + dice.below(if number % 20 == 0 { 40_000 } else { 300 });
            let datagram: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(length).collect();
            while pair.a.machine.send_datagram(ours, &datagram).unwrap() == Datagram::Later {
                pair.pump();
            }
            sent.push(datagram);
        }
        pair.pump();
        for datagram in sent {
            assert!(read(&mut pair, theirs) == Some(datagram), "round {round}");
        }
        assert_eq!(read(&mut pair, theirs), None);
        pair.pump();
    }
}

#[test]
fn what_does_not_fit_is_not_sent_in_part() {
    let receiver = Config {
        max_packet: 2_000,
        ..windows_of(5_000)
    };
    let mut pair = pair(open_house(), receiver);
    let (ours, theirs) = tunnel(&mut pair);
    let datagram = vec![1; 2_001];
    assert_eq!(
        pair.a.machine.send_datagram(ours, &datagram),
        Ok(Datagram::TooLong)
    );
    for expected in [Datagram::Sent, Datagram::Sent, Datagram::NoCredit] {
        assert_eq!(pair.a.machine.send_datagram(ours, &datagram[1..]), Ok(expected));
    }
    assert_eq!(
        pair.a.machine.send_datagram(ours, &[2; 1_000]),
        Ok(Datagram::Sent)
    );
    pair.pump();
    let lengths: Vec<usize> = std::iter::from_fn(|| read(&mut pair, theirs))
        .map(|each| each.len())
        .collect();
    assert_eq!(lengths, [2_000, 2_000, 1_000]);
    pair.pump();
    assert_eq!(
        pair.a.machine.send_window(ours),
        4_000,
        "credit comes back in portions"
    );
    pair.a.machine.eof(ours).unwrap();
    assert_eq!(
        pair.a.machine.send_datagram(ours, b"x"),
        Err(Misuse::AfterEof(ours))
    );
}

#[test]
fn a_flood_of_small_datagrams_costs_no_more_than_their_number_and_the_credit_of_the_lost_comes_back() {
    let mut pair = pair(open_house(), windows_of(100_000));
    let (ours, theirs) = tunnel(&mut pair);
    let flood = MAX_UNREAD_DATAGRAMS + 1_000;
    for number in 0..flood {
        while pair.a.machine.send_datagram(ours, b"flood").unwrap() == Datagram::Later {
            pair.pump();
        }
        if number % 100 == 0 {
            pair.pump();
        }
    }
    pair.pump();
    assert_eq!(
        pair.b.machine.readable(theirs, Stream::Data),
        MAX_UNREAD_DATAGRAMS * 5
    );
    assert_eq!(
        drain(&mut pair.b, theirs, Stream::Data).len(),
        MAX_UNREAD_DATAGRAMS * 5
    );
    pair.pump();
    // Credit is given back in portions of half a window.
    assert!(pair.a.machine.send_window(ours) > 50_000);
    assert_eq!(
        pair.a.machine.send_window(ours),
        pair.b.machine.receive_window(theirs)
    );
}

#[test]
fn others_get_their_turn_beside_a_busy_tunnel() {
    let mut pair = pair(open_house(), open_house());
    let (ours, theirs) = tunnel(&mut pair);
    let (session, reader) = pair.open();
    let bulk = vec![9; 1 << 20];
    pair.a.machine.write(session, Stream::Data, &bulk).unwrap();
    let (mut frames, mut bytes) = (0, 0);
    for _ in 0..50 {
        for _ in 0..10_000 {
            if pair.a.machine.send_datagram(ours, &[1; 1_400]).unwrap() != Datagram::Sent {
                break;
            }
            frames += 1;
        }
        bytes += pair.a.machine.write(session, Stream::Data, &bulk).unwrap();
        pair.pump();
        while read(&mut pair, theirs).is_some() {}
        drain(&mut pair.b, reader, Stream::Data);
        pair.pump();
    }
    assert!(
        frames > 50 && bytes > 1 << 20,
        "{frames} frames and {bytes} bytes"
    );
}

#[test]
fn quirk_openssh_counts_the_length_of_a_datagram_and_gets_no_more_than_its_window_by_that_count() {
    for (software, sent) in [("OpenSSH_9.2p1", 9), ("AsyncSSH_2.24.0", 10)] {
        let mut server = quick();
        server.identification = Identification::ours(software, None).unwrap();
        let (client, server, now) = sessions_with(quick(), server);
        let mut pair = Pair {
            a: End::new(Connection::new(client, open_house())),
            b: End::new(Connection::new(server, windows_of(1_000))),
            now,
        };
        let (ours, _theirs) = tunnel(&mut pair);
        let fits = (0..20)
            .take_while(|_| pair.a.machine.send_datagram(ours, &[1; 100]) == Ok(Datagram::Sent))
            .count();
        assert_eq!(fits, sent, "{software}");
    }
}
