//! Fuzz bodies: one function per door. The shims in `fuzz_targets/` hand libFuzzer's bytes to them, and
//! `tests/replay.rs` hands them the committed corpora on the stable toolchain.
//!
//! The contract of each is the same: whatever the bytes, the function returns; it does not panic, loop, or reserve
//! memory by a length the bytes merely declare.
#![forbid(unsafe_code)]

pub mod kex;
mod memory;
mod sessions;

use ssh_client::keys::authorized_keys::AuthorizedKeys;
use ssh_client::keys::certificate::authority_algorithms;
use ssh_client::keys::known_hosts::KnownHosts;
use ssh_client::keys::{Certificate, PrivateKey, PublicKey};
use ssh_client::wire::bytes::BytesMut;
use ssh_client::wire::identification::{IdentificationReader, Side};
use ssh_client::wire::{
    Cipher, KeysError, MAX_PACKET_BYTES, Mac, Opener, Reader, Sealer, cipher, compression, mac, protection,
};

use memory::{Account, ROOM_BYTES, bounded};

pub use kex::{kex_client, kex_server};
pub use sessions::{session_client, session_server};

/// Every body by the name of its target.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("identification", identification),
    ("reader", reader),
    ("packet_open", packet_open),
    ("packet_behind", packet_behind),
    ("decompress", decompress),
    ("public_key", public_key),
    ("private_key", private_key),
    ("known_hosts", known_hosts),
    ("authorized_keys", authorized_keys),
    ("sftp_messages", sftp_messages),
    ("kex_client", kex_client),
    ("kex_server", kex_server),
    ("channel_operations", channel_operations),
    ("session_client", session_client),
    ("session_server", session_server),
];

/// The identification exchange in both seats, fed in pieces.
pub fn identification(data: &[u8]) {
    bounded(data.len(), ROOM_BYTES, || identify(data));
}

fn identify(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let side = if first & 1 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let piece = usize::from(first >> 1).max(1);
    let mut reader = IdentificationReader::new(side);
    let mut buffer = BytesMut::new();
    for part in rest.chunks(piece) {
        buffer.extend_from_slice(part);
        match reader.next(&mut buffer) {
            Ok(None) => {}
            Ok(Some(found)) => {
                assert!(found.as_str().len() <= 255);
                return;
            }
            Err(_) => return,
        }
    }
}

/// The reader, driven by the bytes themselves: each first byte chooses what is read next.
pub fn reader(data: &[u8]) {
    bounded(data.len(), ROOM_BYTES, || read(data));
}

fn read(data: &[u8]) {
    let mut reader = Reader::new(data);
    while let Ok(choice) = reader.byte() {
        let before = reader.remaining();
        let failed = match choice % 9 {
            0 => reader.boolean().is_err(),
            1 => reader.uint32().is_err(),
            2 => reader.uint64().is_err(),
            3 => reader.string().is_err(),
            4 => reader.utf8().is_err(),
            5 => reader.mpint().is_err(),
            6 => reader.name_list().map(|list| list.iter().count()).is_err(),
            7 => reader.nested().is_err(),
            _ => reader.array::<16>().is_err(),
        };
        assert!(failed || reader.remaining() < before);
    }
}

/// Every protection there is: none, the ciphers that need no MAC, and the pairs of a cipher and a MAC.
pub fn protections() -> impl Iterator<Item = Option<(&'static Cipher, Option<&'static Mac>)>> {
    let protected = cipher::ALL.iter().flat_map(|&cipher| {
        let macs = mac::ALL.iter().map(|&mac| Some(mac));
        let alone = (!cipher.needs_mac()).then_some(None);
        let beside = cipher.needs_mac().then_some(macs).into_iter().flatten();
        alone
            .into_iter()
            .chain(beside)
            .map(move |mac| Some((cipher, mac)))
    });
    std::iter::once(None).chain(protected)
}

/// The packet opener with every protection: arbitrary bytes must never open as a packet. The first byte chooses among
/// the protections, and in its second round through them as much follows as ends every wait.
pub fn packet_open(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut opener = Opener::new();
    let choice = usize::from(choice);
    let count = protections().count();
    let protection = protections().nth(choice % count).flatten();
    if let Some(protection) = protection {
        opener.set_protection(keyed(protection, protection::opening), true);
    }
    let mut account = Account::default();
    for part in rest.chunks(1 + choice) {
        let whole = account.received(part.len(), ROOM_BYTES, || {
            opener.read_buffer().extend_from_slice(part);
            loop {
                match opener.next() {
                    Ok(Some(packet)) => assert!(protection.is_none() && !packet.payload.is_empty()),
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        });
        if !whole {
            return;
        }
    }
    if choice >= count && protection.is_some() {
        let largest = MAX_PACKET_BYTES + protection::MAX_TAG_BYTES + LENGTH_BYTES;
        opener.read_buffer().resize(largest, 0);
        assert!(opener.next().is_err());
    }
}

/// What a protection makes of the keys of these targets.
fn keyed<T>(
    (cipher, mac): (&'static Cipher, Option<&'static Mac>),
    make: impl FnOnce(&protection::DirectionKeys<'_>) -> Result<T, KeysError>,
) -> T {
    let keys = protection::DirectionKeys {
        cipher,
        mac,
        key: &vec![1; cipher.key_bytes],
        iv: &vec![2; cipher.iv_bytes],
        mac_key: &vec![3; mac.map_or(0, |mac| mac.key_bytes)],
    };
    make(&keys).expect("keys of the right size")
}

/// Arbitrary bytes behind two packets that are right, all of it there at once: the packets open, and the bytes never do. The
/// first byte chooses among the protections, the second how long the packets are.
pub fn packet_behind(data: &[u8]) {
    let Some((&[choice, size], rest)) = data.split_first_chunk() else {
        return;
    };
    let choice = usize::from(choice) % protections().count();
    let Some(protection) = protections().nth(choice).flatten() else {
        return;
    };
    let (mut sealer, mut opener) = (Sealer::new([4; 32]), Opener::new());
    sealer.set_protection(keyed(protection, protection::sealing), true);
    opener.set_protection(keyed(protection, protection::opening), true);
    let payloads = [
        vec![94; 1 + usize::from(size)],
        vec![95; 1 + usize::from(size / 2)],
    ];
    for payload in &payloads {
        sealer.seal_payload(payload);
    }
    opener.read_buffer().extend_from_slice(sealer.outbox());
    opener.read_buffer().extend_from_slice(rest);
    for payload in &payloads {
        let opened = opener.next().expect("a right packet").expect("a whole packet");
        assert_eq!(opened.payload, payload);
    }
    let behind = opener.next();
    assert!(!matches!(behind, Ok(Some(_))), "it opened");
    assert_eq!(opener.next(), behind);
}

/// The length field of a packet.
const LENGTH_BYTES: usize = 4;

/// A compressed stream, packet by packet: each is a length of two bytes and what a peer sends under it.
pub fn decompress(mut data: &[u8]) {
    let construction = compression::ZLIB_OPENSSH.construction.expect("it compresses");
    let mut account = Account::default();
    let mut stream = account.received(0, ROOM_BYTES, || construction.inflating());
    while let Some((length, rest)) = data.split_first_chunk() {
        let (packet, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        data = rest;
        // What a packet comes to has a limit of its own; growing up to it takes as much again.
        let room = 2 * compression::MAX_INFLATED_BYTES + ROOM_BYTES;
        match account.received(packet.len(), room, || stream.inflate(packet)) {
            Ok(payload) => assert!((1..=compression::MAX_INFLATED_BYTES).contains(&payload.len())),
            Err(_) => return,
        }
    }
}

/// Public key and certificate blobs and lines.
pub fn public_key(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_blob(data) {
        assert_eq!(certificate.blob(), data);
        // Whatever is read is written again to the byte: what an authority signed is what was understood.
        let signed = certificate.body().to_be_signed().expect("a body that was read");
        assert_eq!(signed, certificate.signed_part());
        let (authority, algorithms) = (certificate.signature_key(), authority_algorithms());
        let _ = certificate.verify_host("example.org", 1, authority, &algorithms.collect::<Vec<_>>());
        let (again, _) = Certificate::from_openssh(&certificate.to_openssh("")).expect("our own line");
        assert_eq!(certificate, again);
    }
    if let Ok(key) = PublicKey::from_blob(data) {
        assert_eq!(key.blob(), data);
        let _ = key.fingerprint().to_string();
    }
    if let Ok((key, comment)) = PublicKey::from_openssh(&String::from_utf8_lossy(data)) {
        let (again, _) = PublicKey::from_openssh(&key.to_openssh(&comment)).expect("our own line");
        assert_eq!(key, again);
    }
}

/// Private key files, without and with a passphrase.
pub fn private_key(data: &[u8]) {
    let _ = PrivateKey::from_openssh(data, None);
    let _ = PrivateKey::public_from_openssh(data);
}

/// `known_hosts`: any file parses, and can be asked.
pub fn known_hosts(data: &[u8]) {
    let hosts = KnownHosts::parse(data);
    let _ = hosts.key_types_for("example.org", 22);
    let _ = hosts.key_types_for("::1", 2222);
}

/// `authorized_keys`: any file parses.
pub fn authorized_keys(data: &[u8]) {
    let _ = AuthorizedKeys::parse(data);
}

/// Two whole connections whose applications do what the bytes say, in the simulator of `ssh-testkit`: it checks the
/// windows after each step, and in the end that all bytes arrived and that no channel is left.
pub fn channel_operations(data: &[u8]) {
    ssh_testkit::simulator::replay(ssh_testkit::simulator::Choices::of_bytes(data));
}

/// SFTP messages to both machines.
pub fn sftp_messages(data: &[u8]) {
    sessions::sftp(data);
}
