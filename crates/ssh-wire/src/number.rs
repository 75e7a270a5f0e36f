//! Message numbers (RFC 4250 §4.1.2, RFC 8308 §3, OpenSSH `PROTOCOL` §1.10): for routing and for logs.
//!
//! | range | owner |
//! |---|---|
//! | 1–19 | transport, generic |
//! | 20–29 | transport, algorithm negotiation |
//! | 30–49 | the key exchange method in progress: one number, many meanings |
//! | 50–59 | user authentication, generic |
//! | 60–79 | the authentication method in progress: one number, many meanings |
//! | 80–89 | connection, global |
//! | 90–127 | connection, channels |
//! | 192–255 | private extensions |

macro_rules! numbers {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $rfc_name:literal;)*) => {
        $($(#[$meta])* pub const $name: u8 = $number;)*

        /// The specification's name of a message number. Numbers that belong to a method in progress, and numbers
        /// nobody registered, get a description that does not begin with `SSH`.
        pub const fn name(number: u8) -> &'static str {
            match number {
                $($number => $rfc_name,)*
                30..=49 => "key exchange method message",
                60..=79 => "authentication method message",
                192..=255 => "private extension",
                _ => "unregistered message",
            }
        }
    };
}

numbers! {
    /// RFC 4253 §11.1.
    DISCONNECT = 1, "SSH_MSG_DISCONNECT";
    /// RFC 4253 §11.2.
    IGNORE = 2, "SSH_MSG_IGNORE";
    /// RFC 4253 §11.4.
    UNIMPLEMENTED = 3, "SSH_MSG_UNIMPLEMENTED";
    /// RFC 4253 §11.3.
    DEBUG = 4, "SSH_MSG_DEBUG";
    /// RFC 4253 §10.
    SERVICE_REQUEST = 5, "SSH_MSG_SERVICE_REQUEST";
    /// RFC 4253 §10.
    SERVICE_ACCEPT = 6, "SSH_MSG_SERVICE_ACCEPT";
    /// RFC 8308 §2.3.
    EXT_INFO = 7, "SSH_MSG_EXT_INFO";
    /// RFC 8308 §3.2.
    NEWCOMPRESS = 8, "SSH_MSG_NEWCOMPRESS";
    /// RFC 4253 §7.1.
    KEXINIT = 20, "SSH_MSG_KEXINIT";
    /// RFC 4253 §7.3.
    NEWKEYS = 21, "SSH_MSG_NEWKEYS";
    /// RFC 4252 §5.
    USERAUTH_REQUEST = 50, "SSH_MSG_USERAUTH_REQUEST";
    /// RFC 4252 §5.1.
    USERAUTH_FAILURE = 51, "SSH_MSG_USERAUTH_FAILURE";
    /// RFC 4252 §5.1.
    USERAUTH_SUCCESS = 52, "SSH_MSG_USERAUTH_SUCCESS";
    /// RFC 4252 §5.4.
    USERAUTH_BANNER = 53, "SSH_MSG_USERAUTH_BANNER";
    /// RFC 4254 §4.
    GLOBAL_REQUEST = 80, "SSH_MSG_GLOBAL_REQUEST";
    /// RFC 4254 §4.
    REQUEST_SUCCESS = 81, "SSH_MSG_REQUEST_SUCCESS";
    /// RFC 4254 §4.
    REQUEST_FAILURE = 82, "SSH_MSG_REQUEST_FAILURE";
    /// RFC 4254 §5.1.
    CHANNEL_OPEN = 90, "SSH_MSG_CHANNEL_OPEN";
    /// RFC 4254 §5.1.
    CHANNEL_OPEN_CONFIRMATION = 91, "SSH_MSG_CHANNEL_OPEN_CONFIRMATION";
    /// RFC 4254 §5.1.
    CHANNEL_OPEN_FAILURE = 92, "SSH_MSG_CHANNEL_OPEN_FAILURE";
    /// RFC 4254 §5.2.
    CHANNEL_WINDOW_ADJUST = 93, "SSH_MSG_CHANNEL_WINDOW_ADJUST";
    /// RFC 4254 §5.2.
    CHANNEL_DATA = 94, "SSH_MSG_CHANNEL_DATA";
    /// RFC 4254 §5.2.
    CHANNEL_EXTENDED_DATA = 95, "SSH_MSG_CHANNEL_EXTENDED_DATA";
    /// RFC 4254 §5.3.
    CHANNEL_EOF = 96, "SSH_MSG_CHANNEL_EOF";
    /// RFC 4254 §5.3.
    CHANNEL_CLOSE = 97, "SSH_MSG_CHANNEL_CLOSE";
    /// RFC 4254 §5.4.
    CHANNEL_REQUEST = 98, "SSH_MSG_CHANNEL_REQUEST";
    /// RFC 4254 §5.4.
    CHANNEL_SUCCESS = 99, "SSH_MSG_CHANNEL_SUCCESS";
    /// RFC 4254 §5.4.
    CHANNEL_FAILURE = 100, "SSH_MSG_CHANNEL_FAILURE";
    /// OpenSSH `PROTOCOL` §1.10 (`ping@openssh.com`).
    PING = 192, "SSH2_MSG_PING";
    /// OpenSSH `PROTOCOL` §1.10 (`ping@openssh.com`).
    PONG = 193, "SSH2_MSG_PONG";
}

/// A message number that prints as `94 (SSH_MSG_CHANNEL_DATA)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(pub u8);

impl std::fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0, name(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_with_their_names() {
        for (number, text) in [
            (DISCONNECT, "1 (SSH_MSG_DISCONNECT)"),
            (31, "31 (key exchange method message)"),
            (60, "60 (authentication method message)"),
            (CHANNEL_FAILURE, "100 (SSH_MSG_CHANNEL_FAILURE)"),
            (128, "128 (unregistered message)"),
            (PING, "192 (SSH2_MSG_PING)"),
            (255, "255 (private extension)"),
        ] {
            assert_eq!(MessageNumber(number).to_string(), text);
        }
    }
}
