//! The keywords this client knows, and their values. One table says what there is.

use std::time::Duration;

use thiserror::Error;

use super::values::{
    LogLevel, RekeyLimit, ValueError, algorithms, log_level, rekey_limit, seconds, version_addendum,
    warn_weak_crypto, yes_no,
};
use super::words::{Line, SyntaxError};
use crate::kex::{Preferences, Preset};

/// `StrictHostKeyChecking`: what happens with a host key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictHostKeyChecking {
    /// Refuse it.
    Yes,
    /// Ask the user (the default).
    Ask,
    /// Save it and go on; a changed key is refused.
    AcceptNew,
    /// Save it and go on, and go on with a changed key too, without passwords.
    No,
}

/// Settings of a connection; `None` and empty lists are what nobody has set. The first value set stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the ssh_config(5) keyword of the same name"
)]
pub struct Options {
    /// Not OpenSSH's: which of our lists of algorithms the edits below begin with.
    pub algorithm_preset: Option<Preset>,
    pub batch_mode: Option<bool>,
    pub ciphers: Option<String>,
    pub compression: Option<bool>,
    pub connect_timeout: Option<Duration>,
    pub global_known_hosts_files: Option<Vec<String>>,
    pub host_key_algorithms: Option<String>,
    pub host_key_alias: Option<String>,
    pub host_name: Option<String>,
    pub identities_only: Option<bool>,
    pub identity_files: Vec<String>,
    pub kex_algorithms: Option<String>,
    pub log_level: Option<LogLevel>,
    pub macs: Option<String>,
    pub number_of_password_prompts: Option<u32>,
    pub password_authentication: Option<bool>,
    pub port: Option<u16>,
    pub pubkey_authentication: Option<bool>,
    pub rekey_limit: Option<RekeyLimit>,
    pub required_rsa_size: Option<usize>,
    pub server_alive_count_max: Option<u32>,
    pub server_alive_interval: Option<Duration>,
    pub set_env: Vec<(String, String)>,
    pub strict_host_key_checking: Option<StrictHostKeyChecking>,
    pub user: Option<String>,
    pub user_known_hosts_files: Option<Vec<String>>,
    pub version_addendum: Option<String>,
    pub warn_weak_crypto: Option<bool>,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No keyword of this name is known.
    #[error("Bad configuration option: {name}{}", .suggestion.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default())]
    Unknown {
        /// The name as written.
        name: String,
        /// The known keyword that is nearest to it, if one is near.
        suggestion: Option<&'static str>,
    },
    /// OpenSSH knows it; this program does not do it yet.
    #[error("the option {0} is not supported yet")]
    Unsupported(String),
    /// The keyword stands alone.
    #[error("{0} needs a value")]
    NoValue(String),
    /// More values than the keyword takes.
    #[error("{0} takes one value")]
    TooManyValues(String),
    /// A value is not of the keyword's form.
    #[error("{keyword}: {error}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// What is wrong with its value.
        error: ValueError,
    },
    /// The line's form is broken.
    #[error(transparent)]
    Syntax(SyntaxError),
    /// The file is larger than a configuration can be.
    #[error("the file is larger than a configuration can be")]
    TooLarge,
}

type Setter = fn(&mut Options, &[String]) -> Result<(), ValueError>;

/// Every keyword this client knows, in OpenSSH's spelling, in alphabetical order.
pub const KEYWORDS: &[(&str, Setter)] = &[
    ("AlgorithmPreset", |to, from| {
        first(&mut to.algorithm_preset, from, preset)
    }),
    ("BatchMode", |to, from| first(&mut to.batch_mode, from, yes_no)),
    ("Ciphers", |to, from| {
        first(&mut to.ciphers, from, |list| {
            algorithms(list, Preferences::edit_ciphers)
        })
    }),
    ("Compression", |to, from| first(&mut to.compression, from, yes_no)),
    ("ConnectTimeout", |to, from| {
        first(&mut to.connect_timeout, from, timeout)
    }),
    ("GlobalKnownHostsFile", |to, from| {
        files(&mut to.global_known_hosts_files, from)
    }),
    ("HostKeyAlgorithms", |to, from| {
        first(&mut to.host_key_algorithms, from, |list| {
            algorithms(list, Preferences::edit_host_keys)
        })
    }),
    ("HostKeyAlias", |to, from| {
        first(&mut to.host_key_alias, from, text)
    }),
    ("HostName", |to, from| first(&mut to.host_name, from, text)),
    ("IdentitiesOnly", |to, from| {
        first(&mut to.identities_only, from, yes_no)
    }),
    ("IdentityFile", |to, from| {
        to.identity_files.extend(from.iter().cloned());
        Ok(())
    }),
    ("KexAlgorithms", |to, from| {
        first(&mut to.kex_algorithms, from, |list| {
            algorithms(list, Preferences::edit_kex)
        })
    }),
    ("LogLevel", |to, from| first(&mut to.log_level, from, log_level)),
    ("MACs", |to, from| {
        first(&mut to.macs, from, |list| {
            algorithms(list, Preferences::edit_macs)
        })
    }),
    ("NumberOfPasswordPrompts", |to, from| {
        first(&mut to.number_of_password_prompts, from, count)
    }),
    ("PasswordAuthentication", |to, from| {
        first(&mut to.password_authentication, from, yes_no)
    }),
    ("Port", |to, from| first(&mut to.port, from, port)),
    ("PubkeyAuthentication", |to, from| {
        first(&mut to.pubkey_authentication, from, yes_no)
    }),
    ("RekeyLimit", |to, from| {
        let limit = rekey_limit(from)?;
        to.rekey_limit = Some(to.rekey_limit.map_or(limit, |first| first.or_later(limit)));
        Ok(())
    }),
    ("RequiredRSASize", |to, from| {
        first(&mut to.required_rsa_size, from, bits)
    }),
    ("ServerAliveCountMax", |to, from| {
        first(&mut to.server_alive_count_max, from, count)
    }),
    ("ServerAliveInterval", |to, from| {
        first(&mut to.server_alive_interval, from, timeout)
    }),
    ("SetEnv", |to, from| set_env(&mut to.set_env, from)),
    ("StrictHostKeyChecking", |to, from| {
        first(&mut to.strict_host_key_checking, from, strictness)
    }),
    ("User", |to, from| first(&mut to.user, from, text)),
    ("UserKnownHostsFile", |to, from| {
        files(&mut to.user_known_hosts_files, from)
    }),
    ("VersionAddendum", |to, from| {
        let text = version_addendum(from)?;
        to.version_addendum.get_or_insert(text);
        Ok(())
    }),
    ("WarnWeakCrypto", |to, from| {
        first(&mut to.warn_weak_crypto, from, warn_weak_crypto)
    }),
];

/// Keywords that take more than one argument.
const LISTS: [&str; 5] = [
    "GlobalKnownHostsFile",
    "RekeyLimit",
    "SetEnv",
    "UserKnownHostsFile",
    "VersionAddendum",
];

impl Options {
    /// Takes one setting over; a value that is set already stays.
    ///
    /// # Errors
    /// A keyword that is not known, and a value that is not of its form.
    pub fn set(&mut self, line: &Line) -> Result<(), OptionError> {
        let (keyword, setter) = check_keyword(&line.keyword)?;
        match line.arguments.as_slice() {
            [] => return Err(OptionError::NoValue(keyword.to_owned())),
            [_] => {}
            _ if LISTS.contains(&keyword) => {}
            _ => return Err(OptionError::TooManyValues(keyword.to_owned())),
        }
        setter(self, &line.arguments).map_err(|error| OptionError::Value { keyword, error })
    }
}

/// The keyword that `name` means.
pub(super) fn check_keyword(name: &str) -> Result<(&'static str, Setter), OptionError> {
    let found = KEYWORDS
        .iter()
        .find(|(keyword, _)| keyword.eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| OptionError::Unknown {
        name: name.to_owned(),
        suggestion: crate::kex::nearest(name, KEYWORDS.iter().map(|(keyword, _)| *keyword)),
    })
}

fn first<T>(
    place: &mut Option<T>,
    arguments: &[String],
    parse: fn(&str) -> Result<T, ValueError>,
) -> Result<(), ValueError> {
    let value = parse(arguments.first().map(String::as_str).unwrap_or_default())?;
    place.get_or_insert(value);
    Ok(())
}

fn wrong(value: &str, wanted: &'static str) -> ValueError {
    ValueError {
        value: value.to_owned(),
        wanted: wanted.into(),
    }
}

fn text(value: &str) -> Result<String, ValueError> {
    if value.is_empty() {
        Err(wrong(value, "a value"))
    } else {
        Ok(value.to_owned())
    }
}

fn preset(value: &str) -> Result<Preset, ValueError> {
    value.parse().map_err(|_| wrong(value, "narrow, wide or legacy"))
}

fn port(value: &str) -> Result<u16, ValueError> {
    value
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| wrong(value, "a port from 1 to 65535"))
}

fn count(value: &str) -> Result<u32, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

fn bits(value: &str) -> Result<usize, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

fn timeout(value: &str) -> Result<Duration, ValueError> {
    if value.eq_ignore_ascii_case("none") {
        Ok(Duration::ZERO)
    } else {
        seconds(value)
    }
}

fn files(place: &mut Option<Vec<String>>, arguments: &[String]) -> Result<(), ValueError> {
    place.get_or_insert_with(|| match arguments {
        [only] if only.eq_ignore_ascii_case("none") => Vec::new(),
        names => names.to_vec(),
    });
    Ok(())
}

fn set_env(place: &mut Vec<(String, String)>, arguments: &[String]) -> Result<(), ValueError> {
    let pairs: Vec<_> = arguments
        .iter()
        .map(|argument| {
            argument
                .split_once('=')
                .ok_or_else(|| wrong(argument, "of the form NAME=value"))
        })
        .collect::<Result<_, _>>()?;
    if place.is_empty() {
        place.extend(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
    }
    Ok(())
}

fn strictness(value: &str) -> Result<StrictHostKeyChecking, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(StrictHostKeyChecking::Yes),
        "ask" => Ok(StrictHostKeyChecking::Ask),
        "accept-new" => Ok(StrictHostKeyChecking::AcceptNew),
        "no" | "off" | "false" => Ok(StrictHostKeyChecking::No),
        _ => Err(wrong(value, "yes, no, ask, off or accept-new")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::split_option;

    fn set(options: &mut Options, text: &str) -> Result<(), OptionError> {
        options.set(&split_option(text).unwrap().unwrap())
    }

    #[test]
    fn every_keyword_takes_a_value_and_keeps_the_first() {
        let mut options = Options::default();
        for (text, second) in [
            ("AlgorithmPreset narrow", "AlgorithmPreset legacy"),
            ("BatchMode yes", "BatchMode no"),
            ("Ciphers aes128-ctr", "Ciphers aes*"),
            ("Compression yes", "Compression no"),
            ("ConnectTimeout 3", "ConnectTimeout 4"),
            ("GlobalKnownHostsFile a b", "GlobalKnownHostsFile none"),
            ("HostKeyAlgorithms ssh-rsa", "HostKeyAlgorithms -ssh-rsa"),
            ("HostKeyAlias a", "HostKeyAlias b"),
            ("HostName a", "HostName b"),
            ("IdentitiesOnly yes", "IdentitiesOnly no"),
            ("KexAlgorithms curve25519-sha256", "KexAlgorithms ^ecdh*"),
            ("LogLevel DEBUG3", "LogLevel QUIET"),
            ("MACs +hmac-md5", "MACs hmac-md5"),
            ("NumberOfPasswordPrompts 1", "NumberOfPasswordPrompts 2"),
            ("PasswordAuthentication no", "PasswordAuthentication yes"),
            ("Port 22", "Port 23"),
            ("PubkeyAuthentication no", "PubkeyAuthentication yes"),
            ("RekeyLimit 1M 1h", "RekeyLimit default none"),
            ("RequiredRSASize 3072", "RequiredRSASize 1024"),
            ("ServerAliveCountMax 3", "ServerAliveCountMax 4"),
            ("ServerAliveInterval 15", "ServerAliveInterval 16"),
            ("SetEnv A=1 B=2", "SetEnv C=3"),
            ("StrictHostKeyChecking accept-new", "StrictHostKeyChecking no"),
            ("User a", "User b"),
            ("UserKnownHostsFile none", "UserKnownHostsFile a"),
            ("VersionAddendum none", "VersionAddendum a b"),
            ("WarnWeakCrypto no-pq-kex", "WarnWeakCrypto yes"),
        ] {
            let before = options.clone();
            set(&mut options, text).unwrap();
            assert_ne!(options, before, "{text} sets nothing");
            let first = options.clone();
            set(&mut options, second).unwrap();
            assert_eq!(options, first, "{second} replaced the first value");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, expected) in [
            ("Port 0", "Port: \"0\" is not a port from 1 to 65535"),
            (
                "AlgorithmPreset broad",
                "AlgorithmPreset: \"broad\" is not narrow, wide or legacy",
            ),
            ("BatchMode maybe", "BatchMode: \"maybe\" is not yes or no"),
            ("User", "User needs a value"),
            ("User a b", "User takes one value"),
            (
                "Cipers x",
                "Bad configuration option: Cipers (did you mean Ciphers?)",
            ),
            ("Zebra x", "Bad configuration option: Zebra"),
            (
                "Ciphers ^aes128-ctr,3des-cbd",
                "Ciphers: \"^aes128-ctr,3des-cbd\" is not a list of algorithms: unknown cipher `3des-cbd`; \
                 did you mean `3des-cbc`?",
            ),
            (
                "MACs \"\"",
                "MACs: \"\" is not a list of algorithms: no MAC would be left",
            ),
        ] {
            assert_eq!(
                set(&mut Options::default(), text).unwrap_err().to_string(),
                expected
            );
        }
    }
}
