//! Fingerprints: the SHA-256 of a public key blob, as OpenSSH shows it (`SHA256:` and base64 without padding).
//!
//! The MD5 form of old clients is not here: nothing should be trusted by it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use thiserror::Error;

const PREFIX: &str = "SHA256:";

/// The SHA-256 of a public key blob.
///
/// ```
/// use ssh_keys::Fingerprint;
/// let text = "SHA256:qH8baHrA5X0qCBovKCZyM02Q7TFtK4GMqVgOo4TZJAE";
/// let fingerprint: Fingerprint = text.parse().unwrap();
/// assert_eq!(fingerprint.to_string(), text);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a public key blob.
    pub fn of_blob(blob: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, blob);
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// The 32 bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads `SHA256:…` as OpenSSH prints it; one `=` at the end, which other tools print, is taken too.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let base64 = text.strip_prefix(PREFIX).ok_or(FingerprintError::UnknownHash)?;
        let base64 = base64.strip_suffix('=').unwrap_or(base64);
        let bytes = STANDARD_NO_PAD
            .decode(base64)
            .map_err(|_| FingerprintError::BadBase64)?;
        let found = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| FingerprintError::WrongLength(found))
    }
}

/// Why text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// The text does not start with `SHA256:`.
    #[error("a fingerprint starts with SHA256:")]
    UnknownHash,
    /// What follows is not base64.
    #[error("the fingerprint is not valid base64")]
    BadBase64,
    /// The hash has the wrong length.
    #[error("a SHA-256 fingerprint has 32 bytes, this one {0}")]
    WrongLength(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        let good = "SHA256:qH8baHrA5X0qCBovKCZyM02Q7TFtK4GMqVgOo4TZJAE";
        for (text, expected) in [
            (good.to_owned(), Ok(good.to_owned())),
            (format!("{good}="), Ok(good.to_owned())),
            (format!("{good}=="), Err(FingerprintError::BadBase64)),
            ("MD5:16:27:ac:a5".to_owned(), Err(FingerprintError::UnknownHash)),
            ("sha256:qH8b".to_owned(), Err(FingerprintError::UnknownHash)),
            (String::new(), Err(FingerprintError::UnknownHash)),
            ("SHA256:".to_owned(), Err(FingerprintError::WrongLength(0))),
            ("SHA256:qH8b".to_owned(), Err(FingerprintError::WrongLength(3))),
            ("SHA256:!!!!".to_owned(), Err(FingerprintError::BadBase64)),
        ] {
            assert_eq!(
                text.parse::<Fingerprint>().map(|found| found.to_string()),
                expected,
                "{text}"
            );
        }
    }
}
