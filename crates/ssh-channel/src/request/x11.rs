//! X11 for a session (RFC 4254 §6.3.1).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::payload::{Field, payload};
use crate::wire::{DecodeError, Reader, Writer};

payload! {
    /// RFC 4254 §6.3.1: make a display for the session's programs; their connections come as `x11` channels.
    pub struct X11Req = "x11-req" {
        /// Whether one connection is all there will be.
        pub single_connection: bool,
        /// The authentication protocol, `MIT-MAGIC-COOKIE-1` as a rule. Chosen by the peer: look at every byte of it
        /// before it reaches a command or a file.
        pub protocol: String,
        /// The cookie: one made for this session, never the display's own. Chosen by the peer, as `protocol` is.
        pub cookie: X11Cookie,
        /// The number of the screen.
        pub screen: u32,
    }
}

/// A cookie in hexadecimal: whoever knows it can draw on the display and read its keys. Wiped when it is dropped, compared
/// in constant time, and not shown by `Debug`.
#[derive(Clone)]
pub struct X11Cookie(Zeroizing<String>);

impl X11Cookie {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for X11Cookie {
    fn from(digits: Zeroizing<String>) -> Self {
        Self(digits)
    }
}

impl From<&str> for X11Cookie {
    fn from(digits: &str) -> Self {
        Self(Zeroizing::new(digits.to_owned()))
    }
}

impl PartialEq for X11Cookie {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for X11Cookie {}

impl fmt::Debug for X11Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X11Cookie")
    }
}

impl Field for X11Cookie {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.string(self.0.as_bytes());
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.utf8().map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelRequest;

    #[test]
    fn nothing_that_holds_a_cookie_shows_it() {
        let request = X11Req {
            single_connection: false,
            protocol: "MIT-MAGIC-COOKIE-1".to_owned(),
            cookie: "0123456789abcdef".into(),
            screen: 7,
        };
        assert_eq!(request.cookie.as_str(), "0123456789abcdef");
        let shown = [
            format!("{:?}", request.cookie),
            format!("{request:?}"),
            format!("{request:#?}"),
            format!("{:?}", ChannelRequest::from(request)),
        ];
        for text in shown {
            assert!(text.contains("X11Cookie") && !text.contains("456789"), "{text}");
        }
    }

    #[test]
    fn cookies_are_the_same_when_all_of_them_is() {
        let cookie = X11Cookie::from("00ff");
        assert_eq!(cookie, cookie.clone());
        for other in ["", "00f", "00fe", "10ff", "00ff0"] {
            assert_ne!(cookie, other.into(), "{other:?}");
        }
    }
}
