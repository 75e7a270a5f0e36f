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

use crate::exchange_hash::Digest;
use crate::keys::{PublicKey, SignatureAlgorithm, SignatureValid};

/// A server's host key, proved by its signature over this very exchange. Whether it is the right one is for you to say.
///
/// Dropping the offer leaves the question open: nothing further is sent or taken until it is answered.
#[must_use = "the connection waits until the verdict is handed to `answer`"]
pub struct HostKeyOffer {
    key: PublicKey,
    algorithm: &'static SignatureAlgorithm,
    replaced: Option<PublicKey>,
    exchange_hash: Digest,
    proof: SignatureValid,
}

impl HostKeyOffer {
    pub(crate) const fn new(
        key: PublicKey,
        algorithm: &'static SignatureAlgorithm,
        replaced: Option<PublicKey>,
        exchange_hash: Digest,
        proof: SignatureValid,
    ) -> Self {
        Self {
            key,
            algorithm,
            replaced,
            exchange_hash,
            proof,
        }
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
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
            decision: Decision::Accepted(HostKeyAccepted::new(self.key, self.proof)),
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
            .field("key", &self.key)
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

    /// The same key as the one accepted before, proved again: it passes without a question. Another one gives its
    /// proof back.
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
