//! Signatures: their blob (RFC 4253 §6.6), who can make one, and the proof that one was checked.

use std::sync::Arc;

use crate::algorithm::SignatureParts;
use crate::error::shown;
use crate::wire::{Reader, Writer};
use crate::{Certificate, PublicKey, SignatureAlgorithm, SignatureError};

/// Proof that a signature was checked: only [`PublicKey::verify`] makes one, so a step that asks for it cannot be
/// reached by forgetting the check.
#[derive(Debug)]
#[must_use = "the proof is what the next step asks for"]
pub struct SignatureValid(Option<SecurityKeyUse>);

impl SignatureValid {
    /// Called where the signature was found to be valid, and nowhere else.
    pub(crate) const fn checked(made: Option<SecurityKeyUse>) -> Self {
        Self(made)
    }

    /// Whether what the owner of a security key did for the signature is enough. Of other keys nothing is asked.
    ///
    /// # Errors
    /// [`SignatureError::NotTouched`] or [`SignatureError::NotVerified`].
    pub fn meets(&self, demands: &Demands) -> Result<(), SignatureError> {
        self.0.as_ref().map_or(Ok(()), |made| demands.check(made))
    }

    /// What a security key said of the signature it made; `None` for other keys.
    pub const fn security_key(&self) -> Option<&SecurityKeyUse> {
        self.0.as_ref()
    }
}

/// What has to be true of a signature that a security key made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// Its owner touched the device. True by default (`no-touch-required` in `authorized_keys` makes it false).
    pub touch: bool,
    /// The device made sure who its owner is, by a PIN or a finger. False by default (`verify-required`).
    pub verification: bool,
}

impl Default for Demands {
    fn default() -> Self {
        Self {
            touch: true,
            verification: false,
        }
    }
}

impl Demands {
    /// None at all: for who decides later, by [`SignatureValid::meets`].
    pub const NONE: Self = Self {
        touch: false,
        verification: false,
    };

    pub(crate) const fn check(&self, made: &SecurityKeyUse) -> Result<(), SignatureError> {
        if self.touch && !made.touched {
            return Err(SignatureError::NotTouched);
        }
        if self.verification && !made.verified {
            return Err(SignatureError::NotVerified);
        }
        Ok(())
    }
}

/// What a security key says of a signature, signed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityKeyUse {
    /// Its owner touched the device.
    pub touched: bool,
    /// The device made sure who its owner is.
    pub verified: bool,
    /// The device's count of signatures: one that falls hints at a copied device.
    pub counter: u32,
}

/// Something that can sign with one key: a [`PrivateKey`](crate::PrivateKey), or whatever holds the key elsewhere (an
/// agent, a token).
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The certificate that is shown in place of the bare key, if this signer has one.
    fn certificate(&self) -> Option<&Certificate> {
        None
    }

    /// The algorithms this signer can use with its key, the preferred one first and legacy ones last.
    fn algorithms(&self) -> &[&'static SignatureAlgorithm];

    /// The signature blob over `message`.
    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError>;
}

impl<T: Signer + ?Sized> Signer for Arc<T> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn certificate(&self) -> Option<&Certificate> {
        (**self).certificate()
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        (**self).algorithms()
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        (**self).sign(algorithm, message)
    }
}

/// The blob of a signature: `string name`, `string signature`.
pub(crate) fn blob(name: &str, signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.string(name.as_bytes());
    writer.string(signature);
    out
}

/// The algorithm's own bytes inside a signature blob, which must name `expected` and hold exactly `behind` bytes more.
pub(crate) fn unwrap<'a>(
    blob: &'a [u8],
    expected: &'static str,
    behind: usize,
) -> Result<SignatureParts<'a>, SignatureError> {
    let mut reader = Reader::new(blob);
    let name = reader.string()?;
    let bytes = reader.string()?;
    let behind = reader.take(behind)?;
    reader.finish()?;
    if name == expected.as_bytes() {
        Ok(SignatureParts { bytes, behind })
    } else {
        Err(SignatureError::WrongAlgorithm {
            expected,
            found: shown(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DecodeError;

    #[test]
    fn a_blob_holds_a_name_and_bytes_and_nothing_else() {
        let good = blob("ssh-ed25519", b"abc");
        assert_eq!(unwrap(&good, "ssh-ed25519", 0).unwrap().bytes, b"abc");
        let mut long = good.clone();
        long.push(0);
        assert_eq!(
            unwrap(&long, "ssh-ed25519", 0),
            Err(SignatureError::Malformed(DecodeError::TrailingBytes(1)))
        );
        assert_eq!(unwrap(&long, "ssh-ed25519", 1).unwrap().behind, [0]);
        assert!(unwrap(&long, "ssh-ed25519", 2).is_err());
        for cut in 0..good.len() {
            assert!(
                matches!(
                    unwrap(&good[..cut], "ssh-ed25519", 0),
                    Err(SignatureError::Malformed(_))
                ),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_blob_of_another_name_is_refused() {
        for name in [
            "",
            "ssh-rsa",
            "ssh-ed25519 ",
            "SSH-ED25519",
            "ssh-ed25519-cert-v01@openssh.com",
        ] {
            assert!(matches!(
                unwrap(&blob(name, b"abc"), "ssh-ed25519", 0),
                Err(SignatureError::WrongAlgorithm { expected: "ssh-ed25519", found }) if found == name
            ));
        }
    }
}
