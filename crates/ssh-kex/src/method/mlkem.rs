//! ML-KEM (FIPS 203) for the hybrids: ML-KEM-768 by whichever of two libraries is faster on this processor
//! (docs/decisions/0013 and 0015), ML-KEM-1024 by the one that has it.

use std::ops::IndexMut;

use libcrux_ml_kem::{mlkem768, mlkem1024};
use zeroize::{Zeroize, Zeroizing};

use super::hybrid::Kem;
use crate::wire::rand_core::CryptoRng;

/// One parameter set: the library has a module of its own for each.
macro_rules! parameter_set {
    ($(#[$doc:meta])* $name:ident, $set:ident, $private:ident, $public:ident, $ciphertext:ident) => {
        $(#[$doc])*
        pub(super) struct $name($set::$private);

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.index_mut(0..$set::$private::len()).zeroize();
            }
        }

        impl Kem for $name {
            const KEY_BYTES: usize = $set::$public::len();
            const CIPHERTEXT_BYTES: usize = $set::$ciphertext::len();

            fn generate(rng: &mut dyn CryptoRng) -> (Self, Vec<u8>) {
                let mut seed = Zeroizing::new([0; libcrux_ml_kem::KEY_GENERATION_SEED_SIZE]);
                rng.fill_bytes(&mut *seed);
                let (private, public) = $set::generate_key_pair(*seed).into_parts();
                (Self(private), public.as_slice().to_vec())
            }

            fn encapsulate(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
                let key = $set::$public::try_from(key).ok()?;
                // FIPS 203 §7.2, the modulus check: a coefficient that is not reduced makes this fail.
                if !$set::validate_public_key(&key) {
                    return None;
                }
                let mut random = Zeroizing::new([0; libcrux_ml_kem::ENCAPS_SEED_SIZE]);
                rng.fill_bytes(&mut *random);
                let (ciphertext, secret) = $set::encapsulate(&key, *random);
                Some((ciphertext.as_slice().to_vec(), kept(secret)))
            }

            fn decapsulate(self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
                let ciphertext = $set::$ciphertext::try_from(ciphertext).ok()?;
                Some(kept($set::decapsulate(&self.0, &ciphertext)))
            }
        }
    };
}

parameter_set! {
    /// ML-KEM-768 for every processor.
    Portable768, mlkem768, MlKem768PrivateKey, MlKem768PublicKey, MlKem768Ciphertext
}

parameter_set! {
    /// ML-KEM-1024.
    MlKem1024, mlkem1024, MlKem1024PrivateKey, MlKem1024PublicKey, MlKem1024Ciphertext
}

/// ML-KEM-768.
pub(super) enum MlKem768 {
    /// Where the other does not run. In a box: it is 2,400 bytes.
    Portable(Box<Portable768>),
    /// Where it does.
    #[cfg(target_arch = "x86_64")]
    Assembler(assembler::Assembler768),
}

impl Kem for MlKem768 {
    const KEY_BYTES: usize = Portable768::KEY_BYTES;
    const CIPHERTEXT_BYTES: usize = Portable768::CIPHERTEXT_BYTES;

    fn generate(rng: &mut dyn CryptoRng) -> (Self, Vec<u8>) {
        #[cfg(target_arch = "x86_64")]
        if graviola::util::is_cpu_supported() {
            let (secret, key) = assembler::Assembler768::generate(rng);
            return (Self::Assembler(secret), key);
        }
        let (secret, key) = Portable768::generate(rng);
        (Self::Portable(Box::new(secret)), key)
    }

    fn encapsulate(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        #[cfg(target_arch = "x86_64")]
        if graviola::util::is_cpu_supported() {
            return assembler::Assembler768::encapsulate(key, rng);
        }
        Portable768::encapsulate(key, rng)
    }

    fn decapsulate(self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Portable(secret) => secret.decapsulate(ciphertext),
            #[cfg(target_arch = "x86_64")]
            Self::Assembler(secret) => secret.decapsulate(ciphertext),
        }
    }
}

/// For processors with ADX, BMI2 and AVX2: the arithmetic of s2n-bignum.
#[cfg(target_arch = "x86_64")]
mod assembler {
    use graviola::key_agreement::mlkem768::{Ciphertext, DecapKey, EncapKey, Message};
    use zeroize::Zeroizing;

    use super::{Kem, Portable768};
    use crate::wire::rand_core::CryptoRng;

    /// The length of what a key pair is made of, in bytes.
    const SEED_BYTES: usize = 64;

    /// The secret key as FIPS 203 §7.1 lets it be kept: what it was made of. The library's own form has everything that was
    /// computed on the way, and its 7 KiB would be half of what a connection may cost before the other side has a name; to
    /// make it again takes a third of what the other library takes to decapsulate.
    pub(in super::super) struct Assembler768(Zeroizing<[u8; SEED_BYTES]>);

    /// The functions of FIPS 203 §6, which are given their randomness, are those that the library's tests are for; the ones
    /// of §7 around them take it from the system.
    impl Kem for Assembler768 {
        const KEY_BYTES: usize = Portable768::KEY_BYTES;
        const CIPHERTEXT_BYTES: usize = Portable768::CIPHERTEXT_BYTES;

        fn generate(rng: &mut dyn CryptoRng) -> (Self, Vec<u8>) {
            let mut seed = Zeroizing::new([0; SEED_BYTES]);
            rng.fill_bytes(&mut *seed);
            let key = DecapKey::keygen_internal(&seed).encapsulation_key();
            (Self(seed), key.as_bytes().to_vec())
        }

        fn encapsulate(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
            // It makes the modulus check of §7.2.
            let key = EncapKey::from_bytes(key.try_into().ok()?).ok()?;
            let mut random = Message([0; 32]);
            rng.fill_bytes(&mut random.0);
            let (secret, ciphertext) = key.encaps_internal(random);
            Some((
                ciphertext.as_ref().to_vec(),
                Zeroizing::new(secret.as_ref().to_vec()),
            ))
        }

        fn decapsulate(self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
            let ciphertext: [u8; Self::CIPHERTEXT_BYTES] = ciphertext.try_into().ok()?;
            let secret = DecapKey::keygen_internal(&self.0).decaps(&Ciphertext::from(ciphertext));
            Some(Zeroizing::new(secret.as_ref().to_vec()))
        }
    }
}

/// The secret where it will be wiped.
fn kept(mut secret: libcrux_ml_kem::MlKemSharedSecret) -> Zeroizing<Vec<u8>> {
    let kept = Zeroizing::new(secret.to_vec());
    secret.zeroize();
    kept
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha20Rng;

    use super::*;
    use crate::wire::rand_core::{Rng, SeedableRng};

    /// What a library makes of these seeds: a key, a ciphertext for it, and the secrets of both sides.
    fn exchange<K: Kem>(seed: u64, spoil: impl Fn(&mut [u8])) -> [Vec<u8>; 4] {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (secret, key) = K::generate(&mut rng);
        let (mut ciphertext, theirs) = K::encapsulate(&key, &mut rng).unwrap();
        spoil(&mut ciphertext);
        let ours = secret.decapsulate(&ciphertext).unwrap();
        [key, ciphertext, theirs.to_vec(), ours.to_vec()]
    }

    #[test]
    fn the_libraries_agree_with_each_other() {
        for seed in 0..200 {
            let [key, ciphertext, theirs, ours] = exchange::<MlKem768>(seed, |_| ());
            assert_eq!(theirs, ours);
            assert_eq!(
                [key, ciphertext, theirs, ours],
                exchange::<Portable768>(seed, |_| ())
            );
        }
    }

    #[test]
    fn a_forged_ciphertext_gives_both_the_same_secret_that_nobody_knows() {
        for seed in 0..200 {
            let forge = |ciphertext: &mut [u8]| {
                let mut rng = ChaCha20Rng::seed_from_u64(!seed);
                let at = usize::try_from(rng.next_u32()).unwrap() % ciphertext.len();
                ciphertext[at] ^= 1 << (seed % 8);
            };
            let [key, ciphertext, theirs, ours] = exchange::<MlKem768>(seed, forge);
            assert_ne!(theirs, ours);
            assert_eq!(
                [key, ciphertext, theirs, ours],
                exchange::<Portable768>(seed, forge)
            );
        }
    }

    #[test]
    fn both_refuse_keys_with_a_coefficient_that_is_not_reduced() {
        let (_, key) = Portable768::generate(&mut ChaCha20Rng::seed_from_u64(0));
        // 3329 is the modulus; the first coefficient is the first twelve bits.
        for (coefficient, taken) in [(3328_u16, true), (3329, false), (4095, false)] {
            let [low, high] = coefficient.to_le_bytes();
            let mut key = key.clone();
            (key[0], key[1]) = (low, (key[1] & 0xf0) | high);
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            assert_eq!(MlKem768::encapsulate(&key, &mut rng).is_some(), taken);
            assert_eq!(Portable768::encapsulate(&key, &mut rng).is_some(), taken);
        }
    }
}
