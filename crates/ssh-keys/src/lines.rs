//! Key lists are text, a key a line: this is what `known_hosts` and `authorized_keys` share.
//!
//! A line that is not understood is kept by its number and has no effect; it never spoils the lines around it, and it
//! never stops a login that another line allows.

use crate::{BadLine, LineProblem};

/// Longest line that is looked at, in bytes: the largest key blob in base64, and options or host names beside it.
pub const MAX_LINE_BYTES: usize = 128 * 1024;

/// Reads every line that is neither blank nor a comment; `read` is given its number, counted from 1, and its bytes
/// without the blanks around them.
pub(crate) fn parse<T>(
    bytes: &[u8],
    read: impl Fn(usize, &[u8]) -> Result<T, LineProblem>,
) -> (Vec<T>, Vec<BadLine>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for (number, line) in (1_usize..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match check(line).and_then(|()| read(number, line)) {
            Ok(entry) => good.push(entry),
            Err(problem) => bad.push(BadLine {
                line: number,
                problem,
            }),
        }
    }
    (good, bad)
}

fn check(line: &[u8]) -> Result<(), LineProblem> {
    if line.len() > MAX_LINE_BYTES {
        Err(LineProblem::TooLong(line.len()))
    } else if line.contains(&0) {
        Err(LineProblem::Nul)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_and_comments_are_counted_but_not_read() {
        let text = b"# one\n\n  three \r\n\t# four\nfive";
        let (good, bad) = parse(text, |number, line| {
            Ok((number, String::from_utf8_lossy(line).into_owned()))
        });
        assert_eq!(good, [(3, "three".to_owned()), (5, "five".to_owned())]);
        assert_eq!(bad, []);
    }

    #[test]
    fn a_bad_line_is_kept_by_number_and_harms_no_other() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let text = format!("a\nb\0b\n{long}\nd\n");
        let (good, bad) = parse(text.as_bytes(), |number, line| match line {
            b"d" => Err(LineProblem::BadHosts("odd")),
            _ => Ok(number),
        });
        assert_eq!(good, [1]);
        let expected = [
            (2, LineProblem::Nul),
            (3, LineProblem::TooLong(MAX_LINE_BYTES + 1)),
            (4, LineProblem::BadHosts("odd")),
        ];
        assert_eq!(bad, expected.map(|(line, problem)| BadLine { line, problem }));
    }
}
