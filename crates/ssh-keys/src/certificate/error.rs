//! What can be wrong with a certificate, and whose fault it is.

use thiserror::Error;

use crate::wire::DecodeError;
use crate::{Fingerprint, KeyError, SignatureError};

/// Why bytes or text are not a certificate, or why one does not say what it is shown for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The blob is of a type that is no certificate's, or none that is known.
    #[error("{0} is not a type of certificate that is supported")]
    UnsupportedType(String),
    /// The blob does not decode.
    #[error("the certificate is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The line or the certified key is wrong.
    #[error("the certificate's key: {0}")]
    Key(#[from] KeyError),
    /// It is for neither users nor hosts.
    #[error("the certificate is of kind {0}, which is neither for users (1) nor for hosts (2)")]
    UnknownKind(u32),
    /// It has more principals than [`MAX_PRINCIPALS`](super::MAX_PRINCIPALS).
    #[error("the certificate names more than {} principals", super::MAX_PRINCIPALS)]
    TooManyPrincipals,
    /// It has more options or extensions than [`MAX_OPTIONS`](super::MAX_OPTIONS).
    #[error("the certificate has more than {} options of one kind", super::MAX_OPTIONS)]
    TooManyOptions,
    /// An option stands twice, and nothing says which one counts.
    #[error("the certificate's option {0} stands twice")]
    RepeatedOption(String),
    /// It is signed by a key that is itself a certificate: chains do not exist.
    #[error("the certificate is signed by another certificate ({0}) instead of a key")]
    NestedCertificate(String),
    /// The key of whoever signed it is wrong.
    #[error("the key of the certificate's authority: {0}")]
    AuthorityKey(KeyError),
    /// It is signed by the key that it certifies: only its owner vouches for it.
    #[error("the certificate is signed by the very key that it certifies")]
    SelfSigned,
    /// It was shown as a host's and is a user's.
    #[error("the certificate is for a user, not for a host: its authority has to issue another")]
    NotForHosts,
    /// It is signed by another key than the authority's that it was checked against.
    #[error("the certificate is signed by {found}, not by the authority {expected}")]
    OtherAuthority {
        /// The key that was expected.
        expected: Fingerprint,
        /// The key it names.
        found: Fingerprint,
    },
    /// It does not count yet.
    #[error(
        "the certificate is valid only from {valid_after} on, and it is {now} (seconds since 1970): \
             a clock is wrong, or its authority dated it ahead"
    )]
    NotYetValid {
        /// When it begins to count, in seconds since 1970.
        valid_after: u64,
        /// The time it was checked at.
        now: u64,
    },
    /// It counts no longer.
    #[error(
        "the certificate was valid until {valid_before}, and it is {now} (seconds since 1970): \
             its authority has to issue another"
    )]
    Expired {
        /// When it ceased to count, in seconds since 1970.
        valid_before: u64,
        /// The time it was checked at.
        now: u64,
    },
    /// It demands something that is not known here, and what is demanded must not be passed over.
    #[error("the certificate has the critical option {0}, which is not known for hosts")]
    UnknownCriticalOption(String),
    /// It names nobody. Once such a certificate was good for everybody; OpenSSH ended that with 10.3.
    #[error("the certificate names no host at all: its authority has to issue one with the host's name")]
    NoPrincipals,
    /// It names others.
    #[error("the certificate is for {}, not for {host}", principals.join(", "))]
    OtherHost {
        /// The host it was checked for.
        host: String,
        /// The hosts it names, shortened and escaped.
        principals: Vec<String>,
    },
    /// It is signed with an algorithm that authorities may not use.
    #[error("the certificate is signed with {0}, which is not accepted from an authority")]
    AuthorityAlgorithm(String),
    /// The authority's signature is not one.
    #[error("the authority's signature on the certificate: {0}")]
    Signature(SignatureError),
    /// A certificate was given for a key that it does not certify.
    #[error("the certificate is for the key {certified}, not for {key}")]
    OtherKey {
        /// The key it certifies.
        certified: Fingerprint,
        /// The key it was given for.
        key: Fingerprint,
    },
    /// The key signs with nothing that a certificate could be used with.
    #[error("a key that signs with none of the algorithms of {0} cannot use such a certificate")]
    NoAlgorithm(&'static str),
}
