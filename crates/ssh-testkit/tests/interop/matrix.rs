//! Every key exchange method, host key type, cipher, MAC and compression method with OpenSSH, in both seats. The table is
//! made of our registries; what this machine's OpenSSH lacks has to fail for that reason.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ssh_client::wire::Tier;
use ssh_testkit::openssh::Server;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::ours::Ours;
use crate::table::{
    KNOWN_AUTHORITY, Nature, Offer, Row, Theirs, host_key_files, into_ours, keys_of_every_type, rows,
};

/// What `ssh -Q` lists, with what it says about each kind.
fn listed(program: &Path) -> Offer {
    let list = |kind: &str| -> BTreeSet<String> {
        let told = run(Command::new(program).args(["-Q", kind])).with_code(0);
        told.stdout_text().lines().map(str::to_owned).collect()
    };
    Offer {
        kex: list("kex"),
        host_keys: list("HostKeyAlgorithms"),
        ciphers: list("cipher"),
        macs: list("mac"),
        compression: list("compression"),
    }
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(",")
}

/// A known_hosts file: of the authority alone where the host shows a certificate, else of the host's keys.
fn known_hosts(row: &Row, ours: &Ours) -> PathBuf {
    if row.host_key.is_certificate() {
        return ours.keys.path(KNOWN_AUTHORITY);
    }
    let known = ours.keys.path(&format!("known_hosts_{}", ours.port));
    let lines: String = host_key_files()
        .iter()
        .map(|name| format!("[127.0.0.1]:{} {}\n", ours.port, ours.keys.public(name)))
        .collect();
    std::fs::write(&known, lines).unwrap();
    known
}

/// OpenSSH's `ssh` on its way to `ours`, allowed nothing but the row.
fn client(program: &Path, row: &Row, ours: &Ours) -> Command {
    let known = known_hosts(row, ours);
    let compression = if row.compression.construction.is_some() {
        "yes"
    } else {
        "no"
    };
    let mut options = vec![
        format!("UserKnownHostsFile={}", known.display()),
        format!("IdentityFile={}", ours.keys.path(&row.key_file("user")).display()),
        format!("KexAlgorithms={}", row.kex.name),
        format!("HostKeyAlgorithms={}", row.host_key.name),
        format!("Ciphers={}", row.cipher.name),
        format!("Compression={compression}"),
    ];
    options.extend(row.mac.map(|mac| format!("MACs={}", mac.name)));
    if row.host_key.tier != Tier::Legacy {
        options.push(format!("PubkeyAcceptedAlgorithms={}", row.host_key.plain().name));
    }
    let words: Vec<_> = options.iter().flat_map(|option| ["-o", option]).collect();
    let mut line = ours.client(program, &[&["-v"], &words[..]].concat());
    line.arg(ours.destination()).arg("cat");
    line
}

/// Whether `ssh -v` has told of the row.
fn told(row: &Row, finished: &Finished) -> Result<(), String> {
    let text = finished.stderr_text();
    let mac = row.mac.map_or("<implicit>", |mac| mac.name);
    let ciphering = format!(
        "cipher: {} MAC: {mac} compression: {}",
        row.cipher.name, row.compression.name
    );
    for expected in [
        format!("kex: algorithm: {}", row.kex.name),
        format!("kex: host key algorithm: {}", row.host_key.name),
        format!("kex: server->client {ciphering}"),
        format!("kex: client->server {ciphering}"),
    ] {
        if !text.lines().any(|line| line.ends_with(&expected)) {
            return Err(format!("`{expected}` is not in {text}"));
        }
    }
    Ok(())
}

#[test]
fn openssh_reaches_our_server_with_every_algorithm_it_knows() {
    let Some(program) = peers::need("ssh") else { return };
    let keys = keys_of_every_type();
    let rows = rows(&listed(&program));
    // What it does not list it refuses before it connects, as a mistake in its configuration.
    into_ours(
        &rows,
        &keys,
        Nature {
            refusal: ": Bad ",
            hears_while_it_speaks: true,
        },
        |row, ours| client(&program, row, ours),
        told,
    );
}

/// `sshd` with all that `ssh` of the same version lists, and with every host key.
fn server(sshd: &Path, listed: &Offer) -> Server {
    let keys = keys_of_every_type();
    let mut more = format!(
        "KexAlgorithms {}\nHostKeyAlgorithms {}\nCiphers {}\nMACs {}\nCompression yes\n",
        join(&listed.kex),
        join(&listed.host_keys),
        join(&listed.ciphers),
        join(&listed.macs),
    );
    for name in host_key_files() {
        let path = keys.path(&name).display().to_string();
        more += &format!("HostKey {path}\nHostCertificate {path}-cert.pub\n");
    }
    Server::start_with(sshd, keys, &more)
}

#[test]
fn our_client_reaches_openssh_with_every_algorithm_it_knows() {
    let (Some(sshd), Some(ssh)) = (peers::need("sshd"), peers::need("ssh")) else {
        return;
    };
    let listed = listed(&ssh);
    let server = server(&sshd, &listed);
    let offer = Offer::of_server(server.port);
    // What is known below is no less than what was asked for: nothing can go missing unseen.
    assert!(offer.kex.is_superset(&listed.kex), "{offer:?}");
    assert!(
        offer.ciphers == listed.ciphers && offer.macs == listed.macs,
        "{offer:?}"
    );
    assert!(offer.is_strict(), "{offer:?}");
    let theirs = Theirs {
        port: server.port,
        user: &peers::user(),
        keys: &server.keys,
        offer,
        ends_silently: false,
    };
    theirs.try_every_row();
}
