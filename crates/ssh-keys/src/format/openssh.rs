//! `OPENSSH PRIVATE KEY` files (OpenSSH `PROTOCOL.key`), inside their armour.
//!
//! ```text
//! byte[15]  "openssh-key-v1" NUL
//! string    cipher          "none" or the name of a packet cipher
//! string    kdf             "none" or "bcrypt"
//! string    kdf options     empty, or salt and rounds
//! uint32    number of keys  1
//! string    public key      in the clear, so that a key can be offered before its passphrase is asked for
//! string    private section encrypted
//! byte[…]   tag             of ciphers that make one
//!
//! private section:
//! uint32    check           twice the same: it tells a wrong passphrase from a right one
//! uint32    check
//! string    key type        then the fields of that type, see the algorithm's file
//! string    comment
//! byte[…]   padding         1, 2, 3 … to a whole number of blocks
//! ```

use zeroize::Zeroizing;

use super::bcrypt_kdf::{self, Bcrypt};
use crate::error::shown;
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Cipher, Reader, Writer, cipher};
use crate::{FileProblem, KeyError, KeyFileError, PrivateKey, PublicKey, algorithm};

const MAGIC: &[u8; 15] = b"openssh-key-v1\0";
const NONE: &str = "none";
/// What files are encrypted with: OpenSSH's own choice, readable by everything that reads the form at all.
const CIPHER: &str = "aes256-ctr";
/// Blocks of the private section when it is not encrypted, in bytes.
const PLAIN_BLOCK_BYTES: usize = 8;

/// A key file taken apart, its private section still as it stands in the file.
pub(crate) struct File<'a> {
    /// The public half, which stands in the clear.
    pub(crate) public: PublicKey,
    cipher: &'a [u8],
    kdf: &'a [u8],
    kdf_options: &'a [u8],
    section: &'a [u8],
    tag: &'a [u8],
}

impl<'a> File<'a> {
    /// Takes the decoded armour apart.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, KeyFileError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
            return Err(FileProblem::Magic.into());
        }
        let cipher = reader.string()?;
        let kdf = reader.string()?;
        let kdf_options = reader.string()?;
        let keys = reader.uint32()?;
        if keys != 1 {
            return Err(KeyFileError::KeyCount(keys));
        }
        let public = PublicKey::from_blob(reader.string()?)?;
        let section = reader.string()?;
        Ok(Self {
            public,
            cipher,
            kdf,
            kdf_options,
            section,
            tag: reader.rest(),
        })
    }

    /// Reads the private section, decrypting it where it is encrypted.
    pub(crate) fn open(&self, passphrase: Option<&[u8]>) -> Result<PrivateKey, KeyFileError> {
        let encrypted = self.cipher != NONE.as_bytes();
        let section = if encrypted {
            self.decrypted(passphrase)?
        } else {
            self.plain()?
        };
        let mut reader = Reader::new(&section);
        if reader.uint32()? != reader.uint32()? {
            let plain = FileProblem::CheckNumbers.into();
            return Err(if encrypted {
                KeyFileError::WrongPassphrase
            } else {
                plain
            });
        }
        let key = read_key(&mut reader)?;
        check_padding(reader.rest())?;
        if *key.public() == self.public {
            Ok(key)
        } else {
            Err(FileProblem::PublicMismatch.into())
        }
    }

    fn plain(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        if self.kdf != NONE.as_bytes() || !self.kdf_options.is_empty() {
            return Err(FileProblem::KdfMismatch.into());
        }
        self.check_lengths(PLAIN_BLOCK_BYTES, 0)?;
        Ok(Zeroizing::new(self.section.to_vec()))
    }

    fn decrypted(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let cipher = std::str::from_utf8(self.cipher)
            .ok()
            .and_then(cipher::find)
            .ok_or_else(|| KeyFileError::UnsupportedCipher(shown(self.cipher)))?;
        if self.kdf == NONE.as_bytes() {
            return Err(FileProblem::KdfMismatch.into());
        }
        if self.kdf != bcrypt_kdf::NAME.as_bytes() {
            return Err(KeyFileError::UnsupportedKdf(shown(self.kdf)));
        }
        let kdf = Bcrypt::parse(self.kdf_options)?;
        self.check_lengths(cipher.block_bytes, cipher.tag_bytes)?;
        let passphrase = passphrase.ok_or(KeyFileError::PassphraseNeeded)?;
        let secret = kdf.derive(passphrase, cipher.key_bytes.saturating_add(cipher.iv_bytes))?;
        let (key, iv) = halves(&secret, cipher);
        let mut section = Zeroizing::new(self.section.to_vec());
        cipher
            .decrypt_file(key, iv, &mut section, self.tag)
            .map_err(|_| KeyFileError::WrongPassphrase)?;
        Ok(section)
    }

    /// The private section is made of whole blocks, and behind it stands the tag and nothing else.
    fn check_lengths(&self, block_bytes: usize, tag_bytes: usize) -> Result<(), FileProblem> {
        let bytes = self.section.len();
        if bytes == 0 || !bytes.is_multiple_of(block_bytes) {
            return Err(FileProblem::SectionLength { bytes, block_bytes });
        }
        let mut behind = Reader::new(self.tag);
        behind.take(tag_bytes)?;
        match behind.remaining() {
            0 => Ok(()),
            trailing => Err(FileProblem::TrailingBytes(trailing)),
        }
    }
}

/// The bytes of a key file: the mirror image of [`File`].
pub(crate) fn encode(
    key: &PrivateKey,
    passphrase: Option<&[u8]>,
    rng: &mut dyn CryptoRng,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let protection = match passphrase {
        None => None,
        Some([]) => return Err(KeyFileError::EmptyPassphrase),
        Some(passphrase) => {
            let cipher =
                cipher::find(CIPHER).ok_or_else(|| KeyFileError::UnsupportedCipher(CIPHER.to_owned()))?;
            Some((passphrase, cipher, Bcrypt::new(rng)))
        }
    };
    let block_bytes = protection
        .as_ref()
        .map_or(PLAIN_BLOCK_BYTES, |(_, cipher, _)| cipher.block_bytes);
    let mut section = write_section(key, block_bytes, rng);
    let mut kdf_options = Vec::new();
    let mut tag = Vec::new();
    if let Some((passphrase, cipher, kdf)) = &protection {
        let secret = kdf.derive(passphrase, cipher.key_bytes.saturating_add(cipher.iv_bytes))?;
        let (key, iv) = halves(&secret, cipher);
        tag = cipher
            .encrypt_file(key, iv, &mut section)
            .map_err(|_| KeyFileError::UnsupportedCipher(cipher.name.to_owned()))?;
        kdf.write(&mut Writer::new(&mut kdf_options));
    }
    let mut out = Zeroizing::new(Vec::with_capacity(
        section.len().saturating_mul(2).saturating_add(1024),
    ));
    let mut writer = Writer::new(&mut out);
    writer.raw(MAGIC);
    writer.string(
        protection
            .as_ref()
            .map_or(NONE, |(_, cipher, _)| cipher.name)
            .as_bytes(),
    );
    writer.string(protection.as_ref().map_or(NONE, |_| bcrypt_kdf::NAME).as_bytes());
    writer.string(&kdf_options);
    writer.uint32(1);
    writer.string(key.public().blob());
    writer.string(&section);
    writer.raw(&tag);
    Ok(out)
}

/// The key and the initial vector a passphrase gave.
fn halves<'a>(secret: &'a [u8], cipher: &Cipher) -> (&'a [u8], &'a [u8]) {
    secret.split_at_checked(cipher.key_bytes).unwrap_or_default()
}

fn read_key(reader: &mut Reader<'_>) -> Result<PrivateKey, KeyFileError> {
    let key_type = reader.string()?;
    let algorithm = std::str::from_utf8(key_type)
        .ok()
        .and_then(|name| algorithm::for_key_type(name).next())
        .ok_or_else(|| KeyError::UnsupportedType(shown(key_type)))?;
    let material = (algorithm.read_private)(reader)?;
    let comment = String::from_utf8_lossy(reader.string()?).into_owned();
    Ok(PrivateKey::from_material(material, comment))
}

/// The private section before it is encrypted, in a vector that never has to grow.
fn write_section(key: &PrivateKey, block_bytes: usize, rng: &mut dyn CryptoRng) -> Zeroizing<Vec<u8>> {
    // A private RSA key has less than four times the bytes of its public half; Ed25519's fit into what is added.
    let room = key
        .public()
        .blob()
        .len()
        .saturating_mul(4)
        .saturating_add(key.comment().len())
        .saturating_add(1024);
    let mut section = Zeroizing::new(Vec::with_capacity(room));
    let mut check = [0; 4];
    rng.fill_bytes(&mut check);
    let mut writer = Writer::new(&mut section);
    writer.raw(&check);
    writer.raw(&check);
    writer.string(key.public().key_type().as_bytes());
    key.material().write(&mut writer);
    writer.string(key.comment().as_bytes());
    for byte in 1.. {
        if section.len().is_multiple_of(block_bytes) {
            break;
        }
        section.push(byte);
    }
    section
}

/// The padding counts up from 1. Its length was settled with the section's.
fn check_padding(padding: &[u8]) -> Result<(), FileProblem> {
    let expected = 1..=u8::MAX;
    if padding.len() <= usize::from(u8::MAX) && padding.iter().copied().eq(expected.take(padding.len())) {
        Ok(())
    } else {
        Err(FileProblem::Padding)
    }
}
