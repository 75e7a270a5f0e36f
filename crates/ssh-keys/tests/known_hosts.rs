//! What a `known_hosts` file says, line by line (`features.md` H-01 to H-06, `security.md` B13, E3).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::fixture;
use ssh_keys::known_hosts::{BadHostName, HostKeyStatus, KnownHosts, MAX_HOST_BYTES, Marker};
use ssh_keys::{LineProblem, PublicKey};

/// Keys that are told apart by one letter.
const KEYS: [(&str, &str); 5] = [
    (
        "A",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS",
    ),
    (
        "B",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
    ),
    (
        "C",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM",
    ),
    // Neither type is known here, and both are only as long as its name.
    ("R", "ssh-dss AAAAB3NzaC1kc3M="),
    ("E", "ssh-ed448 AAAACXNzaC1lZDQ0OA=="),
];

/// A file in which every `{A}` is that key.
fn file(text: &str) -> KnownHosts {
    let text = KEYS.iter().fold(text.to_owned(), |text, (name, key)| {
        text.replace(&format!("{{{name}}}"), key)
    });
    KnownHosts::parse(text)
}

fn key(name: &str) -> PublicKey {
    let (_, line) = KEYS.iter().find(|(other, _)| *other == name).unwrap();
    PublicKey::from_openssh(line).unwrap().0
}

fn known(line: usize) -> HostKeyStatus {
    HostKeyStatus::Known { line }
}

fn changed(line: usize, name: &str) -> HostKeyStatus {
    HostKeyStatus::Changed {
        line,
        known: key(name),
    }
}

#[test]
fn plain_names_lists_and_ports() {
    let hosts = file(
        "# comment\n\nexample.org,192.0.2.1\t{A} comment\n[example.org]:2222 {B}\n  Mixed.Case \t {C}\r\n::1 {A}\n[::1]:2022 {B}",
    );
    assert_eq!(hosts.bad_lines(), []);
    for (host, port, name, expected) in [
        ("example.org", 22, "A", known(3)),
        ("EXAMPLE.ORG", 22, "A", known(3)),
        ("192.0.2.1", 22, "A", known(3)),
        ("example.org", 22, "B", changed(3, "A")),
        ("example.org", 2222, "B", known(4)),
        // The line that names the port decides.
        ("example.org", 2222, "A", changed(4, "B")),
        // On a port no line names, the plain line counts if its key is the one shown, and only then.
        ("example.org", 2200, "A", known(3)),
        ("example.org", 2200, "B", HostKeyStatus::Unknown),
        ("example.com", 22, "A", HostKeyStatus::Unknown),
        ("www.example.org", 22, "A", HostKeyStatus::Unknown),
        ("mixed.case", 22, "C", known(5)),
        ("::1", 22, "A", known(6)),
        ("::1", 2022, "B", known(7)),
        ("", 22, "A", HostKeyStatus::Unknown),
    ] {
        assert_eq!(
            hosts.check(host, port, &key(name)),
            expected,
            "{host}:{port} {name}"
        );
    }
    assert_eq!(hosts.entries()[0].comment(), "comment");
}

#[test]
fn wildcards_and_negation() {
    let hosts = file(
        "*.example.net,!bad.example.net,host-? {A}\n!only.negated {B}\n[*.example.net]:2222 {B}\n[a-z] {C}",
    );
    for (host, port, name, expected) in [
        ("www.example.net", 22, "A", known(1)),
        ("a.b.example.net", 22, "A", known(1)),
        ("example.net", 22, "A", HostKeyStatus::Unknown),
        ("bad.example.net", 22, "A", HostKeyStatus::Unknown),
        ("BAD.example.net", 22, "A", HostKeyStatus::Unknown),
        ("host-1", 22, "A", known(1)),
        ("host-10", 22, "A", HostKeyStatus::Unknown),
        ("anything", 22, "B", HostKeyStatus::Unknown),
        ("only.negated", 22, "B", HostKeyStatus::Unknown),
        ("bad.example.net", 2222, "B", known(3)),
        // Brackets are no sets of characters.
        ("b", 22, "C", HostKeyStatus::Unknown),
        ("[a-z]", 22, "C", known(4)),
    ] {
        assert_eq!(
            hosts.check(host, port, &key(name)),
            expected,
            "{host}:{port} {name}"
        );
    }
}

#[test]
fn several_lines_for_one_host() {
    let hosts = file("h {A}\nh {R}\nh {B}\n");
    assert_eq!(hosts.check("h", 22, &key("B")), known(3));
    assert_eq!(hosts.check("h", 22, &key("C")), changed(1, "A"));
    assert_eq!(hosts.key_types_for("h", 22), ["ssh-ed25519", "ssh-dss"]);
    assert_eq!(hosts.key_types_for("h", 2222), ["ssh-ed25519", "ssh-dss"]);
    assert_eq!(hosts.key_types_for("other", 22), Vec::<&str>::new());
}

#[test]
fn a_key_of_another_type_is_unknown_but_the_host_is_not() {
    let hosts = file("h {R}\n[h]:2222 {E}");
    assert_eq!(hosts.check("h", 22, &key("A")), HostKeyStatus::Unknown);
    assert_eq!(hosts.key_types_for("h", 22), ["ssh-dss"]);
    assert_eq!(hosts.key_types_for("h", 2222), ["ssh-ed448"]);
}

#[test]
fn revoked_beats_every_other_line() {
    for (text, host, port, name, expected) in [
        (
            "h {A}\n@revoked h {A}",
            "h",
            22,
            "A",
            HostKeyStatus::Revoked { line: 2 },
        ),
        (
            "@revoked * {A}\nh {A}",
            "h",
            22,
            "A",
            HostKeyStatus::Revoked { line: 1 },
        ),
        (
            "[h]:2222 {A}\n@revoked h {A}",
            "h",
            2222,
            "A",
            HostKeyStatus::Revoked { line: 2 },
        ),
        ("h {A}\n@revoked\t*,!h\t{A}", "h", 22, "A", known(1)),
        ("h {A}\n@revoked other {A}", "h", 22, "A", known(1)),
        ("h {A}\n@revoked h {B}", "h", 22, "A", known(1)),
        // A revoked key is no known key either: another one is not a change.
        ("@revoked h {A}", "h", 22, "B", HostKeyStatus::Unknown),
    ] {
        assert_eq!(file(text).check(host, port, &key(name)), expected, "{text}");
    }
}

#[test]
fn a_certificate_authority_is_kept_and_is_no_host_key() {
    let hosts = file("@cert-authority *.example.org {A} ca\n@revoked * {R}");
    assert_eq!(
        hosts.check("www.example.org", 22, &key("A")),
        HostKeyStatus::Unknown
    );
    assert_eq!(
        hosts.check("www.example.org", 22, &key("B")),
        HostKeyStatus::Unknown
    );
    assert_eq!(hosts.key_types_for("www.example.org", 22), Vec::<&str>::new());
    let [authority, revoked] = hosts.entries() else {
        panic!("two entries")
    };
    assert_eq!(
        (authority.marker(), authority.key()),
        (Some(Marker::CertAuthority), Some(&key("A")))
    );
    assert!(authority.matches("www.example.org", 22) && !authority.matches("example.com", 22));
    assert_eq!(
        (revoked.marker(), revoked.key(), revoked.key_type()),
        (Some(Marker::Revoked), None, "ssh-dss")
    );
}

#[test]
fn bad_lines_are_kept_by_number_and_harm_nothing() {
    let hosts = file(
        "h {A}\n@unknown h {A}\nh\nh ssh-ed25519\nh ssh-ed25519 !!!\n@revoked\n|1|a|b {A}\n|2|x|y {A}\n, {A}\n! {A}\n\
         h 1024 35 1234567\nh ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS\nh2 {B}\n\
         h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA==",
    );
    let lines: Vec<usize> = hosts.bad_lines().iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]);
    assert_eq!(
        hosts.bad_lines()[0].problem,
        LineProblem::UnknownMarker("@unknown".to_owned())
    );
    assert_eq!(
        hosts.bad_lines()[1].to_string(),
        "line 3: the line has no key type"
    );
    assert_eq!(hosts.check("h", 22, &key("A")), known(1));
    assert_eq!(hosts.check("h2", 22, &key("B")), known(13));
    for garbage in [
        &b"\xff\xfe\x00h"[..],
        b"\0\0\0",
        b"@",
        b"|",
        b"a b c d",
        b"\r\r\r",
    ] {
        assert!(KnownHosts::parse(garbage).entries().is_empty());
    }
}

#[test]
fn a_hashed_name_matches_itself_only() {
    let line = KnownHosts::hashed_line_for("Example.ORG", 22, &key("A"), [7; 20]);
    assert!(line.starts_with("|1|BwcHBwcHBwcHBwcHBwcHBwcHBwc=|"), "{line}");
    let ported = KnownHosts::hashed_line_for("example.org", 2222, &key("B"), [8; 20]);
    let hosts = KnownHosts::parse(format!("{line}\n{ported}"));
    for (host, port, name, expected) in [
        ("example.org", 22, "A", known(1)),
        ("example.org", 22, "B", changed(1, "A")),
        ("example.org", 2222, "B", known(2)),
        ("example.com", 22, "A", HostKeyStatus::Unknown),
    ] {
        assert_eq!(
            hosts.check(host, port, &key(name)),
            expected,
            "{host}:{port} {name}"
        );
    }
    assert!(!line.contains("xample"));
}

#[test]
fn a_line_that_is_written_is_understood() {
    for (host, port, start) in [
        ("Example.org", 22, "example.org "),
        ("example.org", 2222, "[example.org]:2222 "),
        ("::1", 22, "::1 "),
        ("fe80::1%eth0", 2222, "[fe80::1%eth0]:2222 "),
    ] {
        let line = KnownHosts::line_for(host, port, &key("A")).unwrap();
        assert!(line.starts_with(start), "{line}");
        assert_eq!(KnownHosts::parse(&line).check(host, port, &key("A")), known(1));
    }
    for (host, expected) in [
        ("", BadHostName::Empty),
        ("*", BadHostName::Character('*')),
        ("a,b", BadHostName::Character(',')),
        ("!a", BadHostName::Character('!')),
        ("a b", BadHostName::Character(' ')),
        ("a\n@cert-authority", BadHostName::Character('\n')),
        ("@revoked", BadHostName::Character('@')),
        ("|1|", BadHostName::Character('|')),
        ("#", BadHostName::Character('#')),
        ("[a]", BadHostName::Character('[')),
        ("a\0", BadHostName::Character('\0')),
    ] {
        assert_eq!(KnownHosts::line_for(host, 22, &key("A")), Err(expected));
    }
    let long = "a".repeat(MAX_HOST_BYTES + 1);
    assert_eq!(
        KnownHosts::line_for(&long, 22, &key("A")),
        Err(BadHostName::TooLong(MAX_HOST_BYTES + 1))
    );
}

#[test]
fn two_files_say_what_the_stronger_one_says() {
    let revoked = HostKeyStatus::Revoked { line: 9 };
    for (one, other, expected) in [
        (HostKeyStatus::Unknown, known(2), known(2)),
        (changed(1, "A"), known(2), known(2)),
        (known(1), known(2), known(1)),
        (known(1), revoked.clone(), revoked.clone()),
        (changed(1, "A"), HostKeyStatus::Unknown, changed(1, "A")),
    ] {
        assert_eq!(one.clone().and(other.clone()), expected);
        if one != known(1) || other != known(2) {
            assert_eq!(other.and(one), expected);
        }
    }
}

#[test]
fn a_hostile_file_takes_no_time() {
    let start = std::time::Instant::now();
    let stars = "*a".repeat(50_000);
    let text = format!(
        "{stars} {}\n{}\n{}",
        KEYS[0].1,
        "x".repeat(1 << 20),
        "a,".repeat(60_000)
    );
    let hosts = KnownHosts::parse(text);
    assert_eq!(hosts.bad_lines().len(), 2);
    assert_eq!(
        hosts.check(&"a".repeat(255), 22, &key("A")),
        HostKeyStatus::Unknown
    );
    // Backtracking would take for ever; whatever else the machine does takes less than this.
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn truncated_and_changed_files_never_panic() {
    for name in ["known_hosts", "known_hosts_hashed", "known_hosts_patterns"] {
        let text = fixture(name);
        for at in 0..text.len() {
            assert!(KnownHosts::parse(&text[..at]).entries().len() <= 5);
            let mut changed = text.clone();
            changed[at] ^= 0x15;
            let _ = KnownHosts::parse(&changed).check("example.org", 2222, &key("A"));
        }
    }
}
