//! The messages of services and user authentication that belong to no method: 5, 6, 50 to 53.
//!
//! 60 to 79 mean what the method in progress says ([`method`](crate::method)).

use crate::wire::{NameList, Rest, message};

message! {
    /// RFC 4253 §10, client to server.
    pub struct ServiceRequest<'a> = 5, "SSH_MSG_SERVICE_REQUEST" {
        /// The service asked for.
        pub service_name: &'a str,
    }
    /// RFC 4253 §10, server to client.
    pub struct ServiceAccept<'a> = 6, "SSH_MSG_SERVICE_ACCEPT" {
        /// The service that was asked for.
        pub service_name: &'a str,
    }
    /// RFC 4252 §5, client to server.
    pub struct UserauthRequest<'a> = 50, "SSH_MSG_USERAUTH_REQUEST" {
        /// Who wants to log in. UTF-8, says the RFC; bytes here, so that a name that is not is refused like any other.
        pub user_name: &'a [u8],
        /// The service to start after login.
        pub service_name: &'a str,
        /// The method.
        pub method_name: &'a str,
        /// The method's own fields.
        pub method_fields: Rest<'a>,
    }
    /// RFC 4252 §5.1, server to client: that was not enough.
    pub struct UserauthFailure<'a> = 51, "SSH_MSG_USERAUTH_FAILURE" {
        /// The methods that may help.
        pub authentications_that_can_continue: NameList<'a>,
        /// Whether the request as such was successful, and more is needed.
        pub partial_success: bool,
    }
    /// RFC 4252 §5.1, server to client: logged in.
    pub struct UserauthSuccess = 52, "SSH_MSG_USERAUTH_SUCCESS" {}
    /// RFC 4252 §5.4, server to client: text to show before login.
    pub struct UserauthBanner<'a> = 53, "SSH_MSG_USERAUTH_BANNER" {
        /// The text. The RFC says UTF-8; peers in the field do not always.
        pub message: &'a [u8],
        /// The text's language.
        pub language_tag: &'a [u8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decode, Encode};

    #[test]
    fn layouts_are_those_of_the_rfc() {
        assert_eq!(
            ServiceRequest { service_name: "a" }.to_bytes(),
            b"\x05\0\0\0\x01a"
        );
        assert_eq!(ServiceAccept { service_name: "a" }.to_bytes(), b"\x06\0\0\0\x01a");
        let request = UserauthRequest {
            user_name: b"u",
            service_name: "s",
            method_name: "m",
            method_fields: Rest(b"rest"),
        };
        assert_eq!(request.to_bytes(), b"\x32\0\0\0\x01u\0\0\0\x01s\0\0\0\x01mrest");
        let methods = NameList::new("publickey,password").unwrap();
        let failure = UserauthFailure {
            authentications_that_can_continue: methods,
            partial_success: true,
        };
        assert_eq!(failure.to_bytes(), b"\x33\0\0\0\x12publickey,password\x01");
        assert_eq!(UserauthSuccess {}.to_bytes(), b"\x34");
        let banner = UserauthBanner {
            message: b"hi",
            language_tag: b"",
        };
        assert_eq!(banner.to_bytes(), b"\x35\0\0\0\x02hi\0\0\0\0");
    }

    #[test]
    fn every_truncation_is_refused() {
        let failure = UserauthFailure {
            authentications_that_can_continue: NameList::new("a,b").unwrap(),
            partial_success: true,
        };
        let banner = UserauthBanner {
            message: b"hi",
            language_tag: b"en",
        };
        let (failure, banner) = (failure.to_bytes(), banner.to_bytes());
        for cut in 0..failure.len() {
            assert!(UserauthFailure::from_bytes(&failure[..cut]).is_err(), "{cut}");
        }
        for cut in 0..banner.len() {
            assert!(UserauthBanner::from_bytes(&banner[..cut]).is_err(), "{cut}");
        }
        assert!(UserauthSuccess::from_bytes(b"\x34\0").is_err());
    }
}
