//! Messages: a number and fields in the order of their RFC, written once for both directions.

use crate::{Decode, Encode};

/// An SSH message: its number and name, and how its fields are coded.
pub trait Message: Encode {
    /// The message number (RFC 4250 §4.1.2).
    const NUMBER: u8;
    /// The RFC's name, for logs and errors.
    const NAME: &'static str;
}

/// Decodes the payload of a packet as message `M`: its number, its fields, and nothing behind them.
pub fn decode_message<'a, M: Message + Decode<'a>>(payload: &'a [u8]) -> Result<M, crate::DecodeError> {
    M::from_bytes(payload)
}

/// Declares messages: structs whose fields stand in wire order, with [`Encode`], [`Decode`] and [`Message`].
///
/// ```
/// ssh_wire::message! {
///     /// RFC 4253 §11.2, both directions.
///     pub struct Ignore<'a> = 2, "SSH_MSG_IGNORE" {
///         /// Arbitrary bytes.
///         pub data: &'a [u8],
///     }
/// }
/// use ssh_wire::{Decode, Encode};
/// let bytes = Ignore { data: b"hi" }.to_bytes();
/// assert_eq!(bytes, [2, 0, 0, 0, 2, b'h', b'i']);
/// assert_eq!(Ignore::from_bytes(&bytes).unwrap().data, b"hi");
/// ```
#[macro_export]
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? = $number:literal, $rfc_name:literal {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name $(<$life>)? {
            $( $(#[$field_meta])* $field_vis $field: $type, )*
        }
        $crate::message!(@message $name $(<$life>)?, $number, $rfc_name);
        impl $(<$life>)? $crate::Encode for $name $(<$life>)? {
            fn encode(&self, writer: &mut $crate::Writer<'_>) {
                writer.byte($number);
                $( $crate::Encode::encode(&self.$field, writer); )*
            }
        }
        $crate::message!(@decode $name $(<$life>)?, $number, $($field),*);
    )*};
    (@message $name:ident <$life:lifetime>, $number:literal, $rfc_name:literal) => {
        impl $crate::Message for $name<'_> {
            const NUMBER: u8 = $number;
            const NAME: &'static str = $rfc_name;
        }
    };
    (@message $name:ident, $number:literal, $rfc_name:literal) => {
        impl $crate::Message for $name {
            const NUMBER: u8 = $number;
            const NAME: &'static str = $rfc_name;
        }
    };
    (@decode $name:ident <$life:lifetime>, $number:literal, $($field:ident),*) => {
        impl<$life> $crate::Decode<$life> for $name<$life> {
            fn decode(reader: &mut $crate::Reader<$life>) -> Result<Self, $crate::DecodeError> {
                $crate::expect_number(reader, $number)?;
                $( let $field = $crate::Decode::decode(reader)?; )*
                Ok(Self { $($field),* })
            }
        }
    };
    (@decode $name:ident, $number:literal, $($field:ident),*) => {
        impl<'de> $crate::Decode<'de> for $name {
            fn decode(reader: &mut $crate::Reader<'de>) -> Result<Self, $crate::DecodeError> {
                $crate::expect_number(reader, $number)?;
                $( let $field = $crate::Decode::decode(reader)?; )*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// Reads a message number that must be `expected`; used by [`message!`](crate::message).
pub fn expect_number(reader: &mut crate::Reader<'_>, expected: u8) -> Result<(), crate::DecodeError> {
    match reader.byte() {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(crate::DecodeError::WrongMessage { expected, found }),
        Err(_) => Err(crate::DecodeError::EmptyPayload),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Decode, DecodeError, Encode, Rest};

    message! {
        /// A message without a lifetime.
        struct Plain = 200, "PLAIN" { flag: bool, number: u32 }
        /// A message that borrows.
        struct Borrowing<'a> = 201, "BORROWING" { name: &'a str, rest: Rest<'a> }
    }

    #[test]
    fn both_shapes_round_trip() {
        let plain = Plain {
            flag: true,
            number: 7,
        };
        assert_eq!(Plain::from_bytes(&plain.to_bytes()), Ok(plain));
        let bytes = Borrowing {
            name: "x",
            rest: Rest(b"yz"),
        }
        .to_bytes();
        assert_eq!(Borrowing::from_bytes(&bytes).unwrap().rest, Rest(b"yz"));
    }

    #[test]
    fn wrong_number_and_leftovers_are_told_apart() {
        assert_eq!(Plain::from_bytes(&[]), Err(DecodeError::EmptyPayload));
        assert_eq!(
            Plain::from_bytes(&[1]),
            Err(DecodeError::WrongMessage {
                expected: 200,
                found: 1
            })
        );
        assert_eq!(
            Plain::from_bytes(&[200, 1, 0, 0, 0, 0, 9]),
            Err(DecodeError::TrailingBytes(1))
        );
    }
}
