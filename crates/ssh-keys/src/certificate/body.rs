//! The part of a certificate that its authority signs.

use super::CertificateError;
use crate::error::shown;
use crate::wire::{DecodeError, Reader, Writer};
use crate::{KeyError, PublicKey, algorithm};

/// The most principals of a certificate, as in OpenSSH.
pub const MAX_PRINCIPALS: usize = 256;
/// The most critical options, and the most extensions: OpenSSH knows fewer than ten.
pub const MAX_OPTIONS: usize = 64;

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// `SSH_CERT_TYPE_USER`: its principals are names of users.
    User,
    /// `SSH_CERT_TYPE_HOST`: its principals are names of hosts.
    Host,
}

impl CertificateKind {
    const fn number(self) -> u32 {
        match self {
            Self::User => 1,
            Self::Host => 2,
        }
    }

    const fn from_number(number: u32) -> Result<Self, CertificateError> {
        match number {
            1 => Ok(Self::User),
            2 => Ok(Self::Host),
            other => Err(CertificateError::UnknownKind(other)),
        }
    }
}

/// A critical option or an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOption {
    /// Its name.
    pub name: String,
    /// Its data: empty, or a string inside a string for the options that OpenSSH defines.
    pub data: Vec<u8>,
}

/// What an authority signs, in the order of the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateBody {
    /// The type of the certificate, which goes with that of its key.
    pub(super) certificate_type: &'static str,
    /// Random bytes, so that nobody can foresee what will be signed.
    pub nonce: Vec<u8>,
    /// The key that is certified.
    pub key: PublicKey,
    /// The number its authority gave it; 0 where it numbers none.
    pub serial: u64,
    /// Whom it is for.
    pub kind: CertificateKind,
    /// What its authority calls it, for logs.
    pub key_id: String,
    /// The names it is good for. None at all means: for nobody.
    pub principals: Vec<String>,
    /// The first second since 1970 at which it counts.
    pub valid_after: u64,
    /// The first second since 1970 at which it counts no longer; `u64::MAX` for never.
    pub valid_before: u64,
    /// What must be understood, or the certificate is refused.
    pub critical_options: Vec<CertificateOption>,
    /// What may be passed over.
    pub extensions: Vec<CertificateOption>,
    /// Empty today.
    pub reserved: Vec<u8>,
    /// The key of its authority.
    pub signature_key: PublicKey,
}

impl CertificateBody {
    /// A certificate for `key` by the authority with `signature_key`, good for nobody and for ever until its fields are
    /// set. `nonce` should be 32 random bytes.
    ///
    /// # Errors
    /// [`CertificateError::UnsupportedType`] for a key that cannot be certified.
    pub fn new(
        kind: CertificateKind,
        key: PublicKey,
        signature_key: PublicKey,
        nonce: Vec<u8>,
    ) -> Result<Self, CertificateError> {
        let algorithm = key
            .algorithms()
            .find_map(algorithm::with_certificate)
            .ok_or_else(|| CertificateError::UnsupportedType(key.key_type().to_owned()))?;
        Ok(Self {
            certificate_type: algorithm.key_type,
            nonce,
            key,
            serial: 0,
            kind,
            key_id: String::new(),
            principals: Vec::new(),
            valid_after: 0,
            valid_before: u64::MAX,
            critical_options: Vec::new(),
            extensions: Vec::new(),
            reserved: Vec::new(),
            signature_key,
        })
    }

    /// What the authority signs: the blob up to its signature.
    ///
    /// # Errors
    /// [`CertificateError::UnsupportedType`] if the key was replaced by one of another type.
    pub fn to_be_signed(&self) -> Result<Vec<u8>, CertificateError> {
        let mut key = Reader::new(self.key.blob());
        let key_type = key.string()?;
        let goes_with = algorithm::for_certificate_type(self.certificate_type)
            .any(|each| each.plain().key_type.as_bytes() == key_type);
        if !goes_with {
            return Err(CertificateError::UnsupportedType(shown(key_type)));
        }
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.string(self.certificate_type.as_bytes());
        writer.string(&self.nonce);
        writer.raw(key.rest());
        writer.uint64(self.serial);
        writer.uint32(self.kind.number());
        writer.string(self.key_id.as_bytes());
        writer.nested(|names| {
            self.principals
                .iter()
                .for_each(|each| names.string(each.as_bytes()));
        });
        writer.uint64(self.valid_after);
        writer.uint64(self.valid_before);
        for options in [&self.critical_options, &self.extensions] {
            writer.nested(|inner| {
                for option in options {
                    inner.string(option.name.as_bytes());
                    inner.string(&option.data);
                }
            });
        }
        writer.string(&self.reserved);
        writer.string(self.signature_key.blob());
        Ok(out)
    }

    /// Reads everything up to the signature.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CertificateError> {
        let name = reader.string()?;
        let algorithm = std::str::from_utf8(name)
            .ok()
            .and_then(|name| algorithm::for_certificate_type(name).next())
            .ok_or_else(|| CertificateError::UnsupportedType(shown(name)))?;
        let nonce = reader.string()?.to_vec();
        let key = PublicKey::read_fields(algorithm.plain(), reader)?;
        Ok(Self {
            certificate_type: algorithm.key_type,
            nonce,
            key,
            serial: reader.uint64()?,
            kind: CertificateKind::from_number(reader.uint32()?)?,
            key_id: text(reader.string()?)?,
            principals: read_principals(reader.nested()?)?,
            valid_after: reader.uint64()?,
            valid_before: reader.uint64()?,
            critical_options: read_options(reader.nested()?)?,
            extensions: read_options(reader.nested()?)?,
            reserved: reader.string()?.to_vec(),
            signature_key: read_authority(reader.string()?)?,
        })
    }

    pub(super) const fn check_time(&self, now: u64) -> Result<(), CertificateError> {
        let (valid_after, valid_before) = (self.valid_after, self.valid_before);
        if now < valid_after {
            return Err(CertificateError::NotYetValid { valid_after, now });
        }
        if now >= valid_before {
            return Err(CertificateError::Expired { valid_before, now });
        }
        Ok(())
    }

    /// Names are compared byte by byte: a principal with a comma is one name, and a star is a star.
    pub(super) fn check_principal(&self, host: &str) -> Result<(), CertificateError> {
        if self.principals.is_empty() {
            return Err(CertificateError::NoPrincipals);
        }
        if self.principals.iter().any(|principal| principal == host) {
            return Ok(());
        }
        /// Enough to see what went wrong.
        const SHOWN: usize = 8;
        let named = self.principals.iter().take(SHOWN);
        Err(CertificateError::OtherHost {
            host: host.to_owned(),
            principals: named.map(|each| shown(each.as_bytes())).collect(),
        })
    }
}

/// A text without the NUL at which other programs would end it.
fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let bad = |problem| DecodeError::BadField {
        field: "certificate text",
        problem,
    };
    if bytes.contains(&0) {
        return Err(bad("with a NUL byte"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
    Ok(text.to_owned())
}

fn read_principals(mut reader: Reader<'_>) -> Result<Vec<String>, CertificateError> {
    let mut principals = Vec::new();
    while reader.remaining() > 0 {
        if principals.len() >= MAX_PRINCIPALS {
            return Err(CertificateError::TooManyPrincipals);
        }
        principals.push(text(reader.string()?)?);
    }
    Ok(principals)
}

fn read_options(mut reader: Reader<'_>) -> Result<Vec<CertificateOption>, CertificateError> {
    let mut options: Vec<CertificateOption> = Vec::new();
    while reader.remaining() > 0 {
        if options.len() >= MAX_OPTIONS {
            return Err(CertificateError::TooManyOptions);
        }
        let name = text(reader.string()?)?;
        let data = reader.string()?.to_vec();
        if options.iter().any(|each| each.name == name) {
            return Err(CertificateError::RepeatedOption(shown(name.as_bytes())));
        }
        options.push(CertificateOption { name, data });
    }
    Ok(options)
}

/// The key of the authority, which is a key and not a certificate again.
fn read_authority(blob: &[u8]) -> Result<PublicKey, CertificateError> {
    PublicKey::from_blob(blob).map_err(|error| match error {
        KeyError::UnsupportedType(name) if algorithm::for_certificate_type(&name).next().is_some() => {
            CertificateError::NestedCertificate(name)
        }
        other => CertificateError::AuthorityKey(other),
    })
}
