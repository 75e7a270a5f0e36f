//! `bcrypt`, the way from a passphrase to the key of a private key file (OpenSSH `PROTOCOL.key` §2).
//!
//! ```text
//! kdf options   string salt · uint32 rounds
//! ```

use zeroize::Zeroizing;

use crate::wire::{Reader, Writer};
use crate::{FileProblem, KeyFileError};

/// Rounds in the files that are written: what OpenSSH 10 writes. On a machine of 2026 about a fifth of a second.
pub const BCRYPT_ROUNDS: u32 = 24;

/// Most rounds that are done for a file that is read. The number stands in the file, and 2³¹ of them would take months;
/// this many take some seconds, and are forty times what `ssh-keygen` writes unless told otherwise.
pub const MAX_BCRYPT_ROUNDS: u32 = 1024;

pub(crate) const NAME: &str = "bcrypt";
const SALT_BYTES: usize = 16;

/// The options of the key derivation: what stands in the file.
pub(crate) struct Bcrypt {
    salt: Vec<u8>,
    rounds: u32,
}

impl Bcrypt {
    /// Options for a new file.
    pub(crate) fn new(rng: &mut dyn crate::wire::rand_core::CryptoRng) -> Self {
        let mut salt = vec![0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        Self {
            salt,
            rounds: BCRYPT_ROUNDS,
        }
    }

    /// Reads the options, and refuses at once those that ask for nothing or for too much.
    pub(crate) fn parse(options: &[u8]) -> Result<Self, KeyFileError> {
        let mut reader = Reader::new(options);
        let salt = reader.string()?;
        let rounds = reader.uint32()?;
        reader.finish()?;
        if salt.is_empty() {
            return Err(FileProblem::EmptySalt.into());
        }
        if rounds == 0 {
            return Err(FileProblem::ZeroRounds.into());
        }
        if rounds > MAX_BCRYPT_ROUNDS {
            return Err(KeyFileError::TooManyRounds {
                rounds,
                limit: MAX_BCRYPT_ROUNDS,
            });
        }
        Ok(Self {
            salt: salt.to_vec(),
            rounds,
        })
    }

    /// Writes the options.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.string(&self.salt);
        writer.uint32(self.rounds);
    }

    /// `count` bytes of key material. An empty passphrase opens nothing: no file is encrypted with one.
    pub(crate) fn derive(&self, passphrase: &[u8], count: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let mut out = Zeroizing::new(vec![0; count]);
        bcrypt_pbkdf::bcrypt_pbkdf(passphrase, &self.salt, self.rounds, &mut out)
            .map_err(|_| KeyFileError::WrongPassphrase)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(salt: &[u8], rounds: u32) -> Vec<u8> {
        let mut out = Vec::new();
        Bcrypt {
            salt: salt.to_vec(),
            rounds,
        }
        .write(&mut Writer::new(&mut out));
        out
    }

    #[test]
    fn only_sane_options_are_taken() {
        for (salt, rounds, expected) in [
            (&b"salt"[..], 1, Ok(())),
            (b"salt", MAX_BCRYPT_ROUNDS, Ok(())),
            (b"salt", 0, Err(KeyFileError::Malformed(FileProblem::ZeroRounds))),
            (b"", 16, Err(KeyFileError::Malformed(FileProblem::EmptySalt))),
            (
                b"salt",
                1025,
                Err(KeyFileError::TooManyRounds {
                    rounds: 1025,
                    limit: 1024,
                }),
            ),
            (
                b"salt",
                1 << 31,
                Err(KeyFileError::TooManyRounds {
                    rounds: 1 << 31,
                    limit: 1024,
                }),
            ),
            (
                b"salt",
                u32::MAX,
                Err(KeyFileError::TooManyRounds {
                    rounds: u32::MAX,
                    limit: 1024,
                }),
            ),
        ] {
            assert_eq!(Bcrypt::parse(&options(salt, rounds)).map(|_| ()), expected);
        }
        let mut long = options(b"salt", 16);
        long.push(0);
        assert!(matches!(
            Bcrypt::parse(&long).map(|_| ()),
            Err(KeyFileError::Malformed(FileProblem::Decode(_)))
        ));
    }

    #[test]
    fn an_empty_passphrase_derives_nothing() {
        let bcrypt = Bcrypt {
            salt: b"salt".to_vec(),
            rounds: 1,
        };
        assert_eq!(bcrypt.derive(b"", 48), Err(KeyFileError::WrongPassphrase));
        assert_ne!(
            *bcrypt.derive(b"a", 48).unwrap(),
            *bcrypt.derive(b"b", 48).unwrap()
        );
    }
}
