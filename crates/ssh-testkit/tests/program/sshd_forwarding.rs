//! What `bowline sshd` lets OpenSSH's client forward, and each setting about it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::{free_port, run};

use crate::bowline::{Sshd, wait_until};
use crate::echo;

/// A server with these settings.
fn server(settings: &[&str]) -> Sshd {
    let words: Vec<&str> = settings.iter().flat_map(|setting| ["-o", setting]).collect();
    Sshd::start(&words)
}

/// OpenSSH's client that stays until it is dropped, with what its command writes.
struct Visitor {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Visitor {
    /// Connects with `options`, and runs `command` there, which has to write a line and wait for the end of its input.
    fn with(server: &Sshd, options: &[&str], command: &str) -> Option<Self> {
        let mut line = Self::line(server, options)?;
        line.arg(format!("{}@127.0.0.1", peers::user())).arg(command);
        Some(Self::of(&mut line))
    }

    fn line(server: &Sshd, options: &[&str]) -> Option<Command> {
        let mut line = Command::new(peers::need("ssh")?);
        line.args(options)
            .args(client_arguments(&server.keys, server.port))
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("DISPLAY");
        Some(line)
    }

    fn of(line: &mut Command) -> Self {
        let mut child = line.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        Self { child, told }
    }

    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With `ExitOnForwardFailure`, whether the client gets what it asks for; else what it says.
fn is_granted(server: &Sshd, forward: &[&str]) -> Option<Result<(), String>> {
    let options = [forward, &["-o", "ExitOnForwardFailure=yes"]].concat();
    let mut line = Visitor::line(server, &options)?;
    let finished = run(line.arg(format!("{}@127.0.0.1", peers::user())).arg("true"));
    Some(match finished.code {
        Some(0) => Ok(()),
        _ => Err(finished.stderr_text()),
    })
}

/// Sends text through, and expects it back.
fn comes_back(mut stream: impl Read + Write) {
    stream.write_all(b"there and back").unwrap();
    let mut heard = [0; 14];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"there and back");
}

/// An echo that answers at once, at a Unix socket. The thread ends with the test.
fn echo_at(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut &stream, &mut back);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
}

/// The same at a port.
fn echo_at_once() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut &stream, &mut back);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

#[test]
fn ports_and_sockets_are_forwarded_in_both_directions() {
    let server = server(&[]);
    let target = echo_at_once();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    echo_at(&folder.path().join("target"));
    let (local, remote) = (free_port(), free_port());
    let forwards = [
        ["-L", &format!("{local}:127.0.0.1:{target}")],
        ["-L", &format!("{}:{}", path("local"), path("target"))],
        ["-R", &format!("{remote}:127.0.0.1:{target}")],
        ["-R", &format!("{}:{}", path("remote"), path("target"))],
    ];
    let options = [&forwards.concat()[..], &["-o", "ExitOnForwardFailure=yes"]].concat();
    let Some(mut visitor) = Visitor::with(&server, &options, "echo ready; cat") else {
        return;
    };
    assert_eq!(visitor.next_line(), "ready");
    for port in [local, remote] {
        comes_back(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    }
    for name in ["local", "remote"] {
        comes_back(UnixStream::connect(path(name)).unwrap());
    }
    let found = fs::symlink_metadata(path("remote")).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600);
    drop(visitor);
    wait_until("the port and the socket stay", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, remote)).is_err() && !Path::new(&path("remote")).exists()
    });
}

#[test]
fn the_server_chooses_a_port_for_0_and_gives_it_back() {
    let server = server(&[]);
    let target = echo_at_once();
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control").display().to_string();
    let master = ["-M", "-S", &control, "-R", &format!("0:127.0.0.1:{target}")];
    let Some(mut visitor) = Visitor::with(&server, &master, "echo ready; cat") else {
        return;
    };
    assert_eq!(visitor.next_line(), "ready");
    let ask = |words: &[&str]| {
        let mut line = Command::new(peers::need("ssh").unwrap());
        line.args(["-F", "none", "-S", &control])
            .args(words)
            .arg("anybody");
        run(&mut line).with_code(0).stdout_text()
    };
    // One more while the connection lives: its port is what the client writes.
    let port: u16 = ask(&["-O", "forward", "-R", &format!("0:127.0.0.1:{target}")])
        .trim()
        .parse()
        .unwrap();
    comes_back(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    // And one that is taken back.
    let chosen = free_port();
    let forward = format!("{chosen}:127.0.0.1:{target}");
    let _ = ask(&["-O", "forward", "-R", &forward]);
    comes_back(TcpStream::connect((Ipv4Addr::LOCALHOST, chosen)).unwrap());
    let _ = ask(&["-O", "cancel", "-R", &forward]);
    wait_until("the port stays", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, chosen)).is_err()
    });
    comes_back(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    drop(visitor);
    wait_until("the port stays when the connection is over", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
    });
}

#[test]
fn each_setting_about_listening_allows_and_forbids() {
    let taken = free_port();
    let folder = tempfile::tempdir().unwrap();
    let port = format!("{taken}:127.0.0.1:1");
    let place = format!("PermitListen=localhost:{taken}");
    let other = format!("PermitListen=127.0.0.1:{taken} localhost:1");
    for (settings, port_granted, socket_granted) in [
        (&[][..], true, true),
        (&["AllowTcpForwarding=no"], false, true),
        (&["AllowTcpForwarding=local"], false, true),
        (&["AllowTcpForwarding=remote"], true, true),
        (&["AllowTcpForwarding=all"], true, true),
        (&["AllowStreamLocalForwarding=no"], true, false),
        (&["AllowStreamLocalForwarding=local"], true, false),
        (&["AllowStreamLocalForwarding=remote"], true, true),
        (&["DisableForwarding=yes"], false, false),
        (&["DisableForwarding=yes", "AllowTcpForwarding=yes"], false, false),
        (&["DisableForwarding=no"], true, true),
        (&["PermitListen=none"], false, true),
        (&["PermitListen=any"], true, true),
        (&[place.as_str()], true, true),
        (&[other.as_str()], false, true),
    ] {
        let server = server(settings);
        // The one before may be ended before it has removed its socket.
        let path = folder.path().join(server.port.to_string());
        let socket = format!("{}:/nowhere", path.display());
        for (forward, granted) in [(&port, port_granted), (&socket, socket_granted)] {
            let Some(result) = is_granted(&server, &["-R", forward]) else {
                return;
            };
            assert_eq!(result.is_ok(), granted, "{settings:?} {forward:?}: {result:?}");
        }
    }
}

#[test]
fn each_setting_about_connecting_allows_and_forbids() {
    let target = echo::start();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("target");
    echo_at(&socket);
    for (setting, port_granted, socket_granted) in [
        ("AllowTcpForwarding=yes", true, true),
        ("AllowTcpForwarding=remote", false, true),
        ("AllowTcpForwarding=local", true, true),
        ("AllowStreamLocalForwarding=remote", true, false),
        ("AllowStreamLocalForwarding=local", true, true),
        ("AllowStreamLocalForwarding=no", true, false),
        ("DisableForwarding=yes", false, false),
    ] {
        let server = server(&[setting]);
        let Some(mut line) = Visitor::line(&server, &["-W", &format!("127.0.0.1:{target}")]) else {
            return;
        };
        let finished = run(line.arg(format!("{}@127.0.0.1", peers::user())));
        assert_eq!(finished.code == Some(0), port_granted, "{setting}: {finished}");

        let local = folder.path().join(format!("local {setting}"));
        let forward = format!("{}:{}", local.display(), socket.display());
        let mut visitor = Visitor::with(&server, &["-L", &forward], "echo ready; cat").unwrap();
        assert_eq!(visitor.next_line(), "ready");
        let mut stream = UnixStream::connect(&local).unwrap();
        let _ = stream.write_all(b"x");
        let heard = stream.read(&mut [0]).unwrap_or(0);
        assert_eq!(heard == 1, socket_granted, "{setting}");
    }
}

#[test]
fn gatewayports_decides_who_may_connect() {
    // Every address of 127.0.0.0/8 is this machine's, and one but the first is not what loopback forwards bind.
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    for (setting, asked, reached) in [
        ("GatewayPorts=no", "", false),
        ("GatewayPorts=no", "*:", false),
        ("GatewayPorts=no", "0.0.0.0:", false),
        ("GatewayPorts=yes", "", true),
        ("GatewayPorts=yes", "localhost:", true),
        ("GatewayPorts=clientspecified", "", false),
        ("GatewayPorts=clientspecified", "*:", true),
        ("GatewayPorts=clientspecified", "0.0.0.0:", true),
        ("GatewayPorts=clientspecified", "127.0.0.2:", true),
        ("GatewayPorts=clientspecified", "localhost:", false),
    ] {
        let server = server(&[setting]);
        let (port, target) = (free_port(), echo_at_once());
        let forward = format!("{asked}{port}:127.0.0.1:{target}");
        let options = ["-R", &forward, "-o", "ExitOnForwardFailure=yes"];
        let Some(mut visitor) = Visitor::with(&server, &options, "echo ready; cat") else {
            return;
        };
        assert_eq!(visitor.next_line(), "ready", "{setting} {asked}");
        let stream = TcpStream::connect((elsewhere, port));
        assert_eq!(stream.is_ok(), reached, "{setting} {asked}");
        if let Ok(stream) = stream {
            comes_back(stream);
        }
    }
}

#[test]
fn sockets_are_made_as_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let forward = format!("{}:/nowhere", socket.display());
    let old = || drop(UnixListener::bind(&socket).unwrap());
    old();
    let refused = server(&[]);
    let Some(result) = is_granted(&refused, &["-R", &forward]) else {
        return;
    };
    assert!(result.is_err() && socket.exists(), "{result:?}");
    for (mask, mode) in [("0177", 0o600), ("0117", 0o660), ("0111", 0o666)] {
        let server = server(&[
            "StreamLocalBindUnlink=yes",
            &format!("StreamLocalBindMask={mask}"),
        ]);
        let mut visitor = Visitor::with(&server, &["-R", &forward], "echo ready; cat").unwrap();
        assert_eq!(visitor.next_line(), "ready");
        assert_eq!(
            fs::symlink_metadata(&socket).unwrap().mode() & 0o777,
            mode,
            "{mask}"
        );
        drop(visitor);
        wait_until("the socket stays", || !socket.exists());
        old();
    }
}

#[test]
fn an_agent_is_reached_from_the_other_side_where_the_settings_let_it() {
    let Some(agent) = peers::need("ssh-agent") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let child = Command::new(agent)
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _agent = Ended(child);
    wait_until("no agent", || socket.exists());
    for (setting, granted) in [
        ("AllowAgentForwarding=yes", true),
        ("AllowAgentForwarding=no", false),
        ("DisableForwarding=yes", false),
        ("AllowTcpForwarding=no", true),
    ] {
        let server = server(&[setting]);
        let key = server.keys.path("user");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let mut add = Command::new(peers::need("ssh-add").unwrap());
        let _ = run(add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket)).with_code(0);
        let mut line = Visitor::line(&server, &["-A"]).unwrap();
        line.env("SSH_AUTH_SOCK", &socket)
            .arg(format!("{}@127.0.0.1", peers::user()))
            .arg("ssh-add -L; stat -c '%a' \"$SSH_AUTH_SOCK\" $(dirname \"$SSH_AUTH_SOCK\")");
        let finished = run(&mut line);
        let told = finished.stdout_text();
        assert_eq!(
            told.contains(&server.keys.public("user")),
            granted,
            "{setting}: {finished}"
        );
        assert_eq!(told.ends_with("600\n700\n"), granted, "{setting}: {finished}");
    }
}

/// A program that is ended with the value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A display of the client's own, at a port of the kind X11 servers have, and the file with its cookie.
struct OwnDisplay {
    listener: TcpListener,
    name: String,
    authority: String,
}

const COOKIE: &str = "00112233445566778899aabbccddeeff";

impl OwnDisplay {
    fn make(folder: &Path) -> Option<Self> {
        let xauth = peers::need("xauth")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port() - 6000;
        let name = format!("localhost:{number}");
        let authority = folder.join("authority").display().to_string();
        let entry = ["-q", "-f", &authority, "add", &name, "MIT-MAGIC-COOKIE-1", COOKIE];
        let _ = run(Command::new(xauth).args(entry)).with_code(0);
        Some(Self {
            listener,
            name,
            authority,
        })
    }
}

/// The first bytes of an X11 client: little-endian, protocol 11.0, with the cookie.
fn hello(cookie: &[u8]) -> Vec<u8> {
    let name = b"MIT-MAGIC-COOKIE-1";
    let mut bytes = vec![b'l', 0, 11, 0, 0, 0, 18, 0, 16, 0, 0, 0];
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(cookie);
    bytes
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn a_program_draws_on_the_clients_display_where_the_settings_let_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(display) = OwnDisplay::make(folder.path()) else {
        return;
    };
    for (settings, first, host) in [
        (
            &["X11Forwarding=yes", "X11DisplayOffset=300"][..],
            300,
            Some("localhost"),
        ),
        (
            &["X11Forwarding=yes", "X11UseLocalhost=no", "X11DisplayOffset=400"],
            400,
            Some(""),
        ),
        (&["X11Forwarding=no"], 0, None),
        (&[], 0, None),
        (&["X11Forwarding=yes", "DisableForwarding=yes"], 0, None),
    ] {
        let server = server(settings);
        let mut line = Visitor::line(&server, &["-Y"]).unwrap();
        line.env("DISPLAY", &display.name)
            .env("XAUTHORITY", &display.authority);
        line.arg(format!("{}@127.0.0.1", peers::user()))
            .arg("echo \"$DISPLAY\"; [ -z \"$DISPLAY\" ] || xauth list; stat -c '%a' \"$XAUTHORITY\"; cat");
        let mut visitor = Visitor::of(&mut line);
        let shown = visitor.next_line();
        let Some(host) = host else {
            assert_eq!(shown, "", "{settings:?}");
            continue;
        };
        assert!(shown.starts_with(host), "{shown}");
        let (_, number) = shown.rsplit_once(':').unwrap();
        let number: u16 = number.strip_suffix(".0").unwrap().parse().unwrap();
        assert!(number >= first && number < first + 100, "{shown}");
        let entry = visitor.next_line();
        let fake = entry.rsplit(' ').next().unwrap().to_owned();
        assert!(
            entry.contains(&format!(":{number}  MIT-MAGIC-COOKIE-1  ")),
            "{entry}"
        );
        assert_ne!(fake, COOKIE, "the client's own cookie is here");
        assert_eq!(visitor.next_line(), "600");

        // What the program says with the cookie it was given arrives with the display's own.
        let mut program = TcpStream::connect((Ipv4Addr::LOCALHOST, 6000 + number)).unwrap();
        program.write_all(&hello(&unhex(&fake))).unwrap();
        let (mut server_side, _) = display.listener.accept().unwrap();
        let mut heard = vec![0; hello(&[0; 16]).len()];
        server_side.read_exact(&mut heard).unwrap();
        assert_eq!(heard, hello(&unhex(COOKIE)));
        server_side.write_all(b"welcome").unwrap();
        let mut heard = [0; 7];
        program.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"welcome");
        let elsewhere = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), 6000 + number));
        assert_eq!(elsewhere.is_ok(), host.is_empty(), "{settings:?}");
    }
}

#[test]
fn a_keys_options_forbid_and_limit() {
    let server = server(&["X11Forwarding=yes"]);
    let file = server.keys.path("authorized_keys");
    let (port, other) = (free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("{}:/nowhere", folder.path().join("socket").display());
    let place = format!("permitlisten=\"localhost:{port}\"");
    for (options, expected) in [
        ("", [true, true, true]),
        ("restrict", [false, false, false]),
        ("restrict,port-forwarding", [true, true, true]),
        ("no-port-forwarding", [false, false, false]),
        ("no-agent-forwarding,no-x11-forwarding", [true, true, true]),
        (place.as_str(), [true, false, false]),
    ] {
        fs::write(
            &file,
            format!("{options} {}\n", server.keys.public("user")).trim_start(),
        )
        .unwrap();
        let forwards = [
            format!("{port}:127.0.0.1:1"),
            format!("{other}:127.0.0.1:1"),
            socket.clone(),
        ];
        for (forward, granted) in forwards.iter().zip(expected) {
            let Some(result) = is_granted(&server, &["-R", forward]) else {
                return;
            };
            assert_eq!(result.is_ok(), granted, "{options} {forward}: {result:?}");
        }
        // The next client asks for the same places.
        wait_until("the places are not given back", || {
            let taken = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            !taken(port) && !taken(other) && !folder.path().join("socket").exists()
        });
    }
    for (options, granted) in [("", true), ("no-agent-forwarding", false), ("restrict", false)] {
        fs::write(
            &file,
            format!("{options} {}\n", server.keys.public("user")).trim_start(),
        )
        .unwrap();
        // An agent that has nothing to say.
        let agent = folder.path().join(format!("agent {options}"));
        let listener = UnixListener::bind(&agent).unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let mut line = Visitor::line(&server, &["-A"]).unwrap();
        line.env("SSH_AUTH_SOCK", &agent);
        line.arg(format!("{}@127.0.0.1", peers::user()))
            .arg("echo \"$SSH_AUTH_SOCK\"");
        let finished = run(&mut line).with_code(0);
        assert_eq!(
            finished.stdout_text().trim() != "",
            granted,
            "{options}: {finished}"
        );
    }
}

#[test]
fn idle_channels_and_unused_connections_are_ended() {
    let closing = server(&["ChannelTimeout=session:command=1"]);
    let Some(mut line) = Visitor::line(&closing, &[]) else {
        return;
    };
    line.arg(format!("{}@127.0.0.1", peers::user()))
        .arg("sleep 120; echo second");
    let finished = run(&mut line);
    assert_eq!(finished.with_code(255).stdout_text(), "");
    let other = server(&["ChannelTimeout=session:shell=1"]);
    let mut line = Visitor::line(&other, &[]).unwrap();
    line.arg(format!("{}@127.0.0.1", peers::user()))
        .arg("sleep 2; echo second");
    assert_eq!(run(&mut line).with_code(0).stdout_text(), "second\n");

    let unused = server(&["UnusedConnectionTimeout=1"]);
    let mut line = Visitor::line(&unused, &["-N"]).unwrap();
    let finished = run(line.arg(format!("{}@127.0.0.1", peers::user()))).with_code(255);
    assert!(
        finished
            .stderr_text()
            .contains("no channel was open for too long"),
        "{finished}"
    );
}
