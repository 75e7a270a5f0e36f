//! Diffie-Hellman over the integers modulo a prime p (RFC 4253 §8): what the fixed groups and group exchange share.
//!
//! Exponents have [`EXPONENT_BITS`], far fewer than p, and powers are computed in constant time. Nothing is computed for
//! a peer before its number was checked to be between 1 and p - 1, both exclusive (RFC 4253 §8, RFC 8268 §4): what
//! this leaves out are the numbers that would fix the secret.

use std::cell::OnceCell;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use zeroize::Zeroizing;

use super::MethodError;
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Encode, Mpint, Writer};

/// The length of a private exponent, in bits: twice the strength of the strongest cipher. In a group whose modulus is a safe
/// prime nothing is gained by a longer one, and it would make it cheap to keep us busy (CVE-2022-40735).
pub(super) const EXPONENT_BITS: u32 = 512;
const EXPONENT_BYTES: usize = 64;

/// A group: a modulus and a generator. What the arithmetic needs is shared by its clones.
#[derive(Clone)]
pub(super) struct Group {
    generator: BoxedMontyForm,
}

impl Group {
    /// A group the peer or a file chose. Refuses an even modulus, and a generator that generates nothing.
    pub(super) fn new(modulus: Mpint<'_>, generator: Mpint<'_>) -> Result<Self, MethodError> {
        let modulus = Odd::new(BoxedUint::from_be_slice_vartime(modulus.magnitude()))
            .into_option()
            .ok_or(MethodError::Group("whose modulus is even"))?;
        let params = BoxedMontyParams::new_vartime(modulus);
        let generator = element(&params, generator)
            .ok_or(MethodError::Group("whose generator is not between 1 and p - 1"))?;
        Ok(Self { generator })
    }

    /// A group that an RFC gives a number, with the generator 2.
    pub(super) fn numbered(prime: BoxedUint) -> Self {
        let bits = prime.bits_precision();
        let Some(modulus) = Odd::new(prime).into_option() else {
            // No input decides about this, and the tests of `modp` would fail.
            unreachable!("a prime of an RFC is even")
        };
        let params = BoxedMontyParams::new_vartime(modulus);
        let two = BoxedUint::one_with_precision(bits).wrapping_add(BoxedUint::one_with_precision(bits));
        Self {
            generator: BoxedMontyForm::new(two, &params),
        }
    }

    pub(super) fn params(&self) -> &BoxedMontyParams {
        self.generator.params()
    }

    /// The length of p, in bits.
    pub(super) fn modulus_bits(&self) -> u32 {
        self.params().modulus().bits_vartime()
    }

    /// p, big-endian, without leading zeros.
    pub(super) fn modulus_bytes(&self) -> Vec<u8> {
        self.params().modulus().to_be_bytes_trimmed_vartime().into_vec()
    }

    /// g, big-endian, without leading zeros.
    pub(super) fn generator_bytes(&self) -> Vec<u8> {
        self.generator.retrieve().to_be_bytes_trimmed_vartime().into_vec()
    }
}

/// A number in the form that its arithmetic needs, if it is between 1 and p - 1.
fn element(params: &BoxedMontyParams, number: Mpint<'_>) -> Option<BoxedMontyForm> {
    let precision = params.bits_precision();
    let number = BoxedUint::from_be_slice(number.magnitude(), precision).ok()?;
    let one = BoxedUint::one_with_precision(precision);
    let last = params.modulus().wrapping_sub(&one);
    (number > one && number < last).then(|| BoxedMontyForm::new(number, params))
}

/// A key pair for one exchange. Its public half is computed when it is first asked for: a server has checked the client's
/// by then.
pub(super) struct KeyPair {
    group: Group,
    exponent: Zeroizing<BoxedUint>,
    share: OnceCell<Vec<u8>>,
}

impl KeyPair {
    /// A fresh exponent. Its highest bit is set, so that it has its whole length.
    pub(super) fn generate(group: Group, rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; EXPONENT_BYTES]);
        rng.fill_bytes(&mut *bytes);
        if let Some(first) = bytes.first_mut() {
            *first |= 0x80;
        }
        Self {
            group,
            exponent: Zeroizing::new(BoxedUint::from_be_slice_truncated(&*bytes, EXPONENT_BITS)),
            share: OnceCell::new(),
        }
    }

    pub(super) const fn group(&self) -> &Group {
        &self.group
    }

    /// Our public value: e of a client, f of a server.
    pub(super) fn share(&self) -> Mpint<'_> {
        let bytes = self
            .share
            .get_or_init(|| self.power(&self.group.generator).to_vec());
        Mpint::from_magnitude(bytes)
    }

    /// K, as long as p.
    pub(super) fn agree(&self, theirs: Mpint<'_>) -> Result<Zeroizing<Vec<u8>>, MethodError> {
        let theirs =
            element(self.group.params(), theirs).ok_or(MethodError::ShareValue("not between 1 and p - 1"))?;
        Ok(self.power(&theirs))
    }

    fn power(&self, base: &BoxedMontyForm) -> Zeroizing<Vec<u8>> {
        let power = Zeroizing::new(base.pow(&self.exponent));
        let number = Zeroizing::new(power.retrieve());
        Zeroizing::new(number.to_be_bytes().into_vec())
    }
}

/// Numbers as they enter the exchange hash, one behind the other.
pub(super) fn encoded<const N: usize>(numbers: [Mpint<'_>; N]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for number in numbers {
        number.encode(&mut writer);
    }
    out
}
