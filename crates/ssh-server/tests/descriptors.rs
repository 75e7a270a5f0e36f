//! A server that runs out of file descriptors waits, keeps those who are inside, and goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::memory::{Proof, over, session};
use common::{PATIENCE, Place, USER, clone_key, until};
use rustix::process::{Resource, Rlimit, setrlimit};
use ssh_server::channel::Exec;
use ssh_server::{Limits, MaxStartups};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const DESCRIPTORS: u64 = 64;

/// The server's process: its limit must not be that of the test, which needs more.
#[tokio::test]
#[ignore = "started by the other test"]
async fn server_process() {
    let Ok(keys) = std::env::var("BOWLINE_TEST_KEYS") else {
        return;
    };
    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum: Some(DESCRIPTORS),
    };
    let place = Place::new();
    let limits = Limits {
        max_startups: MaxStartups::new(10_000, 100, 10_000),
        max_startups_per_source: 10_000,
        ..Limits::default()
    };
    let mut site = place.site();
    site.keys = ssh_server::AuthorizedKeysFiles::new([keys]);
    let builder = place.builder().limits(limits);
    let running = place.serve_by(builder, site).await;
    setrlimit(Resource::Nofile, limit).unwrap();
    println!("port {}", running.port);
    // Until the other test closes its end.
    let stdin_ends = || std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    tokio::task::spawn_blocking(stdin_ends).await.unwrap();
}

fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_descriptors_harms_nobody_who_is_inside() {
    let place = Place::new();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "server_process", "--nocapture"])
        .env("BOWLINE_TEST_KEYS", place.path("authorized_keys"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let port: u16 = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the server did not start");
        if let Some((_, port)) = line.split_once("port ") {
            break port.parse().unwrap();
        }
    };
    let pid = server.id().unwrap();
    let key = clone_key(&place.user_key);
    let log_in = || async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let login = over(stream, USER, Proof::Key(&key));
        tokio::time::timeout(PATIENCE, login)
            .await
            .expect("the door stays shut")
    };

    let inside = log_in().await.unwrap();
    let crowd: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    until("the descriptors are used up", || {
        let is_used = |number| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
        (0..DESCRIPTORS).all(is_used)
    })
    .await;
    // When everybody has been greeted it waits. One that never does uses all the time there is.
    let begin = Instant::now();
    loop {
        let before = cpu_ticks(pid);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let spent = cpu_ticks(pid) - before;
        if spent <= 10 {
            break;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{spent} hundredths of a second in two seconds of waiting"
        );
    }

    // A program needs descriptors: it is refused, and the session and the connection live on.
    let channel = session(&inside).await;
    assert!(!channel.request(&Exec::new("true").into()).await.unwrap());

    drop(crowd);
    assert!(log_in().await.is_some());
    // One descriptor is enough for a connection; a program needs some more, which the crowd gives back one by one.
    let begin = Instant::now();
    while !channel.request(&Exec::new("true").into()).await.unwrap() {
        assert!(begin.elapsed() < PATIENCE, "no program any more");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
