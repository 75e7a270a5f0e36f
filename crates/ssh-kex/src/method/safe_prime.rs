//! Whether p is a safe prime: p prime, and q = (p - 1) / 2 prime, too. A client asks this of a group that a server made up.
//!
//! 1. Small primes divide neither (which ends it for nearly every number that is not one).
//! 2. 2^q is 1 or -1 modulo p. If q is prime, then so is p (Pocklington's criterion with the factor q > √p of p - 1: 2² - 1
//!    = 3 has no factor in common with p), so what remains is to know that q is.
//! 3. q passes [`ROUNDS`] rounds of Miller and Rabin with random bases.
//!
//! Each of the two last is a full exponentiation per round: 11 ms for 3072 bits, 0.2 s for 8192.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, NonZero, Odd};

use crate::wire::rand_core::CryptoRng;

/// Rounds of Miller and Rabin. A composite number chosen to deceive passes one of them with a chance of at most 1/4, all
/// with one of 1/1024; one that was not chosen for it practically never passes the first.
pub(super) const ROUNDS: u32 = 5;

/// Primes below this are tried as factors.
const SMALL: u64 = 2000;

/// Whether the modulus of `params` is a safe prime.
pub(super) fn is_safe_prime(params: &BoxedMontyParams, rng: &mut dyn CryptoRng) -> bool {
    let p: &BoxedUint = params.modulus();
    let q = p.wrapping_shr_vartime(1);
    if has_small_factor(p) {
        return false;
    }
    let Some(odd_q) = Odd::new(q.clone()).into_option() else {
        return false;
    };
    let one = BoxedMontyForm::one(params);
    let power = (&one + &one).pow(&q);
    if power != one && power != -&one {
        return false;
    }
    let params = BoxedMontyParams::new_vartime(odd_q);
    (0..ROUNDS).all(|_| passes_round(&params, rng))
}

/// Whether a small prime divides p or (p - 1) / 2; p is larger than all of them.
fn has_small_factor(p: &BoxedUint) -> bool {
    let bytes = p.to_be_bytes();
    let small = (3..SMALL).filter(|number| {
        !(2..*number)
            .take_while(|d| d * d <= *number)
            .any(|d| number % d == 0)
    });
    small.into_iter().any(|prime| {
        let rest = bytes.iter().fold(0, |rest: u64, byte| {
            rest.wrapping_mul(256)
                .wrapping_add(u64::from(*byte))
                .checked_rem(prime)
                .unwrap_or_default()
        });
        rest <= 1
    })
}

/// One round of Miller and Rabin for the modulus of `params`, with a base of the generator's choice.
fn passes_round(params: &BoxedMontyParams, rng: &mut dyn CryptoRng) -> bool {
    let q: &BoxedUint = params.modulus();
    let one = BoxedMontyForm::one(params);
    let minus_one = -&one;
    let even = q.wrapping_sub(BoxedUint::one_with_precision(q.bits_precision()));
    let twos = even.trailing_zeros_vartime();
    let Some(base) = random_below(q, rng) else {
        return false;
    };
    let mut power = BoxedMontyForm::new(base, params).pow(&even.wrapping_shr_vartime(twos));
    if power == one || power == minus_one {
        return true;
    }
    for _ in 1..twos {
        power = power.square();
        if power == minus_one {
            return true;
        }
    }
    false
}

/// A number below `limit`, drawn 64 bits too long so that none is likelier than another.
fn random_below(limit: &BoxedUint, rng: &mut dyn CryptoRng) -> Option<BoxedUint> {
    let mut bytes = vec![0; limit.to_be_bytes().len().saturating_add(8)];
    rng.fill_bytes(&mut bytes);
    let limit = NonZero::new(limit.clone()).into_option()?;
    Some(BoxedUint::from_be_slice_vartime(&bytes).rem_vartime(&limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::tests::Counter;

    fn is_safe(hex: &str) -> bool {
        let number = BoxedUint::from_be_slice_vartime(&unhex(hex));
        let params = BoxedMontyParams::new_vartime(Odd::new(number).unwrap());
        is_safe_prime(&params, &mut Counter(1))
    }

    /// Numbers of 256 or 257 bits without small factors, in them or in half of them less one, drawn and tested by Python.
    #[test]
    fn only_safe_primes_pass() {
        for (what, hex, expected) in [
            (
                "a safe prime",
                "e21a3163c2809af03da039c2b325e8c7cb924fc5b2c2124f8f365f43de690697",
                true,
            ),
            (
                "a safe prime of 257 bits: its half is a word shorter",
                "01b21cc82289b276aa99708fe9577f1838baa9075ed0283b64ea1d412b1bd856ff",
                true,
            ),
            (
                "a prime of 257 bits whose half is composite",
                "014fbcb8523c322aeee570fd3885d7b1bffaea5dd8813bfb83852b7652bf5ba14b",
                false,
            ),
            (
                "a prime whose half is composite",
                "fbc37ae67e5269c6d2e607c65ee0e9731e93e8e0f0446363eb99fcb613229c1b",
                false,
            ),
            (
                "a composite number whose half is prime",
                "a51eabe641d57317744d34c9891645eaafd036eb0f63f8489f4746054a1ccf07",
                false,
            ),
            (
                "a product of two primes",
                "d20eb466bed655c7ffc729ec046463fd3cd9ee1e42cc80a59bf72ccf5621be1b",
                false,
            ),
            (
                "2²⁵⁵ - 19, a prime of the form 4n + 1",
                "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed",
                false,
            ),
            (
                "a multiple of 3",
                "8000000000000000000000000000000000000000000000000000000000000007",
                false,
            ),
        ] {
            assert_eq!(is_safe(hex), expected, "{what}");
        }
    }

    #[test]
    fn composite_numbers_fail_a_round_with_practically_every_base() {
        let product = unhex("d20eb466bed655c7ffc729ec046463fd3cd9ee1e42cc80a59bf72ccf5621be1b");
        let product = Odd::new(BoxedUint::from_be_slice_vartime(&product)).unwrap();
        let params = BoxedMontyParams::new_vartime(product);
        let mut rng = Counter(9);
        assert!(!(0..100).any(|_| passes_round(&params, &mut rng)));
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }
}
