//! Typed keys that wait for a remote program. Passwords are typed, too: no byte of them stays in memory once it is taken.

use zeroize::{Zeroize, Zeroizing};

/// Keys in the order in which they were typed. What is taken or forgotten is wiped, and so is what is dropped.
#[derive(Default)]
pub(super) struct Keys {
    /// Zeros from `len` on.
    bytes: Zeroizing<Vec<u8>>,
    len: usize,
}

impl Keys {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds what was typed.
    pub(super) fn push(&mut self, typed: &[u8]) {
        let end = self.len.saturating_add(typed.len());
        if end > self.bytes.len() {
            // Growing in place would leave the old bytes behind.
            let mut larger = Zeroizing::new(vec![0; end.next_power_of_two()]);
            if let Some(there) = larger.get_mut(..self.len) {
                there.copy_from_slice(self.as_slice());
            }
            self.bytes = larger;
        }
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(typed);
            self.len = end;
        }
    }

    /// The first `count` have been taken.
    pub(super) fn taken(&mut self, count: usize) {
        let count = count.min(self.len);
        let left = self.len.saturating_sub(count);
        self.bytes.copy_within(count..self.len, 0);
        if let Some(old) = self.bytes.get_mut(left..self.len) {
            old.zeroize();
        }
        self.len = left;
    }

    /// Nobody will take them.
    pub(super) fn forget(&mut self) {
        self.taken(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_leave_in_order_and_no_byte_of_them_stays() {
        let mut keys = Keys::default();
        let mut expected = Vec::new();
        for round in 1..=200_u8 {
            let typed = vec![round; usize::from(round)];
            keys.push(&typed);
            expected.extend(typed);
            let count = usize::from(round) * 2 / 3;
            keys.taken(count);
            expected.drain(..count);
            assert_eq!((keys.as_slice(), keys.len()), (&expected[..], expected.len()));
            assert!(
                keys.bytes[keys.len..].iter().all(|byte| *byte == 0),
                "round {round}"
            );
        }
        assert!(keys.bytes.len() <= 2 * (expected.len() + 200));
        keys.forget();
        assert!(keys.is_empty() && keys.bytes.iter().all(|byte| *byte == 0));
        keys.taken(1);
        assert!(keys.is_empty());
    }
}
