//! Peers whose software needs care with channels.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::login::{quick, sessions_with};
use common::{End, Siege, open_house};
use ssh_channel::messages::ChannelData;
use ssh_channel::wire::{Identification, number};
use ssh_channel::{Connection, Stream};

/// What the peers here say that they take in one message.
const MAX_PACKET: u32 = 32_768;

/// A connection in the server's seat against a client that calls itself `software`, with data compressed or not.
fn meets(software: &str, compression: &str) -> Siege {
    let mut client = quick();
    client.identification = Identification::ours(software, None).unwrap();
    client.preferences.edit_compression(compression).unwrap();
    let (client, server, now) = sessions_with(client, quick());
    Siege {
        a: End::new(Connection::new(server, open_house())),
        b: End::new(client),
        now,
    }
}

/// The same with the connection in the client's seat and a server of that name.
fn visits(software: &str, compression: &str) -> Siege {
    let mut server = quick();
    server.identification = Identification::ours(software, None).unwrap();
    server.preferences.edit_compression(compression).unwrap();
    let (client, server, now) = sessions_with(quick(), server);
    Siege {
        a: End::new(Connection::new(client, open_house())),
        b: End::new(server),
        now,
    }
}

#[test]
fn quirk_dropbear_gets_a_byte_less_than_it_takes_where_data_is_compressed() {
    let dropbear = "dropbear_2022.83";
    for (software, compression, expected) in [
        (dropbear, "zlib@openssh.com", 32_767),
        (dropbear, "none", 32_768),
        ("OpenSSH_10.2", "zlib@openssh.com", 32_768),
    ] {
        for mut siege in [meets(software, compression), visits(software, compression)] {
            let id = siege.open_as_peer(0, 1 << 20, MAX_PACKET);
            let bytes = vec![7; 100_000];
            let mut left = &bytes[..];
            let (mut longest, mut arrived) = (0, 0);
            while !left.is_empty() {
                let taken = siege.a.machine.write(id, Stream::Data, left).unwrap();
                left = &left[taken..];
                for packet in siege.received() {
                    assert_eq!(packet.number(), number::CHANNEL_DATA);
                    let message: ChannelData<'_> = packet.decode().unwrap();
                    longest = longest.max(message.data.len());
                    arrived += message.data.len();
                }
            }
            assert_eq!(
                (longest, arrived),
                (expected, 100_000),
                "{software} {compression}"
            );
        }
    }
}
