//! The line editor in a session: with our client in memory, and with OpenSSH's at a terminal.
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

use common::memory::{Proof, connect, session, shown};
use common::{PASSWORD, PATIENCE, Place, USER};
use ssh_server::channel::{ChannelRequest, PtyReq, TerminalModes, WindowChange};
use ssh_server::editor::{Editor, Input, Key, LineEditor, ReadError, Settings};
use ssh_server::keys::PublicKey;
use ssh_server::tokio_driver::Channel;
use ssh_server::{
    Application, Candidate, Decision, Offer, Permissions, ProcessEvent, Session, constant_time_eq,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says what it has read, in words of its own.
struct Parrot;

impl Application for Parrot {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        let right = candidate.user == USER && constant_time_eq(password, PASSWORD);
        Decision::accept_if(right, Permissions::default())
    }

    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, session: Session) {
        let Some(process) = session.process(&Offer::default()).await else {
            return;
        };
        let settings = Settings {
            max_line_chars: 20,
            ..Settings::default()
        };
        // A test that has seen enough leaves in the middle.
        let _ = parrot(process.line_editor(settings)).await;
    }
}

async fn parrot(mut person: LineEditor) -> std::io::Result<()> {
    let screen = person.writer();
    person.register_key(Key::Tab, |editor: &mut Editor| {
        let whole = format!("{}pleted", &*editor.text());
        editor.set_text(&whole, usize::MAX);
    });
    loop {
        let line = match person.next("> ").await {
            Ok(Some(Input::Line(line))) => line,
            Ok(Some(Input::Event(ProcessEvent::Resized(size)))) => {
                screen.print(format!("size {}", size.columns)).await?;
                continue;
            }
            Ok(Some(other)) => {
                screen.print(format!("{other:?}")).await?;
                continue;
            }
            Ok(None) => return person.exit(3).await,
            Err(error @ ReadError::TooLong { .. }) => {
                screen.print(format!("{error}")).await?;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        match &*line {
            "secret" => {
                // Given up in the middle, it goes on with what was typed.
                let dropped = Duration::from_millis(5);
                let secret = loop {
                    let read = tokio::time::timeout(dropped, person.read_secret("password: ")).await;
                    if let Ok(read) = read {
                        break read.unwrap().unwrap();
                    }
                };
                screen.print(format!("{} {secret:?}", secret.len())).await?;
            }
            "others" => {
                let tasks: Vec<_> = (0..20)
                    .map(|number| {
                        let screen = screen.clone();
                        tokio::spawn(async move { screen.print(format!("other {number:02}\x1b[2J")).await })
                    })
                    .collect();
                let line = person.read_line("> ").await.unwrap().unwrap();
                for task in tasks {
                    task.await.unwrap()?;
                }
                screen.print(format!("then {:?}", &*line)).await?;
            }
            "key" => {
                person.set_line_mode(false);
                let key = person.next("").await.unwrap();
                person.set_line_mode(true);
                screen.print(format!("{key:?}")).await?;
            }
            line => screen.print(format!("read {line:?}")).await?,
        }
    }
}

async fn parrot_channel(place: &Place, columns: Option<u32>) -> Channel {
    let server = place.builder().build(Parrot).unwrap();
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    let channel = session(&handle).await;
    if let Some(columns) = columns {
        let terminal = PtyReq {
            terminal: "xterm".to_owned(),
            columns,
            rows: 24,
            width_pixels: 0,
            height_pixels: 0,
            modes: TerminalModes::default(),
        };
        assert!(channel.request(&terminal.into()).await.unwrap());
    }
    assert!(channel.request(&ChannelRequest::Shell).await.unwrap());
    channel
}

async fn says(channel: &mut Channel, what: &str) {
    channel.write_all(what.as_bytes()).await.unwrap();
}

async fn status(channel: &mut Channel) -> u32 {
    while let Some(request) = channel.next_request().await {
        if let ChannelRequest::ExitStatus(exit) = request.request() {
            return exit.status;
        }
    }
    panic!("no status");
}

#[tokio::test]
async fn an_application_reads_lines_keys_and_secrets_at_a_terminal() {
    let place = Place::new();
    let mut channel = parrot_channel(&place, Some(80)).await;
    assert_eq!(shown(&mut channel, "> ").await, "> ");
    for byte in "wrd\x1b[D\x1b[Do\r".chars() {
        says(&mut channel, &byte.to_string()).await;
    }
    shown(&mut channel, "read \"word\"\r\n> ").await;
    says(&mut channel, "com\t\r").await;
    shown(&mut channel, "read \"completed\"\r\n").await;
    says(&mut channel, "key\r").await;
    says(&mut channel, "\x1b[A").await;
    shown(&mut channel, "Some(Key(Up))\r\n").await;
    says(&mut channel, "up\x03").await;
    shown(&mut channel, "Interrupt\r\n").await;

    says(&mut channel, "secret\r").await;
    shown(&mut channel, "password: ").await;
    says(&mut channel, "hun").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    says(&mut channel, "ter2\r").await;
    let told = shown(&mut channel, "7 Line(not shown)\r\n> ").await;
    assert!(!told.contains("hun") && !told.contains("ter2"), "{told:?}");

    says(&mut channel, &format!("{}\r", "x".repeat(25))).await;
    let told = shown(&mut channel, &format!("read {:?}\r\n", "x".repeat(20))).await;
    assert!(told.contains('\x07'), "{told:?}");
    says(&mut channel, "\x04").await;
    assert_eq!(status(&mut channel).await, 3);
}

#[tokio::test]
async fn other_tasks_write_above_the_line() {
    let place = Place::new();
    let mut channel = parrot_channel(&place, Some(80)).await;
    says(&mut channel, "others\rhalf").await;
    let mut told = shown(&mut channel, "half").await;
    says(&mut channel, " done\r").await;
    told += &shown(&mut channel, "then \"half done\"\r\n").await;
    for number in 0..20 {
        // Each in a row of its own, and what it could have done to the terminal made visible.
        assert!(told.contains(&format!("other {number:02}^[[2J\r\n")), "{told:?}");
    }
    assert!(!told.contains("\x1b[2J"));
}

#[tokio::test]
async fn the_line_follows_the_size() {
    let place = Place::new();
    let mut channel = parrot_channel(&place, Some(80)).await;
    says(&mut channel, "abcdefghijkl").await;
    shown(&mut channel, "> abcdefghijkl").await;
    let size = WindowChange {
        columns: 10,
        rows: 24,
        width_pixels: 0,
        height_pixels: 0,
    };
    channel.send_request(&size.into()).unwrap();
    shown(&mut channel, "size 10\r\n> abcdefgh\r\nijkl").await;
}

#[tokio::test]
async fn without_a_terminal_lines_come_as_they_are_within_the_same_limit() {
    let place = Place::new();
    let mut channel = parrot_channel(&place, None).await;
    let long = "x".repeat(100_000);
    says(&mut channel, &format!("one\r\ntab\t\n{long}\n\nlast")).await;
    channel.shutdown().await.unwrap();
    let mut told = String::new();
    channel.read_to_string(&mut told).await.unwrap();
    assert_eq!(
        told,
        "read \"one\"\nread \"tab\\t\"\nthe client sent a line of more than 20 characters\nread \"\"\nread \"last\"\n"
    );
    assert_eq!(status(&mut channel).await, 3);
}

#[tokio::test]
async fn openssh_s_client_edits_a_line_at_a_terminal() {
    let server = Place::new().serve(Parrot).await;
    let (mut pty, pts) = pty_process::open().unwrap();
    pty.resize(pty_process::Size::new(24, 80)).unwrap();
    let ssh = server.ssh(&["-tt"]);
    let ssh = ssh.as_std();
    let mut command = pty_process::Command::new(ssh.get_program()).args(ssh.get_args());
    command = command.env("TERM", "xterm").kill_on_drop(true);
    let mut child = command.spawn(pts).unwrap();
    shown(&mut pty, "> ").await;
    pty.write_all("日語\x1b[D本\x01<\r".as_bytes()).await.unwrap();
    shown(&mut pty, "read \"<日本語\"").await;
    pty.write_all(b"abcdefghijkl").await.unwrap();
    shown(&mut pty, "abcdefghijkl").await;
    pty.resize(pty_process::Size::new(24, 10)).unwrap();
    shown(&mut pty, "size 10\r\n> abcdefgh\r\nijkl").await;
    pty.write_all(b"\x15secret\r").await.unwrap();
    shown(&mut pty, "password: ").await;
    pty.write_all(b"hunter2\r").await.unwrap();
    let told = shown(&mut pty, "7 Line(not shown)").await;
    assert!(!told.contains("hunter2"), "{told:?}");
    pty.write_all(b"\x1b[A\r").await.unwrap();
    shown(&mut pty, "password: ").await;
    pty.write_all(b"\r").await.unwrap();
    shown(&mut pty, "0 Line(not shown)").await;
    pty.write_all(b"\x04").await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap();
    assert_eq!(ended.unwrap().code(), Some(3));
}
