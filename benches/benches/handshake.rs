//! A whole handshake and login in memory, and its parts: what P-8 spends its time on.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ssh_testkit::pair::Setup;

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    for method in ["mlkem768x25519-sha256", "curve25519-sha256"] {
        let mut setup = Setup::default();
        for side in [&mut setup.client, &mut setup.server] {
            side.preferences.edit_kex(method).expect("it is registered");
        }
        group.bench_function(format!("begin/{method}"), |bencher| {
            bencher.iter(|| setup.handshakes())
        });
        group.bench_function(format!("both_halves/{method}"), |bencher| {
            bencher.iter(|| setup.transports())
        });
        group.bench_function(format!("with_login/{method}"), |bencher| {
            bencher.iter(|| setup.sessions())
        });
    }
    group.finish();
}

criterion_group! {
    name = handshakes;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = handshake
}
criterion_main!(handshakes);
