//! A directory of 100,000 names passes through client and server without being held by either (P-13). A test program of
//! its own, because it looks at the most memory the process ever had.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

use ssh_client::Sftp;
use ssh_server::Services;
use ssh_server::filesystem::Local;
use ssh_testkit::doors::{Serving, visit};
use tokio::io::duplex;

const NAMES: usize = 100_000;

/// A name has so many bytes, and its long form half as many more: held all at once they take 30 MiB and more.
const NAME_BYTES: usize = 100;

/// What client and server together may need more for them than for a few names.
const MORE_BYTES: u64 = 6 * 1024 * 1024;

/// Lists a directory as a stream: how many names, and how many different ones.
async fn listed(sftp: &Sftp, path: &str) -> (usize, usize) {
    let mut seen = vec![false; NAMES];
    let mut count = 0;
    let mut directory = sftp.open_dir(path).await.unwrap();
    while let Some(name) = directory.next().await.unwrap() {
        let number: usize = std::str::from_utf8(&name.filename).unwrap().parse().unwrap();
        seen[number] = true;
        count += 1;
    }
    directory.close().await.unwrap();
    (count, seen.iter().filter(|seen| **seen).count())
}

/// The most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = line.unwrap().split_whitespace().next().unwrap().parse().unwrap();
    kibibytes * 1024
}

#[tokio::test]
async fn a_hundred_thousand_names_pass_through_and_are_held_by_nobody() {
    let root = tempfile::tempdir().unwrap();
    for (folder, count) in [("few", 500), ("many", NAMES)] {
        std::fs::create_dir(root.path().join(folder)).unwrap();
        for number in 0..count {
            let name = format!("{folder}/{number:0NAME_BYTES$}");
            std::fs::File::create(root.path().join(name)).unwrap();
        }
    }
    let services = Services::new().sftp(Local::new(root.path()));
    let (client, serving) = visit(Serving(services), duplex(64 * 1024)).await;
    let sftp = client.sftp().await.unwrap();
    let at = |folder: &str| root.path().join(folder).to_str().unwrap().to_owned();
    assert_eq!(listed(&sftp, &at("few")).await, (500, 500));
    let before = peak();
    assert_eq!(listed(&sftp, &at("many")).await, (NAMES, NAMES));
    // The kernel counts in lumps: a second look may say less.
    let more = peak().saturating_sub(before);
    println!("{more} bytes more for {NAMES} names");
    assert!(more <= MORE_BYTES, "{more} bytes more");
    client.disconnect().await;
    serving.await.unwrap();
}
