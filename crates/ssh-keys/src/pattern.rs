//! Patterns as OpenSSH writes them: `*` for any run of characters, `?` for one, nothing else (`ssh_config(5)`,
//! "PATTERNS").

/// Whether all of `text` matches `pattern`; ASCII letters are alike in both cases, as in the names of hosts.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, u8::eq_ignore_ascii_case)
}

/// Whether all of `text` matches `pattern`, letter by letter.
pub fn matches_exactly(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, u8::eq)
}

/// Only the last `*` is ever returned to: once a later `*` is reached, a longer match of an earlier one cannot help. So
/// the work is at most one step for each pair of bytes, and no pattern makes it explode.
fn matches_by(pattern: &[u8], text: &[u8], same: fn(&u8, &u8) -> bool) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', after)), _) => {
                pattern = after;
                retry = Some((after, text));
                continue;
            }
            (Some((expected, pattern_rest)), Some((found, text_rest)))
                if *expected == b'?' || same(expected, found) =>
            {
                pattern = pattern_rest;
                text = text_rest;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // A mismatch: let the last `*` take one byte more.
        let Some((after_star, from)) = retry else {
            return false;
        };
        let Some((_, from)) = from.split_first() else {
            return false;
        };
        (pattern, text) = (after_star, from);
        retry = Some((after_star, from));
    }
}

/// One entry of a pattern list: a pattern, which a leading `!` negates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) negated: bool,
    pub(crate) text: Vec<u8>,
}

impl Pattern {
    /// Splits off the `!`.
    pub(crate) fn new(text: &[u8]) -> Self {
        let bare = text.strip_prefix(b"!");
        Self {
            negated: bare.is_some(),
            text: bare.unwrap_or(text).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_question_marks_and_case() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "www.example.com.evil", false),
            ("WWW.*.Com", "www.EXAMPLE.com", true),
            ("192.168.0.?", "192.168.0.1", true),
            ("192.168.0.?", "192.168.0.10", false),
            ("a*b*c", "aXXbYYbZc", true),
            ("a*b*c", "aXXbYYbZ", false),
            ("**a**", "bab", true),
            ("a*", "a", true),
            ("[ab]", "a", false),
            ("[ab]", "[ab]", true),
            ("*?", "", false),
            ("*?*", "x", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn agrees_with_the_plain_recursive_definition() {
        fn plain(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([b'*', rest @ ..], _) => {
                    plain(rest, text) || (!text.is_empty() && plain(pattern, &text[1..]))
                }
                ([b'?', rest @ ..], [_, text @ ..]) => plain(rest, text),
                ([a, rest @ ..], [b, text @ ..]) => a == b && plain(rest, text),
                ([], []) => true,
                _ => false,
            }
        }
        let words = |alphabet: &[u8], length: usize| -> Vec<Vec<u8>> {
            (0..=length).fold(vec![vec![]], |all, _| {
                let longer = all
                    .iter()
                    .flat_map(|word| alphabet.iter().map(|&byte| [&word[..], &[byte]].concat()));
                let mut more: Vec<Vec<u8>> = longer.collect();
                more.extend(all.iter().cloned());
                more.sort();
                more.dedup();
                more
            })
        };
        let texts = words(b"ab", 4);
        for pattern in words(b"ab*?", 3) {
            for text in &texts {
                assert_eq!(
                    matches(&pattern, text),
                    plain(&pattern, text),
                    "{pattern:?} {text:?}"
                );
            }
        }
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let start = std::time::Instant::now();
        let text = "a".repeat(20_000);
        for pattern in [
            "*a".repeat(10_000) + "b",
            "*".repeat(1_000_000) + "b",
            "*?".repeat(10_000) + "b",
        ] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()));
        }
        // Backtracking would take for ever; whatever else the machine does takes less than this.
        assert!(start.elapsed().as_secs() < 60);
    }
}
