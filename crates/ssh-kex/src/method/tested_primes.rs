//! The moduli that a client has tested on its connection, so that a server that shows one at each change of keys is not
//! believed at the price of a second each time.

use std::collections::VecDeque;
use std::sync::Arc;

/// How many are kept: more than a server has in use at once, and 8 KiB at most.
pub const MAX_TESTED_PRIMES: usize = 8;

/// The safe primes among the moduli of one connection's exchanges. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub struct TestedPrimes(Arc<VecDeque<Arc<[u8]>>>);

impl TestedPrimes {
    /// Whether this modulus has been tested, and was good.
    pub(super) fn contains(&self, modulus: &[u8]) -> bool {
        self.0.iter().any(|known| **known == *modulus)
    }

    /// Remembers one that was good; of too many, the oldest is forgotten.
    pub(crate) fn add(&mut self, modulus: Arc<[u8]>) {
        if self.contains(&modulus) {
            return;
        }
        let known = Arc::make_mut(&mut self.0);
        if known.len() >= MAX_TESTED_PRIMES {
            known.pop_front();
        }
        known.push_back(modulus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let mut tested = TestedPrimes::default();
        for number in 0..=8 {
            tested.add(Arc::new([number]));
            tested.add(Arc::new([number]));
        }
        let known: Vec<u8> = (0..10).filter(|number| tested.contains(&[*number])).collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
