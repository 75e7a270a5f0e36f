//! C9: what may be forwarded. Every policy against every kind of request, each asked for in raw packets: granted exactly
//! where the policy says so, with everything that belongs to it, and refused everywhere else with nothing left behind.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use ssh_client::keys::PublicKey;
use ssh_client::keys::authorized_keys::TunnelDevice;
use ssh_server::channel::{Tun, X11Req};
use ssh_server::{
    Application, Candidate, Decision, DisplayPolicy, Forward, GatewayPorts, Handler, Listen, ListenSocket,
    ListenTarget, Login, Permissions, Programs, Services, Session, SocketPolicy, Target, TunnelEnd,
};
use ssh_testkit::hostile::channels::Line;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bowline::wait_until;
use super::visit::{Visit, account, is_the_key, string_and_number, strings};

/// An application that leaves everything to the permissions of the login.
pub struct Open {
    pub permissions: Permissions,
    pub gateway_ports: GatewayPorts,
    pub sockets: SocketPolicy,
}

impl Open {
    pub fn with(permissions: Permissions) -> Self {
        Self {
            permissions,
            gateway_ports: GatewayPorts::No,
            sockets: SocketPolicy::default(),
        }
    }
}

impl Application for Open {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        Decision::accept_if(is_the_key(key), self.permissions.clone())
    }

    async fn session(&self, session: Session) {
        let programs = Programs::new(account());
        Services::new().programs(programs).serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
        Forward::Connect
    }

    async fn direct_streamlocal(&self, _login: &Login, _path: &Path) -> Forward {
        Forward::Connect
    }

    async fn tcpip_forward(&self, _login: &Login, _wanted: &ListenTarget) -> Listen {
        Listen::Bind(self.gateway_ports)
    }

    async fn streamlocal_forward(&self, _login: &Login, _path: &Path) -> ListenSocket {
        ListenSocket::Bind(self.sockets)
    }

    async fn agent_forwarding(&self, _login: &Login) -> bool {
        true
    }

    async fn x11(&self, _login: &Login, _wanted: &X11Req) -> Option<DisplayPolicy> {
        Some(DisplayPolicy {
            first: 1_600,
            ..DisplayPolicy::default()
        })
    }

    async fn tun(&self, _login: &Login, _wanted: &Tun) -> TunnelEnd {
        TunnelEnd::Serve(Handler::new(|mut channel| async move {
            let mut heard = [0; 4];
            if channel.read_exact(&mut heard).await.is_ok() {
                let _gone = channel.write_all(&heard).await;
            }
        }))
    }
}

/// An application that lets people in and says nothing else.
struct Silent;

impl Application for Silent {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        Decision::accept_if(is_the_key(key), Permissions::default())
    }

    async fn session(&self, session: Session) {
        let programs = Programs::new(account());
        Services::new().programs(programs).serve(session).await;
    }
}

/// Where connections through the server may lead, and a folder for its sockets.
pub struct Place {
    folder: TempDir,
    pub port: TcpListener,
    socket: UnixListener,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(folder.path().join("target")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        port.set_nonblocking(true).unwrap();
        Self { folder, port, socket }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn number(&self) -> u16 {
        self.port.local_addr().unwrap().port()
    }
}

/// What a refusal for the policy's sake is called.
const PROHIBITED: u32 = 1;

/// The fields of `direct-tcpip`.
pub fn direct(host: &[u8], port: u32) -> Vec<u8> {
    [
        string_and_number(host, port),
        string_and_number(b"192.0.2.9", 4711),
    ]
    .concat()
}

/// The fields of `direct-streamlocal@openssh.com`.
pub fn direct_socket(path: &Path) -> Vec<u8> {
    [strings(&[path.as_os_str().as_encoded_bytes(), b""]), vec![0; 4]].concat()
}

pub fn socket_name(path: &Path) -> Vec<u8> {
    strings(&[path.as_os_str().as_encoded_bytes()])
}

pub fn x11_request() -> Vec<u8> {
    let strings = strings(&[b"MIT-MAGIC-COOKIE-1", b"000102030405060708090a0b0c0d0e0f"]);
    [&[0][..], &strings, &[0; 4]].concat()
}

/// Data pass between a channel and a stream in both directions.
pub fn is_joined(visit: &mut Visit, line: Line, mut stream: impl Read + Write) {
    visit.tell(line, b"ping");
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
    stream.write_all(b"pong").unwrap();
    assert_eq!(visit.hear(line, 4), b"pong");
}

/// The connection that has come, if one has.
pub fn arrived<S>(accepted: std::io::Result<S>) -> Option<S> {
    match accepted {
        Ok(stream) => Some(stream),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    }
}

/// The connection that has to come. The system tells the one side a moment before the other.
pub fn arrival<S>(accept: impl Fn() -> std::io::Result<S>) -> S {
    let mut stream = None;
    wait_until("nobody comes", || {
        stream = arrived(accept());
        stream.is_some()
    });
    stream.unwrap()
}

/// Asks for a channel that should lead to a stream; whether it was granted, and then it does.
fn leads<S: Read + Write>(
    visit: &mut Visit,
    own: u32,
    (kind, fields): (&str, &[u8]),
    accept: impl Fn() -> std::io::Result<S>,
) -> bool {
    match visit.open(own, kind, fields) {
        Ok(line) => {
            is_joined(visit, line, arrival(accept));
            visit.close(line);
            true
        }
        Err(reason) => {
            assert_eq!(reason, PROHIBITED, "{kind}");
            assert!(arrived(accept()).is_none(), "{kind}: refused and connected");
            false
        }
    }
}

fn direct_tcpip(visit: &mut Visit, place: &Place) -> bool {
    let fields = direct(b"127.0.0.1", place.number().into());
    leads(visit, 1, ("direct-tcpip", &fields), || {
        let (stream, _) = place.port.accept()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    })
}

fn direct_streamlocal(visit: &mut Visit, place: &Place) -> bool {
    let fields = direct_socket(&place.path("target"));
    leads(visit, 2, ("direct-streamlocal@openssh.com", &fields), || {
        let (stream, _) = place.socket.accept()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    })
}

/// The port that the server listens at for `address`, where it does.
pub fn listen(visit: &mut Visit, address: &[u8]) -> Option<u16> {
    let reply = visit.global("tcpip-forward", &string_and_number(address, 0))?;
    Some(u16::try_from(u32::from_be_bytes(reply.try_into().unwrap())).unwrap())
}

pub fn cancel(visit: &mut Visit, address: &[u8], port: u16) {
    let fields = string_and_number(address, port.into());
    assert_eq!(visit.global("cancel-tcpip-forward", &fields), Some(Vec::new()));
}

fn tcpip_forward(visit: &mut Visit) -> bool {
    let Some(port) = listen(visit, b"localhost") else {
        return false;
    };
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let opened = visit.opened();
    assert_eq!(opened.kind, "forwarded-tcpip");
    let from = u32::from(stream.local_addr().unwrap().port());
    let fields = [
        string_and_number(b"localhost", port.into()),
        string_and_number(b"127.0.0.1", from),
    ];
    assert_eq!(opened.fields, fields.concat());
    let line = visit.accept(&opened, 3);
    is_joined(visit, line, stream);
    visit.close(line);
    cancel(visit, b"localhost", port);
    true
}

fn streamlocal_forward(visit: &mut Visit, place: &Place) -> bool {
    let path = place.path("listening");
    if visit
        .global("streamlocal-forward@openssh.com", &socket_name(&path))
        .is_none()
    {
        assert!(!path.exists(), "refused and made");
        return false;
    }
    let found = fs::symlink_metadata(&path).unwrap();
    let own = fs::metadata("/proc/self").unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, own.uid()));
    let stream = UnixStream::connect(&path).unwrap();
    let opened = visit.opened();
    assert_eq!(opened.kind, "forwarded-streamlocal@openssh.com");
    assert!(opened.fields.starts_with(&socket_name(&path)));
    let line = visit.accept(&opened, 4);
    is_joined(visit, line, stream);
    visit.close(line);
    let cancelled = visit.global("cancel-streamlocal-forward@openssh.com", &socket_name(&path));
    assert_eq!(cancelled, Some(Vec::new()));
    assert!(!path.exists());
    true
}

/// A display and an agent for one session: whether each was granted, and then it leads to this side. What was refused
/// is in no variable either.
fn display_and_agent(visit: &mut Visit) -> [bool; 2] {
    let line = visit.session(5);
    let display = visit.ask(line, "x11-req", &x11_request());
    let agent = visit.ask(line, "auth-agent-req@openssh.com", b"");
    visit.exec(line, "echo \"[$DISPLAY][$XAUTHORITY][$SSH_AUTH_SOCK]\"; cat");
    let told = visit.hear_line(line);
    let told = told.strip_prefix('[').unwrap().strip_suffix(']').unwrap();
    let words: Vec<&str> = told.split("][").collect();
    assert_eq!(words[0].is_empty(), !display, "{told}");
    assert_eq!(words[1].is_empty(), !display, "{told}");
    assert_eq!(words[2].is_empty(), !agent, "{told}");
    if display {
        let number = words[0]
            .strip_prefix("localhost:")
            .unwrap()
            .strip_suffix(".0")
            .unwrap();
        let port = 6000 + number.parse::<u16>().unwrap();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let opened = visit.opened();
        assert_eq!(opened.kind, "x11");
        let line = visit.accept(&opened, 6);
        is_joined(visit, line, stream);
        visit.close(line);
    }
    if agent {
        let stream = UnixStream::connect(words[2]).unwrap();
        let opened = visit.opened();
        assert_eq!(opened.kind, "auth-agent@openssh.com");
        let line = visit.accept(&opened, 7);
        is_joined(visit, line, stream);
        visit.close(line);
    }
    visit.close(line);
    [display, agent]
}

fn tun(visit: &mut Visit) -> bool {
    let fields = [1_u32.to_be_bytes(), 3_u32.to_be_bytes()].concat();
    match visit.open(8, "tun@openssh.com", &fields) {
        Ok(line) => {
            visit.tell(line, b"ping");
            assert_eq!(visit.hear(line, 4), b"ping");
            visit.close(line);
            true
        }
        Err(reason) => {
            assert_eq!(reason, PROHIBITED);
            false
        }
    }
}

/// What each kind of request comes to: direct-tcpip, tcpip-forward, direct-streamlocal, streamlocal-forward, x11-req,
/// auth-agent-req, tun.
fn what_is_let_happen(visit: &mut Visit, place: &Place) -> [bool; 7] {
    let direct = direct_tcpip(visit, place);
    let listening = tcpip_forward(visit);
    let socket = direct_streamlocal(visit, place);
    let listening_socket = streamlocal_forward(visit, place);
    let [display, agent] = display_and_agent(visit);
    let tunnel = tun(visit);
    // Nothing of it was an error of the connection, and nothing was opened that nobody asked for.
    visit.settle();
    assert!(!visit.has_opened());
    [
        direct,
        listening,
        socket,
        listening_socket,
        display,
        agent,
        tunnel,
    ]
}

const NO: bool = false;
const YES: bool = true;

#[test]
fn c09_what_a_login_may_not_do_is_refused_and_the_rest_is_served() {
    let place = Place::new();
    let here = format!("127.0.0.1:{}", place.number());
    let open = Permissions::default;
    let may_open = |entry: &str| Permissions {
        permit_open: Some(vec![entry.parse().unwrap()]),
        ..open()
    };
    let may_listen = |entry: &str| Permissions {
        permit_listen: Some(vec![entry.parse().unwrap()]),
        ..open()
    };
    let no_agent = Permissions {
        agent_forwarding: false,
        ..open()
    };
    let no_display = Permissions {
        x11_forwarding: false,
        ..open()
    };
    let device = |number| Permissions {
        tunnel: Some(TunnelDevice::Number(number)),
        ..open()
    };
    for (name, permissions, expected) in [
        ("all", open(), [YES; 7]),
        ("no forwarding at all", open().without_forwarding(), [NO; 7]),
        (
            "no port forwarding",
            open().without_port_forwarding(),
            [NO, NO, NO, NO, YES, YES, NO],
        ),
        // A list is all there is, for sockets too.
        (
            "permitopen, this port",
            may_open(&here),
            [YES, YES, NO, YES, YES, YES, YES],
        ),
        (
            "permitopen, another port",
            may_open("127.0.0.1:1"),
            [NO, YES, NO, YES, YES, YES, YES],
        ),
        (
            "permitlisten, this name",
            may_listen("localhost:*"),
            [YES, YES, YES, NO, YES, YES, YES],
        ),
        (
            "permitlisten, its address",
            may_listen("127.0.0.1:*"),
            [YES, NO, YES, NO, YES, YES, YES],
        ),
        ("no agent", no_agent, [YES, YES, YES, YES, YES, NO, YES]),
        ("no display", no_display, [YES, YES, YES, YES, NO, YES, YES]),
        ("this device", device(3), [YES; 7]),
        ("another device", device(7), [YES, YES, YES, YES, YES, YES, NO]),
    ] {
        println!("{name}");
        let mut visit = Visit::to(Open::with(permissions));
        assert_eq!(what_is_let_happen(&mut visit, &place), expected, "{name}");
    }
    let mut visit = Visit::to(Silent);
    let allowed = what_is_let_happen(&mut visit, &place);
    assert_eq!(allowed, [NO; 7], "the defaults");
}

#[test]
fn c09_the_program_lets_happen_what_its_settings_say() {
    let place = Place::new();
    let here = format!("PermitOpen=127.0.0.1:{}", place.number());
    let by_name = format!("PermitOpen=localhost:{}", place.number());
    let table: [(&[&str], [bool; 7]); 15] = [
        (&[], [YES, YES, YES, YES, NO, YES, NO]),
        (
            &["X11Forwarding=yes", "X11DisplayOffset=1700"],
            [YES, YES, YES, YES, YES, YES, NO],
        ),
        (
            &[
                "DisableForwarding=yes",
                "X11Forwarding=yes",
                "AllowAgentForwarding=yes",
            ],
            [NO; 7],
        ),
        (&["AllowTcpForwarding=no"], [NO, NO, YES, YES, NO, YES, NO]),
        (&["AllowTcpForwarding=local"], [YES, NO, YES, YES, NO, YES, NO]),
        (&["AllowTcpForwarding=remote"], [NO, YES, YES, YES, NO, YES, NO]),
        (
            &["AllowStreamLocalForwarding=no"],
            [YES, YES, NO, NO, NO, YES, NO],
        ),
        (
            &["AllowStreamLocalForwarding=local"],
            [YES, YES, YES, NO, NO, YES, NO],
        ),
        (
            &["AllowStreamLocalForwarding=remote"],
            [YES, YES, NO, YES, NO, YES, NO],
        ),
        (&["AllowAgentForwarding=no"], [YES, YES, YES, YES, NO, NO, NO]),
        (&[&here], [YES, YES, YES, YES, NO, YES, NO]),
        (&[&by_name], [NO, YES, YES, YES, NO, YES, NO]),
        (&["PermitOpen=none"], [NO, YES, YES, YES, NO, YES, NO]),
        (&["PermitListen=localhost:*"], [YES, YES, YES, YES, NO, YES, NO]),
        (
            &["PermitListen=127.0.0.1:*", "PermitTunnel=no"],
            [YES, NO, YES, YES, NO, YES, NO],
        ),
    ];
    for (settings, expected) in table {
        println!("{settings:?}");
        let mut visit = Visit::to_program(settings, |_| {});
        assert_eq!(what_is_let_happen(&mut visit, &place), expected, "{settings:?}");
    }
}
