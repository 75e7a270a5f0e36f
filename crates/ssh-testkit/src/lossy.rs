//! A link that loses three packets in a hundred, and carries 50 Mbit in a second: a pair of virtual Ethernet devices, one of
//! them in a network namespace of its own with a filter that drops at random in both directions (section 3.1 of the security
//! page). TCP makes good what is lost, late and in lumps.
//!
//! ```text
//!   where this process is                    a namespace of its own
//!   near ── device ══════ 3 % are lost ══════ device ── far
//! ```
//!
//! Linux, root, `ip`, `nft` and `tc` are needed; where they are not, [`LossyLink::make`] says so.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncRead, AsyncWrite, join};
use tokio::process::{Child, Command as AsyncCommand};

use crate::peers;

/// A namespace and the link to it. Dropping this ends both.
#[derive(Debug)]
pub struct LossyLink {
    namespace: String,
    /// The address of our end.
    pub near: Ipv4Addr,
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
    ///
    /// # Panics
    /// A program that makes them is missing and [`peers::is_required`].
    pub fn make() -> Option<Self> {
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
        // Another process of tests, be it with the same last byte of its number, seldom has the same.
        let [third, second] =
            [id % 256, 100 + (id / 256 + 31 * number) % 100].map(|part| part.to_le_bytes()[0]);
        let [near, far] = [1, 2].map(|last| Ipv4Addr::new(10, second, third, last));
        let namespace = format!("bowline{id}n{number}");
        let devices = [format!("bwl{id}n{number}"), format!("bwl{id}f{number}")];
        let filter = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&filter, FILTER).expect("the filter");
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
            format!("ip netns exec {name} nft -f {}", filter.path().display()),
            format!(
                "tc -n {name} qdisc add dev {} root tbf rate 50mbit burst 32k latency 50ms",
                devices[1]
            ),
        ];
        for step in steps {
            let done = Command::new("sh").args(["-c", &step]).output().expect("a shell");
            if !done.status.success() {
                let why = String::from_utf8_lossy(&done.stderr);
                eprintln!("skipped: no link that loses packets can be made: {step}: {why}");
                return None;
            }
        }
        Some(link)
    }

    /// A program at the far end.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// A connection from the far end to a port of ours, and the program there that carries its bytes: it goes with the
    /// second value.
    ///
    /// # Panics
    /// The program cannot be started.
    pub fn connect(&self, port: u16) -> (impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Child) {
        let mut command = self.command(Path::new("python3"));
        command.args(["-c", PIPE, &self.near.to_string(), &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut pipe = AsyncCommand::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("Python runs");
        let (output, input) = (pipe.stdout.take(), pipe.stdin.take());
        (
            join(output.expect("it is piped"), input.expect("it is piped")),
            pipe,
        )
    }

    /// How many packets were lost so far.
    ///
    /// # Panics
    /// The filter cannot be read.
    pub fn lost(&self) -> u64 {
        let told = self
            .command(Path::new("nft"))
            .args(["list", "table", "ip", "lossy"])
            .output();
        let told = String::from_utf8_lossy(&told.expect("nft runs").stdout).into_owned();
        let counts = told.split("counter packets ").skip(1);
        counts
            .map(|count| {
                let number = count
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse::<u64>().ok());
                number.expect("a number of packets")
            })
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
