//! RSA keys of every size, small ones, and SHA-1, with OpenSSH in both seats. `matrix` has every type of key.

use ssh_client::keys::algorithm;
use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_testkit::openssh::{Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::openssh_server::{connect, public_key};
use crate::ours::Ours;

/// Sizes of RSA keys in bits, with the signature algorithms they are used with. The other types have one size each, which
/// `matrix` has.
const RSA_SIZES: &[(&str, &[&str])] = &[
    ("2048", &["rsa-sha2-512", "rsa-sha2-256"]),
    ("2560", &["rsa-sha2-512", "rsa-sha2-256"]),
    ("3072", &["rsa-sha2-512"]),
    ("4096", &["rsa-sha2-512"]),
];

#[test]
fn openssh_believes_our_rsa_key_and_logs_in_with_its_own_of_every_size() {
    let Some(program) = peers::need("ssh") else { return };
    for (bits, algorithms) in RSA_SIZES {
        let ours = Ours::with_keys(Keys::of(&["-t", "rsa", "-b", bits]), |_| {});
        for algorithm in *algorithms {
            let host = format!("HostKeyAlgorithms={algorithm}");
            let user = format!("PubkeyAcceptedAlgorithms={algorithm}");
            let mut line = ours.client(&program, &["-o", &host, "-o", &user]);
            let finished = run(line.arg(ours.destination()).arg("exit 7")).with_code(7);
            assert!(finished.stdout.is_empty(), "{finished}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_believes_openssh_and_logs_in_with_an_rsa_key_of_every_size() {
    let Some(sshd) = peers::need("sshd") else { return };
    for (bits, algorithms) in RSA_SIZES {
        for algorithm in *algorithms {
            let more = format!("HostKeyAlgorithms {algorithm}");
            let server = Server::start_with(&sshd, Keys::of(&["-t", "rsa", "-b", bits]), &more);
            let client = connect(&server, &Config::default()).await.unwrap();
            assert_eq!(client.negotiated().host_key.name, *algorithm);
            assert_eq!(
                client.run("exit 7").await.unwrap().status.code(),
                Some(7),
                "{algorithm}"
            );
            client.disconnect().await;
        }
    }
}

#[test]
fn an_rsa_key_is_tried_again_with_the_algorithm_the_server_takes() {
    if peers::need("ssh-keygen").is_none() {
        return;
    }
    let ours = Ours::with_keys(Keys::of(&["-t", "rsa", "-b", "2048"]), |config| {
        config.transport.login_signatures = algorithm::find("rsa-sha2-256").into_iter().collect();
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let login = async {
        // The login leaves before the server has told its algorithms: the first signature is of the wrong kind.
        let host_keys = HostKeys::pinned(public_key(&ours.keys, "host"));
        let key = Credentials::key_file(ours.keys.path("user"));
        let address = ("127.0.0.1", ours.port);
        let client = Client::connect(address, &ours.user(), host_keys, key)
            .await
            .unwrap();
        assert_eq!(client.run("exit 7").await.unwrap().status.code(), Some(7));
    };
    runtime.block_on(login);
}

#[test]
fn sha_1_is_for_host_keys_and_for_who_asks_by_name() {
    let Some(program) = peers::need("ssh") else { return };
    let keys = || Keys::of(&["-t", "rsa", "-b", "2048"]);
    let with_sha_1 = [
        "-o",
        "HostKeyAlgorithms=+ssh-rsa",
        "-o",
        "HostKeyAlgorithms=ssh-rsa",
    ];
    let only = &with_sha_1[2..];
    let ours = Ours::with_keys(keys(), |_| {});
    let mut line = ours.client(&program, only);
    let _finished = run(line.arg(ours.destination()).arg("exit 7")).with_code(255);
    let named = Ours::with_keys(keys(), |config| {
        config.transport.preferences.edit_host_keys("+ssh-rsa").unwrap();
    });
    for options in [only, &with_sha_1[..2]] {
        let mut line = named.client(&program, options);
        let _finished = run(line.arg(named.destination()).arg("exit 7")).with_code(7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_takes_sha_1_from_an_old_server_only_by_name() {
    let Some(sshd) = peers::need("sshd") else { return };
    let keys = Keys::of(&["-t", "rsa", "-b", "2048"]);
    let server = Server::start_with(&sshd, keys, "HostKeyAlgorithms ssh-rsa");
    assert!(connect(&server, &Config::default()).await.is_err());
    let mut config = Config::default();
    config.transport.preferences.edit_host_keys("+ssh-rsa").unwrap();
    let client = connect(&server, &config).await.unwrap();
    assert_eq!(client.negotiated().host_key.name, "ssh-rsa");
    client.disconnect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_rsa_keys_are_refused_by_name_unless_configured() {
    let Some(sshd) = peers::need("sshd") else { return };
    let keys = Keys::of(&["-t", "rsa", "-b", "1024"]);
    let host = public_key(&keys, "host");
    let server = Server::start_with(&sshd, keys, "RequiredRSASize 1024");
    let refused = connect(&server, &Config::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("1024 bits") && refused.contains(&host.fingerprint().to_string()),
        "{refused}"
    );
    let mut config = Config::default();
    config.transport.required_rsa_bits = 1024;
    connect(&server, &config).await.unwrap().disconnect().await;
}

#[test]
fn a_server_takes_no_small_keys_unless_configured() {
    let Some(program) = peers::need("ssh") else { return };
    let keys = Keys::of(&["-t", "rsa", "-b", "1024"]);
    let text = std::fs::read(keys.path("host")).unwrap();
    let small = || ssh_server::keys::PrivateKey::from_openssh(&text, None).unwrap();
    let refused = ssh_server::Server::builder()
        .host_key(small())
        .build(Nobody)
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("1024 bits") && refused.to_string().contains("2048"),
        "{refused}"
    );
    let ours = Ours::with_keys(keys, |config| config.transport.required_rsa_bits = 1024);
    let mut line = ours.client(&program, &["-o", "RequiredRSASize=1024"]);
    let _finished = run(line.arg(ours.destination()).arg("exit 7")).with_code(7);

    // A user's key: the same server with a large host key and the small key of the user.
    let keys = Keys::make();
    std::fs::remove_file(keys.path("user")).unwrap();
    let made = std::process::Command::new(peers::find("ssh-keygen").unwrap())
        .args(["-q", "-t", "rsa", "-b", "1024", "-N", "", "-f"])
        .arg(keys.path("user"))
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::copy(keys.path("user.pub"), keys.path("authorized_keys")).unwrap();
    let ours = Ours::with_keys(keys, |_| {});
    let mut line = ours.client(&program, &["-o", "RequiredRSASize=1024"]);
    let _finished = run(line.arg(ours.destination()).arg("exit 7")).with_code(255);
    assert!(
        ours.attempts()
            .iter()
            .all(|attempt| !attempt.starts_with("publickey"))
    );
}

/// Lets nobody in.
struct Nobody;

impl ssh_server::Application for Nobody {}
