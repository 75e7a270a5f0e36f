//! Lines of a client without a terminal: a program's, or a person's whose own terminal edits them.

use zeroize::{Zeroize, Zeroizing};

/// Cuts bytes into lines, of at most so many characters each.
#[derive(Debug)]
pub(crate) struct PlainLines {
    line: Zeroizing<Vec<u8>>,
    max_chars: usize,
    is_too_long: bool,
}

/// A line was longer than the limit; all of it is left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl PlainLines {
    pub(crate) fn new(max_chars: usize) -> Self {
        Self {
            line: Zeroizing::default(),
            max_chars,
            is_too_long: false,
        }
    }

    /// Takes from `input` up to the end of a line.
    pub(crate) fn feed(&mut self, input: &mut &[u8]) -> Option<Result<Zeroizing<String>, TooLong>> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (line, rest) = input.split_at_checked(end.unwrap_or(input.len()))?;
        // No character has more than four bytes, and a carriage return may stand at the end.
        let max_bytes = self.max_chars.saturating_mul(4).saturating_add(1);
        if line.len() > max_bytes.saturating_sub(self.line.len()) {
            self.is_too_long = true;
            self.line.zeroize();
        }
        if !self.is_too_long {
            self.line.extend_from_slice(line);
        }
        *input = rest.get(1..).unwrap_or_default();
        end.map(|_| self.whole())
    }

    /// What came behind the last line.
    pub(crate) fn end(&mut self) -> Option<Result<Zeroizing<String>, TooLong>> {
        (self.is_too_long || !self.line.is_empty()).then(|| self.whole())
    }

    fn whole(&mut self) -> Result<Zeroizing<String>, TooLong> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes));
        let text = Zeroizing::new(text.into_owned());
        let is_too_long = std::mem::take(&mut self.is_too_long) || text.chars().count() > self.max_chars;
        match is_too_long {
            true => Err(TooLong),
            false => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `input`, and how each ended, whole and byte by byte.
    fn check(input: &[u8], lines: &[Option<&str>]) {
        for size in [input.len().max(1), 1, 3] {
            let mut plain = PlainLines::new(4);
            let mut found = Vec::new();
            for mut piece in input.chunks(size) {
                while !piece.is_empty() {
                    found.extend(plain.feed(&mut piece));
                }
                assert!(plain.line.len() <= 17);
            }
            found.extend(plain.end());
            let found: Vec<Option<&str>> = found
                .iter()
                .map(|line| line.as_ref().ok().map(|line| line.as_str()))
                .collect();
            assert_eq!(found, lines, "{input:?} by {size}");
        }
    }

    #[test]
    fn lines_end_and_have_a_limit() {
        check(b"", &[]);
        check(
            b"one\ntwo\r\n\nlast",
            &[Some("one"), Some("two"), Some(""), Some("last")],
        );
        check(
            "日本語字\nabcde\nf".as_bytes(),
            &[Some("日本語字"), None, Some("f")],
        );
        check(&[b'x'; 1000], &[None]);
        check(&[&[b'x'; 1000][..], b"\nok\n"].concat(), &[None, Some("ok")]);
        check(b"a\xff\n", &[Some("a\u{fffd}")]);
    }
}
