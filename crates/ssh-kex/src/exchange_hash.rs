//! The exchange hash H (RFC 4253 §8), its hash functions, and the session identifier.
//!
//! ```text
//! H = HASH( V_C ‖ V_S ‖ I_C ‖ I_S ‖ K_S ‖ what the method exchanged ‖ K )
//! ```
//!
//! A method hands over its fields already encoded, and K knows its own form ([`SharedSecret`]), so a new method
//! changes nothing here.

use ring::digest;
use zeroize::Zeroizing;

use crate::wire::Writer;

/// A hash function of a key exchange method.
#[derive(Debug, Clone, Copy)]
pub struct Hash(&'static digest::Algorithm);

impl Hash {
    /// SHA-1, for methods that exist under no other hash.
    pub const SHA1: Self = Self(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    /// SHA-256.
    pub const SHA256: Self = Self(&digest::SHA256);
    /// SHA-384.
    pub const SHA384: Self = Self(&digest::SHA384);
    /// SHA-512.
    pub const SHA512: Self = Self(&digest::SHA512);

    /// The digest of `parts`, one behind the other.
    pub fn digest(self, parts: &[&[u8]]) -> Digest {
        let mut context = digest::Context::new(self.0);
        for part in parts {
            context.update(part);
        }
        Digest(context.finish())
    }
}

/// A digest.
#[derive(Debug, Clone, Copy)]
pub struct Digest(digest::Digest);

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// K, the secret both sides arrived at. The form in which it is hashed is part of its method: RFC 4253 and RFC 8731
/// say `mpint`, the post-quantum hybrids say `string`.
pub enum SharedSecret {
    /// Hashed as an `mpint`; big-endian bytes, leading zeros allowed.
    Mpint(Zeroizing<Vec<u8>>),
    /// Hashed as a `string`.
    String(Zeroizing<Vec<u8>>),
}

impl SharedSecret {
    /// K as it is hashed, length included.
    pub(crate) fn encoded(&self) -> Zeroizing<Vec<u8>> {
        let (Self::Mpint(bytes) | Self::String(bytes)) = self;
        // Room for length and sign at once: a vector that grows would leave copies of the secret behind.
        let mut out = Zeroizing::new(Vec::with_capacity(bytes.len().saturating_add(5)));
        let mut writer = Writer::new(&mut out);
        match self {
            Self::Mpint(bytes) => writer.mpint(bytes),
            Self::String(bytes) => writer.string(bytes),
        }
        out
    }
}

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mpint(_) => "SharedSecret::Mpint(…)",
            Self::String(_) => "SharedSecret::String(…)",
        })
    }
}

/// What goes into the exchange hash, in its order.
pub(crate) struct Transcript<'a> {
    pub(crate) client_identification: &'a str,
    pub(crate) server_identification: &'a str,
    pub(crate) client_kexinit: &'a [u8],
    pub(crate) server_kexinit: &'a [u8],
    pub(crate) host_key: &'a [u8],
    pub(crate) exchanged: &'a [u8],
}

impl Transcript<'_> {
    /// H.
    pub(crate) fn hash(&self, hash: Hash, secret: &SharedSecret) -> Digest {
        let mut head = Vec::new();
        let mut writer = Writer::new(&mut head);
        writer.string(self.client_identification.as_bytes());
        writer.string(self.server_identification.as_bytes());
        writer.string(self.client_kexinit);
        writer.string(self.server_kexinit);
        writer.string(self.host_key);
        writer.raw(self.exchanged);
        hash.digest(&[&head, &secret.encoded()])
    }
}

/// The identifier of a session: the exchange hash of its first key exchange, for ever (RFC 4253 §7.2).
#[derive(Clone, Copy)]
pub struct SessionId(Digest);

impl SessionId {
    pub(crate) const fn of_first(exchange_hash: Digest) -> Self {
        Self(exchange_hash)
    }
}

impl AsRef<[u8]> for SessionId {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_encoded_in_their_methods_form() {
        let bytes = || Zeroizing::new(vec![0, 0x80, 1]);
        assert_eq!(**SharedSecret::Mpint(bytes()).encoded(), *b"\0\0\0\x03\0\x80\x01");
        assert_eq!(
            **SharedSecret::String(bytes()).encoded(),
            *b"\0\0\0\x03\0\x80\x01"
        );
        let bytes = || Zeroizing::new(vec![0, 0x7f]);
        assert_eq!(**SharedSecret::Mpint(bytes()).encoded(), *b"\0\0\0\x01\x7f");
        assert_eq!(**SharedSecret::String(bytes()).encoded(), *b"\0\0\0\x02\0\x7f");
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(
            format!("{:?}", SharedSecret::String(Zeroizing::new(vec![1]))),
            "SharedSecret::String(…)"
        );
    }
}
