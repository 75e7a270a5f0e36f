//! What a user costs a server who has logged in, opened a channel and gone to lunch: 12 KiB at most, with everything the
//! server allocates counted (P-9 wants 16 KiB, the allocator's own share and the pages it cannot give back included). A
//! test program of its own, because it counts every allocation; the server has a thread of its own for the same reason.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use ssh_client::keys::PrivateKey;
use ssh_client::{Client, Config, Credentials, HostKeys, Process};
use ssh_server::{Limits, Server};
use ssh_testkit::doors::Echo;
use ssh_testkit::pair::Setup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// What a server may hold for an idle connection with one channel.
const IDLE_BYTES: i64 = 12 * 1024;

/// How many are compared.
const COUNT: usize = 100;

/// Longer than a driver keeps what it needs for bulk.
const REST: Duration = Duration::from_secs(3);

/// Turns for everybody after that. Timers run in their order, but on a slow machine those of the drivers are due with this
/// one, and whoever looks has the first turn.
const TURNS: usize = 1_000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// What the clients have done, and the server's word that it has looked.
type Done = (oneshot::Receiver<()>, mpsc::Sender<i64>);

/// A server on a thread of its own. For each value it gets it waits until the clients have done something, and answers
/// how many bytes more it holds then.
fn server() -> (SocketAddr, mpsc::Sender<Done>, thread::JoinHandle<()>) {
    let (address_sender, address) = mpsc::channel();
    let (asks, asked) = mpsc::channel::<Done>();
    let thread = thread::spawn(move || {
        let runtime = runtime();
        let limits = Limits {
            max_startups_per_source: u32::MAX,
            ..Limits::default()
        };
        let listening = runtime.block_on(async {
            let builder = Server::builder()
                .limits(limits)
                .host_key(Setup::default().host_key());
            builder.listen("127.0.0.1:0", Echo).await.unwrap()
        });
        address_sender.send(listening.local_addr()).unwrap();
        for (done, answer) in asked {
            let used = measure(|| {
                runtime.block_on(async {
                    done.await.unwrap();
                    tokio::time::sleep(REST).await;
                    for _ in 0..TURNS {
                        tokio::task::yield_now().await;
                    }
                });
            });
            answer.send(used.bytes_current).unwrap();
        }
    });
    (address.recv().unwrap(), asks, thread)
}

/// What the server holds more when the clients have done this.
fn more<T>(asks: &mpsc::Sender<Done>, act: impl FnOnce() -> T) -> (T, i64) {
    let (done, has_done) = oneshot::channel();
    let (answer, answered) = mpsc::channel();
    asks.send((has_done, answer)).unwrap();
    let made = act();
    done.send(()).unwrap();
    (made, answered.recv().unwrap())
}

async fn connect(address: SocketAddr, key: &Arc<PrivateKey>) -> (Client, Process) {
    let config = Config::default();
    let host_keys = HostKeys::dangerous_accept_any();
    let credentials = Credentials::signer(key.clone());
    let client = Client::connect_with(&config, address, "alice", host_keys, credentials)
        .await
        .unwrap();
    let mut process = client.exec("echo").spawn().await.unwrap();
    echo(&mut process, b"a word").await;
    (client, process)
}

async fn echo(process: &mut Process, data: &[u8]) {
    let mut heard = vec![0; data.len()];
    let (wrote, read) = tokio::join!(
        process.stdin.write_all(data),
        process.stdout.read_exact(&mut heard)
    );
    wrote.unwrap();
    read.unwrap();
    assert!(heard == data);
}

#[test]
fn an_idle_connection_with_a_channel_costs_a_server_12_kib() {
    let (address, asks, thread) = server();
    let key = Arc::new(PrivateKey::generate_ed25519(
        &mut *ssh_client::system_rng().unwrap(),
        "test",
    ));
    let runtime = runtime();
    // What is made once for the process is made by a first one.
    let (first, _) = more(&asks, || runtime.block_on(connect(address, &key)));
    let open = || {
        runtime.block_on(async {
            let mut held = Vec::new();
            for _ in 0..COUNT {
                held.push(connect(address, &key).await);
            }
            held
        })
    };
    let (mut held, bytes) = more(&asks, open);
    let each = bytes / COUNT as i64;
    println!("{each} bytes for a connection with a channel");
    let ((), bytes) = more(&asks, || {
        runtime.block_on(async {
            for (_, process) in &mut held {
                echo(process, &[7; 300_000]).await;
            }
        });
    });
    let after = bytes / COUNT as i64;
    println!("{after} bytes more once it has moved bulk data");
    let leave = || {
        runtime.block_on(async {
            for (client, process) in held {
                drop(process);
                client.disconnect().await;
            }
        });
    };
    let ((), bytes) = more(&asks, leave);
    let back = -bytes / COUNT as i64;
    println!("{back} bytes back");
    assert!(each <= IDLE_BYTES, "{each} bytes");
    assert!(each + after <= IDLE_BYTES, "{each} and {after} bytes");
    assert!(
        back >= (each + after) * 9 / 10,
        "{back} of {each} and {after} came back"
    );
    drop(first);
    drop(asks);
    thread.join().unwrap();
}
