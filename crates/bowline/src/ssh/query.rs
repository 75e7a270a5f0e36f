//! `-Q`: which algorithms there are, from the registries, one a line, as ssh(1) prints them.

use ssh_client::kex::{method, nearest};
use ssh_client::keys::algorithm;
use ssh_client::wire::{cipher, compression, mac};

/// What can be asked about, under every name OpenSSH has for it, and the answer.
type Query = (&'static [&'static str], fn() -> Vec<&'static str>);

/// Every question. The first name of each stands in the answer to `-Q help`.
const QUERIES: &[Query] = &[
    (&["cipher", "Ciphers"], || {
        cipher::ALL.iter().map(|each| each.name).collect()
    }),
    (&["cipher-auth"], || {
        let ciphers = cipher::ALL.iter().filter(|each| !each.needs_mac());
        ciphers.map(|each| each.name).collect()
    }),
    (&["compression"], || {
        compression::ALL.iter().map(|each| each.name).collect()
    }),
    (&["kex", "KexAlgorithms"], || {
        method::ALL.iter().map(|each| each.name).collect()
    }),
    (&["key"], || types(|_| true)),
    (&["key-ca-sign", "CASignatureAlgorithms"], || signatures(is_plain)),
    (&["key-cert"], || types(|name| !is_plain(name))),
    (&["key-plain"], || types(is_plain)),
    (
        &[
            "key-sig",
            "HostKeyAlgorithms",
            "HostbasedAcceptedAlgorithms",
            "HostbasedAcceptedKeyTypes",
            "HostbasedKeyTypes",
            "PubkeyAcceptedAlgorithms",
            "PubkeyAcceptedKeyTypes",
        ],
        || signatures(|_| true),
    ),
    (&["mac", "MACs"], || {
        mac::ALL.iter().map(|each| each.name).collect()
    }),
    (&["protocol-version"], || vec!["2"]),
    (&["sig"], || signatures(is_plain)),
];

/// The answer to `-Q question`, each name on a line of its own.
///
/// # Errors
/// Nobody knows the question; the nearest one that is known is named.
pub(crate) fn answer(question: &str) -> Result<String, String> {
    if question == "help" {
        let firsts: Vec<_> = QUERIES
            .iter()
            .filter_map(|(names, _)| names.first().copied())
            .collect();
        return Ok(lines(&firsts));
    }
    // As in OpenSSH, the names of options are taken in any case, the short ones as they are.
    let is_meant = |name: &str| {
        let is_option = name.starts_with(|first: char| first.is_ascii_uppercase());
        name == question || (is_option && name.eq_ignore_ascii_case(question))
    };
    let found = QUERIES
        .iter()
        .find(|(names, _)| names.iter().any(|name| is_meant(name)));
    match found {
        Some((_, list)) => Ok(lines(&list())),
        None => {
            let names = QUERIES.iter().flat_map(|(names, _)| names.iter().copied());
            let hint = nearest(question, names).map(|near| format!(" (did you mean {near}?)"));
            Err(format!(
                "Unsupported query \"{question}\"{}",
                hint.unwrap_or_default()
            ))
        }
    }
}

fn lines(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// Whether a name is not that of a certificate.
fn is_plain(name: &str) -> bool {
    !name.contains("-cert-v")
}

fn signatures(wanted: fn(&str) -> bool) -> Vec<&'static str> {
    let names = algorithm::ALL.iter().map(|each| each.name);
    names.filter(|name| wanted(name)).collect()
}

/// The types of keys, each once.
fn types(wanted: fn(&str) -> bool) -> Vec<&'static str> {
    let mut found = Vec::new();
    for each in algorithm::ALL {
        if wanted(each.key_type) && !found.contains(&each.key_type) {
            found.push(each.key_type);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_from_its_registry() {
        for (names, list) in QUERIES {
            for name in *names {
                assert!(answer(name).unwrap().lines().eq(list()), "{name}");
            }
        }
        assert_eq!(answer("ciphers").unwrap(), answer("cipher").unwrap());
        assert!(answer("Cipher").is_err(), "short names are taken as they are");
        assert!(
            answer("cipher-auth")
                .unwrap()
                .lines()
                .all(|name| !name.contains("ctr"))
        );
        assert!(answer("key").unwrap().contains("ssh-rsa"));
        assert!(
            !answer("key").unwrap().contains("rsa-sha2"),
            "a signature, not a type"
        );
        assert_eq!(answer("help").unwrap().lines().count(), QUERIES.len());
    }

    #[test]
    fn an_unknown_question_is_named_with_a_suggestion() {
        let told = answer("cypher").unwrap_err();
        assert!(told.contains("\"cypher\"") && told.contains("cipher"), "{told}");
        assert_eq!(
            answer("zzzzzzzzz").unwrap_err(),
            "Unsupported query \"zzzzzzzzz\""
        );
    }
}
