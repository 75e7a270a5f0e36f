//! A borrowing cursor over received bytes: one method for each data type of RFC 4251 §5.

use crate::{DecodeError, Mpint, NameList};

/// Reads SSH values from a slice without copying; never believes a length before checking it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.left.len()
    }

    /// The next `count` bytes as they stand.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.left.split_at_checked(count).ok_or(DecodeError::TooShort {
            needed: count,
            left: self.left.len(),
        })?;
        self.left = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array (`byte[N]`).
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.left.split_first_chunk::<N>().ok_or(DecodeError::TooShort {
            needed: N,
            left: self.left.len(),
        })?;
        self.left = tail;
        Ok(*head)
    }

    /// `byte`.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array::<1>()?;
        Ok(byte)
    }

    /// `boolean`: every value but 0 is true.
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        Ok(self.byte()? != 0)
    }

    /// `uint32`.
    pub fn uint32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// `uint64`.
    pub fn uint64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// `string`: a length, then that many bytes.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = crate::usize_from(self.uint32()?);
        self.take(length)
    }

    /// A `string` that must be UTF-8.
    pub fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.string()?).map_err(|_| DecodeError::NotUtf8)
    }

    /// A `string` whose content is itself a sequence of SSH values.
    pub fn nested(&mut self) -> Result<Reader<'a>, DecodeError> {
        Ok(Reader::new(self.string()?))
    }

    /// `mpint` that is not negative, in its shortest form.
    pub fn mpint(&mut self) -> Result<Mpint<'a>, DecodeError> {
        Mpint::from_wire(self.string()?)
    }

    /// `name-list`.
    pub fn name_list(&mut self) -> Result<NameList<'a>, DecodeError> {
        NameList::from_wire(self.string()?)
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// Ends a decode: nothing may be left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes(self.left.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_type_of_rfc_4251() {
        let bytes = [
            0x07, 0x01, 0x29, 0xb7, 0xf4, 0xaa, 0, 0, 0, 7, b't', b'e', b's', b't', b'i', b'n', b'g', 0, 0,
            0, 0, 0, 0, 0, 9,
        ];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.byte(), Ok(7));
        assert_eq!(reader.boolean(), Ok(true));
        assert_eq!(reader.uint32(), Ok(699_921_578)); // the example of RFC 4251 §5
        assert_eq!(reader.utf8(), Ok("testing")); // and its other one
        assert_eq!(reader.uint64(), Ok(9));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn declared_length_is_never_believed() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 1, 2]);
        assert_eq!(
            reader.string(),
            Err(DecodeError::TooShort {
                needed: 0xffff_ffff,
                left: 2
            })
        );
    }

    #[test]
    fn leftovers_are_an_error() {
        let mut reader = Reader::new(&[1, 2]);
        assert_eq!(reader.byte(), Ok(1));
        assert_eq!(reader.finish(), Err(DecodeError::TrailingBytes(1)));
    }
}
