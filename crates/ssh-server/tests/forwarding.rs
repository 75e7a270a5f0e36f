//! Listening for clients, Unix sockets, agents and displays: what is let happen, what is refused, and what is left when
//! the connection is over. The client in memory asks what OpenSSH's would not.
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
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::memory::{asked, session};
use common::{PATIENCE, Place, until};
use ssh_server::channel::{
    CancelStreamlocalForward, CancelTcpipForward, ChannelRequest, ChannelType, DirectStreamlocal, Exec,
    ForwardedStreamlocal, ForwardedTcpip, GlobalRequest, OpenFailureReason, Tun,
};
use ssh_server::keys::PublicKey;
use ssh_server::tokio_driver::{Channel, Handle, Incoming, IncomingOpen, OpenError};
use ssh_server::{
    Application, Candidate, ChannelTimeouts, Decision, Endpoint, Forward, Limits, Listen, ListenSocket,
    ListenTarget, Login, Permissions, Request, Session, SocketPolicy, Target,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Held by whoever starts programs, and by whoever needs a port to be free at once when it is given back: a program that is
/// just being started has the socket for a moment longer.
static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What every kind of request comes to: direct-tcpip, direct-streamlocal, tcpip-forward, streamlocal-forward, agent, X11,
/// tun.
async fn what_is_let_happen(place: &Place, handle: &Handle) -> [bool; 7] {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    let socket = place.path("target");
    let _target = UnixListener::bind(&socket).unwrap();
    let to_socket = DirectStreamlocal::new(socket.to_str().unwrap().as_bytes());
    let channel = session(handle).await;
    let allowed = [
        refusal(handle, direct("127.0.0.1", port)).await.is_none(),
        refusal(handle, to_socket).await.is_none(),
        listen(handle, "localhost", 0).await.is_some(),
        listen_at(handle, &place.path("listening")).await,
        asked(&channel, ChannelRequest::AuthAgentReq).await,
        asked(&channel, x11_request(false)).await,
        refusal(handle, Tun { mode: 1, unit: 3 }).await.is_none(),
    ];
    std::fs::remove_file(&socket).unwrap();
    allowed
}

/// Security row C9: every permission against every kind of request.
#[tokio::test]
async fn what_a_login_may_not_do_is_refused_whatever_the_application_says() {
    let place = Place::new();
    let open = Permissions::default;
    let list = || Permissions {
        permit_open: Some(vec!["example.org:1".parse().unwrap()]),
        ..open()
    };
    let places = || Permissions {
        permit_listen: Some(vec!["8080".parse().unwrap()]),
        ..open()
    };
    let agent = Permissions {
        agent_forwarding: false,
        ..open()
    };
    let display = Permissions {
        x11_forwarding: false,
        ..open()
    };
    let device = Permissions {
        tunnel: Some(ssh_server::keys::authorized_keys::TunnelDevice::Number(7)),
        ..open()
    };
    for (name, permissions, expected) in [
        ("all", open(), [true, true, true, true, true, true, true]),
        ("no forwarding", open().without_forwarding(), [false; 7]),
        (
            "no port forwarding",
            open().without_port_forwarding(),
            [false, false, false, false, true, true, false],
        ),
        ("permitopen", list(), [false, false, true, true, true, true, true]),
        (
            "permitlisten",
            places(),
            [true, true, false, false, true, true, true],
        ),
        ("no agent", agent, [true, true, true, true, false, true, true]),
        ("no X11", display, [true, true, true, true, true, false, true]),
        ("tunnel", device, [true, true, true, true, true, true, false]),
    ] {
        let handle = visit(&place, Open::new(&place, permissions), Limits::default()).await;
        assert_eq!(what_is_let_happen(&place, &handle).await, expected, "{name}");
        handle.disconnect().await;
        until("the socket goes", || !place.path("listening").exists()).await;
    }
    let handle = visit(&place, Closed, Limits::default()).await;
    assert_eq!(
        what_is_let_happen(&place, &handle).await,
        [false; 7],
        "the defaults"
    );
}

#[tokio::test]
async fn what_connects_to_a_port_of_the_server_is_led_to_the_client() {
    let place = Place::new();
    let handle = open_visit(&place).await;
    let port = free_port(&handle).await;
    for address in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((address, port)).await.unwrap();
        let from = stream.local_addr().unwrap();
        let (kind, mut channel) = led_here(&handle).await;
        let expected = ForwardedTcpip {
            // As it was asked for, not as it was bound.
            address: "localhost".to_owned(),
            port,
            originator: from.ip().to_string(),
            originator_port: from.port().into(),
        };
        assert_eq!(kind, expected.into());
        is_joined(&mut channel, stream).await;
    }
}

#[tokio::test]
async fn a_port_is_given_back_when_it_is_cancelled_and_connections_stay() {
    let _nothing_starts = STARTING.lock().await;
    let place = Place::new();
    let handle = open_visit(&place).await;
    let port = free_port(&handle).await;
    assert_eq!(listen(&handle, "localhost", port).await, None, "twice");
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (_, mut channel) = led_here(&handle).await;
    let cancel = |address: &str, port| GlobalRequest::from(CancelTcpipForward::new(address, port));
    for wrong in [
        cancel("127.0.0.1", port),
        cancel("localhost", 1),
        cancel("localhost", 0),
    ] {
        assert_eq!(handle.global_request(&wrong).await.unwrap(), None, "{wrong:?}");
    }
    let right = cancel("localhost", port);
    assert_eq!(handle.global_request(&right).await.unwrap(), Some(Vec::new()));
    assert_eq!(handle.global_request(&right).await.unwrap(), None, "twice");
    until("nobody listens any more", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
    })
    .await;
    is_joined(&mut channel, stream).await;
    // Asked for by number, the answer says nothing more. This one is none of those that the system gives to whoever asks.
    let first = 12_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    let mut port = first;
    let answer = loop {
        match listen(&handle, "localhost", port).await {
            Some(answer) => break answer,
            None => port += 1,
        }
        assert!(port < first + 100, "a hundred ports are taken");
    };
    assert_eq!(answer, Vec::new());
    // Given back and asked for in one breath.
    let right = cancel("localhost", port);
    let both = tokio::join!(handle.global_request(&right), listen(&handle, "localhost", port));
    assert_eq!((both.0.unwrap(), both.1), (Some(Vec::new()), Some(Vec::new())));
}

#[tokio::test]
async fn a_socket_is_the_users_alone_and_leads_to_the_client() {
    let place = Place::new();
    let handle = open_visit(&place).await;
    let path = place.path("socket");
    assert!(listen_at(&handle, &path).await);
    assert!(!listen_at(&handle, &path).await, "twice");
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert_eq!(found.mode() & 0o7777, 0o600);
    assert_eq!(found.uid(), std::fs::metadata("/proc/self").unwrap().uid());
    let stream = UnixStream::connect(&path).await.unwrap();
    let (kind, mut channel) = led_here(&handle).await;
    assert_eq!(
        kind,
        ForwardedStreamlocal::new(path.to_str().unwrap().as_bytes()).into()
    );
    is_joined(&mut channel, stream).await;

    let cancel = |path: &Path| {
        let path = path.to_str().unwrap().as_bytes().to_vec();
        GlobalRequest::from(CancelStreamlocalForward { path })
    };
    let other = handle
        .global_request(&cancel(&place.path("other")))
        .await
        .unwrap();
    assert_eq!(other, None);
    let gone = cancel(&path);
    let both = tokio::join!(handle.global_request(&gone), listen_at(&handle, &path));
    assert!(
        both.0.unwrap().is_some() && both.1,
        "given back and asked for in one breath"
    );
    assert!(handle.global_request(&gone).await.unwrap().is_some());
    assert!(!path.exists());

    // What is there already stays; what leads nowhere for certain is not made.
    std::fs::write(&path, "precious").unwrap();
    for wrong in [
        path.clone(),
        PathBuf::from("relative"),
        place.path("no/such"),
        place.path(&"x".repeat(200)),
    ] {
        assert!(!listen_at(&handle, &wrong).await, "{}", wrong.display());
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn an_application_connects_elsewhere_or_serves_the_stream_itself() {
    struct Elsewhere(PathBuf);
    impl Application for Elsewhere {
        async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
            Decision::Accept(Permissions::default())
        }
        async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
            match target.host.as_str() {
                "socket" => Forward::ConnectTo(Endpoint::Unix(self.0.clone())),
                "echo" => Forward::serve(echo),
                _ => Forward::Refuse,
            }
        }
        async fn direct_streamlocal(&self, _login: &Login, _path: &Path) -> Forward {
            Forward::ConnectTo(Endpoint::Unix(self.0.clone()))
        }
        async fn tcpip_forward(&self, _login: &Login, _wanted: &ListenTarget) -> Listen {
            Listen::BindTo(vec!["127.0.0.3:0".parse().unwrap()])
        }
        async fn streamlocal_forward(&self, _login: &Login, _path: &Path) -> ListenSocket {
            ListenSocket::BindTo(self.0.with_extension("other"), SocketPolicy::default())
        }
    }
    let place = Place::new();
    let socket = place.path("socket");
    let target = UnixListener::bind(&socket).unwrap();
    let handle = visit(&place, Elsewhere(socket.clone()), Limits::default()).await;
    for kind in [
        direct("socket", 1).into(),
        DirectStreamlocal::new(b"/wherever").into(),
    ] {
        let mut channel = handle.open(kind).await.unwrap();
        let (stream, _) = target.accept().await.unwrap();
        is_joined(&mut channel, stream).await;
    }
    let mut channel = handle.open(direct("echo", 1).into()).await.unwrap();
    channel.write_all(b"again").await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    channel.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"again");
    assert_eq!(
        refusal(&handle, direct("other", 1)).await,
        Some(OpenFailureReason::ADMINISTRATIVELY_PROHIBITED)
    );

    let port = free_port(&handle).await;
    let stream = TcpStream::connect(("127.0.0.3", port)).await.unwrap();
    let (_, mut channel) = led_here(&handle).await;
    is_joined(&mut channel, stream).await;
    assert!(listen_at(&handle, Path::new("/nowhere/socket")).await);
    let stream = UnixStream::connect(socket.with_extension("other")).await.unwrap();
    let (kind, mut channel) = led_here(&handle).await;
    assert_eq!(kind, ForwardedStreamlocal::new(b"/nowhere/socket").into());
    is_joined(&mut channel, stream).await;
}

#[tokio::test]
async fn no_more_listeners_and_connections_than_may_be() {
    let place = Place::new();
    let limits = Limits {
        max_listeners: 2,
        max_forwards: 1,
        ..Limits::default()
    };
    let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
    let port = free_port(&handle).await;
    assert!(listen_at(&handle, &place.path("socket")).await);
    assert_eq!(listen(&handle, "localhost", 0).await, None);
    assert!(!listen_at(&handle, &place.path("other")).await);
    let cancel = GlobalRequest::from(CancelTcpipForward::new("localhost", port));
    assert!(handle.global_request(&cancel).await.unwrap().is_some());
    let port = free_port(&handle).await;

    let first = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (_, mut channel) = led_here(&handle).await;
    let mut second = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(
        matches!(second.read(&mut [0]).await, Ok(0) | Err(_)),
        "a second one was let in"
    );
    assert_eq!(
        refusal(&handle, direct("127.0.0.1", port)).await,
        Some(OpenFailureReason::RESOURCE_SHORTAGE)
    );
    is_joined(&mut channel, first).await;
    drop(channel);
    let mut third = None;
    until("the place is free again", || {
        third = std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        third.is_some()
    })
    .await;
}

#[tokio::test]
async fn who_fills_one_port_takes_no_place_from_others() {
    let place = Place::new();
    let limits = Limits {
        max_forwards: 4,
        ..Limits::default()
    };
    let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
    let (filled, other) = (free_port(&handle).await, free_port(&handle).await);
    let mut inside = Vec::new();
    for port in [filled, filled] {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        inside.push((stream, led_here(&handle).await.1));
    }
    let mut third = TcpStream::connect(("127.0.0.1", filled)).await.unwrap();
    let turned_away = matches!(third.read(&mut [0]).await, Ok(0) | Err(_));
    assert!(turned_away, "one port has more than half of all places");
    let stream = TcpStream::connect(("127.0.0.1", other)).await.unwrap();
    inside.push((stream, led_here(&handle).await.1));
    for (stream, mut channel) in inside {
        is_joined(&mut channel, stream).await;
    }
}

/// Each is filled until somebody is turned away there, in places that are few for as many ports.
#[tokio::test]
async fn however_many_ports_are_full_another_one_serves() {
    for full in [2, 10] {
        let place = Place::new();
        let limits = Limits {
            max_forwards: 40,
            ..Limits::default()
        };
        let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
        let mut inside = Vec::new();
        for _ in 0..full {
            let port = free_port(&handle).await;
            let mut here = 0;
            while let Some(joined) = let_in(&handle, port).await {
                inside.push(joined);
                here += 1;
            }
            assert!(
                here > 0,
                "a port serves nobody behind {} connections",
                inside.len()
            );
        }
        let last = free_port(&handle).await;
        inside.push(let_in(&handle, last).await.expect("nobody is served"));
        // What the client opens has its room, too.
        let _direct = handle.open(direct("127.0.0.1", last).into()).await.unwrap();
        for (stream, mut channel) in inside {
            is_joined(&mut channel, stream).await;
        }
    }
}

/// A connection to `port` and what it has become here; nothing if it was turned away.
async fn let_in(handle: &Handle, port: u16) -> Option<(TcpStream, Channel)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tokio::select! {
        (_, channel) = led_here(handle) => Some((stream, channel)),
        _closed = stream.read_u8() => None,
    }
}

/// One end is killed, before or after the other has heard of it, with and without bytes that nobody has read.
#[tokio::test]
async fn whoever_is_killed_leaves_his_place() {
    let place = Place::new();
    let limits = Limits {
        max_forwards: 1,
        ..Limits::default()
    };
    let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
    let port = free_port(&handle).await;
    for answered in [false, true] {
        for dies_here in [false, true] {
            for unread in [0, 100_000] {
                let (mut stream, open) = let_in_at_last(&handle, port).await;
                let mut open = Some(open);
                let mut channel = answered.then(|| open.take().unwrap().accept().unwrap());
                // What nobody has taken is more than a socket holds, or less.
                let _some = stream.try_write(&vec![7; unread]);
                if let Some(channel) = &mut channel {
                    channel.write_all(&vec![7; unread]).await.unwrap();
                }
                if dies_here {
                    // The client's end: refused if it was not agreed to yet.
                    drop((open, channel));
                    let mut rest = Vec::new();
                    let _reset = stream.read_to_end(&mut rest).await;
                } else {
                    stream.set_zero_linger().unwrap();
                    drop(stream);
                    let mut channel = channel.unwrap_or_else(|| open.take().unwrap().accept().unwrap());
                    let mut rest = Vec::new();
                    let _cut = channel.read_to_end(&mut rest).await;
                    channel.closed().await;
                }
            }
        }
    }
    let (stream, open) = let_in_at_last(&handle, port).await;
    is_joined(&mut open.accept().unwrap(), stream).await;
}

/// Comes to `port` until the place is free again.
async fn let_in_at_last(handle: &Handle, port: u16) -> (TcpStream, IncomingOpen) {
    let begin = std::time::Instant::now();
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::select! {
            incoming = handle.incoming() => match incoming {
                Some(Incoming::Open(open)) => return (stream, open),
                other => panic!("{other:?}"),
            },
            _turned_away = stream.read_u8() => {}
        }
        assert!(begin.elapsed() < PATIENCE, "the place is never free again");
    }
}

#[tokio::test]
async fn tunnels_have_a_most_of_their_own() {
    let place = Place::new();
    let limits = Limits {
        max_tunnels: 1,
        max_forwards: 0,
        ..Limits::default()
    };
    let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
    let wanted = Tun { mode: 1, unit: 3 };
    let mut tunnel = handle.open(wanted.clone().into()).await.unwrap();
    assert_eq!(
        refusal(&handle, wanted.clone()).await,
        Some(OpenFailureReason::RESOURCE_SHORTAGE)
    );
    tunnel.eof().unwrap();
    tunnel.closed().await;
    drop(tunnel);
    loop {
        match handle.open(wanted.clone().into()).await {
            Ok(_again) => break,
            // The server may not have heard of the end yet.
            Err(OpenError::Refused(refusal)) => {
                assert_eq!(refusal.reason, OpenFailureReason::RESOURCE_SHORTAGE)
            }
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_channel_that_nobody_uses_is_closed() {
    let _starts = STARTING.lock().await;
    let place = Place::new();
    let short = Duration::from_millis(300);
    let timeouts = ChannelTimeouts::default()
        .with("forwarded-tcpip", short)
        .with("direct-tcpip", short)
        .with("session:command", short);
    let limits = Limits {
        channel_timeouts: timeouts,
        ..Limits::default()
    };
    let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
    // Nothing is started in this one: it has another type.
    let waiting = session(&handle).await;
    let port = free_port(&handle).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (_, mut led) = led_here(&handle).await;
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = direct("127.0.0.1", target.local_addr().unwrap().port());
    let mut direct = handle.open(to.into()).await.unwrap();
    let mut command = session(&handle).await;
    assert!(asked(&command, Exec::new("cat")).await);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    for channel in [&mut led, &mut direct, &mut command] {
        let closed = tokio::time::timeout(Duration::from_secs(60), channel.read(&mut [0])).await;
        assert_eq!(closed.expect("it stays open").unwrap(), 0);
    }
    assert!(asked(&waiting, Exec::new("true")).await);
}

/// On a clock that only goes on when nothing else does.
#[tokio::test(start_paused = true)]
async fn a_channel_in_use_stays_for_longer_than_its_limit() {
    struct Echo;
    impl Application for Echo {
        async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
            Decision::Accept(Permissions::default())
        }
        async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
            Forward::serve(|mut channel| async move {
                let mut byte = [0];
                while channel.read(&mut byte).await.unwrap() > 0 {
                    channel.write_all(&byte).await.unwrap();
                }
            })
        }
    }
    let (place, limit) = (Place::new(), Duration::from_secs(8));
    let limits = Limits {
        channel_timeouts: ChannelTimeouts::default().with("direct-*", limit),
        ..Limits::default()
    };
    let handle = visit(&place, Echo, limits).await;
    let mut channel = handle.open(direct("echo", 1).into()).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(limit / 2).await;
        channel.write_all(b"x").await.unwrap();
        channel.read_exact(&mut [0]).await.unwrap();
    }
    let begin = tokio::time::Instant::now();
    assert_eq!(channel.read(&mut [0]).await.unwrap(), 0);
    let after = begin.elapsed();
    assert!(
        after >= limit - limit / 4 && after <= limit + limit / 2,
        "{after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_end_with_its_channel_gives_its_place_back() {
    struct Deaf;
    impl Application for Deaf {
        async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
            Decision::Accept(Permissions::default())
        }
        async fn session(&self, mut session: Session) {
            while let Some(request) = session.next().await {
                if let Request::Start(start) = request {
                    start.accept();
                    std::future::pending::<()>().await;
                }
            }
        }
    }
    let limits = Limits {
        max_sessions: 1,
        channel_timeouts: ChannelTimeouts::default().with("session:*", Duration::from_secs(5)),
        ..Limits::default()
    };
    let place = Place::new();
    let handle = visit(&place, Deaf, limits).await;
    let first = session(&handle).await;
    assert!(asked(&first, Exec::new("wait")).await);
    assert!(handle.open(ChannelType::Session).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    handle.open(ChannelType::Session).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_ended() {
    let (place, limit) = (Place::new(), Duration::from_secs(5));
    let limits = Limits {
        unused_connection_time: Some(limit),
        ..Limits::default()
    };
    let handle = visit(&place, Open::new(&place, Permissions::default()), limits).await;
    let used = session(&handle).await;
    // Listening is no use of it.
    let _port = free_port(&handle).await;
    tokio::time::sleep(limit * 3).await;
    assert!(handle.why_closed().is_none());
    drop(used);
    let begin = tokio::time::Instant::now();
    let why = handle.closed().await;
    assert!(begin.elapsed() >= limit && begin.elapsed() < limit * 2);
    assert!(why.to_string().contains("no channel was open for too long"));
}
