//! `expiry-time`: `YYYYMMDD[HHMM[SS]][Z]`.

/// When a key stops being accepted. Without `Z` the time is that of the server's time zone, which this crate does not
/// know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryTime {
    /// Seconds since the start of 1970, reading the stamp as UTC.
    pub unix_seconds: i64,
    /// Whether the stamp ends in `Z`, and so is UTC.
    pub utc: bool,
}

/// No time zone is further ahead of UTC than this, in seconds.
const MAX_OFFSET_SECONDS: i64 = 14 * 3600;

impl ExpiryTime {
    /// Whether the time has passed. `unix_seconds` is now; `local_offset_seconds` is what the server's local time is
    /// ahead of UTC, and does not matter for stamps in UTC.
    ///
    /// A server that does not know its offset can pass 14 hours, the largest there is: keys then expire early, never
    /// late.
    pub fn has_passed(&self, unix_seconds: i64, local_offset_seconds: i32) -> bool {
        let offset = if self.utc {
            0
        } else {
            i64::from(local_offset_seconds)
        };
        unix_seconds.saturating_add(offset) > self.unix_seconds
    }

    /// Reads a stamp.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (digits, utc) = match text.strip_suffix(['Z', 'z']) {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = |from: usize, to: usize| {
            digits
                .get(from..to)
                .map_or(Some(0), |part| part.parse::<i64>().ok())
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
        let in_range = year >= 1970
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 60;
        let seconds = [(24, hour), (60, minute), (60, second)]
            .into_iter()
            .fold(days_since_1970(year, month, day), |sum, (scale, part)| {
                sum.saturating_mul(scale).saturating_add(part)
            });
        in_range.then_some(Self {
            unix_seconds: seconds,
            utc,
        })
    }

    /// The one of two times that is over first; where that depends on the time zone, the one that may be.
    pub(super) fn earlier(self, other: Self) -> Self {
        if other.earliest() < self.earliest() {
            other
        } else {
            self
        }
    }

    const fn earliest(self) -> i64 {
        if self.utc {
            self.unix_seconds
        } else {
            self.unix_seconds.saturating_sub(MAX_OFFSET_SECONDS)
        }
    }
}

const fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the start of 1970 to a date of a year up to 9999.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year.saturating_sub(1);
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let of_years = year.saturating_sub(1970).saturating_mul(365) + leap_days(before) - leap_days(1969);
    let of_months: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
    of_years + of_months + day.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read() {
        // The numbers are those of `date -u -d … +%s`.
        for (text, seconds, utc) in [
            ("19700101", 0, false),
            ("20000229Z", 951_782_400, true),
            ("20261120", 1_795_132_800, false),
            ("202611201344Z", 1_795_182_240, true),
            ("20261120134459z", 1_795_182_299, true),
            ("99991231235959", 253_402_300_799, false),
            ("21000301", 4_107_542_400, false),
        ] {
            assert_eq!(
                ExpiryTime::parse(text),
                Some(ExpiryTime {
                    unix_seconds: seconds,
                    utc
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026",
            "2026112",
            "202611201",
            "2026112013",
            "20261320",
            "20260001",
            "20260100",
            "20260230",
            "21000229",
            "202611202400",
            "202611202360",
            "20261120235961",
            "2026-11-20",
            "+2026112",
            "20261120ZZ",
            "19691231",
            "２０２６",
        ] {
            assert_eq!(ExpiryTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_local_stamp_moves_with_the_time_zone() {
        let time = ExpiryTime::parse("202611201200").unwrap();
        let noon = time.unix_seconds;
        for (now, offset, expected) in [
            (noon, 0, false),
            (noon + 1, 0, true),
            (noon - 3599, 3600, true),
            (noon + 3600, -3600, false),
        ] {
            assert_eq!(time.has_passed(now, offset), expected, "{now} {offset}");
        }
        let utc = ExpiryTime::parse("202611201200Z").unwrap();
        assert!(!utc.has_passed(noon, 3600));
    }

    #[test]
    fn of_two_times_the_one_that_may_be_over_first_counts() {
        let local = ExpiryTime::parse("202611201200").unwrap();
        let utc = ExpiryTime::parse("202611200100Z").unwrap();
        assert_eq!(utc.earlier(local), local);
        assert_eq!(
            local.earlier(ExpiryTime::parse("20261119").unwrap()).unix_seconds,
            local.unix_seconds - 36 * 3600
        );
    }
}
