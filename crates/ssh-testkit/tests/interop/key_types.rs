//! Every type of host key and user key, with OpenSSH in both seats.

use ssh_client::keys::algorithm;
use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_testkit::openssh::{Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::openssh_server::{connect, public_key};
use crate::ours::Ours;

/// A type of key: how `ssh-keygen` makes it, and the signature algorithms it is used with.
const TYPES: &[(&[&str], &[&str])] = &[
    (&["-t", "ed25519"], &["ssh-ed25519"]),
    (&["-t", "ecdsa", "-b", "256"], &["ecdsa-sha2-nistp256"]),
    (&["-t", "ecdsa", "-b", "384"], &["ecdsa-sha2-nistp384"]),
    (&["-t", "ecdsa", "-b", "521"], &["ecdsa-sha2-nistp521"]),
    (&["-t", "rsa", "-b", "2048"], &["rsa-sha2-512", "rsa-sha2-256"]),
    (&["-t", "rsa", "-b", "3072"], &["rsa-sha2-512"]),
];

#[test]
fn openssh_believes_our_host_key_and_logs_in_with_its_own_of_every_type() {
    let Some(program) = peers::need("ssh") else { return };
    for (kind, algorithms) in TYPES {
        let ours = Ours::with_keys(Keys::of(kind), |_| {});
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
async fn our_client_believes_openssh_and_logs_in_with_a_key_of_every_type() {
    let Some(sshd) = peers::need("sshd") else { return };
    for (kind, algorithms) in TYPES {
        for algorithm in *algorithms {
            let more = format!("HostKeyAlgorithms {algorithm}");
            let server = Server::start_with(&sshd, Keys::of(kind), &more);
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
