//! The sockets of the proxy.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;

use super::shaper::{BLOCK_BYTES, Shaper, Step};
use super::{Fault, Faults};

/// A proxy in front of a server on loopback, on threads of its own. Dropping it ends it and all that runs through it.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    counts: Arc<Counts>,
    runtime: Option<Runtime>,
}

/// Bytes that have left, of all connections together.
#[derive(Debug, Default)]
struct Counts {
    up: AtomicUsize,
    down: AtomicUsize,
}

/// Why a direction is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its sender had nothing more, or its receiver is gone: FIN was passed on.
    Passed,
    Cut,
    Reset,
}

impl Proxy {
    /// A proxy on a free port for the server on `port`. Each connection meets the faults anew.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(port: u16, faults: Faults) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        // Without waiting: whoever starts this may be a task itself.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        listener.set_nonblocking(true).expect("a listener");
        let own = listener.local_addr().expect("its address").port();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((client, from)) = listener.accept().await {
                let counts = Arc::clone(&counted);
                tokio::spawn(async move {
                    if let Ok(server) = connect(from.ip(), port).await {
                        relay(client, server, faults, &counts).await;
                    }
                });
            }
        });
        Self {
            port: own,
            counts,
            runtime: Some(runtime),
        }
    }

    /// Bytes that have left so far, up and down.
    pub fn carried(&self) -> (usize, usize) {
        let Counts { up, down } = &*self.counts;
        (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed))
    }
}

/// A connection to the server that comes from where the client's came: to the server the proxy is not there.
async fn connect(from: IpAddr, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, faults: Faults, counts: &Counts) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = carry(from_client, to_server, faults.up, faults.seed, &counts.up);
        let down = carry(from_server, to_client, faults.down, !faults.seed, &counts.down);
        tokio::pin!(up, down);
        let mut over = [false; 2];
        loop {
            let end = tokio::select! {
                end = &mut up, if !over[0] => { over[0] = true; end }
                end = &mut down, if !over[1] => { over[1] = true; end }
            };
            if end != End::Passed || over == [true; 2] {
                break end;
            }
        }
    };
    if end == End::Reset {
        for stream in [&client, &server] {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Moves the bytes of one direction until its end.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    fault: Fault,
    seed: u64,
    count: &AtomicUsize,
) -> End {
    let mut shaper = Shaper::new(fault, seed);
    let mut block = vec![0; BLOCK_BYTES];
    let (mut is_over, mut is_deaf) = (false, false);
    loop {
        let until = match shaper.step(Instant::now()) {
            Step::Send(piece) => {
                count.fetch_add(piece.len(), Ordering::Relaxed);
                if !is_deaf && to.write_all(&piece).await.is_err() {
                    return End::Passed;
                }
                continue;
            }
            Step::HalfClose => {
                let _ = to.shutdown().await;
                is_deaf = true;
                continue;
            }
            Step::Cut => return End::Cut,
            Step::Reset => return End::Reset,
            Step::More if is_over => {
                let _ = to.shutdown().await;
                return End::Passed;
            }
            Step::More => None,
            Step::Wait(until) => Some(until),
        };
        let idle = Duration::from_secs(86_400);
        let wait = until.map_or(idle, |until| until.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = tokio::time::sleep(wait), if until.is_some() => {}
            read = from.read(&mut block), if !is_over && !shaper.is_full() => match read {
                Ok(0) | Err(_) => is_over = true,
                Ok(count) => shaper.push(&block[..count], Instant::now()),
            },
        }
    }
}
