//! Payloads that go by a name: the form in which channel types, channel requests and global requests are declared.
//!
//! Each is a struct whose fields stand in wire order, as in [`message!`](crate::wire::message), but owned: such a
//! payload leaves the connection inside an event and may wait there for its answer.

use crate::wire::{DecodeError, Reader, Writer};

/// What stands behind the name of a channel type or a request.
pub(crate) trait Payload: Sized {
    /// Appends the fields.
    fn put(&self, writer: &mut Writer<'_>);
    /// Reads the fields.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// An owned value of a payload: one implementation for each type of RFC 4251 §5 that is in use.
pub(crate) trait Field: Sized {
    /// Appends the value.
    fn put(&self, writer: &mut Writer<'_>);
    /// Reads the value.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl Field for bool {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.boolean(*self);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.boolean()
    }
}

impl Field for u32 {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.uint32(*self);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.uint32()
    }
}

/// A port: `uint32` on the wire, and nothing over 65,535 is one.
impl Field for u16 {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.uint32(u32::from(*self));
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::try_from(reader.uint32()?).map_err(|_| DecodeError::BadField {
            field: "port",
            problem: "over 65535",
        })
    }
}

impl Field for Vec<u8> {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.string().map(<[u8]>::to_vec)
    }
}

impl Field for String {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.string(self.as_bytes());
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.utf8().map(str::to_owned)
    }
}

/// The fields' bytes alone.
pub(crate) fn encoded(payload: &impl Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload.put(&mut Writer::new(&mut bytes));
    bytes
}

/// Reads fields from bytes that hold nothing else.
pub(crate) fn decoded<P: Payload>(bytes: &[u8]) -> Result<P, DecodeError> {
    let mut reader = Reader::new(bytes);
    let payload = P::take(&mut reader)?;
    reader.finish()?;
    Ok(payload)
}

/// Declares payloads: structs with a name and with fields in wire order.
macro_rules! payload {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident = $wire_name:literal {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $( $(#[$field_meta])* $field_vis $field: $type, )*
        }
        impl $name {
            #[doc = concat!("The name on the wire: `", $wire_name, "`.")]
            $vis const NAME: &'static str = $wire_name;
        }
        impl $crate::payload::Payload for $name {
            fn put(&self, writer: &mut $crate::wire::Writer<'_>) {
                $( $crate::payload::Field::put(&self.$field, writer); )*
            }
            fn take(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $( $field: $crate::payload::Field::take(reader)? ),* })
            }
        }
    )*};
}

/// Declares the enum over a family of payloads: `bare` ones have no fields and name a constant that holds their name,
/// the others are structs made with [`payload!`]. Yields the variants, the names, encoding, and decoding of the names
/// it knows.
macro_rules! family {
    (
        $(#[$meta:meta])*
        pub enum $family:ident {
            bare { $( $(#[$bare_meta:meta])* $bare:ident = $bare_name:ident, )* }
            structs { $( $name:ident, )* }
            $( $(#[$unknown_meta:meta])* unknown { $unknown:ident } )?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $family {
            $( $(#[$bare_meta])* $bare, )*
            $( #[doc = concat!("See [`", stringify!($name), "`].")] $name($name), )*
            $( $(#[$unknown_meta])* $unknown {
                /// Its name.
                name: String,
                /// The fields that belong to it, as they stand.
                data: Vec<u8>,
            }, )?
        }

        impl $family {
            /// The names this crate knows, in the order of their declaration.
            pub const NAMES: &'static [&'static str] = &[ $( $bare_name, )* $( $name::NAME, )* ];

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$bare => $bare_name, )*
                    $( Self::$name(_) => $name::NAME, )*
                    $( Self::$unknown { name, .. } => name, )?
                }
            }

            /// The fields' bytes.
            pub fn fields(&self) -> Vec<u8> {
                match self {
                    $( Self::$bare => Vec::new(), )*
                    $( Self::$name(payload) => $crate::payload::encoded(payload), )*
                    $( Self::$unknown { data, .. } => data.clone(), )?
                }
            }

            /// Decodes what stands behind a name; `None` for a name that is not known.
            pub(crate) fn decode(name: &str, fields: &[u8]) -> Option<Result<Self, $crate::wire::DecodeError>> {
                match name {
                    $( $bare_name => Some($crate::wire::Reader::new(fields).finish().map(|()| Self::$bare)), )*
                    $( $name::NAME => Some($crate::payload::decoded(fields).map(Self::$name)), )*
                    _ => None,
                }
            }
        }

        $(
            impl From<$name> for $family {
                fn from(payload: $name) -> Self {
                    Self::$name(payload)
                }
            }
        )*
    };
}

pub(crate) use {family, payload};

#[cfg(test)]
mod tests {
    use super::*;

    payload! {
        /// One field of each kind.
        struct Sample = "sample" {
            /// A flag.
            flag: bool,
            /// A number.
            number: u32,
            /// A port.
            port: u16,
            /// Bytes.
            bytes: Vec<u8>,
            /// Text.
            text: String,
        }
    }

    #[test]
    fn fields_stand_in_the_order_of_their_declaration() {
        let sample = Sample {
            flag: true,
            number: 2,
            port: 22,
            bytes: vec![0xff],
            text: "ä".to_owned(),
        };
        let bytes = encoded(&sample);
        assert_eq!(
            bytes,
            *b"\x01\0\0\0\x02\0\0\0\x16\0\0\0\x01\xff\0\0\0\x02\xc3\xa4"
        );
        assert_eq!(decoded::<Sample>(&bytes), Ok(sample));
        assert_eq!(Sample::NAME, "sample");
    }

    #[test]
    fn what_does_not_decode_in_full_does_not_decode() {
        let mut bytes = b"\x01\0\0\0\x02\0\0\0\x16\0\0\0\0\0\0\0\0".to_vec();
        assert!(decoded::<Sample>(&bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(decoded::<Sample>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert_eq!(decoded::<Sample>(&bytes), Err(DecodeError::TrailingBytes(1)));
        let port = b"\x01\0\0\0\x02\0\x01\0\0\0\0\0\0\0\0\0\0";
        assert!(matches!(
            decoded::<Sample>(port),
            Err(DecodeError::BadField { .. })
        ));
    }
}
