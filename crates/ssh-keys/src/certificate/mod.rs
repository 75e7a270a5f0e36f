//! Certificates (OpenSSH `PROTOCOL.certkeys`): a key, what an authority says of it, and the authority's signature.
//!
//! ```text
//! string type · string nonce · (fields of the key) · uint64 serial · uint32 kind · string key id
//!   · string (string principal …) · uint64 valid after · uint64 valid before
//!   · string (string name · string data …) critical options · string (the same) extensions · string reserved
//!   · string signature key                                                        ◀── signed up to here
//!   · string signature
//! ```
//!
//! Reading one says that its form is right and nothing more. [`Certificate::verify_host`] says whether an authority that is
//! trusted vouches for a host by it; whom to trust, and what time it is, its caller knows. Certificates of users are read,
//! but nothing decides about them here yet.
//!
//! What is deliberately absent: chains (an authority is a key, never a certificate), principals with wildcards (a name is
//! the name or it is not), and certificates without principals that are good for everybody.

mod body;
mod error;
mod signer;

use std::fmt;
use std::sync::Arc;

pub use body::{CertificateBody, CertificateKind, CertificateOption, MAX_OPTIONS, MAX_PRINCIPALS};
pub use error::CertificateError;
pub use signer::CertifiedSigner;

use crate::error::shown;
use crate::public_key::{Fields, decode_fields};
use crate::wire::{Reader, Tier, Writer};
use crate::{
    Demands, KeyError, MAX_BLOB_BYTES, PublicKey, SignatureAlgorithm, SignatureError, SignatureValid, Signer,
    algorithm,
};

/// A certificate of a supported type. Two are equal when their blobs are. Clones share it.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    blob: Vec<u8>,
    /// How much of the blob is signed.
    signed_bytes: usize,
    body: CertificateBody,
    signature: Vec<u8>,
}

/// The algorithms an authority may sign with unless others are named: every plain one but those of SHA-1
/// (`CASignatureAlgorithms` of OpenSSH).
pub fn authority_algorithms() -> impl Iterator<Item = &'static SignatureAlgorithm> {
    algorithm::ALL
        .iter()
        .copied()
        .filter(|each| !each.is_certificate() && each.tier != Tier::Legacy)
}

impl Certificate {
    /// Reads a certificate's blob. Its signature is not checked here.
    ///
    /// # Errors
    /// One of [`CertificateError`]'s that are about the form.
    pub fn from_blob(blob: &[u8]) -> Result<Self, CertificateError> {
        if blob.len() > MAX_BLOB_BYTES {
            return Err(KeyError::TooLong {
                bytes: blob.len(),
                limit: MAX_BLOB_BYTES,
            }
            .into());
        }
        let mut reader = Reader::new(blob);
        let body = CertificateBody::read(&mut reader)?;
        let signed_bytes = blob.len().saturating_sub(reader.remaining());
        let signature = reader.string()?.to_vec();
        reader.finish()?;
        Ok(Self(Arc::new(Inner {
            blob: blob.to_vec(),
            signed_bytes,
            body,
            signature,
        })))
    }

    /// Reads a line `type base64 [comment]` as `-cert.pub` files hold it; the comment comes back beside the certificate.
    ///
    /// # Errors
    /// As [`from_blob`](Self::from_blob), and [`CertificateError::Key`] for a line that is not of that form.
    pub fn from_openssh(line: &str) -> Result<(Self, String), CertificateError> {
        let mut fields = Fields(line.trim_matches(['\r', '\n']).as_bytes());
        let certificate_type = fields.next_field().ok_or(KeyError::MissingField("key type"))?;
        let blob = decode_fields(certificate_type, &mut fields)?;
        Ok((Self::from_blob(&blob)?, fields.comment()))
    }

    /// Signs `body` with its authority's key: what makes it a certificate. What it says is not judged.
    ///
    /// # Errors
    /// [`CertificateError::OtherAuthority`] if the signer is not the one that the body names, and what the signer or the
    /// limits of a certificate refuse.
    pub fn sign(
        body: &CertificateBody,
        authority: &dyn Signer,
        algorithm: &SignatureAlgorithm,
    ) -> Result<Self, CertificateError> {
        if body.signature_key != *authority.public_key() {
            return Err(CertificateError::OtherAuthority {
                expected: body.signature_key.fingerprint(),
                found: authority.public_key().fingerprint(),
            });
        }
        let mut blob = body.to_be_signed()?;
        let signature = authority
            .sign(algorithm, &blob)
            .map_err(CertificateError::Signature)?;
        Writer::new(&mut blob).string(&signature);
        Self::from_blob(&blob)
    }

    /// The blob: what is sent in place of a key's.
    pub fn blob(&self) -> &[u8] {
        &self.0.blob
    }

    /// The type at the start of the blob (`ssh-ed25519-cert-v01@openssh.com`).
    pub fn certificate_type(&self) -> &'static str {
        self.0.body.certificate_type
    }

    /// What the authority says.
    pub fn body(&self) -> &CertificateBody {
        &self.0.body
    }

    /// The part of the blob that the authority signed.
    pub fn signed_part(&self) -> &[u8] {
        self.0.blob.get(..self.0.signed_bytes).unwrap_or_default()
    }

    /// The authority's signature blob.
    pub fn signature(&self) -> &[u8] {
        &self.0.signature
    }

    /// The key that is certified.
    pub fn key(&self) -> &PublicKey {
        &self.0.body.key
    }

    /// The key of the authority that the certificate names; whether it signed is for
    /// [`verify_host`](Self::verify_host) to say.
    pub fn signature_key(&self) -> &PublicKey {
        &self.0.body.signature_key
    }

    /// The line `type base64 comment`, without a line ending.
    pub fn to_openssh(&self, comment: &str) -> String {
        crate::public_key::line(self.certificate_type(), self.blob(), comment)
    }

    /// Whether `authority` vouches by this certificate for `host` (a name or an address in lower case, without a port) at
    /// `now`, in seconds since 1970, with one of these `algorithms` (see [`authority_algorithms`]).
    ///
    /// # Errors
    /// What is wrong with it: a variant for each.
    pub fn verify_host(
        &self,
        host: &str,
        now: u64,
        authority: &PublicKey,
        algorithms: &[&'static SignatureAlgorithm],
    ) -> Result<SignatureValid, CertificateError> {
        let body = &self.0.body;
        if body.kind != CertificateKind::Host {
            return Err(CertificateError::NotForHosts);
        }
        if let Some(option) = body.critical_options.first() {
            return Err(CertificateError::UnknownCriticalOption(shown(
                option.name.as_bytes(),
            )));
        }
        body.check_time(now)?;
        body.check_principal(host)?;
        self.verify_authority(authority, algorithms)
    }

    /// Whether this authority signed.
    fn verify_authority(
        &self,
        authority: &PublicKey,
        algorithms: &[&'static SignatureAlgorithm],
    ) -> Result<SignatureValid, CertificateError> {
        let found = self.signature_key();
        if found != authority {
            return Err(CertificateError::OtherAuthority {
                expected: authority.fingerprint(),
                found: found.fingerprint(),
            });
        }
        if found == self.key() {
            return Err(CertificateError::SelfSigned);
        }
        let malformed = |error| CertificateError::Signature(SignatureError::Malformed(error));
        let name = Reader::new(self.signature()).string().map_err(malformed)?;
        let algorithm = algorithms
            .iter()
            .find(|each| !each.is_certificate() && each.signature_name.as_bytes() == name)
            .ok_or_else(|| CertificateError::AuthorityAlgorithm(shown(name)))?;
        // A certificate is signed once, long before; nobody can be asked to touch the authority's device again.
        authority
            .verify_demanding(algorithm, self.signed_part(), self.signature(), &Demands::NONE)
            .map_err(CertificateError::Signature)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.blob == other.0.blob
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Certificate({} {} id {:?} by {})",
            self.certificate_type(),
            self.key().fingerprint(),
            shown(self.0.body.key_id.as_bytes()),
            self.signature_key().fingerprint()
        )
    }
}
