//! The words of an `sftp` command line: quotes, backslashes, and which of their characters may still match files.

use glob::Pattern;

/// A word: what it says, and the file pattern it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// The word with its quotes and backslashes taken off.
    pub(crate) text: String,
    /// The word as a pattern, in which everything that was quoted stands for itself.
    pub(crate) pattern: String,
    /// Whether an unquoted `*`, `?` or `[` stands in it.
    pub(crate) is_pattern: bool,
}

/// Splits a line into words, as sftp(1) does: either quote, a backslash before one character.
///
/// # Errors
/// An open quote or a backslash at the end.
pub(crate) fn split(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|each| each.is_whitespace()).is_some() {}
        match characters.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => words.push(word(&mut characters)?),
        }
    }
}

fn word(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Word, String> {
    let mut word = Word {
        text: String::new(),
        pattern: String::new(),
        is_pattern: false,
    };
    let mut quote = None;
    while let Some(&each) = characters.peek() {
        match (each, quote) {
            (_, None) if each.is_whitespace() => break,
            ('"' | '\'', None) => quote = Some(each),
            (_, Some(open)) if open == each => quote = None,
            ('\\', _) => {
                characters.next();
                let Some(&next) = characters.peek() else {
                    return Err("Unterminated escape".to_owned());
                };
                // Inside quotes a backslash keeps its own meaning but before the quote, itself and pattern marks.
                if quote.is_some_and(|open| next != open && !"\\*?[".contains(next)) {
                    word.literal('\\');
                }
                word.literal(next);
            }
            (_, Some(_)) => word.literal(each),
            (_, None) => {
                word.is_pattern |= matches!(each, '*' | '?' | '[');
                word.text.push(each);
                word.pattern.push(each);
            }
        }
        characters.next();
    }
    if quote.is_some() {
        Err("Unterminated quoted argument".to_owned())
    } else {
        Ok(word)
    }
}

impl Word {
    fn literal(&mut self, each: char) {
        self.text.push(each);
        self.pattern
            .push_str(&Pattern::escape(each.encode_utf8(&mut [0; 4])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_sftp_reads_them() {
        let texts = |line: &str| {
            split(line)
                .unwrap()
                .into_iter()
                .map(|word| word.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("put a b"), ["put", "a", "b"]);
        assert_eq!(
            texts(r#"put "a b" 'c d' e\ f  # comment"#),
            ["put", "a b", "c d", "e f"]
        );
        assert_eq!(texts("put ''"), ["put", ""]);
        assert!(split("put \"a").is_err());
        assert!(split("put a\\").is_err());
    }

    #[test]
    fn quoted_marks_match_themselves_only() {
        let words = split(r#"ls *.txt "*.txt" \*.txt"#).unwrap();
        assert!(words[1].is_pattern && !words[2].is_pattern && !words[3].is_pattern);
        assert!(Pattern::new(&words[1].pattern).unwrap().matches("a.txt"));
        assert!(!Pattern::new(&words[2].pattern).unwrap().matches("a.txt"));
        assert!(Pattern::new(&words[2].pattern).unwrap().matches("*.txt"));
    }
}
