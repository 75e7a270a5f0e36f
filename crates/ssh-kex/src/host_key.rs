//! The question whether a host key is trusted, its answer, and the proofs they leave behind.
//!
//! ```text
//! signature over H checked ─▶ SignatureValid ─▶ HostKeyOffer ──accept()──▶ HostKeyAccepted ─▶ NEWKEYS
//!                                                    └───────reject(why)─▶ DISCONNECT 9
//! ```
//!
//! The signature is checked before anybody is asked, and NEWKEYS cannot be written without a [`HostKeyAccepted`]:
//! skipping either check does not compile.

use std::fmt;

use crate::error::Misbehaviour;
use crate::exchange_hash::Digest;
use crate::keys::{Certificate, PublicKey, SignatureAlgorithm, SignatureValid};

/// What a server showed as its host key: the key, and the certificate around it.
pub(crate) struct ShownHostKey {
    pub(crate) key: PublicKey,
    certificate: Option<Certificate>,
}

impl ShownHostKey {
    /// Reads the blob of a key, or of a certificate where the algorithm that was agreed on is one of certificates.
    pub(crate) fn read(blob: &[u8], algorithm: &SignatureAlgorithm) -> Result<Self, Misbehaviour> {
        if !algorithm.is_certificate() {
            let key = PublicKey::from_blob(blob).map_err(|error| Misbehaviour::HostKey(error.to_string()))?;
            return Ok(Self {
                key,
                certificate: None,
            });
        }
        let certificate =
            Certificate::from_blob(blob).map_err(|error| Misbehaviour::HostKey(error.to_string()))?;
        let found = certificate.certificate_type();
        if found != algorithm.key_type {
            let why = format!("a certificate of type {found} cannot be used with {algorithm}");
            return Err(Misbehaviour::HostKey(why));
        }
        Ok(Self {
            key: certificate.key().clone(),
            certificate: Some(certificate),
        })
    }
}

/// A server's host key, proved by its signature over this very exchange. Whether it is the right one is for you to say.
///
/// Dropping the offer leaves the question open: nothing further is sent or taken until it is answered.
#[must_use = "the connection waits until the verdict is handed to `answer`"]
pub struct HostKeyOffer {
    shown: ShownHostKey,
    algorithm: &'static SignatureAlgorithm,
    replaced: Option<PublicKey>,
    exchange_hash: Digest,
    proof: SignatureValid,
}

impl HostKeyOffer {
    pub(crate) const fn new(
        shown: ShownHostKey,
        algorithm: &'static SignatureAlgorithm,
        replaced: Option<PublicKey>,
        exchange_hash: Digest,
        proof: SignatureValid,
    ) -> Self {
        Self {
            shown,
            algorithm,
            replaced,
            exchange_hash,
            proof,
        }
    }

    /// The key: of a certificate, the one that it certifies.
    pub const fn key(&self) -> &PublicKey {
        &self.shown.key
    }

    /// The certificate the key was shown in, if it was. Nothing in it has been checked but that the host has its key: who
    /// its authority is, whether that one signed it, and for which hosts and times, is for you to ask
    /// ([`Certificate::verify_host`]). Whoever knows the key by itself need not.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.shown.certificate.as_ref()
    }

    /// The algorithm of its signature.
    pub const fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }

    /// On a rekey: the key accepted before, which this one would replace.
    pub const fn replaced(&self) -> Option<&PublicKey> {
        self.replaced.as_ref()
    }

    /// The key is trusted: the exchange goes on.
    pub fn accept(self) -> HostKeyVerdict {
        HostKeyVerdict {
            exchange_hash: self.exchange_hash,
            decision: Decision::Accepted(HostKeyAccepted::new(self.shown.key, self.proof)),
        }
    }

    /// What there is to say when a key that was accepted changes during the `connection` or the `login`: both
    /// fingerprints.
    pub fn change(&self, during: &str) -> String {
        let now = self.key().fingerprint();
        match &self.replaced {
            Some(before) => {
                let before = before.fingerprint();
                format!("the host key changed during the {during}, from {before} to {now}")
            }
            None => format!("a host key was shown during the {during}: {now}"),
        }
    }

    /// The key is not trusted: the connection ends, and its error says `why`.
    pub fn reject(self, why: impl Into<String>) -> HostKeyVerdict {
        HostKeyVerdict {
            exchange_hash: self.exchange_hash,
            decision: Decision::Rejected(why.into()),
        }
    }
}

impl fmt::Debug for HostKeyOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKeyOffer")
            .field("key", &self.shown.key)
            .field("certificate", &self.shown.certificate)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`HostKeyOffer`]; only the offer makes one.
#[derive(Debug)]
#[must_use = "a verdict does nothing until it is handed to `answer`"]
pub struct HostKeyVerdict {
    exchange_hash: Digest,
    decision: Decision,
}

#[derive(Debug)]
pub(crate) enum Decision {
    Accepted(HostKeyAccepted),
    Rejected(String),
}

impl HostKeyVerdict {
    /// The decision, if it was made about the exchange with this hash. One about another exchange is a rejection:
    /// trust in one host must not end up as trust in another.
    pub(crate) fn about(self, exchange_hash: &Digest) -> Decision {
        if self.exchange_hash.as_ref() == exchange_hash.as_ref() {
            self.decision
        } else {
            Decision::Rejected("the verdict was about another connection's host key".to_owned())
        }
    }
}

/// Proof that a host key was proved by its signature and accepted.
#[derive(Debug)]
pub struct HostKeyAccepted {
    key: PublicKey,
    _proof: SignatureValid,
}

impl HostKeyAccepted {
    const fn new(key: PublicKey, proof: SignatureValid) -> Self {
        Self { key, _proof: proof }
    }

    /// The same key as the one accepted before, proved again: it passes without a question, in whatever certificate it is
    /// shown now. Another one gives its proof back.
    pub(crate) fn again(&self, key: &PublicKey, proof: SignatureValid) -> Result<Self, SignatureValid> {
        if self.key == *key {
            Ok(Self::new(key.clone(), proof))
        } else {
            Err(proof)
        }
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}
