//! What `ssh-audit` says about `bowline sshd`.

use std::process::Command;

use serde_json::Value;
use ssh_client::kex::method;
use ssh_client::wire::Tier;
use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::bowline::Sshd;

/// Its exit statuses: nothing found, a warning at most, a failure.
const GOOD: i32 = 0;
const WARNING: i32 = 2;
const FAILURE: i32 = 3;

/// A note about an algorithm.
#[derive(Debug)]
struct Note {
    /// The kind of algorithm, and its name.
    about: [String; 2],
    text: String,
}

/// What was said about a server with these settings: failures and warnings.
struct Audit {
    failures: Vec<Note>,
    warnings: Vec<Note>,
    code: Option<i32>,
}

/// Audits `bowline sshd` with `words` on its command line; `None` where `ssh-audit` is missing.
fn audit(words: &[&str]) -> Option<Audit> {
    let program = peers::need_ssh_audit()?;
    let server = Sshd::start(words);
    // How many connections it takes in a second is a question of its own, and of time.
    let mut line = Command::new(program);
    line.args(["--json", "--skip-rate-test", "--port"]);
    let finished = run(line.arg(server.port.to_string()).arg("127.0.0.1"));
    let told: Value = serde_json::from_slice(&finished.stdout).unwrap_or_else(|_| panic!("{finished}"));
    // It knows of no hole in a version like ours.
    assert_eq!(told["cves"], serde_json::json!([]), "{finished}");
    assert_eq!(told["banner"]["protocol"], "2.0", "{finished}");
    let notes = |severity: &str| -> Vec<Note> {
        ["kex", "key", "enc", "mac"]
            .into_iter()
            .flat_map(|kind| {
                told[kind]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(move |each| (kind, each))
            })
            .flat_map(|(kind, each)| {
                let name = each["algorithm"].as_str().unwrap().to_owned();
                let notes = each["notes"][severity].as_array().cloned().unwrap_or_default();
                notes.into_iter().map(move |text| Note {
                    about: [kind.to_owned(), name.clone()],
                    text: text.as_str().unwrap().to_owned(),
                })
            })
            .collect()
    };
    Some(Audit {
        failures: notes("fail"),
        warnings: notes("warn"),
        code: finished.code,
    })
}

#[test]
fn by_default_nothing_is_found_but_that_classical_kex_is_not_post_quantum() {
    let Some(found) = audit(&[]) else { return };
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    let classical = method::ALL
        .iter()
        .filter(|method| method.tier == Tier::Recommended && !method.is_post_quantum);
    let expected: Vec<_> = classical.map(|method| ["kex", method.name]).collect();
    let warned: Vec<_> = found.warnings.iter().map(|note| &note.about).collect();
    assert_eq!(
        warned,
        expected.iter().collect::<Vec<_>>(),
        "{:?}",
        found.warnings
    );
    for note in &found.warnings {
        assert!(note.text.contains("post-quantum"), "{note:?}");
    }
    assert_eq!(found.code, Some(WARNING));
}

#[test]
fn with_the_hybrids_alone_nothing_is_found() {
    let hybrids = method::ALL
        .iter()
        .filter(|method| method.tier == Tier::Recommended && method.is_post_quantum);
    let names: Vec<_> = hybrids.map(|method| method.name).collect();
    let Some(found) = audit(&["-o", &format!("KexAlgorithms={}", names.join(","))]) else {
        return;
    };
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    assert_eq!(found.code, Some(GOOD));
}

#[test]
fn a_legacy_cipher_that_is_asked_for_is_found() {
    let Some(found) = audit(&["-o", "Ciphers=+3des-cbc"]) else {
        return;
    };
    let failed: Vec<_> = found.failures.iter().map(|note| &note.about).collect();
    assert_eq!(failed, [&["enc", "3des-cbc"]], "{:?}", found.failures);
    assert_eq!(found.code, Some(FAILURE));
}
