//! New keys again and again while everything goes on at once: a hundred channels that echo, files with many requests in
//! flight, pings both ways, over a wire that carries single bytes; both sides have the limit, so that both ask at once
//! (case 6 and promise 22 of the security page). Other people's clients and servers: `tests/interop/rekeyed/`; a link that
//! loses packets: `lossy`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ssh_client::kex::RekeyPolicy;
use ssh_client::{Client, Config};
use ssh_server::filesystem::Local;
use ssh_server::{
    Application, Candidate, Decision, Forward, Listening, Login, Server, Services, Session, Target,
};
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::script::{Echo, PATIENCE, config, connect, data, host_key};

const CHANNELS: usize = 100;
const CHANNEL_BYTES: usize = 2_000;
const FILE_BYTES: usize = 50_000;

/// Serves files, and echoes what comes on forwarded connections.
struct Busy(Services);

impl Application for Busy {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        Echo.password(candidate, password).await
    }

    async fn session(&self, session: Session) {
        self.0.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
        Forward::serve(|channel| async move {
            let (mut from, mut to) = tokio::io::split(channel);
            if tokio::io::copy(&mut from, &mut to).await.is_ok() {
                let _gone = to.shutdown().await;
            }
        })
    }
}

/// A hundred channels at once: on each comes back what went.
async fn echo_on_all(client: &Client) {
    let mut all = JoinSet::new();
    for number in 0..CHANNELS {
        let client = client.clone();
        all.spawn(async move {
            let sent: Vec<u8> = data(CHANNEL_BYTES + number);
            let channel = client.direct_tcpip("echo", 7).await.unwrap();
            let (mut from, mut to) = tokio::io::split(channel);
            let mut back = Vec::new();
            let write = async {
                to.write_all(&sent).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(from.read_to_end(&mut back), write);
            read.unwrap();
            assert!(back == sent, "channel {number}: {} bytes came back", back.len());
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}

/// A file there and back, with as many requests in flight as the library has.
async fn carry_files(client: &Client, folder: &Path) {
    let (local, back) = (folder.join("local"), folder.join("back"));
    let sent = data(FILE_BYTES);
    tokio::fs::write(&local, &sent).await.unwrap();
    let sftp = client.sftp().await.unwrap();
    sftp.put(&local, "remote").await.unwrap();
    sftp.get("remote", &back).await.unwrap();
    assert!(
        tokio::fs::read(&back).await.unwrap() == sent,
        "the file has changed"
    );
    sftp.remove("remote").await.unwrap();
}

/// Pings until it is enough; how many were answered.
async fn ping_on(client: &Client, enough: &AtomicBool) -> usize {
    let mut pings = 0;
    while !enough.load(Ordering::Relaxed) {
        client.ping().await.unwrap();
        pings += 1;
    }
    pings
}

/// A client's settings with this limit. That nothing comes for a while means a busy machine and a slow wire here, and the
/// limit of the whole test is the only one.
pub fn patient(policy: RekeyPolicy) -> Config {
    let mut config = config();
    config.transport.rekey = policy;
    config.keepalive = None;
    config.timeouts.open = 3 * PATIENCE;
    config
}

/// A server of ours with this limit, as patient, which has its files in the folder.
pub async fn busy_server(address: IpAddr, policy: RekeyPolicy, folder: &Path) -> Listening {
    let services = Services::new().sftp(Local::new(folder));
    let mut servers = ssh_server::Config {
        password_login: true,
        keepalive: None,
        ..ssh_server::Config::default()
    };
    servers.transport = config().transport;
    servers.transport.rekey = policy;
    let builder = Server::builder().config(servers).host_key(host_key());
    builder.listen((address, 0), Busy(services)).await.unwrap()
}

/// Everything at once, round after round, until there were so many key exchanges.
pub async fn goes_on(client: &Client, folder: &Path, what: &str, exchanges: u64) {
    let (enough, begin) = (AtomicBool::new(false), Instant::now());
    let load = async {
        let mut rounds = 0;
        while client.handle().key_exchanges() < exchanges {
            tokio::join!(echo_on_all(client), carry_files(client, folder));
            rounds += 1;
        }
        enough.store(true, Ordering::Relaxed);
        rounds
    };
    let both = timeout(3 * PATIENCE, async {
        tokio::join!(load, ping_on(client, &enough))
    });
    let (rounds, pings) = both.await.unwrap_or_else(|_| {
        let exchanges = client.handle().key_exchanges();
        panic!("{what}: it hangs after {exchanges} key exchanges")
    });
    println!(
        "{what}: {} key exchanges, {rounds} rounds, {pings} pings, {:?}",
        client.handle().key_exchanges(),
        begin.elapsed()
    );
    assert!(rounds > 0 && pings > 0);
}

/// The same through a proxy that does this to the bytes, with the limit on both sides.
async fn goes_on_through(policy: RekeyPolicy, fault: Fault, exchanges: u64) {
    let folder = tempfile::tempdir().unwrap();
    let listening = busy_server(Ipv4Addr::LOCALHOST.into(), policy, folder.path()).await;
    let proxy = Proxy::start(listening.local_addr().port(), Faults::both(fault));
    let client = connect(proxy.port, &patient(policy)).await.unwrap();
    goes_on(
        &client,
        folder.path(),
        &format!("{policy:?}, {fault:?}"),
        exchanges,
    )
    .await;
    client.disconnect().await;
}

pub const SELDOM: RekeyPolicy = RekeyPolicy::AS_SELDOM_AS_POSSIBLE;

pub fn bytes(bytes: u64) -> RekeyPolicy {
    RekeyPolicy { bytes, ..SELDOM }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_16_bytes_for_each_key_on_a_wire_of_single_bytes() {
    goes_on_through(bytes(16), Fault::Chunks(1), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_kibibyte_for_each_key_on_a_wire_of_single_bytes() {
    goes_on_through(bytes(1 << 10), Fault::Chunks(1), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_mebibyte_for_each_key_on_a_wire_of_single_bytes() {
    goes_on_through(bytes(1 << 20), Fault::Chunks(1), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_second_for_each_key_on_a_wire_of_single_bytes() {
    let second = RekeyPolicy {
        time: Some(Duration::from_secs(1)),
        ..SELDOM
    };
    goes_on_through(second, Fault::Chunks(1), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_16_bytes_for_each_key_in_pieces_and_late() {
    goes_on_through(bytes(16), Fault::RandomChunks(300), 50).await;
    let late = Fault::Delayed {
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(10),
    };
    goes_on_through(bytes(16), late, 20).await;
}
