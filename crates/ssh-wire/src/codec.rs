//! How a value becomes bytes and bytes a value: implemented once per RFC 4251 §5 type, composed by
//! [`message!`](crate::message).

use crate::{DecodeError, Mpint, NameList, Reader, Writer};

/// A value that can be written as SSH bytes.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, writer: &mut Writer<'_>);

    /// The value's bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut Writer::new(&mut out));
        out
    }
}

/// A value that can be read from SSH bytes, borrowing from them where it can.
pub trait Decode<'a>: Sized {
    /// Reads the value at the reader's place.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Reads the value from bytes that hold nothing else.
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// The last field of a message whose meaning depends on an earlier one: all bytes that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rest<'a>(pub &'a [u8]);

/// A `string` that holds a secret: like `&[u8]`, but never shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

macro_rules! codec {
    ($($type:ty: $method:ident, |$value:ident| $argument:expr;)*) => {$(
        impl Encode for $type {
            fn encode(&self, writer: &mut Writer<'_>) {
                let $value = self;
                writer.$method($argument);
            }
        }
        impl<'a> Decode<'a> for $type {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                reader.$method()
            }
        }
    )*};
}

codec! {
    u8: byte, |value| *value;
    bool: boolean, |value| *value;
    u32: uint32, |value| *value;
    u64: uint64, |value| *value;
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self);
    }
}
impl<'a, const N: usize> Decode<'a> for [u8; N] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

impl Encode for &[u8] {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
}
impl<'a> Decode<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.string()
    }
}

impl Encode for &str {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.as_bytes());
    }
}
impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.utf8()
    }
}

impl Encode for Mpint<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.mpint(self.magnitude());
    }
}
impl<'a> Decode<'a> for Mpint<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.mpint()
    }
}

impl Encode for NameList<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.as_str().as_bytes());
    }
}
impl<'a> Decode<'a> for NameList<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.name_list()
    }
}

impl Encode for Rest<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(self.0);
    }
}
impl<'a> Decode<'a> for Rest<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(reader.rest()))
    }
}

impl Encode for Secret<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.0);
    }
}
impl<'a> Decode<'a> for Secret<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(reader.string()?))
    }
}
