//! Our client library into OpenSSH's `sshd` by every way there is: jump hosts, programs, proxies.

use std::time::{Duration, Instant};

use ssh_client::{
    AddressFamily, Client, Config, Credentials, Error, Hop, HostKeys, Proxy, ProxyCommand, ProxyError, Route,
};
use ssh_testkit::openssh::{Server, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{free_port, is_running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::openssh_server::{client, connect, public_key, server};
use crate::ours::PATIENCE;

fn routed(route: Route) -> Config {
    Config {
        route,
        ..Config::default()
    }
}

/// A hop over `server`, logged in to with its user's key.
fn hop(server: &Server) -> Hop {
    Hop::new(
        ("127.0.0.1", server.port),
        peers::user(),
        HostKeys::pinned(public_key(&server.keys, "host")),
        Credentials::key_file(server.keys.path("user")),
    )
    .unwrap()
}

async fn moves_a_mebibyte(client: &Client) {
    let output = client
        .exec("cat")
        .stdin(vec![b'r'; 1 << 20])
        .output()
        .await
        .unwrap();
    assert!(output.stdout == [b'r'; 1 << 20], "{} bytes", output.stdout.len());
}

/// The address the server sees, as its shell tells.
async fn seen_from(client: &Client) -> String {
    let output = client.run("echo $SSH_CONNECTION").await.unwrap();
    output.stdout_text().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn jump_hosts_of_any_depth_lead_to_the_server() {
    let Some(target) = server("") else { return };
    let hops: Vec<Server> = (0..3).filter_map(|_| server("LogLevel VERBOSE")).collect();
    for depth in 0..=hops.len() {
        let route = Route::Jump(hops[..depth].iter().map(hop).collect());
        let client = connect(&target, &routed(route)).await.unwrap();
        assert_eq!(client.host_key(), Some(&public_key(&target.keys, "host")));
        assert_eq!(client.peer_addr().is_some(), depth == 0);
        moves_a_mebibyte(&client).await;
        client.disconnect().await;
    }
    // A way of its own to the first hop: another hop.
    let first = hop(&hops[1]).config(routed(Route::Jump(vec![hop(&hops[0])])));
    let client = connect(&target, &routed(Route::Jump(vec![first]))).await.unwrap();
    moves_a_mebibyte(&client).await;
    for server in &hops[..2] {
        assert!(server.log().contains("Accepted publickey"), "{}", server.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_fails_is_named() {
    let (Some(target), Some(good), Some(closed)) = (server(""), server(""), server("AllowTcpForwarding no"))
    else {
        return;
    };
    let through = async |hops: Vec<Hop>| connect(&target, &routed(Route::Jump(hops))).await.unwrap_err();
    let at = |error: Error, server: &Server| match error {
        Error::Hop { hop, source } => {
            assert_eq!(hop.port, server.port, "{source}");
            *source
        }
        other => panic!("{other}"),
    };
    // Refuses to connect further.
    let error = through(vec![hop(&good), hop(&closed)]).await;
    assert!(error.to_string().contains(&closed.port.to_string()), "{error}");
    assert!(matches!(at(error, &closed), Error::Open { .. }));
    // Is somebody else.
    let stranger = Hop::new(
        ("127.0.0.1", closed.port),
        peers::user(),
        HostKeys::pinned(public_key(&good.keys, "host")),
        Credentials::key_file(closed.keys.path("user")),
    );
    let error = through(vec![hop(&good), stranger.unwrap()]).await;
    assert!(matches!(at(error, &closed), Error::HostKey { .. }));
    // Lets us not in.
    let nobody = Hop::new(
        ("127.0.0.1", good.port),
        peers::user(),
        HostKeys::pinned(public_key(&good.keys, "host")),
        Credentials::none(),
    );
    assert!(matches!(
        at(through(vec![nobody.unwrap()]).await, &good),
        Error::LoginRefused { .. }
    ));
    // The target is somebody else: the error is the target's, not a hop's.
    let pinned = HostKeys::pinned(public_key(&good.keys, "host"));
    let config = routed(Route::Jump(vec![hop(&good)]));
    let address = ("127.0.0.1", target.port);
    let key = Credentials::key_file(target.keys.path("user"));
    let error = Client::connect_with(&config, address, &peers::user(), pinned, key)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HostKey { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_last_connection_goes_so_do_those_it_went_through() {
    let (Some(target), Some(on_the_way)) = (server(""), server("LogLevel VERBOSE")) else {
        return;
    };
    let client = connect(&target, &routed(Route::Jump(vec![hop(&on_the_way)])))
        .await
        .unwrap();
    moves_a_mebibyte(&client).await;
    drop(client);
    until("the connection on the way ends", || {
        on_the_way.log().contains("Disconnected from user")
    })
    .await;
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The words of OpenSSH's client as a command that leads to its server.
fn stdio_forward(server: &Server) -> Option<Vec<String>> {
    let ssh = peers::need("ssh")?;
    let to = format!("127.0.0.1:{}", server.port);
    let mut words = vec![ssh.to_str().unwrap().to_owned()];
    words.extend(client_arguments(&server.keys, server.port));
    words.extend(["-W".to_owned(), to, format!("{}@127.0.0.1", peers::user())]);
    Some(words)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_leads_to_the_server_and_ends_with_the_connection() {
    let Some(server) = server("") else { return };
    let Some(words) = stdio_forward(&server) else {
        return;
    };
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let line = format!(
        "sh -c 'echo $$ > {}; exec \"$@\"' sh {}",
        pid_file.display(),
        quoted.join(" ")
    );
    for command in [
        ProxyCommand::new(&words[0], &words[1..]),
        ProxyCommand::shell(line),
    ] {
        let client = connect(&server, &routed(Route::Command(command))).await.unwrap();
        moves_a_mebibyte(&client).await;
        client.disconnect().await;
    }
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    ends(&pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_its_end_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let line = format!(
        "sh -c 'echo $$ > {}; trap \"\" TERM HUP PIPE; echo no ssh; while :; do sleep 1; done'",
        pid_file.display()
    );
    let mut config = routed(Route::Command(ProxyCommand::shell(line)));
    let mut pid = String::new();
    // How long it takes until it has begun is the machine's business.
    for limit in [1, 4, 16, 64].map(Duration::from_secs) {
        config.timeouts.identification = limit;
        let error = through_command(&config).await;
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        pid = std::fs::read_to_string(&pid_file).unwrap_or_default();
        if pid.ends_with('\n') {
            break;
        }
    }
    assert!(!pid.is_empty(), "it does not begin");
    ends(&pid).await;
}

/// Waits until the process with this number, as its shell writes it, is gone.
async fn ends(pid: &str) {
    let process = pid.trim().parse().unwrap();
    until("the program ends with its connection", || !is_running(process)).await;
}

async fn through_command(config: &Config) -> Error {
    let (host_keys, key) = (HostKeys::dangerous_accept_any(), Credentials::none());
    Client::connect_with(config, ("host.example", 22), "me", host_keys, key)
        .await
        .unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_says_how() {
    for (command, words) in [
        (
            ProxyCommand::new("/nowhere/program", [""; 0]),
            "the proxy command /nowhere/program",
        ),
        (
            ProxyCommand::shell("sh -c 'exit 3'"),
            "the proxy command ended with exit status: 3",
        ),
        (
            ProxyCommand::shell("sh -c 'kill -9 $$'"),
            "the proxy command ended with signal: 9",
        ),
        (ProxyCommand::shell("true"), "host.example:22"),
    ] {
        let error = through_command(&routed(Route::Command(command)))
            .await
            .to_string();
        assert!(
            error.contains(words) && error.contains("host.example:22"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socks_proxies_lead_to_the_server() {
    let (Some(target), Some(on_the_way)) = (server(""), server("")) else {
        return;
    };
    let by_way_of = async |port: u16| {
        let proxy = Proxy::new(("127.0.0.1", port)).unwrap();
        connect(&target, &routed(Route::Socks5(proxy))).await
    };
    // Our own, and OpenSSH's `ssh -D`.
    let helper = client(&on_the_way).await;
    let forward = helper.forward_dynamic("127.0.0.1:0").await.unwrap();
    moves_a_mebibyte(&by_way_of(forward.local_addr().port()).await.unwrap()).await;
    let Some(ssh) = peers::need("ssh") else { return };
    let port = free_port();
    let mut theirs = tokio::process::Command::new(ssh)
        .args(client_arguments(&on_the_way.keys, on_the_way.port))
        .args(["-N", "-D", &format!("127.0.0.1:{port}")])
        .arg(format!("{}@127.0.0.1", peers::user()))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(theirs.try_wait().unwrap().is_none(), "ssh -D has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    moves_a_mebibyte(&by_way_of(port).await.unwrap()).await;
    // Nobody listens where it is to lead.
    let proxy = Proxy::new(forward.local_addr()).unwrap();
    let config = routed(Route::Socks5(proxy));
    let nowhere = Client::connect_with(
        &config,
        ("127.0.0.1", free_port()),
        "me",
        HostKeys::dangerous_accept_any(),
        Credentials::none(),
    );
    let error = nowhere.await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Proxy {
                source: ProxyError::Socks { code: 4 },
                ..
            }
        ),
        "{error}"
    );
}

/// A proxy of HTTP for one connection: what it was asked.
async fn http_proxy(listener: &TcpListener) -> String {
    let (mut near, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(near.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap().to_owned();
    let mut far = TcpStream::connect(target).await.unwrap();
    // The server's first words come in one piece with the answer.
    let mut first = [0; 8];
    far.read_exact(&mut first).await.unwrap();
    let answer = [&b"HTTP/1.1 200 OK\r\nProxy-Agent: test\r\n\r\n"[..], &first].concat();
    near.write_all(&answer).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn http_proxies_lead_to_the_server() {
    let Some(server) = server("") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::new(listener.local_addr().unwrap())
        .unwrap()
        .login("me", "secret");
    let config = routed(Route::HttpConnect(proxy));
    let (client, request) = tokio::join!(connect(&server, &config), http_proxy(&listener));
    let client = client.unwrap();
    assert!(
        request.contains("Proxy-Authorization: Basic bWU6c2VjcmV0"),
        "{request}"
    );
    assert_eq!(client.peer_addr(), None, "the far end is the proxy's");
    moves_a_mebibyte(&client).await;
    // One that says no.
    let refusing = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 403 Not from here\r\n\r\n")
            .await
            .unwrap();
        stream
    };
    let (refused, _) = tokio::join!(connect(&server, &config), refusing);
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("403 Not from here"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_leaves_from_the_address_it_shall() {
    let Some(server) = server("") else { return };
    let mut config = Config {
        bind_address: Some("127.0.0.9".parse().unwrap()),
        ..Config::default()
    };
    let client = connect(&server, &config).await.unwrap();
    assert!(seen_from(&client).await.starts_with("127.0.0.9 "));
    config.address_family = AddressFamily::Inet6;
    let error = connect(&server, &config).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}
