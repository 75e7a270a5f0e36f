//! Appends SSH values to a `Vec<u8>`: the mirror image of [`Reader`](crate::Reader).

/// Writes SSH values behind what a vector already holds.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Bytes as they stand, with no length before them.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// `byte`.
    pub fn byte(&mut self, value: u8) {
        self.out.push(value);
    }

    /// `boolean`.
    pub fn boolean(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    /// `uint32`.
    pub fn uint32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// `uint64`.
    pub fn uint64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    /// `string`. One of 4 GiB or more gets an impossible length, which every reader refuses; no packet is that long.
    pub fn string(&mut self, bytes: &[u8]) {
        self.uint32(crate::u32_saturating(bytes.len()));
        self.raw(bytes);
    }

    /// `mpint` of the non-negative number whose big-endian bytes are `magnitude` (leading zeros allowed).
    pub fn mpint(&mut self, magnitude: &[u8]) {
        let start = magnitude
            .iter()
            .position(|&byte| byte != 0)
            .unwrap_or(magnitude.len());
        let digits = magnitude.get(start..).unwrap_or_default();
        let sign = usize::from(digits.first().is_some_and(|&byte| byte & 0x80 != 0));
        self.uint32(crate::u32_saturating(digits.len().saturating_add(sign)));
        if sign == 1 {
            self.byte(0);
        }
        self.raw(digits);
    }

    /// `name-list` of `names`, in their order.
    pub fn name_list<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.nested(|list| {
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    list.byte(b',');
                }
                list.raw(name.as_bytes());
            }
        });
    }

    /// A `string` whose content is what `fill` writes; its length is filled in afterwards.
    pub fn nested<T>(&mut self, fill: impl FnOnce(&mut Writer<'_>) -> T) -> T {
        let at = self.out.len();
        self.uint32(u32::MAX);
        let result = fill(&mut Writer::new(self.out));
        let length = crate::u32_saturating(self.out.len().saturating_sub(at).saturating_sub(4));
        if let Some(place) = self.out.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        fill(&mut Writer::new(&mut out));
        out
    }

    #[test]
    fn mpint_examples_of_rfc_4251() {
        for (magnitude, wire) in [
            (&[][..], &[0, 0, 0, 0][..]),
            (&[0, 0], &[0, 0, 0, 0]),
            (
                &[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
                &[0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
            ),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0x80], &[0, 0, 0, 2, 0, 0x80]),
        ] {
            assert_eq!(written(|w| w.mpint(magnitude)), wire);
        }
    }

    #[test]
    fn name_list_examples_of_rfc_4251() {
        assert_eq!(written(|w| w.name_list([])), [0, 0, 0, 0]);
        assert_eq!(written(|w| w.name_list(["zlib"])), *b"\0\0\0\x04zlib");
        assert_eq!(
            written(|w| w.name_list(["zlib", "none"])),
            *b"\0\0\0\x09zlib,none"
        );
    }

    #[test]
    fn nested_lengths_are_filled_in() {
        let bytes = written(|w| {
            w.nested(|outer| {
                outer.byte(1);
                outer.nested(|inner| inner.raw(b"ab"));
            });
        });
        assert_eq!(bytes, *b"\0\0\0\x07\x01\0\0\0\x02ab");
    }
}
