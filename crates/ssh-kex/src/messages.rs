//! The transport's own messages: numbers 1 to 4, 20, 21 and the two of `ping@openssh.com`.
//!
//! EXT_INFO (7) repeats a pair of fields and therefore stands by hand in [`ext_info`](crate::ext_info); 30 to 49
//! belong to the method in progress ([`method`](crate::method)).

use crate::wire::{DecodeError, NameList, Reader, expect_number, message, number};

/// The most bytes of a peer's free text that are kept: for people, so a few lines.
pub const MAX_PEER_TEXT_BYTES: usize = 1024;

message! {
    /// RFC 4253 §11.1, both directions.
    pub struct Disconnect<'a> = 1, "SSH_MSG_DISCONNECT" {
        /// Why: a code of RFC 4253 §11.1 ([`DisconnectReason`](crate::DisconnectReason)).
        pub reason_code: u32,
        /// The same for people. The RFC says UTF-8; peers in the field do not always.
        pub description: &'a [u8],
        /// The description's language.
        pub language_tag: &'a [u8],
    }
    /// RFC 4253 §11.2, both directions: to be passed over.
    pub struct Ignore<'a> = 2, "SSH_MSG_IGNORE" {
        /// Arbitrary bytes.
        pub data: &'a [u8],
    }
    /// RFC 4253 §11.4, both directions: a packet's number was not understood.
    pub struct Unimplemented = 3, "SSH_MSG_UNIMPLEMENTED" {
        /// The sequence number of that packet.
        pub sequence_number: u32,
    }
    /// RFC 4253 §11.3, both directions.
    pub struct Debug<'a> = 4, "SSH_MSG_DEBUG" {
        /// Whether to show it without being asked for debug output.
        pub always_display: bool,
        /// The text. The RFC says UTF-8; peers in the field do not always.
        pub message: &'a [u8],
        /// The text's language.
        pub language_tag: &'a [u8],
    }
    /// RFC 4253 §7.1, both directions: what each side is able and willing to use, preferred first.
    pub struct KexInit<'a> = 20, "SSH_MSG_KEXINIT" {
        /// Random bytes, so that neither side alone determines the exchange hash.
        pub cookie: [u8; 16],
        /// Key exchange methods, and markers that use this list as a letter box (`ext-info-c`, strict kex).
        pub kex_algorithms: NameList<'a>,
        /// Signature algorithms for the server's host key.
        pub server_host_key_algorithms: NameList<'a>,
        /// Ciphers, client to server.
        pub encryption_algorithms_client_to_server: NameList<'a>,
        /// Ciphers, server to client.
        pub encryption_algorithms_server_to_client: NameList<'a>,
        /// MACs, client to server.
        pub mac_algorithms_client_to_server: NameList<'a>,
        /// MACs, server to client.
        pub mac_algorithms_server_to_client: NameList<'a>,
        /// Compression, client to server.
        pub compression_algorithms_client_to_server: NameList<'a>,
        /// Compression, server to client.
        pub compression_algorithms_server_to_client: NameList<'a>,
        /// Languages, client to server; nobody uses them.
        pub languages_client_to_server: NameList<'a>,
        /// Languages, server to client; nobody uses them.
        pub languages_server_to_client: NameList<'a>,
        /// Whether a packet of a guessed method follows at once.
        pub first_kex_packet_follows: bool,
        /// Zero, for future extension.
        pub reserved: u32,
    }
    /// RFC 4253 §7.3, both directions: everything behind it is under the new keys.
    pub struct NewKeys = 21, "SSH_MSG_NEWKEYS" {}
    /// OpenSSH `PROTOCOL` §1.8 (`ping@openssh.com`), both directions.
    pub struct Ping<'a> = 192, "SSH2_MSG_PING" {
        /// To be sent back.
        pub data: &'a [u8],
    }
    /// OpenSSH `PROTOCOL` §1.8, both directions: the answer to [`Ping`].
    pub struct Pong<'a> = 193, "SSH2_MSG_PONG" {
        /// What the ping held.
        pub data: &'a [u8],
    }
}

/// A DISCONNECT as it is read: some peers leave out the language tag or even the text, and the reason of a farewell
/// is worth more than its form.
pub(crate) fn read_farewell(payload: &[u8]) -> Result<(u32, String), DecodeError> {
    let mut reader = Reader::new(payload);
    expect_number(&mut reader, number::DISCONNECT)?;
    let code = reader.uint32()?;
    Ok((code, peer_text(reader.string().unwrap_or_default())))
}

/// A DEBUG of the peer's (RFC 4253 §11.3), fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugMessage {
    /// Whether the peer wants it shown without being asked for debug output.
    pub always_display: bool,
    /// The text: shortened to [`MAX_PEER_TEXT_BYTES`], on one line, without control characters.
    pub text: String,
}

impl DebugMessage {
    /// Reads a payload. Some peers leave out the language tag.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        expect_number(&mut reader, number::DEBUG).ok()?;
        let always_display = reader.boolean().ok()?;
        let text = printable(&peer_text(reader.string().ok()?));
        Some(Self { always_display, text })
    }
}

/// A text on one line and without what drives a terminal: control characters, line separators and what changes the
/// direction of writing are escaped.
pub fn printable(text: &str) -> String {
    let unfit = |each: char| {
        each.is_control()
            || matches!(each, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for each in text.chars() {
        if unfit(each) {
            shown.extend(each.escape_default());
        } else {
            shown.push(each);
        }
    }
    shown
}

/// A peer's free text, shortened to [`MAX_PEER_TEXT_BYTES`]; bytes that are not UTF-8 become replacement characters.
pub(crate) fn peer_text(bytes: &[u8]) -> String {
    let kept = bytes.get(..MAX_PEER_TEXT_BYTES).unwrap_or(bytes);
    String::from_utf8_lossy(kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decode, Encode};

    #[test]
    fn farewells_are_read_in_every_form_peers_send() {
        let full = Disconnect {
            reason_code: 11,
            description: b"bye",
            language_tag: b"en",
        }
        .to_bytes();
        assert_eq!(read_farewell(&full).unwrap(), (11, "bye".to_owned()));
        assert_eq!(
            read_farewell(b"\x01\0\0\0\x02\0\0\0\x02hi").unwrap(),
            (2, "hi".to_owned())
        ); // no language tag
        assert_eq!(read_farewell(b"\x01\0\0\0\x02").unwrap(), (2, String::new())); // no text either
        assert_eq!(
            read_farewell(b"\x01\0\0\0\x02\xff\xff\xff\xff").unwrap(),
            (2, String::new())
        );
        assert_eq!(
            read_farewell(b"\x01\0\0\0\x02\0\0\0\x02\xe9\xff").unwrap().1,
            "\u{fffd}\u{fffd}"
        );
        assert!(read_farewell(b"\x01\0\0").is_err());
    }

    #[test]
    fn debug_messages_are_made_fit_to_be_shown() {
        let read = |message: &[u8]| {
            let debug = Debug {
                always_display: true,
                message,
                language_tag: b"en",
            };
            DebugMessage::read(&debug.to_bytes()).unwrap().text
        };
        for (sent, shown) in [
            (&b"hello"[..], "hello"),
            (b"a\r\nb\x1b[2J\xff", "a\\r\\nb\\u{1b}[2J\u{fffd}"),
            ("\u{202e}x\u{9b}".as_bytes(), "\\u{202e}x\\u{9b}"),
        ] {
            assert_eq!(read(sent), shown);
        }
        assert_eq!(read(&[b'a'; 70_000]).len(), MAX_PEER_TEXT_BYTES);
        let without_tag = DebugMessage::read(b"\x04\0\0\0\0\x02hi").unwrap();
        assert_eq!(
            (without_tag.always_display, without_tag.text.as_str()),
            (false, "hi")
        );
        for broken in [&b"\x04"[..], b"\x04\x01", b"\x04\x01\xff\xff\xff\xff"] {
            assert_eq!(DebugMessage::read(broken), None);
        }
    }

    #[test]
    fn peer_text_is_shortened() {
        assert_eq!(
            peer_text(&vec![b'a'; MAX_PEER_TEXT_BYTES + 1]).len(),
            MAX_PEER_TEXT_BYTES
        );
    }

    #[test]
    fn kexinit_round_trips_in_the_order_of_the_rfc() {
        let list = |text| NameList::new(text).unwrap();
        let message = KexInit {
            cookie: [7; 16],
            kex_algorithms: list("a"),
            server_host_key_algorithms: list("b"),
            encryption_algorithms_client_to_server: list("c"),
            encryption_algorithms_server_to_client: list("d"),
            mac_algorithms_client_to_server: list("e"),
            mac_algorithms_server_to_client: list("f"),
            compression_algorithms_client_to_server: list("g"),
            compression_algorithms_server_to_client: list("h"),
            languages_client_to_server: list(""),
            languages_server_to_client: list(""),
            first_kex_packet_follows: true,
            reserved: 0,
        };
        let bytes = message.to_bytes();
        assert_eq!(
            bytes[..17],
            *b"\x14\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07"
        );
        assert_eq!(
            bytes[17..],
            *b"\0\0\0\x01a\0\0\0\x01b\0\0\0\x01c\0\0\0\x01d\0\0\0\x01e\0\0\0\x01f\0\0\0\x01g\0\0\0\x01h\0\0\0\0\0\0\0\0\x01\0\0\0\0"
        );
        assert_eq!(KexInit::from_bytes(&bytes).unwrap(), message);
    }
}
