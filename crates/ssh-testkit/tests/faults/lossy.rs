//! A link that loses three packets in a hundred, and carries 50 Mbit in a second: a pair of virtual Ethernet devices, one of
//! them in a network namespace of its own with a filter that drops at random in both directions (section 3.1 of the security
//! page). TCP makes good what is lost, late and in lumps; meanwhile keys change again and again under load (case 6).
//!
//! Linux, root, `ip`, `nft` and `tc` are needed; where they are not, the tests say so and pass.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ssh_client::kex::RekeyPolicy;
use ssh_client::{Client, HostKeys};
use ssh_testkit::peers;
use tokio::io::join;
use tokio::process::{Child, Command as AsyncCommand};

use super::rekeys::{SELDOM, busy_server, bytes, goes_on};
use super::script::{config, host_key};

/// A namespace and the link to it. Dropping this ends both.
struct LossyLink {
    namespace: String,
    /// Our end of the link.
    near: Ipv4Addr,
}

/// Both directions lose packets at the far end.
const FILTER: &str = "table ip lossy {
 chain out {
  type filter hook output priority 0;
  numgen random mod 100 < 3 counter drop
 }
 chain in {
  type filter hook input priority 0;
  numgen random mod 100 < 3 counter drop
 }
}
";

/// Links of this process so far.
static LINKS: AtomicU8 = AtomicU8::new(0);

impl LossyLink {
    /// `None`, with a word why, where such links cannot be made.
    fn make(folder: &Path) -> Option<Self> {
        for tool in ["ip", "nft", "tc", "python3"] {
            peers::need(tool)?;
        }
        if !peers::is_root() {
            eprintln!("skipped: only root can make a link that loses packets");
            return None;
        }
        let [id, number] = [
            std::process::id(),
            u32::from(LINKS.fetch_add(1, Ordering::Relaxed)),
        ];
        let [third, second] = [id % 256, 100 + number % 100].map(|part| part.to_le_bytes()[0]);
        let [near, far] = [1, 2].map(|last| Ipv4Addr::new(10, second, third, last));
        let namespace = format!("bowline{id}n{number}");
        let devices = [format!("bwl{id}n{number}"), format!("bwl{id}f{number}")];
        let filter = folder.join("lossy.nft");
        std::fs::write(&filter, FILTER).unwrap();
        // From here on dropping it cleans up.
        let link = Self { namespace, near };
        let name = &link.namespace;
        let steps = [
            format!("ip netns add {name}"),
            format!(
                "ip link add {} type veth peer name {} netns {name}",
                devices[0], devices[1]
            ),
            format!("ip addr add {near}/30 dev {}", devices[0]),
            format!("ip link set {} up", devices[0]),
            format!("ip -n {name} addr add {far}/30 dev {}", devices[1]),
            format!("ip -n {name} link set {} up", devices[1]),
            format!("ip netns exec {name} nft -f {}", filter.display()),
            format!(
                "tc -n {name} qdisc add dev {} root tbf rate 50mbit burst 32k latency 50ms",
                devices[1]
            ),
        ];
        for step in steps {
            let done = Command::new("sh").args(["-c", &step]).output().unwrap();
            if !done.status.success() {
                let why = String::from_utf8_lossy(&done.stderr);
                eprintln!("skipped: no link that loses packets can be made: {step}: {why}");
                return None;
            }
        }
        Some(link)
    }

    /// A program at the far end.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// A connection from the far end to a port of ours, as the input and output of a program.
    fn connect(&self, port: u16) -> Child {
        let mut command = self.command(Path::new("python3"));
        command.args(["-c", PIPE, &self.near.to_string(), &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        AsyncCommand::from(command).kill_on_drop(true).spawn().unwrap()
    }

    /// How many packets were lost so far.
    fn lost(&self) -> u64 {
        let told = self
            .command(Path::new("nft"))
            .args(["list", "table", "ip", "lossy"])
            .output();
        let told = String::from_utf8_lossy(&told.unwrap().stdout).into_owned();
        let counts = told.split("counter packets ").skip(1);
        counts
            .map(|count| count.split(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }
}

impl Drop for LossyLink {
    fn drop(&mut self) {
        let _gone = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output();
    }
}

/// Carries bytes between a socket and its standard input and output.
const PIPE: &str = "
import os, socket, sys, threading
wire = socket.create_connection((sys.argv[1], int(sys.argv[2])))
wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def up():
    while data := os.read(0, 65536):
        wire.sendall(data)
    wire.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := wire.recv(65536):
    while data:
        data = data[os.write(1, data):]
";

/// A hundred channels, files and pings with the limit on both sides, at the far end our client.
async fn goes_on_over(policy: RekeyPolicy, exchanges: u64) {
    let folder = tempfile::tempdir().unwrap();
    let Some(link) = LossyLink::make(folder.path()) else {
        return;
    };
    let listening = busy_server(IpAddr::V4(link.near), policy, folder.path()).await;
    let port = listening.local_addr().port();
    let mut pipe = link.connect(port);
    let stream = join(pipe.stdout.take().unwrap(), pipe.stdin.take().unwrap());
    let mut config = config();
    config.transport.rekey = policy;
    let believed = HostKeys::pinned(host_key().public().clone());
    let password = ssh_client::Credentials::password("secret");
    let client = Client::over(
        &config,
        stream,
        (link.near.to_string(), port),
        "alice",
        believed,
        password,
    )
    .await
    .unwrap();
    goes_on(
        &client,
        folder.path(),
        &format!("{policy:?}, with losses"),
        exchanges,
    )
    .await;
    client.disconnect().await;
    let lost = link.lost();
    println!("{lost} packets were lost");
    assert!(lost > 0, "the link loses nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_16_bytes_for_each_key_where_packets_are_lost() {
    goes_on_over(bytes(16), 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_kibibyte_for_each_key_where_packets_are_lost() {
    goes_on_over(bytes(1 << 10), 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_mebibyte_for_each_key_where_packets_are_lost() {
    goes_on_over(bytes(1 << 20), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_with_a_second_for_each_key_where_packets_are_lost() {
    let second = RekeyPolicy {
        time: Some(Duration::from_secs(1)),
        ..SELDOM
    };
    goes_on_over(second, 4).await;
}
