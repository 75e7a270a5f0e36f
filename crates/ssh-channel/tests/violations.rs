//! What a peer may not do: each ends the connection with the right words and the right DISCONNECT.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{Siege, open_house, siege, windows_of};
use ssh_channel::kex::{Blame, DisconnectReason, Fatal};
use ssh_channel::messages::{
    ChannelClose, ChannelData, ChannelEof, ChannelExtendedData, ChannelFailure, ChannelOpen,
    ChannelOpenConfirmation, ChannelOpenFailure, ChannelRequest, ChannelSuccess, ChannelWindowAdjust,
    GlobalRequest, RequestSuccess,
};
use ssh_channel::wire::{Encode, Message, Rest, Writer};
use ssh_channel::{ChannelId, ChannelType, Config, Error, Limits, Misbehaviour, limits};

/// Window and packet of the channel the peer has when it misbehaves.
const WINDOW: u32 = 1_000;
const MAX_PACKET: u32 = 600;

fn config() -> Config {
    Config {
        max_packet: MAX_PACKET,
        limits: Limits {
            replies_due: 10,
            unsolicited_replies: 5,
            empty_data: 20,
            ..Limits::default()
        },
        ..windows_of(WINDOW)
    }
}

/// Bytes sent as they stand.
struct Raw(&'static [u8]);

impl Encode for Raw {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}

impl Message for Raw {
    const NUMBER: u8 = 80;
    const NAME: &'static str = "raw";
}

/// One open channel, a peer, and what it does to it.
type Deed = fn(&mut Siege, ChannelId);

/// A channel by its id, or by a number that no id has.
trait Named {
    fn number(self) -> u32;
}

impl Named for u32 {
    fn number(self) -> u32 {
        self
    }
}

impl Named for ChannelId {
    fn number(self) -> u32 {
        ChannelId::number(self)
    }
}

fn data(siege: &mut Siege, channel: impl Named, length: usize) {
    siege.send(&ChannelData {
        recipient: channel.number(),
        data: &vec![1; length],
    });
}

fn adjust(siege: &mut Siege, channel: impl Named, bytes: u32) {
    siege.send(&ChannelWindowAdjust {
        recipient: channel.number(),
        bytes_to_add: bytes,
    });
}

fn request(siege: &mut Siege, channel: impl Named) {
    siege.send(&ChannelRequest {
        recipient: channel.number(),
        request_type: "shell",
        want_reply: true,
        data: Rest(b""),
    });
}

fn confirm(siege: &mut Siege, channel: impl Named, max_packet: u32) {
    siege.send(&ChannelOpenConfirmation {
        recipient: channel.number(),
        sender: 1,
        initial_window: 1,
        max_packet,
        data: Rest(b""),
    });
}

fn fail(siege: &mut Siege, channel: impl Named) {
    siege.send(&ChannelOpenFailure {
        recipient: channel.number(),
        reason: 1,
        description: b"",
        language: b"",
    });
}

fn eof(siege: &mut Siege, channel: impl Named) {
    siege.send(&ChannelEof {
        recipient: channel.number(),
    });
}

fn close(siege: &mut Siege, channel: impl Named) {
    siege.send(&ChannelClose {
        recipient: channel.number(),
    });
}

/// Our own open, unanswered so far.
fn opening(siege: &mut Siege) -> ChannelId {
    siege.a.machine.open(ChannelType::Session).unwrap()
}

/// Lets `deed` happen and checks what came of it on both sides.
fn check(name: &str, words: &str, deed: Deed) {
    let mut siege = siege(config());
    let id = siege.open_as_peer(8, 10, 10);
    deed(&mut siege, id);
    let error = siege.verdict();
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{name}: {error:?}");
    assert_eq!(error.blame(), Blame::Protocol, "{name}");
    assert_eq!(
        error.blame().reason(),
        Some(DisconnectReason::ProtocolError),
        "{name}"
    );
    assert_eq!(error.to_string(), format!("the peer {words}"), "{name}");
    let heard = siege
        .b
        .error
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        heard.contains("PROTOCOL_ERROR"),
        "{name}: the peer heard {heard:?}"
    );
    assert!(
        heard.contains(&format!("you {words}")),
        "{name}: the peer heard {heard:?}"
    );
    assert!(siege.a.machine.poll_again(), "{name}: and that is all");
}

trait PollAgain {
    fn poll_again(&mut self) -> bool;
}

impl PollAgain for ssh_channel::Connection {
    fn poll_again(&mut self) -> bool {
        use ssh_channel::wire::Layer;
        matches!(self.poll(std::time::Instant::now()), Ok(None)) && self.transmit().is_empty()
    }
}

#[test]
fn channels_that_do_not_exist() {
    let deeds: [(&str, Deed); 9] = [
        ("SSH_MSG_CHANNEL_DATA", |siege, _| data(siege, 77_u32, 1)),
        ("SSH_MSG_CHANNEL_EXTENDED_DATA", |siege, _| {
            siege.send(&ChannelExtendedData {
                recipient: 77,
                data_type: 1,
                data: b"",
            });
        }),
        ("SSH_MSG_CHANNEL_WINDOW_ADJUST", |siege, _| {
            adjust(siege, 77_u32, 1)
        }),
        ("SSH_MSG_CHANNEL_EOF", |siege, _| eof(siege, 77_u32)),
        ("SSH_MSG_CHANNEL_CLOSE", |siege, _| close(siege, 77_u32)),
        ("SSH_MSG_CHANNEL_REQUEST", |siege, _| request(siege, 77_u32)),
        ("SSH_MSG_CHANNEL_SUCCESS", |siege, _| {
            siege.send(&ChannelSuccess { recipient: 77 })
        }),
        ("SSH_MSG_CHANNEL_OPEN_CONFIRMATION", |siege, _| {
            confirm(siege, 77_u32, 1)
        }),
        ("SSH_MSG_CHANNEL_OPEN_FAILURE", |siege, _| fail(siege, 77_u32)),
    ];
    for (name, deed) in deeds {
        check(
            name,
            &format!("sent {name} for channel 77, which does not exist"),
            deed,
        );
    }
    check(
        "closed by both",
        "sent SSH_MSG_CHANNEL_EOF for channel 0, which does not exist",
        |siege, channel| {
            close(siege, channel);
            siege.pump();
            eof(siege, channel);
        },
    );
}

#[test]
fn more_than_was_granted() {
    check(
        "data beyond the window",
        "sent 401 bytes for channel 0, whose window had 400 left",
        |siege, channel| {
            data(siege, channel, 600);
            data(siege, channel, 401);
        },
    );
    check(
        "three windows at once",
        "sent 600 bytes for channel 0, whose window had 400 left",
        |siege, channel| {
            for _ in 0..5 {
                data(siege, channel, 600);
            }
        },
    );
    check(
        "data beyond the window after our close",
        "sent 600 bytes for channel 0, whose window had 400 left",
        |siege, channel| {
            siege.a.machine.close(channel).unwrap();
            data(siege, channel, 600);
            data(siege, channel, 600);
        },
    );
    check(
        "a packet too long",
        "sent 601 bytes in one message for channel 0, of 600 at most",
        |siege, channel| {
            data(siege, channel, 601);
        },
    );
    check(
        "extended data too long",
        "sent 601 bytes in one message for channel 0, of 600 at most",
        |siege, channel| {
            siege.send(&ChannelExtendedData {
                recipient: channel.number(),
                data_type: 99,
                data: &[0; 601],
            });
        },
    );
    check(
        "credit over 2^32 - 1",
        "added 4294967295 bytes of credit for channel 0 to 10: over 2^32 - 1",
        |siege, channel| {
            adjust(siege, channel, u32::MAX);
        },
    );
    check(
        "credit over 2^32 - 1 in two steps",
        "added 1 bytes of credit for channel 0 to 4294967295: over 2^32 - 1",
        |siege, channel| {
            adjust(siege, channel, u32::MAX - 10);
            adjust(siege, channel, 1);
        },
    );
}

#[test]
fn out_of_order() {
    check(
        "data after EOF",
        "sent SSH_MSG_CHANNEL_DATA for channel 0 after its EOF",
        |siege, channel| {
            eof(siege, channel);
            data(siege, channel, 1);
        },
    );
    check(
        "EOF twice",
        "sent SSH_MSG_CHANNEL_EOF for channel 0 after its EOF",
        |siege, channel| {
            eof(siege, channel);
            eof(siege, channel);
        },
    );
    // Data lies unread, so the channel is still there when both sides have closed it.
    for (name, deed) in [
        (
            "SSH_MSG_CHANNEL_DATA",
            (|siege, channel| data(siege, channel, 1)) as Deed,
        ),
        ("SSH_MSG_CHANNEL_EOF", eof),
        ("SSH_MSG_CHANNEL_CLOSE", close),
        ("SSH_MSG_CHANNEL_REQUEST", request),
        ("SSH_MSG_CHANNEL_WINDOW_ADJUST", |siege, channel| {
            adjust(siege, channel, 1)
        }),
        ("SSH_MSG_CHANNEL_FAILURE", |siege, channel| {
            siege.send(&ChannelFailure {
                recipient: channel.number(),
            })
        }),
    ] {
        let words = format!("sent {name} for channel 0 after its CLOSE");
        let mut siege = siege(config());
        let id = siege.open_as_peer(8, 10, 10);
        data(&mut siege, id.number(), 5);
        close(&mut siege, id.number());
        deed(&mut siege, id);
        assert_eq!(siege.verdict().to_string(), format!("the peer {words}"));
    }
    check(
        "data before the confirmation",
        "sent SSH_MSG_CHANNEL_DATA for channel 1 before confirming it",
        |siege, _| {
            let channel = opening(siege);
            data(siege, channel, 1);
        },
    );
    check(
        "close before the confirmation",
        "sent SSH_MSG_CHANNEL_CLOSE for channel 1 before confirming it",
        |siege, _| {
            let channel = opening(siege);
            close(siege, channel);
        },
    );
    check(
        "confirming twice",
        "sent SSH_MSG_CHANNEL_OPEN_CONFIRMATION for channel 1, which waits for none",
        |siege, _| {
            let channel = opening(siege);
            confirm(siege, channel, 1);
            confirm(siege, channel, 1);
        },
    );
    check(
        "confirming its own",
        "sent SSH_MSG_CHANNEL_OPEN_CONFIRMATION for channel 0, which waits for none",
        |siege, channel| confirm(siege, channel, 1),
    );
    check(
        "refusing after confirming",
        "sent SSH_MSG_CHANNEL_OPEN_FAILURE for channel 1, which waits for none",
        |siege, _| {
            let channel = opening(siege);
            confirm(siege, channel, 1);
            fail(siege, channel);
        },
    );
}

#[test]
fn channels_on_which_nothing_can_be_said() {
    check(
        "an open with a maximum packet of 0",
        "sent SSH_MSG_CHANNEL_OPEN with a maximum packet size of 0",
        |siege, _| {
            siege.send(&ChannelOpen {
                channel_type: "session",
                sender: 0,
                initial_window: 1,
                max_packet: 0,
                data: Rest(b""),
            });
        },
    );
    check(
        "a confirmation with a maximum packet of 0",
        "sent SSH_MSG_CHANNEL_OPEN_CONFIRMATION with a maximum packet size of 0",
        |siege, _| {
            let channel = opening(siege);
            confirm(siege, channel, 0);
        },
    );
}

#[test]
fn floods() {
    check(
        "requests ahead of their replies",
        "sent more than 10 requests ahead of their replies",
        |siege, channel| {
            for _ in 0..11 {
                request(siege, channel);
            }
        },
    );
    check(
        "global requests ahead of their replies",
        "sent more than 10 requests ahead of their replies",
        |siege, _| {
            for _ in 0..11 {
                siege.send(&GlobalRequest {
                    name: "tcpip-forward",
                    want_reply: true,
                    data: Rest(b"\0\0\0\0\0\0\0\x16"),
                });
            }
        },
    );
    check(
        "replies to nothing",
        "sent more than 5 replies that answer nothing",
        |siege, channel| {
            for _ in 0..3 {
                siege.send(&RequestSuccess { data: Rest(b"") });
                siege.send(&ChannelSuccess {
                    recipient: channel.number(),
                });
            }
        },
    );
    check(
        "data without data",
        "sent more than 20 messages of no data in a row for channel 0",
        |siege, channel| {
            for _ in 0..20 {
                data(siege, channel, 0);
            }
            data(siege, channel, 1);
            for _ in 0..21 {
                data(siege, channel, 0);
            }
        },
    );
}

#[test]
fn messages_that_do_not_decode() {
    for (message, bytes) in [
        ("SSH_MSG_GLOBAL_REQUEST", &b"\x50\xff\xff\xff\xff"[..]),
        ("SSH_MSG_GLOBAL_REQUEST", b"\x50\0\0\0\x01\xff\x01"),
        ("SSH_MSG_REQUEST_FAILURE", b"\x52\0"),
        ("SSH_MSG_CHANNEL_OPEN", b"\x5a\0\0\0\x07session\0\0\0\0"),
        ("SSH_MSG_CHANNEL_WINDOW_ADJUST", b"\x5d\0\0\0\0\0\0\0"),
        ("SSH_MSG_CHANNEL_DATA", b"\x5e\0\0\0\0\0\0\0\x02x"),
        ("SSH_MSG_CHANNEL_DATA", b"\x5e\0\0\0\0\0\0\0\x01xy"),
        ("SSH_MSG_CHANNEL_EXTENDED_DATA", b"\x5f\0\0\0\0\0\0\0\x01"),
        ("SSH_MSG_CHANNEL_CLOSE", b"\x61\0\0\0\0\0"),
        ("SSH_MSG_CHANNEL_REQUEST", b"\x62\0\0\0\0\0\0\0\x04exec"),
    ] {
        let mut siege = siege(config());
        siege.open_as_peer(8, 10, 10);
        siege.send(&Raw(bytes));
        match siege.verdict() {
            Error::PeerMisbehaved(Misbehaviour::Malformed { message: found, .. }) => {
                assert_eq!(found, message)
            }
            other => panic!("{message}: {other:?}"),
        }
    }
}

#[test]
fn numbers_of_this_room_without_a_meaning_are_unimplemented() {
    let mut siege = siege(open_house());
    for bytes in [&b"\x53"[..], b"\x59", b"\x65", b"\x7f"] {
        siege.send(&Raw(Box::leak(bytes.to_vec().into_boxed_slice())));
    }
    siege.open_as_peer(8, 10, 10);
    assert!(siege.a.error.is_none());
}

#[test]
fn the_default_limits_hold_as_well() {
    let defaults = Limits::default();
    let mut siege = siege(open_house());
    let id = siege.open_as_peer(0, 1, 1);
    for _ in 0..=defaults.replies_due {
        request(&mut siege, id.number());
    }
    assert_eq!(
        siege.verdict(),
        Misbehaviour::TooManyRequests {
            limit: defaults.replies_due
        }
        .into()
    );
    assert!(limits::MAX_PACKET_DATA_BYTES >= Config::default().max_packet);
}
