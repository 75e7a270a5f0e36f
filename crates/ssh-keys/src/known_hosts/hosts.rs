//! The first field of a `known_hosts` line: whom it is about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use thiserror::Error;

use super::SSH_PORT;
use crate::LineProblem;
use crate::pattern::{self, Pattern};

/// Longest host name that is written into a line, in bytes (`NI_MAXHOST` of the C library).
pub const MAX_HOST_BYTES: usize = 1025;

/// Bytes of salt and of hash in a hashed name.
const HASH_BYTES: usize = 20;

/// The hosts of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    /// `|1|salt|hash`.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    /// Patterns, of which one must match and no negated one may.
    Patterns(Vec<Pattern>),
}

impl Hosts {
    pub(super) fn parse(field: &[u8]) -> Result<Self, LineProblem> {
        if field.starts_with(b"|") {
            return Self::parse_hashed(field)
                .ok_or(LineProblem::BadHosts("hashed in a way that is not known"));
        }
        let texts = field.split(|&byte| byte == b',').filter(|text| !text.is_empty());
        let patterns: Vec<Pattern> = texts.map(Pattern::new).collect();
        if patterns.is_empty() || patterns.iter().any(|pattern| pattern.text.is_empty()) {
            return Err(LineProblem::BadHosts("empty"));
        }
        Ok(Self::Patterns(patterns))
    }

    fn parse_hashed(field: &[u8]) -> Option<Self> {
        let mut parts = field.strip_prefix(b"|1|")?.split(|&byte| byte == b'|');
        let salt = STANDARD.decode(parts.next()?).ok()?;
        let hash = STANDARD.decode(parts.next()?).ok()?;
        let whole = parts.next().is_none() && salt.len() == HASH_BYTES && hash.len() == HASH_BYTES;
        whole.then_some(Self::Hashed { salt, hash })
    }

    /// Whether these are hosts of that name, as [`name`] makes it.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => hmac_sha1(salt, name).as_ref() == hash.as_slice(),
            Self::Patterns(patterns) => {
                let mut found = false;
                for each in patterns
                    .iter()
                    .filter(|each| pattern::matches(&each.text, name.as_bytes()))
                {
                    if each.negated {
                        return false;
                    }
                    found = true;
                }
                found
            }
        }
    }
}

/// What a host is called in the file.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == SSH_PORT {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// The hashed form of a name.
pub(super) fn hashed(name: &str, salt: &[u8; HASH_BYTES]) -> String {
    format!(
        "|1|{}|{}",
        STANDARD.encode(salt),
        STANDARD.encode(hmac_sha1(salt, name))
    )
}

/// HMAC-SHA1 hides names here and authenticates nothing: SHA-1's weakness does not matter.
fn hmac_sha1(salt: &[u8], name: &str) -> hmac::Tag {
    hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt),
        name.as_bytes(),
    )
}

/// Why a host name cannot be written into a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadHostName {
    /// The name is empty.
    #[error("the host name is empty")]
    Empty,
    /// The name is longer than [`MAX_HOST_BYTES`].
    #[error("the host name has {0} bytes, more than the {MAX_HOST_BYTES} allowed")]
    TooLong(usize),
    /// The name holds a character that means something else in the file.
    #[error("the host name holds {0:?}")]
    Character(char),
}

/// Whether a name can stand in a line and means itself there.
pub(super) fn check_name(host: &str) -> Result<(), BadHostName> {
    if host.is_empty() {
        return Err(BadHostName::Empty);
    }
    if host.len() > MAX_HOST_BYTES {
        return Err(BadHostName::TooLong(host.len()));
    }
    let special = |each: char| each.is_whitespace() || each.is_control() || "*?!,|[]@#\"\\".contains(each);
    host.chars()
        .find(|&each| special(each))
        .map_or(Ok(()), |found| Err(BadHostName::Character(found)))
}
