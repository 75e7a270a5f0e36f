//! A server that runs out of file descriptors waits, keeps those who are inside, and goes on; its log says so once.
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
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::forwarding::{Open, free_port, led_here};
use common::memory::{Proof, over, session};
use common::{PATIENCE, Place, USER, clone_key, until};
use rustix::process::{Resource, Rlimit, setrlimit};
use ssh_server::channel::{Exec, ForwardedTcpip};
use ssh_server::{Limits, MaxStartups, Permissions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};

const DESCRIPTORS: u64 = 64;

/// The server's process: its limit must not be that of the test, which needs more.
#[tokio::test]
#[ignore = "started by the other test"]
async fn server_process() {
    if std::env::var_os("BOWLINE_TEST_SERVER").is_none() {
        return;
    }
    // Its journal, too: the other test reads what it says.
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stdout)
        .init();
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
    let open = Open::new(&place, Permissions::default());
    let builder = place.builder().limits(limits);
    let running = place.serve_by(builder, open).await;
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
        .env("BOWLINE_TEST_SERVER", "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(server.stdout.take().unwrap());
    let said = Said::default();
    let hears = tokio::spawn(said.clone().hear(stdout));
    until("the server listens", || said.after("port ").is_some()).await;
    let port: u16 = said.after("port ").unwrap().parse().unwrap();
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
    let forwarded = free_port(&inside).await;
    let crowd: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    until("the descriptors are used up", || {
        let is_used = |number| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
        (0..DESCRIPTORS).all(is_used)
    })
    .await;
    // Nor has a place where it listens for the client any left.
    let visitor = TcpStream::connect(("127.0.0.1", forwarded)).unwrap();
    until("it says so", || said.after("\"a client's\"").is_some()).await;
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
    // The one who waited is led to the client after all.
    inside.allow_opens(ForwardedTcpip::NAME);
    drop((led_here(&inside).await, visitor));
    assert!(log_in().await.is_some());
    // One descriptor is enough for a connection; a program needs some more, which the crowd gives back one by one.
    let begin = Instant::now();
    while !channel.request(&Exec::new("true").into()).await.unwrap() {
        assert!(begin.elapsed() < PATIENCE, "no program any more");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(server.stdin.take());
    hears.await.unwrap();
    said.no_failure_twice();
}

/// What the server's process says, line by line.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    async fn hear(self, stdout: BufReader<ChildStdout>) {
        let mut lines = stdout.lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            self.0.lock().unwrap().push(line);
        }
    }

    /// The rest of the first line with `word`.
    fn after(&self, word: &str) -> Option<String> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .find_map(|line| Some(line.split_once(word)?.1.to_owned()))
    }

    /// However many tries fail, each listener says when that begins and when it is over.
    fn no_failure_twice(&self) {
        for listener in ["\"the server's\"", "\"a client's\""] {
            let lines = self.0.lock().unwrap();
            let told: Vec<bool> = lines
                .iter()
                .filter(|line| line.contains(listener))
                .map(|line| line.contains("cannot accept a connection"))
                .collect();
            let turns: Vec<bool> = (0..told.len()).map(|place| place % 2 == 0).collect();
            assert!(told.len() >= 2 && told == turns, "{listener}: {lines:#?}");
        }
    }
}
