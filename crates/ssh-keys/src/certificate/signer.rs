//! A signer that shows a certificate instead of its bare key.

use super::{Certificate, CertificateError};
use crate::{PublicKey, SignatureAlgorithm, SignatureError, Signer, algorithm};

/// A [`Signer`] together with a certificate for its key.
///
/// It knows the algorithms of certificates only: a server that wants to be believed by clients without the authority too
/// has the plain signer beside it.
#[derive(Clone)]
pub struct CertifiedSigner<S> {
    signer: S,
    certificate: Certificate,
    algorithms: Vec<&'static SignatureAlgorithm>,
}

impl<S: Signer> CertifiedSigner<S> {
    /// Puts them together.
    ///
    /// # Errors
    /// [`CertificateError::OtherKey`] if the certificate is for another key, [`CertificateError::NoAlgorithm`] if the
    /// signer knows no algorithm that goes with it.
    pub fn new(signer: S, certificate: Certificate) -> Result<Self, CertificateError> {
        if certificate.key() != signer.public_key() {
            return Err(CertificateError::OtherKey {
                certified: certificate.key().fingerprint(),
                key: signer.public_key().fingerprint(),
            });
        }
        let signs = |each: &&SignatureAlgorithm| signer.algorithms().contains(&each.plain());
        let algorithms: Vec<_> = algorithm::for_certificate_type(certificate.certificate_type())
            .filter(signs)
            .collect();
        if algorithms.is_empty() {
            return Err(CertificateError::NoAlgorithm(certificate.certificate_type()));
        }
        Ok(Self {
            signer,
            certificate,
            algorithms,
        })
    }
}

impl<S: Signer> Signer for CertifiedSigner<S> {
    fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    fn certificate(&self) -> Option<&Certificate> {
        Some(&self.certificate)
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        &self.algorithms
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.signer.sign(algorithm.plain(), message)
    }
}
