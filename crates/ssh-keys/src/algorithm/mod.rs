//! The registry of signature algorithms: one file and one line in [`ALL`] each.
//!
//! An algorithm is more than a key type: an RSA key signs under several names, and a certificate is offered under one
//! name and signs under another. Hence three names in a [`SignatureAlgorithm`]: the one that is negotiated, the one that
//! must stand in the signature, and the type of the key.

pub mod certificate;
pub mod ecdsa;
pub mod ed25519;
pub mod rsa;
pub mod security_key;

use std::fmt;
use std::sync::Arc;

pub use certificate::{
    ECDSA_NISTP256_CERT, ECDSA_NISTP384_CERT, ECDSA_NISTP521_CERT, ED25519_CERT, RSA_SHA2_256_CERT,
    RSA_SHA2_512_CERT, SK_ECDSA_NISTP256_CERT, SK_ED25519_CERT,
};
pub use ecdsa::{ECDSA_NISTP256, ECDSA_NISTP384, ECDSA_NISTP521};
pub use ed25519::ED25519;
pub use rsa::{RSA_SHA2_256, RSA_SHA2_512, SSH_RSA};
pub use security_key::{SK_ECDSA_NISTP256, SK_ED25519};

use crate::wire::{Reader, Tier, Writer};
use crate::{Demands, KeyError, PublicKey, SecurityKeyUse, SignatureError};

/// Every algorithm that stands, the most preferred first within its tier. Those of certificates come first: a host that
/// can show one is believed by those who know its authority alone, and by everybody else as if it had shown its key.
pub static ALL: &[&SignatureAlgorithm] = &[
    &certificate::ED25519_CERT,
    &certificate::ECDSA_NISTP256_CERT,
    &certificate::ECDSA_NISTP384_CERT,
    &certificate::ECDSA_NISTP521_CERT,
    &certificate::SK_ED25519_CERT,
    &certificate::SK_ECDSA_NISTP256_CERT,
    &certificate::RSA_SHA2_512_CERT,
    &certificate::RSA_SHA2_256_CERT,
    &ed25519::ED25519,
    &ecdsa::ECDSA_NISTP256,
    &ecdsa::ECDSA_NISTP384,
    &ecdsa::ECDSA_NISTP521,
    &security_key::SK_ED25519,
    &security_key::SK_ECDSA_NISTP256,
    &rsa::RSA_SHA2_512,
    &rsa::RSA_SHA2_256,
    &rsa::SSH_RSA,
];

/// The algorithm negotiated under `name`.
pub fn find(name: &str) -> Option<&'static SignatureAlgorithm> {
    ALL.iter().copied().find(|algorithm| algorithm.name == name)
}

/// The algorithms a key of type `key_type` can be used with by itself, the preferred one first.
pub fn for_key_type(key_type: &str) -> impl Iterator<Item = &'static SignatureAlgorithm> {
    ALL.iter()
        .copied()
        .filter(move |algorithm| !algorithm.is_certificate() && algorithm.key_type == key_type)
}

/// The algorithms of certificates of this type, the preferred one first.
pub fn for_certificate_type(certificate_type: &str) -> impl Iterator<Item = &'static SignatureAlgorithm> {
    ALL.iter()
        .copied()
        .filter(move |algorithm| algorithm.is_certificate() && algorithm.key_type == certificate_type)
}

/// What `plain` is called together with a certificate, if that is possible.
pub fn with_certificate(plain: &SignatureAlgorithm) -> Option<&'static SignatureAlgorithm> {
    ALL.iter()
        .copied()
        .find(|algorithm| algorithm.certified == Some(plain))
}

/// A signature algorithm: its names, its standing, and how its keys are read.
pub struct SignatureAlgorithm {
    /// The name that is negotiated and sent (`ssh-ed25519`).
    pub name: &'static str,
    /// The name that stands in a signature blob; it differs from [`name`](Self::name) for certificates only.
    pub signature_name: &'static str,
    /// The type of the keys or certificates it works with: the name at the start of their blobs.
    pub key_type: &'static str,
    /// Whether it is offered by default.
    pub tier: Tier,
    /// For the algorithm of a certificate: what its key signs with. `None`: the key is shown by itself.
    pub certified: Option<&'static SignatureAlgorithm>,
    /// Reads what follows the type in a public key blob; the caller checks that nothing is left.
    pub(crate) read_public: fn(&mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError>,
    /// Reads what follows the type in the private section of a key file (`PROTOCOL.key` §3).
    pub(crate) read_private: fn(&mut Reader<'_>) -> Result<Box<dyn PrivateMaterial>, KeyError>,
}

impl SignatureAlgorithm {
    /// Whether the key is shown in a certificate.
    pub const fn is_certificate(&self) -> bool {
        self.certified.is_some()
    }

    /// What the key signs with: itself, or for a certificate the algorithm of the key in it.
    pub fn plain(&self) -> &Self {
        self.certified.unwrap_or(self)
    }
}

impl fmt::Debug for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for SignatureAlgorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for SignatureAlgorithm {}

/// What a signature blob holds besides the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignatureParts<'a> {
    /// The string that is the signature.
    pub(crate) bytes: &'a [u8],
    /// What follows it, for algorithms of security keys.
    pub(crate) behind: &'a [u8],
}

/// The decoded content of a public key: ready to verify.
pub(crate) trait PublicMaterial: Send + Sync {
    /// The size that people know the key by, in bits.
    fn bits(&self) -> usize;

    /// How many bytes stand in a signature blob behind its two strings.
    fn behind_bytes(&self) -> usize {
        0
    }

    /// Checks the bytes inside a signature blob. The caller has matched the algorithm with the key's type and with the
    /// name in the blob, and the length of what stands behind with [`Self::behind_bytes`].
    fn verify(
        &self,
        algorithm: &SignatureAlgorithm,
        message: &[u8],
        signature: &SignatureParts<'_>,
        demands: &Demands,
    ) -> Result<Option<SecurityKeyUse>, SignatureError>;
}

/// The content of a private key: wipes itself when dropped.
pub(crate) trait PrivateMaterial: Send + Sync {
    /// The algorithms it can sign with, the preferred one first.
    fn algorithms(&self) -> &'static [&'static SignatureAlgorithm];
    /// The public half, computed from the private one.
    fn public(&self) -> PublicKey;
    /// Writes what stands between type and comment in the private section of a key file.
    fn write(&self, writer: &mut Writer<'_>);
    /// The bytes inside a signature blob over `message`.
    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (index, algorithm) in ALL.iter().enumerate() {
            assert_eq!(find(algorithm.name), Some(*algorithm));
            assert!(
                ALL[..index].iter().all(|other| other.name != algorithm.name),
                "{algorithm} stands twice"
            );
            let plain = for_key_type(algorithm.key_type).any(|other| other == *algorithm);
            let certified = for_certificate_type(algorithm.key_type).any(|other| other == *algorithm);
            assert_eq!(
                (plain, certified),
                (!algorithm.is_certificate(), algorithm.is_certificate())
            );
        }
        assert_eq!(find("ssh-dss"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn every_algorithm_but_those_of_sha_1_has_one_with_a_certificate() {
        for algorithm in ALL {
            let expected = match (algorithm.is_certificate(), algorithm.tier) {
                (false, Tier::Recommended | Tier::Compatible) => {
                    let name = algorithm.name.trim_end_matches("@openssh.com");
                    Some(format!("{name}-cert-v01@openssh.com"))
                }
                _ => None,
            };
            let found = with_certificate(algorithm);
            assert_eq!(found.map(|each| each.name.to_owned()), expected, "{algorithm}");
            if let Some(found) = found {
                assert_eq!(found.plain(), *algorithm);
                assert_eq!(found.signature_name, algorithm.signature_name);
                assert_eq!(found.tier, algorithm.tier);
            }
        }
    }
}
