//! Other people's clients and servers with ours while keys last for next to nothing, and both sides ask for new ones: many
//! channels at once, files with many requests in flight, signs of life; directly, over a wire that carries single bytes, and
//! over a link that loses three packets in a hundred (case 6 and promise 22 of the security page). What is asked for is no
//! more than each of them has: PuTTY and Dropbear's client run a command each, and only OpenSSH and asyncssh have files.
//!
//! ```text
//!  clients   OpenSSH's ssh and sftp, asyncssh, Go, dbclient, plink ──▶ our server library
//!  servers   our client library ──▶ OpenSSH's sshd, asyncssh, Go, dropbear
//!  wires     what lies between them
//! ```

mod clients;
mod servers;
mod wires;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh_client::kex::RekeyPolicy;
use ssh_testkit::rng::Dice;

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

    /// Sets our own side's, with the cheapest exchange.
    fn set(self, transport: &mut ssh_client::kex::Config) {
        transport.preferences.edit_kex("curve25519-sha256").unwrap();
        transport.rekey = self.policy();
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

/// asyncssh in either seat.
fn asyncssh() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/asyncssh_rekey.py")
}
