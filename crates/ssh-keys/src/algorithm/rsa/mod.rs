//! `rsa-sha2-512`, `rsa-sha2-256` (RFC 8332) and `ssh-rsa` (RFC 4253 §6.6): RSASSA-PKCS1-v1_5.
//!
//! ```text
//! public blob      string "ssh-rsa" · mpint e · mpint n                                        RFC 4253 §6.6
//! signature blob   string algorithm · string signature                                         RFC 8332 §3
//! private section  string "ssh-rsa" · mpint n · mpint e · mpint d · mpint q⁻¹ mod p · mpint p · mpint q
//! ```
//!
//! One type of key, three algorithms: the name in the signature says which hash was used, and must be the one that was
//! agreed on. `ssh-rsa` means SHA-1; it is legacy, and stands last wherever a key names its algorithms, so that it is used
//! only where somebody asked for it by name.
//!
//! A modulus has [`MIN_MODULUS_BITS`] to [`MAX_MODULUS_BITS`], an exponent is odd, at least 3, and below 2³³: whatever key
//! a peer sends, a verification costs little. Keys of less than [`REQUIRED_MODULUS_BITS`] can be read and used, so that
//! whoever has to talk to a very old machine can; everybody who decides about keys of others asks
//! [`PublicKey::check_rsa_bits`](crate::PublicKey::check_rsa_bits) first.

mod private;

pub(crate) use private::generate;

use std::ops::RangeInclusive;
use std::sync::Arc;

use crypto_bigint::BoxedUint;
use ring::digest;
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding,
    RsaParameters, RsaPublicKeyComponents,
};
use rsa::{Pkcs1v15Sign, RsaPublicKey};

use super::{PublicMaterial, SignatureAlgorithm, SignatureParts};
use crate::wire::{Mpint, Reader, Tier, Writer, usize_from};
use crate::{Demands, KeyError, SecurityKeyUse, SignatureError};

/// The smallest RSA modulus that can be read at all, in bits.
pub const MIN_MODULUS_BITS: usize = 1024;
/// The smallest RSA modulus that is accepted unless somebody says otherwise, in bits (`RequiredRSASize`).
pub const REQUIRED_MODULUS_BITS: usize = 2048;
/// The largest RSA modulus that is taken, in bits: OpenSSH's limit.
pub const MAX_MODULUS_BITS: usize = 16384;
/// An exponent below this many bits makes verification cheap; nearly every key has 65537.
const MAX_EXPONENT_BITS: usize = 33;
/// The sizes that ring verifies, in bits. It is the fastest there is, and the larger ones are rare.
const RING_VERIFIES: RangeInclusive<usize> = 1024..=8192;

/// The type of all RSA keys.
pub(crate) const KEY_TYPE: &str = "ssh-rsa";

/// `rsa-sha2-512` (RFC 8332).
pub static RSA_SHA2_512: SignatureAlgorithm = algorithm("rsa-sha2-512", Tier::Compatible);
/// `rsa-sha2-256` (RFC 8332).
pub static RSA_SHA2_256: SignatureAlgorithm = algorithm("rsa-sha2-256", Tier::Compatible);
/// `ssh-rsa` (RFC 4253 §6.6), with SHA-1: for an old peer, if its user asks for it by name.
pub static SSH_RSA: SignatureAlgorithm = algorithm(KEY_TYPE, Tier::Legacy);

static ALGORITHMS: [&SignatureAlgorithm; 3] = [&RSA_SHA2_512, &RSA_SHA2_256, &SSH_RSA];

const fn algorithm(name: &'static str, tier: Tier) -> SignatureAlgorithm {
    SignatureAlgorithm {
        name,
        signature_name: name,
        key_type: KEY_TYPE,
        tier,
        certified: None,
        read_public,
        read_private: private::read,
    }
}

/// What an algorithm's hash is to the libraries.
struct Scheme {
    hash: &'static digest::Algorithm,
    /// What stands before the hash in the padding (`DigestInfo`, RFC 8017 §9.2, note 1).
    prefix: &'static [u8],
    verifies: &'static RsaParameters,
    /// `None`: ring signs with no SHA-1.
    signs: Option<&'static dyn RsaEncoding>,
}

static SHA_512: Scheme = Scheme {
    hash: &digest::SHA512,
    prefix: &[
        0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
        0x04, 0x40,
    ],
    verifies: &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    signs: Some(&RSA_PKCS1_SHA512),
};
static SHA_256: Scheme = Scheme {
    hash: &digest::SHA256,
    prefix: &[
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
        0x04, 0x20,
    ],
    verifies: &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    signs: Some(&RSA_PKCS1_SHA256),
};
static SHA_1: Scheme = Scheme {
    hash: &digest::SHA1_FOR_LEGACY_USE_ONLY,
    prefix: &[
        0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
    ],
    verifies: &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    signs: None,
};

impl Scheme {
    fn of(algorithm: &SignatureAlgorithm) -> &'static Self {
        if *algorithm == RSA_SHA2_512 {
            &SHA_512
        } else if *algorithm == RSA_SHA2_256 {
            &SHA_256
        } else {
            &SHA_1
        }
    }

    fn padding(&self) -> Pkcs1v15Sign {
        Pkcs1v15Sign {
            hash_len: Some(self.hash.output_len()),
            prefix: self.prefix.into(),
        }
    }
}

/// The bytes of both numbers are in shortest form.
#[derive(Clone)]
struct Public {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl Public {
    fn new(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let bits = bits(n);
        if !(MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&bits) {
            return Err(KeyError::RsaSize(bits));
        }
        if !is_odd(n) {
            return Err(KeyError::BadRsaNumber("modulus is even"));
        }
        match e {
            [] | [0..=2] => return Err(KeyError::BadRsaNumber("exponent is below 3")),
            _ if !is_odd(e) => return Err(KeyError::BadRsaNumber("exponent is even")),
            _ if self::bits(e) > MAX_EXPONENT_BITS => {
                return Err(KeyError::BadRsaNumber("exponent is too large"));
            }
            _ => {}
        }
        Ok(Self {
            n: n.to_vec(),
            e: e.to_vec(),
        })
    }

    /// Whether these bytes, as many as the modulus has, are a signature over `message`.
    fn check(&self, scheme: &Scheme, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        if RING_VERIFIES.contains(&bits(&self.n)) {
            let key = RsaPublicKeyComponents {
                n: &self.n,
                e: &self.e,
            };
            return key
                .verify(scheme.verifies, message, signature)
                .map_err(|_| SignatureError::Invalid);
        }
        let hash = digest::digest(scheme.hash, message);
        let key = self.large().ok_or(SignatureError::Invalid)?;
        key.verify(scheme.padding(), hash.as_ref(), signature)
            .map_err(|_| SignatureError::Invalid)
    }

    /// The key in the hands of the library for sizes that ring does not know.
    fn large(&self) -> Option<RsaPublicKey> {
        let limits = MIN_MODULUS_BITS..=MAX_MODULUS_BITS;
        RsaPublicKey::new_with_size_limits(uint(&self.n)?, uint(&self.e)?, limits).ok()
    }

    fn write_blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        let mut writer = Writer::new(&mut blob);
        writer.string(KEY_TYPE.as_bytes());
        writer.mpint(&self.e);
        writer.mpint(&self.n);
        blob
    }
}

impl PublicMaterial for Public {
    fn bits(&self) -> usize {
        bits(&self.n)
    }

    /// A signature shorter than the modulus lacks leading zeros (some programs write it as a number); RFC 8332 §3 wants
    /// them, and they are put back. A longer one is refused.
    fn verify(
        &self,
        algorithm: &SignatureAlgorithm,
        message: &[u8],
        signature: &SignatureParts<'_>,
        _: &Demands,
    ) -> Result<Option<SecurityKeyUse>, SignatureError> {
        let signature = signature.bytes;
        let expected = self.n.len();
        let Some(missing) = expected.checked_sub(signature.len()) else {
            let found = signature.len();
            return Err(SignatureError::WrongLength { expected, found });
        };
        let mut padded = vec![0; missing];
        padded.extend_from_slice(signature);
        self.check(Scheme::of(algorithm), message, &padded)?;
        Ok(None)
    }
}

fn read_public(reader: &mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError> {
    let (e, n) = (reader.mpint()?, reader.mpint()?);
    Ok(Arc::new(Public::new(n.magnitude(), e.magnitude())?))
}

/// A number with the room it needs.
fn uint(number: &[u8]) -> Option<BoxedUint> {
    let precision = u32::try_from(number.len().saturating_mul(8)).ok()?;
    BoxedUint::from_be_slice(number, precision).ok()
}

/// The length of a number, in bits.
fn bits(number: &[u8]) -> usize {
    usize_from(Mpint::from_magnitude(number).bits())
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}
