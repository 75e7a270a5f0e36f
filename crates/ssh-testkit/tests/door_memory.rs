//! What strangers cost the front door of a server, all of it counted: tasks, buffers, machines. While they have said
//! nothing, while they have not logged in (promise 8), and when they are gone, having failed; and what is left of all that
//! was refused to somebody who is logged in, in both front doors (promise 16; the machines alone: `hostile_memory.rs`). A
//! test program of its own, because it counts every allocation, and with one thread, on which all of them are made.
//!
//! `BOWLINE_REFUSALS=1000000` has so many of each refused; CI has time for fewer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use ssh_client::auth::UserName;
use ssh_client::auth::client::{Authenticator, Event};
use ssh_client::channel::{GlobalRequest, TcpipForward};
use ssh_client::kex::{self, Handshake, HandshakeEvent, Transport};
use ssh_client::tokio_driver::{next_event, now, system_rng};
use ssh_client::wire::Layer;
use ssh_client::{Client, Config, Credentials, Error, HostKeys};
use ssh_server::{Application, Candidate, Decision, Limits, Peer, Permissions, Server};
use ssh_testkit::pair::Setup;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

/// Refuses everybody.
struct Closed;

impl Application for Closed {}

/// Lets everybody in, and does nothing for them.
struct Idle;

impl Application for Idle {
    async fn password(&self, _candidate: &Candidate, _password: &[u8]) -> Decision {
        Decision::Accept(Permissions::default())
    }
}

fn runtime() -> Runtime {
    // The clock stands still while anybody works: no limit of time is met by accident.
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

fn server() -> Server<Closed> {
    server_of(Closed)
}

fn server_of<A: Application>(application: A) -> Server<A> {
    let limits = Limits {
        max_startups_per_source: u32::MAX,
        // A busy machine decides nothing.
        identification_time: Duration::from_secs(600),
        key_exchange_time: Duration::from_secs(600),
        login_grace_time: Duration::from_secs(600),
        ..Limits::default()
    };
    let config = ssh_server::Config {
        password_login: true,
        ..ssh_server::Config::default()
    };
    let builder = Server::builder().config(config).limits(limits);
    builder
        .host_key(Setup::default().host_key())
        .build(application)
        .unwrap()
}

/// Somebody at the door, and the task that serves them.
fn knock<A: Application>(server: &Server<A>) -> (DuplexStream, JoinHandle<()>) {
    let (near, far) = duplex(64 * 1024);
    (near, serve(server, far))
}

fn serve<A: Application, S: Stream>(server: &Server<A>, stream: S) -> JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move {
        let _ended = server.serve_stream(stream, Peer::named("a stranger")).await;
    })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Reads the identification line of the server.
async fn line(stream: &mut impl Stream) -> Vec<u8> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.unwrap());
    }
    line
}

/// Goes through the key exchange.
async fn exchange(stream: &mut impl Stream) -> Transport {
    let config = Arc::new(kex::Config::default());
    let mut handshake = Handshake::client(config, system_rng().unwrap(), now());
    while let HandshakeEvent::HostKey(offer) = next_event(&mut handshake, stream).await.unwrap() {
        handshake.answer(offer.accept());
    }
    let mut transport = handshake.into_transport().unwrap();
    let bytes = std::mem::take(transport.transmit());
    transport.transmitted(bytes.len());
    stream.write_all(&bytes).await.unwrap();
    transport
}

/// Tries passwords until the server has had enough; how many it refused.
async fn fail(stream: &mut DuplexStream) -> usize {
    let transport = exchange(stream).await;
    let mut authenticator = Authenticator::new(transport, UserName::new("alice").unwrap());
    let mut tried = 0;
    while let Ok(event) = next_event(&mut authenticator, stream).await {
        if let Event::Turn(turn) = event {
            tried += 1;
            authenticator.attempt(turn.password(b"wrong"));
        }
    }
    tried
}

/// What `count` connections hold each while `step` leaves them where it does, both ends. Between them are sockets, which
/// hold nothing here: a pipe of our own would count for the server.
fn each_holds<T>(count: usize, step: impl AsyncFn(&mut UnixStream) -> T) -> i64 {
    // Where sockets are waited for, a clock that stands still would leap to the next limit of time.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let server = server();
    let mut held = Vec::with_capacity(count + 1);
    let add = |held: &mut Vec<_>| {
        runtime.block_on(async {
            let (mut stream, far) = UnixStream::pair().unwrap();
            let serving = serve(&server, far);
            let kept = step(&mut stream).await;
            for _ in 0..10 {
                yield_now().await;
            }
            held.push((stream, serving, kept));
        });
    };
    // What is made once for the process is made by a first one.
    add(&mut held);
    let used = measure(|| {
        for _ in 0..count {
            add(&mut held);
        }
    });
    assert!(
        held.iter().all(|(_, serving, _)| !serving.is_finished()),
        "they all wait"
    );
    used.bytes_current / count as i64
}

#[test]
fn a_stranger_costs_16_kib_until_it_has_a_name_and_64_until_it_has_a_user() {
    let silent = each_holds(100, async |stream: &mut UnixStream| line(stream).await);
    let named = each_holds(100, async |stream: &mut UnixStream| {
        stream.write_all(b"SSH-2.0-Stranger\r\n").await.unwrap();
        line(stream).await
    });
    let keyed = each_holds(20, async |stream: &mut UnixStream| exchange(stream).await);
    println!(
        "{silent} bytes each in silence, {named} with a name, {keyed} with keys, their own end included"
    );
    assert!(silent > 1_000, "they are counted");
    assert!(silent <= 16 * 1024, "{silent} bytes each");
    assert!(named <= 16 * 1024, "{named} bytes each");
    assert!(keyed <= 64 * 1024, "{keyed} bytes each");
}

/// The most one connection makes at once, from its first byte to the last refusal, its own end included.
#[test]
fn a_stranger_never_costs_more_than_64_kib() {
    let (runtime, server) = (runtime(), server());
    let once = || {
        runtime.block_on(async {
            let (mut stream, serving) = knock(&server);
            let tried = fail(&mut stream).await;
            serving.await.unwrap();
            tried
        })
    };
    once();
    let mut tried = 0;
    let used = measure(|| tried = once());
    println!("{} bytes at most, both ends", used.bytes_max);
    assert_eq!(tried, Limits::default().max_auth_tries as usize);
    // What its own end takes is in there too.
    assert!(used.bytes_max <= 64 * 1024, "{} bytes", used.bytes_max);
}

// ---- promise 16 ------------------------------------------------------------------------------------------------------

/// The most that may be left of all of them.
const LEFT_BYTES: i64 = 16 * 1024;

fn refusals() -> usize {
    std::env::var("BOWLINE_REFUSALS").map_or(3_000, |text| text.parse().unwrap())
}

#[test]
fn logins_that_fail_leave_nothing_behind() {
    let wanted = refusals();
    let (runtime, server) = (runtime(), server());
    let once = || {
        runtime.block_on(async {
            let (mut stream, serving) = knock(&server);
            let tried = fail(&mut stream).await;
            drop(stream);
            serving.await.unwrap();
            tried
        })
    };
    for _ in 0..10 {
        once();
    }
    let mut failed = 0;
    let used = measure(|| {
        while failed < wanted {
            failed += once();
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        }
    });
    println!("{} bytes are left of {failed} logins", used.bytes_current);
    assert!(
        used.bytes_current <= LEFT_BYTES,
        "{} bytes are left",
        used.bytes_current
    );
}

#[test]
fn channels_and_forwards_that_are_refused_leave_nothing_behind() {
    let (runtime, server) = (runtime(), server_of(Idle));
    let client = runtime.block_on(async {
        let (near, _serving) = knock(&server);
        let host_keys = HostKeys::pinned(Setup::default().host_key().public().clone());
        let password = Credentials::password("secret");
        let config = Config::default();
        let connecting = Client::over(&config, near, ("here", 22), "alice", host_keys, password);
        connecting.await.unwrap()
    });
    let open = async || {
        let refused = client.direct_tcpip("elsewhere", 22).await.err();
        assert!(matches!(refused, Some(Error::Open { .. })), "{refused:?}");
    };
    let forward = async || {
        let wanted = GlobalRequest::from(TcpipForward::new("", 0));
        let answer = client.handle().global_request(&wanted).await.unwrap();
        assert_eq!(answer, None, "nobody listens");
    };
    refused("connections", &runtime, open);
    refused("forwards", &runtime, forward);
}

/// Has this refused again and again, and counts what is left of it on both sides.
fn refused(what: &str, runtime: &Runtime, ask: impl AsyncFn()) {
    let times = |count: usize| {
        runtime.block_on(async {
            for _ in 0..count {
                ask().await;
            }
        });
    };
    // What is made once is made by the first.
    times(1_000);
    let used = measure(|| times(refusals()));
    println!("{} bytes are left of {} {what}", used.bytes_current, refusals());
    assert!(
        used.bytes_current <= LEFT_BYTES,
        "{} bytes are left of refused {what}",
        used.bytes_current
    );
}
