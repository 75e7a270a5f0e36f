//! Text of the other side's, made fit to be shown: it must neither drive a terminal nor add a line to a log.

use std::fmt::Write;

/// The most bytes of a peer's name that an error or an event shows.
const SHOWN_BYTES: usize = 64;

/// Whether a character must not reach a terminal or a log as it stands: control characters, line separators, and what
/// changes the direction of writing.
pub(crate) fn unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name a peer chose: on one line, escaped, and shortened to 64 bytes.
pub(crate) fn shown(name: &[u8]) -> String {
    match name.get(..SHOWN_BYTES) {
        Some(start) if name.len() > SHOWN_BYTES => format!("{}…", start.escape_ascii()),
        _ => name.escape_ascii().to_string(),
    }
}

/// A peer's text of several lines: line ends become `\n`, tabs stay, everything else that is unprintable is escaped,
/// and bytes that are not UTF-8 become replacement characters.
pub(crate) fn lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\t' => out.push(character),
            // Writing to a String cannot fail.
            unfit if unprintable(unfit) => drop(write!(out, "{}", unfit.escape_unicode())),
            fit => out.push(fit),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_on_one_line() {
        assert_eq!(shown(b"alice"), "alice");
        assert_eq!(
            shown(b"a\nsshd: Accepted \x1b[2J\xff"),
            "a\\nsshd: Accepted \\x1b[2J\\xff"
        );
        assert_eq!(shown(&[b'x'; 65]), format!("{}…", "x".repeat(64)));
    }

    #[test]
    fn banners_keep_their_lines_and_nothing_else() {
        for (sent, shown) in [
            (&b"Welcome\r\nto\thost\n"[..], "Welcome\nto\thost\n"),
            (b"\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            (b"\x1b]52;c;eA==\x07", "\\u{1b}]52;c;eA==\\u{7}"),
            (b"\xc2\x9b6n", "\\u{9b}6n"),
            (b"a\rb\0", "a\\u{d}b\\u{0}"),
            (b"caf\xe9", "caf\u{fffd}"),
            ("\u{202e}abc".as_bytes(), "\\u{202e}abc"),
        ] {
            assert_eq!(lines(sent), shown);
        }
    }
}
