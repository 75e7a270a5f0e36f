//! C14: a forwarded agent is its user's alone. At the server the way to it is a socket that nobody else gets at; the client
//! leads nobody to it who was not asked in; and what the two say about who they are goes through as it is.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use ssh_client::Client;
use ssh_client::wire::number;
use ssh_server::Permissions;
use ssh_testkit::hostile::channels::{data, open};
use ssh_testkit::peers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::doors::client;
use super::policy::Open;
use super::visit::{Visit, heard, strings};

const KIND: &str = "auth-agent@openssh.com";

/// A frame of the agent's protocol (draft-ietf-sshm-ssh-agent §3): an extension that binds the agent to a session
/// (OpenSSH `PROTOCOL.agent` §1), with made-up values.
fn session_bind(is_forwarding: u8) -> Vec<u8> {
    let mut body = vec![27];
    let (host_key, session, signature) = ([0x51; 51], [0x32; 32], [0x83; 83]);
    body.extend(strings(&[
        b"session-bind@openssh.com",
        &host_key,
        &session,
        &signature,
    ]));
    body.push(is_forwarding);
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

/// An agent's yes.
const SUCCESS: &[u8] = b"\0\0\0\x01\x06";

/// A session whose program has an agent: where its socket is.
fn forwarded(visit: &mut Visit, own: u32) -> PathBuf {
    let line = visit.session(own);
    assert!(visit.ask(line, "auth-agent-req@openssh.com", b""));
    visit.exec(line, "echo $SSH_AUTH_SOCK; cat");
    visit.hear_line(line).into()
}

#[test]
fn c14_the_way_to_an_agent_is_its_users_alone_and_goes_with_the_connection() {
    let mut visit = Visit::to(Open::with(Permissions::default()));
    let socket = forwarded(&mut visit, 1);
    let folder = socket.parent().unwrap().to_owned();
    let own = fs::metadata("/proc/self").unwrap().uid();
    for (path, mode) in [(&socket, 0o600), (&folder, 0o700)] {
        let found = fs::symlink_metadata(path).unwrap();
        assert_eq!(
            (found.mode() & 0o7777, found.uid()),
            (mode, own),
            "{}",
            path.display()
        );
    }
    // What a program says about the session it speaks for arrives as it was said, and so does the answer.
    let mut stream = UnixStream::connect(&socket).unwrap();
    let opened = visit.opened();
    assert_eq!((opened.kind.as_str(), opened.fields.as_slice()), (KIND, &b""[..]));
    let line = visit.accept(&opened, 2);
    let bind = session_bind(1);
    stream.write_all(&bind).unwrap();
    assert_eq!(visit.hear(line, bind.len()), bind);
    visit.tell(line, SUCCESS);
    let mut answer = [0; SUCCESS.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, SUCCESS);
    // Refused by the client, a program finds the door closed.
    let mut refused = UnixStream::connect(&socket).unwrap();
    let opened = visit.opened();
    visit.refuse(&opened);
    assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
    // One socket for all sessions of a connection, and another for another connection.
    assert_eq!(forwarded(&mut visit, 3), socket);
    let mut other = Visit::to(Open::with(Permissions::default()));
    assert_ne!(forwarded(&mut other, 1).parent(), socket.parent());
    drop(visit);
    super::bowline::wait_until("the folder stays", || !folder.exists());
}

/// Somebody else's program that connects to a socket and reads to the end.
fn another_users_program(socket: &Path) -> String {
    let script = "import os, socket, sys\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ntry:\n    s.connect(sys.argv[1])\n    \
                  print('connected', s.recv(1))\nexcept OSError as error:\n    print(type(error).__name__)";
    let told = Command::new(peers::find("python3").unwrap())
        .args(["-c", script])
        .arg(socket)
        .output()
        .unwrap();
    String::from_utf8(told.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn c14_another_users_program_is_turned_away_by_the_modes_and_by_the_system() {
    if !peers::is_root() || peers::need("python3").is_none() {
        eprintln!("skipped: only root can start a program of somebody else's");
        return;
    }
    let mut visit = Visit::to(Open::with(Permissions::default()));
    let socket = forwarded(&mut visit, 1);
    assert_eq!(another_users_program(&socket), "PermissionError");
    let let_in = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let_in(socket.parent().unwrap(), 0o711);
    assert_eq!(another_users_program(&socket), "PermissionError");
    // With both modes gone the system still knows whose program it is.
    let_in(&socket, 0o666);
    for _ in 0..3 {
        let told = another_users_program(&socket);
        assert!(
            matches!(told.as_str(), "connected b''" | "ConnectionResetError"),
            "{told}"
        );
    }
    // Nothing of it reached the client: the only channel there is, is the user's own.
    let _stream = UnixStream::connect(&socket).unwrap();
    assert_eq!(visit.opened().kind, KIND);
    visit.settle();
    assert!(!visit.has_opened());
}

/// An agent of the client's own, which nobody has a reason to ask.
struct Untouched(UnixListener);

impl Untouched {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn check(&self) {
        assert_eq!(self.0.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn c14_a_server_that_was_offered_no_agent_reaches_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent");
    let agent = Untouched::at(&path);
    let (near, offered) = std::sync::mpsc::channel();
    let (withdraw, far) = tokio::sync::oneshot::channel::<()>();
    let (mut peer, mut target, acting) = client(async move |client: Client| {
        // Offered and taken back is not offered.
        let forward = client.forward_agent(&path).await.unwrap();
        near.send(()).unwrap();
        let _told = far.await;
        forward.close().await.unwrap();
        near.send(()).unwrap();
        client.closed().await.to_string()
    });
    let mut refused = |own: u32, kind: &str, fields: &[u8]| {
        peer.say(&open(own, kind, fields, 1 << 20), &mut target);
        let refused = peer.until(number::CHANNEL_OPEN_FAILURE, &mut target);
        assert_eq!(refused.payload[1..5], own.to_be_bytes(), "{kind}");
    };
    offered.recv().unwrap();
    // It was offered the agent under this name and with no fields; nothing else leads there.
    for (own, kind, fields) in [
        (1, "auth-agent", &b""[..]),
        (2, "auth-agent-req@openssh.com", b""),
        (3, "agent-connection", b""),
        (4, KIND, b"\0\0\0\0"),
        (5, "x11", b"\0\0\0\x09127.0.0.1\0\0\0\x01"),
    ] {
        refused(own, kind, fields);
    }
    agent.check();
    withdraw.send(()).unwrap();
    offered.recv().unwrap();
    refused(6, KIND, b"");
    agent.check();
    drop(target);
    acting.join().unwrap();
}

#[test]
fn c14_what_a_server_says_to_the_agent_it_was_offered_goes_through_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent");
    let (near, offered) = std::sync::mpsc::channel();
    let bind = session_bind(1);
    let length = bind.len();
    let (mut peer, mut target, acting) = client(async move |client: Client| {
        let agent = tokio::net::UnixListener::bind(&path).unwrap();
        let _forward = client.forward_agent(&path).await.unwrap();
        near.send(()).unwrap();
        let (mut stream, _) = agent.accept().await.unwrap();
        let mut told = vec![0; length];
        stream.read_exact(&mut told).await.unwrap();
        stream.write_all(SUCCESS).await.unwrap();
        client.closed().await;
        told
    });
    offered.recv().unwrap();
    let mut line = ssh_testkit::hostile::channels::Line {
        own: 1,
        theirs: 0,
        window: 0,
        max_packet: 0,
    };
    peer.say(&open(line.own, KIND, b"", 1 << 20), &mut target);
    let confirmed = peer.until(number::CHANNEL_OPEN_CONFIRMATION, &mut target);
    line.theirs = u32::from_be_bytes(confirmed.payload[5..9].try_into().unwrap());
    // In two halves: what is passed on need not come as one.
    for half in bind.chunks(bind.len() / 2 + 1) {
        peer.say(&data(line.theirs, half), &mut target);
    }
    assert_eq!(heard(&mut peer, &mut target, &mut line, SUCCESS.len()), SUCCESS);
    drop(target);
    assert_eq!(acting.join().unwrap(), bind);
}

/// `bowline ssh` where there is an agent, and nobody has said that it may be used there.
#[test]
fn c14_the_program_leads_no_server_to_an_agent_unless_it_is_told_to() {
    use ssh_client::kex::Role;
    use ssh_testkit::hostile::{Peer, Tcp, Traits};
    use ssh_testkit::openssh::Keys;
    use ssh_testkit::running::Running;

    let keys = Keys::make();
    let path = keys.path("agent");
    let agent = Untouched::at(&path);
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut peer = Peer::of(Role::Client, Traits::default());
    let known = keys.path("known_peer");
    let host_key = peer.key.public().to_openssh("");
    fs::write(&known, format!("[127.0.0.1]:{port} {host_key}\n")).unwrap();
    fs::set_permissions(keys.path("user"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = super::bowline::bowline(&["ssh", "-o", "BatchMode=yes"]);
    command.args(["-o", &format!("UserKnownHostsFile={}", known.display())]);
    command.arg("-i").arg(keys.path("user"));
    command.args(["-p", &port.to_string(), "anybody@127.0.0.1", "true"]);
    let _program = Running::start(command.env("SSH_AUTH_SOCK", &path));
    let mut target = super::visit::patient(Tcp::accept(&listener).unwrap());
    peer.connect(&mut target);
    let session = peer.agree_to_open(1, 1 << 20, &mut target);
    for own in 2..5 {
        peer.say(&open(own, KIND, b"", 1 << 20), &mut target);
        let refused = peer.until(number::CHANNEL_OPEN_FAILURE, &mut target);
        assert_eq!(refused.payload[1..5], own.to_be_bytes());
    }
    // Even when the server claims that it was asked for one.
    let granted = [&[number::CHANNEL_SUCCESS][..], &session.theirs.to_be_bytes()].concat();
    peer.say(&granted, &mut target);
    peer.say(&open(5, KIND, b"", 1 << 20), &mut target);
    peer.until(number::CHANNEL_OPEN_FAILURE, &mut target);
    agent.check();
}
