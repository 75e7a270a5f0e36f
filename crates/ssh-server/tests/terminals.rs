//! Programs at terminals, with a client in memory that asks what OpenSSH's would not (C12 of the list of attacks).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::time::Duration;

use common::memory::{Proof, asked, connect, output, session, shown};
use common::{PATIENCE, Place, USER, is_alive, until};
use ssh_server::channel::{Break, ChannelRequest, Exec, PtyReq, Signal, TerminalModes, WindowChange, opcode};
use ssh_server::keys::PublicKey;
use ssh_server::tokio_driver::Handle;
use ssh_server::{Application, Candidate, Decision, MAX_TERMINAL_NAME_BYTES, Permissions, Services, Session};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};

/// Serves sessions to everybody with a key, with some permissions.
struct Home {
    services: Services,
    permissions: Permissions,
}

impl Application for Home {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(self.permissions.clone())
    }

    async fn session(&self, session: Session) {
        self.services.serve(session).await;
    }
}

async fn handle_with(place: &Place, permissions: Permissions) -> Handle {
    let services = place.site().services;
    let home = Home {
        services,
        permissions,
    };
    let server = place.builder().build(home).unwrap();
    connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap()
}

async fn handle(place: &Place) -> Handle {
    handle_with(place, Permissions::default()).await
}

fn terminal() -> PtyReq {
    PtyReq {
        terminal: "vt100".to_owned(),
        columns: 80,
        rows: 24,
        width_pixels: 0,
        height_pixels: 0,
        modes: TerminalModes::new([(opcode::ECHO, 0), (opcode::ONLCR, 0)]),
    }
}

#[tokio::test]
async fn a_program_has_the_client_s_terminal_and_ends_with_its_status_after_all_output() {
    let place = Place::new();
    let handle = handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    let script = "stty size; echo $TERM; tty | cmp - /dev/stdin <<E && echo same\n$SSH_TTY\nE\nread x; seq 1 20000; exit 7";
    assert!(asked(&channel, Exec::new(script)).await);
    assert_eq!(shown(&mut channel, "same\n").await, "24 80\nvt100\nsame\n");
    channel.write_all(b"go\r").await.unwrap();
    let (out, requests) = output(channel).await;
    assert_eq!(out.lines().count(), 20_000);
    assert!(out.ends_with("\n19999\n20000\n"), "{}", &out[out.len() - 40..]);
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 7),
        "{requests:?}"
    );
}

#[tokio::test]
async fn the_end_of_the_input_is_typed() {
    let place = Place::new();
    let handle = handle(&place).await;
    for (input, expected) in [("line\n", "line\n"), ("open", "open")] {
        let mut channel = session(&handle).await;
        assert!(asked(&channel, terminal()).await);
        assert!(asked(&channel, Exec::new("cat; exit 5")).await);
        channel.write_all(input.as_bytes()).await.unwrap();
        channel.eof().unwrap();
        let (out, requests) = output(channel).await;
        assert_eq!(out, expected);
        assert!(matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 5));
    }
}

#[tokio::test]
async fn signals_breaks_and_sizes_reach_the_terminal_and_unknown_ones_are_refused() {
    let place = Place::new();
    let handle = handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    let script = "stty brkint; trap 'echo break' INT; trap 'stty size' WINCH; trap 'echo bye; exit 3' TERM; echo ready; \
                  while :; do sleep 0.02; done";
    assert!(asked(&channel, Exec::new(script)).await);
    let _ = shown(&mut channel, "ready").await;
    assert!(asked(&channel, WindowChange::new(132, 43)).await);
    let _ = shown(&mut channel, "43 132").await;
    assert!(asked(&channel, Break { milliseconds: 500 }).await);
    let _ = shown(&mut channel, "break").await;
    for name in ["NOPE", "", "SIGTERM", "STOP", "INFO@openssh.com"] {
        assert!(!asked(&channel, Signal::new(name)).await, "{name}");
    }
    assert!(!asked(&channel, terminal()).await, "a second terminal");
    assert!(!asked(&channel, Exec::new("id")).await, "a second program");
    assert!(asked(&channel, Signal::new("TERM")).await);
    let (out, requests) = output(channel).await;
    assert!(out.contains("bye"), "{out}");
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 3),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_signal_reaches_the_job_of_an_interactive_shell() {
    let place = Place::new();
    let handle = handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    assert!(asked(&channel, ChannelRequest::Shell).await);
    channel
        .write_all(b"sh -c 'echo job; exec sleep 300'\r")
        .await
        .unwrap();
    let _ = shown(&mut channel, "job").await;
    assert!(asked(&channel, Signal::new("INT")).await);
    channel.write_all(b"echo status $?\r").await.unwrap();
    let _ = shown(&mut channel, "status 130").await;
    channel.write_all(b"exit 4\r").await.unwrap();
    let (_, requests) = output(channel).await;
    assert!(matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 4));
}

#[tokio::test]
async fn a_signal_that_came_before_the_close_is_delivered() {
    let place = Place::new();
    let handle = handle(&place).await;
    // Which of both the server would look at first would be a matter of chance: so often nobody is lucky.
    for (turn, with_terminal) in (0..8).flat_map(|turn| [(turn, false), (turn, true)]) {
        let told = place.path(&format!("told-{turn}-{with_terminal}"));
        let mut channel = session(&handle).await;
        if with_terminal {
            assert!(asked(&channel, terminal()).await);
        }
        // Whoever only sees its output cut off, or is hung up, says nothing.
        let script = format!(
            "exec 2>&1; trap 'echo told >{}; exit' USR1; trap '' HUP; yes & wait",
            told.display()
        );
        assert!(asked(&channel, Exec::new(script)).await);
        let _ = shown(&mut channel, "y").await;
        // Enough for the window to be full, as a rule: then the server, too, has something that the close ends.
        tokio::time::sleep(Duration::from_millis(40)).await;
        channel.send_request(&Signal::new("USR1").into()).unwrap();
        channel.close();
        until("the program has heard the signal", || told.exists()).await;
    }
}

#[tokio::test]
async fn a_program_whose_output_nobody_reads_has_a_broken_pipe_and_its_command_goes_on() {
    let place = Place::new();
    let handle = handle(&place).await;
    let over = place.path("over");
    let mut channel = session(&handle).await;
    let script = format!("yes; echo over > {}; exit 3", over.display());
    assert!(asked(&channel, Exec::new(script)).await);
    let _ = shown(&mut channel, "y").await;
    channel.send_request(&ChannelRequest::Eow).unwrap();
    until("the rest of the command is run", || over.exists()).await;
    let (_, requests) = output(channel).await;
    assert!(matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 3));
}

#[tokio::test]
async fn a_program_killed_at_its_terminal_is_told_of_by_the_signal() {
    let place = Place::new();
    let handle = handle(&place).await;
    let channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    assert!(asked(&channel, Exec::new("kill -KILL $$")).await);
    let (_, requests) = output(channel).await;
    assert!(matches!(&requests[..], [ChannelRequest::ExitSignal(exit)] if exit.name == "KILL"));
}

#[tokio::test]
async fn what_runs_at_the_terminal_ends_with_the_channel() {
    let _not_ignored = signal(SignalKind::hangup()).unwrap();
    let place = Place::new();
    let handle = handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    assert!(asked(&channel, ChannelRequest::Shell).await);
    // A job in a group of its own, as interactive shells have them.
    channel
        .write_all(b"sh -c 'echo pid $$; exec sleep 300'\r")
        .await
        .unwrap();
    let shown = shown(&mut channel, "\n").await;
    let pid = shown.split("pid ").last().unwrap().lines().next().unwrap();
    let pid: u32 = pid.trim().parse().unwrap_or_else(|_| panic!("{shown:?}"));
    drop(channel);
    until("the job is gone", || !is_alive(pid)).await;
}

#[tokio::test]
async fn somebody_who_keeps_the_terminal_open_does_not_keep_the_session() {
    let place = Place::new();
    let handle = handle(&place).await;
    let channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    let stays = place.path("stays");
    std::fs::write(&stays, "").unwrap();
    let script = format!(
        "(trap '' HUP; while [ -e {} ]; do sleep 0.2; done) & echo left; exit 6",
        stays.display()
    );
    assert!(asked(&channel, Exec::new(script)).await);
    let ended = tokio::time::timeout(PATIENCE, output(channel)).await;
    let (out, requests) = ended.expect("the session ends with its program");
    assert_eq!(out, "left\n");
    assert!(matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 6));
}

#[tokio::test]
async fn impossible_terminals_are_refused_and_the_session_goes_on() {
    let place = Place::new();
    let handle = handle(&place).await;
    let channel = session(&handle).await;
    for name in [
        "x".repeat(MAX_TERMINAL_NAME_BYTES + 1),
        "x".repeat(30_000),
        "../../etc".into(),
        "a\x1b[2J".into(),
    ] {
        let request = PtyReq {
            terminal: name,
            ..terminal()
        };
        assert!(!asked(&channel, request).await);
    }
    assert!(!asked(&channel, WindowChange::new(1, 1)).await, "of no terminal");
    let unknown = TerminalModes::new((1..160).map(|opcode| (opcode, u32::MAX)));
    let request = PtyReq {
        columns: u32::MAX,
        rows: 0,
        width_pixels: u32::MAX,
        height_pixels: u32::MAX,
        modes: unknown,
        ..terminal()
    };
    assert!(
        asked(&channel, request).await,
        "sizes and modes are the program's business"
    );
    assert!(!asked(&channel, terminal()).await, "one is enough");
    assert!(asked(&channel, WindowChange::new(0, 0)).await);
    assert!(asked(&channel, Exec::new("stty -a | head -1")).await);
    let (out, requests) = output(channel).await;
    // Modes such as these write capitals only.
    assert!(out.to_lowercase().contains("rows 0; columns 0"), "{out:?}");
    assert!(matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 0));
}

#[tokio::test]
async fn ten_thousand_sizes_are_taken_and_the_last_one_stays() {
    let place = Place::new();
    let handle = handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(asked(&channel, terminal()).await);
    assert!(asked(&channel, Exec::new("echo ready; read x; stty size")).await);
    let _ = shown(&mut channel, "ready").await;
    for n in 0..10_000 {
        channel
            .send_request(&WindowChange::new(100 + n, n).into())
            .unwrap();
    }
    // One that asks for an answer is refused while too many wait, and taken when they have been looked at.
    let last = WindowChange::new(u32::MAX, 7);
    while !asked(&channel, last.clone()).await {}
    channel.write_all(b"\r").await.unwrap();
    assert!(output(channel).await.0.contains("7 65535"));
}

#[tokio::test]
async fn who_may_have_no_terminal_gets_none_and_may_still_run_programs() {
    let place = Place::new();
    let permissions = Permissions {
        terminal: false,
        ..Permissions::default()
    };
    let handle = handle_with(&place, permissions).await;
    let channel = session(&handle).await;
    assert!(!asked(&channel, terminal()).await);
    assert!(asked(&channel, Exec::new("tty; echo ${SSH_TTY-none}")).await);
    assert_eq!(output(channel).await.0, "not a tty\nnone\n");
}

#[tokio::test]
async fn a_program_without_a_terminal_knows_no_break() {
    let place = Place::new();
    let handle = handle(&place).await;
    let channel = session(&handle).await;
    assert!(asked(&channel, Exec::new("cat")).await);
    assert!(!asked(&channel, Break { milliseconds: 1 }).await);
    channel.eof().unwrap();
    assert_eq!(output(channel).await.0, "");
}
