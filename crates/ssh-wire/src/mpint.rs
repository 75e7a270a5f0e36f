//! `mpint`: multiple precision integers (RFC 4251 §5), here always non-negative and in shortest form.

use crate::DecodeError;

/// A non-negative integer as big-endian bytes without leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mpint<'a> {
    magnitude: &'a [u8],
}

impl<'a> Mpint<'a> {
    /// The number whose big-endian bytes are given; leading zeros are passed over.
    pub fn from_magnitude(bytes: &'a [u8]) -> Self {
        let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
        Self {
            magnitude: bytes.get(start..).unwrap_or_default(),
        }
    }

    /// Its big-endian bytes, without leading zeros; empty for zero.
    pub const fn magnitude(&self) -> &'a [u8] {
        self.magnitude
    }

    /// Its length in bits; 0 for zero.
    pub fn bits(&self) -> u32 {
        let spare = self.magnitude.first().map_or(0, |first| first.leading_zeros());
        let all = u32::try_from(self.magnitude.len().saturating_mul(8)).unwrap_or(u32::MAX);
        all.saturating_sub(spare)
    }

    /// Reads the content of an `mpint` string. Negative numbers and needless leading zeros are refused:
    /// RFC 4251 §5 forbids the latter, and no SSH message has a use for the former.
    pub(crate) fn from_wire(content: &'a [u8]) -> Result<Self, DecodeError> {
        match content {
            [] => Ok(Self { magnitude: content }),
            [0] => Err(DecodeError::BadMpint("zero with a byte where it has none")),
            [0, second, ..] if second & 0x80 == 0 => Err(DecodeError::BadMpint("not in its shortest form")),
            [0, magnitude @ ..] => Ok(Self { magnitude }),
            [first, ..] if first & 0x80 != 0 => Err(DecodeError::BadMpint("negative")),
            magnitude => Ok(Self { magnitude }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decode, Encode, Reader};

    #[test]
    fn examples_of_rfc_4251_round_trip() {
        for wire in [
            &b"\0\0\0\0"[..],
            b"\0\0\0\x08\x09\xa3\x78\xf9\xb2\xe3\x32\xa7",
            b"\0\0\0\x02\0\x80",
        ] {
            assert_eq!(Mpint::from_bytes(wire).unwrap().to_bytes(), wire);
        }
    }

    #[test]
    fn lengths_in_bits() {
        for (bytes, bits) in [
            (&b""[..], 0),
            (b"\0", 0),
            (b"\x01", 1),
            (b"\0\x80", 8),
            (b"\x01\0", 9),
        ] {
            assert_eq!(Mpint::from_magnitude(bytes).bits(), bits);
        }
    }

    #[test]
    fn negative_and_padded_numbers_are_refused() {
        for wire in [
            &b"\0\0\0\x02\xed\xcc"[..],
            b"\0\0\0\x05\xff\x21\x52\x41\x11",
            b"\0\0\0\x01\0",
            b"\0\0\0\x02\0\x7f",
        ] {
            assert!(
                matches!(Reader::new(wire).mpint(), Err(DecodeError::BadMpint(_))),
                "{wire:?}"
            );
        }
    }
}
