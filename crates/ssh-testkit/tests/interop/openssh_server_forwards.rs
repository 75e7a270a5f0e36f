//! Our client library into OpenSSH's `sshd`: every kind of forward.

use ssh_client::channel::ChannelRequest;
use ssh_client::{Client, Error, Forward, Forwarding, ListenOn, SocketFile, Target, X11Display};
use ssh_testkit::peers;
use ssh_testkit::running::{free_port, has_address};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use crate::echo;
use crate::openssh_server::{client, server};

/// What goes in comes out.
async fn echoes(stream: impl AsyncRead + AsyncWrite, count: usize) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..count).map(|at| (at % 251) as u8).collect();
    let mut heard = Vec::new();
    let sending = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(sending, reader.read_to_end(&mut heard));
    read.unwrap();
    assert!(heard == sent, "{} of {count} bytes", heard.len());
}

/// The port on this side that a forward listens at.
fn port_of(forward: &Forward) -> u16 {
    let address = forward.address().to_string();
    address.rsplit(':').next().unwrap().parse().unwrap()
}

async fn is_closed(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_err()
}

async fn remote(client: &Client, address: &str) {
    let forward = client
        .forward_remote(address, 0, Target::port("127.0.0.1", echo::start()))
        .await
        .unwrap();
    let port = forward.port();
    for count in [0, 1, 300_000] {
        echoes(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), count).await;
    }
    let numbers = forward.connections();
    assert_eq!((numbers.total, numbers.refused), (3, 0));
    forward.close().await.unwrap();
    assert!(
        is_closed(port).await,
        "{address}: the server has stopped to listen"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_servers_leads_here() {
    let Some(server) = server("GatewayPorts clientspecified") else {
        return;
    };
    let client = client(&server).await;
    for address in ["localhost", "127.0.0.1", "", "0.0.0.0"] {
        remote(&client, address).await;
    }
    // A port of our choice, and the same a second time.
    let port = free_port();
    let target = || Target::port("127.0.0.1", echo::start());
    let forward = client.forward_remote("localhost", port, target()).await.unwrap();
    echoes(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), 10).await;
    let again = client.forward_remote("localhost", port, target()).await;
    assert!(
        matches!(
            again,
            Err(Error::RequestRefused { .. } | Error::AlreadyForwarded { .. })
        ),
        "{again:?}"
    );
    echoes(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), 10).await;
    forward.close_all().await.unwrap();
    assert!(is_closed(port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forwards_nothing_says_so() {
    let Some(server) = server("AllowTcpForwarding no\nAllowStreamLocalForwarding no") else {
        return;
    };
    let client = client(&server).await;
    let target = || Target::port("127.0.0.1", 1);
    let refused = client.forward_remote("localhost", 0, target()).await;
    assert!(
        matches!(refused, Err(Error::RequestRefused { .. })),
        "{refused:?}"
    );
    let refused = client.forward_remote_socket("/nowhere/s", target()).await;
    assert!(
        matches!(refused, Err(Error::RequestRefused { .. })),
        "{refused:?}"
    );
    let refused = client.direct_streamlocal("/nowhere/s").await;
    assert!(matches!(refused, Err(Error::Open { .. })), "{refused:?}");
    assert!(client.run("true").await.unwrap().status.success());
}

/// An echo behind a Unix socket.
fn echo_at(path: &std::path::Path) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_lead_both_ways() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    echo_at(&target);
    echoes(client.direct_streamlocal(&target).await.unwrap(), 200_000).await;
    let missing = client.direct_streamlocal(folder.path().join("missing")).await;
    assert!(matches!(missing, Err(Error::Open { .. })), "{missing:?}");

    // Here to there: socket to socket, socket to port, port to socket.
    let here = folder.path().join("here");
    for to in [Target::socket(&target), Target::port("127.0.0.1", echo::start())] {
        let forward = client.forward_local_socket(&here, to).await.unwrap();
        echoes(UnixStream::connect(&here).await.unwrap(), 200_000).await;
        forward.close_all().await.unwrap();
        assert!(!here.exists(), "the socket goes with its forward");
    }
    let forwarding = Forwarding::new(ListenOn::here("127.0.0.1", 0), Target::socket(&target));
    let forward = client.forward(&forwarding).await.unwrap();
    let port = port_of(&forward);
    echoes(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), 200_000).await;

    // There to here.
    let there = folder.path().join("there");
    let forward = client
        .forward_remote_socket(&there, Target::socket(&target))
        .await
        .unwrap();
    echoes(UnixStream::connect(&there).await.unwrap(), 200_000).await;
    forward.close_all().await.unwrap();
    assert!(UnixStream::connect(&there).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_this_side_is_listened_on_at_all_its_addresses() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let target = Target::port("127.0.0.1", echo::start());
    for host in ["localhost", "*", ""] {
        let forwarding = Forwarding::new(ListenOn::here(host, 0), target.clone());
        let forward = client.forward(&forwarding).await.unwrap();
        let port = port_of(&forward);
        echoes(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), 10).await;
        if has_address("::1") && host != "localhost" {
            echoes(TcpStream::connect(("::1", port)).await.unwrap(), 10).await;
        }
    }
}

#[tokio::test]
async fn a_socket_is_for_its_user_only_and_takes_no_others_place() {
    use std::os::unix::fs::MetadataExt;
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let target = || Target::port("127.0.0.1", 1);
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().mode() & 0o777;
    let first = client.forward_local_socket(&path, target()).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    // In use: refused, unless it is to be replaced. Then the first leaves the second's alone when it goes.
    let second = client.forward_local_socket(&path, target()).await;
    assert!(matches!(second, Err(Error::Listen { .. })), "{second:?}");
    let file = SocketFile::new(&path).replace(true).mask(0o111);
    let second = client.forward_local_socket(file, target()).await.unwrap();
    assert_eq!(mode(&path), 0o666);
    first.close_all().await.unwrap();
    assert!(path.exists());
    second.close_all().await.unwrap();
    assert!(!path.exists());
    // What is no socket is nobody's to replace.
    std::fs::write(&path, "precious").unwrap();
    let file = SocketFile::new(&path).replace(true);
    assert!(matches!(
        client.forward_local_socket(file, target()).await,
        Err(Error::Listen { .. })
    ));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
    let file = SocketFile::new(&path).replace(true);
    assert!(client.forward_local_socket(file, target()).await.is_err());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left behind: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamic_ports_on_both_sides_serve_every_version_of_socks() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let here = client.forward_dynamic("127.0.0.1:0").await.unwrap();
    let there = client.forward_remote_dynamic("localhost", 0).await.unwrap();
    for port in [here.local_addr().port(), there.port()] {
        for (request, answer) in [
            (
                &b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01"[..],
                &b"\x05\0\x05\0\0\x01\0\0\0\0\0\0"[..],
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x03\x09127.0.0.1",
                b"\x05\0\x05\0\0\x01\0\0\0\0\0\0",
            ),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let request = [request, &echo::start().to_be_bytes()].concat();
            stream.write_all(&request).await.unwrap();
            let mut heard = vec![0; answer.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, answer);
            echoes(stream, 200_000).await;
        }
        for (address, name) in [
            (&[127, 0, 0, 1, b'u', 0][..], &b""[..]),
            (&[0, 0, 0, 9, 0], b"127.0.0.1\0"),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let request = [&[4, 1][..], &echo::start().to_be_bytes(), address, name].concat();
            stream.write_all(&request).await.unwrap();
            let mut heard = [0; 8];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, *b"\0\x5a\0\0\0\0\0\0");
            echoes(stream, 200_000).await;
        }
    }
    assert_eq!((here.connections().refused, there.connections().refused), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_at_hand_in_a_session_that_asked_for_it() {
    let (Some(server), Some(agent)) = (server(""), peers::need("ssh-agent")) else {
        return;
    };
    let client = client(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let mut agent = tokio::process::Command::new(agent)
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while UnixStream::connect(&socket).await.is_err() {
        assert!(agent.try_wait().unwrap().is_none(), "the agent has ended");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let forward = client.forward_agent(&socket).await.unwrap();
    // Who does not ask has none.
    assert_eq!(
        client.run("echo $SSH_AUTH_SOCK").await.unwrap().stdout_text(),
        "\n"
    );
    let listed = client
        .exec("ssh-add -l; ssh-add -l")
        .request(ChannelRequest::AuthAgentReq)
        .output()
        .await
        .unwrap();
    let nothing = "The agent has no identities.\n";
    assert_eq!(
        listed.stdout_text(),
        [nothing, nothing].concat(),
        "{}",
        listed.stderr_text()
    );
    // The two, and perhaps the server's own look at it.
    assert!(forward.connections().total >= 2, "{forward:?}");
    drop(forward);
    let listed = client
        .exec("ssh-add -l")
        .request(ChannelRequest::AuthAgentReq)
        .output()
        .await
        .unwrap();
    assert!(!listed.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_at_the_server_draw_on_a_display_here() {
    let (Some(server), Some(_)) = (server("X11Forwarding yes"), peers::need("xauth")) else {
        return;
    };
    let client = client(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("X");
    let listener = UnixListener::bind(&path).unwrap();
    // The display's cookie comes from xauth, out of a file of its own.
    let file = folder.path().join("authority");
    let name = format!("{}:0", path.display());
    let added = std::process::Command::new("xauth")
        .arg("-f")
        .arg(&file)
        .args([
            "add",
            "unix:7",
            "MIT-MAGIC-COOKIE-1",
            "000102030405060708090a0b0c0d0e0f",
        ])
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    let script = folder.path().join("xauth");
    let text = format!("#!/bin/sh\nexec xauth -f {} list unix:7\n", file.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let display = X11Display::new(&name).unwrap().ask_xauth(&script).await.unwrap();
    assert!(display.has_cookie());
    let forward = client.forward_x11(display).await.unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = [0; 48];
        stream.read_exact(&mut heard).await.unwrap();
        // Setup failed, with a reason: the program says it and ends.
        let reason = b"no drawing";
        let mut answer = vec![0, 10, 11, 0, 0, 0, 3, 0];
        answer.extend(reason);
        answer.extend([0, 0]);
        stream.write_all(&answer).await.unwrap();
        heard
    });
    let drawn = client
        .exec("xdpyinfo")
        .x11(forward.request(false).unwrap())
        .output()
        .await
        .unwrap();
    let said = drawn.stderr_text().into_owned();
    assert!(said.contains("no drawing"), "{said}");
    let heard = serving.await.unwrap();
    assert!(
        heard.ends_with(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        "{heard:?}"
    );
    assert_eq!(forward.forward().connections().total, 1);
}
