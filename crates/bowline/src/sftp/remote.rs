//! Remote paths: joined to the working directory, matched against patterns, and names from a server checked before
//! anything is made of them.

use glob::{MatchOptions, Pattern};
use ssh_client::Sftp;
use ssh_client::sftp_protocol::Attributes;

use super::words::Word;
use crate::terminal::harmless_name;

/// The deepest folder tree that is walked.
pub(crate) const MAX_DEPTH: usize = 64;

/// A `*` stands for anything but a slash and a leading dot, as in a shell.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// `path` seen from `directory`.
pub(crate) fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    let mut joined = directory.to_vec();
    if !joined.ends_with(b"/") {
        joined.push(b'/');
    }
    joined.extend_from_slice(path);
    joined
}

/// The last part of a path.
pub(crate) fn file_name(path: &[u8]) -> &[u8] {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or(trimmed)
}

/// A name out of a listing that may become a name on this side: it names one entry of one folder, and nothing else.
///
/// # Errors
/// A name with a slash or a NUL, `.`, `..` or nothing at all: only a server that means harm sends it.
pub(crate) fn check_name(name: &[u8]) -> Result<(), String> {
    let bad =
        name.is_empty() || name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, b'/' | 0));
    if bad {
        Err(format!(
            "the server sent the file name \"{}\": refused",
            harmless_name(name)
        ))
    } else {
        Ok(())
    }
}

/// A path that matched, with its attributes where the server told them on the way.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: Vec<u8>,
    pub(crate) attributes: Option<Attributes>,
}

/// The remote paths that a word stands for: itself, or what its pattern matches, in order of their names.
///
/// # Errors
/// A pattern that matches nothing, one that is malformed, a folder that cannot be listed.
pub(crate) async fn matching(sftp: &Sftp, directory: &[u8], word: &Word) -> Result<Vec<Found>, String> {
    if !word.is_pattern {
        return Ok(vec![Found {
            path: join(directory, word.text.as_bytes()),
            attributes: None,
        }]);
    }
    let (mut found, rest) = match word.pattern.strip_prefix('/') {
        Some(rest) => (
            vec![Found {
                path: b"/".to_vec(),
                attributes: None,
            }],
            rest,
        ),
        None => (
            vec![Found {
                path: directory.to_vec(),
                attributes: None,
            }],
            word.pattern.as_str(),
        ),
    };
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let pattern = Pattern::new(part).map_err(|error| format!("{}: {error}", word.text))?;
        found = step(sftp, found, part, &pattern).await?;
    }
    if found.is_empty() {
        Err(format!("File \"{}\" not found.", word.text))
    } else {
        Ok(found)
    }
}

/// One part of a pattern: every folder found so far is listed, unless the part has nothing to match.
async fn step(sftp: &Sftp, folders: Vec<Found>, part: &str, pattern: &Pattern) -> Result<Vec<Found>, String> {
    let is_literal = !part.contains(['*', '?', '[']);
    let mut found = Vec::new();
    for folder in folders {
        if is_literal {
            found.push(Found {
                path: join(&folder.path, part.as_bytes()),
                attributes: None,
            });
            continue;
        }
        // A match further up may be a file; only a folder has anything in it.
        let Ok(names) = sftp.read_dir(&folder.path).await else {
            continue;
        };
        let mut names: Vec<_> = names.into_iter().filter(|name| name.is_plain()).collect();
        names.sort_by(|a, b| a.filename.cmp(&b.filename));
        for name in names {
            if pattern.matches_with(&String::from_utf8_lossy(&name.filename), MATCHING) {
                let path = join(&folder.path, &name.filename);
                found.push(Found {
                    path,
                    attributes: Some(name.attributes),
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_and_end() {
        assert_eq!(join(b"/home/a", b"b"), b"/home/a/b");
        assert_eq!(join(b"/", b"b"), b"/b");
        assert_eq!(join(b"/home", b"/etc"), b"/etc");
        assert_eq!(file_name(b"/a/b/"), b"b");
        assert_eq!(file_name(b"b"), b"b");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b"../x"[..], b"..", b".", b"", b"/etc/passwd", b"a/b", b"a\0b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in [&b"a"[..], b"...", b" ", b"-rf", b"\xff\xfe"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }
}
