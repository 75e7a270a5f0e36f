//! Other people's clients and servers with ours, byte by byte and in pieces of any size, and cut off: the fault proxy
//! stands between them. `BOWLINE_FRAGMENTS=crumbs` (or `random`) puts it in front of every server of this suite.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ssh_client::{Config, Error};
use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use ssh_testkit::running::run_with;

use crate::foreign::{dbclient, plink};
use crate::openssh_server::{public_key, server};
use crate::ours::Ours;

/// Every way of cutting; the first is one byte at a time to the end.
const PIECES: [Fault; 3] = [
    Fault::Chunks(1),
    Fault::RandomChunks(64 << 10),
    Fault::RandomChunks(300),
];

fn data() -> Vec<u8> {
    (0..100_000_u32)
        .map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
        .collect()
}

/// `client` makes a client of the port, which runs a command that sends its input back.
fn into_ours(ours: &Ours, mut client: impl FnMut(u16) -> Command) {
    for fault in PIECES {
        let proxy = Proxy::start(ours.port, Faults::both(fault));
        let finished = run_with(client(proxy.port).env("HOME", ours.keys.folder()), data()).with_code(7);
        assert!(
            finished.stdout == data(),
            "{fault:?}: {} bytes",
            finished.stdout.len()
        );
        let (up, down) = proxy.carried();
        assert!(up > 1_000 && down > 1_000, "it went past the proxy");
    }
}

#[test]
fn openssh_reaches_ours_however_the_bytes_are_cut() {
    let Some(ssh) = peers::need("ssh") else { return };
    let ours = Ours::start();
    into_ours(&ours, |port| {
        let mut command = Command::new(&ssh);
        command.args(ssh_testkit::openssh::client_arguments(&ours.keys, port));
        command
            .env_remove("SSH_AUTH_SOCK")
            .args([&ours.destination(), "cat; exit 7"]);
        command
    });
}

#[test]
fn dropbear_reaches_ours_however_the_bytes_are_cut() {
    let ours = Ours::start();
    if dbclient(&ours.keys, ours.port).is_none() {
        return;
    }
    into_ours(&ours, |port| {
        let mut command = dbclient(&ours.keys, port).unwrap();
        command.args([&ours.destination(), "cat; exit 7"]);
        command
    });
}

#[test]
fn plink_reaches_ours_however_the_bytes_are_cut() {
    let ours = Ours::start();
    if plink(&ours.keys, ours.port, "host").is_none() {
        return;
    }
    into_ours(&ours, |port| {
        let mut command = plink(&ours.keys, port, "host").unwrap();
        command.args([&ours.destination(), "cat; exit 7"]);
        command
    });
}

/// Our client through a proxy, into whatever listens behind it.
async fn through(keys: &Keys, port: u16, fault: Faults) -> Result<Vec<u8>, Error> {
    let proxy = Proxy::start(port, fault);
    let pinned = ssh_client::HostKeys::pinned(public_key(keys, "host"));
    let key = ssh_client::Credentials::key_file(keys.path("user"));
    let address = ("127.0.0.1", proxy.port);
    let config = Config::default();
    let client = ssh_client::Client::connect_with(&config, address, &peers::user(), pinned, key).await?;
    let output = client.exec("cat; exit 7").stdin(data()).output().await?;
    assert_eq!(output.status.code(), Some(7));
    client.disconnect().await;
    Ok(output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_reaches_openssh_however_the_bytes_are_cut() {
    let Some(server) = server("") else { return };
    for fault in PIECES {
        let back = through(&server.keys, server.port, Faults::both(fault))
            .await
            .unwrap();
        assert!(back == data(), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_tells_where_openssh_was_cut_off() {
    let Some(server) = server("MaxStartups 1000") else {
        return;
    };
    for at in [0, 15, 60, 700, 1_500, 2_400, 3_000, 20_000, 90_000] {
        for fault in [Fault::Cut(at), Fault::Reset(at)] {
            for faults in [Faults::up(fault), Faults::down(fault)] {
                let ended = through(&server.keys, server.port, faults);
                let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
                let error = ended.expect("it hangs").expect_err("a cut was not noticed");
                assert!(error.to_string().contains("127.0.0.1"), "{faults:?}: {error}");
            }
        }
    }
}

#[test]
fn openssh_cut_off_anywhere_leaves_nothing_with_ours() {
    let Some(ssh) = peers::need("ssh") else { return };
    let ours = Ours::start();
    for at in [0, 15, 60, 700, 1_500, 2_400, 3_000, 20_000, 90_000] {
        for fault in [Fault::Cut(at), Fault::Reset(at)] {
            for faults in [Faults::up(fault), Faults::down(fault)] {
                let proxy = Proxy::start(ours.port, faults);
                ends_with_255(&ssh, &ours, &proxy);
                let begin = Instant::now();
                while ours.connections() > 0 {
                    assert!(begin.elapsed() < Duration::from_secs(120), "{faults:?}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
}

fn ends_with_255(ssh: &Path, ours: &Ours, proxy: &Proxy) {
    let mut command = Command::new(ssh);
    command.args(ssh_testkit::openssh::client_arguments(&ours.keys, proxy.port));
    command
        .env_remove("SSH_AUTH_SOCK")
        .args([&ours.destination(), "cat; exit 7"]);
    let finished = run_with(&mut command, data()).with_code(255);
    assert!(data().starts_with(&finished.stdout), "other bytes than were sent");
}
