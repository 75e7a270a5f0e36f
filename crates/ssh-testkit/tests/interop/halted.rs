//! OpenSSH's processes stopped for a while in the middle of a transfer and of a change of keys, and killed in the middle
//! of an upload (cases 9 and 10 of the security page).

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ssh_client::Config;
use ssh_testkit::peers;
use ssh_testkit::running::{Running, run_with};
use ssh_testkit::stopped::descendants;

use crate::openssh_server::{connect, server};
use crate::ours::Ours;

/// How long the tests wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a process stands still: many round trips, and less than any keepalive is given.
const HALT: Duration = Duration::from_millis(1_500);

fn signal(name: &str, processes: &[u32]) {
    let mut line = Command::new("kill");
    line.arg(name).args(processes.iter().map(u32::to_string));
    // Those that have ended meanwhile cannot be signalled; the others are.
    let _some_have_ended = line.status().unwrap();
}

fn halt(processes: &[u32]) {
    signal("-STOP", processes);
    std::thread::sleep(HALT);
    signal("-CONT", processes);
}

fn data(bytes: u32) -> Vec<u8> {
    (0..bytes)
        .map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
        .collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_openssh_client_that_stands_still_in_an_upload_goes_on_intact() {
    let Some(ssh) = peers::need("ssh") else { return };
    let ours = Ours::start();
    let mut command = ours.client(&ssh, &["-o", "RekeyLimit=1M"]);
    command.args([&ours.destination(), "sha256sum"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let data = data(6 << 20);
    for piece in data.chunks(2 << 20) {
        input.write_all(piece).unwrap();
        halt(&[child.id()]);
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let expected = run_with(&mut Command::new("sha256sum"), data).with_code(0);
    assert!(output.status.success());
    assert_eq!(output.stdout, expected.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openssh_server_that_stands_still_in_a_download_goes_on_intact() {
    let Some(server) = server("RekeyLimit 1M") else {
        return;
    };
    let client = connect(&server, &Config::default()).await.unwrap();
    let id = server.id();
    let halting = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            halt(&descendants(id));
        }
    });
    // Each piece takes its time, so that the server stands still in the middle.
    let command = "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 500000 /dev/zero; sleep 0.4; done";
    let output = client.exec(command).output().await.unwrap();
    halting.await.unwrap();
    assert!(
        output.stdout == vec![0; 5_000_000],
        "{} bytes",
        output.stdout.len()
    );
    assert_eq!(output.status.code(), Some(0));
    client.disconnect().await;
}

#[test]
fn an_sftp_client_killed_in_an_upload_leaves_a_beginning_and_nothing_else() {
    let Some(sftp) = peers::need("sftp") else { return };
    let ours = Ours::start();
    let data = data(8 << 20);
    fs::write(ours.keys.path("source"), &data).unwrap();
    fs::write(ours.keys.path("batch"), "put source target\n").unwrap();
    // 1 MB in a second.
    let batch = ours.keys.path("batch");
    let mut command = ours.client(&sftp, &["-l", "8000", "-b", batch.to_str().unwrap()]);
    command.arg(ours.destination()).current_dir(ours.keys.folder());
    let client = Running::start(&mut command);
    let target = ours.keys.path("target");
    until("the first bytes", || {
        fs::metadata(&target).is_ok_and(|file| file.len() > 100_000)
    });
    let ids = [descendants(client.id()), vec![client.id()]].concat();
    signal("-KILL", &ids);
    until("the end of the connection", || ours.connections() == 0);
    let written = fs::read(&target).unwrap();
    assert!(
        written.len() < data.len() && data.starts_with(&written),
        "{} bytes",
        written.len()
    );
}
