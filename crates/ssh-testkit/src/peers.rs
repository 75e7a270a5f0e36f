//! Which foreign programs are on this machine.
//!
//! A test that needs a peer asks here first. Where the peer is missing the test says so and passes, unless
//! `BOWLINE_INTEROP=require` stands in the environment (as `ci.sh` sets it): then a missing peer is a failure.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The path of `program`, found in `PATH` and the places Debian puts servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The Python whose environment holds asyncssh, paramiko and ssh-audit (`ci.sh` makes it below `target/peers`).
pub fn python() -> Option<PathBuf> {
    let given = std::env::var_os("BOWLINE_PEERS_PYTHON").map(PathBuf::from);
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    given.into_iter().chain([made]).find(|python| python.is_file())
}

/// Go's SSH in either seat (`tests/interop/go/peer.go`), which `ci.sh` builds beside that Python.
pub fn go() -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/go-peer");
    let beside = python().map(|python| python.with_file_name("go-peer"));
    beside.into_iter().chain([made]).find(|program| program.is_file())
}

/// Whether a missing peer is a failure.
pub fn is_required() -> bool {
    std::env::var("BOWLINE_INTEROP").is_ok_and(|value| value == "require")
}

/// Runs a program of the system, wherever it is, and says nothing of what it says; whether it succeeds.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let done = find(program).map(|program| std::process::Command::new(program).args(arguments).output());
    done.is_some_and(|done| done.is_ok_and(|done| done.status.success()))
}

/// The path of `program`, or `None` with a word on why the test does nothing.
///
/// # Panics
/// The program is missing and [`is_required`].
pub fn need(program: &str) -> Option<PathBuf> {
    told(find(program), program)
}

/// As [`need`], for the Python peers.
///
/// # Panics
/// They are missing and [`is_required`].
pub fn need_python() -> Option<PathBuf> {
    told(python(), "asyncssh and paramiko")
}

/// As [`need`], for Go's SSH.
///
/// # Panics
/// It is missing and [`is_required`].
pub fn need_go() -> Option<PathBuf> {
    told(go(), "Go's SSH, built from tests/interop/go/peer.go,")
}

/// As [`need`], for the `ssh-audit` beside the Python peers.
///
/// # Panics
/// It is missing and [`is_required`].
pub fn need_ssh_audit() -> Option<PathBuf> {
    let beside = python().map(|python| python.with_file_name("ssh-audit"));
    told(beside.filter(|program| program.is_file()), "ssh-audit")
}

/// As [`need`], for libssh: the path of a Python that can load it.
///
/// # Panics
/// It is missing and [`is_required`].
pub fn need_libssh() -> Option<PathBuf> {
    let loads = |python: &PathBuf| {
        let load = ["-c", "import ctypes; ctypes.CDLL('libssh.so.4')"];
        let output = std::process::Command::new(python).args(load).output();
        output.is_ok_and(|output| output.status.success())
    };
    told(find("python3").filter(loads), "libssh")
}

/// Whether tunnel devices and network namespaces can be made here; if not, a word on why the test does nothing. Programs
/// can be installed and are required as others are; what the kernel does not let this process do is nobody's fault.
///
/// # Panics
/// The programs are missing and [`is_required`].
pub fn need_tunnels() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    if need("ip").is_none() || need("python3").is_none() {
        return false;
    }
    let allowed = *ALLOWED.get_or_init(|| {
        let name = format!("bwp{}", std::process::id());
        let ip = |line: &str| succeeds("ip", &line.split(' ').collect::<Vec<_>>());
        let network = ip(&format!("netns add {name}"));
        let device = ip(&format!("tuntap add dev {name} mode tun"));
        if network {
            ip(&format!("netns del {name}"));
        }
        if device {
            ip(&format!("tuntap del dev {name} mode tun"));
        }
        network && device
    });
    if !allowed {
        eprintln!("skipped: the system allows no tunnel devices and network namespaces here");
    }
    allowed
}

fn told(found: Option<PathBuf>, what: &str) -> Option<PathBuf> {
    if found.is_none() {
        assert!(
            !is_required(),
            "{what} is not on this machine; ./ci.sh tools installs it"
        );
        eprintln!("skipped: {what} is not on this machine (./ci.sh tools installs it)");
    }
    found
}

/// Whether the tests run as root, which starting OpenSSH's server for other accounts needs.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The name of the account the tests run as.
///
/// # Panics
/// `id` cannot be run.
pub fn user() -> String {
    let output = std::process::Command::new("id")
        .arg("-un")
        .output()
        .expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
