//! Which algorithms are offered, and in which order: derived from the registries, edited in OpenSSH's syntax.
//!
//! There is no second list of names: a default is every registered algorithm up to a [`Tier`], recommended ones first,
//! otherwise in the order of its registry; of host keys the certified ones stand before all plain ones. A client reaches
//! every server that is maintained today, so its default has the compatible ones too; a server's has the recommended ones
//! only.

use std::fmt;

use thiserror::Error;

use crate::keys::pattern::matches_exactly;
use crate::keys::{SignatureAlgorithm, algorithm};
use crate::method::{self, Method};
use crate::preset::Preset;
use crate::wire::{Cipher, Compression, Mac, Tier, cipher, compression, mac};

/// The longest list text an edit takes, in bytes.
pub const MAX_EDIT_BYTES: usize = 16 * 1024;

/// The algorithms offered, preferred first; the same for both directions. Fields may be set to any algorithms,
/// registered or your own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Key exchange methods.
    pub kex: Vec<&'static Method>,
    /// Signature algorithms of host keys. A server offers those of them that its keys can make.
    pub host_keys: Vec<&'static SignatureAlgorithm>,
    /// Ciphers.
    pub ciphers: Vec<&'static Cipher>,
    /// MACs, for ciphers that need one.
    pub macs: Vec<&'static Mac>,
    /// Compression.
    pub compression: Vec<&'static Compression>,
}

/// The wide list: [`Preferences::for_client`].
impl Default for Preferences {
    fn default() -> Self {
        Self::for_client()
    }
}

impl Preferences {
    /// A named choice: what is [`Recommended`](Tier::Recommended), everything but what is [`Legacy`](Tier::Legacy), or
    /// everything. Host keys are the exception: even the narrow list has all but the legacy ones. A server offers what
    /// its keys can make, and whoever gave it a key of an older type wants that one used.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Narrow => Self {
                host_keys: by_tier(algorithm::ALL, Tier::Compatible),
                ..Self::up_to(Tier::Recommended)
            },
            Preset::Wide => Self::up_to(Tier::Compatible),
            Preset::Legacy => Self::up_to(Tier::Legacy),
        }
    }

    /// [`Preset::Wide`].
    pub fn for_client() -> Self {
        Self::preset(Preset::Wide)
    }

    /// [`Preset::Narrow`].
    pub fn for_server() -> Self {
        Self::preset(Preset::Narrow)
    }

    fn up_to(last: Tier) -> Self {
        Self {
            kex: by_tier(method::ALL, last),
            host_keys: by_tier(algorithm::ALL, last),
            ciphers: by_tier(cipher::ALL, last),
            macs: by_tier(mac::ALL, last),
            compression: by_tier(compression::ALL, last),
        }
    }

    /// Edits the key exchange methods. The text is as in OpenSSH's `KexAlgorithms`: a comma-separated list that
    /// replaces the present one, or with `+` before it is appended, with `-` removed, with `^` put in front. `*` and `?`
    /// match as in OpenSSH, but never reach legacy algorithms: those have to be named.
    pub fn edit_kex(&mut self, edit: &str) -> Result<(), PreferenceError> {
        apply(edit, method::ALL, &mut self.kex, "key exchange method")
    }

    /// Edits the host key algorithms, as [`edit_kex`](Self::edit_kex) does (`HostKeyAlgorithms`).
    pub fn edit_host_keys(&mut self, edit: &str) -> Result<(), PreferenceError> {
        apply(edit, algorithm::ALL, &mut self.host_keys, "host key algorithm")
    }

    /// Edits the ciphers, as [`edit_kex`](Self::edit_kex) does (`Ciphers`).
    pub fn edit_ciphers(&mut self, edit: &str) -> Result<(), PreferenceError> {
        apply(edit, cipher::ALL, &mut self.ciphers, "cipher")
    }

    /// Edits the MACs, as [`edit_kex`](Self::edit_kex) does (`MACs`).
    pub fn edit_macs(&mut self, edit: &str) -> Result<(), PreferenceError> {
        apply(edit, mac::ALL, &mut self.macs, "MAC")
    }

    /// Edits the compression methods, as [`edit_kex`](Self::edit_kex) does. `^zlib@openssh.com` is what OpenSSH's
    /// `Compression yes` asks of a client.
    pub fn edit_compression(&mut self, edit: &str) -> Result<(), PreferenceError> {
        apply(
            edit,
            compression::ALL,
            &mut self.compression,
            "compression method",
        )
    }
}

/// Why an edit was not made; the list is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PreferenceError {
    /// A name or pattern that stands for nothing known here.
    #[error("unknown {what} `{name}`{}", suggestion(nearest))]
    Unknown {
        /// What kind of name it is.
        what: &'static str,
        /// The name.
        name: String,
        /// A known name that looks like it.
        nearest: Option<&'static str>,
    },
    /// Nothing would be left to offer.
    #[error("no {what} would be left")]
    NothingLeft {
        /// What kind of list it is.
        what: &'static str,
    },
    /// The text is over [`MAX_EDIT_BYTES`].
    #[error("a list of more than {MAX_EDIT_BYTES} bytes")]
    TooLong,
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// What a registry's entries have in common.
pub(crate) trait Registered: fmt::Debug + PartialEq + 'static {
    fn name(&self) -> &'static str;
    fn tier(&self) -> Tier;
    /// Those for which this is false come first, whatever their tier.
    fn is_second_choice(&self) -> bool {
        false
    }
}

macro_rules! registered {
    ($($type:ty),*) => {$(
        impl Registered for $type {
            fn name(&self) -> &'static str {
                self.name
            }
            fn tier(&self) -> Tier {
                self.tier
            }
        }
    )*};
}
registered!(Method, Cipher, Mac, Compression);

impl Registered for SignatureAlgorithm {
    fn name(&self) -> &'static str {
        self.name
    }
    fn tier(&self) -> Tier {
        self.tier
    }
    /// A certificate says all that its key says by itself, and whom else to believe.
    fn is_second_choice(&self) -> bool {
        !self.is_certificate()
    }
}

/// A registry's default list, up to a tier.
pub(crate) fn by_tier<T: Registered>(all: &[&'static T], last: Tier) -> Vec<&'static T> {
    let mut list: Vec<_> = all.iter().copied().filter(|each| each.tier() <= last).collect();
    list.sort_by_key(|each| (each.is_second_choice(), each.tier())); // stable: the registry's order within a tier
    list
}

fn apply<T: Registered>(
    edit: &str,
    all: &[&'static T],
    list: &mut Vec<&'static T>,
    what: &'static str,
) -> Result<(), PreferenceError> {
    if edit.len() > MAX_EDIT_BYTES {
        return Err(PreferenceError::TooLong);
    }
    let (operator, names) = match edit.split_at_checked(1) {
        Some((operator @ ("+" | "-" | "^"), names)) => (operator, names),
        _ => ("", edit),
    };
    let is_removal = operator == "-";
    let mut named: Vec<&'static T> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        for found in matches_of(name, all, is_removal, what)? {
            if !named.contains(&found) {
                named.push(found);
            }
        }
    }
    let others = list.iter().copied().filter(|each| !named.contains(each));
    let edited: Vec<_> = match operator {
        "+" => {
            let new: Vec<_> = named
                .iter()
                .copied()
                .filter(|each| !list.contains(each))
                .collect();
            list.iter().copied().chain(new).collect()
        }
        "-" => others.collect(),
        "^" => named.iter().copied().chain(others).collect(),
        _ => named,
    };
    if edited.is_empty() {
        return Err(PreferenceError::NothingLeft { what });
    }
    *list = edited;
    Ok(())
}

/// What a name or pattern stands for. A removal may name what is not known here (it is not offered anyway, and
/// configurations written for other programs do), unless it looks like a slip for one of our names.
fn matches_of<T: Registered>(
    name: &str,
    all: &[&'static T],
    is_removal: bool,
    what: &'static str,
) -> Result<Vec<&'static T>, PreferenceError> {
    if name.contains(['*', '?']) {
        let found: Vec<_> = all
            .iter()
            .copied()
            .filter(|each| is_removal || each.tier() != Tier::Legacy)
            .filter(|each| matches_exactly(name.as_bytes(), each.name().as_bytes()))
            .collect();
        if found.is_empty() && !is_removal {
            return Err(PreferenceError::Unknown {
                what,
                name: name.to_owned(),
                nearest: None,
            });
        }
        return Ok(found);
    }
    if let Some(found) = all.iter().copied().find(|each| each.name() == name) {
        return Ok(vec![found]);
    }
    let nearest = nearest(name, all.iter().map(|each| each.name()));
    if is_removal && nearest.is_none() {
        return Ok(Vec::new());
    }
    Err(PreferenceError::Unknown {
        what,
        name: name.to_owned(),
        nearest,
    })
}

/// How many letters a slip may change.
const SLIP_LETTERS: usize = 2;

/// The known name that `name` is a slip for, if any: for the errors of whoever reads names from a person.
pub fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .filter(|each| each.len().abs_diff(name.len()) <= SLIP_LETTERS || each.starts_with(name))
        .map(|each| {
            (
                if each.starts_with(name) {
                    1
                } else {
                    distance(name.as_bytes(), each.as_bytes())
                },
                each,
            )
        })
        .filter(|(distance, _)| *distance <= SLIP_LETTERS)
        // Of names as near as each other the shortest: it is the one that others are made of.
        .min_by_key(|(distance, each)| (*distance, each.len()))
        .map(|(_, each)| each)
}

/// How many letters must be changed, put in, left out or swapped with their neighbour to make one word of the other
/// (restricted edit distance).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, one) in left.iter().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let changed = at(&above, column).saturating_add(usize::from(one != other));
            let left_out = at(&above, column.saturating_add(1)).saturating_add(1);
            let put_in = at(&current, column).saturating_add(1);
            let mut best = changed.min(left_out).min(put_in);
            if let (Some(up), Some(back)) = (row.checked_sub(1), column.checked_sub(1))
                && left.get(up) == Some(other)
                && right.get(back) == Some(one)
            {
                best = best.min(at(&before, back).saturating_add(1));
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T: Registered>(list: &[&'static T]) -> String {
        list.iter().map(|each| each.name()).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn defaults_follow_the_registries() {
        let wide = Preferences::default();
        assert_eq!(wide, Preferences::for_client());
        assert_eq!(
            names(&wide.kex),
            "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,\
             curve25519-sha256,curve25519-sha256@libssh.org,\
             ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,\
             mlkem768nistp256-sha256,mlkem1024nistp384-sha384,\
             diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,\
             diffie-hellman-group18-sha512,diffie-hellman-group14-sha256,\
             diffie-hellman-group15-sha512,diffie-hellman-group17-sha512"
        );
        for pair in wide.ciphers.windows(2) {
            assert!(pair[0].tier <= pair[1].tier, "recommended first");
        }
        let narrow = Preferences::for_server();
        assert_eq!(
            names(&narrow.kex),
            "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,\
             curve25519-sha256,curve25519-sha256@libssh.org"
        );
        assert_eq!(narrow.host_keys, wide.host_keys);
        assert!(narrow.macs.iter().all(|mac| mac.etm));
        assert!(
            narrow
                .ciphers
                .iter()
                .all(|cipher| cipher.tier == Tier::Recommended)
        );
    }

    #[test]
    fn edits_are_those_of_openssh() {
        let libssh = "curve25519-sha256@libssh.org";
        for (edit, expected) in [
            ("curve25519-sha256", "curve25519-sha256".to_owned()),
            (
                "curve25519-sha256@libssh.org,mlkem768x25519-sha256",
                format!("{libssh},mlkem768x25519-sha256"),
            ),
            ("-curve25519-sha256", format!("mlkem768x25519-sha256,{libssh}")),
            ("-curve*", "mlkem768x25519-sha256".to_owned()),
            (
                "-diffie-hellman-group1-sha1,curve25519-sha256@*",
                "mlkem768x25519-sha256,curve25519-sha256".to_owned(),
            ),
            (
                "^curve25519-sha256",
                format!("curve25519-sha256,mlkem768x25519-sha256,{libssh}"),
            ),
            (
                "+curve25519-sha256",
                format!("mlkem768x25519-sha256,curve25519-sha256,{libssh}"),
            ),
            ("curve25519-sha25?", "curve25519-sha256".to_owned()),
            ("*libssh*, mlkem768x*", format!("{libssh},mlkem768x25519-sha256")),
        ] {
            let mut preferences = Preferences {
                kex: vec![
                    &method::mlkem768_x25519::MLKEM768_X25519_SHA256,
                    &method::curve25519::CURVE25519_SHA256,
                    &method::curve25519::CURVE25519_SHA256_LIBSSH,
                ],
                ..Preferences::default()
            };
            preferences.edit_kex(edit).unwrap();
            assert_eq!(names(&preferences.kex), expected, "{edit}");
        }
        let mut one = Preferences {
            kex: vec![&method::curve25519::CURVE25519_SHA256],
            ..Preferences::default()
        };
        one.edit_kex("+mlkem768x25519-sha256").unwrap();
        assert_eq!(names(&one.kex), "curve25519-sha256,mlkem768x25519-sha256");
    }

    #[test]
    fn nobody_offers_compression_before_login_unless_asked_by_name() {
        for preferences in [Preferences::for_client(), Preferences::for_server()] {
            assert_eq!(names(&preferences.compression), "none,zlib@openssh.com");
        }
        for (edit, expected) in [
            ("^zlib@openssh.com", "zlib@openssh.com,none"),
            ("none", "none"),
            ("-zlib@openssh.com", "none"),
            ("zlib*", "zlib@openssh.com"),
            ("+*", "none,zlib@openssh.com"),
            ("+zlib", "none,zlib@openssh.com,zlib"),
        ] {
            let mut preferences = Preferences::default();
            preferences.edit_compression(edit).unwrap();
            assert_eq!(names(&preferences.compression), expected, "{edit}");
        }
        let error = Preferences::default()
            .edit_compression("zlib@openssh")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown compression method `zlib@openssh`; did you mean `zlib@openssh.com`?"
        );
    }

    #[test]
    fn legacy_ciphers_and_macs_are_reached_by_their_names_only() {
        for default in [Preferences::for_client(), Preferences::for_server()] {
            for edit in ["*", "*-cbc,*", "+*", "^*"] {
                let mut edited = default.clone();
                let _ = edited.edit_ciphers(edit);
                let _ = edited.edit_macs(edit);
                assert!(
                    edited.ciphers.iter().all(|each| each.tier != Tier::Legacy),
                    "{edit}"
                );
                assert!(edited.macs.iter().all(|each| each.tier != Tier::Legacy), "{edit}");
            }
        }
        let mut named = Preferences::default();
        let (ciphers, macs) = (named.ciphers.len(), named.macs.len());
        named.edit_ciphers("+3des-cbc").unwrap();
        named.edit_macs("^hmac-md5-96").unwrap();
        assert_eq!(
            (named.ciphers[ciphers].name, named.macs[0].name),
            ("3des-cbc", "hmac-md5-96")
        );
        assert_eq!((named.ciphers.len(), named.macs.len()), (ciphers + 1, macs + 1));
        for cipher in cipher::ALL {
            named.edit_ciphers(cipher.name).unwrap();
            assert_eq!(named.ciphers, [*cipher]);
        }
        for mac in mac::ALL {
            named.edit_macs(mac.name).unwrap();
            assert_eq!(named.macs, [*mac]);
        }
    }

    #[test]
    fn unknown_names_are_told_with_a_suggestion() {
        let mut preferences = Preferences::default();
        for (edit, name, nearest) in [
            (
                "aes128-gmc@openssh.com",
                "aes128-gmc@openssh.com",
                Some("aes128-gcm@openssh.com"),
            ),
            (
                "-aes265-gcm@openssh.com",
                "aes265-gcm@openssh.com",
                Some("aes256-gcm@openssh.com"),
            ),
            ("aes128-gcm", "aes128-gcm", Some("aes128-gcm@openssh.com")),
            ("+blowfish-cbc", "blowfish-cbc", None),
            ("^xyz*", "xyz*", None),
        ] {
            let expected = PreferenceError::Unknown {
                what: "cipher",
                name: name.to_owned(),
                nearest,
            };
            assert_eq!(preferences.edit_ciphers(edit), Err(expected), "{edit}");
        }
        let error = preferences.edit_ciphers("aes128-gcm").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown cipher `aes128-gcm`; did you mean `aes128-gcm@openssh.com`?"
        );
        assert_eq!(
            preferences,
            Preferences::default(),
            "a failed edit changes nothing"
        );
    }

    #[test]
    fn an_empty_list_cannot_be_made() {
        for edit in ["", "-*", "^", ",", "-ssh-*,*"] {
            let mut preferences = Preferences::default();
            let outcome = preferences.edit_host_keys(edit);
            let expected = if edit == "^" {
                Ok(())
            } else {
                Err(PreferenceError::NothingLeft {
                    what: "host key algorithm",
                })
            };
            assert_eq!(outcome, expected, "{edit}");
        }
        let long = "a".repeat(MAX_EDIT_BYTES + 1);
        assert_eq!(
            Preferences::default().edit_macs(&long),
            Err(PreferenceError::TooLong)
        );
    }

    #[test]
    fn patterns_match_in_bounded_time() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "a--b-b--c", true),
            ("a*b*c", "a--b-b--", false),
            ("*a?", "banan", true),
            ("**x", "yx", true),
        ] {
            assert_eq!(
                matches_exactly(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        let pattern = "*a".repeat(2000) + "b";
        assert!(!matches_exactly(pattern.as_bytes(), "a".repeat(4000).as_bytes()));
    }

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "ab", 1),
            ("abc", "xyz", 3),
        ] {
            assert_eq!(
                distance(left.as_bytes(), right.as_bytes()),
                expected,
                "{left} {right}"
            );
        }
    }
}
