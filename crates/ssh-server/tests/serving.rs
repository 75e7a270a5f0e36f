//! What a server tells its application and its log, and how it changes and ends while people are inside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::memory::{Proof, asked, connect, over, session};
use common::{PASSWORD, PATIENCE, Place, USER, shared, text, until};
use ssh_server::channel::{ChannelRequest, Env, Exec, PtyReq, Signal, TerminalModes, WindowChange};
use ssh_server::tokio_driver::Channel;
use ssh_server::{
    AcceptEnvironment, Application, Candidate, Config, Decision, Error, Invocation, Limits, Offer, Output,
    Peer, Permissions, Phase, Process, ProcessEvent, Server, Session, SessionHandler, constant_time_eq,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// What has happened, in words.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Lets in who knows the password; each session is served in the way its command says.
#[derive(Default)]
struct Site {
    diary: Arc<Diary>,
    closed: bool,
}

impl Application for Site {
    async fn connection_made(&self, peer: &Peer) -> bool {
        self.diary.note(format!("made {}", peer.ip().is_some()));
        !self.closed
    }

    fn connection_lost(&self, _peer: &Peer, why: Option<&Error>) {
        self.diary.note(format!("lost {}", why.is_some()));
    }

    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        let right = candidate.user == USER && constant_time_eq(password, PASSWORD);
        Decision::accept_if(right, Permissions::default())
    }

    async fn session(&self, session: Session) {
        let offer = Offer {
            environment: AcceptEnvironment::new(["A", "B"]),
            ..Offer::default()
        };
        if self.diary.all().contains(&"by events".to_owned()) {
            let diary = Arc::clone(&self.diary);
            return session.serve_events(&offer, Echo { diary }).await;
        }
        let Some(process) = session.process(&offer).await else {
            return;
        };
        serve(process).await;
    }
}

async fn serve(mut process: Process) {
    let command = text(process.invocation().command().unwrap_or(b"shell"));
    match command.split_once(' ') {
        Some(("status", status)) => process.exit(status.parse().unwrap()),
        Some(("killed", name)) => process.exit_by_signal(name),
        Some(("local", line)) => {
            let mut local = Command::new("/bin/sh");
            local.args(["-c", line]).env_clear().env("PATH", "/usr/bin:/bin");
            process.redirect(local, Duration::from_millis(200)).await.unwrap();
        }
        Some(("missing", name)) => {
            let failed = process
                .redirect(Command::new(name), Duration::from_millis(200))
                .await;
            assert_eq!(failed.unwrap_err().kind(), std::io::ErrorKind::NotFound);
        }
        _ => {
            let invocation = process.invocation();
            let size = invocation.terminal.as_ref().map(|terminal| terminal.size.columns);
            let told = format!(
                "{command} {:?} {:?} {size:?} {}\n",
                invocation.variable("A").map(text),
                invocation.variable("B").map(text),
                invocation.login.user
            );
            process.write_all(told.as_bytes()).await.unwrap();
            process.stderr().write_all(b"beside\n").await.unwrap();
            while let Some(event) = process.next_event().await {
                let size = process
                    .invocation()
                    .terminal
                    .as_ref()
                    .map(|terminal| terminal.size.columns);
                process
                    .write_all(format!("{event:?} {size:?}\n").as_bytes())
                    .await
                    .unwrap();
                if event == ProcessEvent::Signal("TERM".to_owned()) {
                    break;
                }
            }
            process.exit(9);
        }
    }
}

struct Echo {
    diary: Arc<Diary>,
}

impl SessionHandler for Echo {
    async fn started(&mut self, invocation: &Invocation, output: &mut Output) {
        // A client may be gone by now.
        let _ = output.write(format!("{:?}\n", invocation.program)).await;
    }

    async fn data(&mut self, data: &[u8], output: &mut Output) {
        output.write(data).await.unwrap();
    }

    async fn eof(&mut self, output: &mut Output) {
        // A client that closes the channel sends no more either, and then there is nobody to write to.
        if output.write_error("over\n").await.is_ok() {
            output.exit(4);
        }
    }

    async fn event(&mut self, event: ProcessEvent, output: &mut Output) {
        if event == ProcessEvent::Signal("KILL".to_owned()) {
            output.exit_by_signal("KILL");
        }
    }

    async fn lost(&mut self) {
        self.diary.note("session lost");
    }
}

fn builder(place: &Place) -> ssh_server::Builder {
    place.builder()
}

fn server(place: &Place, site: Site) -> Server<Site> {
    builder(place).build(site).unwrap()
}

async fn opened(server: &Server<Site>) -> Channel {
    let handle = connect(server, USER, Proof::Password(PASSWORD)).await.unwrap();
    let channel = session(&handle).await;
    // Kept until the test is over: a connection ends with its last handle.
    std::mem::forget(handle);
    channel
}

fn terminal() -> PtyReq {
    PtyReq {
        terminal: "vt100".to_owned(),
        columns: 80,
        rows: 24,
        width_pixels: 0,
        height_pixels: 0,
        modes: TerminalModes::default(),
    }
}

/// Output, standard error and the last requests.
async fn ended(mut channel: Channel) -> (String, String, Vec<ChannelRequest>) {
    let mut stderr = channel.stderr();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (one, two) = tokio::join!(channel.read_to_end(&mut out), stderr.read_to_end(&mut err));
    one.unwrap();
    two.unwrap();
    let mut requests = Vec::new();
    while let Some(request) = channel.next_request().await {
        requests.push(request.request().clone());
    }
    (text(&out), text(&err), requests)
}

fn status(requests: &[ChannelRequest]) -> u32 {
    match requests {
        [ChannelRequest::ExitStatus(exit)] => exit.status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_application_serves_processes_with_all_that_was_asked_for() {
    let place = Place::new();
    let server = server(&place, Site::default());
    let channel = opened(&server).await;
    assert!(asked(&channel, Env::new("A", "one")).await);
    assert!(!asked(&channel, Env::new("C", "three")).await);
    assert!(asked(&channel, terminal()).await);
    assert!(!asked(&channel, terminal()).await);
    assert!(asked(&channel, WindowChange::new(90, 24)).await);
    assert!(asked(&channel, Exec::new("tell")).await);
    assert!(!asked(&channel, Exec::new("second")).await);
    assert!(asked(&channel, WindowChange::new(100, 24)).await);
    assert!(asked(&channel, Signal::new("TERM")).await);
    let (out, err, requests) = ended(channel).await;
    assert!(
        out.starts_with("tell Some(\"one\") None Some(90) tester\nResized("),
        "{out}"
    );
    assert!(out.ends_with("Some(100)\nSignal(\"TERM\") Some(100)\n"), "{out}");
    assert_eq!((err.as_str(), status(&requests)), ("beside\n", 9));
    let channel = opened(&server).await;
    assert!(asked(&channel, Exec::new("killed USR1")).await);
    let (_, _, requests) = ended(channel).await;
    assert!(matches!(&requests[..], [ChannelRequest::ExitSignal(exit)] if exit.name == "USR1"));
}

#[tokio::test]
async fn a_session_is_handed_to_a_local_program_with_a_terminal_and_without() {
    let place = Place::new();
    let server = server(&place, Site::default());
    let mut channel = opened(&server).await;
    assert!(asked(&channel, Exec::new("local cat; echo err >&2; tty; exit 3")).await);
    channel.write_all(b"through ").await.unwrap();
    channel.eof().unwrap();
    let (out, err, requests) = ended(channel).await;
    assert_eq!(
        (out.as_str(), err.as_str(), status(&requests)),
        ("through not a tty\n", "err\n", 3)
    );
    let channel = opened(&server).await;
    assert!(asked(&channel, terminal()).await);
    assert!(asked(&channel, Exec::new("local tty; stty size; exit 5")).await);
    let (out, _, requests) = ended(channel).await;
    assert!(
        out.starts_with("/dev/pts/") && out.ends_with("24 80\r\n"),
        "{out}"
    );
    assert_eq!(status(&requests), 5);
    let channel = opened(&server).await;
    assert!(asked(&channel, Exec::new("missing /no/such/program")).await);
    assert_eq!(status(&ended(channel).await.2), 127);
}

#[tokio::test]
async fn a_session_is_served_by_calls() {
    let place = Place::new();
    let (site, _) = shared(Site::default());
    site.diary.note("by events");
    let diary = Arc::clone(&site.diary);
    let server = server(&place, Site { diary, closed: false });
    let mut channel = opened(&server).await;
    assert!(asked(&channel, ChannelRequest::Shell).await);
    channel.write_all(b"back and forth").await.unwrap();
    channel.eof().unwrap();
    let (out, err, requests) = ended(channel).await;
    assert_eq!((out.as_str(), err.as_str()), ("Shell\nback and forth", "over\n"));
    assert_eq!(status(&requests), 4);
    let channel = opened(&server).await;
    assert!(asked(&channel, Exec::new("x")).await);
    assert!(asked(&channel, Signal::new("KILL")).await);
    let (_, _, requests) = ended(channel).await;
    assert!(matches!(&requests[..], [ChannelRequest::ExitSignal(exit)] if exit.name == "KILL"));
    let channel = opened(&server).await;
    assert!(asked(&channel, Exec::new("x")).await);
    drop(channel);
    until("the handler hears of it", || {
        site.diary.all().contains(&"session lost".to_owned())
    })
    .await;
}

#[tokio::test]
async fn an_application_hears_of_connections_and_may_turn_them_away() {
    let place = Place::new();
    let site = Site::default();
    let diary = Arc::clone(&site.diary);
    let server = server(&place, site);
    let handle = connect(&server, USER, Proof::Password(PASSWORD)).await.unwrap();
    assert_eq!(diary.all(), ["made false"]);
    handle.disconnect().await;
    until("the end is told", || diary.all() == ["made false", "lost false"]).await;
    assert!(connect(&server, USER, Proof::Password(b"wrong")).await.is_none());
    until("a failed login is told", || {
        diary.all().last() == Some(&"lost true".to_owned())
    })
    .await;
    let closed = Site {
        closed: true,
        ..Site::default()
    };
    let diary = Arc::clone(&closed.diary);
    let listening = builder(&place).listen("127.0.0.1:0", closed).await.unwrap();
    let mut stream = TcpStream::connect(listening.local_addr()).await.unwrap();
    let mut nothing = Vec::new();
    stream.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty());
    assert_eq!(diary.all(), ["made true"]);
}

/// Keeps whoever comes waiting for its answer.
struct Hesitant(Arc<Diary>);

impl Application for Hesitant {
    async fn connection_made(&self, _peer: &Peer) -> bool {
        self.0.note("asked");
        std::future::pending().await
    }

    fn connection_lost(&self, _peer: &Peer, _why: Option<&Error>) {
        self.0.note("lost");
    }
}

#[tokio::test]
async fn an_application_that_never_answers_keeps_a_place_no_longer_than_the_grace_time() {
    let place = Place::new();
    let diary = Arc::new(Diary::default());
    let limits = Limits {
        login_grace_time: Duration::from_millis(50),
        // The one place there is is free again.
        max_startups: "1".parse().unwrap(),
        ..Limits::default()
    };
    let hesitant = || Hesitant(Arc::clone(&diary));
    let listening = builder(&place)
        .limits(limits.clone())
        .listen("127.0.0.1:0", hesitant())
        .await
        .unwrap();
    for _ in 0..3 {
        until("there is a place", || listening.connections() == 0).await;
        let mut stream = TcpStream::connect(listening.local_addr()).await.unwrap();
        let mut nothing = Vec::new();
        let closed = stream.read_to_end(&mut nothing);
        tokio::time::timeout(PATIENCE, closed)
            .await
            .expect("it keeps its place")
            .unwrap();
    }
    // It was never let in, so it is not lost.
    assert_eq!(diary.all(), ["asked"; 3]);

    let server = builder(&place).limits(limits).build(hesitant()).unwrap();
    let (_near, far) = tokio::io::duplex(1024);
    let over = server.serve_stream(far, Peer::named("a pipe")).await.unwrap_err();
    assert!(
        matches!(
            over,
            Error::GraceTimeOver {
                phase: Phase::Admission,
                ..
            }
        ),
        "{over}"
    );
    assert_eq!(
        over.to_string(),
        "a pipe: nobody logged in within 0.05 seconds: the application's answer whether it may come in was not done"
    );

    // A server that ends does not wait for the answer either.
    let listening = builder(&place).listen("127.0.0.1:0", hesitant()).await.unwrap();
    let _waiting = TcpStream::connect(listening.local_addr()).await.unwrap();
    until("it is asked", || diary.all().len() == 5).await;
    tokio::time::timeout(PATIENCE, listening.shutdown())
        .await
        .expect("it waits for the application");
}

#[tokio::test]
async fn new_options_are_for_new_connections() {
    let place = Place::new();
    let server = server(&place, Site::default());
    let listening = server.listen("127.0.0.1:0").await.unwrap();
    let login = || async {
        let stream = TcpStream::connect(listening.local_addr()).await.unwrap();
        over(stream, USER, Proof::Password(PASSWORD)).await
    };
    let before = login().await.unwrap();
    let limits = Limits {
        max_sessions: 1,
        ..Limits::default()
    };
    server.update(builder(&place).limits(limits.clone())).unwrap();
    let after = login().await.unwrap();
    let (_one, _two) = (session(&before).await, session(&before).await);
    let _one = session(&after).await;
    assert!(
        after
            .open(ssh_server::channel::ChannelType::Session)
            .await
            .is_err()
    );
    let no_passwords = Config {
        password_login: false,
        ..Config::default()
    };
    server
        .update(builder(&place).limits(limits).config(no_passwords))
        .unwrap();
    assert!(login().await.is_none());
    assert!(matches!(server.update(Server::builder()), Err(Error::NoHostKey)));
    let _still = session(&before).await;
}

#[tokio::test]
async fn a_server_drains_and_then_says_goodbye() {
    let place = Place::new();
    let listening = builder(&place)
        .listen("127.0.0.1:0", Site::default())
        .await
        .unwrap();
    let address = listening.local_addr();
    let stream = TcpStream::connect(address).await.unwrap();
    let handle = over(stream, USER, Proof::Password(PASSWORD)).await.unwrap();
    let mut channel = session(&handle).await;
    assert!(asked(&channel, Exec::new("local cat")).await);
    let drained = tokio::spawn(listening.drain(Duration::from_secs(60)));
    until("nobody new comes in", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    channel.write_all(b"still served").await.unwrap();
    channel.eof().unwrap();
    assert_eq!(ended(channel).await.0, "still served");
    handle.disconnect().await;
    tokio::time::timeout(PATIENCE, drained).await.unwrap().unwrap();
    let listening = builder(&place)
        .listen("127.0.0.1:0", Site::default())
        .await
        .unwrap();
    let stream = TcpStream::connect(listening.local_addr()).await.unwrap();
    let handle = over(stream, USER, Proof::Password(PASSWORD)).await.unwrap();
    listening.drain(Duration::from_millis(10)).await;
    let why = handle.closed().await.to_string();
    assert!(why.contains("the server is ending"), "{why}");
}
