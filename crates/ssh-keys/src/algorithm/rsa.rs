//! `rsa-sha2-512`, `rsa-sha2-256` (RFC 8332) and, to verify only, `ssh-rsa` (RFC 4253 §6.6): RSASSA-PKCS1-v1_5.
//!
//! ```text
//! public blob      string "ssh-rsa" · mpint e · mpint n                                        RFC 4253 §6.6
//! signature blob   string algorithm · string signature                                         RFC 8332 §3
//! private section  string "ssh-rsa" · mpint n · mpint e · mpint d · mpint q⁻¹ mod p · mpint p · mpint q
//! ```
//!
//! One type of key, three algorithms: the name in the signature says which hash was used, and must be the one that was
//! agreed on. `ssh-rsa` means SHA-1; it is legacy, and no key here signs with it.
//!
//! A modulus has [`MIN_MODULUS_BITS`] to [`MAX_MODULUS_BITS`], an exponent is odd, at least 3, and below 2³³: whatever key
//! a peer sends, a verification costs little. Private keys are those that ring works with: 2048, 3072 or 4096 bits. ring
//! checks each signature before it gives it out, so that a fault in the processor does not betray the key.

use std::sync::Arc;

use crypto_bigint::{BoxedUint, NonZero};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaParameters,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{PrivateMaterial, PublicMaterial, SignatureAlgorithm, SignatureParts};
use crate::wire::{Reader, Tier, Writer};
use crate::{Demands, KeyError, PublicKey, SecurityKeyUse, SignatureError};

/// The smallest RSA modulus that is taken, in bits.
pub const MIN_MODULUS_BITS: usize = 2048;
/// The largest RSA modulus that is taken, in bits.
pub const MAX_MODULUS_BITS: usize = 8192;
/// An exponent below this many bits makes verification cheap; nearly every key has 65537.
const MAX_EXPONENT_BITS: usize = 33;

const KEY_TYPE: &str = "ssh-rsa";

/// `rsa-sha2-512` (RFC 8332).
pub static RSA_SHA2_512: SignatureAlgorithm = algorithm("rsa-sha2-512", Tier::Compatible);
/// `rsa-sha2-256` (RFC 8332).
pub static RSA_SHA2_256: SignatureAlgorithm = algorithm("rsa-sha2-256", Tier::Compatible);
/// `ssh-rsa` (RFC 4253 §6.6), with SHA-1: to verify what an old peer signs, if its user asks for it by name.
pub static SSH_RSA: SignatureAlgorithm = algorithm(KEY_TYPE, Tier::Legacy);

static ALGORITHMS: [&SignatureAlgorithm; 2] = [&RSA_SHA2_512, &RSA_SHA2_256];

const fn algorithm(name: &'static str, tier: Tier) -> SignatureAlgorithm {
    SignatureAlgorithm {
        name,
        signature_name: name,
        key_type: KEY_TYPE,
        tier,
        certified: None,
        read_public,
        read_private,
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
        let parameters: &RsaParameters = if *algorithm == RSA_SHA2_512 {
            &RSA_PKCS1_2048_8192_SHA512
        } else if *algorithm == RSA_SHA2_256 {
            &RSA_PKCS1_2048_8192_SHA256
        } else {
            &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
        };
        let expected = self.n.len();
        let Some(missing) = expected.checked_sub(signature.len()) else {
            let found = signature.len();
            return Err(SignatureError::WrongLength { expected, found });
        };
        let mut padded = vec![0; missing];
        padded.extend_from_slice(signature);
        let key = PublicKeyComponents {
            n: &self.n,
            e: &self.e,
        };
        key.verify(parameters, message, &padded)
            .map_err(|_| SignatureError::Invalid)?;
        Ok(None)
    }
}

/// The numbers as the file has them, to write them again, and the key as ring wants it, to sign. Ours are wiped; ring
/// does not wipe its own.
struct Private {
    pair: KeyPair,
    public: Public,
    d: Zeroizing<Vec<u8>>,
    q_inverse: Zeroizing<Vec<u8>>,
    p: Zeroizing<Vec<u8>>,
    q: Zeroizing<Vec<u8>>,
}

impl PrivateMaterial for Private {
    fn algorithms(&self) -> &'static [&'static SignatureAlgorithm] {
        &ALGORITHMS
    }

    fn public(&self) -> PublicKey {
        let mut blob = Vec::new();
        let mut writer = Writer::new(&mut blob);
        writer.string(KEY_TYPE.as_bytes());
        writer.mpint(&self.public.e);
        writer.mpint(&self.public.n);
        PublicKey::from_parts(blob, KEY_TYPE, Arc::new(self.public.clone()))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let Public { n, e } = &self.public;
        for number in [n, e, &self.d, &self.q_inverse, &self.p, &self.q] {
            writer.mpint(number);
        }
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let encoding: &'static dyn RsaEncoding = if *algorithm == RSA_SHA2_512 {
            &RSA_PKCS1_SHA512
        } else {
            &RSA_PKCS1_SHA256
        };
        let mut signature = vec![0; self.pair.public().modulus_len()];
        // ring asks for its own source of randomness, and uses none for this padding.
        self.pair
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignatureError::SignerFailed("the RSA key does not work".to_owned()))?;
        Ok(signature)
    }
}

fn read_public(reader: &mut Reader<'_>) -> Result<Arc<dyn PublicMaterial>, KeyError> {
    let (e, n) = (reader.mpint()?, reader.mpint()?);
    Ok(Arc::new(Public::new(n.magnitude(), e.magnitude())?))
}

fn read_private(reader: &mut Reader<'_>) -> Result<Box<dyn PrivateMaterial>, KeyError> {
    let (n, e) = (reader.mpint()?.magnitude(), reader.mpint()?.magnitude());
    let public = Public::new(n, e)?;
    let (d, q_inverse) = (reader.mpint()?.magnitude(), reader.mpint()?.magnitude());
    let (p, q) = (reader.mpint()?.magnitude(), reader.mpint()?.magnitude());
    if [d, q_inverse, p, q].iter().any(|number| number.len() > n.len()) {
        return Err(KeyError::HalvesDiffer);
    }
    let d_p = reduced_exponent(d, p, e, n.len())?;
    let d_q = reduced_exponent(d, q, e, n.len())?;
    let pair = KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &d_p,
        dQ: &d_q,
        qInv: q_inverse,
    })
    .map_err(|rejected| KeyError::UnusableRsaKey(rejected.to_string()))?;
    let kept = |number: &[u8]| Zeroizing::new(number.to_vec());
    Ok(Box::new(Private {
        pair,
        public,
        d: kept(d),
        q_inverse: kept(q_inverse),
        p: kept(p),
        q: kept(q),
    }))
}

/// `d mod (prime − 1)`, which files do not hold and ring wants, in the bytes of the prime; it must be the inverse of `e`
/// there. The numbers are secret: nothing here takes longer for one value than for another of its length.
fn reduced_exponent(
    d: &[u8],
    prime: &[u8],
    e: &[u8],
    modulus_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // Room for the product of a number below the modulus and the exponent.
    let bytes = modulus_bytes.saturating_add(8);
    let precision = u32::try_from(bytes.saturating_mul(8)).map_err(|_| KeyError::HalvesDiffer)?;
    let number =
        |bytes: &[u8]| BoxedUint::from_be_slice(bytes, precision).map_err(|_| KeyError::HalvesDiffer);
    let one = BoxedUint::one_with_precision(precision);
    let below = NonZero::new(number(prime)?.wrapping_sub(&one))
        .into_option()
        .ok_or(KeyError::HalvesDiffer)?;
    let mut d = number(d)?;
    let mut reduced = d.rem(&below);
    d.zeroize();
    let mut product = reduced.wrapping_mul(&number(e)?);
    let mut rest = product.rem(&below);
    let inverse = rest == one;
    product.zeroize();
    rest.zeroize();
    below.get().zeroize();
    let long = Zeroizing::new(reduced.to_be_bytes().into_vec());
    reduced.zeroize();
    let start = long.len().saturating_sub(prime.len());
    match long.get(start..) {
        Some(short) if inverse => Ok(Zeroizing::new(short.to_vec())),
        _ => Err(KeyError::HalvesDiffer),
    }
}

/// The length of a number in shortest form, in bits.
fn bits(number: &[u8]) -> usize {
    let first = number.first().map_or(0, |first| first.leading_zeros());
    number
        .len()
        .saturating_mul(8)
        .saturating_sub(crate::wire::usize_from(first))
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = include_bytes!("../../tests/fixtures/rsa");

    /// The numbers of a file that no passphrase protects.
    fn numbers() -> [Vec<u8>; 6] {
        let file = crate::PrivateKey::from_openssh(KEY, None).unwrap();
        let mut section = Vec::new();
        file.material().write(&mut Writer::new(&mut section));
        let mut reader = Reader::new(&section);
        std::array::from_fn(|_| reader.mpint().unwrap().magnitude().to_vec())
    }

    /// A fault in one half of the computation (one bit of one of the two exponents) makes a signature that gives the
    /// key away to whoever sees it. Each bit of both, five messages each: none comes out.
    #[test]
    fn b16_a_fault_in_one_half_gives_no_signature_away() {
        let [n, e, d, q_inverse, p, q] = numbers();
        let public = Public::new(&n, &e).unwrap();
        let halves = [&p, &q].map(|prime| reduced_exponent(&d, prime, &e, n.len()).unwrap().to_vec());
        let key = |[d_p, d_q]: &[Vec<u8>; 2]| {
            let pair = KeyPair::from_components(&KeyPairComponents {
                public_key: PublicKeyComponents { n: &n, e: &e },
                d: &d,
                p: &p,
                q: &q,
                dP: d_p,
                dQ: d_q,
                qInv: &q_inverse,
            });
            let none = Zeroizing::new(Vec::new());
            pair.ok().map(|pair| Private {
                pair,
                public: public.clone(),
                d: none.clone(),
                q_inverse: none.clone(),
                p: none.clone(),
                q: none.clone(),
            })
        };
        let right = key(&halves).unwrap();
        assert!(right.sign(&RSA_SHA2_256, b"right").is_ok());
        let (mut tried, mut refused) = (0, 0);
        for half in 0..2 {
            for bit in 0..halves[half].len() * 8 {
                let mut faulty = halves.clone();
                faulty[half][bit / 8] ^= 1 << (bit % 8);
                let Some(faulty) = key(&faulty) else {
                    refused += 1;
                    continue;
                };
                for message in 0..5_u8 {
                    let algorithm = if message % 2 == 0 {
                        &RSA_SHA2_256
                    } else {
                        &RSA_SHA2_512
                    };
                    let outcome = faulty.sign(algorithm, &[message]);
                    assert!(
                        matches!(outcome, Err(SignatureError::SignerFailed(_))),
                        "half {half}, bit {bit}"
                    );
                    tried += 1;
                }
            }
        }
        // A few are noticed before: an exponent that is even, or not below its prime.
        assert!(
            tried > 10_000 && refused < 10,
            "{tried} faults, {refused} refused"
        );
    }
}
