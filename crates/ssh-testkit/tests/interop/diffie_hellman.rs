//! Finite-field Diffie-Hellman with others, beyond what the tests of every method show: the groups that OpenSSH lacks (15
//! and 17, with asyncssh), and group exchange over each size that the strength of a cipher asks for, with a file of groups
//! and without one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ssh_client::Config;
use ssh_client::kex::{Moduli, method};
use ssh_client::wire::{cipher, mac};
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::openssh_server::server;
use crate::ours::Ours;

const GROUP_EXCHANGE: [&str; 2] = [
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group-exchange-sha1",
];

/// A cipher for each strength, with the size of group that OpenSSH asks for under it.
const STRENGTHS: [(&str, u32); 3] = [
    ("aes128-gcm@openssh.com", 3072),
    ("aes192-ctr", 7680),
    ("aes256-gcm@openssh.com", 8192),
];

/// A MAC whose key is no longer than that of any of those ciphers.
const SHORT_KEY: &str = "umac-64-etm@openssh.com";

/// Every key exchange method of ours.
fn methods() -> String {
    let names: Vec<_> = method::ALL.iter().map(|method| method.name).collect();
    names.join(",")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
}

/// The groups of the file that the tests of `ssh-kex` read.
fn moduli() -> Arc<Moduli> {
    Arc::new(Moduli::parse(include_bytes!("../../../ssh-kex/tests/moduli")).unwrap())
}

#[test]
fn openssh_takes_our_groups_of_every_size() {
    let Some(program) = peers::need("ssh") else { return };
    for (moduli, sizes) in [
        (Arc::default(), [3072, 8192, 8192]),
        (moduli(), [3072, 4096, 4096]),
    ] {
        let ours = Ours::with(|config| {
            config.transport.moduli = moduli;
            config.transport.preferences.kex = method::ALL.to_vec();
            config.transport.preferences.ciphers = cipher::ALL.to_vec();
            config.transport.preferences.macs = mac::ALL.to_vec();
        });
        for ((cipher, asked), size) in STRENGTHS.into_iter().zip(sizes) {
            for name in GROUP_EXCHANGE {
                let option = format!("KexAlgorithms={name}");
                let options = ["-vv", "-o", &option, "-c", cipher, "-m", SHORT_KEY];
                let finished = run(ours
                    .client(&program, &options)
                    .arg(ours.destination())
                    .arg("echo in"))
                .with_code(0);
                assert_eq!(finished.stdout_text(), "in\n");
                let told = finished.stderr_text();
                let asked = format!("(2048<{asked}<8192) sent");
                assert!(told.contains(&asked), "{asked}: {finished}");
                // `bits set: about half/all`, once for each share.
                let is_share = |line: &str| line.contains("bits set:") && line.ends_with(&format!("/{size}"));
                assert!(told.lines().any(is_share), "{size}: {finished}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_take_the_groups_of_openssh_of_every_size() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let fallback = format!("ModuliFile {}", empty.path().display());
    // The groups of the system's file first, then those that are built in.
    for more in ["", &fallback] {
        let more = format!("{more}\nKexAlgorithms {}", GROUP_EXCHANGE.join(","));
        let Some(server) = server(&more) else { return };
        for (cipher, _) in STRENGTHS {
            for name in GROUP_EXCHANGE {
                let mut config = Config::default();
                config.transport.preferences.edit_kex(name).unwrap();
                config.transport.preferences.edit_ciphers(cipher).unwrap();
                config.transport.preferences.edit_macs(SHORT_KEY).unwrap();
                let client = crate::openssh_server::connect(&server, &config)
                    .await
                    .unwrap_or_else(|error| panic!("{name} {cipher}: {error}"));
                assert_eq!(client.negotiated().kex.name, name);
                assert_eq!(
                    client.exec("echo in").output().await.unwrap().stdout_text(),
                    "in\n"
                );
            }
        }
    }
}

#[test]
fn asyncssh_takes_every_method_of_our_server() {
    let Some(python) = peers::need_python() else {
        return;
    };
    let ours = Ours::with(|config| config.transport.preferences.kex = method::ALL.to_vec());
    let finished = run(Command::new(python)
        .arg(script("asyncssh_methods.py"))
        .arg(ours.port.to_string())
        .arg(ours.user())
        .arg(ours.keys.path("user"))
        .arg(ours.keys.known_hosts("known_hosts", ours.port, "host"))
        .arg(methods())
        .env_remove("SSH_AUTH_SOCK"))
    .with_code(0);
    let told = finished.stdout_text();
    for method in diffie_hellman() {
        assert!(
            told.lines().any(|line| line == format!("ok {}", method.name)),
            "{method:?}: {finished}"
        );
    }
}

/// Finite-field methods.
fn diffie_hellman() -> impl Iterator<Item = &'static method::Method> {
    let all = method::ALL.iter().copied();
    all.filter(|method| method.name.starts_with("diffie-hellman-"))
}
