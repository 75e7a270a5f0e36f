//! The real ssh-keygen reads what this crate writes, and both find the same lines. Continuous integration has
//! ssh-keygen; elsewhere these tests say that they did nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{KINDS, Repeating, fixture, folder, strings};
use ssh_keys::known_hosts::{HostKeyStatus, KnownHosts};
use ssh_keys::wire::{Reader, Tier};
use ssh_keys::{KeyKind, PrivateKey, PublicKey, SignatureAlgorithm, algorithm};

/// Whether this is a run in which nothing may be left out.
fn demanded() -> bool {
    let says = |name, value| std::env::var(name).is_ok_and(|found| found == value);
    says("CI", "true") || says("BOWLINE_INTEROP", "require")
}

/// Runs ssh-keygen; `None` where there is none and none is demanded.
fn ssh_keygen(arguments: &[&str]) -> Option<Output> {
    match Command::new("ssh-keygen").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if !demanded() => {
            println!("skipped: ssh-keygen does not start ({error})");
            None
        }
        Err(error) => panic!("ssh-keygen does not start: {error}"),
    }
}

/// A folder of this test's own, gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ssh-keys-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        // ssh-keygen does not read a key that others can read.
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        text_of(&path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn ssh_keygen_reads_our_keys() {
    let scratch = Scratch::new("keys");
    let mut rng = Repeating::new((0..=255).collect::<Vec<u8>>());
    for (number, (kind, comment, passphrase)) in [
        (KeyKind::Ed25519, "", None),
        (KeyKind::Ed25519, "alice@example.org", None),
        (KeyKind::Ed25519, "two words", Some("secret")),
        (KeyKind::Ed25519, "1234567", Some("päss \"word\"")),
        (KeyKind::EcdsaP256, "p256", None),
        (KeyKind::EcdsaP384, "p384", None),
        (KeyKind::EcdsaP521, "p521", Some("secret")),
    ]
    .into_iter()
    .enumerate()
    {
        let key = PrivateKey::generate(kind, &mut rng, comment);
        let text = key.to_openssh(passphrase.map(str::as_bytes), &mut rng).unwrap();
        let path = scratch.write(&format!("key{number}"), text.as_bytes());
        let Some(output) = ssh_keygen(&["-y", "-P", passphrase.unwrap_or(""), "-f", &path]) else {
            return;
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let line = String::from_utf8(output.stdout).unwrap();
        let (public, found) = PublicKey::from_openssh(&line).unwrap();
        assert_eq!((&public, found.as_str()), (key.public(), comment));
        let public_path = scratch.write("public", key.public().to_openssh(comment).as_bytes());
        let shown = ssh_keygen(&["-l", "-f", &public_path]).unwrap().stdout;
        let fingerprint = key.public().fingerprint().to_string();
        assert!(String::from_utf8_lossy(&shown).contains(&fingerprint));
    }
}

/// The lines of a `known_hosts` file that ssh-keygen finds for a name.
fn found_by_ssh_keygen(path: &str, name: &str) -> Option<Vec<usize>> {
    let output = ssh_keygen(&["-F", name, "-f", path])?;
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("# Host ")?.split("found: line ").nth(1));
    Some(
        lines
            .map(|line| line.split(' ').next().unwrap().parse().unwrap())
            .collect(),
    )
}

#[test]
fn ssh_keygen_finds_the_lines_we_find() {
    for file in ["known_hosts", "known_hosts_hashed", "known_hosts_patterns"] {
        let hosts = KnownHosts::parse(fixture(file));
        assert_eq!(hosts.bad_lines(), []);
        assert!(hosts.entries().len() >= 4);
        let path = text_of(&folder("fixtures").join(file));
        for (host, port) in [
            ("example.org", 22),
            // Not in capitals: ssh-keygen hashes a name as it is given, while ssh, as we do, lowers it first.
            ("192.0.2.1", 22),
            ("example.org", 2222),
            ("two.example.org", 22),
            ("three.example.org", 22),
            ("www.example.net", 22),
            ("bad.example.net", 22),
            ("www.example.net", 2222),
            ("host-1", 22),
            ("www.example.com", 22),
        ] {
            let name = if port == 22 {
                host.to_owned()
            } else {
                format!("[{host}]:{port}")
            };
            let Some(expected) = found_by_ssh_keygen(&path, &name) else {
                return;
            };
            let found: Vec<usize> = hosts
                .entries()
                .iter()
                .filter(|entry| entry.matches(host, port))
                .map(|entry| entry.line())
                .collect();
            assert_eq!(found, expected, "{file}: {name}");
        }
    }
}

#[test]
fn ssh_keygen_finds_the_lines_we_write() {
    let scratch = Scratch::new("hosts");
    let key = PrivateKey::generate_ed25519(&mut Repeating::new([3; 32]), "");
    let cases = [
        ("example.org", 22),
        ("example.org", 2222),
        ("2001:db8::1", 22),
        ("2001:db8::1", 2022),
    ];
    let mut text = String::new();
    for (host, port) in cases {
        text += &KnownHosts::line_for(host, port, key.public()).unwrap();
        text += "\n";
        text +=
            &KnownHosts::hashed_line_for(host, port, key.public(), [u8::try_from(port % 256).unwrap(); 20]);
        text += "\n";
    }
    let path = scratch.write("known_hosts", text.as_bytes());
    let hosts = KnownHosts::parse(&text);
    for (number, (host, port)) in cases.into_iter().enumerate() {
        let name = if port == 22 {
            host.to_owned()
        } else {
            format!("[{host}]:{port}")
        };
        let Some(found) = found_by_ssh_keygen(&path, &name) else {
            return;
        };
        let first = 2 * number + 1;
        assert_eq!(found, [first, first + 1], "{name}");
        assert_eq!(
            hosts.check(host, port, key.public()),
            HostKeyStatus::Known { line: first }
        );
    }
}

/// What is signed for `ssh-keygen -Y` (OpenSSH `PROTOCOL.sshsig`), in the namespace `test`.
fn signed_data(message: &[u8]) -> Vec<u8> {
    let hash = ring::digest::digest(&ring::digest::SHA512, message);
    [b"SSHSIG", &strings(&[b"test", b"", b"sha512", hash.as_ref()])[..]].concat()
}

/// The file around a signature blob.
fn signature_file(key: &PublicKey, blob: &[u8]) -> String {
    let rest = strings(&[key.blob(), b"test", b"", b"sha512", blob]);
    let bytes = [b"SSHSIG\0\0\0\x01", &rest[..]].concat();
    let base64 = STANDARD.encode(bytes);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(70)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        lines.join("\n")
    )
}

/// The signature blob of such a file.
fn signature_of(file: &str) -> Vec<u8> {
    let base64: String = file.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(base64).unwrap();
    let mut reader = Reader::new(&bytes);
    let _ = reader.take(10).unwrap();
    for _ in 0..4 {
        let _ = reader.string().unwrap();
    }
    reader.string().unwrap().to_vec()
}

/// Whether ssh-keygen takes our signature.
fn taken_by_ssh_keygen(scratch: &Scratch, key: &PrivateKey, algorithm: &SignatureAlgorithm) -> bool {
    let blob = key.sign(algorithm, &signed_data(b"message")).unwrap();
    let signature = scratch.write("ours.sig", signature_file(key.public(), &blob).as_bytes());
    let allowed = scratch.write(
        "allowed",
        format!("me {}\n", key.public().to_openssh("")).as_bytes(),
    );
    let mut child = Command::new("ssh-keygen")
        .args([
            "-Y", "verify", "-n", "test", "-I", "me", "-f", &allowed, "-s", &signature,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"message").unwrap();
    child.wait().unwrap().success()
}

#[test]
fn signatures_are_taken_both_ways() {
    let scratch = Scratch::new("signatures");
    let mut rng = Repeating::new((0..=255).collect::<Vec<u8>>());
    let keys: Vec<PrivateKey> = KINDS
        .into_iter()
        .map(|kind| PrivateKey::generate(kind, &mut rng, ""))
        .chain(
            ["rsa", "rsa_3072", "rsa_1024", "rsa_2560"]
                .map(|name| PrivateKey::from_openssh(&fixture(name), None).unwrap()),
        )
        .collect();
    for (number, key) in keys.iter().enumerate() {
        let file = scratch.write(
            &format!("key{number}"),
            key.to_openssh(None, &mut rng).unwrap().as_bytes(),
        );
        let message = scratch.write(&format!("message{number}"), b"message");
        let Some(output) = ssh_keygen(&["-q", "-Y", "sign", "-n", "test", "-f", &file, &message]) else {
            return;
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let theirs = signature_of(&std::fs::read_to_string(format!("{message}.sig")).unwrap());
        let name = Reader::new(&theirs).utf8().unwrap().to_owned();
        let algorithm = algorithm::find(&name).unwrap();
        assert!(
            key.public()
                .verify(algorithm, &signed_data(b"message"), &theirs)
                .is_ok(),
            "{name}"
        );
        assert!(
            key.public()
                .verify(algorithm, &signed_data(b"massage"), &theirs)
                .is_err(),
            "{name}"
        );
        // ssh-keygen has no SHA-1 for signatures of files.
        for algorithm in key.algorithms().iter().filter(|each| each.tier != Tier::Legacy) {
            assert!(taken_by_ssh_keygen(&scratch, key, algorithm), "{algorithm}");
        }
    }
}
