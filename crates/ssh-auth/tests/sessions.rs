//! What a session lets through after login, and what it does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    unreachable_pub,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::time::Instant;

use common::*;
use ssh_auth::kex::DisconnectReason;
use ssh_auth::server::{Attempt, Policy};
use ssh_auth::wire::{Layer, MessageNumber, Packet};
use ssh_auth::{Error, Misbehaviour, Place, Session, SessionEvent};

fn server_session() -> (Session, RawPeer) {
    let mut test = ServerTest::open(Policy::default());
    test.send(&password("alice", "secret"));
    test.answer(|attempt| match attempt {
        Attempt::Password(attempt) => attempt.accept(),
        other => panic!("{other:?}"),
    });
    test.client.transport.authenticated();
    test.client.take_heard();
    test.into_session()
}

fn client_session() -> (Session, RawPeer) {
    let mut test = ClientTest::open();
    let attempt = test.turn().password(b"secret");
    test.attempt(attempt);
    test.send(&[52]);
    test.server.transport.authenticated();
    test.server.take_heard();
    (test.client.into_session().unwrap(), test.server)
}

/// What a session makes of one payload.
fn receive(session: &mut Session, peer: &mut RawPeer, payload: &[u8]) -> Result<Vec<Packet>, Error> {
    peer.send(payload);
    carry(&mut peer.transport, session);
    let now = Instant::now();
    let mut packets = Vec::new();
    let outcome = loop {
        match session.poll(now) {
            Ok(Some(SessionEvent::Packet(packet))) => packets.push(packet),
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => break Ok(packets),
            Err(error) => break Err(error),
        }
    };
    carry(session, &mut peer.transport);
    peer.listen(now);
    outcome
}

#[test]
fn every_number_after_login_in_both_roles() {
    for make in [server_session, client_session] {
        for number in 1..=u8::MAX {
            let (mut session, mut peer) = make();
            let outcome = receive(&mut session, &mut peer, &[number]);
            match number {
                50 => assert_eq!(outcome, Ok(Vec::new()), "a late request is dropped in silence"),
                5 | 6 | 51..=79 => {
                    let number = MessageNumber(number);
                    let place = Place::AfterLogin;
                    assert_eq!(
                        outcome,
                        Err(Error::PeerMisbehaved(Misbehaviour::Unexpected { number, place }))
                    );
                    assert_eq!(peer.farewell().unwrap().0, 2);
                }
                80..=127 => assert_eq!(outcome.unwrap()[0].payload, [number][..]),
                _ => assert!(
                    outcome.is_err() || outcome == Ok(Vec::new()),
                    "{number} never moves up"
                ),
            }
        }
    }
}

#[test]
fn requests_that_were_under_way_at_login_are_passed_over() {
    let mut test = ServerTest::open(Policy::default());
    for _ in 0..3 {
        test.client.send(&password("alice", "secret"));
    }
    test.go();
    test.answer(|attempt| match attempt {
        Attempt::Password(attempt) => attempt.accept(),
        other => panic!("{other:?}"),
    });
    assert_eq!(test.client.numbers(), [52], "SUCCESS is sent once");
    let (mut session, mut client) = test.into_session();
    assert_eq!(
        receive(&mut session, &mut client, &password("bob", "x")),
        Ok(Vec::new())
    );
    let channel = b"\x5a\0\0\0\x07session\0\0\0\0\0\x20\0\0\0\0\x80\0";
    assert_eq!(
        receive(&mut session, &mut client, channel).unwrap()[0].payload,
        channel[..]
    );
    assert_eq!(session.user(), "alice");
}

#[test]
fn a_session_says_farewell_and_is_silent() {
    let (mut session, mut peer) = client_session();
    session.disconnect(DisconnectReason::ByApplication, "bye");
    assert!(session.send(&Raw(vec![80])).is_err());
    assert!(session.poll(Instant::now()).unwrap().is_none());
    carry(&mut session, &mut peer.transport);
    peer.listen(Instant::now());
    assert_eq!(peer.farewell(), Some((11, "bye".to_owned())));
}

#[test]
fn keys_change_under_a_session() {
    let (mut session, mut peer) = server_session();
    let now = Instant::now();
    session.start_rekey(now);
    let mut rekeyed = false;
    for _ in 0..6 {
        while let Some(event) = session.poll(now).unwrap() {
            rekeyed |= matches!(event, SessionEvent::Rekeyed);
        }
        carry(&mut session, &mut peer.transport);
        peer.listen(now);
        carry(&mut peer.transport, &mut session);
    }
    assert!(rekeyed);
    assert_eq!(peer.end, None);
    assert_eq!(receive(&mut session, &mut peer, &[80]).unwrap().len(), 1);
}
