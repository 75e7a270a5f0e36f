//! What a server lets happen and what it refuses, with a client in memory that asks what OpenSSH's would not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::memory::{Proof, asked, connect, output, over, session};
use common::{PASSWORD, PATIENCE, Place, USER, clone_key, is_alive, shared, text, until};
use ssh_server::channel::{
    ChannelRequest, ChannelType, DirectTcpip, Env, Exec, ForwardedTcpip, GlobalRequest, OpenFailureReason,
    Signal, Subsystem, TcpipForward,
};
use ssh_server::keys::PublicKey;
use ssh_server::tokio_driver::{Handle, OpenError};
use ssh_server::{
    Application, Candidate, Config, Decision, Error, Limits, MaxStartups, Peer, Permissions, Program,
    Request, Server, Session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An application of defaults lets nobody in.
struct Nobody;
impl Application for Nobody {}

/// Everybody comes in by key, with the permissions given, and sessions are as the defaults have them.
struct Everybody(Permissions);
impl Application for Everybody {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(self.0.clone())
    }
}

/// Everybody comes in with nothing.
struct OpenDoor;
impl Application for OpenDoor {
    async fn none(&self, _candidate: &Candidate) -> Decision {
        Decision::Accept(Permissions::default())
    }
}

fn build<A: Application>(place: &Place, application: A) -> Server<A> {
    place.builder().build(application).unwrap()
}

async fn site_handle(place: &Place) -> Handle {
    let server = build(place, place.site());
    connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap()
}

async fn refusal(handle: &Handle, kind: impl Into<ChannelType>) -> OpenFailureReason {
    match handle.open(kind.into()).await {
        Err(OpenError::Refused(failure)) => failure.reason,
        other => panic!("{other:?}"),
    }
}

fn direct(host: &str, port: u16) -> DirectTcpip {
    DirectTcpip {
        host: host.to_owned(),
        port,
        originator: "127.0.0.1".to_owned(),
        originator_port: 1,
    }
}

#[tokio::test]
async fn the_defaults_let_nobody_in_and_serve_nothing() {
    let place = Place::new();
    let server = build(&place, Nobody);
    assert!(
        connect(&server, USER, Proof::Key(&place.user_key))
            .await
            .is_none()
    );
    assert!(connect(&server, USER, Proof::Password(PASSWORD)).await.is_none());

    let server = build(&place, Everybody(Permissions::default()));
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    let channel = session(&handle).await;
    assert!(!asked(&channel, Exec::new("id")).await);
    assert!(!asked(&channel, ChannelRequest::Shell).await);
    assert!(!asked(&channel, Subsystem::new("sftp")).await);
    assert_eq!(
        refusal(&handle, direct("127.0.0.1", 1)).await,
        OpenFailureReason::ADMINISTRATIVELY_PROHIBITED
    );
    let elsewhere = TcpipForward {
        address: "127.0.0.1".to_owned(),
        port: 0,
    };
    assert_eq!(
        handle
            .global_request(&GlobalRequest::from(elsewhere))
            .await
            .unwrap(),
        None
    );
}

#[test]
fn a_server_without_a_host_key_is_none() {
    assert!(matches!(Server::builder().build(Nobody), Err(Error::NoHostKey)));
}

#[tokio::test]
async fn a_login_without_proof_needs_the_offer_and_the_application() {
    let place = Place::new();
    let offering = Config {
        none_login: true,
        ..Config::default()
    };
    let not_offered = build(&place, OpenDoor);
    assert!(connect(&not_offered, USER, Proof::Nothing).await.is_none());
    let refused = place.builder().config(offering.clone()).build(Nobody).unwrap();
    assert!(connect(&refused, USER, Proof::Nothing).await.is_none());
    let open = place.builder().config(offering).build(OpenDoor).unwrap();
    assert!(connect(&open, USER, Proof::Nothing).await.is_some());
}

#[tokio::test]
async fn users_passwords_and_keys_have_to_fit() {
    let place = Place::new();
    let server = build(&place, place.site());
    assert!(connect(&server, USER, Proof::Password(PASSWORD)).await.is_some());
    for (user, password) in [
        (USER, &b"wrong"[..]),
        (USER, b""),
        ("root", PASSWORD),
        ("tester ", PASSWORD),
    ] {
        assert!(
            connect(&server, user, Proof::Password(password)).await.is_none(),
            "{user:?}"
        );
    }
    assert!(
        connect(&server, "root", Proof::Key(&place.user_key))
            .await
            .is_none()
    );
    assert!(
        connect(&server, USER, Proof::Key(&place.host_key))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_method_that_is_not_offered_reaches_no_application() {
    struct Counting(AtomicUsize);
    impl Application for Counting {
        async fn password(&self, _candidate: &Candidate, _password: &[u8]) -> Decision {
            self.0.fetch_add(1, Ordering::Relaxed);
            Decision::Accept(Permissions::default())
        }
    }
    let place = Place::new();
    let (application, seen) = shared(Counting(AtomicUsize::new(0)));
    let server = Server::builder()
        .host_key(clone_key(&place.host_key))
        .build(application)
        .unwrap();
    assert!(connect(&server, USER, Proof::Password(PASSWORD)).await.is_none());
    assert_eq!(seen.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn exit_status_comes_after_all_output_and_before_the_end() {
    let place = Place::new();
    let handle = site_handle(&place).await;
    let channel = session(&handle).await;
    assert!(asked(&channel, Exec::new("echo out; exit 7")).await);
    let (out, requests) = output(channel).await;
    assert_eq!(out, "out\n");
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 7),
        "{requests:?}"
    );

    let channel = session(&handle).await;
    assert!(asked(&channel, Exec::new("kill -KILL $$")).await);
    let (_, requests) = output(channel).await;
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitSignal(exit)] if exit.name == "KILL"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_session_runs_one_program() {
    let place = Place::new();
    let handle = site_handle(&place).await;
    let channel = session(&handle).await;
    assert!(
        !asked(&channel, Exec::new(b"echo \0".to_vec())).await,
        "no program has such an argument"
    );
    assert!(
        asked(&channel, Exec::new("cat")).await,
        "a refusal leaves the session as it was"
    );
    assert!(!asked(&channel, Exec::new("id")).await);
    assert!(!asked(&channel, ChannelRequest::Shell).await);
    channel.eof().unwrap();
    assert_eq!(output(channel).await.0, "");
}

#[tokio::test]
async fn variables_come_through_a_list_and_a_limit() {
    let place = Place::new();
    let handle = site_handle(&place).await;
    let channel = session(&handle).await;
    for name in [
        "LD_PRELOAD",
        "PATH",
        "BASH_ENV",
        "FOO",
        "SSH_ORIGINAL_COMMAND",
        "LC_A=B",
        "",
    ] {
        assert!(!asked(&channel, Env::new(name, "x")).await, "{name}");
    }
    assert!(!asked(&channel, Env::new("LC_NUL", "a\0b")).await);
    let mut accepted = 0;
    for n in 0..200 {
        accepted += usize::from(asked(&channel, Env::new(format!("LC_{n}"), "x")).await);
    }
    assert_eq!(accepted, 128);
    assert!(asked(&channel, Exec::new("echo $LC_0$LC_127$LC_128")).await);
    assert_eq!(output(channel).await.0, "xx\n");
}

#[tokio::test]
async fn signals_reach_the_program_and_unknown_ones_do_nothing() {
    let place = Place::new();
    let handle = site_handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(
        asked(
            &channel,
            Exec::new("trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
        )
        .await
    );
    let mut ready = [0; 6];
    channel.read_exact(&mut ready).await.unwrap();
    for name in ["STOP", "NOPE", "SIGUSR1", ""] {
        channel.send_request(&Signal::new(name).into()).unwrap();
    }
    channel.send_request(&Signal::new("USR1").into()).unwrap();
    let (out, requests) = output(channel).await;
    assert_eq!(out, "got it\n");
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 3),
        "{requests:?}"
    );
}

#[tokio::test]
async fn closing_the_channel_ends_the_program() {
    let place = Place::new();
    let handle = site_handle(&place).await;
    let mut channel = session(&handle).await;
    assert!(
        asked(
            &channel,
            Exec::new("trap '' HUP; echo $$; while :; do sleep 0.05; done")
        )
        .await
    );
    let mut line = [0; 32];
    let count = channel.read(&mut line).await.unwrap();
    let pid: u32 = text(&line[..count]).trim().parse().unwrap();
    drop(channel);
    until("a program that ignores HUP is terminated", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_program_that_closed_its_input_is_told_of_and_the_rest_is_dropped() {
    let place = Place::new();
    let handle = site_handle(&place).await;
    let mut channel = session(&handle).await;
    let written = place.path("written");
    let script = format!(
        "exec 0<&-; echo closed; until [ -e {} ]; do sleep 0.05; done; exit 2",
        written.display()
    );
    assert!(asked(&channel, Exec::new(script)).await);
    let mut closed = [0; 7];
    channel.read_exact(&mut closed).await.unwrap();
    channel.write_all(&vec![b'x'; 8 << 20]).await.unwrap();
    std::fs::write(written, "").unwrap();
    let (_, requests) = output(channel).await;
    assert_eq!(requests[0], ChannelRequest::Eow);
    assert!(
        matches!(&requests[1], ChannelRequest::ExitStatus(exit) if exit.status == 2),
        "{requests:?}"
    );
}

#[tokio::test]
async fn forwards_are_refused_for_the_reason_there_is() {
    let place = Place::new();
    let mut site = place.site();
    site.open = vec!["127.0.0.1:1".parse().unwrap()];
    let server = build(&place, site);
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    assert_eq!(
        refusal(&handle, direct("127.0.0.1", 1)).await,
        OpenFailureReason::CONNECT_FAILED
    );
    for (host, port) in [
        ("127.0.0.1", 2),
        ("localhost", 1),
        ("127.0.0.1\0", 1),
        ("", 1),
        ("::1", 1),
    ] {
        let reason = refusal(&handle, direct(host, port)).await;
        assert_eq!(reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED, "{host:?}");
    }
    let forwarded = ForwardedTcpip {
        address: "127.0.0.1".to_owned(),
        port: 1,
        originator: String::new(),
        originator_port: 0,
    };
    let reason = refusal(&handle, forwarded).await;
    assert!(reason != OpenFailureReason::CONNECT_FAILED, "{reason}");
}

#[tokio::test]
async fn sessions_are_limited_and_free_again_when_they_are_over() {
    let place = Place::new();
    let limits = Limits {
        max_sessions: 2,
        ..Limits::default()
    };
    let server = place.builder().limits(limits).build(place.site()).unwrap();
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    let first = session(&handle).await;
    let _second = session(&handle).await;
    assert_eq!(
        refusal(&handle, ChannelType::Session).await,
        OpenFailureReason::RESOURCE_SHORTAGE
    );
    assert!(asked(&first, Exec::new("true")).await);
    output(first).await;
    let mut again = handle.open(ChannelType::Session).await;
    // The place is free a little after the last word of the session.
    let begin = Instant::now();
    while again.is_err() {
        assert!(begin.elapsed() < PATIENCE, "{again:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = handle.open(ChannelType::Session).await;
    }
}

#[tokio::test]
async fn an_application_serves_its_own_sessions() {
    struct Reverser;
    impl Application for Reverser {
        async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
            Decision::Accept(Permissions::default())
        }

        async fn session(&self, mut session: Session) {
            while let Some(request) = session.next().await {
                let Request::Start(start) = request else { continue };
                let Program::Subsystem(name) = &start.program else {
                    continue;
                };
                let greeting = format!("{name} for {}\n", session.login().user);
                start.accept();
                session.write_all(greeting.as_bytes()).await.unwrap();
                let mut said = Vec::new();
                session.read_to_end(&mut said).await.unwrap();
                said.reverse();
                session.write_all(&said).await.unwrap();
                session.stderr().write_all(b"done").await.unwrap();
                return session.exit(21);
            }
        }
    }
    let place = Place::new();
    let handle = connect(&build(&place, Reverser), "alice", Proof::Key(&place.user_key))
        .await
        .unwrap();
    let mut channel = session(&handle).await;
    assert!(!asked(&channel, Exec::new("id")).await);
    assert!(asked(&channel, Subsystem::new("reverse")).await);
    channel.write_all(b"abc").await.unwrap();
    channel.eof().unwrap();
    let mut stderr = channel.stderr();
    let (out, requests) = output(channel).await;
    assert_eq!(out, "reverse for alice\ncba");
    let mut said = String::new();
    stderr.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "done");
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 21),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_panic_of_the_application_ends_its_session_alone() {
    struct Panics;
    impl Application for Panics {
        async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
            Decision::Accept(Permissions::default())
        }
        async fn session(&self, mut session: Session) {
            session.next().await;
            panic!("an application's mistake");
        }
    }
    let place = Place::new();
    let handle = connect(&build(&place, Panics), "alice", Proof::Key(&place.user_key))
        .await
        .unwrap();
    let channel = session(&handle).await;
    assert!(!asked(&channel, Exec::new("id")).await);
    assert_eq!(output(channel).await.0, "");
    session(&handle).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_log_in_in_time_is_sent_away() {
    let place = Place::new();
    let server = build(&place, Nobody);
    let silent = |bytes: &'static [u8]| {
        let server = server.clone();
        async move {
            let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
            let begin = tokio::time::Instant::now();
            let serving = tokio::spawn(async move { server.serve_stream(theirs, Peer::named("slow")).await });
            ours.write_all(bytes).await.unwrap();
            let result = serving.await.unwrap();
            (result, begin.elapsed())
        }
    };
    for bytes in [&b""[..], b"SSH-2.0-slow\r\n", b"SSH"] {
        let (result, after) = silent(bytes).await;
        assert!(result.is_err());
        assert!(after <= Duration::from_secs(31), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_takes_too_long_is_not_waited_for() {
    struct Slow;
    impl Application for Slow {
        async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Decision::Accept(Permissions::default())
        }
    }
    let place = Place::new();
    let begin = tokio::time::Instant::now();
    assert!(
        connect(&build(&place, Slow), "alice", Proof::Key(&place.user_key))
            .await
            .is_none()
    );
    assert!(
        begin.elapsed() <= Duration::from_secs(31),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_crowd_at_the_door_is_turned_away_and_those_inside_stay() {
    let place = Place::new();
    let limits = Limits {
        max_startups: MaxStartups::new(3, 100, 3),
        ..Limits::default()
    };
    let user_key = clone_key(&place.user_key);
    let builder = place.builder().limits(limits);
    let site = place.site();
    let running = place.serve_by(builder, site).await;
    let address = running.listening.local_addr();
    let dial = || async move { tokio::net::TcpStream::connect(address).await.unwrap() };
    // Whoever has logged in does not count any more.
    let inside = over(dial().await, USER, Proof::Key(&user_key)).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut stream = dial().await;
        let mut banner = [0; 8];
        stream.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"SSH-2.0-");
        waiting.push(stream);
    }
    let mut refused = String::new();
    let _reset = dial().await.read_to_string(&mut refused).await;
    assert_eq!(refused, "Exceeded MaxStartups\r\n");
    session(&inside).await;
    drop(waiting);
    until("those who waited are gone", || {
        running.listening.connections() == 1
    })
    .await;
    assert!(over(dial().await, USER, Proof::Key(&user_key)).await.is_some());
}

#[tokio::test]
async fn a_key_asked_about_is_not_a_key_that_proved_itself() {
    // The first answer would grant everything, the second, after the signature, what counts.
    struct Changing(AtomicUsize);
    impl Application for Changing {
        async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
            let _ = key;
            self.0.fetch_add(1, Ordering::Relaxed);
            Decision::Accept(Permissions::default().with_forced_command("only this"))
        }
        async fn session(&self, mut session: Session) {
            while let Some(request) = session.next().await {
                if let Request::Start(start) = request {
                    assert_eq!(start.program, Program::Command(b"only this".to_vec()));
                    assert_eq!(start.original_command.as_deref(), Some(&b"id"[..]));
                    assert!(start.is_forced && session.login().key.is_some());
                    start.accept();
                    return session.exit(0);
                }
            }
        }
    }
    let place = Place::new();
    let server = build(&place, Arc::new(Changing(AtomicUsize::new(0))));
    let handle = connect(&server, "alice", Proof::Key(&place.user_key))
        .await
        .unwrap();
    let channel = session(&handle).await;
    assert!(asked(&channel, Exec::new("id")).await);
    let (_, requests) = output(channel).await;
    assert!(
        matches!(&requests[..], [ChannelRequest::ExitStatus(exit)] if exit.status == 0),
        "{requests:?}"
    );
}
