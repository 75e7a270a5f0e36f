//! Private keys: made, read from files, and used to sign.

use std::fmt;

use zeroize::Zeroizing;

use crate::algorithm::{PrivateMaterial, ecdsa, ed25519, rsa};
use crate::format::{openssh, pem};
use crate::wire::rand_core::CryptoRng;
use crate::{KeyError, KeyFileError, PublicKey, SignatureAlgorithm, SignatureError, Signer, signature};

/// A private key with its comment. It wipes itself when dropped, and `Debug` shows its public half only.
pub struct PrivateKey {
    public: PublicKey,
    comment: String,
    material: Box<dyn PrivateMaterial>,
}

/// A kind of key that can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// `ssh-ed25519`: what to take where nothing speaks against it.
    Ed25519,
    /// `ecdsa-sha2-nistp256`.
    EcdsaP256,
    /// `ecdsa-sha2-nistp384`.
    EcdsaP384,
    /// `ecdsa-sha2-nistp521`.
    EcdsaP521,
}

impl PrivateKey {
    /// A new key of this kind from the generator's next bytes: as many as a key of the kind has, and more only in the
    /// rare case that they are no key (ECDSA).
    ///
    /// The comment is what stands behind the key in its files: no part of the key, and usually `user@host`.
    pub fn generate(kind: KeyKind, rng: &mut dyn CryptoRng, comment: &str) -> Self {
        let material = match kind {
            KeyKind::Ed25519 => ed25519::generate(rng),
            KeyKind::EcdsaP256 => ecdsa::generate::<ecdsa::P256>(rng),
            KeyKind::EcdsaP384 => ecdsa::generate::<ecdsa::P384>(rng),
            KeyKind::EcdsaP521 => ecdsa::generate::<ecdsa::P521>(rng),
        };
        Self::from_material(material, comment.to_owned())
    }

    /// A new Ed25519 key from the generator's next 32 bytes; see [`Self::generate`].
    pub fn generate_ed25519(rng: &mut dyn CryptoRng, comment: &str) -> Self {
        Self::generate(KeyKind::Ed25519, rng, comment)
    }

    /// A new RSA key of `bits` bits, with as many bytes of the generator as it takes to find two primes. 3072 bits take
    /// seconds, 16384 may take an hour: call this where waiting is allowed.
    ///
    /// # Errors
    /// [`KeyError::RsaSize`] for a size that is not between
    /// [`MIN_MODULUS_BITS`](crate::algorithm::rsa::MIN_MODULUS_BITS) and
    /// [`MAX_MODULUS_BITS`](crate::algorithm::rsa::MAX_MODULUS_BITS).
    pub fn generate_rsa(bits: usize, rng: &mut dyn CryptoRng, comment: &str) -> Result<Self, KeyError> {
        let material = rsa::generate(bits, rng)?;
        Ok(Self::from_material(material, comment.to_owned()))
    }

    /// Reads a private key file of OpenSSH's form (`PROTOCOL.key`), decrypting it with the passphrase where it is
    /// encrypted; for a file that is not, the passphrase is ignored.
    ///
    /// The bcrypt work is the file's to choose up to [`MAX_BCRYPT_ROUNDS`](crate::MAX_BCRYPT_ROUNDS): from a tenth of a
    /// second to some seconds, so call this where waiting is allowed.
    pub fn from_openssh(text: &[u8], passphrase: Option<&[u8]>) -> Result<Self, KeyFileError> {
        let bytes = pem::decode(text)?;
        let file = openssh::File::parse(&bytes)?;
        file.open(passphrase)
    }

    /// The public half that stands in the clear in a private key file of OpenSSH's form: no passphrase is needed.
    ///
    /// Whether it belongs to the private half is not known before the file is decrypted; [`Self::from_openssh`]
    /// checks that.
    pub fn public_from_openssh(text: &[u8]) -> Result<PublicKey, KeyFileError> {
        let bytes = pem::decode(text)?;
        Ok(openssh::File::parse(&bytes)?.public)
    }

    /// The key as the text of a private key file of OpenSSH's form. With a passphrase it is encrypted with `aes256-ctr`
    /// under [`BCRYPT_ROUNDS`](crate::BCRYPT_ROUNDS) of bcrypt; the generator gives the salt and the check number.
    ///
    /// Whoever writes the file must create it readable by its owner only, before any content is in it.
    pub fn to_openssh(
        &self,
        passphrase: Option<&[u8]>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Zeroizing<String>, KeyFileError> {
        let bytes = openssh::encode(self, passphrase, rng)?;
        Ok(pem::encode(&bytes))
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The comment, which may be empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Replaces the comment.
    pub fn set_comment(&mut self, comment: &str) {
        comment.clone_into(&mut self.comment);
    }

    /// The algorithms this key can sign with, the preferred one first and legacy ones last.
    pub fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        self.material.algorithms()
    }

    /// The signature blob (`string name`, `string signature`) over `message`.
    pub fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        if !self.material.algorithms().contains(&algorithm) {
            let key_type = self.public.key_type().to_owned();
            return Err(SignatureError::WrongKeyType {
                algorithm: algorithm.name,
                key_type,
            });
        }
        let bytes = self.material.sign(algorithm, message)?;
        Ok(signature::blob(algorithm.signature_name, &bytes))
    }

    /// The key whose secret part is `material`; its public half is computed.
    pub(crate) fn from_material(material: Box<dyn PrivateMaterial>, comment: String) -> Self {
        Self {
            public: material.public(),
            comment,
            material,
        }
    }

    /// The secret part, for writing.
    pub(crate) fn material(&self) -> &dyn PrivateMaterial {
        self.material.as_ref()
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        self.public()
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        self.algorithms()
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.sign(algorithm, message)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PrivateKey({} {}, …)",
            self.public.key_type(),
            self.public.fingerprint()
        )
    }
}
