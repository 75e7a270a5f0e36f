//! The `longname` of a directory entry: the line `ls -l` shows (draft-ietf-secsh-filexfer-02 §7).
//!
//! Clients print it as it is, so it follows what people know: mode, links, owner, group, size, time, name. The time is
//! UTC: the rules of the local time zone live in the C library, which this process does not ask.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};

/// Names of users and groups, and the moment from which a time is old.
#[derive(Debug)]
pub(super) struct LongNames {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl LongNames {
    /// Reads the user and group databases; what cannot be read leaves numbers in place of names.
    pub(super) fn load() -> Self {
        Self {
            users: names("/etc/passwd"),
            groups: names("/etc/group"),
        }
    }

    /// The line for the entry `name` with the attributes `stat`, as seen at `now`.
    pub(super) fn line(&self, name: &[u8], stat: &Stat, now: SystemTime) -> Vec<u8> {
        let mut line = Vec::with_capacity(80_usize.saturating_add(name.len()));
        let mode = mode(stat.st_mode);
        let (user, group) = (named(&self.users, stat.st_uid), named(&self.groups, stat.st_gid));
        let time = time(stat.st_mtime, seconds(now));
        let (links, size) = (stat.st_nlink, stat.st_size);
        // Writing to a vector cannot fail.
        let _ = write!(line, "{mode} {links:3} {user:<8} {group:<8} {size:8} {time} ");
        line.extend_from_slice(name);
        line
    }
}

/// `-rw-r--r--` and its relatives.
fn mode(mode: u32) -> String {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => '?',
    };
    let bit = |mask: u32| mode & mask != 0;
    let letter = |mask: u32, letter: char| if bit(mask) { letter } else { '-' };
    // The third place of each triple says two things at once: may execute, and runs as (or is sticky).
    let execute = |mask: u32, special: u32, letter: char| match (bit(mask), bit(special)) {
        (true, false) => 'x',
        (false, false) => '-',
        (true, true) => letter,
        (false, true) => letter.to_ascii_uppercase(),
    };
    [
        kind,
        letter(0o400, 'r'),
        letter(0o200, 'w'),
        execute(0o100, 0o4000, 's'),
        letter(0o040, 'r'),
        letter(0o020, 'w'),
        execute(0o010, 0o2000, 's'),
        letter(0o004, 'r'),
        letter(0o002, 'w'),
        execute(0o001, 0o1000, 't'),
    ]
    .iter()
    .collect()
}

/// `Jan  2 15:04` for the last half year, `Jan  2  2006` for all other times, both in seconds since 1970, UTC.
fn time(time: i64, now: i64) -> String {
    let (year, month, day) = date(time.div_euclid(DAY));
    let month = usize::try_from(month.saturating_sub(1))
        .ok()
        .and_then(|index| MONTHS.get(index))
        .unwrap_or(&"???");
    let second = time.rem_euclid(DAY);
    let recent = now.saturating_sub(HALF_YEAR) < time && time <= now;
    if recent {
        let (hour, minute) = (second / 3600, second % 3600 / 60);
        format!("{month} {day:2} {hour:02}:{minute:02}")
    } else {
        format!("{month} {day:2}  {year:4}")
    }
}

/// Year, month and day of the day `days` after 1 January 1970 in the Gregorian calendar.
///
/// Years are counted from March on, so that a leap day is the last of its year; 400 such years always have the same
/// number of days.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_TO_MARCH_OF_YEAR_0: i64 = 719_468;
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let days = days.saturating_add(DAYS_TO_MARCH_OF_YEAR_0);
    let era = days.div_euclid(DAYS_OF_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_OF_400_YEARS);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era
        .saturating_mul(400)
        .saturating_add(year_of_era)
        .saturating_add(i64::from(month <= 2));
    (year, month, day)
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn named(names: &HashMap<u32, String>, id: u32) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

/// Number to name from a file of the form of passwd(5) or group(5): the name is the first field, the number the third.
fn names(path: &str) -> HashMap<u32, String> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            // The first name of a number is the one that counts, as for the C library.
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

const DAY: i64 = 86_400;
const HALF_YEAR: i64 = 365 * DAY / 2;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |days, expected| assert_eq!(date(days), expected, "day {days}");
        check(0, (1970, 1, 1));
        check(-1, (1969, 12, 31));
        check(11_016, (2000, 2, 29));
        check(11_017, (2000, 3, 1));
        check(19_723, (2024, 1, 1));
        check(19_782, (2024, 2, 29));
        check(20_088, (2024, 12, 31));
        check(47_540, (2100, 2, 28));
        check(47_541, (2100, 3, 1));
        check(-719_528, (0, 1, 1));
        date(i64::MAX / DAY);
        date(i64::MIN / DAY);
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before() {
        let mut last = date(-200_000);
        for day in -199_999..200_000 {
            let next = date(day);
            let follows = next == (last.0, last.1, last.2 + 1)
                || (next.2 == 1 && (next.1 == last.1 + 1 && next.0 == last.0))
                || (next == (last.0 + 1, 1, 1) && (last.1, last.2) == (12, 31));
            assert!(follows, "{last:?} then {next:?}");
            last = next;
        }
    }

    #[test]
    fn modes_read_as_in_ls() {
        let check = |raw, expected: &str| assert_eq!(mode(raw), expected);
        check(0o100_644, "-rw-r--r--");
        check(0o040_755, "drwxr-xr-x");
        check(0o120_777, "lrwxrwxrwx");
        check(0o104_755, "-rwsr-xr-x");
        check(0o104_644, "-rwSr--r--");
        check(0o102_755, "-rwxr-sr-x");
        check(0o041_777, "drwxrwxrwt");
        check(0o041_776, "drwxrwxrwT");
        check(0o010_600, "prw-------");
        check(0o140_600, "srw-------");
        check(0o020_620, "crw--w----");
        check(0o060_660, "brw-rw----");
    }

    #[test]
    fn recent_times_show_the_hour_and_old_ones_the_year() {
        let now = 1_700_000_000; // 14 November 2023, 22:13:20
        assert_eq!(time(now, now), "Nov 14 22:13");
        assert_eq!(time(now - 60 * DAY, now), "Sep 15 22:13");
        assert_eq!(time(now - 300 * DAY, now), "Jan 18  2023");
        assert_eq!(time(now + 60, now), "Nov 14  2023");
        assert_eq!(time(0, now), "Jan  1  1970");
    }

    #[test]
    fn a_line_has_the_fields_of_ls() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"hello").unwrap();
        let stat = rustix::fs::stat(file.path()).unwrap();
        let names = LongNames {
            users: HashMap::from([(stat.st_uid, "alice".to_owned())]),
            groups: HashMap::new(),
        };
        let now = UNIX_EPOCH + Duration::from_secs(stat.st_mtime.try_into().unwrap());
        let line = String::from_utf8(names.line(b"a name", &stat, now)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words[..5],
            ["-rw-------", "1", "alice", stat.st_gid.to_string().as_str(), "5"]
        );
        assert!(line.ends_with(" a name"), "{line}");
    }
}
