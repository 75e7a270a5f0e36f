//! Values that are one of a few: terminals, sessions, address families, tunnels, the escape character.

use std::time::Duration;

use super::values::{ValueError, wrong, yes_no};
use crate::connect::AddressFamily;
use crate::terminal::KeystrokeTiming;

/// `RequestTTY`: whether the remote program gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestTty {
    /// A shell does, a command does not.
    #[default]
    Auto,
    /// Never.
    No,
    /// If our own standard input is one.
    Yes,
    /// In any case.
    Force,
}

/// `SessionType`: what is asked of the server besides forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionType {
    /// A command or a shell.
    #[default]
    Default,
    /// Nothing.
    None,
    /// A subsystem, by the command's name.
    Subsystem,
}

/// `EscapeChar`: what begins a word to this program at the beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscapeChar {
    /// Nothing does: all that is typed is sent.
    None,
    /// This byte.
    Byte(u8),
}

impl Default for EscapeChar {
    fn default() -> Self {
        Self::Byte(b'~')
    }
}

/// `ForwardAgent`: whether, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardAgent {
    /// None.
    No,
    /// The one that `SSH_AUTH_SOCK` names.
    Yes,
    /// The one that listens on this path, or, behind a `$`, on the path this variable holds.
    Path(String),
}

/// `Tunnel`: whether packets of a network device are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tunnel {
    /// They are not.
    #[default]
    No,
    /// Those of layer 3.
    PointToPoint,
    /// Those of layer 2.
    Ethernet,
}

/// `TunnelDevice`: the numbers of the devices on both sides; `None` is the next one that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TunnelDevice {
    /// On this side.
    pub local: Option<u32>,
    /// On the server's.
    pub remote: Option<u32>,
}

/// The greatest number of a device: the last two values say "any" and "wrong" in OpenSSH.
const MAX_TUNNEL_DEVICE: u32 = 0x7fff_fffd;

pub(super) fn address_family(value: &str) -> Result<AddressFamily, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "any" => Ok(AddressFamily::Any),
        "inet" => Ok(AddressFamily::Inet),
        "inet6" => Ok(AddressFamily::Inet6),
        _ => Err(wrong(value, "any, inet or inet6")),
    }
}

pub(super) fn request_tty(value: &str) -> Result<RequestTty, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "auto" => Ok(RequestTty::Auto),
        "yes" | "true" => Ok(RequestTty::Yes),
        "no" | "false" => Ok(RequestTty::No),
        "force" => Ok(RequestTty::Force),
        _ => Err(wrong(value, "yes, no, force or auto")),
    }
}

pub(super) fn session_type(value: &str) -> Result<SessionType, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "default" => Ok(SessionType::Default),
        "none" => Ok(SessionType::None),
        "subsystem" => Ok(SessionType::Subsystem),
        _ => Err(wrong(value, "none, subsystem or default")),
    }
}

/// A single character, `^` and a letter for a control character, or `none`.
///
/// # Errors
/// Anything else.
pub fn escape_char(value: &str) -> Result<EscapeChar, ValueError> {
    match value.as_bytes() {
        b"none" => Ok(EscapeChar::None),
        [byte] => Ok(EscapeChar::Byte(*byte)),
        [b'^', letter @ 64..128] => Ok(EscapeChar::Byte(letter & 31)),
        _ => Err(wrong(value, "a character, ^ and a letter, or none")),
    }
}

/// The longest interval of `ObscureKeystrokeTiming`, in milliseconds.
const MAX_KEYSTROKE_INTERVAL: u64 = 1000;

pub(super) fn keystroke_timing(value: &str) -> Result<KeystrokeTiming, ValueError> {
    match yes_no(value) {
        Ok(true) => return Ok(KeystrokeTiming::default()),
        Ok(false) => return Ok(KeystrokeTiming::AtOnce),
        Err(_) => {}
    }
    let interval = value.strip_prefix("interval:").and_then(|text| text.parse().ok());
    match interval {
        Some(milliseconds @ 1..=MAX_KEYSTROKE_INTERVAL) => {
            Ok(KeystrokeTiming::Every(Duration::from_millis(milliseconds)))
        }
        _ => Err(wrong(value, "yes, no, or interval: and 1 to 1000 milliseconds")),
    }
}

pub(super) fn forward_agent(value: &str) -> Result<ForwardAgent, ValueError> {
    match yes_no(value) {
        Ok(true) => Ok(ForwardAgent::Yes),
        Ok(false) => Ok(ForwardAgent::No),
        Err(_) if value.is_empty() => Err(wrong(value, "yes, no or the path of a socket")),
        Err(_) => Ok(ForwardAgent::Path(value.to_owned())),
    }
}

/// An octal mask of permissions.
pub(super) fn bind_mask(value: &str) -> Result<u32, ValueError> {
    u32::from_str_radix(value, 8)
        .ok()
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| wrong(value, "an octal mask such as 0177"))
}

pub(super) fn tunnel(value: &str) -> Result<Tunnel, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "point-to-point" => Ok(Tunnel::PointToPoint),
        "ethernet" => Ok(Tunnel::Ethernet),
        "no" | "false" => Ok(Tunnel::No),
        _ => Err(wrong(value, "yes, point-to-point, ethernet or no")),
    }
}

/// `local[:remote]`, each a number or `any`.
///
/// # Errors
/// Anything else.
pub fn tunnel_device(value: &str) -> Result<TunnelDevice, ValueError> {
    let number = |text: &str| {
        if text.eq_ignore_ascii_case("any") {
            return Ok(None);
        }
        let number = text.parse().ok().filter(|number| *number <= MAX_TUNNEL_DEVICE);
        number
            .map(Some)
            .ok_or_else(|| wrong(value, "the number of a device or any, twice at most"))
    };
    let (local, remote) = value.split_once(':').unwrap_or((value, "any"));
    Ok(TunnelDevice {
        local: number(local)?,
        remote: number(remote)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_choice() {
        assert_eq!(address_family("INET6"), Ok(AddressFamily::Inet6));
        assert!(address_family("ipv4").is_err());
        for (word, expected) in [
            ("auto", RequestTty::Auto),
            ("Yes", RequestTty::Yes),
            ("false", RequestTty::No),
            ("force", RequestTty::Force),
        ] {
            assert_eq!(request_tty(word), Ok(expected));
        }
        assert_eq!(session_type("subsystem"), Ok(SessionType::Subsystem));
        assert!(session_type("shell").is_err());
        assert_eq!(forward_agent("yes"), Ok(ForwardAgent::Yes));
        assert_eq!(
            forward_agent("$OTHER"),
            Ok(ForwardAgent::Path("$OTHER".to_owned()))
        );
        assert_eq!(tunnel("yes"), Ok(Tunnel::PointToPoint));
        assert!(tunnel("tap").is_err());
    }

    #[test]
    fn the_timing_of_keys_is_switched_or_an_interval() {
        let every = |milliseconds| KeystrokeTiming::Every(Duration::from_millis(milliseconds));
        for (word, expected) in [
            ("yes", every(20)),
            ("true", every(20)),
            ("no", KeystrokeTiming::AtOnce),
            ("interval:1", every(1)),
            ("interval:1000", every(1000)),
        ] {
            assert_eq!(keystroke_timing(word), Ok(expected), "{word}");
        }
        for word in [
            "",
            "20",
            "interval:",
            "interval:0",
            "interval:1001",
            "interval:-1",
            "interval:20ms",
        ] {
            assert!(keystroke_timing(word).is_err(), "{word}");
        }
    }

    #[test]
    fn escape_characters_as_openssh_writes_them() {
        for (word, expected) in [
            ("none", EscapeChar::None),
            ("~", EscapeChar::Byte(b'~')),
            ("^", EscapeChar::Byte(b'^')),
            ("^]", EscapeChar::Byte(0x1d)),
            ("^b", EscapeChar::Byte(2)),
        ] {
            assert_eq!(escape_char(word), Ok(expected), "{word}");
        }
        for word in ["", "ab", "^^^", "^1", "\u{e9}"] {
            assert!(escape_char(word).is_err(), "{word}");
        }
    }

    #[test]
    fn masks_and_devices_have_their_bounds() {
        assert_eq!(bind_mask("0177"), Ok(0o177));
        for word in ["1000", "8", "-1", ""] {
            assert!(bind_mask(word).is_err(), "{word}");
        }
        let devices = |word| tunnel_device(word).map(|it| (it.local, it.remote));
        assert_eq!(devices("any"), Ok((None, None)));
        assert_eq!(devices("3"), Ok((Some(3), None)));
        assert_eq!(devices("3:ANY"), Ok((Some(3), None)));
        assert_eq!(devices("any:4"), Ok((None, Some(4))));
        assert_eq!(devices("2147483645:0"), Ok((Some(2_147_483_645), Some(0))));
        for word in ["", "2147483646", "1:", "1:2:3", "x"] {
            assert!(tunnel_device(word).is_err(), "{word}");
        }
    }
}
