//! The values of OpenSSH's configuration: yes and no, times, sizes, lists.

use std::borrow::Cow;
use std::time::Duration;

use thiserror::Error;

use crate::kex::{PreferenceError, Preferences};

/// A value that is not of its keyword's form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not {wanted}")]
pub struct ValueError {
    /// What was written.
    pub value: String,
    /// What would be right.
    pub wanted: Cow<'static, str>,
}

pub(super) fn wrong(value: &str, wanted: impl Into<Cow<'static, str>>) -> ValueError {
    ValueError {
        value: value.to_owned(),
        wanted: wanted.into(),
    }
}

/// A list of algorithms in OpenSSH's syntax, kept as text: what it comes to depends on the list that it edits. `edit` is the
/// method of [`Preferences`] for its kind.
///
/// # Errors
/// A name that nobody knows, with the nearest one that is known.
pub fn algorithms(
    value: &str,
    edit: fn(&mut Preferences, &str) -> Result<(), PreferenceError>,
) -> Result<String, ValueError> {
    match edit(&mut Preferences::default(), value) {
        // Of another list something may be left.
        Err(PreferenceError::NothingLeft { .. }) if !value.is_empty() => Ok(value.to_owned()),
        Err(error) => Err(wrong(value, format!("a list of algorithms: {error}"))),
        Ok(()) => Ok(value.to_owned()),
    }
}

/// `yes` or `no` (also `true` and `false`).
///
/// # Errors
/// Any other word.
pub fn yes_no(value: &str) -> Result<bool, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(wrong(value, "yes or no")),
    }
}

/// A time in OpenSSH's form (`sshd_config(5)`, "TIME FORMATS"): `90`, `1m30s`, `2h`, `1d`, `1w`.
///
/// # Errors
/// Anything else, or more than 136 years.
pub fn seconds(value: &str) -> Result<Duration, ValueError> {
    let fail = || wrong(value, "a time such as 30, 5m or 1h30m");
    let mut total: u64 = 0;
    let mut digits = String::new();
    for each in value.chars() {
        if each.is_ascii_digit() {
            digits.push(each);
            continue;
        }
        let unit = match each.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(fail()),
        };
        let count: u64 = digits.parse().map_err(|_| fail())?;
        digits.clear();
        total = count
            .checked_mul(unit)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(fail)?;
    }
    if !digits.is_empty() {
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|count| total.checked_add(count))
            .ok_or_else(fail)?;
    } else if value.is_empty() {
        return Err(fail());
    }
    if total > u64::from(u32::MAX) {
        Err(fail())
    } else {
        Ok(Duration::from_secs(total))
    }
}

/// A number of bytes with an optional `K`, `M` or `G` behind it (powers of 1024).
///
/// # Errors
/// Anything else, or a number that does not fit.
pub fn scaled_bytes(value: &str) -> Result<u64, ValueError> {
    let fail = || wrong(value, "a number of bytes such as 65536, 64K, 1M or 1G");
    let (digits, scale) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (value.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (value.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (value.get(..at), 1 << 30),
        _ => (Some(value), 1),
    };
    let count: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(fail)?;
    count.checked_mul(scale).ok_or_else(fail)
}

/// For how long one set of keys may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RekeyTime {
    /// Nothing was said: the default.
    #[default]
    Default,
    /// `none`, or no time at all: time alone makes no keys old.
    Unlimited,
    /// So long.
    After(Duration),
}

/// `RekeyLimit`: how much data, and for how long, one set of keys may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RekeyLimit {
    /// Bytes in either direction; `None` leaves the default.
    pub bytes: Option<u64>,
    /// Time since the last key exchange.
    pub time: RekeyTime,
}

impl RekeyLimit {
    /// What counts when `later` stands behind this one: the first number of bytes, and the first time that is named.
    #[must_use]
    pub fn or_later(self, later: Self) -> Self {
        match self.time {
            RekeyTime::Default => Self {
                time: later.time,
                ..self
            },
            RekeyTime::Unlimited | RekeyTime::After(_) => self,
        }
    }
}

/// The arguments of `RekeyLimit`: bytes (or `default`), then a time (or `none`).
///
/// # Errors
/// Any other form, and fewer than 16 bytes, as in OpenSSH.
pub fn rekey_limit(arguments: &[String]) -> Result<RekeyLimit, ValueError> {
    let wanted = "a number of bytes or default, then a time or none";
    let (bytes, time) = match arguments {
        [bytes] => (bytes, None),
        [bytes, time] => (bytes, Some(time)),
        _ => return Err(wrong(&arguments.join(" "), wanted)),
    };
    let bytes = match bytes.as_str() {
        "default" => None,
        text => match scaled_bytes(text)? {
            0 => None,
            1..16 => return Err(wrong(text, "at least 16 bytes")),
            bytes => Some(bytes),
        },
    };
    let time = match time.map(String::as_str) {
        None => RekeyTime::Default,
        Some("none") => RekeyTime::Unlimited,
        Some(text) => match seconds(text)? {
            Duration::ZERO => RekeyTime::Unlimited,
            time => RekeyTime::After(time),
        },
    };
    Ok(RekeyLimit { bytes, time })
}

/// `WarnWeakCrypto`: whether to warn. There is one warning, so leaving it out leaves none.
///
/// # Errors
/// Any other word.
pub fn warn_weak_crypto(value: &str) -> Result<bool, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" | "no-pq-kex" => Ok(false),
        _ => Err(wrong(value, "yes, no or no-pq-kex")),
    }
}

/// The longest `VersionAddendum`, in bytes: an identification line has 255 with its end (RFC 4253 §4.2), and ours begins
/// with the protocol's version and the program's.
pub const MAX_ADDENDUM_BYTES: usize = 200;

/// `VersionAddendum`: what stands behind the software version in the identification; empty for `none`.
///
/// # Errors
/// Anything but printable US-ASCII, and more than [`MAX_ADDENDUM_BYTES`].
pub fn version_addendum(arguments: &[String]) -> Result<String, ValueError> {
    let text = arguments.join(" ");
    if text.eq_ignore_ascii_case("none") {
        return Ok(String::new());
    }
    let is_printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if text.is_empty() || text.len() > MAX_ADDENDUM_BYTES || !is_printable {
        return Err(wrong(&text, "from 1 to 200 characters of printable US-ASCII"));
    }
    Ok(text)
}

/// `LogLevel`: how much is said, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are OpenSSH's and say it")]
pub enum LogLevel {
    Quiet,
    Fatal,
    Error,
    Info,
    Verbose,
    Debug1,
    Debug2,
    Debug3,
}

/// `LogLevel`, in any case.
///
/// # Errors
/// Any other word.
pub fn log_level(value: &str) -> Result<LogLevel, ValueError> {
    match value.to_ascii_uppercase().as_str() {
        "QUIET" => Ok(LogLevel::Quiet),
        "FATAL" => Ok(LogLevel::Fatal),
        "ERROR" => Ok(LogLevel::Error),
        "INFO" => Ok(LogLevel::Info),
        "VERBOSE" => Ok(LogLevel::Verbose),
        "DEBUG" | "DEBUG1" => Ok(LogLevel::Debug1),
        "DEBUG2" => Ok(LogLevel::Debug2),
        "DEBUG3" => Ok(LogLevel::Debug3),
        _ => Err(wrong(
            value,
            "QUIET, FATAL, ERROR, INFO, VERBOSE, DEBUG, DEBUG1, DEBUG2 or DEBUG3",
        )),
    }
}

/// A comma-separated list, without empty items.
pub fn list(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        for (text, expected) in [
            ("600", 600),
            ("10m", 600),
            ("1h30m", 5400),
            ("1w", 604_800),
            ("1h5", 3605),
            ("0", 0),
        ] {
            assert_eq!(seconds(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        for text in ["", "x", "5x", "-1", "m", "99999999999"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_scale() {
        for (text, expected) in [("1", 1), ("64K", 65_536), ("1m", 1 << 20), ("2G", 2 << 30)] {
            assert_eq!(scaled_bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "K", "1T", "99999999999999999999", "99999999999G"] {
            assert!(scaled_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_addendum_fits_the_line() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(version_addendum(&words("a b")).unwrap(), "a b");
        assert_eq!(version_addendum(&words("None")).unwrap(), "");
        assert!(version_addendum(&["x".repeat(MAX_ADDENDUM_BYTES)]).is_ok());
        for bad in [
            "x".repeat(MAX_ADDENDUM_BYTES + 1),
            "a\u{7}".to_owned(),
            "caf\u{e9}".to_owned(),
            "a\r\nb".to_owned(),
            String::new(),
        ] {
            assert!(version_addendum(&[bad]).is_err());
        }
    }

    #[test]
    fn weak_cryptography_is_warned_about_or_not() {
        for (text, expected) in [("yes", true), ("True", true), ("no", false), ("no-pq-kex", false)] {
            assert_eq!(warn_weak_crypto(text), Ok(expected), "{text}");
        }
        assert!(warn_weak_crypto("maybe").is_err());
    }

    #[test]
    fn the_first_bytes_and_the_first_time_count() {
        let limit =
            |text: &str| rekey_limit(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap();
        for (first, later, expected) in [
            ("1M", "2M 1h", "1M 1h"),
            ("default", "2M 1h", "default 1h"),
            ("1M none", "2M 1h", "1M none"),
            ("1M 2h", "2M 1h", "1M 2h"),
        ] {
            assert_eq!(limit(first).or_later(limit(later)), limit(expected), "{first}");
        }
    }

    #[test]
    fn rekey_limits() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let limit = rekey_limit(&words("1M 30m")).unwrap();
        assert_eq!(
            limit,
            RekeyLimit {
                bytes: Some(1 << 20),
                time: RekeyTime::After(Duration::from_secs(1800))
            }
        );
        assert_eq!(rekey_limit(&words("default")), Ok(RekeyLimit::default()));
        assert_eq!(rekey_limit(&words("0")), Ok(RekeyLimit::default()));
        for text in ["default none", "default 0"] {
            let unlimited = RekeyLimit {
                bytes: None,
                time: RekeyTime::Unlimited,
            };
            assert_eq!(rekey_limit(&words(text)), Ok(unlimited), "{text}");
        }
        assert!(rekey_limit(&words("none")).is_err(), "none is a time");
        assert!(
            rekey_limit(&words("default default")).is_err(),
            "default is a number of bytes"
        );
        assert!(rekey_limit(&words("15")).is_err());
        assert!(rekey_limit(&words("1 2 3")).is_err());
    }
}
