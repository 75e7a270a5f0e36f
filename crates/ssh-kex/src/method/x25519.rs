//! X25519 (RFC 7748 §5) by whichever of two libraries is faster on this processor (docs/decisions/0015).
//!
//! Both take the secret as it is given, so that a test can give one, and clamp it themselves; both ignore the highest bit
//! of a point and take points that are not reduced, as the RFC wants.

use zeroize::Zeroizing;

/// The length of a secret, of a point and of what two agree on, in bytes.
pub(super) const BYTES: usize = 32;

/// A secret, a point or what two agree on.
pub(super) type Bytes = [u8; BYTES];

/// X25519 as a library does it.
#[derive(Debug)]
struct Library {
    /// The point of a secret.
    point: fn(&Bytes) -> Bytes,
    /// What two agree on, or `None` if that is all zeros.
    agree: fn(&Bytes, &Bytes) -> Option<Zeroizing<Bytes>>,
}

/// The point that belongs to `secret`.
pub(super) fn point(secret: &Bytes) -> Bytes {
    (fastest().point)(secret)
}

/// What the owner of `secret` and that of `theirs` agree on. `None`: it is all zeros, which is what the points of low order
/// give (RFC 7748 §6.1).
pub(super) fn agree(secret: &Bytes, theirs: &Bytes) -> Option<Zeroizing<Bytes>> {
    (fastest().agree)(secret, theirs)
}

fn fastest() -> &'static Library {
    #[cfg(target_arch = "x86_64")]
    if graviola::util::is_cpu_supported() {
        return &proved_assembler::LIBRARY;
    }
    &portable::LIBRARY
}

/// For every processor.
mod portable {
    use x25519_dalek::{PublicKey, StaticSecret};
    use zeroize::Zeroizing;

    use super::Library;

    pub(super) static LIBRARY: Library = Library {
        point: |secret| PublicKey::from(&StaticSecret::from(*secret)).to_bytes(),
        agree: |secret, theirs| {
            let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*theirs));
            shared
                .was_contributory()
                .then(|| Zeroizing::new(shared.to_bytes()))
        },
    };
}

/// For those with ADX, BMI2 and AVX2: assembler from the project s2n-bignum, with a proof that it computes what it should
/// in a time that does not depend on the secret.
#[cfg(target_arch = "x86_64")]
mod proved_assembler {
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
    use zeroize::Zeroizing;

    use super::Library;

    pub(super) static LIBRARY: Library = Library {
        point: |secret| StaticPrivateKey::from_array(secret).public_key().as_bytes(),
        agree: |secret, theirs| {
            let shared = StaticPrivateKey::from_array(secret).diffie_hellman(&PublicKey::from_array(theirs));
            // Refused is nothing but a result of zeros.
            shared.ok().map(|shared| Zeroizing::new(shared.0))
        },
    };
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha20Rng;

    use super::*;
    use crate::wire::rand_core::{Rng, SeedableRng};

    /// Those that run here; twice the same where only one does.
    fn libraries() -> [&'static Library; 2] {
        [&portable::LIBRARY, fastest()]
    }

    fn bytes(hex: &str) -> Bytes {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn the_vectors_of_rfc_7748_section_5_2_hold() {
        for (secret, theirs, shared) in [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            // Its point has the highest bit set.
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
        ] {
            for library in libraries() {
                let agreed = (library.agree)(&bytes(secret), &bytes(theirs)).unwrap();
                assert_eq!(*agreed, bytes(shared));
            }
        }
    }

    #[test]
    fn a_thousand_rounds_end_where_rfc_7748_section_5_2_says() {
        for library in libraries() {
            let mut base = [0; BYTES];
            base[0] = 9;
            let (mut secret, mut theirs) = (base, base);
            for round in 0..1_000 {
                let shared = (library.agree)(&secret, &theirs).unwrap();
                if round == 0 {
                    let once = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
                    assert_eq!(*shared, bytes(once));
                    assert_eq!((library.point)(&secret), *shared, "the base point is 9");
                }
                (theirs, secret) = (secret, *shared);
            }
            let thousand = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
            assert_eq!(secret, bytes(thousand));
        }
    }

    #[test]
    fn the_points_of_low_order_agree_on_nothing() {
        // https://cr.yp.to/ecdh.html#validate, and two of them again with the bit that is ignored.
        let low = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ];
        for point in low {
            for library in libraries() {
                assert_eq!((library.agree)(&[7; BYTES], &bytes(point)), None, "{point}");
            }
        }
    }

    #[test]
    fn the_libraries_agree_with_each_other() {
        let mut rng = ChaCha20Rng::seed_from_u64(7748);
        for round in 0..200 {
            let (mut secret, mut theirs) = ([0; BYTES], [0; BYTES]);
            rng.fill_bytes(&mut secret);
            rng.fill_bytes(&mut theirs);
            if round % 4 == 0 {
                // Not reduced: between p and 2^256.
                theirs[1..].fill(0xff);
            }
            let [first, second] = libraries();
            assert_eq!((first.point)(&secret), (second.point)(&secret));
            assert_eq!((first.agree)(&secret, &theirs), (second.agree)(&secret, &theirs));
        }
    }
}
