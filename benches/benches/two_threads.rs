//! Whether opening and sealing on two threads pays: as many packets sealed as opened, as on a connection that is busy in both
//! directions, by one thread and by two that hand each other a filled outbox. There is no socket, and nobody else wants the
//! processors: the most that two threads can give.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ssh_benches::packets;
use ssh_client::wire::{Cipher, Opener, Sealer, cipher};

/// One of each kind: both halves of AES-GCM in one pass, the RFC's cipher of OpenSSH, cipher and hash one after the other.
const CIPHERS: [&str; 3] = [
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
];

/// The usual data packet.
const PAYLOAD: usize = 32 * 1024;

/// Packets in an outbox that changes hands: a packet by itself, and what the driver takes at most.
const OUTBOXES: [usize; 2] = [1, 8];

/// Filled outboxes on their way: the thread that seals is never idle for want of an empty one.
const ON_THE_WAY: usize = 4;

/// Fills `outbox`, whose old content is gone.
fn seal(sealer: &mut Sealer, payload: &[u8], packets: usize, outbox: &mut Vec<u8>) {
    outbox.clear();
    std::mem::swap(sealer.outbox(), outbox);
    for _ in 0..packets {
        sealer.seal_payload(payload);
    }
    std::mem::swap(sealer.outbox(), outbox);
}

/// Opens what was sealed. The copy stands for the socket's.
fn open(opener: &mut Opener, outbox: &[u8], packets: usize) {
    opener.read_buffer().extend_from_slice(outbox);
    for _ in 0..packets {
        opener.next().expect("it opens").expect("it is whole");
    }
}

fn by_one(cipher: &'static Cipher, packets: usize, rounds: u64) -> Duration {
    let (mut sealer, mut opener) = (packets::sealer(cipher), packets::opener(cipher));
    let (payload, mut outbox) = (vec![94; PAYLOAD], Vec::new());
    let begin = Instant::now();
    for _ in 0..rounds {
        seal(&mut sealer, &payload, packets, &mut outbox);
        open(&mut opener, &outbox, packets);
    }
    begin.elapsed()
}

fn by_two(cipher: &'static Cipher, packets: usize, rounds: u64) -> Duration {
    let (mut sealer, mut opener) = (packets::sealer(cipher), packets::opener(cipher));
    let (filled, take): (SyncSender<Vec<u8>>, Receiver<Vec<u8>>) = sync_channel(ON_THE_WAY);
    let (give_back, empty) = sync_channel(ON_THE_WAY);
    for _ in 0..ON_THE_WAY {
        give_back.send(Vec::new()).expect("there is room");
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let payload = vec![94; PAYLOAD];
            while let Ok(mut outbox) = empty.recv() {
                seal(&mut sealer, &payload, packets, &mut outbox);
                if filled.send(outbox).is_err() {
                    return;
                }
            }
        });
        let begin = Instant::now();
        for _ in 0..rounds {
            let outbox = take.recv().expect("the other thread seals");
            open(&mut opener, &outbox, packets);
            give_back.send(outbox).expect("the other thread is there");
        }
        let elapsed = begin.elapsed();
        drop((take, give_back));
        elapsed
    })
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal_and_open");
    for name in CIPHERS {
        let cipher = cipher::find(name).expect("it is registered");
        for packets in OUTBOXES {
            group.throughput(Throughput::Bytes((packets * PAYLOAD) as u64));
            group.bench_function(BenchmarkId::new(format!("{name}/one"), packets), |bencher| {
                bencher.iter_custom(|rounds| by_one(cipher, packets, rounds));
            });
            group.bench_function(BenchmarkId::new(format!("{name}/two"), packets), |bencher| {
                bencher.iter_custom(|rounds| by_two(cipher, packets, rounds));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = threads;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(20);
    targets = two_threads
}
criterion_main!(threads);
