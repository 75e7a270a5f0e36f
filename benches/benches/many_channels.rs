//! What a channel costs beside many others of its connection: one echo on the last of them, and one more opened, used
//! and closed. A cost that grows with the number of channels shows here.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ssh_benches::COUNTS;
use ssh_benches::memory_pair::{Stage, echo, open};
use tokio::runtime::Builder;

fn many_channels(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let stage = Stage::set().expect("keys and a server");
    let mut group = criterion.benchmark_group("many_channels");
    for count in COUNTS {
        let client = runtime.block_on(stage.connect()).expect("a connection");
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(runtime.block_on(open(&client)).expect("a channel"));
        }
        let last = held.last_mut().expect("some channel");
        group.bench_function(BenchmarkId::new("echo", count), |bencher| {
            bencher.iter(|| runtime.block_on(echo(last)).expect("an echo"));
        });
        group.bench_function(BenchmarkId::new("open_use_close", count), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut process = open(&client).await.expect("a channel");
                    echo(&mut process).await.expect("an echo");
                });
            });
        });
        runtime.block_on(client.disconnect());
    }
    group.finish();
}

criterion_group! {
    name = channels;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = many_channels
}
criterion_main!(channels);
