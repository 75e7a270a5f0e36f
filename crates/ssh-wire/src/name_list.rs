//! `name-list`: comma-separated names (RFC 4251 §5), checked when read.

use crate::DecodeError;

/// The most names one list may hold: a KEXINIT of every algorithm ever registered has a tenth of it.
pub const MAX_NAMES: usize = 1024;

/// The longest name: RFC 4251 §6 says 64; peers in the field send a little more.
pub const MAX_NAME_BYTES: usize = 256;

/// A list of names that has been checked: printable US-ASCII, no empty name, within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameList<'a> {
    text: &'a str,
}

impl<'a> NameList<'a> {
    /// The comma-separated text of a list, checked as one from the wire is.
    pub fn new(text: &'a str) -> Result<Self, DecodeError> {
        Self::from_wire(text.as_bytes())
    }

    pub(crate) fn from_wire(content: &'a [u8]) -> Result<Self, DecodeError> {
        if content.is_empty() {
            return Ok(Self { text: "" });
        }
        let text = std::str::from_utf8(content).map_err(|_| DecodeError::BadNameList("not US-ASCII"))?;
        for (index, name) in text.split(',').enumerate() {
            if index >= MAX_NAMES {
                return Err(DecodeError::BadNameList("longer than 1024 names"));
            }
            if name.is_empty() {
                return Err(DecodeError::BadNameList("holding an empty name"));
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(DecodeError::BadNameList("holding a name of more than 256 bytes"));
            }
            if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(DecodeError::BadNameList(
                    "holding a byte that is not printable US-ASCII",
                ));
            }
        }
        Ok(Self { text })
    }

    /// The list as it stands on the wire.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether the list is empty.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The names, first (preferred) one first.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.split(',').filter(|name| !name.is_empty())
    }

    /// The preferred name, if there is one.
    pub fn first(&self) -> Option<&'a str> {
        self.iter().next()
    }

    /// Whether `name` is on the list.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|each| each == name)
    }
}

impl std::fmt::Display for NameList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decode, Encode};

    #[test]
    fn examples_of_rfc_4251_round_trip() {
        for (wire, names) in [
            (&b"\0\0\0\0"[..], &[][..]),
            (b"\0\0\0\x04zlib", &["zlib"]),
            (b"\0\0\0\x09zlib,none", &["zlib", "none"]),
        ] {
            let list = NameList::from_bytes(wire).unwrap();
            assert_eq!(list.iter().collect::<Vec<_>>(), names);
            assert_eq!(list.to_bytes(), wire);
        }
    }

    #[test]
    fn malformed_lists_are_refused() {
        let long_name = "a".repeat(MAX_NAME_BYTES + 1);
        let many = vec!["a"; MAX_NAMES + 1].join(",");
        for text in ["a,,b", ",", "a,", "a b", "a\0", "é", &long_name, &many] {
            assert!(
                matches!(NameList::new(text), Err(DecodeError::BadNameList(_))),
                "{text}"
            );
        }
    }
}
