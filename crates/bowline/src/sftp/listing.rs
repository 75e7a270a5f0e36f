//! How `ls` shows what it found: names in columns, or one line each with attributes.

use std::cmp::Reverse;

use ssh_client::sftp_protocol::Attributes;

use super::commands::ListFlags;
use crate::terminal::harmless_name;

/// The width of a screen that does not tell.
const USUAL_COLUMNS: usize = 80;

/// One file, as it is to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// What stands in the list: a name, or the path it was asked for by.
    pub(crate) name: Vec<u8>,
    /// The server's own line about it (`ls -l` of its system).
    pub(crate) longname: Vec<u8>,
    pub(crate) attributes: Attributes,
}

/// The lines that show `files`.
pub(crate) fn lines(mut files: Vec<Shown>, flags: ListFlags) -> Vec<String> {
    if !flags.all {
        files.retain(|file| !file.name.starts_with(b"."));
    }
    if !flags.unsorted {
        sort(&mut files, flags);
    }
    if flags.long || flags.numeric {
        return files.iter().map(|file| long_line(file, flags)).collect();
    }
    let names: Vec<String> = files.iter().map(|file| harmless_name(&file.name)).collect();
    if flags.single {
        names
    } else {
        columns(&names, screen_columns())
    }
}

fn sort(files: &mut [Shown], flags: ListFlags) {
    let time = |file: &Shown| file.attributes.atime_mtime.map_or(0, |(_, mtime)| mtime);
    let size = |file: &Shown| file.attributes.size.unwrap_or(0);
    match (flags.by_time, flags.by_size) {
        (true, _) => files.sort_by_key(|file| Reverse(time(file))),
        (false, true) => files.sort_by_key(|file| Reverse(size(file))),
        (false, false) => files.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    if flags.reverse {
        files.reverse();
    }
}

/// The server's own line where it sent one that is about this name, else one made from the attributes.
fn long_line(file: &Shown, flags: ListFlags) -> String {
    if !flags.numeric && !flags.human && file.longname.ends_with(&file.name) && !file.name.is_empty() {
        return harmless_name(&file.longname);
    }
    let attributes = &file.attributes;
    let (owner, group) = attributes
        .uid_gid
        .map_or(("?".to_owned(), "?".to_owned()), |(user, group)| {
            (user.to_string(), group.to_string())
        });
    let size = attributes.size.unwrap_or(0);
    let size = if flags.human {
        human(size)
    } else {
        size.to_string()
    };
    let mode = mode_letters(attributes.permissions.unwrap_or(0));
    let time = attributes.atime_mtime.map_or(0, |(_, mtime)| mtime);
    format!(
        "{mode} ? {owner:<8} {group:<8} {size:>8} {} {}",
        date(time),
        harmless_name(&file.name)
    )
}

/// `drwxr-xr-x`.
fn mode_letters(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o140_000 => 's',
        0o060_000 => 'b',
        0o020_000 => 'c',
        0o010_000 => 'p',
        _ => '-',
    };
    let mut out = String::from(kind);
    for shift in [6, 3, 0] {
        let bits = mode >> shift;
        let special = match shift {
            6 => (mode & 0o4000 != 0).then_some('s'),
            3 => (mode & 0o2000 != 0).then_some('s'),
            _ => (mode & 0o1000 != 0).then_some('t'),
        };
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (bits & 1 != 0, special) {
            (true, Some(letter)) => letter,
            (false, Some(letter)) => letter.to_ascii_uppercase(),
            (true, None) => 'x',
            (false, None) => '-',
        });
    }
    out
}

/// A size with one letter behind it.
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes;
    let mut rest = 0;
    for letter in ["B", "K", "M", "G", "T"] {
        if value < 1024 {
            return if letter == "B" {
                format!("{value}B")
            } else {
                format!("{value}.{}{letter}", rest * 10 / 1024)
            };
        }
        rest = value % 1024;
        value /= 1024;
    }
    format!("{value}P")
}

/// Seconds since 1970 as `2026-11-20 13:37`, UTC: the civil calendar from a count of days (Howard Hinnant's method).
fn date(seconds: u32) -> String {
    let days = i64::from(seconds / 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}",
        seconds % 86_400 / 3600,
        seconds % 3600 / 60
    )
}

fn screen_columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL_COLUMNS)
}

/// Names side by side, first down and then across, as `ls` has them.
fn columns(names: &[String], width: usize) -> Vec<String> {
    let widest = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .saturating_add(2);
    let across = (width / widest.max(1)).max(1);
    let down = names.len().div_ceil(across).max(1);
    let row = |row: usize| {
        let cells = names.iter().skip(row).step_by(down);
        cells
            .map(|name| format!("{name:<widest$}"))
            .collect::<String>()
            .trim_end()
            .to_owned()
    };
    (0..down.min(names.len())).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, size: u64, time: u32) -> Shown {
        let attributes = Attributes {
            size: Some(size),
            atime_mtime: Some((time, time)),
            ..Attributes::default()
        };
        Shown {
            name: name.into(),
            longname: Vec::new(),
            attributes,
        }
    }

    #[test]
    fn order_and_hidden_names() {
        let files = || {
            vec![
                shown("b", 1, 3),
                shown(".h", 9, 9),
                shown("a", 2, 1),
                shown("c", 3, 2),
            ]
        };
        let single = ListFlags {
            single: true,
            ..ListFlags::default()
        };
        assert_eq!(lines(files(), single), ["a", "b", "c"]);
        assert_eq!(
            lines(files(), ListFlags { all: true, ..single }),
            [".h", "a", "b", "c"]
        );
        assert_eq!(
            lines(
                files(),
                ListFlags {
                    by_size: true,
                    ..single
                }
            ),
            ["c", "a", "b"]
        );
        assert_eq!(
            lines(
                files(),
                ListFlags {
                    by_time: true,
                    reverse: true,
                    ..single
                }
            ),
            ["a", "c", "b"]
        );
        assert_eq!(
            lines(
                files(),
                ListFlags {
                    unsorted: true,
                    ..single
                }
            ),
            ["b", "a", "c"]
        );
    }

    #[test]
    fn a_hostile_name_cannot_steer_the_terminal() {
        let single = ListFlags {
            single: true,
            ..ListFlags::default()
        };
        assert_eq!(
            lines(vec![shown("a\x1b[2J\nb", 1, 1)], single),
            ["a\\u{1b}[2J\\nb"]
        );
    }

    #[test]
    fn names_fill_the_screen() {
        let names: Vec<String> = (0..5).map(|index| format!("n{index}")).collect();
        assert_eq!(columns(&names, 12), ["n0  n2  n4", "n1  n3"]);
        assert_eq!(columns(&names, 1).len(), 5);
        assert!(columns(&[], 80).is_empty());
    }

    #[test]
    fn attributes_are_spelled_out() {
        assert_eq!(mode_letters(0o100_644), "-rw-r--r--");
        assert_eq!(mode_letters(0o041_777), "drwxrwxrwt");
        assert_eq!(mode_letters(0o104_711), "-rws--x--x");
        assert_eq!(
            (human(1023), human(1536), human(5 << 30)),
            ("1023B".into(), "1.5K".into(), "5.0G".into())
        );
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(1_709_210_096), "2024-02-29 12:34");
    }
}
