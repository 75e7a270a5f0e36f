//! Our client into other people's servers.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ssh_client::channel::{ChannelType, GlobalRequest};
use ssh_client::{Client, Config};
use ssh_testkit::openssh::{Account, Keys};
use ssh_testkit::peers;
use ssh_testkit::running::{PerConnection, Running, free_port, run, wait_for_greeting_at};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::wires::{Carrier, Laid, Wire};
use super::{LIMITS, Limit, asyncssh, data};
use crate::foreign::converted;
use crate::openssh_server::server;
use crate::ours::PATIENCE;

/// A server of somebody else's.
struct There {
    keys: Arc<Keys>,
    user: String,
    port: u16,
    /// Whether it closes sessions that have asked for nothing yet: see [`closes_before_a_command`].
    closes_early: bool,
    /// Ends it when it goes.
    _program: Box<dyn Any + Send>,
}

/// What goes through one connection at the same time.
#[derive(Debug, Clone, Copy)]
struct Load {
    channels: usize,
    channel_bytes: usize,
    /// In a file there and back; 0: the server has no files.
    file_bytes: usize,
}

impl Load {
    /// For a wire that carries bytes one by one.
    const SMALL: Self = Self {
        channels: 10,
        channel_bytes: 1_000,
        file_bytes: 20_000,
    };

    /// The same for a server that has no files.
    const SMALL_WITHOUT_FILES: Self = Self {
        channels: 10,
        channel_bytes: 10_000,
        file_bytes: 0,
    };
}

/// Our settings with this limit.
fn config(limit: Limit) -> Config {
    let mut config = Config::default();
    limit.set(&mut config.transport);
    config.timeouts.identification = PATIENCE;
    config.timeouts.key_exchange = PATIENCE;
    config.timeouts.login = PATIENCE;
    config.timeouts.open = PATIENCE;
    config
}

async fn connect(laid: &Laid, there: &There, limit: Limit) -> (Client, Carrier) {
    let config = config(limit);
    let connecting = laid.connect(&config, there.port, &there.user, &there.keys);
    connecting.await.unwrap()
}

/// All of the load at once, while somebody asks for signs of life, again and again until there were enough key exchanges:
/// for each limit, with a server that `start` makes.
async fn goes_on(wire: Wire, load: Load, start: impl Fn(IpAddr, Limit) -> Option<There>) {
    let Some(laid) = wire.lay() else { return };
    for limit in LIMITS {
        let Some(there) = start(laid.near(), limit) else {
            return;
        };
        let (client, _carrier) = connect(&laid, &there, limit).await;
        beside_signs_of_life(&client, async {
            while client.handle().key_exchanges() < limit.exchanges() {
                let echo = echo_on_all(&client, load, &there);
                tokio::join!(echo, carry_files(&client, load, there.keys.folder()));
            }
        })
        .await;
        let exchanges = client.handle().key_exchanges();
        println!("{wire:?}, {limit:?}, {load:?}: {exchanges} key exchanges");
        client.disconnect().await;
    }
}

/// Each channel runs `cat`.
async fn echo_on_all(client: &Client, load: Load, there: &There) {
    let all_have_begun = Arc::new(Barrier::new(load.channels));
    let mut all = JoinSet::new();
    for number in 0..load.channels {
        let (client, all_have_begun) = (client.clone(), Arc::clone(&all_have_begun));
        let closes_early = there.closes_early;
        all.spawn(async move {
            let sent = data(load.channel_bytes + number);
            let mut process = client.exec("cat").spawn().await.unwrap();
            if closes_early {
                all_have_begun.wait().await;
            }
            let mut back = Vec::new();
            let write = async {
                process.stdin.write_all(&sent).await.unwrap();
                process.stdin.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(process.stdout.read_to_end(&mut back), write);
            read.unwrap();
            assert!(back == sent, "channel {number}: {} bytes came back", back.len());
            assert_eq!(process.wait().await.unwrap().code(), Some(0));
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
    // What the server has heard of the ends of commands it has dealt with when it answers this.
    let asked = client.handle().global_request(&GlobalRequest::Keepalive);
    let _answer = asked.await.unwrap();
}

async fn carry_files(client: &Client, load: Load, folder: &Path) {
    if load.file_bytes == 0 {
        return;
    }
    let [local, remote, back] = ["local", "remote", "back"].map(|name| folder.join(name));
    let sent = data(load.file_bytes);
    tokio::fs::write(&local, &sent).await.unwrap();
    let sftp = client.sftp().await.unwrap();
    let remote = remote.display().to_string();
    sftp.put(&local, &remote).await.unwrap();
    sftp.get(&remote, &back).await.unwrap();
    assert!(
        tokio::fs::read(&back).await.unwrap() == sent,
        "the file has changed"
    );
}

/// Does this while somebody asks for signs of life without end.
async fn beside_signs_of_life(client: &Client, carry: impl Future<Output = ()>) {
    let ask = async {
        loop {
            // Yes or no, it is an answer. What it means that there is none the others say.
            let asked = client.handle().global_request(&GlobalRequest::Keepalive);
            if asked.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let carry = timeout(2 * PATIENCE, carry);
    let ended = tokio::select! {
        ended = carry => ended,
        never = ask => never,
    };
    let exchanges = client.handle().key_exchanges();
    assert!(ended.is_ok(), "it hangs after {exchanges} key exchanges");
}

// ---- OpenSSH ---------------------------------------------------------------------------------------------------------

fn openssh(near: IpAddr, limit: Limit) -> Option<There> {
    let mut more = format!("RekeyLimit {}\n", limit.openssh());
    let port = free_port();
    if !near.is_loopback() {
        more += &format!("ListenAddress {near}:{port}\n");
    }
    let server = server(&more)?;
    Some(There {
        keys: Arc::clone(&server.keys),
        user: peers::user(),
        port: if near.is_loopback() { server.port } else { port },
        closes_early: false,
        _program: Box::new(server),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_channels_and_files_go_on_with_openssh_s_whatever_keys_may_carry() {
    let load = Load {
        channels: 100,
        channel_bytes: 2_000,
        file_bytes: 200_000,
    };
    goes_on(Wire::Plain, load, openssh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_files_go_on_with_openssh_s_byte_by_byte() {
    goes_on(Wire::Bytewise, Load::SMALL, openssh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_channels_and_files_go_on_with_openssh_s_where_packets_are_lost() {
    let load = Load {
        channels: 100,
        channel_bytes: 2_000,
        file_bytes: 50_000,
    };
    goes_on(Wire::Lossy, load, openssh).await;
}

// ---- asyncssh --------------------------------------------------------------------------------------------------------

fn asyncssh_server(near: IpAddr, limit: Limit) -> Option<There> {
    let python = peers::need_python()?;
    let (keys, port) = (Keys::make(), free_port());
    let mut command = Command::new(&python);
    command
        .arg(asyncssh())
        .args(["server", &near.to_string(), &port.to_string()]);
    command
        .args([keys.path("authorized_keys"), keys.path("host")])
        .args(limit.numbers());
    Some(listening(keys, near, port, &mut command))
}

/// A server that takes connections until it is ended.
fn listening(keys: Keys, near: IpAddr, port: u16, command: &mut Command) -> There {
    let mut program = Running::start(command);
    wait_for_greeting_at(&mut program, SocketAddr::new(near, port)).unwrap();
    There {
        keys: Arc::new(keys),
        user: peers::user(),
        port,
        closes_early: false,
        _program: Box::new(program),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_files_go_on_with_asyncssh_s_whatever_keys_may_carry() {
    let load = Load {
        channels: 30,
        channel_bytes: 2_000,
        file_bytes: 100_000,
    };
    goes_on(Wire::Plain, load, asyncssh_server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_files_go_on_with_asyncssh_s_byte_by_byte() {
    goes_on(Wire::Bytewise, Load::SMALL, asyncssh_server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_files_go_on_with_asyncssh_s_where_packets_are_lost() {
    goes_on(Wire::Lossy, Load::SMALL, asyncssh_server).await;
}

// ---- Go --------------------------------------------------------------------------------------------------------------

/// Its own limit is 256 bytes at least, and no time.
fn go(near: IpAddr, limit: Limit) -> Option<There> {
    let program = peers::need_go()?;
    let (keys, port) = (Keys::make(), free_port());
    let [bytes, _] = limit.numbers();
    let mut command = Command::new(program);
    command.args(["server", &near.to_string(), &port.to_string()]);
    command.arg(keys.path("authorized_keys"));
    command.arg(bytes).arg(keys.path("host"));
    Some(listening(keys, near, port, &mut command))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_channels_go_on_with_go_s_whatever_keys_may_carry() {
    let load = Load {
        channels: 100,
        channel_bytes: 2_000,
        file_bytes: 0,
    };
    goes_on(Wire::Plain, load, go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_go_on_with_go_s_byte_by_byte() {
    goes_on(Wire::Bytewise, Load::SMALL_WITHOUT_FILES, go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_go_on_with_go_s_where_packets_are_lost() {
    let load = Load {
        channels: 30,
        channel_bytes: 2_000,
        file_bytes: 0,
    };
    goes_on(Wire::Lossy, load, go).await;
}

// ---- Dropbear --------------------------------------------------------------------------------------------------------

/// Dropbear from 2022.82 to 2024.85 closes a session that has asked for no command yet whenever a command of another session
/// of the same connection ends. `sesscheckclose` (`svr-chansession.c`, line 84 in 2022.83) says of a session without a process
/// that it may close; `check_close` (`common-channel.c`, line 318), which runs for every channel when a child has ended, then
/// closes its descriptor for input, and as that is not set yet (`FD_UNINIT`), so the one for output, which has the same
/// value: EOF and CLOSE go out (lines 325 to 340), with nothing asked or answered. Where a command is on its way already, it is
/// run all the same, and the first byte of its output ends the whole connection by an assertion (line 705). Dropbear's issue
/// 321; its change 71521d1b asks for `writefd != FD_UNINIT`. Which channels are met is a matter of time alone, with new keys or
/// without. Where it is so, all commands of a round are begun before any can end.
fn closes_before_a_command() -> bool {
    let told = run(Command::new("dropbear").arg("-V"));
    let words = told.stdout_text() + &told.stderr_text();
    let version = words.split_whitespace().find_map(|word| {
        let (year, number) = word.trim_start_matches('v').split_once('.')?;
        Some((year.parse::<u32>().ok()?, number.parse::<u32>().ok()?))
    });
    let version = version.unwrap_or_else(|| panic!("no version: {told}"));
    ((2022, 82)..(2024, 86)).contains(&version)
}

/// Dropbear, and an account of its own with the keys that it takes. It decides for itself when its keys are old; the limit is
/// ours.
struct Dropbear {
    program: PathBuf,
    account: Account,
    keys: Arc<Keys>,
}

impl Dropbear {
    fn make(tag: &str) -> Option<Self> {
        let (program, convert) = (peers::need("dropbear")?, peers::need("dropbearconvert")?);
        let account = Account::make(tag)?;
        let keys = Arc::new(Keys::make());
        converted(&convert, &["openssh", "dropbear", "host", "host.db"], &keys);
        account.authorize(&keys);
        Some(Self {
            program,
            account,
            keys,
        })
    }

    fn start(&self, near: IpAddr) -> There {
        let (program, host_key) = (self.program.clone(), self.keys.path("host.db"));
        let server = PerConnection::start_at(near, move || {
            let mut command = Command::new(&program);
            command.args(["-i", "-r"]).arg(&host_key);
            command
        });
        There {
            keys: Arc::clone(&self.keys),
            user: self.account.name.clone(),
            port: server.port,
            closes_early: closes_before_a_command(),
            _program: Box::new(server),
        }
    }
}

async fn goes_on_with_dropbear(wire: Wire, load: Load, tag: &str) {
    let Some(dropbear) = Dropbear::make(tag) else {
        return;
    };
    goes_on(wire, load, |near, _| Some(dropbear.start(near))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_go_on_with_dropbear_s_whatever_keys_may_carry() {
    let load = Load {
        channels: 10,
        channel_bytes: 20_000,
        file_bytes: 0,
    };
    goes_on_with_dropbear(Wire::Plain, load, "rekeyp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_go_on_with_dropbear_s_byte_by_byte() {
    goes_on_with_dropbear(Wire::Bytewise, Load::SMALL_WITHOUT_FILES, "rekeyb").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_go_on_with_dropbear_s_where_packets_are_lost() {
    let load = Load {
        channels: 10,
        channel_bytes: 20_000,
        file_bytes: 0,
    };
    goes_on_with_dropbear(Wire::Lossy, load, "rekeyl").await;
}

/// The same without a matter of time: it is Dropbear that closes, our client says so, and the connection lives on.
#[tokio::test(flavor = "multi_thread")]
async fn dropbear_closes_a_session_without_a_command_when_another_s_ends_and_nothing_else() {
    let (Some(dropbear), Some(laid)) = (Dropbear::make("early"), Wire::Plain.lay()) else {
        return;
    };
    let there = dropbear.start(laid.near());
    let (client, _carrier) = connect(&laid, &there, Limit::of_bytes(1 << 20)).await;
    let mut early = client.handle().open(ChannelType::Session).await.unwrap();
    let ended = client.run("true").await.unwrap();
    assert_eq!(ended.status.code(), Some(0));
    if there.closes_early {
        timeout(PATIENCE, early.closed()).await.unwrap();
    }
    // One more round trip: what was to come has come.
    client.run("true").await.unwrap();
    assert_eq!(early.watch().is_open(), !there.closes_early);
    client.disconnect().await;
}
