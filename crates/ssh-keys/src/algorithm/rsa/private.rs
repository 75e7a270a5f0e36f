//! Private RSA keys: made, read, and used to sign.
//!
//! ring signs with keys of 2048 to 4096 bits whose primes have a multiple of 512; the rest, and SHA-1, is the work of the
//! crate `rsa`, blinded with random numbers so that its timing tells nothing of the key (RUSTSEC-2023-0071), by the
//! generator that ring uses for its own blinding. Whichever made it, a signature is given out only after it was verified:
//! a fault in the processor must not betray the key.

use std::sync::Arc;

use crypto_bigint::{BoxedUint, NonZero};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use rsa::RsaPrivateKey;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _, SignatureScheme as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::{ALGORITHMS, KEY_TYPE, MAX_MODULUS_BITS, MIN_MODULUS_BITS, Public, Scheme, uint};
use crate::algorithm::{PrivateMaterial, PublicMaterial as _, SignatureAlgorithm, SignatureParts};
use crate::wire::rand_core::{CryptoRng, TryCryptoRng, TryRng};
use crate::wire::{Reader, Writer};
use crate::{Demands, KeyError, PublicKey, SignatureError};

/// A new key of so many bits with the exponent 65537 (FIPS 186-5 §5.1).
pub(crate) fn generate(bits: usize, rng: &mut dyn CryptoRng) -> Result<Box<dyn PrivateMaterial>, KeyError> {
    if !(MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let unusable = |error: rsa::Error| KeyError::UnusableRsaKey(error.to_string());
    let key = RsaPrivateKey::new(rng, bits).map_err(unusable)?;
    let [p, q] = key.primes() else {
        return Err(KeyError::UnusableRsaKey("it has not two primes".to_owned()));
    };
    // Everybody's files have the greater prime first.
    let (p, q) = if p.as_ref() < q.as_ref() { (q, p) } else { (p, q) };
    let q_inverse = Option::from(q.as_ref().invert_odd_mod(p))
        .map(|inverse: BoxedUint| shortest(inverse))
        .ok_or(KeyError::HalvesDiffer)?;
    let numbers = Numbers {
        d: shortest(key.d().clone()),
        q_inverse,
        p: shortest(p.as_ref().clone()),
        q: shortest(q.as_ref().clone()),
    };
    let public = Public::new(&shortest(key.n().as_ref().clone()), &shortest(key.e().clone()))?;
    Ok(Box::new(Private::new(public, numbers)?))
}

/// The secret numbers of a key, in shortest form.
struct Numbers {
    d: Zeroizing<Vec<u8>>,
    q_inverse: Zeroizing<Vec<u8>>,
    p: Zeroizing<Vec<u8>>,
    q: Zeroizing<Vec<u8>>,
}

/// The numbers as the file has them, to write them again, and the key as a library wants it, to sign. Ours are wiped, and
/// those of the crate `rsa`; ring does not wipe its own.
struct Private {
    engine: Engine,
    public: Public,
    numbers: Numbers,
}

enum Engine {
    Ring(Box<KeyPair>),
    Rsa(Box<RsaPrivateKey>),
}

impl Private {
    /// Checks that the numbers belong together, and hands them to ring or, if that does not take their size, to `rsa`.
    fn new(public: Public, numbers: Numbers) -> Result<Self, KeyError> {
        let exponents = numbers.check(&public)?;
        let engine = match numbers.for_ring(&public, &exponents) {
            Some(pair) => Engine::Ring(Box::new(pair)),
            None => Engine::Rsa(Box::new(numbers.for_rsa(&public)?)),
        };
        Ok(Self {
            engine,
            public,
            numbers,
        })
    }

    fn make_signature(&self, scheme: &Scheme, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let failed = || SignatureError::SignerFailed("the RSA key does not work".to_owned());
        match (&self.engine, scheme.signs) {
            (Engine::Ring(pair), Some(encoding)) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| failed())?;
                Ok(signature)
            }
            (Engine::Rsa(key), _) => blinded(key, scheme, message).map_err(|_| failed()),
            // SHA-1: rare enough to be set up anew each time.
            (Engine::Ring(_), None) => {
                let key = self.numbers.for_rsa(&self.public).map_err(|_| failed())?;
                blinded(&key, scheme, message).map_err(|_| failed())
            }
        }
    }
}

impl PrivateMaterial for Private {
    fn algorithms(&self) -> &'static [&'static SignatureAlgorithm] {
        &ALGORITHMS
    }

    fn public(&self) -> PublicKey {
        PublicKey::from_parts(self.public.write_blob(), KEY_TYPE, Arc::new(self.public.clone()))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let Public { n, e } = &self.public;
        let Numbers { d, q_inverse, p, q } = &self.numbers;
        for number in [n, e, d, q_inverse, p, q] {
            writer.mpint(number);
        }
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let signature = self.make_signature(Scheme::of(algorithm), message)?;
        let parts = SignatureParts {
            bytes: &signature,
            behind: &[],
        };
        self.public
            .verify(algorithm, message, &parts, &Demands::default())
            .map_err(|_| SignatureError::SignerFailed("the RSA key made a wrong signature".to_owned()))?;
        Ok(signature)
    }
}

fn blinded(key: &RsaPrivateKey, scheme: &Scheme, message: &[u8]) -> Result<Vec<u8>, rsa::Error> {
    let hash = digest::digest(scheme.hash, message);
    scheme
        .padding()
        .sign(Some(&mut Blinding(SystemRandom::new())), key, hash.as_ref())
}

/// The system's randomness, in the form that the crate `rsa` asks for.
struct Blinding(SystemRandom);

impl TryRng for Blinding {
    type Error = rsa::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out).map_err(|_| rsa::Error::Rng)
    }
}

impl TryCryptoRng for Blinding {}

/// Reads what follows the type in the private section of a key file.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Box<dyn PrivateMaterial>, KeyError> {
    let (n, e) = (reader.mpint()?.magnitude(), reader.mpint()?.magnitude());
    let public = Public::new(n, e)?;
    let (d, q_inverse) = (reader.mpint()?.magnitude(), reader.mpint()?.magnitude());
    let (p, q) = (reader.mpint()?.magnitude(), reader.mpint()?.magnitude());
    if [d, q_inverse, p, q].iter().any(|number| number.len() > n.len()) {
        return Err(KeyError::HalvesDiffer);
    }
    let kept = |number: &[u8]| Zeroizing::new(number.to_vec());
    let numbers = Numbers {
        d: kept(d),
        q_inverse: kept(q_inverse),
        p: kept(p),
        q: kept(q),
    };
    Ok(Box::new(Private::new(public, numbers)?))
}

impl Numbers {
    /// Checks that `p·q = n`, that `q⁻¹` is what it says, and that `d` undoes `e`. Comes back with `d mod (p − 1)` and
    /// `d mod (q − 1)`.
    fn check(&self, public: &Public) -> Result<[Zeroizing<Vec<u8>>; 2], KeyError> {
        let Public { n, e } = public;
        let exponents = [
            reduced_exponent(&self.d, &self.p, e, n.len())?,
            reduced_exponent(&self.d, &self.q, e, n.len())?,
        ];
        let precision = precision(n.len())?;
        let number = |bytes: &[u8]| padded(bytes, precision);
        let one = BoxedUint::one_with_precision(precision);
        let p = NonZero::new(number(&self.p)?)
            .into_option()
            .ok_or(KeyError::HalvesDiffer)?;
        let (mut q, mut q_inverse) = (number(&self.q)?, number(&self.q_inverse)?);
        // Twice the modulus' bytes hold any product of numbers that are not longer than the modulus.
        let mut modulus = p.as_ref().wrapping_mul(&q);
        let mut product = q_inverse.wrapping_mul(&q);
        let mut rest = product.rem(&p);
        let sound = modulus == number(n)? && rest == one;
        for secret in [&mut q, &mut q_inverse, &mut modulus, &mut product, &mut rest] {
            secret.zeroize();
        }
        p.get().zeroize();
        if sound {
            Ok(exponents)
        } else {
            Err(KeyError::HalvesDiffer)
        }
    }

    /// `None`: ring does not take keys of this size, or with their primes in this order.
    fn for_ring(&self, public: &Public, exponents: &[Zeroizing<Vec<u8>>; 2]) -> Option<KeyPair> {
        let [d_p, d_q] = exponents;
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: public.n.as_slice(),
                e: public.e.as_slice(),
            },
            d: self.d.as_slice(),
            p: self.p.as_slice(),
            q: self.q.as_slice(),
            dP: d_p.as_slice(),
            dQ: d_q.as_slice(),
            qInv: self.q_inverse.as_slice(),
        };
        KeyPair::from_components(&components).ok()
    }

    fn for_rsa(&self, public: &Public) -> Result<RsaPrivateKey, KeyError> {
        let number = |bytes: &[u8]| uint(bytes).ok_or(KeyError::HalvesDiffer);
        RsaPrivateKey::from_components(
            number(&public.n)?,
            number(&public.e)?,
            number(&self.d)?,
            vec![number(&self.p)?, number(&self.q)?],
        )
        .map_err(|error| KeyError::UnusableRsaKey(error.to_string()))
    }
}

/// Room for the product of two numbers that are not longer than the modulus, in bits.
fn precision(modulus_bytes: usize) -> Result<u32, KeyError> {
    u32::try_from(modulus_bytes.saturating_mul(16)).map_err(|_| KeyError::HalvesDiffer)
}

fn padded(number: &[u8], precision: u32) -> Result<BoxedUint, KeyError> {
    BoxedUint::from_be_slice(number, precision).map_err(|_| KeyError::HalvesDiffer)
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

/// The bytes of a secret number without leading zeros.
fn shortest(mut number: BoxedUint) -> Zeroizing<Vec<u8>> {
    let long = Zeroizing::new(number.to_be_bytes().into_vec());
    number.zeroize();
    let start = long.iter().position(|&byte| byte != 0).unwrap_or(long.len());
    Zeroizing::new(long.get(start..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;
    use crate::algorithm::{RSA_SHA2_256, RSA_SHA2_512, SSH_RSA};

    const RSA: &[u8] = include_bytes!("../../../tests/fixtures/rsa");
    const ODD: &[u8] = include_bytes!("../../../tests/fixtures/rsa_2560");

    /// The key of a file, in the hands of this module.
    fn private(text: &[u8]) -> Private {
        let key = PrivateKey::from_openssh(text, None).unwrap();
        let mut section = Vec::new();
        key.material().write(&mut Writer::new(&mut section));
        let mut reader = Reader::new(&section);
        let mut next = || reader.mpint().unwrap().magnitude().to_vec();
        let public = Public::new(&next(), &next()).unwrap();
        let [d, q_inverse, p, q] = [next(), next(), next(), next()].map(Zeroizing::new);
        Private::new(public, Numbers { d, q_inverse, p, q }).unwrap()
    }

    #[test]
    fn each_size_has_its_library() {
        assert!(matches!(private(RSA).engine, Engine::Ring(_)));
        assert!(matches!(private(ODD).engine, Engine::Rsa(_)));
    }

    /// What a fault in the processor would make of a signature (Lenstra 1996) never leaves.
    #[test]
    fn a_wrong_signature_is_never_given_out() {
        for (text, other) in [(RSA, ODD), (ODD, RSA)] {
            let mut key = private(text);
            for algorithm in [&RSA_SHA2_512, &RSA_SHA2_256, &SSH_RSA] {
                assert!(key.sign(algorithm, b"message").is_ok(), "{algorithm}");
            }
            let stranger = private(other);
            key.engine = stranger.engine;
            key.numbers = stranger.numbers;
            for algorithm in [&RSA_SHA2_512, &RSA_SHA2_256, &SSH_RSA] {
                assert!(
                    matches!(
                        key.sign(algorithm, b"message"),
                        Err(SignatureError::SignerFailed(_))
                    ),
                    "{algorithm}"
                );
            }
        }
    }

    /// A fault in one half of the computation (one bit of one of the two exponents) makes a signature that gives the
    /// key away to whoever sees it. Each bit of both, five messages each: none comes out.
    #[test]
    fn b16_a_fault_in_one_half_gives_no_signature_away() {
        let mut key = private(RSA);
        let halves = key.numbers.check(&key.public).unwrap();
        let (mut tried, mut refused) = (0, 0);
        for half in 0..2 {
            for bit in 0..halves[half].len() * 8 {
                let mut faulty = halves.clone();
                faulty[half][bit / 8] ^= 1 << (bit % 8);
                let Some(pair) = key.numbers.for_ring(&key.public, &faulty) else {
                    refused += 1;
                    continue;
                };
                key.engine = Engine::Ring(Box::new(pair));
                for message in 0..5_u8 {
                    let algorithm = if message % 2 == 0 {
                        &RSA_SHA2_256
                    } else {
                        &RSA_SHA2_512
                    };
                    let outcome = key.sign(algorithm, &[message]);
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

    /// A CRT with one wrong half: the crate notices before we do.
    #[test]
    fn halves_that_do_not_belong_together_make_no_key() {
        for text in [RSA, ODD] {
            let key = private(text);
            for change in [
                |numbers: &mut Numbers| numbers.q_inverse = Zeroizing::new(vec![3]),
                |numbers: &mut Numbers| std::mem::swap(&mut numbers.p, &mut numbers.q),
                |numbers: &mut Numbers| numbers.q = numbers.p.clone(),
                |numbers: &mut Numbers| numbers.d = Zeroizing::new(vec![3]),
            ] {
                let kept = |number: &Zeroizing<Vec<u8>>| number.clone();
                let mut numbers = Numbers {
                    d: kept(&key.numbers.d),
                    q_inverse: kept(&key.numbers.q_inverse),
                    p: kept(&key.numbers.p),
                    q: kept(&key.numbers.q),
                };
                change(&mut numbers);
                assert!(matches!(
                    Private::new(key.public.clone(), numbers),
                    Err(KeyError::HalvesDiffer)
                ));
            }
        }
    }
}
