//! `bowline ssh -L`, `-R` and `-D`, and the keywords about them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use ssh_testkit::running::{Finished, free_port, run};

use crate::algorithms::{into, openssh};
use crate::bowline::{Peer, wait_until};
use crate::echo;

/// A client that runs until this value goes.
struct Session {
    child: Child,
    /// What it said before its command began.
    told: std::sync::mpsc::Receiver<String>,
}

impl Session {
    /// Starts `line` with a command that says when it runs: the forwards are there by then.
    fn start(line: &mut Command) -> Self {
        let mut child = line
            .arg("echo ready; cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (teller, told) = std::sync::mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                eprintln!("{line}");
                let _ = teller.send(line);
            }
        });
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert_eq!(first, "ready\n", "{line:?}");
        Self { child, told }
    }

    /// Waits for a line on its standard error that begins so, and gives the rest.
    fn told(&self, begin: &str) -> String {
        let wait = std::time::Duration::from_secs(120);
        loop {
            let line = self.told.recv_timeout(wait).unwrap();
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.to_owned();
            }
        }
    }

    /// Ends the command and waits for the client.
    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether what goes in comes out.
fn echoes(mut stream: TcpStream, request: &[u8], answer: usize) {
    stream.write_all(request).unwrap();
    let mut answered = vec![0; answer];
    stream.read_exact(&mut answered).unwrap();
    let sent: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    writing.join().unwrap();
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// A request to be led to `port` of this host, by SOCKS 5 with a name; the answers to it have 2 and 10 bytes.
fn socks(port: u16) -> Vec<u8> {
    let name = b"127.0.0.1";
    let mut request = vec![5, 1, 0, 5, 1, 0, 3, 9];
    request.extend(name);
    request.extend(port.to_be_bytes());
    request
}

#[test]
fn ports_of_this_side() {
    for peer in Peer::all() {
        let (target, port, dynamic, file) = (echo::start(), free_port(), free_port(), free_port());
        let local = format!("{port}:127.0.0.1:{target}");
        let config = format!("LocalForward=127.0.0.1:{file} 127.0.0.1:{target}");
        let options = ["-L", &local, "-D", &dynamic.to_string(), "-o", &config];
        let session = Session::start(&mut peer.client("ssh", &options));
        echoes(connect(port), b"", 0);
        echoes(connect(file), b"", 0);
        echoes(connect(dynamic), &socks(target), 12);
        assert_eq!(session.end(), Some(0), "{}", peer.name);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{}", peer.name);
    }
}

#[test]
fn the_end_waits_for_forwarded_connections() {
    for peer in Peer::all() {
        let (target, port) = (TcpListener::bind(("127.0.0.1", 0)).unwrap(), free_port());
        let local = format!("{port}:{}", target.local_addr().unwrap());
        let mut session = Session::start(&mut peer.client("ssh", &["-L", &local]));
        let mut stream = connect(port);
        stream.write_all(b"early ").unwrap();
        // Only when the connection is through does the client know of it.
        let (mut through, _) = target.accept().unwrap();
        through.read_exact(&mut [0; 6]).unwrap();
        // Others are only let in to see that nobody is any more.
        std::thread::spawn(move || target.incoming().for_each(drop));
        drop(session.child.stdin.take());
        wait_until("it goes on listening", || {
            TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        assert!(
            session.child.try_wait().unwrap().is_none(),
            "{}: it is gone",
            peer.name
        );
        stream.write_all(b"and late").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        through.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "and late", "{}", peer.name);
        through.write_all(b"answered").unwrap();
        drop(through);
        heard.clear();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "answered", "{}", peer.name);
        assert_eq!(session.child.wait().unwrap().code(), Some(0), "{}", peer.name);
    }
}

#[test]
fn who_may_connect_to_a_port_of_this_side() {
    let Some(server) = openssh("") else { return };
    let target = echo::start();
    // Another address of this host than the loopback's first one stands for everybody else.
    let elsewhere = |port: u16| TcpStream::connect(("127.0.0.2", port)).is_ok();
    for (options, bind, is_open) in [
        (&[][..], "", false),
        (&["-g"], "", true),
        (&["-o", "GatewayPorts=yes"], "", true),
        (&[], "*:", true),
        (&[], ":", true),
        (&["-g"], "localhost:", false),
        (&["-4"], "", false),
        (&["-4"], "*:", true),
        (&[], "127.0.0.2:", true),
    ] {
        let port = free_port();
        let spec = format!("{bind}{port}:127.0.0.1:{target}");
        let session = Session::start(&mut into(&server, &[options, &["-L", &spec]].concat()));
        assert_eq!(elsewhere(port), is_open, "{options:?} {spec}");
        assert_eq!(
            TcpStream::connect(("127.0.0.1", port)).is_ok(),
            bind != "127.0.0.2:",
            "{options:?} {spec}"
        );
        session.end();
    }
}

#[test]
fn ports_of_the_servers_side() {
    let Some(server) = openssh("") else { return };
    let (target, port) = (echo::start(), free_port());
    let chosen = format!("{port}:127.0.0.1:{target}");
    let config = format!("RemoteForward=0 127.0.0.1:{target}");
    let session = Session::start(&mut into(&server, &["-R", &chosen, "-o", &config, "-R", "0"]));
    echoes(connect(port), b"", 0);
    let allocated = |line: String, target: &str| -> u16 {
        let (port, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, format!("for remote forward to {target}"));
        port.parse().unwrap()
    };
    let free = allocated(session.told("Allocated port "), &format!("127.0.0.1:{target}"));
    echoes(connect(free), b"", 0);
    let dynamic = allocated(session.told("Allocated port "), "socks:0");
    echoes(connect(dynamic), &socks(target), 12);
    assert_eq!(session.end(), Some(0));
}

#[test]
fn what_a_remote_dynamic_forward_may_reach() {
    let Some(server) = openssh("") else { return };
    let (open, shut) = (echo::start(), echo::start());
    let permitted = format!("PermitRemoteOpen=127.0.0.1:{open}");
    for (option, reaches) in [
        (permitted.as_str(), [true, false]),
        ("PermitRemoteOpen=any", [true, true]),
        ("PermitRemoteOpen=none", [false, false]),
    ] {
        let port = free_port();
        let session = Session::start(&mut into(&server, &["-R", &port.to_string(), "-o", option]));
        for (target, expected) in [open, shut].into_iter().zip(reaches) {
            let mut stream = connect(port);
            stream.write_all(&socks(target)).unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            // Version 5, no authentication; version 5, 0 for success.
            assert_eq!(answer == [5, 0, 5, 0], expected, "{option}: {answer:?}");
        }
        session.end();
    }
}

#[test]
fn unix_sockets_on_either_side() {
    let Some(server) = openssh("") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let listener = UnixListener::bind(path("target")).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            stream.write_all(&heard).unwrap();
        }
    });
    let (target, port) = (echo::start(), free_port());
    let specs = [
        format!("{port}:{}", path("target")),
        format!("{}:{}", path("there_%p"), path("target")),
        format!("{}:127.0.0.1:{target}", path("over")),
    ];
    fs::write(path("plain"), "").unwrap();
    // A name that is taken by a socket nobody listens on.
    drop(UnixListener::bind(path("over")).unwrap());
    let mut line = into(&server, &["-L", &specs[0], "-R", &specs[1], "-L", &specs[2]]);
    line.args([
        "-o",
        "StreamLocalBindUnlink=yes",
        "-o",
        "StreamLocalBindMask=0117",
    ]);
    let session = Session::start(&mut line);
    let mode = fs::metadata(path("over")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "what the mask leaves");
    let mut tcp = connect(port);
    let there = path(&format!("there_{}", server.port));
    let (mut there, mut over) = (
        UnixStream::connect(there).unwrap(),
        UnixStream::connect(path("over")).unwrap(),
    );
    tcp.write_all(b"word").unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    for stream in [&mut there, &mut over] {
        stream.write_all(b"word").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    for stream in [&mut tcp as &mut dyn Read, &mut there, &mut over] {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "word");
    }
    assert_eq!(session.end(), Some(0));
    assert!(
        !fs::exists(path("over")).unwrap(),
        "a socket of ours goes with us"
    );
    // Without the keyword, and where no socket is, nothing is taken away.
    drop(UnixListener::bind(path("over")).unwrap());
    for (spec, unlink) in [("over", "no"), ("plain", "yes")] {
        let unlink = format!("StreamLocalBindUnlink={unlink}");
        let spec = format!("{}:127.0.0.1:{target}", path(spec));
        let strict = ["-o", "ExitOnForwardFailure=yes", "-o", &unlink, "-L", &spec];
        let finished = run(into(&server, &strict).arg("echo in")).with_code(255);
        assert!(
            finished.stderr_text().contains(&spec[..spec.find(':').unwrap()]),
            "{finished}"
        );
    }
    assert!(fs::exists(path("plain")).unwrap());
}

fn forward_failure(line: &mut Command, strict: bool) -> Finished {
    if strict {
        line.args(["-o", "ExitOnForwardFailure=yes"]);
    }
    run(line.arg("echo in"))
}

#[test]
fn what_cannot_be_forwarded_is_told_or_is_the_end() {
    let Some(server) = openssh("") else { return };
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    let local = format!("127.0.0.1:{taken}:127.0.0.1:1");
    for strict in [false, true] {
        let finished = forward_failure(&mut into(&server, &["-L", &local]), strict);
        let told = finished.stderr_text();
        assert!(told.contains(&taken.to_string()), "{finished}");
        assert!(
            told.ends_with("Could not request local forwarding.\n"),
            "{finished}"
        );
        assert_eq!(finished.code, Some(if strict { 255 } else { 0 }), "{finished}");
        assert_eq!(finished.stdout_text(), if strict { "" } else { "in\n" });
    }
    drop(listener);
    let Some(closed) = openssh("AllowTcpForwarding no\nAllowStreamLocalForwarding no") else {
        return;
    };
    for (spec, place) in [("8022:127.0.0.1:1", "port 8022"), ("/x/y:/z", "path /x/y")] {
        for (strict, word) in [(false, "Warning"), (true, "Error")] {
            let finished = forward_failure(&mut into(&closed, &["-R", spec]), strict);
            assert_eq!(
                finished.stderr_text(),
                format!("{word}: remote port forwarding failed for listen {place}\n")
            );
            assert_eq!(finished.code, Some(if strict { 255 } else { 0 }), "{finished}");
        }
        // Not to be done at all.
        let cleared = ["-R", spec, "-o", "ClearAllForwardings=yes"];
        let finished = forward_failure(&mut into(&closed, &cleared), true);
        assert_eq!((finished.code, finished.stderr_text().as_str()), (Some(0), ""));
    }
}

#[test]
fn in_the_background_a_forward_serves_without_a_session() {
    // Our own server ends its connections with itself, and with them the client that nobody can name any more.
    let peer = Peer::own();
    let (target, port) = (echo::start(), free_port());
    let local = format!("{port}:127.0.0.1:{target}");
    let log = peer.file("background.log");
    let finished = run(&mut peer.client("ssh", &["-f", "-N", "-L", &local, "-E", &log]));
    assert_eq!(finished.code, Some(0), "{finished}");
    echoes(connect(port), b"", 0);
    drop(peer);
    wait_until("the client does not end", || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
}
