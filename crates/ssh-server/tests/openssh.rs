//! OpenSSH's programs as clients of this server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use common::{PATIENCE, Place, finished, is_alive, noise, text, until};
use ssh_server::{Config, kex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn commands_keep_their_arguments_output_and_status() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let output = running
        .run("printf '%s|' 'a b' \"c'd\" '$HOME' && echo err >&2")
        .await;
    assert_eq!(text(&output.stderr), "err\n");
    assert_eq!(text(&output.stdout), "a b|c'd|$HOME|");
    assert_eq!(output.status.code(), Some(0));
    for status in [0, 1, 7, 255] {
        let output = running.run(&format!("exit {status}")).await;
        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
    }
    let output = running.run("kill -TERM $$").await;
    assert_eq!(output.status.code(), Some(255), "a signal is no exit status");
    let output = running
        .run("echo late >&2; exec 1>&-; sleep 0.2; echo later >&2; exit 3")
        .await;
    assert_eq!(
        (text(&output.stderr), output.status.code()),
        ("late\nlater\n".to_owned(), Some(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_without_a_terminal_runs_what_it_is_told() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let mut shell = running.ssh(&["-T"]).stdin(Stdio::piped()).spawn().unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(b"pwd; echo $0; exit 4\n")
        .await
        .unwrap();
    let output = shell.wait_with_output().await.unwrap();
    let home = running.place.home().canonicalize().unwrap();
    assert_eq!(text(&output.stdout), format!("{}\n-sh\n", home.display()));
    assert_eq!(output.status.code(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_know_who_and_where_they_are() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let output = running
        .run("echo $USER $LOGNAME $HOME $SHELL; echo $SSH_CONNECTION; echo $SSH_CLIENT; env | wc -l")
        .await;
    let lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(
        lines[0],
        format!("tester tester {} /bin/sh", running.place.home().display())
    );
    assert!(
        lines[1].starts_with("127.0.0.1 ") && lines[1].ends_with(&format!(" 127.0.0.1 {}", running.port))
    );
    assert!(lines[2].ends_with(&format!(" {}", running.port)));
    assert!(
        lines[3].trim().parse::<u32>().unwrap() < 16,
        "the server's own environment stays at home"
    );
    let accepted = finished(
        running
            .ssh(&["-o", "SendEnv=LC_TEST LD_TEST BOWLINE_TEST"])
            .arg("echo $LC_TEST,$LD_TEST,$BOWLINE_TEST")
            .env("LC_TEST", "one")
            .env("LD_TEST", "two")
            .env("BOWLINE_TEST", "three"),
    )
    .await;
    assert_eq!(text(&accepted.stdout), "one,,\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_stdin_reaches_the_program_and_its_answer_comes_back() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let mut child = running
        .ssh(&[])
        .arg("cat; echo end; exit 5")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello ").await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("hello end\n".to_owned(), Some(5))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_holds_nobody_up() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let mut child = running
        .ssh(&[])
        .arg("exec 0<&-; sleep 0.3; echo done; exit 6")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = tokio::spawn(async move {
        let block = vec![b'x'; 1 << 20];
        // More than any window: it must be taken or refused, not left standing.
        for _ in 0..64 {
            if stdin.write_all(&block).await.is_err() {
                break;
            }
        }
    });
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("done\n".to_owned(), Some(6))
    );
    feeding.abort();
}

async fn round_trip(extra: &[&str], config: Config) {
    let place = Place::new();
    let site = place.site();
    let builder = place.builder().config(config);
    let running = place.serve_by(builder, site).await;
    let sent = noise(64 << 20);
    let mut child = running
        .ssh(extra)
        .arg("cat")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let data = sent.clone();
    let feeding = tokio::spawn(async move { stdin.write_all(&data).await.unwrap() });
    let mut received = Vec::new();
    let reading = stdout.read_to_end(&mut received);
    tokio::time::timeout(Duration::from_secs(300), reading)
        .await
        .expect("the transfer hangs")
        .unwrap();
    feeding.await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(
        received == sent,
        "{} of {} bytes came back",
        received.len(),
        sent.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_come_back_unchanged_by_aes() {
    round_trip(&["-c", "aes128-gcm@openssh.com"], Config::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_come_back_unchanged_by_chacha_while_keys_change() {
    let rekey = kex::RekeyPolicy {
        bytes: 8 << 20,
        ..kex::RekeyPolicy::default()
    };
    let transport = kex::Config {
        rekey,
        ..kex::Config::default()
    };
    let options = ["-c", "chacha20-poly1305@openssh.com", "-o", "RekeyLimit=8M"];
    round_trip(
        &options,
        Config {
            transport,
            ..Config::default()
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_listed_key_logs_in() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    assert_eq!(running.run("true").await.status.code(), Some(0));
    let refused = finished(running.ssh_as("stranger", &[]).arg("true")).await;
    assert_eq!(refused.status.code(), Some(255));
    assert!(
        text(&refused.stderr).contains("Permission denied"),
        "{}",
        text(&refused.stderr)
    );
    let other = finished(running.ssh(&["-l", "root"]).arg("true")).await;
    // The destination names the user too; the option comes first and counts.
    assert_eq!(other.status.code(), Some(255));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_the_right_one_is_not() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let wrong = finished(running.ssh_by_password("wrong").arg("true")).await;
    assert_eq!(wrong.status.code(), Some(255));
    assert!(
        text(&wrong.stderr).contains("Permission denied"),
        "{}",
        text(&wrong.stderr)
    );
    let right = finished(running.ssh_by_password("correct horse").arg("echo in")).await;
    assert_eq!(
        (text(&right.stdout), right.status.code()),
        ("in\n".to_owned(), Some(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_forced_command_runs_nothing_else() {
    let place = Place::new();
    place.authorize("command=\"echo forced: $SSH_ORIGINAL_COMMAND\"");
    let site = place.site();
    let running = place.serve(site).await;
    assert_eq!(text(&running.run("rm -rf /").await.stdout), "forced: rm -rf /\n");
    assert_eq!(
        text(
            &finished(running.ssh(&["-T"]).arg("").stdin(Stdio::null()))
                .await
                .stdout
        ),
        "forced:\n"
    );
    assert_eq!(
        text(&finished(running.ssh(&["-s"]).arg("sftp")).await.stdout),
        "forced: sftp\n"
    );
    running.place.authorize("restrict,command=\"internal-sftp\"");
    let listing = running.sftp("pwd\n").await;
    assert_eq!(listing.status.code(), Some(0), "{}", text(&listing.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_up_and_come_back() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let data = noise((20 << 20) + 12_345);
    fs::write(running.place.path("up"), &data).unwrap();
    let (up, down) = (running.place.path("up"), running.place.path("down"));
    let batch = format!(
        "put -p {} file\nchmod 640 file\nget file {}\nrename file other\nln -s other link\nls -l\nmkdir d\nrmdir d\n-rmdir d\nrm other\ndf .\n",
        up.display(),
        down.display()
    );
    let output = running.sftp(&batch).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(fs::read(down).unwrap() == data);
    let listing = text(&output.stdout);
    assert!(
        listing.contains("-rw-r-----") && listing.contains("lrwxrwxrwx"),
        "{listing}"
    );
    let missing = running.sftp("get missing\n").await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("not found"),
        "{}",
        text(&missing.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_names_are_listed() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let names: Vec<String> = (0..1000).map(|n| format!("file-{n:04}")).collect();
    for name in &names {
        fs::write(running.place.home().join(name), name).unwrap();
    }
    let output = running.sftp("ls -1\n").await;
    let listed: Vec<String> = text(&output.stdout)
        .lines()
        .filter(|line| line.starts_with("file"))
        .map(|l| l.trim().to_owned())
        .collect();
    assert_eq!(listed, names);
    fs::create_dir(running.place.path("all")).unwrap();
    let output = running
        .sftp(&format!("get file-* {}\n", running.place.path("all").display()))
        .await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(running.place.path("all")).unwrap().count(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn forwards_lead_where_the_application_and_the_key_allow() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = target.accept().await {
            tokio::spawn(async move {
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.unwrap();
                said.reverse();
                stream.write_all(&said).await.unwrap();
            });
        }
    });
    let place = Place::new();
    let mut site = place.site();
    site.open = vec![
        format!("127.0.0.1:{port}").parse().unwrap(),
        "127.0.0.1:1".parse().unwrap(),
    ];
    let running = place.serve(site).await;
    let forward = |target: String| {
        let mut command = running.ssh(&["-W", &target]);
        command.stdin(Stdio::piped());
        async move {
            let mut child = command.spawn().unwrap();
            // Refused, it may be gone already.
            let _unread = child.stdin.take().unwrap().write_all(b"hello").await;
            tokio::time::timeout(PATIENCE, child.wait_with_output())
                .await
                .unwrap()
                .unwrap()
        }
    };
    let allowed = forward(format!("127.0.0.1:{port}")).await;
    assert_eq!(
        (text(&allowed.stdout), allowed.status.code()),
        ("olleh".to_owned(), Some(0))
    );
    let refused = |output: std::process::Output| {
        assert!(
            text(&output.stderr).contains("stdio forwarding failed"),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(255));
    };
    refused(forward("127.0.0.1:2".to_owned()).await);
    refused(forward("127.0.0.1:1".to_owned()).await);
    running.place.authorize("permitopen=\"127.0.0.1:1\"");
    refused(forward(format!("127.0.0.1:{port}")).await);
    running.place.authorize("restrict");
    refused(forward(format!("127.0.0.1:{port}")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_takes_its_program_along() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    // It neither reads nor writes, so no broken pipe can end it: only the server can.
    let mut client = running
        .ssh(&[])
        .arg("echo $$; sleep 300 & echo $!; wait")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let shell: u32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    let sleeper: u32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    assert!(is_alive(shell) && is_alive(sleeper));
    client.kill().await.unwrap();
    until("the program ends", || !is_alive(shell) && !is_alive(sleeper)).await;
    until("nothing is left of the connection", || {
        running.listening.connections() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_sends_everybody_away() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let mut client = running.ssh(&[]).arg("echo $$; exec sleep 300").spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let program: u32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    tokio::time::timeout(PATIENCE, running.listening.shutdown())
        .await
        .expect("shutdown hangs");
    assert!(!is_alive(program));
    assert_eq!(client.wait().await.unwrap().code(), Some(255));
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_lets_those_inside_finish() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let mut client = running
        .ssh(&[])
        .arg("echo in; sleep 1; echo out; exit 9")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "in");
    running.listening.drain(Duration::from_secs(60)).await;
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "out");
    assert_eq!(client.wait().await.unwrap().code(), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_served_at_once() {
    let place = Place::new();
    let site = place.site();
    let running = place.serve(site).await;
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let mut command = running.ssh(&[]);
            command.arg(format!("sleep 0.5; echo {n}; exit {n}"));
            tokio::spawn(async move { finished(&mut command).await })
        })
        .collect();
    for (n, client) in clients.into_iter().enumerate() {
        let output = client.await.unwrap();
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            (format!("{n}\n"), Some(n as i32))
        );
    }
}
