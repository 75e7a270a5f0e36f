//! What connections and channels cost in memory, for 10 to 10,000 of them: heap bytes of client and server together,
//! with everything that is allocated counted, on one thread. A table of its own instead of criterion's times.
//!
//! `-- --test` stops at 100: whether it runs, not what it finds.

use allocation_counter::measure;
use ssh_benches::COUNTS;
use ssh_benches::memory_pair::{Stage, echo, open};
use tokio::runtime::{Builder, Runtime};

/// Heap bytes that stay when `act` is done, with what it made still there.
fn kept<T>(act: impl FnOnce() -> T) -> (T, i64) {
    let mut made = None;
    let used = measure(|| made = Some(act()));
    (made.expect("it was made"), used.bytes_current)
}

/// Lets the tasks of both sides come to rest.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

fn connections(runtime: &Runtime, stage: &Stage, count: usize) -> i64 {
    let (held, bytes) = kept(|| {
        runtime.block_on(async {
            let mut held = Vec::with_capacity(count);
            for _ in 0..count {
                let client = stage.connect().await.expect("a connection");
                let mut process = open(&client).await.expect("a channel");
                echo(&mut process).await.expect("an echo");
                held.push((client, process));
            }
            settle().await;
            held
        })
    });
    drop(held);
    // What is left of them goes now, and not while something else is counted.
    runtime.block_on(settle());
    bytes
}

fn channels(runtime: &Runtime, stage: &Stage, count: usize) -> i64 {
    let client = runtime.block_on(stage.connect()).expect("a connection");
    runtime.block_on(settle());
    let (held, bytes) = kept(|| {
        runtime.block_on(async {
            let mut held = Vec::with_capacity(count);
            for _ in 0..count {
                let mut process = open(&client).await.expect("a channel");
                echo(&mut process).await.expect("an echo");
                held.push(process);
            }
            settle().await;
            held
        })
    });
    drop(held);
    runtime.block_on(client.disconnect());
    bytes
}

fn main() {
    let is_test = std::env::args().any(|word| word == "--test");
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let stage = Stage::set().expect("keys and a server");
    println!(
        "{:>8}  {:>24}  {:>24}",
        "count", "connection with channel", "channel"
    );
    for count in COUNTS.into_iter().filter(|count| !is_test || *count <= 100) {
        let each = |bytes: i64| bytes as f64 / count as f64 / 1024.0;
        let connection = each(connections(&runtime, &stage, count));
        let channel = each(channels(&runtime, &stage, count));
        println!("{count:>8}  {connection:>20.1} KiB  {channel:>20.1} KiB");
    }
}
