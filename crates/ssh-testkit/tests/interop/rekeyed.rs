//! Other people's clients and servers with ours while keys last for next to nothing, and both sides ask for new ones: many
//! channels at once, files with many requests in flight, signs of life; some of it over a wire that carries single bytes
//! (case 6 and promise 22 of the security page). What is asked for is no more than each of them has: PuTTY and Dropbear
//! run a command each.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ssh_client::channel::GlobalRequest;
use ssh_client::kex::RekeyPolicy;
use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_testkit::openssh::{Account, Keys, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use ssh_testkit::rng::Dice;
use ssh_testkit::running::{PerConnection, Running, free_port, run, run_with, wait_for_greeting};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::foreign::converted;
use crate::openssh_server::{public_key, server};
use crate::ours::{Ours, PATIENCE};

/// A limit in the words of every side.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Bytes, where bytes are the limit.
    bytes: Option<u64>,
    /// Seconds, where time is.
    seconds: Option<u64>,
}

const LIMITS: [Limit; 4] = [
    Limit::of_bytes(16),
    Limit::of_bytes(1 << 10),
    Limit::of_bytes(1 << 20),
    Limit {
        bytes: None,
        seconds: Some(1),
    },
];

impl Limit {
    const fn of_bytes(bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            seconds: None,
        }
    }

    fn policy(self) -> RekeyPolicy {
        RekeyPolicy {
            bytes: self.bytes.unwrap_or(u64::MAX),
            time: self.seconds.map(Duration::from_secs),
            ..RekeyPolicy::AS_SELDOM_AS_POSSIBLE
        }
    }

    /// The value of OpenSSH's `RekeyLimit`.
    fn openssh(self) -> String {
        let bytes = self
            .bytes
            .map_or_else(|| "default".to_owned(), |bytes| bytes.to_string());
        let time = self
            .seconds
            .map_or_else(|| "none".to_owned(), |seconds| format!("{seconds}s"));
        format!("{bytes} {time}")
    }

    /// Bytes and seconds, far away where they are no limit.
    fn numbers(self) -> [String; 2] {
        [self.bytes.unwrap_or(1 << 40), self.seconds.unwrap_or(3_600)].map(|number| number.to_string())
    }

    /// Key exchanges there have to be at least, if the load is repeated until then.
    const fn exchanges(self) -> u64 {
        match self.bytes {
            Some(bytes) if bytes < 1 << 20 => 20,
            _ => 3,
        }
    }
}

/// Nothing that compression makes smaller.
fn data(bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(9);
    (0..bytes).map(|_| dice.throw().to_le_bytes()[3]).collect()
}

/// Our settings with this limit, and with the cheapest exchange.
fn config(limit: Limit) -> Config {
    let mut config = Config::default();
    config
        .transport
        .preferences
        .edit_kex("curve25519-sha256")
        .unwrap();
    config.transport.rekey = limit.policy();
    config.timeouts.open = PATIENCE;
    config
}

/// What goes through one connection at the same time.
#[derive(Debug, Clone, Copy)]
struct Load {
    channels: usize,
    channel_bytes: usize,
    /// In a file there and back; 0: the server has no files.
    file_bytes: usize,
}

/// Each channel runs `cat`.
async fn echo_on_all(client: &Client, load: Load) {
    let mut all = JoinSet::new();
    for number in 0..load.channels {
        let client = client.clone();
        all.spawn(async move {
            let sent = data(load.channel_bytes + number);
            let output = client.exec("cat").stdin(sent.clone()).output().await.unwrap();
            assert!(
                output.stdout == sent,
                "channel {number}: {} bytes came back",
                output.stdout.len()
            );
            assert_eq!(output.status.code(), Some(0));
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
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

/// All of it at once, while somebody asks for signs of life, again and again until there were enough key exchanges.
async fn goes_on(client: &Client, limit: Limit, load: Load, folder: &Path) {
    let carry = async {
        while client.handle().key_exchanges() < limit.exchanges() {
            tokio::join!(echo_on_all(client, load), carry_files(client, load, folder));
        }
    };
    beside_signs_of_life(client, carry).await;
    println!(
        "{limit:?}, {load:?}: {} key exchanges",
        client.handle().key_exchanges()
    );
}

/// Does this while somebody asks for signs of life without end.
async fn beside_signs_of_life(client: &Client, carry: impl Future<Output = ()>) {
    let ask = async {
        loop {
            // Yes or no, it is an answer.
            let _answer = client.handle().global_request(&GlobalRequest::Keepalive).await;
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

/// Our client, on its way to whoever listens on the port.
async fn connect(keys: &Keys, port: u16, user: &str, limit: Limit) -> Client {
    let pinned = HostKeys::pinned(public_key(keys, "host"));
    let key = Credentials::key_file(keys.path("user"));
    Client::connect_with(&config(limit), ("127.0.0.1", port), user, pinned, key)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_channels_and_files_go_on_with_openssh_s_server_whatever_keys_may_carry() {
    let load = Load {
        channels: 100,
        channel_bytes: 2_000,
        file_bytes: 200_000,
    };
    for limit in LIMITS {
        let Some(server) = server(&format!("RekeyLimit {}", limit.openssh())) else {
            return;
        };
        let client = connect(&server.keys, server.port, &peers::user(), limit).await;
        goes_on(&client, limit, load, server.keys.folder()).await;
        client.disconnect().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_files_go_on_with_openssh_s_server_byte_by_byte_whatever_keys_may_carry() {
    let load = Load {
        channels: 10,
        channel_bytes: 1_000,
        file_bytes: 20_000,
    };
    for limit in LIMITS {
        let Some(server) = server(&format!("RekeyLimit {}", limit.openssh())) else {
            return;
        };
        let proxy = Proxy::start(server.port, Faults::both(Fault::Chunks(1)));
        let client = connect(&server.keys, proxy.port, &peers::user(), limit).await;
        goes_on(&client, limit, load, server.keys.folder()).await;
        client.disconnect().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_files_go_on_with_asyncssh_s_server_whatever_keys_may_carry() {
    let Some(python) = peers::need_python() else {
        return;
    };
    let load = Load {
        channels: 30,
        channel_bytes: 2_000,
        file_bytes: 100_000,
    };
    for limit in LIMITS {
        let (keys, port) = (Keys::make(), free_port());
        let mut command = Command::new(&python);
        command.arg(script()).args(["server", &port.to_string()]);
        command
            .args([keys.path("authorized_keys"), keys.path("host")])
            .args(limit.numbers());
        let mut server = Running::start(&mut command);
        wait_for_greeting(&mut server, port).unwrap();
        let client = connect(&keys, port, &peers::user(), limit).await;
        goes_on(&client, limit, load, keys.folder()).await;
        client.disconnect().await;
    }
}

/// Dropbear decides for itself when its keys are old; the limit is ours. Each connection has its channels at once: of those
/// that come later Dropbear closes some before they have begun, whether keys change or not.
#[tokio::test(flavor = "multi_thread")]
async fn channels_go_on_with_dropbear_s_server_whatever_keys_may_carry() {
    let (Some(dropbear), Some(convert)) = (peers::need("dropbear"), peers::need("dropbearconvert")) else {
        return;
    };
    let Some(account) = Account::make("rekey") else {
        return;
    };
    let keys = Keys::make();
    converted(&convert, &["openssh", "dropbear", "host", "host.db"], &keys);
    account.authorize(&keys);
    let host_key = keys.path("host.db");
    let server = PerConnection::start(move || {
        let mut command = Command::new(&dropbear);
        command.args(["-i", "-r"]).arg(&host_key);
        command
    });
    let load = Load {
        channels: 10,
        channel_bytes: BYTES / 8,
        file_bytes: 0,
    };
    for limit in LIMITS {
        let client = connect(&keys, server.port, &account.name, limit).await;
        let wait = async {
            if limit.seconds.is_some() {
                client.exec("sleep 3").output().await.unwrap();
            }
        };
        beside_signs_of_life(&client, async {
            tokio::join!(echo_on_all(&client, load), wait);
        })
        .await;
        let exchanges = client.handle().key_exchanges();
        println!("{limit:?}: {exchanges} key exchanges");
        assert!(exchanges >= 2, "{limit:?}");
        client.disconnect().await;
    }
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/asyncssh_rekey.py")
}

fn ours(limit: Limit) -> Ours {
    Ours::with(|config| {
        config
            .transport
            .preferences
            .edit_kex("curve25519-sha256")
            .unwrap();
        config.transport.rekey = limit.policy();
    })
}

/// Enough for new keys by bytes; where time decides, the command takes some.
const ECHO: &str = "cat; sleep 3";
const BYTES: usize = 1_200_000;

/// Runs the client once for each limit, directly and over a wire of single bytes: its input comes back.
fn comes_back(mut client: impl FnMut(&Ours, u16, Limit) -> Command) {
    for limit in LIMITS {
        for bytewise in [false, true] {
            let ours = ours(limit);
            let faults = Faults::both(if bytewise { Fault::Chunks(1) } else { Fault::None });
            let proxy = Proxy::start(ours.port, faults);
            // Byte by byte a mebibyte takes its time.
            let sent = data(if bytewise && limit.bytes != Some(1 << 20) {
                50_000
            } else {
                BYTES
            });
            let mut line = client(&ours, proxy.port, limit);
            line.args([
                &*ours.destination(),
                if limit.seconds.is_some() { ECHO } else { "cat" },
            ]);
            line.env("HOME", ours.keys.folder()).env_remove("SSH_AUTH_SOCK");
            let finished = run_with(&mut line, sent.clone()).with_code(0);
            assert!(
                finished.stdout == sent,
                "{limit:?}: {} bytes",
                finished.stdout.len()
            );
            let exchanges = ours.key_exchanges();
            assert!(
                exchanges >= 2,
                "{limit:?}, byte by byte {bytewise}: {exchanges} key exchanges"
            );
            println!("{limit:?}, byte by byte {bytewise}: {exchanges} key exchanges");
        }
    }
}

#[test]
fn openssh_s_client_goes_on_with_ours_whatever_keys_may_carry() {
    let Some(ssh) = peers::need("ssh") else { return };
    comes_back(|ours, port, limit| {
        let mut command = Command::new(&ssh);
        command.args(["-o", &format!("RekeyLimit={}", limit.openssh())]);
        command.args(client_arguments(&ours.keys, port));
        command
    });
}

#[test]
fn openssh_s_sftp_goes_on_with_ours_whatever_keys_may_carry() {
    let Some(sftp) = peers::need("sftp") else { return };
    for limit in LIMITS {
        let ours = ours(limit);
        let sent = data(BYTES);
        std::fs::write(ours.keys.path("local"), &sent).unwrap();
        let wait = if limit.seconds.is_some() { "!sleep 2\n" } else { "" };
        std::fs::write(
            ours.keys.path("batch"),
            format!("put local remote\n{wait}get remote back\n"),
        )
        .unwrap();
        let limit_option = format!("RekeyLimit={}", limit.openssh());
        let mut line = ours.client(&sftp, &["-o", &limit_option, "-b", "batch"]);
        line.arg(ours.destination()).current_dir(ours.keys.folder());
        let _ = run(&mut line).with_code(0);
        assert!(
            std::fs::read(ours.keys.path("back")).unwrap() == sent,
            "{limit:?}"
        );
        assert!(ours.key_exchanges() >= 2, "{limit:?}");
    }
}

#[test]
fn asyncssh_s_client_goes_on_with_ours_whatever_keys_may_carry() {
    let Some(python) = peers::need_python() else {
        return;
    };
    for limit in LIMITS {
        let ours = ours(limit);
        let mut line = Command::new(&python);
        line.arg(script())
            .args(["client", &ours.port.to_string(), &ours.user()]);
        line.arg(ours.keys.path("user"));
        line.arg(ours.keys.known_hosts("known_hosts", ours.port, "host"));
        line.arg(ours.keys.folder()).args(limit.numbers()).arg("30");
        let finished = run(line.env_remove("SSH_AUTH_SOCK")).with_code(0);
        assert_eq!(finished.stdout_text(), "ok\n", "{limit:?}: {finished}");
    }
}

#[test]
fn dropbear_s_client_goes_on_with_ours_whatever_keys_may_carry() {
    let (Some(dbclient), Some(convert)) = (peers::need("dbclient"), peers::need("dropbearconvert")) else {
        return;
    };
    comes_back(|ours, port, _| {
        converted(&convert, &["openssh", "dropbear", "user", "user.db"], &ours.keys);
        let mut command = Command::new(&dbclient);
        command.args(["-y", "-y", "-p", &port.to_string(), "-i"]);
        command.arg(ours.keys.path("user.db"));
        command
    });
}

#[test]
fn plink_goes_on_with_ours_whatever_keys_may_carry() {
    let (Some(plink), Some(puttygen)) = (peers::need("plink"), peers::need("puttygen")) else {
        return;
    };
    comes_back(|ours, port, limit| {
        converted(
            &puttygen,
            &["user", "-O", "private", "-o", "user.ppk"],
            &ours.keys,
        );
        let sessions = ours.keys.path(".putty/sessions");
        std::fs::create_dir_all(&sessions).unwrap();
        let bytes = limit.bytes.unwrap_or(0);
        // Its times are minutes: where time is the limit, it is ours.
        let settings = format!("KEX=ecdh,WARN\nRekeyTime=0\nRekeyBytes={bytes}\n");
        std::fs::write(sessions.join("Default%20Settings"), settings).unwrap();
        let host_key = public_key(&ours.keys, "host").fingerprint().to_string();
        let mut command = Command::new(&plink);
        command.args(["-batch", "-ssh", "-P", &port.to_string(), "-i"]);
        command
            .arg(ours.keys.path("user.ppk"))
            .args(["-hostkey", &host_key]);
        command
    });
}
