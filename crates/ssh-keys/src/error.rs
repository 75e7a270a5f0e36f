//! What can be wrong with a key, a signature, a key file, or a line of a key list: one type each, and every failure
//! its own variant, because a user who mistyped a passphrase must not be told that the file is broken.

use thiserror::Error;

use crate::Fingerprint;
use crate::wire::DecodeError;

/// Why bytes or text are not a public key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key is of a type no registered algorithm handles.
    #[error("keys of type {0} are not supported")]
    UnsupportedType(String),
    /// The blob does not decode (RFC 4253 §6.6).
    #[error("the key is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The key's content has a length its type does not allow.
    #[error("an {key_type} key holds {expected} bytes, this one {found}")]
    WrongLength {
        /// The type of the key.
        key_type: &'static str,
        /// The length its specification asks for, in bytes.
        expected: usize,
        /// The length found, in bytes.
        found: usize,
    },
    /// The key is no usable point of its curve.
    #[error("the key's point is {0}")]
    BadPoint(&'static str),
    /// The curve inside an ECDSA key is not the one that its type names.
    #[error("the key is on the curve {found}, its type says {expected}")]
    WrongCurve {
        /// The curve of the key's type.
        expected: &'static str,
        /// The curve the key names.
        found: String,
    },
    /// The secret number of an ECDSA key is zero or not below the order of its curve.
    #[error("the key's secret number is out of range")]
    BadScalar,
    /// An RSA modulus is not of a size that is taken ([`MIN_MODULUS_BITS`](crate::algorithm::rsa::MIN_MODULUS_BITS) to
    /// [`MAX_MODULUS_BITS`](crate::algorithm::rsa::MAX_MODULUS_BITS)).
    #[error("an RSA key of {0} bits is not accepted, only 1024 to 16384 are")]
    RsaSize(usize),
    /// A key is sound, but of less bits than whoever judges it asks for (`RequiredRSASize`).
    #[error("the RSA key {fingerprint} of {bits} bits is too small: {required} are required")]
    RsaTooSmall {
        /// Which key.
        fingerprint: Fingerprint,
        /// The size of its modulus, in bits.
        bits: usize,
        /// The smallest size that would do, in bits.
        required: usize,
    },
    /// A number of an RSA key cannot be one of a sound key.
    #[error("the RSA key's {0}")]
    BadRsaNumber(&'static str),
    /// A private RSA key that cannot be used for signing, in the words of the library.
    #[error("the private RSA key cannot be used ({0})")]
    UnusableRsaKey(String),
    /// The public half of a private key is not the one that belongs to it.
    #[error("the public and private halves do not belong together")]
    HalvesDiffer,
    /// The blob is longer than [`MAX_BLOB_BYTES`](crate::MAX_BLOB_BYTES).
    #[error("the key has {bytes} bytes, more than the {limit} allowed")]
    TooLong {
        /// The length found, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A key line ends before this field.
    #[error("the line has no {0}")]
    MissingField(&'static str),
    /// The base64 of a key line does not decode.
    #[error("the key is not valid base64")]
    BadBase64,
    /// The type written before a key is not the one inside it.
    #[error("the line says {stated} but holds an {found} key")]
    TypeMismatch {
        /// The type the line names.
        stated: String,
        /// The type inside the blob.
        found: String,
    },
}

/// Why a signature was not accepted, or not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature blob does not decode (RFC 4253 §6.6).
    #[error("the signature is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The signature names another algorithm than the one agreed on.
    #[error("the signature says it is {found}, agreed was {expected}")]
    WrongAlgorithm {
        /// The name that had to stand in the blob.
        expected: &'static str,
        /// The name that stands there.
        found: String,
    },
    /// The key cannot be used with the algorithm.
    #[error("a key of type {key_type} cannot be used with {algorithm}")]
    WrongKeyType {
        /// The algorithm asked for.
        algorithm: &'static str,
        /// The type of the key.
        key_type: String,
    },
    /// The signature has a length its algorithm does not allow.
    #[error("a signature of this algorithm has {expected} bytes, this one {found}")]
    WrongLength {
        /// The length its specification asks for, in bytes.
        expected: usize,
        /// The length found, in bytes.
        found: usize,
    },
    /// The signature is not one of this key over this message, or is not in canonical form.
    #[error("the signature does not match")]
    Invalid,
    /// The signature is right, but the owner of the security key did not touch it.
    #[error("the security key was not touched")]
    NotTouched,
    /// The signature is right, but the security key did not make sure who its owner is.
    #[error("the security key did not verify its owner")]
    NotVerified,
    /// A [`Signer`](crate::Signer) other than a plain key could not sign: its own words.
    #[error("the signer could not sign: {0}")]
    SignerFailed(String),
}

/// Why a private key file could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The text holds no private key in any form.
    #[error("this is not a private key")]
    NotAPrivateKey,
    /// A private key in a form that is not read yet.
    #[error("private keys in {0} form are not supported; `ssh-keygen -p` rewrites them")]
    UnsupportedFormat(String),
    /// The key is of a type no registered algorithm handles.
    #[error("keys of type {0} are not supported")]
    UnsupportedKeyType(String),
    /// The key is sound for all that is known, but of a size that is not accepted.
    #[error(transparent)]
    RefusedSize(KeyError),
    /// The file is encrypted with a cipher that is not registered.
    #[error("the file is encrypted with {0}, which is not supported")]
    UnsupportedCipher(String),
    /// The file's key comes from a passphrase in a way that is not known here.
    #[error("the passphrase is hashed with {0}, which is not supported")]
    UnsupportedKdf(String),
    /// The file is encrypted and no passphrase was given.
    #[error("the key is encrypted: a passphrase is needed")]
    PassphraseNeeded,
    /// The passphrase does not open the file. With a cipher that checks integrity (AES-GCM, ChaCha20-Poly1305), damage
    /// to the encrypted part looks the same.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// A file is to be encrypted with an empty passphrase, which would protect nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The file asks for more work than [`MAX_BCRYPT_ROUNDS`](crate::MAX_BCRYPT_ROUNDS).
    #[error("the file asks for {rounds} bcrypt rounds, more than the {limit} allowed")]
    TooManyRounds {
        /// What the file asks for.
        rounds: u32,
        /// The limit.
        limit: u32,
    },
    /// The file holds no key or several. Nothing says which of several is meant, so none is taken; OpenSSH, too,
    /// writes and reads files of exactly one key.
    #[error("the file holds {0} keys instead of one")]
    KeyCount(u32),
    /// The file is longer than [`MAX_KEY_FILE_BYTES`](crate::MAX_KEY_FILE_BYTES).
    #[error("the file has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The length found, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The file is a private key, but a broken one.
    #[error("the key file is malformed: {0}")]
    Malformed(#[from] FileProblem),
}

/// What is broken in a private key file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// The lines around the base64, or the base64 itself.
    #[error("{0}")]
    Armour(&'static str),
    /// The decoded bytes do not start with `openssh-key-v1`.
    #[error("it does not start with openssh-key-v1")]
    Magic,
    /// A field does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Only one of cipher and key derivation is `none`, or options stand where none may.
    #[error("its cipher and its key derivation do not belong together")]
    KdfMismatch,
    /// The passphrase would be hashed zero times.
    #[error("it asks for zero bcrypt rounds")]
    ZeroRounds,
    /// The salt for the passphrase is empty.
    #[error("its bcrypt salt is empty")]
    EmptySalt,
    /// The private section is not a whole number of cipher blocks.
    #[error("its private section of {bytes} bytes is not made of blocks of {block_bytes}")]
    SectionLength {
        /// The section's length, in bytes.
        bytes: usize,
        /// The cipher's block, in bytes.
        block_bytes: usize,
    },
    /// Bytes stand behind the last field.
    #[error("{0} bytes stand behind its last field")]
    TrailingBytes(usize),
    /// The two check numbers of an unencrypted file differ (those of an encrypted one mean a wrong passphrase).
    #[error("its check numbers differ")]
    CheckNumbers,
    /// The padding is not 1, 2, 3….
    #[error("its padding is wrong")]
    Padding,
    /// The public key in the clear is not the one that belongs to the private key.
    #[error("its public and private halves do not belong together")]
    PublicMismatch,
    /// The key inside is not valid.
    #[error(transparent)]
    Key(KeyError),
}

impl From<DecodeError> for KeyFileError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(FileProblem::Decode(error))
    }
}

impl From<KeyError> for KeyFileError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::UnsupportedType(name) => Self::UnsupportedKeyType(name),
            KeyError::HalvesDiffer => Self::Malformed(FileProblem::PublicMismatch),
            KeyError::RsaSize(_) | KeyError::RsaTooSmall { .. } | KeyError::UnusableRsaKey(_) => {
                Self::RefusedSize(error)
            }
            other => Self::Malformed(FileProblem::Key(other)),
        }
    }
}

/// A line of `known_hosts` or `authorized_keys` that was not understood, and therefore has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// The line's number, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: LineProblem,
}

/// Why a line of `known_hosts` or `authorized_keys` has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// The line is longer than [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES).
    #[error("{0} bytes are too long for a line")]
    TooLong(usize),
    /// The line holds a NUL byte, at which programs disagree about where it ends.
    #[error("it holds a NUL byte")]
    Nul,
    /// The line starts with a marker other than `@revoked` and `@cert-authority`.
    #[error("the marker {0} is not known")]
    UnknownMarker(String),
    /// The host names of a `known_hosts` line are not well formed.
    #[error("the host names are {0}")]
    BadHosts(&'static str),
    /// The key of the line is missing or wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An option is not known here: what it would restrict could not be enforced, so the line grants nothing.
    #[error("the option {0} is not known, or not in this form")]
    UnknownOption(String),
    /// An option is known but written wrongly.
    #[error("the option {option} {problem}")]
    BadOption {
        /// The option's name.
        option: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The list of options is not well formed.
    #[error("the options are {0}")]
    BadOptions(&'static str),
}

/// A name that someone else chose, fit for an error message: printable, and not longer than a name may be.
pub(crate) fn shown(name: &[u8]) -> String {
    const SHOWN_BYTES: usize = 64;
    match name.get(..SHOWN_BYTES) {
        Some(start) if name.len() > SHOWN_BYTES => format!("{}…", start.escape_ascii()),
        _ => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_shortened_and_escaped() {
        for (name, expected) in [
            (&b"ssh-rsa"[..], "ssh-rsa".to_owned()),
            (b"a\x1b[2J", "a\\x1b[2J".to_owned()),
            (&[b'x'; 65], format!("{}…", "x".repeat(64))),
        ] {
            assert_eq!(shown(name), expected);
        }
    }
}
