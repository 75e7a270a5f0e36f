//! Wiping keys that a library keeps without a way to wipe them.

use std::hint::black_box;

/// Puts `harmless` where a key stood. The write cannot be left out as useless: somebody looks at the result.
pub(crate) fn overwrite<T>(key: &mut T, harmless: T) {
    *key = harmless;
    black_box(key);
}
