//! Our client library into OpenSSH's `sshd`: whom to believe, and what to log in with.

use std::fs;
use std::path::Path;
use std::process::Command;

use ssh_client::{Client, Config, CredentialError, Credentials, Error, HostKeyError, HostKeys, ShowBanner};
use ssh_testkit::openssh::{Account, Server};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::openssh_server::{public_key, server};

/// What makes the server tell in its log who wants to log in.
const LOUD: &str = "LogLevel DEBUG1";

async fn login(
    server: &Server,
    user: &str,
    host_keys: HostKeys,
    credentials: Credentials,
) -> Result<Client, Error> {
    Client::connect(("127.0.0.1", server.port), user, host_keys, credentials).await
}

fn pinned(server: &Server) -> HostKeys {
    HostKeys::pinned(public_key(&server.keys, "host"))
}

fn key(server: &Server) -> Credentials {
    Credentials::key_file(server.keys.path("user"))
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_by_key_file_by_locked_key_file_and_by_several_keys() {
    let Some(server) = server("") else { return };
    let file = |name: &str| server.keys.path(name);
    let strange = Credentials::key_file(file("stranger"));
    for credentials in [
        key(&server),
        Credentials::key_file_with_passphrase(file("locked"), "secret"),
        Credentials::key_file_asking(file("locked"), |_| Some(b"secret".to_vec())),
        strange.clone().then(key(&server)),
        strange.then(Credentials::key_file_with_passphrase(file("locked"), "secret")),
    ] {
        let client = login(&server, &peers::user(), pinned(&server), credentials)
            .await
            .unwrap();
        assert!(client.run("exit 0").await.unwrap().status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_by_password() {
    if peers::need("sshd").is_none() {
        return;
    }
    let Some(account) = Account::make("login") else {
        return;
    };
    let Some(server) = server("PasswordAuthentication yes") else {
        return;
    };
    let password = Credentials::password(&account.password);
    let client = login(&server, &account.name, pinned(&server), password.clone())
        .await
        .unwrap();
    assert_eq!(
        client.run("id -un").await.unwrap().stdout_text().trim(),
        account.name
    );
    // A key that is not taken, a wrong password, then the right one.
    let several = Credentials::key_file(server.keys.path("stranger"));
    let several = several.then(Credentials::password("wrong")).then(password);
    let client = login(&server, &account.name, pinned(&server), several)
        .await
        .unwrap();
    assert!(client.run("exit 0").await.unwrap().status.success());
    let wrong = login(
        &server,
        &account.name,
        pinned(&server),
        Credentials::password("wrong"),
    )
    .await
    .unwrap_err();
    assert!(matches!(wrong, Error::LoginRefused { .. }), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let Some(server) = server("") else { return };
    let strange = Credentials::key_file(server.keys.path("stranger"));
    let user = peers::user();
    for (name, credentials) in [
        (user.as_str(), strange),
        (user.as_str(), Credentials::none()),
        (
            user.as_str(),
            Credentials::password("no passwords are taken here"),
        ),
        ("nobody-of-that-name", key(&server)),
    ] {
        let refused = login(&server, name, pinned(&server), credentials)
            .await
            .unwrap_err();
        let Error::LoginRefused { methods, .. } = &refused else {
            panic!("{refused}")
        };
        assert_eq!(methods, &["publickey"], "{refused}");
        assert!(refused.to_string().contains(&format!("{name}@")), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_files_that_cannot_be_used_are_named_before_anything_is_sent() {
    let Some(server) = server("") else { return };
    let file = |name: &str| server.keys.path(name);
    let missing = Credentials::key_file(file("missing"));
    let no_key = Credentials::key_file(file("host.pub"));
    let wrong = Credentials::key_file_with_passphrase(file("locked"), "wrong");
    let locked = Credentials::key_file(file("locked"));
    for (credentials, path) in [
        (missing, "missing"),
        (no_key, "host.pub"),
        (wrong, "locked"),
        (locked, "locked"),
    ] {
        let error = login(&server, &peers::user(), pinned(&server), credentials)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Credential(_)), "{error}");
        assert!(
            error.to_string().contains(file(path).to_str().unwrap()),
            "{error}"
        );
    }
    let missing = login(
        &server,
        "x",
        pinned(&server),
        Credentials::key_file("/nowhere/key"),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(missing, Error::Credential(CredentialError::Unreadable { .. })),
        "{missing}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_key_ends_it_before_anything_secret_is_sent() {
    let Some(server) = server(LOUD) else { return };
    let stranger = public_key(&server.keys, "stranger");
    let known = server.keys.known_hosts("wrong_hosts", server.port, "stranger");
    let nobody = server.keys.path("no_hosts");
    for host_keys in [
        HostKeys::pinned(stranger.clone()),
        HostKeys::pinned_fingerprint(stranger.fingerprint()),
        HostKeys::known_hosts(&known),
        HostKeys::known_hosts(&known).accept_new(),
        HostKeys::known_hosts(&nobody),
    ] {
        let credentials = Credentials::password("very secret").then(key(&server));
        let error = login(&server, "somebody", host_keys, credentials)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::HostKey { .. }), "{error}");
    }
    let log = server.log();
    assert!(
        log.contains("SSH2_MSG_KEXINIT received"),
        "the log tells too little: {log}"
    );
    for word in ["userauth-request", "SSH2_MSG_NEWKEYS received", "somebody"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
    assert!(!nobody.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_told_with_its_line() {
    let Some(server) = server("") else { return };
    let known = server.keys.known_hosts("wrong_hosts", server.port, "stranger");
    let error = login(&server, "x", HostKeys::known_hosts(&known), key(&server))
        .await
        .unwrap_err();
    let Error::HostKey { source, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        matches!(&**source, HostKeyError::Changed { line: 1, path, .. } if *path == known),
        "{error}"
    );
    assert!(error.to_string().contains(known.to_str().unwrap()), "{error}");
    let fingerprint = public_key(&server.keys, "host").fingerprint();
    let error = login(
        &server,
        "x",
        HostKeys::pinned(public_key(&server.keys, "stranger")),
        key(&server),
    )
    .await;
    let Err(Error::HostKey { source, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(*source, HostKeyError::NotPinned { offered, .. } if offered == fingerprint),
        "{source}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn known_hosts_as_openssh_writes_them_are_believed() {
    let Some(server) = server("") else { return };
    let known = server.keys.known_hosts("known_hosts", server.port, "host");
    let hashed = server.keys.path("hashed_hosts");
    fs::copy(&known, &hashed).unwrap();
    let keygen = peers::find("ssh-keygen").expect("it comes with the server");
    let _ = run(Command::new(keygen).arg("-H").arg("-f").arg(&hashed)).with_code(0);
    assert!(fs::read_to_string(&hashed).unwrap().starts_with("|1|"));
    for file in [known, hashed] {
        login(
            &server,
            &peers::user(),
            HostKeys::known_hosts(&file),
            key(&server),
        )
        .await
        .unwrap();
    }
    let fingerprint = public_key(&server.keys, "host").fingerprint();
    login(
        &server,
        &peers::user(),
        HostKeys::pinned_fingerprint(fingerprint),
        key(&server),
    )
    .await
    .unwrap();
    login(
        &server,
        &peers::user(),
        HostKeys::dangerous_accept_any(),
        key(&server),
    )
    .await
    .unwrap();
}

/// Whether OpenSSH finds the server of `port` in a file of known hosts.
fn openssh_finds(file: &Path, port: u16) -> bool {
    let keygen = peers::find("ssh-keygen").expect("it comes with the server");
    run(Command::new(keygen)
        .args(["-F", &format!("[127.0.0.1]:{port}"), "-f"])
        .arg(file))
    .code
        == Some(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_added_in_openssh_s_form_and_known_from_then_on() {
    let Some(server) = server("") else { return };
    let new = |name: &str| HostKeys::known_hosts(server.keys.path(name)).accept_new();
    for (name, host_keys) in [("plain", new("plain")), ("hashed", new("hashed").hash_names())] {
        let file = server.keys.path(name);
        fs::write(&file, "other.example ssh-ed25519 AAAA\n# no newline at the end").unwrap();
        login(&server, &peers::user(), host_keys, key(&server))
            .await
            .unwrap();
        assert!(openssh_finds(&file, server.port), "{name}");
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("other.example ssh-ed25519 AAAA\n# no newline at the end\n"),
            "{text}"
        );
        login(
            &server,
            &peers::user(),
            HostKeys::known_hosts(&file),
            key(&server),
        )
        .await
        .unwrap();
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            text,
            "a known host is not added again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banner_is_shown_before_the_login() {
    let Some(sshd) = peers::need("sshd") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "Only for friends.\n").unwrap();
    let server = Server::start(&sshd, &format!("Banner {}", file.path().display()));
    let shown = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let shows = std::sync::Arc::clone(&shown);
    let banner = Some(ShowBanner::new(move |text| shows.lock().unwrap().push_str(text)));
    let config = Config {
        banner,
        ..Config::default()
    };
    let address = ("127.0.0.1", server.port);
    Client::connect_with(&config, address, &peers::user(), pinned(&server), key(&server))
        .await
        .unwrap();
    assert_eq!(*shown.lock().unwrap(), "Only for friends.\n");
}
