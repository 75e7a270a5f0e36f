//! Our client into a real OpenSSH server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "a test says what must be true by panicking, and what it skipped on standard error"
)]

mod common;

use std::time::Duration;

use common::{Sshd, bytes, key_file, sshd_is_missing, until, user};
use ssh_client::keys::Fingerprint;
use ssh_client::{
    Answer, Client, Config, CredentialError, Credentials, Error, ExitStatus, HostKeyError, HostKeys, Phase,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_command_has_output_errors_and_a_status() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    let output = client.run("echo 'a  b'; echo oops >&2; exit 7").await.unwrap();
    assert_eq!(output.stdout_text(), "a  b\n");
    assert_eq!(output.stderr_text(), "oops\n");
    assert_eq!(output.status, ExitStatus::Code(7));
    for (command, status) in [("true", 0), ("exit 255", 255), ("no-such-command", 127)] {
        assert_eq!(
            client.run(command).await.unwrap().status.code(),
            Some(status),
            "{command}"
        );
    }
    match client.run("kill -TERM $$").await.unwrap().status {
        ExitStatus::Signal(signal) => assert_eq!(signal.name, "TERM"),
        other => panic!("{other}"),
    }
    assert!(client.negotiated().strict);
    assert!(client.server_identification().contains("OpenSSH"));
    client.disconnect().await;
    assert!(matches!(
        client.run("true").await,
        Err(Error::ConnectionLost { .. })
    ));
}

#[tokio::test]
async fn environment_is_set_where_the_server_agrees() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    let mut process = client
        .exec("echo $BOWLINE_TEST-$FORBIDDEN")
        .env("BOWLINE_TEST", "yes")
        .env("FORBIDDEN", "yes")
        .spawn()
        .await
        .unwrap();
    assert_eq!(process.refused_env(), [b"FORBIDDEN".to_vec()]);
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "yes-\n");
    assert!(process.wait().await.unwrap().success());
}

async fn streams(config: Config, count: usize) {
    let server = Sshd::start("");
    let client = server.client_with(&config).await.unwrap();
    let data = bytes(count);
    let path = server.path("data");
    std::fs::write(&path, &data).unwrap();
    let sum = std::process::Command::new("sha256sum")
        .arg(&path)
        .output()
        .unwrap()
        .stdout;
    let sum = String::from_utf8_lossy(&sum)
        .split(' ')
        .next()
        .unwrap()
        .to_owned();

    let up = client
        .exec("sha256sum")
        .stdin(data.clone())
        .output()
        .await
        .unwrap();
    assert!(up.stdout_text().starts_with(&sum), "{}", up.stdout_text());

    let down = client.run(format!("cat {}", path.display())).await.unwrap();
    assert!(down.stdout == data, "the bytes differ");

    // `cat` writes while it reads: neither side may wait for the other.
    let both = client.exec("cat").stdin(data.clone()).output().await.unwrap();
    assert!(both.stdout == data && both.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_go_up_and_down_and_round() {
    if !sshd_is_missing() {
        streams(Config::default(), 64 * MIB).await;
    }
}

#[tokio::test]
async fn keys_change_every_mebibyte_of_a_transfer() {
    if sshd_is_missing() {
        return;
    }
    for cipher in ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        let mut config = Config::default();
        config.transport.rekey.bytes = MIB as u64;
        config.transport.preferences.edit_ciphers(cipher).unwrap();
        streams(config, 16 * MIB).await;
    }
}

#[tokio::test]
async fn the_end_of_input_leaves_the_output_open() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    let mut process = client.exec("cat; echo done").spawn().await.unwrap();
    process.stdin.write_all(b"hello ").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello done\n");
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_program_that_takes_too_long_or_says_too_much_is_ended() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    // How long it takes until the first word has come is the machine's business.
    let mut limit = Duration::from_secs(1);
    loop {
        let exec = client.exec("echo early; exec sleep 1000").timeout(limit);
        match exec.output().await {
            Err(Error::RunTimeout { partial, .. }) if partial.stdout.is_empty() => limit *= 2,
            Err(Error::RunTimeout { partial, .. }) => break assert_eq!(partial.stdout, b"early\n"),
            other => panic!("{other:?}"),
        }
        assert!(limit < Duration::from_secs(300), "nothing of it is kept");
    }
    let limited = client.exec("cat /dev/zero").output_limit(MIB).output().await;
    assert!(
        matches!(limited, Err(Error::OutputTooLong { limit: MIB, .. })),
        "{limited:?}"
    );
    assert!(
        client.run("true").await.unwrap().status.success(),
        "the connection lives on"
    );
}

#[tokio::test]
async fn hosts_are_believed_by_file_key_or_fingerprint_only() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let file = server.path("dot-ssh/known_hosts");
    let connect = async |host_keys| Client::connect(server.address(), &user(), host_keys, server.key()).await;
    let refusal = |result: Result<Client, Error>| match result {
        Err(Error::HostKey { source, .. }) => *source,
        other => panic!("{other:?}"),
    };
    // Unknown: refused, and nothing is written.
    let known = HostKeys::known_hosts(&file);
    assert!(matches!(
        refusal(connect(known.clone()).await),
        HostKeyError::Unknown { .. }
    ));
    assert!(!file.exists());
    assert!(matches!(
        refusal(connect(known.clone().ask(|_| Answer::Refuse)).await),
        HostKeyError::Declined { .. }
    ));
    connect(known.clone().ask(|_| Answer::AcceptOnce)).await.unwrap();
    assert!(!file.exists());
    // New: added with its port, readable by its owner only, known from then on.
    connect(known.clone().accept_new()).await.unwrap();
    connect(known.clone()).await.unwrap();
    let line = std::fs::read_to_string(&file).unwrap();
    assert!(
        line.starts_with(&format!("[127.0.0.1]:{} ssh-ed25519 ", server.port)),
        "{line}"
    );
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777
    };
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    connect(known.clone().accept_new()).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        line,
        "known: nothing is added"
    );
    // Another key: refused by every policy, with the line.
    let (other, _) = key_file(server.directory.path(), "other", None);
    let changed = format!(
        "# a line before\n[127.0.0.1]:{} {}",
        server.port,
        other.public().to_openssh("")
    );
    std::fs::write(&file, changed).unwrap();
    for policy in [
        known.clone(),
        known.clone().accept_new(),
        known.clone().ask(|_| Answer::AcceptAndSave),
    ] {
        match refusal(connect(policy).await) {
            HostKeyError::Changed { line, known, .. } => assert_eq!((line, &known), (2, other.public())),
            other => panic!("{other}"),
        }
    }
    // Revoked beats known; hashed names are found.
    std::fs::remove_file(&file).unwrap();
    connect(known.clone().hash_names().accept_new()).await.unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    connect(known.clone()).await.unwrap();
    let revoked = server.path("revoked");
    std::fs::write(&revoked, format!("@revoked * {}", server.host_key.to_openssh(""))).unwrap();
    assert!(matches!(
        refusal(connect(known.clone().and_file(&revoked)).await),
        HostKeyError::Revoked { line: 1, .. }
    ));
    // A file that cannot be read refuses everybody.
    assert!(matches!(
        refusal(connect(known.and_file(server.directory.path())).await),
        HostKeyError::Store { .. }
    ));
    connect(HostKeys::pinned_fingerprint(server.host_key.fingerprint()))
        .await
        .unwrap();
    let wrong = HostKeys::pinned_fingerprint(Fingerprint::of_blob(b"another"));
    assert!(matches!(
        refusal(connect(wrong).await),
        HostKeyError::NotPinned { .. }
    ));
    assert!(!server.log().contains("Accepted publickey for nobody"));
}

#[tokio::test]
async fn a_wrong_host_hears_nothing_secret() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("LogLevel DEBUG1");
    let (other, _) = key_file(server.directory.path(), "other", None);
    let result = Client::connect(
        server.address(),
        &user(),
        HostKeys::pinned(other.public().clone()),
        Credentials::password("secret").then(server.key()),
    )
    .await;
    assert!(matches!(result, Err(Error::HostKey { .. })), "{result:?}");
    // The server has seen the end of the connection: it can have heard no more.
    server.has_lost_a_client().await;
    let log = server.log();
    assert!(!log.contains("userauth-request"), "the login began: {log}");
}

#[tokio::test]
async fn credentials_are_tried_in_order_and_refusals_name_them() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let connect =
        async |credentials| Client::connect(server.address(), &user(), server.pinned(), credentials).await;
    let (_, stranger) = key_file(server.directory.path(), "stranger", None);
    connect(
        Credentials::key_file(&stranger)
            .then(Credentials::password("wrong"))
            .then(server.key()),
    )
    .await
    .unwrap();
    match connect(Credentials::key_file(&stranger).then(Credentials::password("wrong"))).await {
        Err(Error::LoginRefused { tried, methods, .. }) => {
            assert_eq!(tried.len(), 2);
            assert!(
                tried[0].starts_with("publickey SHA256:") && tried[1] == "password",
                "{tried:?}"
            );
            assert!(methods.contains(&"publickey".to_owned()), "{methods:?}");
        }
        other => panic!("{other:?}"),
    }
    match connect(Credentials::none()).await {
        Err(Error::LoginRefused { tried, .. }) => assert_eq!(tried, ["none"]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn locked_keys_open_with_their_passphrase_only() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let connect =
        async |credentials| Client::connect(server.address(), &user(), server.pinned(), credentials).await;
    let text = std::fs::read(&server.user_key).unwrap();
    let key = ssh_client::keys::PrivateKey::from_openssh(&text, None).unwrap();
    let locked = server.path("locked");
    let mut rng = ssh_client::system_rng().unwrap();
    std::fs::write(&locked, key.to_openssh(Some(b"sesame"), &mut *rng).unwrap()).unwrap();
    connect(Credentials::key_file_with_passphrase(&locked, "sesame"))
        .await
        .unwrap();
    let problem = |result: Result<Client, Error>| match result {
        Err(Error::Credential(error)) => {
            assert!(
                error.to_string().contains("locked") || error.to_string().contains("absent"),
                "{error}"
            );
            error
        }
        other => panic!("{other:?}"),
    };
    use ssh_client::keys::KeyFileError;
    let wrong = Credentials::key_file_with_passphrase(&locked, "wrong");
    assert!(matches!(
        problem(connect(wrong).await),
        CredentialError::KeyFile {
            source: KeyFileError::WrongPassphrase,
            ..
        }
    ));
    assert!(matches!(
        problem(connect(Credentials::key_file(&locked)).await),
        CredentialError::KeyFile {
            source: KeyFileError::PassphraseNeeded,
            ..
        }
    ));
    let absent = server.path("absent");
    assert!(matches!(
        problem(connect(Credentials::key_file(&absent)).await),
        CredentialError::Unreadable { .. }
    ));
    std::fs::write(&absent, "no key at all\n").unwrap();
    assert!(matches!(
        problem(connect(Credentials::key_file(&absent)).await),
        CredentialError::KeyFile {
            source: KeyFileError::NotAPrivateKey,
            ..
        }
    ));
    // Asked for only when the server takes the key, and again while it is wrong.
    let answers = std::sync::Mutex::new(vec!["sesame", "wrong"]);
    let ask = move |_: &std::path::Path| {
        answers
            .lock()
            .unwrap()
            .pop()
            .map(|answer| answer.as_bytes().to_vec())
    };
    connect(Credentials::key_file_asking(&locked, ask)).await.unwrap();
    let (_, stranger) = key_file(server.directory.path(), "stranger", Some(b"x"));
    let never = Credentials::key_file_asking(stranger, |_| panic!("asked for a key that is of no use"));
    connect(never.then(server.key())).await.unwrap();
    // Optional files may be missing.
    connect(Credentials::key_file("/nowhere").optional().then(server.key()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_port_is_forwarded_through_the_server() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            });
        }
    });
    let data = bytes(4 * MIB);
    let mut direct = client.direct_tcpip("127.0.0.1", port).await.unwrap();
    direct.write_all(b"hello").await.unwrap();
    direct.shutdown().await.unwrap();
    let mut text = String::new();
    direct.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");

    let forward = client
        .forward_local("127.0.0.1:0", "127.0.0.1", port)
        .await
        .unwrap();
    let address = forward.local_addr();
    let (mut reader, mut writer) = tokio::net::TcpStream::connect(address)
        .await
        .unwrap()
        .into_split();
    let sent = data.clone();
    let sender = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    sender.await.unwrap();
    assert!(received == data);
    drop(forward);
    until("the port is closed", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;

    // Bound and not listened on: nobody else can take it meanwhile.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = bound.local_addr().unwrap().port();
    assert!(matches!(
        client.direct_tcpip("127.0.0.1", closed).await,
        Err(Error::Open { .. })
    ));
}

#[tokio::test]
async fn the_last_handle_ends_the_connection() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    let process = client.exec("echo $PPID; cat").spawn().await.unwrap();
    let handle = client.handle().clone();
    drop(client);
    let mut stdout = process.stdout;
    let mut pid = Vec::new();
    while !pid.ends_with(b"\n") {
        pid.push(stdout.read_u8().await.unwrap());
    }
    let pid: u32 = String::from_utf8(pid).unwrap().trim().parse().unwrap();
    assert!(handle.why_closed().is_none(), "a process keeps the connection");
    let alive = || std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(alive());
    drop((process.stdin, process.stderr, process.control, stdout, handle));
    until("the server has lost the connection", || !alive()).await;
}

#[tokio::test]
async fn each_phase_has_its_own_timeout_and_each_failure_its_own_error() {
    let connect = async |address: std::net::SocketAddr, short: Phase| {
        let mut config = Config::default();
        match short {
            Phase::Identification => config.timeouts.identification = Duration::from_millis(200),
            _ => config.timeouts.key_exchange = Duration::from_millis(200),
        }
        Client::connect_with(
            &config,
            address,
            "somebody",
            HostKeys::dangerous_accept_any(),
            Credentials::none(),
        )
        .await
    };
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    match connect(silent.local_addr().unwrap(), Phase::Identification).await {
        Err(Error::Timeout { phase, .. }) => assert_eq!(phase, Phase::Identification),
        other => panic!("{other:?}"),
    }
    // Says who it is and nothing more; says something else; closes at once.
    for (says, expected) in [
        (&b"SSH-2.0-Silent\r\n"[..], "the key exchange took longer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ""),
        (b"", ""),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(says).await.unwrap();
            if says.starts_with(b"SSH") {
                std::future::pending::<()>().await;
            }
        });
        let error = connect(address, Phase::KeyExchange).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains(expected),
            "{text}"
        );
        serving.abort();
    }
}
