//! The groups a server has for group exchange: OpenSSH's file format (moduli(5)), and the choice among them.
//!
//! ```text
//! # Time          Type Tests Tries Size Generator Modulus
//! 20220203101112     2     6   100 2047         2 FAAF9…
//! ```
//!
//! A line tells when a modulus was found, that it is a safe prime (type 2), which tests it passed (a sum: 1 known to be
//! composite, 2 sieve, 4 Miller-Rabin), its length in bits less one, and generator and modulus in hexadecimal. Lines that
//! tell of something else than a tested safe prime of a size we use are passed over; a line that is none is an error.

use thiserror::Error;

use crate::method::dh_group_exchange::{MAX_GROUP_BITS, MIN_GROUP_BITS};
use crate::wire::Mpint;
use crate::wire::rand_core::CryptoRng;

/// The largest moduli file, in bytes; OpenSSH's has 0.6 MB.
pub const MAX_MODULI_BYTES: usize = 8 * 1024 * 1024;
/// The most groups taken from a file.
pub const MAX_MODULI: usize = 10_000;

/// The type of a safe prime in a moduli file.
const SAFE_PRIME: &str = "2";
/// The bit for "known to be composite" among the tests.
const COMPOSITE: u32 = 1;

/// Groups for group exchange. Without any (the default) a server uses those of RFC 3526.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moduli {
    groups: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    bits: u32,
    generator: u32,
    modulus: Vec<u8>,
}

/// Why a moduli file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModuliError {
    /// It is over [`MAX_MODULI_BYTES`].
    #[error("more than {MAX_MODULI_BYTES} bytes")]
    TooLarge,
    /// It has over [`MAX_MODULI`] groups.
    #[error("more than {MAX_MODULI} groups")]
    TooMany,
    /// A line has another form.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// There is no group in it that may be used.
    #[error("no safe prime of {MIN_GROUP_BITS} to {MAX_GROUP_BITS} bits")]
    Empty,
}

impl Moduli {
    /// Reads the content of a moduli file.
    ///
    /// # Errors
    /// A file over the limits, a line that is not of the form, and a file without any group that may be used.
    pub fn parse(file: &[u8]) -> Result<Self, ModuliError> {
        if file.len() > MAX_MODULI_BYTES {
            return Err(ModuliError::TooLarge);
        }
        let mut groups = Vec::new();
        for (index, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let entry = parse_line(line).map_err(|why| ModuliError::Line {
                line: index.saturating_add(1),
                why,
            })?;
            groups.extend(entry);
            if groups.len() > MAX_MODULI {
                return Err(ModuliError::TooMany);
            }
        }
        if groups.is_empty() {
            return Err(ModuliError::Empty);
        }
        Ok(Self { groups })
    }

    /// How many groups there are.
    pub const fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A modulus and its generator of the size that suits best, at random among those of that size.
    pub(crate) fn choose(&self, wanted: Wanted, rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, [u8; 4])> {
        let size = wanted.best_of(self.groups.iter().map(|entry| entry.bits))?;
        let of_size = || self.groups.iter().filter(|entry| entry.bits == size);
        let count = u64::try_from(of_size().count()).ok()?;
        let chosen = usize::try_from(rng.next_u64().checked_rem(count)?).ok()?;
        of_size()
            .nth(chosen)
            .map(|entry| (entry.modulus.clone(), entry.generator.to_be_bytes()))
    }
}

/// Which sizes would do, in bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) min: u32,
    pub(crate) n: u32,
    pub(crate) max: u32,
}

impl Wanted {
    /// The smallest size from n up, or else the largest below it; never one outside the bounds.
    pub(crate) fn best_of(self, sizes: impl Iterator<Item = u32> + Clone) -> Option<u32> {
        let fitting = sizes.filter(|size| (self.min..=self.max).contains(size));
        let from_n_up = fitting.clone().filter(|size| *size >= self.n).min();
        from_n_up.or_else(|| fitting.max())
    }
}

/// A group, nothing (a comment, or a group that is not used), or what is wrong.
fn parse_line(line: &[u8]) -> Result<Option<Entry>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "not text")?.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let mut word = || words.next().ok_or("fewer than seven fields");
    let (time, kind, tests, tries) = (word()?, word()?, word()?, word()?);
    let (size, generator, modulus) = (word()?, word()?, word()?);
    if words.next().is_some() {
        return Err("more than seven fields");
    }
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if ![time, kind, tests, tries, size].into_iter().all(is_number) {
        return Err("a field that is not a number");
    }
    let tests: u32 = tests.parse().map_err(|_| "tests that do not exist")?;
    let size: u32 = size.parse().map_err(|_| "a size out of range")?;
    let bits = size.checked_add(1).ok_or("a size out of range")?;
    let is_tested = tests & COMPOSITE == 0 && tests != 0;
    if kind != SAFE_PRIME || !is_tested || !(MIN_GROUP_BITS..=MAX_GROUP_BITS).contains(&bits) {
        return Ok(None);
    }
    let generator =
        u32::from_str_radix(generator, 16).map_err(|_| "a generator that is not a small number")?;
    if generator < 2 {
        return Err("a generator below 2");
    }
    let modulus = unhex(modulus).ok_or("a modulus that is not hexadecimal")?;
    if modulus.last().is_none_or(|last| last % 2 == 0) {
        return Err("a modulus that is even");
    }
    if Mpint::from_magnitude(&modulus).bits() != bits {
        return Err("a modulus of another size than the line says");
    }
    Ok(Some(Entry {
        bits,
        generator,
        modulus,
    }))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut digits = text.bytes().map(|byte| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    });
    let mut bytes = Vec::with_capacity(text.len().div_ceil(2));
    if !text.len().is_multiple_of(2) {
        bytes.push(digits.next()??);
    }
    while let Some(high) = digits.next() {
        bytes.push(high? << 4 | digits.next()??);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::tests::Counter;

    /// A line with a number of that many bits; it need be no prime here.
    fn line(bits: usize, change: impl FnOnce(&mut [String; 7])) -> String {
        let modulus = format!("8{}", "F".repeat(bits / 4 - 1));
        let mut fields = [
            "20220714110357",
            "2",
            "6",
            "100",
            &(bits - 1).to_string(),
            "2",
            &modulus,
        ]
        .map(str::to_owned);
        change(&mut fields);
        fields.join(" ") + "\n"
    }

    fn with(index: usize, value: &'static str) -> String {
        line(2048, |fields| value.clone_into(&mut fields[index]))
    }

    #[test]
    fn a_file_of_opensshs_is_read() {
        let file = include_bytes!("../tests/moduli");
        let moduli = Moduli::parse(file).unwrap();
        assert_eq!(moduli.len(), 4);
        let sizes: Vec<_> = moduli
            .groups
            .iter()
            .map(|entry| (entry.bits, entry.generator))
            .collect();
        assert_eq!(sizes, [(2048, 2), (2048, 5), (3072, 2), (4096, 5)]);
    }

    #[test]
    fn lines_of_other_things_than_tested_safe_primes_are_passed_over() {
        let good = line(2048, |_| ());
        assert_eq!(Moduli::parse(good.as_bytes()).map(|moduli| moduli.len()), Ok(1));
        for other in [
            "# a comment\n\n  \t\r\n".to_owned(),
            with(1, "4"), // a Sophie Germain prime
            with(2, "7"), // composite
            with(2, "0"), // not tested
            with(2, "1"),
            line(1024, |_| ()),
            line(2047 / 4 * 4, |_| ()),
            line(8196, |_| ()),
        ] {
            assert_eq!(
                Moduli::parse(other.as_bytes()),
                Err(ModuliError::Empty),
                "{other}"
            );
            let both = format!("{other}{good}");
            assert_eq!(
                Moduli::parse(both.as_bytes()).map(|moduli| moduli.len()),
                Ok(1),
                "{other}"
            );
        }
        assert_eq!(Moduli::parse(b""), Err(ModuliError::Empty));
    }

    #[test]
    fn what_is_no_line_is_told_with_its_number() {
        for (bad, why) in [
            (
                "20220714110357 2 6 100 2047 2\n".to_owned(),
                "fewer than seven fields",
            ),
            (
                line(2048, |fields| fields[6].push_str(" 1")),
                "more than seven fields",
            ),
            (with(1, "safe"), "a field that is not a number"),
            (with(4, "-1"), "a field that is not a number"),
            (with(2, "99999999999"), "tests that do not exist"),
            (with(4, "4294967295"), "a size out of range"),
            (with(4, "4095"), "a modulus of another size than the line says"),
            (with(5, "0"), "a generator below 2"),
            (with(5, "1"), "a generator below 2"),
            (with(5, "123456789"), "a generator that is not a small number"),
            (with(6, "xyz"), "a modulus that is not hexadecimal"),
            (
                line(2048, |fields| fields[6].replace_range(511.., "E")),
                "a modulus that is even",
            ),
            ("\u{e4}\n".to_owned(), "fewer than seven fields"),
        ] {
            let file = format!("# first\n{bad}");
            let expected = ModuliError::Line { line: 2, why };
            assert_eq!(Moduli::parse(file.as_bytes()), Err(expected), "{bad}");
        }
        let not_text = ModuliError::Line {
            line: 1,
            why: "not text",
        };
        assert_eq!(Moduli::parse(b"\xff"), Err(not_text));
    }

    #[test]
    fn files_over_the_limits_are_refused() {
        let large = vec![b'\n'; MAX_MODULI_BYTES + 1];
        assert_eq!(Moduli::parse(&large), Err(ModuliError::TooLarge));
        let many = line(2048, |_| ()).repeat(MAX_MODULI + 1);
        assert_eq!(Moduli::parse(many.as_bytes()), Err(ModuliError::TooMany));
        let most = line(2048, |_| ()).repeat(MAX_MODULI);
        assert_eq!(
            Moduli::parse(most.as_bytes()).map(|moduli| moduli.len()),
            Ok(MAX_MODULI)
        );
    }

    #[test]
    fn the_size_is_the_smallest_from_n_up_or_else_the_largest() {
        let sizes = [2048, 3072, 3072, 4096, 8192];
        for (min, n, max, expected) in [
            (2048, 2048, 8192, Some(2048)),
            (2048, 2049, 8192, Some(3072)),
            (2048, 7680, 8192, Some(8192)),
            (2048, 7680, 8000, Some(4096)),
            (2048, 5000, 4095, Some(3072)),
            (4097, 4097, 8191, None),
            (8193, 8193, 9000, None),
        ] {
            let wanted = Wanted { min, n, max };
            assert_eq!(wanted.best_of(sizes.into_iter()), expected, "{wanted:?}");
        }
    }

    #[test]
    fn every_group_of_a_size_has_its_turn() {
        let moduli = Moduli::parse(include_bytes!("../tests/moduli")).unwrap();
        let wanted = Wanted {
            min: 2048,
            n: 2048,
            max: 8192,
        };
        let mut rng = Counter(3);
        let generators: std::collections::BTreeSet<_> = (0..64)
            .map(|_| moduli.choose(wanted, &mut rng).unwrap().1)
            .collect();
        assert_eq!(generators, [[0, 0, 0, 2], [0, 0, 0, 5]].into());
        assert_eq!(Moduli::default().choose(wanted, &mut rng), None);
    }
}
