//! ML-KEM (FIPS 203) for the hybrids.

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

            fn decapsulate(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
                let ciphertext = $set::$ciphertext::try_from(ciphertext).ok()?;
                Some(kept($set::decapsulate(&self.0, &ciphertext)))
            }
        }
    };
}

parameter_set! {
    /// ML-KEM-768.
    MlKem768, mlkem768, MlKem768PrivateKey, MlKem768PublicKey, MlKem768Ciphertext
}

parameter_set! {
    /// ML-KEM-1024.
    MlKem1024, mlkem1024, MlKem1024PrivateKey, MlKem1024PublicKey, MlKem1024Ciphertext
}

/// The secret where it will be wiped.
fn kept(mut secret: libcrux_ml_kem::MlKemSharedSecret) -> Zeroizing<Vec<u8>> {
    let kept = Zeroizing::new(secret.to_vec());
    secret.zeroize();
    kept
}
