//! The one place where system randomness enters the house.

use std::io;

use chacha20::ChaCha20Rng;

use crate::wire::rand_core::{CryptoRng, SeedableRng};

/// A generator for one connection: ChaCha20, seeded with 32 bytes of the operating system's randomness.
///
/// Make one for each connection, in the process that uses it: a copy that lived through a `fork` would repeat itself
/// in both processes. Fails where the operating system gives no randomness; nothing is ever drawn from a weaker source.
pub fn system_rng() -> io::Result<Box<dyn CryptoRng + Send>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let rng = ChaCha20Rng::from_seed(seed);
    seed.fill(0);
    Ok(Box::new(rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generators_never_agree() {
        let mut first = [0; 32];
        let mut second = [0; 32];
        system_rng().unwrap().fill_bytes(&mut first);
        system_rng().unwrap().fill_bytes(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 32]);
    }
}
