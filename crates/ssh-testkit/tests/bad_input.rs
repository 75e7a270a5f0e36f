//! What a peer can do wrong, row by row: each ends the connection with the right DISCONNECT reason and an error that
//! says who did what. The finer points of each room are tested in its own crate; here stands the whole list, on whole
//! machines, in both roles where both can be reached.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

use std::time::{Duration, Instant};

use ssh_client::auth::{UserName, client, server};
use ssh_client::channel::{self, ChannelType, Connection, Event};
use ssh_client::kex::{DisconnectReason, Handshake};
use ssh_client::wire::{Decode, Encode, Layer, Message, Writer, message, number};
use ssh_testkit::link::Feed;
use ssh_testkit::pair::{Ends, Fault, Setup};

/// The fast exchange, for rows that are not about exchanges.
fn setup() -> Setup {
    let mut setup = Setup::default();
    for side in [&mut setup.client, &mut setup.server] {
        side.preferences.edit_kex("curve25519-sha256").unwrap();
    }
    setup
}

// ---- in the clear ----------------------------------------------------------------------------------------------------

/// A packet in the clear with any header.
fn packet(length: u32, padding: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(padding);
    bytes.extend_from_slice(content);
    bytes
}

/// What a machine said in the clear after its own identification and KEXINIT: the reason of its DISCONNECT.
fn farewell(outbox: &[u8]) -> Option<u32> {
    let mut rest = outbox;
    if let Some(end) = rest
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .filter(|_| rest.starts_with(b"SSH-"))
    {
        rest = &rest[end + 2..];
    }
    while rest.len() > 6 {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let payload = &rest[5..4 + length - usize::from(rest[4])];
        if payload[0] == number::DISCONNECT {
            return Some(u32::from_be_bytes(payload[1..5].try_into().unwrap()));
        }
        rest = &rest[4 + length..];
    }
    None
}

/// Feeds one side of a handshake and gives back how it ended.
fn fed(victim: &mut Handshake, bytes: &[u8], now: Instant) -> (Option<String>, Option<u32>) {
    let mut outbox = Vec::new();
    for part in bytes.chunks(4096) {
        victim.read_buffer().extend_from_slice(part);
        let ended = loop {
            match victim.poll(now) {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        let sent = std::mem::take(victim.transmit());
        victim.transmitted(sent.len());
        outbox.extend_from_slice(&sent);
        if ended.is_some() {
            return (ended, farewell(&outbox));
        }
    }
    (None, farewell(&outbox))
}

#[test]
fn broken_packets_in_the_clear_end_a_handshake_in_both_roles() {
    let ident = b"SSH-2.0-hostile\r\n".to_vec();
    let with = |bytes: Vec<u8>| [ident.clone(), bytes].concat();
    let newkeys = packet(12, 10, &[&[number::NEWKEYS][..], &[0; 10]].concat());
    let protocol = DisconnectReason::ProtocolError.code();
    for (what, bytes, word) in [
        (
            "a packet over 256 KiB",
            with(packet(256 * 1024 + 1, 4, &[0; 64])),
            "262145",
        ),
        (
            "the largest length there is",
            with(packet(u32::MAX, 4, &[0; 64])),
            "4294967295",
        ),
        ("a length of zero", with(packet(0, 0, &[0; 64])), ""),
        (
            "a length that is no multiple of the block",
            with(packet(13, 4, &[20; 64])),
            "",
        ),
        ("no padding", with(packet(12, 0, &[20; 64])), "padding"),
        (
            "padding under four bytes",
            with(packet(12, 3, &[20; 64])),
            "padding",
        ),
        (
            "padding longer than the packet",
            with(packet(12, 200, &[20; 64])),
            "padding",
        ),
        ("NEWKEYS before any exchange", with(newkeys), "21"),
        (
            "a channel message in the clear",
            with(packet(12, 10, &[&[90][..], &[0; 10]].concat())),
            "90",
        ),
        (
            "a login in the clear",
            with(packet(12, 10, &[&[50][..], &[0; 10]].concat())),
            "50",
        ),
    ] {
        for role in ["client", "server"] {
            let mut ends = setup().handshakes();
            let now = ends.clock.now();
            let victim = if role == "client" {
                &mut ends.client
            } else {
                &mut ends.server
            };
            let (error, reason) = fed(victim, &bytes, now);
            let error = error.unwrap_or_else(|| panic!("{what}: the {role} went on"));
            assert_eq!(
                reason,
                Some(protocol),
                "{what}: the {role} said farewell with another reason ({error})"
            );
            assert!(error.contains("peer") && error.contains(word), "{what}: {error}");
        }
    }
}

#[test]
fn broken_identifications_end_a_handshake() {
    let version = DisconnectReason::ProtocolVersionNotSupported.code();
    let lines = "never an identification\r\n".repeat(100_000).into_bytes();
    let long = [b"SSH-2.0-".to_vec(), vec![b'x'; 1 << 20]].concat();
    for (what, bytes, roles) in [
        ("100,000 lines before it", lines, &["client", "server"][..]),
        ("a line without end", long, &["client", "server"]),
        ("SSH 1", b"SSH-1.5-old\r\n".to_vec(), &["client", "server"]),
        ("a NUL in it", b"SSH-2.0-a\0b\r\n".to_vec(), &["client", "server"]),
        (
            "another protocol",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            &["server"],
        ),
    ] {
        for role in roles {
            let mut ends = setup().handshakes();
            let now = ends.clock.now();
            let victim = if *role == "client" {
                &mut ends.client
            } else {
                &mut ends.server
            };
            let (error, reason) = fed(victim, &bytes, now);
            let error = error.unwrap_or_else(|| panic!("{what}: the {role} went on"));
            assert!(
                reason.is_none()
                    || reason == Some(version)
                    || reason == Some(DisconnectReason::ProtocolError.code()),
                "{what}: {reason:?} {error}"
            );
        }
    }
}

#[test]
fn a_truncated_identification_waits_no_longer_than_its_deadline() {
    let mut ends = setup().handshakes();
    let now = ends.clock.now();
    let (error, _) = fed(&mut ends.server, b"SSH-2.0-trunc", now);
    assert_eq!(error, None);
    let late = ends
        .server
        .poll(now + Duration::from_secs(600))
        .unwrap_err()
        .to_string();
    assert!(
        late.contains("too long") && late.contains("identification"),
        "{late}"
    );
    // The stream that ends in the middle of it is an error of its own, with the bytes that did come.
    let mut ends = setup().handshakes();
    fed(&mut ends.client, b"SSH-2.0-trunc", now);
    let closed = ends.client.closed().to_string();
    assert!(closed.contains("SSH-2.0-trunc"), "{closed}");
}

// ---- under keys ------------------------------------------------------------------------------------------------------

/// A payload as it stands.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}

impl Message for Raw<'_> {
    const NUMBER: u8 = 0;
    const NAME: &'static str = "RAW";
}

#[test]
fn a_bad_mac_ends_a_transport_with_mac_error() {
    for cipher in ssh_client::wire::cipher::ALL {
        let mut setup = setup();
        for side in [&mut setup.client, &mut setup.server] {
            side.preferences.edit_ciphers(cipher.name).unwrap();
        }
        let mut ends = setup.transports();
        // What each side tells of itself is on its way.
        ends.settle(&mut |_, _| {}, &mut |_, _| {}).unwrap();
        ends.up.corrupt = Some((ends.up.count() + 25, 0x40));
        ends.client.send(&Raw(&[50; 100])).unwrap();
        let fault = ends
            .settle(&mut |_, _| {}, &mut |_, _| panic!("a forged packet arrived"))
            .unwrap_err();
        assert!(matches!(fault, Fault::Server(_)), "{}: {fault:?}", cipher.name);
        let heard = hears(&mut ends);
        assert_eq!(heard, Some(DisconnectReason::MacError), "{}", cipher.name);
    }
}

/// What the client hears from a server that has just failed: the reason of its farewell.
fn hears<C: Layer, S: Layer>(ends: &mut Ends<C, S>) -> Option<DisconnectReason>
where
    C::Error: std::fmt::Display,
{
    let now = ends.clock.now();
    ends.down.collect(&mut ends.server, now);
    while let Some(piece) = ends.down.deliver(now) {
        ends.client.read_buffer().extend_from_slice(&piece);
    }
    loop {
        match ends.client.poll(now) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return reason_in(&error.to_string()),
        }
    }
}

fn reason_in(error: &str) -> Option<DisconnectReason> {
    let all = [
        DisconnectReason::ProtocolError,
        DisconnectReason::MacError,
        DisconnectReason::KeyExchangeFailed,
        DisconnectReason::ServiceNotAvailable,
    ];
    all.into_iter()
        .find(|reason| error.contains(&format!("the peer ended the connection: {reason}")))
}

#[test]
fn nothing_of_a_connection_is_heard_before_login() {
    for number in (80..=82).chain(90..=100) {
        let Ends {
            client,
            server,
            up,
            down,
            clock,
        } = setup().transports();
        let server = server::Authenticator::new(server, server::Policy::default(), clock.now());
        let mut ends = Ends {
            client,
            server,
            up,
            down,
            clock,
        };
        ends.client.send(&Raw(&[number, 0, 0, 0, 0, 0, 0, 0, 0])).unwrap();
        let fault = ends
            .settle(&mut |_, _| {}, &mut |_, event| {
                panic!("the server reported {event:?}")
            })
            .unwrap_err();
        let Fault::Server(error) = fault else {
            panic!("{fault:?}")
        };
        assert!(error.to_string().contains("peer"), "{error}");
        assert_eq!(
            hears(&mut ends),
            Some(DisconnectReason::ProtocolError),
            "message {number}"
        );
    }
}

#[test]
fn a_server_cannot_talk_a_client_into_a_session() {
    for payload in [
        &[number::USERAUTH_REQUEST, 0][..],
        &[number::SERVICE_REQUEST, 0],
        &[90, 0, 0, 0, 0],
        &[98, 0, 0, 0, 0],
    ] {
        let Ends {
            client,
            server,
            up,
            down,
            clock,
        } = setup().transports();
        let client = client::Authenticator::new(client, UserName::new("u").unwrap());
        let mut ends = Ends {
            client,
            server,
            up,
            down,
            clock,
        };
        ends.server.send(&Raw(payload)).unwrap();
        let fault = ends.settle(&mut |_, _| {}, &mut |_, _| {}).unwrap_err();
        assert!(matches!(fault, Fault::Client(_)), "{payload:?}: {fault:?}");
    }
}

message! {
    /// RFC 4254 §5.1.
    struct Open<'a> = 90, "SSH_MSG_CHANNEL_OPEN" { kind: &'a [u8], sender: u32, window: u32, packet: u32 }
    /// RFC 4254 §5.2.
    struct Data<'a> = 94, "SSH_MSG_CHANNEL_DATA" { channel: u32, data: &'a [u8] }
    /// RFC 4254 §5.2.
    struct Adjust = 93, "SSH_MSG_CHANNEL_WINDOW_ADJUST" { channel: u32, bytes: u32 }
    /// RFC 4254 §5.3.
    struct Eof = 96, "SSH_MSG_CHANNEL_EOF" { channel: u32 }
}

/// A raw peer that has logged in and opened channel 0, and the server's connection it torments.
fn tormented(payloads: &[Vec<u8>]) -> (Result<(), String>, Option<DisconnectReason>) {
    let setup = setup();
    let Ends {
        client,
        server,
        up,
        down,
        clock,
    } = setup.sessions();
    let small = channel::Config {
        window: channel::WindowPolicy {
            initial: 1000,
            max: 1000,
            ..channel::WindowPolicy::default()
        },
        max_packet: 1000,
        ..setup.server_connection.clone()
    };
    let mut ends = Ends {
        client,
        server: Connection::new(server, small),
        up,
        down,
        clock,
    };
    let accept = &mut |layer: &mut Connection, event: Event| {
        if let Event::Open(opening) = event {
            layer.accept(opening);
        }
    };
    ends.client
        .send(&Open {
            kind: b"session",
            sender: 0,
            window: 1000,
            packet: 1000,
        })
        .unwrap();
    ends.settle(&mut |_, _| {}, accept)
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    for payload in payloads {
        ends.client.send(&Raw(payload)).unwrap();
        if let Err(Fault::Server(error)) = ends.settle(&mut |_, _| {}, accept) {
            return (Err(error.to_string()), hears(&mut ends));
        }
    }
    (Ok(()), None)
}

#[test]
fn broken_channel_messages_end_a_connection_with_protocol_error() {
    let data = |channel, length: usize| {
        Data {
            channel,
            data: &vec![7; length],
        }
        .to_bytes()
    };
    let adjust = |channel, bytes| Adjust { channel, bytes }.to_bytes();
    let open = |packet| {
        Open {
            kind: b"session",
            sender: 1,
            window: 9,
            packet,
        }
        .to_bytes()
    };
    let full = adjust(0, u32::MAX);
    for (what, payloads, word) in [
        (
            "data beyond the window",
            vec![data(0, 1000), data(0, 1)],
            "window",
        ),
        ("data beyond the largest packet", vec![data(0, 1001)], ""),
        ("data on a channel nobody opened", vec![data(9, 1)], "9"),
        ("a window above 2^32-1", vec![full.clone(), full], "2^32"),
        (
            "data after EOF",
            vec![Eof { channel: 0 }.to_bytes(), data(0, 1)],
            "EOF",
        ),
        (
            "EOF twice",
            vec![Eof { channel: 0 }.to_bytes(), Eof { channel: 0 }.to_bytes()],
            "EOF",
        ),
        ("a largest packet of 0", vec![open(0)], "0"),
        ("a truncated message", vec![vec![94, 0, 0]], ""),
        (
            "bytes behind a message",
            vec![[Eof { channel: 0 }.to_bytes(), vec![0]].concat()],
            "",
        ),
    ] {
        let (ended, heard) = tormented(&payloads);
        let error = ended.expect_err(what);
        assert!(error.contains("peer") && error.contains(word), "{what}: {error}");
        assert_eq!(heard, Some(DisconnectReason::ProtocolError), "{what}");
    }
    // What is right goes on: the rows above fail for their own reason.
    assert_eq!(
        tormented(&[data(0, 1000), Eof { channel: 0 }.to_bytes()]).0,
        Ok(())
    );
}

#[test]
fn a_client_refuses_every_channel_a_server_opens() {
    let setup = setup();
    let Ends {
        client,
        server,
        up,
        down,
        clock,
    } = setup.sessions();
    let client = Connection::new(client, setup.client_connection.clone());
    let mut ends = Ends {
        client,
        server,
        up,
        down,
        clock,
    };
    for kind in [
        "session",
        "x11",
        "auth-agent@openssh.com",
        "forwarded-tcpip",
        "direct-tcpip",
        "made-up",
    ] {
        ends.server
            .send(&Open {
                kind: kind.as_bytes(),
                sender: 3,
                window: 9,
                packet: 9,
            })
            .unwrap();
        let mut refused = false;
        ends.settle(
            &mut |_, event| panic!("the client reported {event:?}"),
            &mut |_, event| {
                if let ssh_client::auth::SessionEvent::Packet(packet) = event {
                    refused |= packet.number() == number::CHANNEL_OPEN_FAILURE;
                }
            },
        )
        .unwrap_or_else(|fault| panic!("{kind}: {fault:?}"));
        assert!(refused, "{kind} was not refused");
    }
    assert_eq!(ends.client.channels(), 0);
    let _ = ChannelType::Session;
}

#[test]
fn bad_input_ends_a_connection_however_it_is_cut() {
    for feed in [Feed::Bytes, Feed::Cuts(7)] {
        let mut ends = setup().fed(feed).transports();
        ends.settle(&mut |_, _| {}, &mut |_, _| {}).unwrap();
        ends.up.corrupt = Some((ends.up.count() + 25, 0x40));
        ends.client.send(&Raw(&[50; 100])).unwrap();
        assert!(
            ends.settle(&mut |_, _| {}, &mut |_, _| panic!("a forged packet arrived"))
                .is_err()
        );
        assert_eq!(hears(&mut ends), Some(DisconnectReason::MacError));
    }
}

#[test]
fn messages_of_this_file_are_the_real_ones() {
    let bytes = channel::messages::ChannelData {
        recipient: 5,
        data: b"x",
    }
    .to_bytes();
    assert_eq!(
        Data::from_bytes(&bytes).unwrap(),
        Data {
            channel: 5,
            data: b"x"
        }
    );
}
