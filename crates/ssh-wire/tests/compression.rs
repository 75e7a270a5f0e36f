//! Compressed packets (RFC 4253 §6.2): vectors, streams that live from packet to packet, when they begin, and what a
//! hostile peer can make of them (attack class B10).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use flate2::{Compress, FlushCompress};
use ssh_wire::compression::{self, CompressionError, MAX_INFLATED_BYTES, NONE, ZLIB, ZLIB_OPENSSH};
use ssh_wire::{
    Compression, MAX_PACKET_BYTES, MAX_PAYLOAD_BYTES, Opener, PacketError, SealError, Sealer, Tier,
};

/// Both ends of one direction, after the first NEWKEYS and before login.
fn ends(method: &'static Compression) -> (Sealer, Opener) {
    let (mut sealer, mut opener) = (Sealer::new([3; 32]), Opener::new());
    sealer.set_compression(method);
    opener.set_compression(method);
    (sealer, opener)
}

/// Sends a payload; returns how many bytes it took on the wire.
fn send(sealer: &mut Sealer, opener: &mut Opener, payload: &[u8]) -> usize {
    sealer.try_seal_payload(payload).unwrap();
    let sealed = std::mem::take(sealer.outbox());
    opener.read_buffer().extend_from_slice(&sealed);
    assert_eq!(opener.next().unwrap().unwrap().payload, payload);
    sealed.len()
}

/// Bytes that nothing can shrink, the same ones in every run.
fn incompressible(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn what_zlib_compressed_is_understood() {
    let text = include_str!("vectors/zlib.txt");
    let mut packets = 0;
    for stream in text.split("[stream]\n").skip(1) {
        let fields: Vec<_> = stream.lines().filter_map(|line| line.split_once(" = ")).collect();
        assert!(fields.iter().any(|(name, _)| *name == "source"));
        for method in [&ZLIB, &ZLIB_OPENSSH] {
            let mut inflate = method.construction.unwrap().inflating();
            let payloads = fields.iter().filter(|(name, _)| *name == "payload");
            let compressed = fields.iter().filter(|(name, _)| *name == "compressed");
            for ((_, payload), (_, compressed)) in payloads.zip(compressed) {
                assert_eq!(inflate.inflate(&unhex(compressed)).unwrap(), unhex(payload));
                packets += 1;
            }
        }
    }
    assert_eq!(packets, 2 * 4 * 7);
}

#[test]
fn the_registry_offers_none_first_and_zlib_only_by_name() {
    let names: Vec<_> = compression::ALL.iter().map(|method| method.name).collect();
    assert_eq!(names, ["none", "zlib@openssh.com", "zlib"]);
    for method in compression::ALL {
        assert_eq!(compression::find(method.name), Some(*method));
        assert_eq!(method.tier == Tier::Legacy, method.name == "zlib");
    }
}

#[test]
fn a_packet_helps_to_shrink_the_next() {
    let (mut sealer, mut opener) = ends(&ZLIB);
    let payload = incompressible(900);
    let first = send(&mut sealer, &mut opener, &payload);
    let second = send(&mut sealer, &mut opener, &payload);
    assert!(first > 900 && second < 60, "{first}, then {second}");
    // A keystroke stays one: a message of ten bytes costs no block of its own.
    for _ in 0..100 {
        assert!(send(&mut sealer, &mut opener, b"\x5e\0\0\0\0\0\0\0\x01a") <= 24);
    }
}

#[test]
fn every_size_passes_in_any_order() {
    let (mut sealer, mut opener) = ends(&ZLIB);
    let noise = incompressible(MAX_PAYLOAD_BYTES);
    let text: Vec<u8> = (0..MAX_PAYLOAD_BYTES)
        .map(|at| b"abcdefgh"[at / 97 % 8])
        .collect();
    let sizes = [
        1,
        2,
        3,
        31,
        255,
        256,
        4095,
        4096,
        4097,
        32_767,
        32_768,
        32_769,
        65_535,
        65_536,
        100_000,
        MAX_PAYLOAD_BYTES,
    ];
    for size in sizes.into_iter().chain(sizes.into_iter().rev()) {
        for data in [&noise, &text] {
            let wire = send(&mut sealer, &mut opener, &data[data.len() - size..]);
            assert!(wire <= MAX_PACKET_BYTES + 4, "{size}: {wire}");
        }
    }
    assert_eq!(
        sealer.try_seal_payload(&vec![0; MAX_PAYLOAD_BYTES + 1]),
        Err(SealError::TooLong(MAX_PAYLOAD_BYTES + 1))
    );
    // What was refused did not disturb the stream.
    send(&mut sealer, &mut opener, b"on it goes");
}

#[test]
fn ten_mebibytes_pass_whatever_they_are() {
    for method in [&NONE, &ZLIB] {
        let (mut sealer, mut opener) = ends(method);
        let noise = incompressible(1 << 20);
        for _ in 0..5 {
            for piece in noise.chunks(32 * 1024) {
                send(&mut sealer, &mut opener, piece);
                send(&mut sealer, &mut opener, &vec![b'-'; piece.len()]);
            }
        }
    }
}

#[test]
fn delayed_compression_begins_at_login_and_plain_with_the_keys() {
    let text = [b'a'; 600];
    for (method, before, after) in [
        (&NONE, false, false),
        (&ZLIB_OPENSSH, false, true),
        (&ZLIB, true, true),
    ] {
        let (mut sealer, mut opener) = ends(method);
        let shrinks = |wire: usize| wire < 100;
        assert_eq!(
            shrinks(send(&mut sealer, &mut opener, &text)),
            before,
            "{method:?}"
        );
        for _ in 0..2 {
            // The second time says nothing new, and must not begin a new stream.
            sealer.log_in();
            opener.log_in();
            assert_eq!(
                shrinks(send(&mut sealer, &mut opener, &text)),
                after,
                "{method:?}"
            );
        }
    }
}

#[test]
fn a_login_is_heard_by_one_direction_at_a_time() {
    let (mut sealer, mut opener) = ends(&ZLIB_OPENSSH);
    sealer.log_in();
    sealer.try_seal_payload(&[b'a'; 600]).unwrap();
    opener.read_buffer().extend_from_slice(sealer.outbox());
    let raw = opener.next().unwrap().unwrap().payload;
    assert_eq!(raw[..2], [0x78, 0x9c], "a zlib stream, which nobody inflates yet");
}

#[test]
fn every_change_of_keys_begins_a_new_stream_or_ends_it() {
    let (mut sealer, mut opener) = ends(&ZLIB_OPENSSH);
    let noise = incompressible(500);
    send(&mut sealer, &mut opener, &noise);
    sealer.log_in();
    opener.log_in();
    for _ in 0..3 {
        sealer.set_compression(&ZLIB_OPENSSH);
        opener.set_compression(&ZLIB_OPENSSH);
        assert!(
            send(&mut sealer, &mut opener, &noise) > 500,
            "nothing is remembered"
        );
        assert!(
            send(&mut sealer, &mut opener, &noise) < 60,
            "and something is again"
        );
    }
    sealer.set_compression(&NONE);
    opener.set_compression(&NONE);
    assert!(send(&mut sealer, &mut opener, &[b'a'; 600]) > 600);
}

#[test]
fn a_hidden_length_stays_hidden() {
    use ssh_wire::{Encode, Message, Writer};
    struct Password(usize);
    impl Encode for Password {
        fn encode(&self, writer: &mut Writer<'_>) {
            writer.raw(&incompressible(self.0));
        }
    }
    impl Message for Password {
        const NUMBER: u8 = 50;
        const NAME: &'static str = "a request with a password";
    }
    let lengths = [40, 60, 100, 180].map(|length| {
        let (mut sealer, _) = ends(&ZLIB);
        sealer.seal_hiding_length(&Password(length));
        sealer.outbox_len()
    });
    assert!(lengths.iter().all(|each| *each == lengths[0]), "{lengths:?}");
}

/// What a stream that stands at its beginning says to the payload of one packet, and says again.
fn refusal(compressed: &[u8]) -> CompressionError {
    let mut sealer = Sealer::new([3; 32]);
    sealer.seal_payload(compressed);
    let (_, mut opener) = ends(&ZLIB);
    opener.read_buffer().extend_from_slice(sealer.outbox());
    match (opener.next(), opener.next()) {
        (Err(PacketError::Compression(first)), Err(PacketError::Compression(second))) if first == second => {
            first
        }
        other => panic!("{other:?}"),
    }
}

/// A zlib stream of that payload with that flush.
fn deflated(payload: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(payload.len() + 1024);
    Compress::new(flate2::Compression::new(9), true)
        .compress_vec(payload, &mut compressed, flush)
        .unwrap();
    compressed
}

#[test]
fn hostile_streams_are_refused_by_name() {
    let bomb = deflated(&vec![0; MAX_INFLATED_BYTES * 200], FlushCompress::Sync);
    assert!(bomb.len() < MAX_PAYLOAD_BYTES);
    assert_eq!(refusal(&bomb), CompressionError::TooLong);

    assert_eq!(refusal(&incompressible(100)), CompressionError::Damaged);
    assert_eq!(refusal(b"no zlib header"), CompressionError::Damaged);
    assert_eq!(
        refusal(b"\x78\x9d\x00"),
        CompressionError::Damaged,
        "header check"
    );
    assert_eq!(
        refusal(b"\x78\x9c\x07"),
        CompressionError::Damaged,
        "block type 3"
    );
    assert_eq!(
        refusal(&[0x78, 0xbb, 0, 0, 0, 1, 0x4b]),
        CompressionError::Dictionary
    );

    let ended = deflated(b"\x02bye", FlushCompress::Finish);
    assert_eq!(refusal(&ended), CompressionError::Ended);
    let ended_and_more = [&ended[..], &deflated(b"\x02again", FlushCompress::Sync)].concat();
    assert_eq!(refusal(&ended_and_more), CompressionError::Ended);

    let rubbish = [&deflated(b"\x02fine", FlushCompress::Sync)[..], &[0xff; 20]].concat();
    assert_eq!(
        refusal(&rubbish),
        CompressionError::Damaged,
        "rubbish behind what is flushed"
    );

    assert_eq!(refusal(b"\x78"), CompressionError::Empty);
    assert_eq!(
        refusal(&deflated(b"", FlushCompress::Sync)),
        CompressionError::Empty
    );
    let cut = deflated(&incompressible(300), FlushCompress::Sync);
    assert_eq!(
        refusal(&cut[..5]),
        CompressionError::Empty,
        "nothing of it is there yet"
    );
}

#[test]
fn a_bomb_of_many_packets_is_measured_packet_by_packet() {
    let mut deflate = Compress::new(flate2::Compression::new(9), true);
    let (mut sealer, (_, mut opener)) = (Sealer::new([3; 32]), ends(&ZLIB));
    let fill = vec![0; MAX_INFLATED_BYTES];
    for round in 0..=20 {
        let mut compressed = Vec::with_capacity(4096);
        let extra = usize::from(round == 20);
        let payload = [&fill[..], &fill[..extra]].concat();
        deflate
            .compress_vec(&payload, &mut compressed, FlushCompress::Sync)
            .unwrap();
        assert!(compressed.len() < 1024);
        sealer.seal_payload(&compressed);
    }
    opener.read_buffer().extend_from_slice(sealer.outbox());
    for _ in 0..20 {
        assert_eq!(opener.next().unwrap().unwrap().payload.len(), MAX_INFLATED_BYTES);
    }
    assert_eq!(opener.next(), Err(CompressionError::TooLong.into()));
}

#[test]
fn garbage_never_brings_a_packet_down_with_more_than_an_error() {
    let good = deflated(&[b'x'; 3000], FlushCompress::Sync);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let mut inflate = ZLIB.construction.unwrap().inflating();
            if let Ok(payload) = inflate.inflate(&bad) {
                assert!(payload.len() <= MAX_INFLATED_BYTES && !payload.is_empty());
            }
        }
    }
}
