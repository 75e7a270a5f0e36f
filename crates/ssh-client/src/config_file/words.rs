//! The line form of OpenSSH's configuration files: a keyword, then arguments, quoted where they hold spaces.

use thiserror::Error;

/// A keyword and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The keyword as written; keywords do not heed case.
    pub keyword: String,
    /// Its arguments, with their quotes taken off.
    pub arguments: Vec<String>,
    /// All that stands behind the keyword, with its quotes: what a keyword takes whose value is a command.
    pub rest: String,
}

/// What breaks the line form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// A quote is opened and never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A NUL byte cannot stand in a configuration.
    #[error("a NUL byte stands in the line")]
    Nul,
}

/// Splits a line of a file; `None` for an empty line or a comment.
///
/// # Errors
/// An open quote or a NUL byte.
pub fn split_line(line: &str) -> Result<Option<Line>, SyntaxError> {
    let line = line.trim_matches([' ', '\t', '\r', '\x0c']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.contains('\0') {
        return Err(SyntaxError::Nul);
    }
    let (keyword, rest) = split_keyword(line);
    Ok(Some(Line {
        keyword,
        arguments: split_arguments(rest)?,
        rest: rest.trim_start().to_owned(),
    }))
}

/// Splits what stands behind `-o`: `Key=value` or `Key value`, in the form of a file's line.
///
/// # Errors
/// As [`split_line`]; an empty option is `Ok(None)`.
pub fn split_option(option: &str) -> Result<Option<Line>, SyntaxError> {
    split_line(option)
}

/// A keyword ends at white space or at the first `=`; one `=` may stand between it and its value.
fn split_keyword(line: &str) -> (String, &str) {
    if let Some(quoted) = line.strip_prefix('"')
        && let Some((keyword, rest)) = quoted.split_once('"')
    {
        return (keyword.to_owned(), skip_equals(rest));
    }
    let end = line
        .find(|each: char| each.is_ascii_whitespace() || each == '=')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    (keyword.to_owned(), skip_equals(rest))
}

fn skip_equals(rest: &str) -> &str {
    let rest = rest.trim_start();
    rest.strip_prefix('=').unwrap_or(rest)
}

/// White space parts arguments; either quote holds them together; a backslash takes the meaning of a quote, a space
/// or a backslash behind it; a `#` where an argument would begin starts a comment.
fn split_arguments(text: &str) -> Result<Vec<String>, SyntaxError> {
    let mut arguments = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(char::is_ascii_whitespace).is_some() {}
        match characters.peek() {
            None | Some('#') => return Ok(arguments),
            Some(_) => arguments.push(argument(&mut characters)?),
        }
    }
}

fn argument(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, SyntaxError> {
    let mut argument = String::new();
    let mut quote = None;
    while let Some(&next) = characters.peek() {
        match (next, quote) {
            (' ' | '\t', None) => break,
            ('"' | '\'', None) => quote = Some(next),
            (_, Some(open)) if open == next => quote = None,
            ('\\', _) => {
                characters.next();
                let escaped = characters.next_if(|each| match quote {
                    None => matches!(each, '"' | '\'' | '\\' | ' '),
                    Some(open) => *each == open || *each == '\\',
                });
                argument.push(escaped.unwrap_or('\\'));
                continue;
            }
            _ => argument.push(next),
        }
        characters.next();
    }
    if quote.is_some() {
        Err(SyntaxError::OpenQuote)
    } else {
        Ok(argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_openssh_splits_them() {
        for (line, keyword, arguments) in [
            ("Port 22", "Port", &["22"][..]),
            ("  Port=22\r", "Port", &["22"]),
            ("Port = 22", "Port", &["22"]),
            ("port\t22 # ssh", "port", &["22"]),
            ("IdentityFile \"a b\" c", "IdentityFile", &["a b", "c"]),
            ("SetEnv A=\"x y\" B='z'", "SetEnv", &["A=x y", "B=z"]),
            (r#"SetEnv A=\"q\" B=c\ d"#, "SetEnv", &["A=\"q\"", "B=c d"]),
            ("User a#b", "User", &["a#b"]),
            ("Host", "Host", &[]),
        ] {
            let found = split_line(line).unwrap().unwrap();
            assert_eq!(
                (found.keyword.as_str(), found.arguments.as_slice()),
                (
                    keyword,
                    arguments
                        .iter()
                        .map(|&each| each.to_owned())
                        .collect::<Vec<_>>()
                        .as_slice()
                ),
                "{line}"
            );
        }
        assert_eq!(split_line("   # only a comment"), Ok(None));
        assert_eq!(split_line("User \"open"), Err(SyntaxError::OpenQuote));
        assert_eq!(split_line("User a\0b"), Err(SyntaxError::Nul));
    }
}
