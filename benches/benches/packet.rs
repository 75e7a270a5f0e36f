//! Sealing and opening one packet in memory, per cipher and payload size, beside the bare primitive (target P-1).

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use chacha20::cipher::{KeyIvInit, StreamCipher};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use ring::hmac;
use ssh_benches::gcm::Gcm;
use ssh_benches::{PAYLOAD_SIZES, packets};
use ssh_client::wire::{cipher, mac};

/// Packets in one measured batch of openings, so that filling the read buffer is not what is measured.
const BATCH: usize = 8;

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet_seal");
    for &cipher in cipher::ALL {
        for size in PAYLOAD_SIZES {
            let payload = vec![94; size];
            let mut sealer = packets::sealer(cipher);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_with_input(
                BenchmarkId::new(cipher.name, size),
                &payload,
                |bencher, payload| {
                    bencher.iter(|| {
                        sealer.seal_payload(payload);
                        let count = sealer.outbox_len();
                        sealer.outbox().clear();
                        sealer.transmitted(count);
                    });
                },
            );
        }
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet_open");
    for &cipher in cipher::ALL {
        for size in PAYLOAD_SIZES {
            group.throughput(Throughput::Bytes((BATCH * size) as u64));
            group.bench_function(BenchmarkId::new(cipher.name, size), |bencher| {
                let mut sealer = packets::sealer(cipher);
                let opener = RefCell::new(packets::opener(cipher));
                let payload = vec![94; size];
                // Setting up a batch is not measured, but every batch must follow the one before it in sequence. It
                // lies in the read buffer as a socket's bytes do, which nobody copies there.
                bencher.iter_batched(
                    || {
                        for _ in 0..BATCH {
                            sealer.seal_payload(&payload);
                        }
                        let count = sealer.outbox_len();
                        opener
                            .borrow_mut()
                            .read_buffer()
                            .extend_from_slice(sealer.outbox());
                        sealer.outbox().clear();
                        sealer.transmitted(count);
                    },
                    |()| {
                        let mut opener = opener.borrow_mut();
                        for _ in 0..BATCH {
                            opener.next().expect("it opens").expect("it is whole");
                        }
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// What a primitive does to one packet.
type Seal = Box<dyn FnMut(&mut [u8])>;

fn bare(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bare_primitive");
    for (name, key) in [
        ("aes128-gcm", Gcm::fastest(&[1; 16])),
        ("aes256-gcm", Gcm::fastest(&[1; 32])),
        ("aes128-gcm by ring", Gcm::ring(&[1; 16])),
        ("aes256-gcm by ring", Gcm::ring(&[1; 32])),
    ] {
        for size in PAYLOAD_SIZES {
            let mut data = vec![94; size];
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| key.seal([0; 12], [0; 4], &mut data));
            });
        }
    }
    for (name, mut seal) in [
        ("aes128-ctr", counter_mode_and_hash as fn() -> Seal),
        ("chacha20-poly1305", stream_and_polynomial),
    ]
    .map(|(name, make)| (name, make()))
    {
        for size in PAYLOAD_SIZES {
            let mut data = vec![94; size];
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| seal(&mut data))
            });
        }
    }
    group.finish();
}

/// AES-128 in counter mode, and HMAC-SHA2-256 over what comes out.
fn counter_mode_and_hash() -> Seal {
    let mut stream = ctr::Ctr128BE::<aes::Aes128>::new(&[1; 16].into(), &[0; 16].into());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
    Box::new(move |data| {
        stream.apply_keystream(data);
        black_box(hmac::sign(&key, data));
    })
}

/// ChaCha20, and Poly1305 over what comes out.
fn stream_and_polynomial() -> Seal {
    Box::new(move |data| {
        chacha20::ChaCha20::new(&[1; 32].into(), &[0; 12].into()).apply_keystream(data);
        black_box(Poly1305::new(&[1; 32].into()).compute_unpadded(data));
    })
}

/// The tags of two packets, one after the other and at once, per MAC (docs/decisions/0017).
fn tags(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two_tags");
    for mac in mac::ALL.iter().filter(|mac| mac.etm) {
        let mut keyed = mac.construction.keyed(&vec![1; mac.key_bytes]).expect("a key");
        for size in PAYLOAD_SIZES {
            let (one, other) = (vec![94; size], vec![95; size]);
            let (mut tag, mut other_tag) = (vec![0; mac.mac_bytes], vec![0; mac.mac_bytes]);
            group.throughput(Throughput::Bytes(2 * size as u64));
            group.bench_function(
                BenchmarkId::new(format!("{} in turn", mac.name), size),
                |bencher| {
                    bencher.iter(|| {
                        keyed.tag(1, &one, &mut tag);
                        keyed.tag(2, &other, &mut other_tag);
                    });
                },
            );
            group.bench_function(
                BenchmarkId::new(format!("{} at once", mac.name), size),
                |bencher| {
                    bencher.iter(|| keyed.tag_two([(1, &one), (2, &other)], [&mut tag, &mut other_tag]));
                },
            );
        }
    }
    group.finish();
}

criterion_group! {
    name = packets;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = seal, open, bare, tags
}
criterion_main!(packets);
