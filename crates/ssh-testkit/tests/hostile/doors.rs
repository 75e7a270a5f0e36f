//! The front doors, whole programs over TCP: what the machines pass on to them. Extended data where they expect none
//! (C6), channels a client never asked for (C8), terminals and signals without sense (C12).

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use ssh_client::channel::{ChannelType, DirectTcpip, ForwardedStreamlocal, ForwardedTcpip};
use ssh_client::kex::Role;
use ssh_client::keys::PublicKey;
use ssh_client::wire::{Writer, number};
use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_server::filesystem::Local;
use ssh_server::{
    Application, Candidate, Decision, Forward, Login, Permissions, Programs, Services, Session,
    Target as Address,
};
use ssh_testkit::hostile::channels::{Line, data, extended, open, request};
use ssh_testkit::hostile::{Peer, Target, Tcp, Traits, Victim};
use tokio::runtime::Runtime;

use super::visit::{Visit, account, credit, heard, patient};

/// A login server that lets the one user key in.
struct House(Services);

impl Application for House {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        Decision::accept_if(key == Victim::user_key().public(), Permissions::default())
    }

    async fn session(&self, session: Session) {
        self.0.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Address) -> Forward {
        Forward::Connect
    }
}

/// That server and a peer that has logged in.
fn begin() -> Visit {
    let account = account();
    let services = Services::new()
        .sftp(Local::new(&account.home))
        .programs(Programs::new(account));
    Visit::to(House(services))
}

/// Extended data of several windows, never beyond what is granted: all of it has to be dropped with its credit.
fn flood(peer: &mut Peer, target: &mut Tcp, line: &mut Line, data_type: u32) {
    let piece = [b'e'; 20_000];
    let (all, mut said) = (3 * u64::from(line.window), 0);
    while said < all {
        while line.window < 20_000 {
            credit(line, &peer.until(number::CHANNEL_WINDOW_ADJUST, target));
        }
        peer.say(&extended(line.theirs, data_type, &piece), target);
        line.window -= 20_000;
        said += 20_000;
    }
}

const TYPES: [u32; 3] = [1, 99, u32::MAX];

#[test]
fn c06_a_server_drops_extended_data_for_files_programs_and_forwards() {
    let mut visit = begin();
    for (own, data_type) in (0..).step_by(3).zip(TYPES) {
        // A file service still answers its INIT.
        let mut line = visit.session(own);
        assert!(visit.ask(line, "subsystem", b"\0\0\0\x04sftp"));
        flood(&mut visit.peer, &mut visit.target, &mut line, data_type);
        let init = b"\0\0\0\x05\x01\0\0\0\x03";
        visit.peer.say(&data(line.theirs, init), &mut visit.target);
        let version = heard(&mut visit.peer, &mut visit.target, &mut line, 9);
        assert_eq!(version[4..9], *b"\x02\0\0\0\x03", "{data_type}");
        // A program still reads.
        let mut line = visit.session(own + 1);
        assert!(visit.ask(line, "exec", b"\0\0\0\x03cat"));
        flood(&mut visit.peer, &mut visit.target, &mut line, data_type);
        visit.echo(&mut line);
        // A target behind the server still hears.
        let (port, echo) = echo_once();
        let kind = DirectTcpip {
            host: "127.0.0.1".to_owned(),
            port,
            originator: "127.0.0.1".to_owned(),
            originator_port: 0,
        };
        let mut line = visit.peer.open(own + 2, &kind.into(), 1 << 20, &mut visit.target);
        flood(&mut visit.peer, &mut visit.target, &mut line, data_type);
        visit.echo(&mut line);
        echo.join().unwrap();
    }
}

/// Somebody who sends back the first thing said to them.
fn echo_once() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        let mut stream = patient(Tcp::accept(&listener).unwrap());
        let mut bytes = Vec::new();
        while bytes.is_empty() {
            bytes = stream.take();
        }
        stream.give(&bytes);
    });
    (port, echo)
}

/// Our client, on its way to a peer that plays the server, and what it does once it is logged in.
pub fn client<T: Send + 'static>(
    act: impl AsyncFnOnce(Client) -> T + Send + 'static,
) -> (Peer, Tcp, JoinHandle<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut peer = Peer::of(Role::Client, Traits::default());
    let believed = HostKeys::pinned(peer.key.public().clone());
    let acting = std::thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async move {
            let key = Credentials::key(Victim::user_key());
            let address = (Ipv4Addr::LOCALHOST.to_string(), port);
            let config = Config::default();
            let client = Client::connect_with(&config, address, Victim::USER, believed, key).await;
            act(client.unwrap()).await
        })
    });
    let mut target = patient(Tcp::accept(&listener).unwrap());
    peer.connect(&mut target);
    (peer, target, acting)
}

#[test]
fn c06_a_client_of_files_drops_extended_data() {
    for data_type in TYPES {
        let (mut peer, mut target, acting) = client(async |client: Client| {
            let files = client.sftp().await.unwrap();
            files.real_path(".").await.unwrap()
        });
        let mut line = peer.agree_to_open(5, 1 << 20, &mut target);
        peer.until(number::CHANNEL_REQUEST, &mut target);
        let granted = [&[number::CHANNEL_SUCCESS][..], &line.theirs.to_be_bytes()].concat();
        peer.say(&granted, &mut target);
        heard(&mut peer, &mut target, &mut line, 9);
        flood(&mut peer, &mut target, &mut line, data_type);
        peer.say(&data(line.theirs, b"\0\0\0\x05\x02\0\0\0\x03"), &mut target);
        let realpath = heard(&mut peer, &mut target, &mut line, 9);
        flood(&mut peer, &mut target, &mut line, data_type);
        let mut name = b"\0\0\0\x17\x68".to_vec();
        name.extend_from_slice(&realpath[5..9]);
        name.extend_from_slice(b"\0\0\0\x01\0\0\0\x01/\0\0\0\x01/\0\0\0\0");
        let length = u32::try_from(name.len() - 4).unwrap();
        name[..4].copy_from_slice(&length.to_be_bytes());
        peer.say(&data(line.theirs, &name), &mut target);
        assert_eq!(acting.join().unwrap(), b"/", "{data_type}");
    }
}

#[test]
fn c08_a_client_that_asked_for_nothing_refuses_every_channel_and_touches_no_socket() {
    let (mut peer, mut target, acting) = client(async |client: Client| client.closed().await.to_string());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let forwarded = ForwardedTcpip {
        address: "127.0.0.1".to_owned(),
        port,
        originator: "127.0.0.1".to_owned(),
        originator_port: 1,
    };
    let direct = DirectTcpip {
        host: "127.0.0.1".to_owned(),
        port,
        originator: "127.0.0.1".to_owned(),
        originator_port: 1,
    };
    let mut x11 = Vec::new();
    let mut writer = Writer::new(&mut x11);
    writer.string(b"127.0.0.1");
    writer.raw(&u32::from(port).to_be_bytes());
    let opens = [
        ("session", Vec::new()),
        ("x11", x11),
        ("auth-agent@openssh.com", Vec::new()),
        ("auth-agent", Vec::new()),
        ("forwarded-tcpip", ChannelType::from(forwarded).fields()),
        ("direct-tcpip", ChannelType::from(direct).fields()),
        (
            "forwarded-streamlocal@openssh.com",
            ChannelType::from(ForwardedStreamlocal::new(path.as_os_str().as_encoded_bytes())).fields(),
        ),
        ("tun@openssh.com", b"\0\0\0\x01\x7f\xff\xff\xff".to_vec()),
    ];
    for (own, (name, fields)) in (0_u32..).zip(&opens) {
        peer.say(&open(own, name, fields, 1 << 20), &mut target);
        let refused = peer.until(number::CHANNEL_OPEN_FAILURE, &mut target);
        assert_eq!(refused.payload[1..5], own.to_be_bytes(), "{name}");
    }
    let untouched = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::WouldBlock);
    untouched(listener.accept().map(drop).unwrap_err());
    untouched(socket.accept().map(drop).unwrap_err());
    // It lives on and answers: none of that was an error of the connection.
    peer.say(b"\x50\0\0\0\x15keepalive@openssh.com\x01", &mut target);
    peer.until(number::REQUEST_SUCCESS, &mut target);
    drop(target);
    acting.join().unwrap();
}

/// The fields of `pty-req`.
fn pty(term: &[u8], sizes: [u32; 4], modes: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut writer = Writer::new(&mut fields);
    writer.string(term);
    for size in sizes {
        writer.raw(&size.to_be_bytes());
    }
    writer.string(modes);
    fields
}

#[test]
fn c12_terminals_without_sense_are_refused_and_the_channel_stays() {
    let mut visit = begin();
    let mut line = visit.session(1);
    let usual = pty(b"xterm", [80, 24, 0, 0], b"\0");
    // What does not decode is refused, wherever it is cut; so is a name that no terminal has.
    for cut in 0..usual.len() {
        assert!(!visit.ask(line, "pty-req", &usual[..cut]), "cut to {cut} bytes");
    }
    let refused = [
        pty(&[b'x'; 100_000], [80, 24, 0, 0], b"\0"),
        pty(b"xterm", [80, 24, 0, 0], b"\x03\0\0"),
        pty(b"xterm", [80, 24, 0, 0], &[b"\x35".as_slice(), &[0; 2]].concat()),
    ];
    for fields in &refused {
        assert!(!visit.ask(line, "pty-req", fields), "{} bytes", fields.len());
    }
    // Modes nobody knows, no size, sizes nobody has: answered one way or the other, each on a channel of its own.
    let unknown: Vec<u8> = (1..160).flat_map(|mode| [mode, 0xff, 0xff, 0xff, 0xff]).collect();
    let odd = [
        pty(b"xterm", [80, 24, 0, 0], &[&unknown[..], b"\0"].concat()),
        pty(b"xterm", [80, 24, 0, 0], b"\xff\x01\x02\x03"),
        pty(b"xterm", [0; 4], b"\0"),
        pty(b"xterm", [u32::MAX; 4], b"\0"),
        pty(b"", [80, 24, 0, 0], b""),
        pty(b"\x1b[31m\0\n", [80, 24, 0, 0], b""),
    ];
    for (own, fields) in (10..).zip(&odd) {
        let line = visit.session(own);
        visit.ask(line, "pty-req", fields);
        visit.ask(line, "window-change", &fields[..16.min(fields.len())]);
    }
    // After all of it the first channel still runs a program.
    assert!(visit.ask(line, "exec", b"\0\0\0\x03cat"));
    visit.echo(&mut line);
}

#[test]
fn c12_window_changes_signals_and_second_programs_leave_the_first_one_alone() {
    let mut visit = begin();
    let mut line = visit.session(1);
    let changes = |visit: &mut Visit, count: u32| {
        let mut bytes = Vec::new();
        for at in 0..count {
            let sizes = [at, at.wrapping_mul(7), u32::MAX, 0];
            let fields: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
            visit
                .peer
                .wire
                .sealer
                .seal_payload(&request(line.theirs, "window-change", false, &fields));
            bytes.append(visit.peer.wire.sealer.outbox());
        }
        visit.peer.say_bytes(&bytes, &mut visit.target);
    };
    changes(&mut visit, 10_000);
    assert!(
        visit.ask(line, "exec", b"\0\0\0\x03cat"),
        "it starts all the same"
    );
    changes(&mut visit, 10_000);
    for name in [&b"NOSUCH"[..], b"", b"TERM\0", b"../KILL", b"9", &[b'K'; 50_000]] {
        let mut fields = Vec::new();
        Writer::new(&mut fields).string(name);
        assert!(!visit.ask(line, "signal", &fields), "signal {name:?}");
    }
    // One program to a channel.
    for (name, fields) in [
        ("exec", &b"\0\0\0\x09kill $PPID"[..]),
        ("shell", b""),
        ("subsystem", b"\0\0\0\x04sftp"),
        ("pty-req", &pty(b"xterm", [80, 24, 0, 0], b"\0")),
        ("no such request", b"\xff\xff\xff\xff"),
    ] {
        assert!(!visit.ask(line, name, fields), "{name}");
    }
    visit.echo(&mut line);
}
