//! The client's agent and the client's display, as the programs of its sessions reach them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::forwarding::*;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::memory::{asked, session};
use common::{PATIENCE, Place, text, until};
use ssh_server::channel::{ChannelRequest, ChannelType, Exec, PtyReq, TerminalModes, X11Req};
use ssh_server::tokio_driver::Handle;
use ssh_server::{Limits, Permissions};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};

#[tokio::test]
async fn nothing_listens_any_more_when_the_connection_is_over() {
    let place = Place::new();
    let handle = open_visit(&place).await;
    let (port, path) = (free_port(&handle).await, place.path("socket"));
    assert!(listen_at(&handle, &path).await);
    let (agent, display, authority) = equipped(&handle).await;
    let display = SocketAddr::from(([127, 0, 0, 1], display));
    assert!(TcpStream::connect(display).await.is_ok() && authority.exists() && agent.exists());
    handle.disconnect().await;
    until("all sockets and files go", || {
        let left = [&path, &agent, &authority, &agent.parent().unwrap().to_owned()];
        let listening = [SocketAddr::from(([127, 0, 0, 1], port)), display];
        left.iter().all(|path| !path.exists())
            && listening
                .iter()
                .all(|address| std::net::TcpStream::connect(address).is_err())
    })
    .await;
}

/// A session with an agent and a display: where they are, and where the cookie lies.
async fn equipped(handle: &Handle) -> (PathBuf, u16, PathBuf) {
    let mut channel = session(handle).await;
    assert!(asked(&channel, ChannelRequest::AuthAgentReq).await);
    assert!(asked(&channel, x11_request(false)).await);
    assert!(!asked(&channel, x11_request(false)).await, "a second display");
    assert!(
        asked(
            &channel,
            Exec::new("echo $SSH_AUTH_SOCK $DISPLAY $XAUTHORITY; cat")
        )
        .await
    );
    let mut line = vec![0; 1024];
    let mut length = 0;
    while !line[..length].contains(&b'\n') {
        let count = channel.read(&mut line[length..]).await.unwrap();
        assert!(count > 0, "{}", text(&line));
        length += count;
    }
    let line = text(&line[..length]);
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut word = || words.next().unwrap();
    let (agent, display, authority) = (word(), word(), word());
    let number = display
        .strip_prefix("localhost:")
        .unwrap()
        .strip_suffix(".2")
        .unwrap();
    // The session goes on for as long as the connection does.
    tokio::spawn(async move {
        let _channel = channel;
        std::future::pending::<()>().await;
    });
    (
        agent.into(),
        6000 + number.parse::<u16>().unwrap(),
        authority.into(),
    )
}

/// Security row C14: the socket of an agent is nobody else's.
#[tokio::test]
async fn an_agent_is_reached_through_a_socket_that_is_the_users_alone() {
    let place = Place::new();
    let handle = open_visit(&place).await;
    let (agent, _, authority) = equipped(&handle).await;
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    for (path, mode) in [
        (agent.as_path(), 0o600),
        (agent.parent().unwrap(), 0o700),
        (authority.as_path(), 0o600),
        (authority.parent().unwrap(), 0o700),
    ] {
        let found = std::fs::symlink_metadata(path).unwrap();
        assert_eq!(
            (found.mode() & 0o7777, found.uid()),
            (mode, own),
            "{}",
            path.display()
        );
    }
    let stream = UnixStream::connect(&agent).await.unwrap();
    let (kind, mut channel) = led_here(&handle).await;
    assert_eq!(kind, ChannelType::AuthAgent);
    is_joined(&mut channel, stream).await;
    // A second session of the connection has the same one.
    let other = equipped(&handle).await.0;
    assert_eq!(other, agent);
}

/// Another user's program that gets at the socket all the same is turned away: the system says whose it is.
#[tokio::test]
async fn an_agent_is_not_for_other_users_programs() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let place = Place::new();
    let handle = open_visit(&place).await;
    let (agent, _, _) = equipped(&handle).await;
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(&agent, 0o666);
    open(agent.parent().unwrap(), 0o755);
    let script = "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  print('connected', s.recv(1))";
    let told = tokio::process::Command::new("python3")
        .args(["-c", script])
        .arg(&agent)
        .output()
        .await
        .unwrap();
    assert_eq!(text(&told.stdout), "connected b''\n", "{}", text(&told.stderr));
    // The next channel is the one that the user's own program asks for.
    let stream = UnixStream::connect(&agent).await.unwrap();
    let (_, mut channel) = led_here(&handle).await;
    is_joined(&mut channel, stream).await;
}

/// Security row C11: nothing but a name and digits comes out of a request for a display.
#[tokio::test]
async fn a_display_takes_no_commands_for_a_cookie() {
    let place = Place::new();
    let handle = open_visit(&place).await;
    let channel = session(&handle).await;
    for (protocol, cookie) in [
        ("MIT-MAGIC-COOKIE-1\nadd :0 . 00", "00"),
        ("MIT-MAGIC-COOKIE-1", "00\nadd :0 . 00"),
        ("MIT-MAGIC-COOKIE-1", "$(id)"),
        ("", "00"),
        ("MIT-MAGIC-COOKIE-1", ""),
    ] {
        let wanted = X11Req {
            protocol: protocol.to_owned(),
            cookie: cookie.into(),
            ..x11_request(false)
        };
        assert!(!asked(&channel, wanted).await, "{protocol:?} {cookie:?}");
    }
    assert!(asked(&channel, x11_request(false)).await);
}

/// A client that may have a thousand sessions has not a thousand ports and terminals of the machine besides. Of agents'
/// sockets it has one.
#[tokio::test]
async fn displays_and_terminals_have_a_most_of_their_own() {
    let place = Place::new();
    let limits = Limits {
        max_displays: 2,
        max_terminals: 1,
        ..Limits::default()
    };
    let application = Open::new(&place, Permissions::default());
    let handle = visit(&place, application, limits).await;
    let (mut sessions, mut displays) = (Vec::new(), Vec::new());
    for granted in [true, true, false] {
        let channel = session(&handle).await;
        displays.push(asked(&channel, x11_request(false)).await);
        assert_eq!(displays.last(), Some(&granted), "{displays:?}");
        assert!(
            asked(&channel, ChannelRequest::AuthAgentReq).await,
            "all have the one socket"
        );
        sessions.push(channel);
    }
    let terminal = || PtyReq {
        terminal: "xterm".to_owned(),
        columns: 80,
        rows: 24,
        width_pixels: 0,
        height_pixels: 0,
        modes: TerminalModes::default(),
    };
    assert!(asked(&sessions[2], terminal()).await);
    assert!(!asked(&sessions[0], terminal()).await, "one too many");
    assert!(
        !asked(&sessions[2], terminal()).await,
        "a second one for the same session"
    );
    // It is the session's for as long as the program at it lives.
    assert!(asked(&sessions[2], Exec::new("cat")).await);
    assert!(!asked(&sessions[0], terminal()).await);

    // What ends gives its places back.
    drop(sessions.remove(2));
    drop(sessions.remove(1));
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < PATIENCE, "no place comes back");
        let channel = session(&handle).await;
        let both = asked(&channel, x11_request(false)).await && asked(&channel, terminal()).await;
        if both {
            break;
        }
        drop(channel);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_display_leads_to_the_client_while_its_session_lasts() {
    let place = Place::new();
    for single in [false, true] {
        let handle = open_visit(&place).await;
        let mut channel = session(&handle).await;
        assert!(asked(&channel, x11_request(single)).await);
        assert!(asked(&channel, Exec::new("xauth list; echo $DISPLAY; cat")).await);
        let mut line = vec![0; 1024];
        let mut length = 0;
        while line[..length].iter().filter(|byte| **byte == b'\n').count() < 2 {
            let count = channel.read(&mut line[length..]).await.unwrap();
            assert!(count > 0, "{}", text(&line));
            length += count;
        }
        let told = text(&line[..length]);
        let number = told.lines().last().unwrap().strip_prefix("localhost:").unwrap();
        let number: u16 = number.strip_suffix(".2").unwrap().parse().unwrap();
        let entry = format!("/unix:{number}  MIT-MAGIC-COOKIE-1  000102030405060708090a0b0c0d0e0f\n");
        assert!(told.contains(&entry), "{told}");
        let address = SocketAddr::from(([127, 0, 0, 1], 6000 + number));
        let stream = TcpStream::connect(address).await.unwrap();
        let (kind, mut drawing) = led_here(&handle).await;
        assert!(matches!(kind, ChannelType::X11(from) if from.originator == "127.0.0.1"));
        let gone = || std::net::TcpStream::connect(address).is_err();
        if single {
            until("one connection was all", gone).await;
        } else {
            assert!(!gone());
            // The one just made arrives too.
            let _ = led_here(&handle).await;
        }
        channel.eof().unwrap();
        drop(channel);
        until("the display goes with its session", gone).await;
        is_joined(&mut drawing, stream).await;
    }
}
