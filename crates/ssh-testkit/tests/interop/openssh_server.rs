//! Our client library into OpenSSH's `sshd`: commands, connections through the server.

use ssh_client::keys::PublicKey;
use ssh_client::{Client, Config, Credentials, Error, ExitStatus, HostKeys};
use ssh_testkit::openssh::{Account, Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::echo;
use crate::ours::PATIENCE;

/// Starts the server with `more` lines of configuration; `None` where it is not installed.
pub fn server(more: &str) -> Option<Server> {
    Some(Server::start(&peers::need("sshd")?, more))
}

/// The public key `name`.
pub fn public_key(keys: &Keys, name: &str) -> PublicKey {
    PublicKey::from_openssh(&keys.public(name)).unwrap().0
}

/// Logs in with the user's key, believing only the server's.
pub async fn connect(server: &Server, config: &Config) -> Result<Client, Error> {
    let pinned = HostKeys::pinned(public_key(&server.keys, "host"));
    let key = Credentials::key_file(server.keys.path("user"));
    Client::connect_with(config, ("127.0.0.1", server.port), &peers::user(), pinned, key).await
}

/// The same with the usual settings, where it has to work.
pub async fn client(server: &Server) -> Client {
    connect(server, &Config::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_its_arguments_and_its_outputs_stay_apart() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let output = client
        .run("printf '%s|' one 'two  three' \"four\"; echo oops >&2")
        .await
        .unwrap();
    assert_eq!(
        (&*output.stdout_text(), &*output.stderr_text()),
        ("one|two  three|four|", "oops\n")
    );
    assert_eq!(output.status, ExitStatus::Code(0));
    assert!(
        client.server_identification().starts_with("SSH-2.0-OpenSSH_"),
        "{}",
        client.server_identification()
    );
    assert_eq!(client.host_key(), Some(&public_key(&server.keys, "host")));
    client.disconnect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_or_signal_comes_through() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    for code in [0, 7, 255] {
        assert_eq!(
            client.run(format!("exit {code}")).await.unwrap().status,
            ExitStatus::Code(code)
        );
    }
    let killed = client.run("echo before; kill -TERM $$").await.unwrap();
    assert_eq!(killed.stdout_text(), "before\n");
    assert!(
        matches!(&killed.status, ExitStatus::Signal(signal) if signal.name == "TERM"),
        "{}",
        killed.status
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_program() {
    // OpenSSH's server passes signals on for everybody but root.
    let account = if peers::is_root() {
        Account::make("signal")
    } else {
        None
    };
    let Some(server) = server("PasswordAuthentication yes") else {
        return;
    };
    let client = match &account {
        Some(account) => {
            let pinned = HostKeys::pinned(public_key(&server.keys, "host"));
            let password = Credentials::password(&account.password);
            let address = ("127.0.0.1", server.port);
            Client::connect(address, &account.name, pinned, password)
                .await
                .unwrap()
        }
        None => client(&server).await,
    };
    let mut process = client.exec("echo ready; exec sleep 60").spawn().await.unwrap();
    assert_eq!(process.stdout.next_chunk().await.unwrap().unwrap(), "ready\n");
    process.signal("KILL").unwrap();
    let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
    let status = ended.unwrap().unwrap();
    assert!(
        matches!(&status, ExitStatus::Signal(signal) if signal.name == "KILL"),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_when_its_input_does() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    for input in [&b""[..], b"ends on end of file\n", &[0xff; 3_000_000]] {
        let output = client.exec("cat; echo more").stdin(input).output().await.unwrap();
        assert!(
            output.stdout == [input, b"more\n"].concat(),
            "{} bytes",
            input.len()
        );
    }
    // Half-closed by hand: the answer comes after the end of our half.
    let mut process = client.exec("wc -c").spawn().await.unwrap();
    process.stdin.write_all(b"12345").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let mut said = String::new();
    process.stdout.read_to_string(&mut said).await.unwrap();
    assert_eq!(
        (said.trim(), process.wait().await.unwrap()),
        ("5", ExitStatus::Code(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_its_input_ends_all_the_same() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let run = client
        .exec("exec 0<&-; echo enough")
        .stdin(vec![b'x'; 8 << 20])
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    assert_eq!(
        (&*output.stdout_text(), output.status.code()),
        ("enough\n", Some(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_set_as_far_as_the_server_lets_us() {
    let Some(server) = server("AcceptEnv BOWLINE_*") else {
        return;
    };
    let client = client(&server).await;
    let exec = client
        .exec("echo \"$BOWLINE_ONE,$OTHER\"")
        .env("BOWLINE_ONE", "1 2")
        .env("OTHER", "no");
    let mut process = exec.spawn().await.unwrap();
    assert_eq!(process.refused_env(), [b"OTHER"]);
    assert_eq!(process.stdout.next_chunk().await.unwrap().unwrap(), "1 2,\n");
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_reads_its_commands_from_us() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let output = client
        .shell()
        .stdin("echo one\nexit 3\necho two\n")
        .output()
        .await
        .unwrap();
    assert!(
        output.stdout_text().ends_with("one\n"),
        "{}",
        output.stdout_text()
    );
    assert_eq!(output.status, ExitStatus::Code(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subsystem_that_is_not_there_is_refused() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let refused = client
        .subsystem("no-such-thing")
        .spawn()
        .await
        .err()
        .expect("it is refused");
    assert!(
        matches!(&refused, Error::RequestRefused { request, .. } if request.contains("no-such-thing")),
        "{refused}"
    );
    // The connection goes on.
    assert!(client.run("exit 0").await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_share_one_connection() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let sessions: Vec<_> = (0..100_u32)
        .map(|number| {
            let exec = client
                .exec(format!("cat; exit {number}"))
                .stdin(format!("session {number}"));
            tokio::spawn(exec.output())
        })
        .collect();
    for (number, session) in (0..).zip(sessions) {
        let output = session.await.unwrap().unwrap();
        assert_eq!(
            (output.stdout_text().into_owned(), output.status.code()),
            (format!("session {number}"), Some(number))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_common_cipher_is_told_with_both_lists() {
    let Some(server) = server("Ciphers aes256-ctr") else {
        return;
    };
    let mut config = Config::default();
    config
        .transport
        .preferences
        .edit_ciphers("aes128-gcm@openssh.com")
        .unwrap();
    let error = connect(&server, &config).await.unwrap_err().to_string();
    assert!(
        error.contains("aes256-ctr") && error.contains("aes128-gcm@openssh.com"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_through_the_server_is_a_stream() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let mut stream = client.direct_tcpip("127.0.0.1", echo::start()).await.unwrap();
    let said = vec![b'q'; 3_000_000];
    stream.write_all(&said).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(heard == said, "{} bytes came back", heard.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_the_server_cannot_make_is_an_error() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let port = free_port();
    let refused = client.direct_tcpip("127.0.0.1", port).await.unwrap_err();
    assert!(
        matches!(refused, Error::Open { .. }) && refused.to_string().contains(&port.to_string()),
        "{refused}"
    );
    assert!(client.run("exit 0").await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_port_leads_through_the_server() {
    let Some(server) = server("") else { return };
    let client = client(&server).await;
    let forward = client
        .forward_local(("127.0.0.1", 0), "127.0.0.1", echo::start())
        .await
        .unwrap();
    for number in 0..5_u8 {
        let mut stream = tokio::net::TcpStream::connect(forward.local_addr())
            .await
            .unwrap();
        stream.write_all(&[b'0' + number; 200_000]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert!(
            heard == [b'0' + number; 200_000],
            "connection {number}: {} bytes",
            heard.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_runs_over_a_channel_of_another() {
    let Some(server) = server("") else { return };
    let outer = client(&server).await;
    let channel = outer.direct_tcpip("127.0.0.1", server.port).await.unwrap();
    let pinned = HostKeys::pinned(public_key(&server.keys, "host"));
    let key = Credentials::key_file(server.keys.path("user"));
    let address = ("127.0.0.1", server.port);
    let inner = Client::over(&Config::default(), channel, address, &peers::user(), pinned, key)
        .await
        .unwrap();
    let output = inner
        .exec("cat")
        .stdin(vec![b'i'; 1_000_000])
        .output()
        .await
        .unwrap();
    assert_eq!(output.stdout.len(), 1_000_000);
    inner.disconnect().await;
}
