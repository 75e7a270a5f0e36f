//! The moduli that a client has tested on its connection, so that a server that shows one at each change of keys is not
//! believed at the price of a second each time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many are kept: more than a server has in use at once, and 8 KiB at most.
pub const MAX_TESTED_PRIMES: usize = 8;

/// The safe primes among the moduli of one connection's exchanges. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct TestedPrimes(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl TestedPrimes {
    /// Whether this modulus is good: it was when it was tested before, or `test` says so now, and then it is remembered.
    /// Of too many, the oldest is forgotten.
    pub(super) fn knows(&self, modulus: &[u8], test: impl FnOnce() -> bool) -> bool {
        if self.lock().iter().any(|known| known == modulus) {
            return true;
        }
        if !test() {
            return false;
        }
        let mut known = self.lock();
        if known.len() >= MAX_TESTED_PRIMES {
            known.pop_front();
        }
        known.push_back(modulus.to_vec());
        true
    }

    /// Exchanges come one after the other: nobody ever waits for it.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_tested_once_bad_ones_always_and_of_too_many_the_oldest_is_forgotten() {
        let tested = TestedPrimes::default();
        for number in 0..=8 {
            assert!(!tested.knows(&[number], || false));
            assert!(tested.knows(&[number], || true));
            assert!(tested.clone().knows(&[number], || panic!("it was tested before")));
        }
        let known: Vec<u8> = (0..10)
            .filter(|number| tested.knows(&[*number], || false))
            .collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
