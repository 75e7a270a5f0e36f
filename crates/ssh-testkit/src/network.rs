//! Networks of a test's own: the two devices of a tunnel in a namespace each, and traffic between them.
//!
//! ```text
//!   namespace a                                            namespace b
//!   10.77.0.1, fd77::1 ── device ── tunnel ── device ── 10.77.0.2, fd77::2
//!   asks by UDP and TCP                                    answers
//! ```
//!
//! A device that is moved stays its process's: packets pass by the descriptor, wherever the device is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::peers;
use crate::running::{Running, run};

/// How long a device may take to appear or to go.
const PATIENCE: Duration = Duration::from_secs(120);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A number that nobody else's devices have, on this machine and at this time.
pub fn free_unit() -> u32 {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    100_000 + std::process::id() % 1_000_000 * 100 + number
}

/// A network namespace. It goes with the value, and the devices in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// An empty one.
    ///
    /// # Panics
    /// `ip` cannot make it.
    pub fn make() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bowline-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name }
    }

    /// Takes a device in, gives it the address `10.77.0.host` and the same in IPv6, and brings it up.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn take(&self, device: &str, host: u8) {
        let inside = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            ip(&[&["-n", &self.name], &words[..]].concat());
        };
        ip(&["link", "set", device, "netns", &self.name]);
        inside(&format!("addr add 10.77.0.{host}/24 dev {device}"));
        if fs::exists("/proc/net/if_inet6").is_ok_and(|has| has) {
            inside(&format!("addr add fd77::{host}/64 dev {device} nodad"));
        }
        inside(&format!("link set {device} up"));
    }

    /// Takes a device's MTU down or up.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn set_mtu(&self, device: &str, mtu: u32) {
        ip(&["-n", &self.name, "link", "set", device, "mtu", &mtu.to_string()]);
    }

    /// Gives a device back to where this process is. What is still in the namespace goes with it.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn give_back(&self, device: &str) {
        let own = std::process::id().to_string();
        ip(&["-n", &self.name, "link", "set", device, "netns", &own]);
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new(peers::find("ip").expect("ip"));
        let python = peers::find("python3").expect("Python");
        command.args(["netns", "exec", &self.name]).arg(python);
        command.args(["-c", script]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !peers::succeeds("ip", &["netns", "del", &self.name]) {
            eprintln!("the namespace {} stays", self.name);
        }
    }
}

fn ip(words: &[&str]) {
    let program = peers::find("ip").expect("ip");
    let _done = run(Command::new(program).args(words)).with_code(0);
}

/// Takes a device down and gives it a name that nobody else's has. One that the system chose may be another's as soon as
/// the device is in a namespace, and then the way back is closed.
///
/// # Panics
/// `ip` fails.
pub fn rename(device: &str) -> String {
    let name = format!("tun{}", free_unit());
    ip(&["link", "set", device, "down"]);
    ip(&["link", "set", device, "name", &name]);
    name
}

/// Puts the two devices into a namespace each and sends UDP of every size up to the MTU, larger UDP in pieces, and some
/// megabytes of TCP from the one to the other and back, by IPv4 and IPv6.
///
/// # Panics
/// Something does not arrive.
pub fn carries_traffic(here: &str, there: &str, mtu: u32) {
    let (a, b) = (Namespace::make(), Namespace::make());
    a.take(here, 1);
    b.take(there, 2);
    for (namespace, device) in [(&a, here), (&b, there)] {
        namespace.set_mtu(device, mtu);
    }
    let (mut answering, output) = Running::start_reading(&mut b.python(ANSWER));
    let mut ready = String::new();
    let read = BufReader::new(output).read_line(&mut ready);
    assert!(
        read.is_ok() && ready == "ready\n" && answering.is_alive(),
        "nobody answers: {ready:?}"
    );
    let finished = run(a.python(ASK).env("MTU", mtu.to_string())).with_code(0);
    assert!(finished.stdout_text().ends_with("all came back\n"), "{finished}");
    a.give_back(here);
    b.give_back(there);
}

/// The tunnel devices that a process and its descendants hold.
pub fn devices_of(process: u32) -> Vec<String> {
    let mut family = vec![process];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
        for task in tasks.filter_map(Result::ok) {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
        at += 1;
    }
    let mut devices: Vec<String> = family.into_iter().flat_map(held).collect();
    devices.sort();
    devices.dedup();
    devices
}

fn held(process: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{process}/fdinfo"))
        .into_iter()
        .flatten();
    let texts = open
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let names = texts.filter_map(|text| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix("iff:").map(|name| name.trim().to_owned()))
    });
    names.collect()
}

/// Waits until a process holds a device, and says which.
///
/// # Panics
/// It does not come to hold one.
pub fn device_of(process: u32) -> String {
    let mut found = None;
    wait_until("a device", || {
        found = devices_of(process).into_iter().find(|name| !name.is_empty());
        found.is_some()
    });
    found.unwrap_or_default()
}

/// Whether there is a device of this name here.
pub fn is_here(device: &str) -> bool {
    fs::exists(format!("/sys/class/net/{device}")).is_ok_and(|here| here)
}

/// Waits until `ready` holds.
///
/// # Panics
/// It does not in a long time.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Brings a device up where it is.
///
/// # Panics
/// `ip` fails.
pub fn bring_up(device: &str) {
    ip(&["link", "set", device, "up"]);
}

/// Makes a device that stays until it is deleted, and deletes it with the value.
#[derive(Debug)]
pub struct Persistent {
    name: String,
}

impl Persistent {
    /// A tun device of this name.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn tun(name: &str) -> Self {
        ip(&["tuntap", "add", "dev", name, "mode", "tun"]);
        Self {
            name: name.to_owned(),
        }
    }
}

impl Drop for Persistent {
    fn drop(&mut self) {
        peers::succeeds("ip", &["link", "del", &self.name]);
    }
}

/// Sends back what comes by UDP, and all of a TCP connection when it has ended.
const ANSWER: &str = r#"
import socket, threading
def udp(s):
    while True:
        data, peer = s.recvfrom(65535); s.sendto(data, peer)
def one(c):
    data = bytearray()
    while piece := c.recv(65536): data += piece
    c.sendall(data); c.close()
def tcp(s):
    while True: one(s.accept()[0])
places = [(socket.AF_INET, '10.77.0.2')]
import os
if os.path.exists('/proc/net/if_inet6'): places.append((socket.AF_INET6, 'fd77::2'))
for family, address in places:
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind((address, 7))
    threading.Thread(target=udp, args=(s,), daemon=True).start()
    s = socket.socket(family, socket.SOCK_STREAM); s.bind((address, 7)); s.listen()
    threading.Thread(target=tcp, args=(s,), daemon=True).start()
print('ready', flush=True)
threading.Event().wait()
"#;

/// Asks the other side by both, until it has answered.
const ASK: &str = r#"
import os, socket
mtu = int(os.environ['MTU'])
places = [(socket.AF_INET, '10.77.0.2', 28)]
if os.path.exists('/proc/net/if_inet6'): places.append((socket.AF_INET6, 'fd77::2', 48))
def echo(s, data):
    for attempt in range(60):
        s.send(data)
        try:
            while True:
                if s.recv(65535) == data: return
        except TimeoutError: pass
    raise SystemExit('%d bytes do not come back' % len(data))
for family, address, header in places:
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(2); s.connect((address, 7))
    for size in (1, 2, 100, mtu - header - 1, mtu - header, min(2 * mtu, 65000)): echo(s, os.urandom(size))
    c = socket.create_connection((address, 7), 120); data = os.urandom(3_000_000)
    import threading
    threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR))).start()
    back = bytearray()
    while piece := c.recv(65536): back += piece
    if back != data: raise SystemExit('%d bytes came back by TCP' % len(back))
print('all came back')
"#;
