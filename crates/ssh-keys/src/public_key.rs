//! Public keys: the blob of RFC 4253 §6.6, and the line that stands in `.pub` files and key lists.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::algorithm::{self, PublicMaterial, rsa};
use crate::error::shown;
use crate::wire::{Reader, Writer};
use crate::{Demands, Fingerprint, KeyError, SignatureAlgorithm, SignatureError, SignatureValid, signature};

/// Longest public key blob that is looked at, in bytes. An RSA key of 16384 bits has 2 KiB; the rest is room for
/// certificates with long lists of names.
pub const MAX_BLOB_BYTES: usize = 64 * 1024;

/// A public key of a supported type, decoded and checked.
///
/// Two keys are equal when their blobs are. Clones share the key.
///
/// ```
/// use ssh_keys::PublicKey;
/// let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS alice@example";
/// let (key, comment) = PublicKey::from_openssh(line).unwrap();
/// assert_eq!(key.key_type(), "ssh-ed25519");
/// assert_eq!(comment, "alice@example");
/// assert_eq!(key.fingerprint().to_string(), "SHA256:qH8baHrA5X0qCBovKCZyM02Q7TFtK4GMqVgOo4TZJAE");
/// assert_eq!(key.to_openssh(&comment), line);
/// ```
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    blob: Vec<u8>,
    key_type: &'static str,
    material: Arc<dyn PublicMaterial>,
}

impl PublicKey {
    /// Reads a key blob (RFC 4253 §6.6): a type, the fields of that type, and nothing behind them.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        check_length(blob)?;
        let mut reader = Reader::new(blob);
        let name = reader.string()?;
        let algorithm = std::str::from_utf8(name)
            .ok()
            .and_then(|name| algorithm::for_key_type(name).next())
            .ok_or_else(|| KeyError::UnsupportedType(shown(name)))?;
        let material = (algorithm.read_public)(&mut reader)?;
        reader.finish()?;
        Ok(Self::from_parts(blob.to_vec(), algorithm.key_type, material))
    }

    /// Reads what follows the type in a key blob, where a certificate has it, up to its own next field.
    pub(crate) fn read_fields(
        algorithm: &SignatureAlgorithm,
        reader: &mut Reader<'_>,
    ) -> Result<Self, KeyError> {
        let mut fields = reader.clone();
        let material = (algorithm.read_public)(reader)?;
        let read = fields.remaining().saturating_sub(reader.remaining());
        let mut blob = Vec::new();
        let mut writer = Writer::new(&mut blob);
        writer.string(algorithm.key_type.as_bytes());
        writer.raw(fields.take(read)?);
        Ok(Self::from_parts(blob, algorithm.key_type, material))
    }

    /// The key whose parts are known to belong together: the public half of a private key.
    pub(crate) fn from_parts(
        blob: Vec<u8>,
        key_type: &'static str,
        material: Arc<dyn PublicMaterial>,
    ) -> Self {
        Self(Arc::new(Inner {
            blob,
            key_type,
            material,
        }))
    }

    /// Reads a line `type base64 [comment]` as `.pub` files hold it; the comment, which may be empty, comes back beside
    /// the key.
    pub fn from_openssh(line: &str) -> Result<(Self, String), KeyError> {
        let mut fields = Fields(line.trim_matches(['\r', '\n']).as_bytes());
        let key_type = fields.next_field().ok_or(KeyError::MissingField("key type"))?;
        let blob = decode_fields(key_type, &mut fields)?;
        Ok((Self::from_blob(&blob)?, fields.comment()))
    }

    /// The blob: what is hashed for the fingerprint and sent on the wire.
    pub fn blob(&self) -> &[u8] {
        &self.0.blob
    }

    /// The type at the start of the blob (`ssh-ed25519`).
    pub fn key_type(&self) -> &str {
        self.0.key_type
    }

    /// The word that people know the type by, as OpenSSH shows it: `ED25519`, `ECDSA`, `RSA`, `ED25519-SK`.
    pub fn type_word(&self) -> String {
        word_of(self.0.key_type)
    }

    /// The line `type base64 comment`, without a line ending; without the comment when that is empty. Line breaks and
    /// other control characters in the comment become spaces, so that the line stays one line.
    pub fn to_openssh(&self, comment: &str) -> String {
        line(self.0.key_type, &self.0.blob, comment)
    }

    /// The size that people know the key by, in bits: 256 for Ed25519.
    pub fn bits(&self) -> usize {
        self.0.material.bits()
    }

    /// Whether the key is in a security key, whose signatures tell what its owner did ([`SecurityKeyUse`]).
    ///
    /// [`SecurityKeyUse`]: crate::SecurityKeyUse
    pub fn is_security_key(&self) -> bool {
        self.0.material.behind_bytes() > 0
    }

    /// Refuses an RSA key of less than `required` bits (`RequiredRSASize`); keys of other types have no size to choose.
    ///
    /// # Errors
    /// [`KeyError::RsaTooSmall`], which names the key and its size.
    pub fn check_rsa_bits(&self, required: usize) -> Result<(), KeyError> {
        let bits = self.bits();
        if self.0.key_type != rsa::KEY_TYPE || bits >= required {
            return Ok(());
        }
        Err(KeyError::RsaTooSmall {
            fingerprint: self.fingerprint(),
            bits,
            required,
        })
    }

    /// The SHA-256 fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_blob(&self.0.blob)
    }

    /// The algorithms this key can be used with, the preferred one first; legacy ones are among them.
    pub fn algorithms(&self) -> impl Iterator<Item = &'static SignatureAlgorithm> + use<> {
        algorithm::for_key_type(self.0.key_type)
    }

    /// Checks a signature blob (`string name`, `string signature`) over `message`. The name inside must be the one of
    /// `algorithm`, and `algorithm` must be one for this type of key: what was negotiated is what is checked. A security
    /// key must have been touched; [`verify_demanding`](Self::verify_demanding) can ask for less or more.
    pub fn verify(
        &self,
        algorithm: &SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        self.verify_demanding(algorithm, message, signature, &Demands::default())
    }

    /// Like [`verify`](Self::verify), with these demands on what the owner of a security key did for the signature. Of
    /// other keys they ask nothing: whoever demands something of every key has to look at its type too.
    pub fn verify_demanding(
        &self,
        algorithm: &SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
        demands: &Demands,
    ) -> Result<SignatureValid, SignatureError> {
        if algorithm.key_type != self.0.key_type {
            let key_type = self.0.key_type.to_owned();
            return Err(SignatureError::WrongKeyType {
                algorithm: algorithm.name,
                key_type,
            });
        }
        let material = &self.0.material;
        let parts = signature::unwrap(signature, algorithm.signature_name, material.behind_bytes())?;
        let made = material.verify(algorithm, message, &parts, demands)?;
        Ok(SignatureValid::checked(made))
    }
}

fn word_of(key_type: &str) -> String {
    let (name, behind) = match key_type.strip_prefix("sk-") {
        Some(name) => (name, "-SK"),
        None => (key_type, ""),
    };
    let name = name.strip_prefix("ssh-").unwrap_or(name);
    let family = name.split(['-', '@']).next().unwrap_or_default();
    format!("{}{behind}", family.to_uppercase())
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.blob == other.0.blob
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.blob.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.0.key_type, self.fingerprint())
    }
}

/// The line `type base64 comment` of a key or certificate.
pub(crate) fn line(blob_type: &str, blob: &[u8], comment: &str) -> String {
    let mut line = format!("{blob_type} {}", STANDARD.encode(blob));
    if !comment.is_empty() {
        line.push(' ');
        line.extend(
            comment
                .chars()
                .map(|each| if each.is_control() { ' ' } else { each }),
        );
    }
    line
}

/// The fields of a line, separated by spaces and tabs.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field, if the line has one.
    pub(crate) fn next_field(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| !is_blank(byte))?;
        let (_, line) = self.0.split_at_checked(start)?;
        let end = line.iter().position(|&byte| is_blank(byte)).unwrap_or(line.len());
        let (field, rest) = line.split_at_checked(end)?;
        self.0 = rest;
        Some(field)
    }

    /// What is left of the line, as text.
    pub(crate) fn comment(self) -> String {
        String::from_utf8_lossy(self.0.trim_ascii()).into_owned()
    }
}

/// Whether a byte separates the fields of a line.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The blob behind the base64 that is the next field, which must hold a key of the stated type, supported or not.
pub(crate) fn decode_fields(stated: &[u8], fields: &mut Fields<'_>) -> Result<Vec<u8>, KeyError> {
    let base64 = fields.next_field().ok_or(KeyError::MissingField("key"))?;
    let blob = STANDARD.decode(base64).map_err(|_| KeyError::BadBase64)?;
    check_length(&blob)?;
    let found = Reader::new(&blob).string()?;
    if found == stated {
        Ok(blob)
    } else {
        Err(KeyError::TypeMismatch {
            stated: shown(stated),
            found: shown(found),
        })
    }
}

fn check_length(blob: &[u8]) -> Result<(), KeyError> {
    if blob.len() > MAX_BLOB_BYTES {
        return Err(KeyError::TooLong {
            bytes: blob.len(),
            limit: MAX_BLOB_BYTES,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DecodeError;

    /// The key of RFC 7479 §3.
    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";

    fn blob(key_type: &str, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.string(key_type.as_bytes());
        writer.string(key);
        out
    }

    #[test]
    fn every_type_has_a_word_as_openssh_shows_it() {
        let mut words: Vec<_> = algorithm::ALL
            .iter()
            .filter(|each| !each.is_certificate())
            .map(|each| (each.key_type, word_of(each.key_type)))
            .collect();
        words.dedup();
        words.sort();
        words.dedup();
        let expected = [
            ("ecdsa-sha2-nistp256", "ECDSA"),
            ("ecdsa-sha2-nistp384", "ECDSA"),
            ("ecdsa-sha2-nistp521", "ECDSA"),
            ("sk-ecdsa-sha2-nistp256@openssh.com", "ECDSA-SK"),
            ("sk-ssh-ed25519@openssh.com", "ED25519-SK"),
            ("ssh-ed25519", "ED25519"),
            ("ssh-rsa", "RSA"),
        ];
        assert_eq!(words, expected.map(|(name, word)| (name, word.to_owned())));
    }

    #[test]
    fn lines_are_read_with_any_blanks_and_comments() {
        let base64 = LINE.split(' ').nth(1).unwrap();
        for (line, comment) in [
            (LINE.to_owned(), ""),
            (format!("{LINE} a b  c"), "a b  c"),
            (format!("\t {LINE}\t\tx \r\n"), "x"),
            (format!("ssh-ed25519\t{base64}"), ""),
        ] {
            let (key, found) = PublicKey::from_openssh(&line).unwrap();
            assert_eq!(
                (key.to_openssh("").as_str(), found.as_str()),
                (LINE, comment),
                "{line:?}"
            );
        }
    }

    #[test]
    fn broken_lines_are_refused() {
        let base64 = LINE.split(' ').nth(1).unwrap();
        let mismatch = KeyError::TypeMismatch {
            stated: "ssh-rsa".to_owned(),
            found: "ssh-ed25519".to_owned(),
        };
        for (line, expected) in [
            (String::new(), KeyError::MissingField("key type")),
            ("ssh-ed25519".to_owned(), KeyError::MissingField("key")),
            ("ssh-ed25519 ====".to_owned(), KeyError::BadBase64),
            (format!("ssh-ed25519 {base64}A"), KeyError::BadBase64),
            (format!("ssh-rsa {base64}"), mismatch),
            (
                "ssh-dss AAAAB3NzaC1kc3M=".to_owned(),
                KeyError::UnsupportedType("ssh-dss".to_owned()),
            ),
        ] {
            assert_eq!(PublicKey::from_openssh(&line), Err(expected), "{line}");
        }
    }

    #[test]
    fn malformed_blobs_are_refused() {
        let short = DecodeError::TooShort { needed: 4, left: 0 };
        let wrong = |found| KeyError::WrongLength {
            key_type: "ssh-ed25519",
            expected: 32,
            found,
        };
        let mut trailing = PublicKey::from_openssh(LINE).unwrap().0.blob().to_vec();
        trailing.push(0);
        for (bytes, expected) in [
            (vec![], KeyError::Malformed(short.clone())),
            (blob("ssh-ed25519", b"short"), wrong(5)),
            (blob("ssh-ed25519", &[]), wrong(0)),
            (blob("ssh-ed25519", &[9; 33]), wrong(33)),
            (blob("", &[9; 32]), KeyError::UnsupportedType(String::new())),
            (
                blob("ssh-ed25519", &[9; 32])[..15].to_vec(),
                KeyError::Malformed(short),
            ),
            (trailing, KeyError::Malformed(DecodeError::TrailingBytes(1))),
            (
                vec![0; MAX_BLOB_BYTES + 1],
                KeyError::TooLong {
                    bytes: MAX_BLOB_BYTES + 1,
                    limit: MAX_BLOB_BYTES,
                },
            ),
        ] {
            assert_eq!(PublicKey::from_blob(&bytes), Err(expected));
        }
    }

    #[test]
    fn a_comment_cannot_add_a_line() {
        let (key, _) = PublicKey::from_openssh(LINE).unwrap();
        assert_eq!(key.to_openssh("a\nssh-rsa\rb"), format!("{LINE} a ssh-rsa b"));
    }

    #[test]
    fn debug_shows_type_and_fingerprint() {
        let (key, _) = PublicKey::from_openssh(LINE).unwrap();
        let expected = "PublicKey(ssh-ed25519 SHA256:qH8baHrA5X0qCBovKCZyM02Q7TFtK4GMqVgOo4TZJAE)";
        assert_eq!(format!("{key:?}"), expected);
    }
}
