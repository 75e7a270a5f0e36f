//! `authorized_keys`: which keys may log in, and what for (OpenSSH `sshd(8)`, "AUTHORIZED_KEYS FILE FORMAT").
//!
//! ```text
//! [option[,option…]] type base64 [comment]
//!
//! option   flag          restrict, no-pty, cert-authority …
//!          name="value"  command, environment, expiry-time, from, permitlisten, permitopen, principals, tunnel;
//!                        \" stands for a quote
//! ```
//!
//! Every option is either understood or refuses its line: an option that was read over would grant what it was written
//! to forbid. What the options add up to is in [`KeyOptions`], as the flags that are in force at the end.
//!
//! A server that finds a key must still ask [`KeyOptions::allows_address`] and [`KeyOptions::expired`]: this crate has
//! neither a peer's address nor a clock.

mod expiry;
mod from;
mod options;

pub use expiry::ExpiryTime;
pub use from::AddressPatterns;
pub use options::{ForwardTarget, KeyOptions, MAX_ENVIRONMENT, MAX_FORWARD_TARGETS, TunnelDevice};

use crate::public_key::{Fields, decode_fields, is_blank};
use crate::{BadLine, KeyError, LineProblem, PublicKey, lines};

/// The lines of one `authorized_keys` file.
#[derive(Debug, Clone, Default)]
pub struct AuthorizedKeys {
    entries: Vec<Entry>,
    bad_lines: Vec<BadLine>,
}

/// One key of the file and what it may be used for.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The line's number, counted from 1.
    pub line: usize,
    /// The key.
    pub key: PublicKey,
    /// What stands behind the key.
    pub comment: String,
    /// What the key may be used for.
    pub options: KeyOptions,
}

impl AuthorizedKeys {
    /// Reads a file. This never fails: a line that is not understood grants nothing and is in
    /// [`bad_lines`](Self::bad_lines).
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let (entries, bad_lines) = lines::parse(text.as_ref(), Entry::parse);
        Self { entries, bad_lines }
    }

    /// The lines that were understood, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The lines that were not understood, and why.
    pub fn bad_lines(&self) -> &[BadLine] {
        &self.bad_lines
    }

    /// The first line with this key. A `cert-authority` line is none: it is about the certificates its key signs.
    pub fn find(&self, key: &PublicKey) -> Option<&Entry> {
        self.find_all(key).next()
    }

    /// All lines with this key, in their order: where the first does not allow the peer's address, a later one may.
    pub fn find_all(&self, key: &PublicKey) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| !entry.options.cert_authority && entry.key == *key)
    }
}

impl Entry {
    fn parse(line: usize, text: &[u8]) -> Result<Self, LineProblem> {
        let mut rest = text;
        let first = text.split(|&byte| is_blank(byte)).next().unwrap_or_default();
        let options = if is_key_type(first) {
            KeyOptions::default()
        } else {
            options::parse(&mut rest)?
        };
        let mut fields = Fields(rest);
        let key_type = fields.next_field().ok_or(KeyError::MissingField("key type"))?;
        let blob = decode_fields(key_type, &mut fields)?;
        Ok(Self {
            line,
            key: PublicKey::from_blob(&blob)?,
            comment: fields.comment(),
            options,
        })
    }
}

/// Whether the first word of a line is a key type rather than an option. Types that are not supported count too, so
/// that their lines are refused for what they are; no option starts like one of these.
fn is_key_type(word: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 7] = [
        b"ssh-",
        b"ecdsa-",
        b"sk-",
        b"rsa-sha2-",
        b"x509v3-",
        b"webauthn-sk-",
        b"pgp-sign-",
    ];
    crate::algorithm::ALL
        .iter()
        .any(|algorithm| algorithm.key_type.as_bytes() == word)
        || PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}
