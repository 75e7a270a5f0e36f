//! ML-KEM (FIPS 203) for the hybrids.

use ml_kem::array::typenum::Unsigned;
use ml_kem::kem::{Ciphertext, Decapsulate, Encapsulate, FromSeed, KeyExport, KeySizeUser, Seed, TryKeyInit};
use zeroize::{Zeroize, Zeroizing};

use super::hybrid::Kem;
use crate::wire::rand_core::CryptoRng;

/// ML-KEM with the parameter set `P`.
pub(super) struct MlKem<P: ml_kem::Kem>(P::DecapsulationKey);

impl<P> Kem for MlKem<P>
where
    P: FromSeed,
    P::DecapsulationKey: Decapsulate<Kem = P> + Send,
{
    const KEY_BYTES: usize = <P::EncapsulationKey as KeySizeUser>::KeySize::USIZE;
    const CIPHERTEXT_BYTES: usize = P::CiphertextSize::USIZE;

    fn generate(rng: &mut dyn CryptoRng) -> (Self, Vec<u8>) {
        let mut seed = Seed::<P>::default();
        rng.fill_bytes(&mut seed);
        let (secret, public) = P::from_seed(&seed);
        seed.zeroize();
        (Self(secret), public.to_bytes().to_vec())
    }

    fn encapsulate(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        // FIPS 203 §7.2, the modulus check: a coefficient that is not reduced makes this fail.
        let key = P::EncapsulationKey::new_from_slice(key).ok()?;
        let (ciphertext, mut secret) = key.encapsulate_with_rng(rng);
        let kept = Zeroizing::new(secret.to_vec());
        secret.zeroize();
        Some((ciphertext.to_vec(), kept))
    }

    fn decapsulate(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let ciphertext = Ciphertext::<P>::try_from(ciphertext).ok()?;
        let mut secret = self.0.decapsulate(&ciphertext);
        let kept = Zeroizing::new(secret.to_vec());
        secret.zeroize();
        Some(kept)
    }
}
