//! The messages of the connection protocol, numbers 80 to 100 (RFC 4254 §4, §5; RFC 4250 §4.1.2).
//!
//! A field called `recipient` is a channel number chosen by whoever receives the message; one called `sender` was
//! chosen by whoever sends it. What stands behind a name (`data` of 80, 90 and 98) is decoded by
//! [`GlobalRequest`](crate::GlobalRequest), [`ChannelType`](crate::ChannelType) and
//! [`ChannelRequest`](crate::ChannelRequest).

use crate::wire::{Rest, message};

message! {
    /// RFC 4254 §4, both directions.
    pub struct GlobalRequest<'a> = 80, "SSH_MSG_GLOBAL_REQUEST" {
        /// What is asked for.
        pub name: &'a str,
        /// Whether an answer is expected.
        pub want_reply: bool,
        /// The fields that belong to the name.
        pub data: Rest<'a>,
    }

    /// RFC 4254 §4, both directions: answers the oldest request that is still unanswered.
    pub struct RequestSuccess<'a> = 81, "SSH_MSG_REQUEST_SUCCESS" {
        /// What the request yields, e.g. the port that was bound.
        pub data: Rest<'a>,
    }

    /// RFC 4254 §4, both directions: answers the oldest request that is still unanswered.
    pub struct RequestFailure = 82, "SSH_MSG_REQUEST_FAILURE" {}

    /// RFC 4254 §5.1, both directions.
    pub struct ChannelOpen<'a> = 90, "SSH_MSG_CHANNEL_OPEN" {
        /// What kind of channel is wanted.
        pub channel_type: &'a str,
        /// The number the sender gave the channel.
        pub sender: u32,
        /// Bytes the recipient may send before it needs more credit.
        pub initial_window: u32,
        /// The most bytes of data the recipient may put in one message.
        pub max_packet: u32,
        /// The fields that belong to the channel type.
        pub data: Rest<'a>,
    }

    /// RFC 4254 §5.1, both directions.
    pub struct ChannelOpenConfirmation<'a> = 91, "SSH_MSG_CHANNEL_OPEN_CONFIRMATION" {
        /// The number given by the side that asked.
        pub recipient: u32,
        /// The number given by the side that agrees.
        pub sender: u32,
        /// Bytes the recipient may send before it needs more credit.
        pub initial_window: u32,
        /// The most bytes of data the recipient may put in one message.
        pub max_packet: u32,
        /// The fields that belong to the channel type; no type in use has any.
        pub data: Rest<'a>,
    }

    /// RFC 4254 §5.1, both directions.
    pub struct ChannelOpenFailure<'a> = 92, "SSH_MSG_CHANNEL_OPEN_FAILURE" {
        /// The number given by the side that asked.
        pub recipient: u32,
        /// Why not: see [`OpenFailureReason`](crate::OpenFailureReason).
        pub reason: u32,
        /// The same for people; UTF-8 where the peer keeps to the RFC.
        pub description: &'a [u8],
        /// The language of the description (RFC 3066).
        pub language: &'a [u8],
    }

    /// RFC 4254 §5.2, both directions.
    pub struct ChannelWindowAdjust = 93, "SSH_MSG_CHANNEL_WINDOW_ADJUST" {
        /// The channel.
        pub recipient: u32,
        /// How many more bytes may be sent.
        pub bytes_to_add: u32,
    }

    /// RFC 4254 §5.2, both directions.
    pub struct ChannelData<'a> = 94, "SSH_MSG_CHANNEL_DATA" {
        /// The channel.
        pub recipient: u32,
        /// The bytes.
        pub data: &'a [u8],
    }

    /// RFC 4254 §5.2, both directions.
    pub struct ChannelExtendedData<'a> = 95, "SSH_MSG_CHANNEL_EXTENDED_DATA" {
        /// The channel.
        pub recipient: u32,
        /// Which stream: [`EXTENDED_DATA_STDERR`] is the only one defined.
        pub data_type: u32,
        /// The bytes.
        pub data: &'a [u8],
    }

    /// RFC 4254 §5.3, both directions: no more data will come from this side.
    pub struct ChannelEof = 96, "SSH_MSG_CHANNEL_EOF" {
        /// The channel.
        pub recipient: u32,
    }

    /// RFC 4254 §5.3, both directions: nothing more will come from this side.
    pub struct ChannelClose = 97, "SSH_MSG_CHANNEL_CLOSE" {
        /// The channel.
        pub recipient: u32,
    }

    /// RFC 4254 §5.4, both directions.
    pub struct ChannelRequest<'a> = 98, "SSH_MSG_CHANNEL_REQUEST" {
        /// The channel.
        pub recipient: u32,
        /// What is asked for.
        pub request_type: &'a str,
        /// Whether an answer is expected.
        pub want_reply: bool,
        /// The fields that belong to the request type.
        pub data: Rest<'a>,
    }

    /// RFC 4254 §5.4, both directions: answers the oldest request of the channel that is still unanswered.
    pub struct ChannelSuccess = 99, "SSH_MSG_CHANNEL_SUCCESS" {
        /// The channel.
        pub recipient: u32,
    }

    /// RFC 4254 §5.4, both directions: answers the oldest request of the channel that is still unanswered.
    pub struct ChannelFailure = 100, "SSH_MSG_CHANNEL_FAILURE" {
        /// The channel.
        pub recipient: u32,
    }
}

/// The one defined stream of extended data: standard error (RFC 4254 §5.2).
pub const EXTENDED_DATA_STDERR: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decode, Encode};

    #[test]
    fn layouts_of_rfc_4254_stand_byte_for_byte() {
        let open = ChannelOpen {
            channel_type: "session",
            sender: 3,
            initial_window: 0x20_0000,
            max_packet: 0x8000,
            data: Rest(b""),
        };
        assert_eq!(
            open.to_bytes(),
            *b"\x5a\0\0\0\x07session\0\0\0\x03\0\x20\0\0\0\0\x80\0"
        );
        let data = ChannelData {
            recipient: 1,
            data: b"hi",
        };
        assert_eq!(data.to_bytes(), *b"\x5e\0\0\0\x01\0\0\0\x02hi");
        let request = ChannelRequest {
            recipient: 0,
            request_type: "exec",
            want_reply: true,
            data: Rest(b"\0\0\0\x02ls"),
        };
        assert_eq!(request.to_bytes(), *b"\x62\0\0\0\0\0\0\0\x04exec\x01\0\0\0\x02ls");
        assert_eq!(RequestFailure {}.to_bytes(), [82]);
    }

    #[test]
    fn every_message_comes_back_as_it_went() {
        let failure = ChannelOpenFailure {
            recipient: 9,
            reason: 2,
            description: b"no route",
            language: b"",
        };
        assert_eq!(
            ChannelOpenFailure::from_bytes(&failure.to_bytes()),
            Ok(failure.clone())
        );
        let extended = ChannelExtendedData {
            recipient: 2,
            data_type: EXTENDED_DATA_STDERR,
            data: b"!",
        };
        assert_eq!(
            ChannelExtendedData::from_bytes(&extended.to_bytes()),
            Ok(extended.clone())
        );
        let success = RequestSuccess {
            data: Rest(b"\0\0\x1f\x90"),
        };
        assert_eq!(
            RequestSuccess::from_bytes(&success.to_bytes()),
            Ok(success.clone())
        );
        assert!(ChannelEof::from_bytes(b"\x60\0\0\0\x01\0").is_err());
    }
}
