//! Host certificates: those of the real ssh-keygen are read and believed, and every way in which one can be wrong has its
//! own error (`security.md` A16, B13; the fixtures' commands are in `fixtures/certificates/generate.sh`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{fixture, fixture_text, strings};
use ssh_keys::certificate::{
    CertificateBody, CertificateKind, CertificateOption, MAX_OPTIONS, MAX_PRINCIPALS, authority_algorithms,
};
use ssh_keys::known_hosts::{AuthorityStatus, KnownHosts};
use ssh_keys::wire::{DecodeError, Writer};
use ssh_keys::{
    Certificate, CertificateError, CertifiedSigner, KeyError, MAX_BLOB_BYTES, PrivateKey, PublicKey,
    SignatureAlgorithm, SignatureError, Signer, algorithm,
};

const HOST: &str = "host.example.org";
/// 2026-01-01 and 2036-01-01, 00:00 UTC: from when and until when the fixtures count.
const FROM: u64 = 1_767_225_600;
const UNTIL: u64 = 2_082_758_400;

fn certificate(name: &str) -> Certificate {
    let text = fixture_text(&format!("certificates/{name}-cert.pub"));
    Certificate::from_openssh(&text).unwrap().0
}

fn public(name: &str) -> PublicKey {
    PublicKey::from_openssh(&fixture_text(&format!("certificates/{name}.pub")))
        .unwrap()
        .0
}

fn private(name: &str) -> PrivateKey {
    PrivateKey::from_openssh(&fixture(&format!("certificates/{name}")), None).unwrap()
}

fn accepted() -> Vec<&'static SignatureAlgorithm> {
    authority_algorithms().collect()
}

fn verify(certificate: &Certificate, host: &str, now: u64) -> Result<(), CertificateError> {
    certificate
        .verify_host(host, now, &public("ca"), &accepted())
        .map(|_| ())
}

/// A certificate of the fixtures' authority for the fixtures' host, with `change` made to it.
fn made(change: impl FnOnce(&mut CertificateBody)) -> Result<Certificate, CertificateError> {
    let ca = private("ca");
    let mut body = CertificateBody::new(
        CertificateKind::Host,
        public("ed25519"),
        ca.public().clone(),
        vec![7; 32],
    )?;
    body.principals = vec![HOST.to_owned()];
    change(&mut body);
    Certificate::sign(&body, &ca, &algorithm::ED25519)
}

#[test]
fn every_type_of_certificate_of_ssh_keygen_is_read_and_believed() {
    let mut seen = Vec::new();
    for (name, certificate_type) in [
        ("ed25519", "ssh-ed25519-cert-v01@openssh.com"),
        ("ecdsa256", "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
        ("ecdsa384", "ecdsa-sha2-nistp384-cert-v01@openssh.com"),
        ("ecdsa521", "ecdsa-sha2-nistp521-cert-v01@openssh.com"),
        ("rsa", "ssh-rsa-cert-v01@openssh.com"),
        ("sk-ssh-ed25519", "sk-ssh-ed25519-cert-v01@openssh.com"),
        (
            "sk-ecdsa-sha2-nistp256",
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        ),
    ] {
        let found = certificate(&format!("host_{name}"));
        let body = found.body();
        assert_eq!(found.certificate_type(), certificate_type);
        assert_eq!(
            (body.serial, body.kind, body.key_id.as_str()),
            (42, CertificateKind::Host, &*format!("host_{name}"))
        );
        assert_eq!(body.principals, [HOST, "192.0.2.7"]);
        assert_eq!((body.valid_after, body.valid_before), (FROM, UNTIL));
        assert_eq!((body.critical_options.len(), body.extensions.len()), (0, 0));
        assert_eq!((body.nonce.len(), body.reserved.len()), (32, 0));
        assert_eq!(*found.signature_key(), public("ca"));
        for host in [HOST, "192.0.2.7"] {
            assert_eq!(verify(&found, host, FROM), Ok(()), "{name}");
        }
        // What we would have the authority sign is what it signed.
        assert_eq!(body.to_be_signed().unwrap(), found.signed_part(), "{name}");
        assert_eq!(Certificate::from_blob(found.blob()).unwrap(), found);
        let line = fixture_text(&format!("certificates/host_{name}-cert.pub"));
        let comment = line.trim_end().splitn(3, ' ').nth(2).unwrap();
        assert_eq!(found.to_openssh(comment), line.trim_end());
        seen.extend(algorithm::for_certificate_type(certificate_type));
    }
    let known: Vec<_> = algorithm::ALL
        .iter()
        .copied()
        .filter(|each| each.is_certificate())
        .collect();
    assert!(
        known.iter().all(|each| seen.contains(each)),
        "an algorithm without a fixture"
    );
    assert_eq!(*certificate("host_ed25519").key(), public("ed25519"));
    assert_eq!(*certificate("host_rsa").key(), public("rsa"));
}

#[test]
fn every_type_of_authority_is_believed_but_not_with_sha_1() {
    for (name, authority) in [
        ("by_ecdsa", "ca_ecdsa"),
        ("by_rsa_512", "ca_rsa"),
        ("by_rsa_256", "ca_rsa"),
        ("forever", "ca"),
    ] {
        let found = certificate(name);
        let verified = found.verify_host(HOST, u64::MAX - 1, &public(authority), &accepted());
        assert!(verified.is_ok(), "{name}: {verified:?}");
    }
    let weak = certificate("by_rsa_sha1");
    let verify = |algorithms: &[&'static SignatureAlgorithm]| {
        weak.verify_host(HOST, FROM, &public("ca_rsa"), algorithms)
            .map(|_| ())
    };
    assert_eq!(
        verify(&accepted()),
        Err(CertificateError::AuthorityAlgorithm("ssh-rsa".to_owned()))
    );
    assert_eq!(verify(&[&algorithm::SSH_RSA]), Ok(()), "by name, for who must");
    assert_eq!(
        verify(&[&algorithm::ED25519]),
        Err(CertificateError::AuthorityAlgorithm("ssh-rsa".to_owned()))
    );
}

#[test]
fn a_certificate_counts_for_its_time_and_its_hosts_only() {
    let good = certificate("host_ed25519");
    for (host, now, expected) in [
        (HOST, FROM, None),
        (HOST, UNTIL - 1, None),
        (
            HOST,
            FROM - 1,
            Some(CertificateError::NotYetValid {
                valid_after: FROM,
                now: FROM - 1,
            }),
        ),
        (
            HOST,
            UNTIL,
            Some(CertificateError::Expired {
                valid_before: UNTIL,
                now: UNTIL,
            }),
        ),
    ] {
        assert_eq!(verify(&good, host, now).err(), expected, "{host} {now}");
    }
    for host in [
        "other.example.org",
        "example.org",
        "host.example.org.",
        "HOST.example.org",
        "",
        "192.0.2.70",
    ] {
        assert!(
            matches!(verify(&good, host, FROM), Err(CertificateError::OtherHost { .. })),
            "{host}"
        );
    }
    let error = verify(&good, "mallory", FROM).unwrap_err().to_string();
    assert_eq!(
        error,
        "the certificate is for host.example.org, 192.0.2.7, not for mallory"
    );
}

#[test]
fn principals_are_names_and_not_patterns_or_lists() {
    assert_eq!(
        verify(&certificate("no_principals"), HOST, FROM),
        Err(CertificateError::NoPrincipals)
    );
    assert!(matches!(
        verify(&certificate("wildcard"), HOST, FROM),
        Err(CertificateError::OtherHost { .. })
    ));
    // A comma does not make two names of one (CVE-2026-35414).
    for principal in [
        "other,host.example.org",
        "host.example.org,other",
        "*",
        "host.example.?rg",
        "",
        "!x",
    ] {
        let found = made(|body| body.principals = vec![principal.to_owned()]).unwrap();
        assert!(
            matches!(
                verify(&found, HOST, FROM),
                Err(CertificateError::OtherHost { .. })
            ),
            "{principal}"
        );
    }
    let comma = made(|body| body.principals = vec!["a,b".to_owned()]).unwrap();
    assert_eq!(verify(&comma, "a,b", FROM), Ok(()));
}

#[test]
fn what_is_not_for_hosts_or_not_understood_is_refused() {
    assert_eq!(
        verify(&certificate("for_user"), HOST, FROM),
        Err(CertificateError::NotForHosts)
    );
    let body = certificate("for_user");
    let body = body.body();
    assert_eq!((body.kind, body.serial), (CertificateKind::User, 7));
    let names =
        |options: &[CertificateOption]| options.iter().map(|each| each.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&body.critical_options), ["force-command", "source-address"]);
    assert_eq!(body.critical_options[0].data, strings(&[b"true"]));
    assert!(names(&body.extensions).contains(&"permit-pty".to_owned()));

    let option = |name: &str| CertificateOption {
        name: name.to_owned(),
        data: vec![],
    };
    for name in ["force-command", "new@example.org", ""] {
        let found = made(|body| body.critical_options = vec![option(name)]).unwrap();
        assert_eq!(
            verify(&found, HOST, FROM),
            Err(CertificateError::UnknownCriticalOption(name.to_owned()))
        );
    }
    let extended = made(|body| body.extensions = vec![option("new@example.org")]).unwrap();
    assert_eq!(
        verify(&extended, HOST, FROM),
        Ok(()),
        "extensions may be passed over"
    );
}

#[test]
fn only_the_trusted_authority_counts() {
    let good = certificate("host_ed25519");
    let found = good.verify_host(HOST, FROM, &public("ca_rsa"), &accepted());
    assert!(
        matches!(found, Err(CertificateError::OtherAuthority { .. })),
        "{found:?}"
    );

    // Names the authority, but somebody else signed.
    let (mallory, ca) = (private("ed25519"), private("ca"));
    let mut forged = good.signed_part().to_vec();
    Writer::new(&mut forged).string(&mallory.sign(&algorithm::ED25519, good.signed_part()).unwrap());
    let forged = Certificate::from_blob(&forged).unwrap();
    assert_eq!(
        verify(&forged, HOST, FROM),
        Err(CertificateError::Signature(SignatureError::Invalid))
    );

    // The authority vouches for itself, or a key for itself.
    let own = made(|body| body.key = ca.public().clone()).unwrap();
    assert_eq!(verify(&own, HOST, FROM), Err(CertificateError::SelfSigned));

    // A certificate in the place of the authority's key.
    let mut nested = good.signed_part().to_vec();
    let key = strings(&[public("ca").blob()]);
    nested.truncate(nested.len() - key.len());
    Writer::new(&mut nested).string(good.blob());
    Writer::new(&mut nested).string(b"");
    assert_eq!(
        Certificate::from_blob(&nested),
        Err(CertificateError::NestedCertificate(
            "ssh-ed25519-cert-v01@openssh.com".to_owned()
        ))
    );
    assert!(
        PublicKey::from_blob(good.blob()).is_err(),
        "a certificate is no key"
    );
    let body = made(|body| body.signature_key = public("ca_rsa"));
    assert!(matches!(body, Err(CertificateError::OtherAuthority { .. })));
}

#[test]
fn damage_is_never_believed_and_never_a_panic() {
    for name in [
        "host_ed25519",
        "host_rsa",
        "host_ecdsa521",
        "host_sk-ssh-ed25519",
        "by_ecdsa",
    ] {
        let good = certificate(name);
        let authority = good.signature_key().clone();
        let check = |blob: &[u8]| {
            let found = Certificate::from_blob(blob)?;
            // What is understood is what is signed, to the byte.
            assert_eq!(
                found.body().to_be_signed().unwrap(),
                found.signed_part(),
                "{name}"
            );
            found.verify_host(HOST, FROM, &authority, &accepted()).map(|_| ())
        };
        let blob = good.blob();
        assert_eq!(check(blob), Ok(()));
        for length in 0..blob.len() {
            assert!(
                Certificate::from_blob(&blob[..length]).is_err(),
                "{name}: cut to {length}"
            );
        }
        assert!(matches!(
            Certificate::from_blob(&[blob, &[0]].concat()),
            Err(CertificateError::Malformed(DecodeError::TrailingBytes(1)))
        ));
        for at in 0..blob.len() {
            let mut bad = blob.to_vec();
            bad[at] ^= 1 << (at % 8);
            assert!(check(&bad).is_err(), "{name}: byte {at}");
        }
    }
}

#[test]
fn limits_hold() {
    let names = |count: usize| (0..count).map(|each| each.to_string()).collect::<Vec<_>>();
    let options = |count: usize| {
        let option = |name| CertificateOption { name, data: vec![] };
        names(count).into_iter().map(option).collect::<Vec<_>>()
    };
    assert!(made(|body| body.principals = names(MAX_PRINCIPALS)).is_ok());
    assert_eq!(
        made(|body| body.principals = names(MAX_PRINCIPALS + 1)),
        Err(CertificateError::TooManyPrincipals)
    );
    assert!(made(|body| body.extensions = options(MAX_OPTIONS)).is_ok());
    for change in [
        (|body, options| body.extensions = options) as fn(&mut CertificateBody, Vec<CertificateOption>),
        |body, options| body.critical_options = options,
    ] {
        assert_eq!(
            made(|body| change(body, options(MAX_OPTIONS + 1))),
            Err(CertificateError::TooManyOptions)
        );
        let twice = [options(1), options(1)].concat();
        assert_eq!(
            made(|body| change(body, twice)),
            Err(CertificateError::RepeatedOption("0".to_owned()))
        );
    }
    let long = made(|body| body.reserved = vec![0; MAX_BLOB_BYTES]);
    assert!(
        matches!(long, Err(CertificateError::Key(KeyError::TooLong { .. }))),
        "{long:?}"
    );
    for text in ["a\0b", "\0"] {
        assert!(matches!(
            made(|body| body.principals = vec![text.to_owned()]),
            Err(CertificateError::Malformed(_))
        ));
        assert!(matches!(
            made(|body| body.key_id = text.to_owned()),
            Err(CertificateError::Malformed(_))
        ));
    }
}

#[test]
fn kinds_and_types_that_do_not_exist_are_refused() {
    let good = certificate("forever");
    let kind = {
        let at = good
            .signed_part()
            .windows(7)
            .position(|each| each == b"forever")
            .unwrap();
        at - 8
    };
    for number in [0, 3, 255] {
        let mut bad = good.blob().to_vec();
        bad[kind + 3] = number;
        let expected = CertificateError::UnknownKind(u32::from(number));
        assert_eq!(Certificate::from_blob(&bad), Err(expected));
    }
    for name in [
        "ssh-ed25519",
        "ssh-dss-cert-v01@openssh.com",
        "ssh-rsa-cert-v00@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
        "",
    ] {
        let blob = strings(&[name.as_bytes(), &[0; 32]]);
        assert_eq!(
            Certificate::from_blob(&blob),
            Err(CertificateError::UnsupportedType(name.to_owned()))
        );
    }
    // The key of one type under the name of another.
    assert_eq!(
        made(|body| body.key = public("rsa")),
        Err(CertificateError::UnsupportedType("ssh-rsa".to_owned()))
    );
    let line = fixture_text("certificates/host_rsa-cert.pub").replace("ssh-rsa-cert", "ssh-dss-cert");
    assert!(matches!(
        Certificate::from_openssh(&line),
        Err(CertificateError::Key(_))
    ));
}

#[test]
fn a_signer_shows_the_certificate_of_its_own_key_only() {
    let signer = CertifiedSigner::new(private("rsa"), certificate("host_rsa")).unwrap();
    let names: Vec<_> = signer.algorithms().iter().map(|each| each.name).collect();
    assert_eq!(
        names,
        [
            "rsa-sha2-512-cert-v01@openssh.com",
            "rsa-sha2-256-cert-v01@openssh.com"
        ]
    );
    assert_eq!(signer.certificate(), Some(&certificate("host_rsa")));
    for each in signer.algorithms() {
        let signature = signer.sign(each, b"message").unwrap();
        let verified = public("rsa").verify(each.plain(), b"message", &signature);
        assert!(verified.is_ok(), "{each}");
    }
    assert!(signer.sign(&algorithm::ED25519_CERT, b"message").is_err());
    let other = CertifiedSigner::new(private("ed25519"), certificate("host_rsa"));
    assert!(matches!(other.err(), Some(CertificateError::OtherKey { .. })));
    assert!(private("rsa").certificate().is_none());
}

#[test]
fn known_hosts_name_authorities_by_host_and_revoke_both_keys() {
    let line =
        |marker: &str, hosts: &str, name: &str| format!("{marker} {hosts} {}\n", public(name).to_openssh(""));
    let trusted = |line| AuthorityStatus::Trusted { line };
    let revoked = |line, name: &str| AuthorityStatus::Revoked {
        line,
        key: public(name),
    };
    let shown = certificate("host_ed25519");
    for (file, port, expected) in [
        (String::new(), 22, AuthorityStatus::Unknown),
        (line("@cert-authority", "*.example.org", "ca"), 22, trusted(1)),
        (line("@cert-authority", "*.example.org", "ca"), 2222, trusted(1)),
        (
            line("@cert-authority", "[host.example.org]:2222", "ca"),
            2222,
            trusted(1),
        ),
        (
            line("@cert-authority", "[*.example.org]:*", "ca"),
            2222,
            trusted(1),
        ),
        (
            line("@cert-authority", "[host.example.org]:2222", "ca"),
            22,
            AuthorityStatus::Unknown,
        ),
        (
            line("@cert-authority", "*.example.net", "ca"),
            22,
            AuthorityStatus::Unknown,
        ),
        (
            line("@cert-authority", "*,!host.example.org", "ca"),
            22,
            AuthorityStatus::Unknown,
        ),
        (
            line("@cert-authority", "*", "ca_rsa"),
            22,
            AuthorityStatus::Unknown,
        ),
        (line("", HOST, "ca"), 22, AuthorityStatus::Unknown),
        (line("", HOST, "ed25519"), 22, AuthorityStatus::Unknown),
        (
            line("@cert-authority", "*", "ca") + &line("@revoked", "*", "ca"),
            22,
            revoked(2, "ca"),
        ),
        (
            line("@revoked", HOST, "ed25519") + &line("@cert-authority", "*", "ca"),
            2222,
            revoked(1, "ed25519"),
        ),
        (
            line("@revoked", "other", "ca") + &line("@cert-authority", "*", "ca"),
            22,
            trusted(2),
        ),
    ] {
        let hosts = KnownHosts::parse(&file);
        assert!(hosts.bad_lines().is_empty());
        assert_eq!(
            hosts.check_authority(HOST, port, &shown),
            expected,
            "{file}{port}"
        );
        let authority = file.contains("@cert-authority *.example.org");
        assert!(!authority || hosts.has_authority_for(HOST, port));
    }
    let plain = KnownHosts::parse(line("", HOST, "ca"));
    assert!(!plain.has_authority_for(HOST, 22));
}
