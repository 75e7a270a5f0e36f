//! Protocol initialization (draft §4): the only messages without a request id.

use crate::messages::{Body, Layout, Request, layout};
use crate::wire::{DecodeError, Writer};

/// The most extension pairs one side may announce; OpenSSH announces eleven.
pub const MAX_EXTENSION_PAIRS: usize = 256;

pub(crate) const INIT: u8 = 1;
pub(crate) const VERSION: u8 = 2;

layout! {
    /// `SSH_FXP_INIT` (§4), client to server: the first message.
    pub struct Init {
        /// The highest version the client speaks.
        pub version: u32,
        /// What the client has beyond the draft.
        pub extensions: Extensions,
    }
    /// `SSH_FXP_VERSION` (§4), server to client: the answer to INIT.
    pub struct Version {
        /// The version that will be spoken.
        pub version: u32,
        /// What the server has beyond the draft.
        pub extensions: Extensions,
    }
    /// One announced extension.
    pub struct ExtensionPair {
        /// `name@domain`, or a bare registered name.
        pub name: Vec<u8>,
        /// Mostly a version number in digits.
        pub data: Vec<u8>,
    }
}

/// The extensions a side announced, unknown ones included: all pairs up to the end of the message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions(pub Vec<ExtensionPair>);

impl Extensions {
    /// What was said behind `name`.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        let pair = self.0.iter().find(|pair| pair.name == name)?;
        Some(&pair.data)
    }

    /// Whether the extension that `R` belongs to was announced in the version this crate speaks.
    pub fn supports<R: Request>(&self) -> bool {
        R::EXTENSION_VERSION.is_some_and(|version| self.find(R::NAME.as_bytes()) == Some(version.as_bytes()))
    }
}

impl Layout for Extensions {
    fn put(&self, out: &mut Writer<'_>) {
        for pair in &self.0 {
            pair.put(out);
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        let mut pairs = Vec::new();
        while !body.is_empty() {
            if pairs.len() == MAX_EXTENSION_PAIRS {
                return Err(DecodeError::BadField {
                    field: "extension-pair",
                    problem: "there more than 256 times",
                });
            }
            pairs.push(ExtensionPair::take(body)?);
        }
        Ok(Self(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::Bytes;

    fn version(pairs: usize) -> Version {
        let pair = ExtensionPair {
            name: b"x@y".to_vec(),
            data: b"1".to_vec(),
        };
        Version {
            version: 3,
            extensions: Extensions(vec![pair; pairs]),
        }
    }

    #[test]
    fn pairs_fill_the_message_up_to_a_limit() {
        for (pairs, good) in [(0, true), (1, true), (256, true), (257, false)] {
            let mut out = Vec::new();
            version(pairs).put(&mut Writer::new(&mut out));
            let decoded = Body::decode::<Version>(&Bytes::from(out));
            assert_eq!(decoded.ok(), good.then(|| version(pairs)), "{pairs}");
        }
    }

    #[test]
    fn half_a_pair_is_an_error() {
        let bytes = Bytes::from_static(b"\0\0\0\x03\0\0\0\x01x");
        assert!(Body::decode::<Version>(&bytes).is_err());
    }
}
