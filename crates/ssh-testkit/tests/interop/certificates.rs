//! Host certificates with OpenSSH in both seats: what is believed of them, and what is not. `matrix` has every type.

use ssh_client::keys::{Certificate, CertificateError, PrivateKey};
use ssh_client::{Client, Config, Credentials, Error, HostKeyError, HostKeys};
use ssh_server::{Error as ServerError, Server as OurServer};
use ssh_testkit::openssh::{Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::openssh_server::public_key;
use crate::ours::Ours;

/// Certifies the host key with a new authority, for these hosts.
fn certify(keys: &Keys, options: &[&str]) {
    if !keys.path("ca").exists() {
        keys.add("ca", &["-t", "ed25519"]);
    }
    keys.certify("host", "ca", options);
}

/// A known_hosts file of one line about every host.
fn known_hosts(keys: &Keys, name: &str, lines: &[(&str, &str)]) -> HostKeys {
    let text: String = lines
        .iter()
        .map(|(hosts, key)| format!("{hosts} {}\n", keys.public(key)))
        .collect();
    std::fs::write(keys.path(name), text).unwrap();
    HostKeys::known_hosts(keys.path(name))
}

fn certificate_line(keys: &Keys) -> String {
    format!("HostCertificate {}", keys.path("host-cert.pub").display())
}

async fn connect(server: &Server, host_keys: HostKeys) -> Result<Client, Error> {
    let key = Credentials::key_file(server.keys.path("user"));
    let address = ("127.0.0.1", server.port);
    Client::connect_with(&Config::default(), address, &peers::user(), host_keys, key).await
}

/// Why the host was not believed.
async fn refusal(server: &Server, host_keys: HostKeys) -> HostKeyError {
    match connect(server, host_keys).await {
        Err(Error::HostKey { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_believes_only_what_the_certificate_says() {
    let Some(sshd) = peers::need("sshd") else { return };
    let keys = Keys::make();
    certify(&keys, &["-h", "-n", "127.0.0.1"]);
    let more = certificate_line(&keys);
    let server = Server::start_with(&sshd, keys, &more);
    let keys = &server.keys;
    let judged = |name: &str, lines: &[(&str, &str)]| known_hosts(keys, name, lines);

    // An authority nobody knows: the key in the certificate counts as if it had come by itself.
    let client = connect(&server, judged("plain", &[("*", "host")])).await.unwrap();
    assert!(client.negotiated().host_key.is_certificate());
    client.disconnect().await;
    let found = refusal(&server, judged("other", &[("@cert-authority *", "stranger")])).await;
    assert!(matches!(found, HostKeyError::Unknown { .. }), "{found}");
    // A pin is about the key.
    let pinned = HostKeys::pinned(public_key(keys, "host"));
    connect(&server, pinned).await.unwrap().disconnect().await;

    for (name, lines, authority) in [
        (
            "revoked_ca",
            [("@cert-authority *", "ca"), ("@revoked *", "ca")],
            true,
        ),
        (
            "revoked_host",
            [("@cert-authority *", "ca"), ("@revoked *", "host")],
            false,
        ),
        (
            "revoked_ca_known",
            [("127.0.0.1", "host"), ("@revoked *", "ca")],
            true,
        ),
    ] {
        let found = refusal(&server, judged(name, &lines)).await;
        match &found {
            HostKeyError::RevokedAuthority { line: 2, .. } => assert!(authority, "{found}"),
            HostKeyError::Revoked { line: 2, .. } => assert!(!authority, "{found}"),
            _ => panic!("{found}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_certificate_of_a_known_authority_is_refused_by_what_is_wrong() {
    let Some(sshd) = peers::need("sshd") else { return };
    for (options, is_expected) in [
        (
            &["-h", "-n", "other.example.org"][..],
            (|problem| matches!(problem, CertificateError::OtherHost { .. }))
                as fn(&CertificateError) -> bool,
        ),
        (&["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"], |problem| {
            matches!(problem, CertificateError::Expired { .. })
        }),
        (&["-h", "-n", "127.0.0.1", "-V", "20990101:20990102"], |problem| {
            matches!(problem, CertificateError::NotYetValid { .. })
        }),
        (&["-h"], |problem| {
            matches!(problem, CertificateError::NoPrincipals)
        }),
    ] {
        let keys = Keys::make();
        certify(&keys, options);
        let more = certificate_line(&keys);
        let server = Server::start_with(&sshd, keys, &more);
        let trusted = [("@cert-authority *", "ca")];
        let found = refusal(&server, known_hosts(&server.keys, "known", &trusted).accept_new()).await;
        match &found {
            HostKeyError::Certificate { problem, line: 1, .. } => assert!(is_expected(problem), "{found}"),
            _ => panic!("{found}"),
        }
        // Whoever knows the key by itself does not need it.
        let both = [("@cert-authority *", "ca"), ("*", "host")];
        let client = connect(&server, known_hosts(&server.keys, "both", &both))
            .await
            .unwrap();
        client.disconnect().await;
    }
}

#[test]
fn openssh_that_knows_no_authority_believes_our_key() {
    let Some(program) = peers::need("ssh") else { return };
    let keys = Keys::make();
    certify(&keys, &["-h", "-n", "127.0.0.1"]);
    let ours = Ours::with_keys(keys, |_| {});
    let mut line = ours.client(&program, &[]);
    let _finished = run(line.arg(ours.destination()).arg("exit 7")).with_code(7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_refuses_certificates_it_cannot_show() {
    if peers::need("ssh-keygen").is_none() {
        return;
    }
    let keys = Keys::make();
    let read = |name: &str| PrivateKey::from_openssh(&std::fs::read(keys.path(name)).unwrap(), None).unwrap();
    let load = || {
        let text = std::fs::read_to_string(keys.path("host-cert.pub")).unwrap();
        Certificate::from_openssh(text.trim_end()).unwrap().0
    };
    certify(&keys, &["-n", "127.0.0.1"]);
    let built = OurServer::builder()
        .host_key(read("host"))
        .host_certificate(load())
        .build(Nobody);
    assert!(matches!(
        built.err(),
        Some(ServerError::HostCertificate {
            source: CertificateError::NotForHosts,
            ..
        })
    ));
    certify(&keys, &["-h", "-n", "127.0.0.1"]);
    let built = OurServer::builder()
        .host_certificate(load())
        .host_key(read("stranger"))
        .build(Nobody);
    assert!(matches!(
        built.err(),
        Some(ServerError::CertificateWithoutKey { .. })
    ));
    let built = OurServer::builder()
        .host_certificate(load())
        .host_key(read("host"))
        .build(Nobody);
    assert!(built.is_ok());
}

/// Lets nobody in.
struct Nobody;

impl ssh_server::Application for Nobody {}
