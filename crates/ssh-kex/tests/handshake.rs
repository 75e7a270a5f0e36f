//! Whole handshakes: what two honest sides arrive at, what they ask and when, and how they end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::raw::{Position, Raw, Traits};
use common::{Cuts, Seat, Verdict, boxed, connected, everything, host_key, pump, seeded, signers};
use ssh_kex::keys::{PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer};
use ssh_kex::messages::Disconnect;
use ssh_kex::wire::identification::IdentificationError;
use ssh_kex::wire::{Cipher, Encode, Layer, Mac, cipher, mac, message, number};
use ssh_kex::{
    Config, DisconnectReason, Error, Fatal, Handshake, Method, Negotiable, Phase, Role, SendError, method,
};

message! {
    /// Any message of the rooms above.
    struct Word<'a> = 90, "WORD" { text: &'a [u8] }
}

fn assert_talking(client: &mut Seat, server: &mut Seat) {
    client.transport().send(&Word { text: b"up" }).unwrap();
    server.transport().send(&Word { text: b"down" }).unwrap();
    pump(client, server, &mut Cuts::Whole);
    assert_eq!(
        server.packets.last().unwrap().decode::<Word<'_>>().unwrap().text,
        b"up"
    );
    assert_eq!(
        client.packets.last().unwrap().decode::<Word<'_>>().unwrap().text,
        b"down"
    );
}

#[test]
fn both_sides_arrive_at_the_same_however_the_stream_is_cut() {
    let mut random = (0..20)
        .map(|seed| Cuts::Random(Box::new(seeded(seed))))
        .collect::<Vec<_>>();
    for cuts in [Cuts::Whole, Cuts::Bytes].iter_mut().chain(&mut random) {
        let (mut client, mut server) = (
            Seat::client(Config::default(), 2),
            Seat::server(Config::default(), 3),
        );
        pump(&mut client, &mut server, cuts);
        assert_eq!(client.offered, [host_key(1).public().clone()]);
        assert_talking(&mut client, &mut server);
        let (client, server) = (client.transport(), server.transport());
        assert_eq!(client.session_id(), server.session_id());
        assert_eq!(client.session_id().len(), 32);
        assert_eq!((client.role(), server.role()), (Role::Client, Role::Server));
        assert_eq!(client.host_key(), Some(host_key(1).public()));
        assert_eq!(server.host_key(), None);
        assert!(client.negotiated().strict && server.negotiated().strict);
        assert_eq!(client.negotiated().kex.name, "mlkem768x25519-sha256");
        assert!(
            client
                .peer_identification()
                .as_str()
                .starts_with("SSH-2.0-Bowline_")
        );
    }
}

/// Both sides agree on these three, talk, change keys and talk again.
fn assert_works(method: &'static Method, cipher: &'static Cipher, mac: &'static Mac) {
    let mut config = Config::default();
    config.preferences.kex = vec![method];
    config.preferences.ciphers = vec![cipher];
    config.preferences.macs = vec![mac];
    let (mut client, mut server) = connected(config.clone(), config);
    assert_talking(&mut client, &mut server);
    let negotiated = *client.transport().negotiated();
    assert_eq!((negotiated.kex, negotiated.outgoing.cipher), (method, cipher));
    assert_eq!(negotiated.incoming.mac, cipher.needs_mac().then_some(mac));
    client.transport().start_rekey(Instant::now());
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((client.rekeyed, server.rekeyed), (1, 1));
    assert_talking(&mut client, &mut server);
}

#[test]
fn every_method_works() {
    let with_mac = cipher::ALL.iter().find(|cipher| cipher.needs_mac()).unwrap();
    for method in method::ALL {
        assert_works(method, cipher::ALL[0], mac::ALL[0]);
        assert_works(method, with_mac, mac::ALL[0]);
    }
}

#[test]
fn every_cipher_works_with_every_mac() {
    let method = &method::curve25519::CURVE25519_SHA256;
    for cipher in cipher::ALL {
        let macs = if cipher.needs_mac() {
            mac::ALL
        } else {
            &mac::ALL[..1]
        };
        for mac in macs {
            assert_works(method, cipher, mac);
        }
    }
}

#[test]
fn an_independent_peer_agrees_in_both_seats_with_every_method() {
    for (index, method) in method::ALL.iter().enumerate() {
        let ciphers: Vec<_> = cipher::ALL.iter().filter(|cipher| !cipher.needs_mac()).collect();
        // All of them with each method would take long with the large groups.
        let cipher = ciphers[index % ciphers.len()];
        for strict in [false, true] {
            let traits = Traits {
                method,
                cipher,
                strict,
                ..Traits::default()
            };
            for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
                let mut seat = Seat::of(role, everything(), 7);
                let mut raw = Raw::new(raw_role, traits);
                raw.connect(&mut seat);
                assert_eq!(seat.transport().session_id(), raw.session_id.clone().unwrap());
                assert_eq!(seat.transport().negotiated().strict, strict);
                for _ in 0..3 {
                    raw.rekey(&mut seat);
                    raw.send(&Word { text: b"hi" }.to_bytes(), &mut seat);
                    assert_eq!(
                        seat.packets.pop().unwrap().decode::<Word<'_>>().unwrap().text,
                        b"hi"
                    );
                    seat.transport().send(&Word { text: b"you" }).unwrap();
                    raw.exchange_bytes(&mut seat);
                    assert_eq!(raw.expect(90).decode::<Word<'_>>().unwrap().text, b"you");
                }
                assert_eq!(seat.rekeyed, 3);
                let first_hash = raw.session_id.clone().unwrap();
                assert_eq!(
                    seat.transport().session_id(),
                    first_hash,
                    "the first exchange hash, for ever"
                );
                assert_eq!(
                    seat.offered.len(),
                    usize::from(role == Role::Client),
                    "asked once"
                );
            }
        }
    }
}

#[test]
fn identification_and_kexinit_leave_together_before_anything_arrives() {
    for role in [Role::Client, Role::Server] {
        let mut seat = Seat::of(role, Config::default(), 4);
        let bytes = seat.output();
        let line_end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        assert!(bytes.starts_with(b"SSH-2.0-Bowline_") && bytes[line_end + 6] == number::KEXINIT);
    }
}

#[test]
fn a_rejected_host_key_ends_with_reason_9_and_nothing_else_leaves() {
    let mut client = Seat::client(Config::default(), 2);
    client.verdict = Verdict::Wait;
    let mut raw = Raw::new(Role::Server, Traits::default());
    raw.advance(None, Position::Agreed, &mut client);
    let offer = client.pending.take().unwrap();
    assert_eq!(offer.key(), host_key(1).public());
    assert_eq!(offer.algorithm().name, "ssh-ed25519");
    assert_eq!(offer.replaced(), None);
    client.wait(Duration::from_secs(100_000)); // a person may take as long as it takes
    assert_eq!((&client.error, client.deadline()), (&None, None));
    assert!(
        client.output().is_empty(),
        "nothing leaves before the verdict, not even NEWKEYS"
    );
    client.answer(offer.reject("not mine"));
    raw.exchange_bytes(&mut client);
    assert_eq!(
        client.error,
        Some(Error::HostKeyRejected {
            why: "not mine".to_owned()
        })
    );
    // In the clear, so it is the very next packet, and no NEWKEYS stands before it.
    let farewell = raw.expect(number::DISCONNECT);
    assert_eq!(farewell.decode::<Disconnect<'_>>().unwrap().reason_code, 9);
    assert_eq!(raw.next_packet(), None);
}

#[test]
fn an_accepted_host_key_goes_on_after_any_wait() {
    let mut client = Seat::client(Config::default(), 2);
    client.verdict = Verdict::Wait;
    let mut server = Seat::server(Config::default(), 3);
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert!(!client.is_established() && !server.is_established());
    client.wait(Duration::from_secs(100_000));
    let offer = client.pending.take().unwrap();
    client.answer(offer.accept());
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_talking(&mut client, &mut server);
}

#[test]
fn a_verdict_about_another_connection_is_a_rejection() {
    let mut clients = [2, 3].map(|seed| {
        let mut client = Seat::client(Config::default(), seed);
        client.verdict = Verdict::Wait;
        let mut server = Seat::server(Config::default(), 10 + seed);
        pump(&mut client, &mut server, &mut Cuts::Whole);
        client
    });
    let verdict = clients[0].pending.take().unwrap().accept();
    clients[1].answer(verdict);
    clients[1].settle();
    assert!(matches!(clients[1].error, Some(Error::HostKeyRejected { .. })));
}

#[test]
fn nothing_in_common_tells_both_lists() {
    let mut config = Config::default();
    config.preferences.edit_ciphers("aes128-gcm@openssh.com").unwrap();
    let mut other = Config::default();
    other.preferences.edit_ciphers("aes256-gcm@openssh.com").unwrap();
    let (mut client, mut server) = (Seat::client(config, 2), Seat::server(other, 3));
    pump(&mut client, &mut server, &mut Cuts::Whole);
    let Some(Error::PeerIncompatible(error)) = client.error else {
        panic!("{:?}", client.error)
    };
    assert_eq!(error.what, Negotiable::CipherClientToServer);
    assert_eq!(error.ours, ["aes128-gcm@openssh.com"]);
    assert_eq!(error.theirs, ["aes256-gcm@openssh.com"]);
    assert!(matches!(
        server.error,
        Some(Error::PeerIncompatible(_) | Error::Disconnected { .. })
    ));
}

#[test]
fn a_server_without_host_keys_says_so() {
    let (mut client, mut server) = (
        Seat::client(Config::default(), 2),
        Seat::server_with(Config::default(), Vec::new(), 3),
    );
    pump(&mut client, &mut server, &mut Cuts::Whole);
    let Some(Error::PeerIncompatible(error)) = server.error else {
        panic!("{:?}", server.error)
    };
    assert_eq!((error.what, error.ours.len()), (Negotiable::HostKey, 0));
}

#[test]
fn phases_have_deadlines_and_errors_name_them() {
    let limits = Config::default().limits;
    for role in [Role::Client, Role::Server] {
        let mut silent = Seat::of(role, Config::default(), 4);
        assert_eq!(
            silent.deadline(),
            Some(silent.now + limits.identification_deadline)
        );
        silent.wait(limits.identification_deadline);
        assert_eq!(
            silent.error,
            Some(Error::Timeout {
                phase: Phase::Identification,
                limit: limits.identification_deadline
            })
        );

        let mut half_open = Seat::of(role, Config::default(), 4);
        half_open.receive(b"SSH-2.0-Slow\r\n");
        half_open.wait(limits.exchange_deadline - Duration::from_millis(1));
        assert_eq!(half_open.error, None);
        half_open.wait(Duration::from_millis(1));
        assert_eq!(
            half_open.error,
            Some(Error::Timeout {
                phase: Phase::KeyExchange,
                limit: limits.exchange_deadline
            })
        );
        assert!(!half_open.output().is_empty(), "DISCONNECT is sealed");
    }
    let (client, _) = connected(Config::default(), Config::default());
    assert_eq!(client.deadline(), None, "before login nothing is due here");
}

#[test]
fn what_is_no_ssh_is_told_with_what_arrived() {
    let mut server = Seat::server(Config::default(), 3);
    server.receive(b"GET / HTTP/1.1\r\n");
    let Some(Error::Identification(error)) = &server.error else {
        panic!("{:?}", server.error)
    };
    assert!(error.to_string().contains("GET / HTTP/1.1"));
    assert_eq!(
        server.error.as_ref().unwrap().blame().reason(),
        Some(DisconnectReason::ProtocolError)
    );

    let mut server = Seat::server(Config::default(), 3);
    server.receive(b"SSH-1.5-old\r\n");
    assert_eq!(
        server.error.unwrap().blame().reason(),
        Some(DisconnectReason::ProtocolVersionNotSupported)
    );

    let mut client = Seat::client(Config::default(), 3);
    client.receive(b"Exceeded MaxStartups\r\n");
    let error = client.handshake().closed();
    assert!(
        matches!(&error, Error::Identification(IdentificationError::Closed { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("Exceeded MaxStartups"));

    let mut client = Seat::client(Config::default(), 3);
    client.receive(b"SSH-2.0-x\r\n");
    assert_eq!(client.handshake().closed(), Error::Closed);
}

#[test]
fn text_before_a_servers_identification_is_passed_over() {
    let mut client = Seat::client(Config::default(), 2);
    client.receive(b"Welcome\r\nto this host\r\n");
    let mut server = Seat::server(Config::default(), 3);
    pump(&mut client, &mut server, &mut Cuts::Random(Box::new(seeded(1))));
    assert_talking(&mut client, &mut server);
}

#[test]
fn the_peers_farewell_is_kept() {
    let text = Disconnect {
        reason_code: 12,
        description: "zu viele: häß\u{1b}".as_bytes(),
        language_tag: b"",
    }
    .to_bytes();
    for position in [
        Position::Identified,
        Position::Negotiated,
        Position::Agreed,
        Position::Keyed,
    ] {
        for (raw_role, role) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let mut seat = Seat::of(role, Config::default(), 4);
            let mut raw = Raw::new(raw_role, Traits::default());
            raw.advance(None, position, &mut seat);
            raw.send(&text, &mut seat);
            let expected = Error::Disconnected {
                reason: DisconnectReason::TooManyConnections,
                description: "zu viele: häß\u{1b}".to_owned(),
            };
            assert_eq!(seat.error, Some(expected));
            while let Some(packet) = raw.next_packet() {
                assert_ne!(packet.number(), number::DISCONNECT, "a farewell is not answered");
            }
        }
    }
}

#[test]
fn an_error_comes_again_and_nothing_more_is_sent() {
    let mut seat = Seat::server(Config::default(), 4);
    seat.receive(b"nonsense\n");
    let error = seat.error.take();
    let _ = seat.output();
    seat.receive(b"SSH-2.0-x\r\n");
    assert_eq!(seat.error, error);
    assert!(seat.output().is_empty());
    seat.handshake()
        .disconnect(DisconnectReason::ByApplication, "late");
    assert!(seat.output().is_empty());
}

#[test]
fn a_handshake_can_be_ended_by_us() {
    let (mut client, mut server) = (
        Seat::client(Config::default(), 2),
        Seat::server(Config::default(), 3),
    );
    client
        .handshake()
        .disconnect(DisconnectReason::AuthCancelledByUser, "changed my mind");
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(client.error, None);
    let expected = Error::Disconnected {
        reason: DisconnectReason::AuthCancelledByUser,
        description: "changed my mind".to_owned(),
    };
    assert_eq!(server.error, Some(expected));
}

#[test]
fn a_transport_ended_by_us_takes_and_sends_nothing_more() {
    let (mut client, mut server) = connected(Config::default(), Config::default());
    client
        .transport()
        .disconnect(DisconnectReason::ByApplication, &"long ".repeat(100_000));
    assert_eq!(
        client.transport().send(&Word { text: b"" }),
        Err(SendError::Ended)
    );
    assert!(!client.transport().has_data_room());
    pump(&mut client, &mut server, &mut Cuts::Whole);
    let reason = DisconnectReason::ByApplication;
    assert_eq!(
        server.error,
        Some(Error::Disconnected {
            reason,
            description: String::new()
        })
    );
}

#[test]
fn machines_can_move_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    let mut client = Seat::client(Config::default(), 2);
    assert_send(client.handshake());
    let (mut client, _) = connected(Config::default(), Config::default());
    assert_send(client.transport());
    assert!(client.transport().poll(Instant::now()).unwrap().is_none());
    assert_eq!(signers(1).len(), 1);
}

/// A host key whose holder cannot sign (an agent that went away).
struct Mute(PrivateKey);

impl Signer for Mute {
    fn public_key(&self) -> &PublicKey {
        self.0.public()
    }
    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        self.0.algorithms()
    }
    fn sign(&self, _: &SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Err(SignatureError::SignerFailed("the agent is gone".to_owned()))
    }
}

#[test]
fn a_host_key_that_cannot_sign_ends_the_connection_and_the_peer_is_not_told_why() {
    let mut client = Seat::client(Config::default(), 2);
    let mut server = Seat::server_with(Config::default(), vec![Arc::new(Mute(host_key(1)))], 3);
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert!(server.error.unwrap().to_string().contains("the agent is gone"));
    let reason = DisconnectReason::ByApplication;
    let description = "internal fault".to_owned();
    assert_eq!(client.error, Some(Error::Disconnected { reason, description }));
    assert!(client.offered.is_empty());
}

#[test]
fn an_unfinished_handshake_is_no_transport() {
    let now = Instant::now();
    let handshake = Handshake::client(Arc::new(Config::default()), boxed(1), now);
    let mut handshake = handshake.into_transport().unwrap_err();
    assert!(handshake.poll(now).unwrap().is_none());
    assert!(handshake.peer_identification().is_none());
}
