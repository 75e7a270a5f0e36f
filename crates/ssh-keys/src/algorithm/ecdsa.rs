//! `ecdsa-sha2-nistp256`, `-nistp384` and `-nistp521`: ECDSA (FIPS 186-5) as SSH uses it (RFC 5656 §3).
//!
//! ```text
//! public blob      string type · string curve · string point                         RFC 5656 §3.1
//! signature blob   string type · string (mpint r · mpint s)                          RFC 5656 §3.1.2
//! private section  string type · string curve · string point · mpint scalar          OpenSSH's files and agents
//! ```
//!
//! Points are taken uncompressed only, although RFC 5656 leaves compression open: one key has one blob and one
//! fingerprint then, and OpenSSH does the same. `r` and `s` must lie between 0 and the group's order, both excluded.
//! The nonce of a signature comes from the key and the message by RFC 6979, not from a generator that may be bad.

use std::marker::PhantomData;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{PrivateMaterial, PublicMaterial, SignatureAlgorithm, SignatureParts};
use crate::error::shown;
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Mpint, Reader, Tier, Writer};
use crate::{Demands, KeyError, PublicKey, SecurityKeyUse, SignatureError};

/// `ecdsa-sha2-nistp256` (RFC 5656), with SHA-256.
pub static ECDSA_NISTP256: SignatureAlgorithm = algorithm::<P256>();
/// `ecdsa-sha2-nistp384` (RFC 5656), with SHA-384.
pub static ECDSA_NISTP384: SignatureAlgorithm = algorithm::<P384>();
/// `ecdsa-sha2-nistp521` (RFC 5656), with SHA-512.
pub static ECDSA_NISTP521: SignatureAlgorithm = algorithm::<P521>();

/// The first byte of a point that is written with both coordinates (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;
/// The one byte that is the point at infinity.
const INFINITY: [u8; 1] = [0];

const fn algorithm<C: Curve>() -> SignatureAlgorithm {
    SignatureAlgorithm {
        name: C::TYPE,
        signature_name: C::TYPE,
        key_type: C::TYPE,
        tier: Tier::Compatible,
        certified: None,
        read_public: read_public::<C>,
        read_private: read_private::<C>,
    }
}

/// A curve with its hash: what the three libraries have in common.
pub(crate) trait Curve: Send + Sync + 'static {
    /// The name of keys and signatures.
    const TYPE: &'static str;
    /// The curve's own name (RFC 5656 §10.1).
    const NAME: &'static str;
    /// The size of the group's order, in bits.
    const BITS: usize;
    /// What a key of this curve signs with.
    const ALGORITHMS: &'static [&'static SignatureAlgorithm];
    /// Bytes of a scalar and of a coordinate.
    const BYTES: usize = Self::BITS.div_ceil(8);

    type Verifying: Clone + Send + Sync;
    /// Wipes itself when dropped.
    type Signing: Send + Sync;

    /// The point, if it is on the curve and not at infinity.
    fn verifying(point: &[u8]) -> Option<Self::Verifying>;
    fn point(key: &Self::Verifying) -> Box<[u8]>;
    /// Whether `r‖s`, each of [`Self::BYTES`], is in range and a signature over `message`.
    fn holds(key: &Self::Verifying, message: &[u8], pair: &[u8]) -> bool;
    /// The key of a scalar of [`Self::BYTES`], if that is in range.
    fn signing(scalar: &[u8]) -> Option<Self::Signing>;
    fn scalar(key: &Self::Signing) -> Zeroizing<Vec<u8>>;
    fn public(key: &Self::Signing) -> Self::Verifying;
    /// `r‖s`, each of [`Self::BYTES`].
    fn sign(key: &Self::Signing, message: &[u8]) -> Option<Vec<u8>>;
}

macro_rules! curve {
    ($type:ident, $library:ident, $bits:literal, $name:literal, $algorithm:ident) => {
        pub(crate) struct $type;

        impl Curve for $type {
            const TYPE: &'static str = concat!("ecdsa-sha2-", $name);
            const NAME: &'static str = $name;
            const BITS: usize = $bits;
            const ALGORITHMS: &'static [&'static SignatureAlgorithm] = &[&$algorithm];

            type Verifying = $library::ecdsa::VerifyingKey;
            type Signing = $library::ecdsa::SigningKey;

            fn verifying(point: &[u8]) -> Option<Self::Verifying> {
                Self::Verifying::from_sec1_bytes(point).ok()
            }

            fn point(key: &Self::Verifying) -> Box<[u8]> {
                key.to_sec1_point(false).to_bytes()
            }

            fn holds(key: &Self::Verifying, message: &[u8], pair: &[u8]) -> bool {
                use $library::ecdsa::signature::Verifier as _;
                $library::ecdsa::Signature::from_slice(pair)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }

            fn signing(scalar: &[u8]) -> Option<Self::Signing> {
                Self::Signing::from_slice(scalar).ok()
            }

            fn scalar(key: &Self::Signing) -> Zeroizing<Vec<u8>> {
                Zeroizing::new(Zeroizing::new(key.to_bytes()).to_vec())
            }

            fn public(key: &Self::Signing) -> Self::Verifying {
                *key.verifying_key()
            }

            fn sign(key: &Self::Signing, message: &[u8]) -> Option<Vec<u8>> {
                use $library::ecdsa::signature::Signer as _;
                let signature: $library::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signature.to_vec())
            }
        }
    };
}

curve!(P256, p256, 256, "nistp256", ECDSA_NISTP256);
curve!(P384, p384, 384, "nistp384", ECDSA_NISTP384);
curve!(P521, p521, 521, "nistp521", ECDSA_NISTP521);

/// A new key: the first number below the group's order, and not zero, that the generator gives (FIPS 186-5 A.2.2).
pub(crate) fn generate<C: Curve>(rng: &mut dyn CryptoRng) -> Box<dyn PrivateMaterial> {
    let mut scalar = Zeroizing::new(vec![0; C::BYTES]);
    loop {
        rng.fill_bytes(&mut scalar);
        // The order of P-521 has seven bits less than its bytes hold.
        if let Some(first) = scalar.first_mut() {
            *first &= u8::MAX >> (C::BYTES * 8 - C::BITS);
        }
        if let Some(key) = C::signing(&scalar) {
            return Box::new(Private::<C>(key));
        }
    }
}

struct Public<C: Curve>(C::Verifying, PhantomData<C>);

impl<C: Curve> PublicMaterial for Public<C> {
    fn bits(&self) -> usize {
        C::BITS
    }

    fn verify(
        &self,
        _: &SignatureAlgorithm,
        message: &[u8],
        signature: &SignatureParts<'_>,
        _: &Demands,
    ) -> Result<Option<SecurityKeyUse>, SignatureError> {
        verify::<C>(&self.0, message, signature.bytes).map(|()| None)
    }
}

/// Checks `mpint r, mpint s`.
pub(super) fn verify<C: Curve>(
    key: &C::Verifying,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let mut reader = Reader::new(signature);
    let (r, s) = (reader.mpint()?, reader.mpint()?);
    reader.finish()?;
    let mut pair = Vec::with_capacity(C::BYTES * 2);
    for number in [r, s] {
        if !append_padded(&mut pair, &number, C::BYTES) {
            return Err(SignatureError::Invalid);
        }
    }
    if C::holds(key, message, &pair) {
        Ok(())
    } else {
        Err(SignatureError::Invalid)
    }
}

/// Appends a number in exactly `bytes` bytes; false if it needs more.
fn append_padded(out: &mut Vec<u8>, number: &Mpint<'_>, bytes: usize) -> bool {
    let magnitude = number.magnitude();
    let Some(zeros) = bytes.checked_sub(magnitude.len()) else {
        return false;
    };
    out.resize(out.len().saturating_add(zeros), 0);
    out.extend_from_slice(magnitude);
    true
}

struct Private<C: Curve>(C::Signing);

impl<C: Curve> PrivateMaterial for Private<C> {
    fn algorithms(&self) -> &'static [&'static SignatureAlgorithm] {
        C::ALGORITHMS
    }

    fn public(&self) -> PublicKey {
        let key = C::public(&self.0);
        let mut blob = Vec::new();
        let mut writer = Writer::new(&mut blob);
        writer.string(C::TYPE.as_bytes());
        writer.string(C::NAME.as_bytes());
        writer.string(&C::point(&key));
        PublicKey::from_parts(blob, C::TYPE, Arc::new(Public::<C>(key, PhantomData)))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.string(C::NAME.as_bytes());
        writer.string(&C::point(&C::public(&self.0)));
        writer.mpint(&C::scalar(&self.0));
    }

    fn sign(&self, _: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let pair = C::sign(&self.0, message)
            .ok_or_else(|| SignatureError::SignerFailed("no nonce was found".to_owned()))?;
        let (r, s) = pair.split_at_checked(C::BYTES).unwrap_or_default();
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.mpint(r);
        writer.mpint(s);
        Ok(out)
    }
}

fn read_public<C: Curve>(reader: &mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError> {
    Ok(Arc::new(Public::<C>(read_point::<C>(reader)?, PhantomData)))
}

/// `string curve, string point`: the curve must be the one that the type names.
pub(super) fn read_point<C: Curve>(reader: &mut Reader<'_>) -> Result<C::Verifying, KeyError> {
    let curve = reader.string()?;
    if curve != C::NAME.as_bytes() {
        return Err(KeyError::WrongCurve {
            expected: C::NAME,
            found: shown(curve),
        });
    }
    let point = reader.string()?;
    if point == INFINITY {
        return Err(KeyError::BadPoint("at infinity"));
    }
    let expected = C::BYTES * 2 + 1;
    if point.first() != Some(&UNCOMPRESSED) || point.len() != expected {
        return Err(KeyError::BadPoint("not uncompressed"));
    }
    C::verifying(point).ok_or(KeyError::BadPoint("not on the curve"))
}

fn read_private<C: Curve>(reader: &mut Reader<'_>) -> Result<Box<dyn PrivateMaterial>, KeyError> {
    let public = read_point::<C>(reader)?;
    let number = reader.mpint()?;
    let mut scalar = Zeroizing::new(Vec::with_capacity(C::BYTES));
    if !append_padded(&mut scalar, &number, C::BYTES) {
        return Err(KeyError::BadScalar);
    }
    let key = C::signing(&scalar).ok_or(KeyError::BadScalar)?;
    if C::point(&C::public(&key)) != C::point(&public) {
        return Err(KeyError::HalvesDiffer);
    }
    Ok(Box::new(Private::<C>(key)))
}
