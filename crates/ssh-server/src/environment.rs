//! Which environment variables a client may set for its programs (`env` requests, RFC 4254 §6.4).
//!
//! Nothing is accepted unless a pattern names it, and some names are refused whatever the patterns say: those that
//! change which code runs (the dynamic linker's, the shell's start-up files) and those this server sets itself. An
//! allow-list of `*` is a mistake that has cost other servers dear; here it costs nothing.

use crate::keys::pattern::matches_exactly;

/// The patterns of names a client may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptEnvironment {
    patterns: Vec<String>,
}

impl AcceptEnvironment {
    /// Accepts the names that match one of `patterns`, where `*` stands for any characters and `?` for one.
    pub fn new<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self {
            patterns: patterns.into_iter().map(Into::into).collect(),
        }
    }

    /// Accepts nothing.
    pub fn nothing() -> Self {
        Self { patterns: Vec::new() }
    }

    /// Whether a client may set `name`.
    pub fn accepts(&self, name: &str) -> bool {
        is_variable_name(name)
            && !is_dangerous(name)
            && self
                .patterns
                .iter()
                .any(|pattern| matches_exactly(pattern.as_bytes(), name.as_bytes()))
    }
}

/// `LANG` and `LC_*`: what the client's terminal speaks, which is all that common clients send.
impl Default for AcceptEnvironment {
    fn default() -> Self {
        Self::new(["LANG", "LC_*"])
    }
}

/// What one session's client has set so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientEnvironment {
    variables: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl ClientEnvironment {
    /// Takes one `env` request; false refuses it. A later value replaces an earlier one.
    pub(crate) fn set(&mut self, accept: &AcceptEnvironment, name: &[u8], value: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        if !accept.accepts(name) || value.contains(&0) {
            return false;
        }
        let size = name.len().saturating_add(value.len());
        let bytes = self.bytes.saturating_add(size);
        if bytes > MAX_ENVIRONMENT_BYTES || self.variables.len() >= MAX_ENVIRONMENT_VARIABLES {
            return false;
        }
        self.bytes = bytes;
        self.variables.push((name.to_owned(), value.to_vec()));
        true
    }

    pub(crate) fn variables(&self) -> &[(String, Vec<u8>)] {
        &self.variables
    }
}

/// A name that every shell takes for a variable: a letter or underscore, then letters, digits, underscores.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_dangerous(name: &str) -> bool {
    NEVER.contains(&name) || NEVER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables a client may set in one session: far above what any client sends.
pub(crate) const MAX_ENVIRONMENT_VARIABLES: usize = 128;
/// Bytes of names and values together in one session.
pub(crate) const MAX_ENVIRONMENT_BYTES: usize = 32 * 1024;

const NEVER: [&str; 17] = [
    "PATH",
    "SHELL",
    "IFS",
    "HOME",
    "USER",
    "LOGNAME",
    "MAIL",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "CDPATH",
    "PYTHONPATH",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYLIB",
];
const NEVER_PREFIXES: [&str; 8] = [
    "LD_",
    "DYLD_",
    "SSH_",
    "BASH_FUNC_",
    "MALLOC_",
    "GLIBC_",
    "GCONV_",
    "PYTHONST",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_a_shell_would() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(
                matches_exactly(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            )
        };
        check("LC_*", "LC_ALL", true);
        check("LC_*", "LC_", true);
        check("LC_*", "LANG", false);
        check("*", "", true);
        check("", "", true);
        check("", "A", false);
        check("A?C", "ABC", true);
        check("A?C", "AC", false);
        check("*A*B*", "xxAyyBzz", true);
        check("*A*B*", "xxByyAzz", false);
        check("**A", "A", true);
        check(&"*a".repeat(50), &"b".repeat(2000), false);
    }

    #[test]
    fn only_listed_harmless_names_are_accepted() {
        let check = |patterns: &[&str], name: &str, expected: bool| {
            assert_eq!(
                AcceptEnvironment::new(patterns.to_vec()).accepts(name),
                expected,
                "{patterns:?} {name}"
            );
        };
        check(&["LANG"], "LANG", true);
        check(&["LANG"], "LANGUAGE", false);
        check(&[], "LANG", false);
        for name in [
            "LD_PRELOAD",
            "PATH",
            "SHELL",
            "IFS",
            "BASH_ENV",
            "BASH_FUNC_ls",
            "SSH_ORIGINAL_COMMAND",
            "HOME",
        ] {
            check(&["*", name], name, false);
        }
        for name in ["", "A=B", "A B", "1A", "A\0", "A\n", "Ä", "A()"] {
            check(&["*"], name, false);
        }
        check(&["*"], "_x9", true);
        assert!(AcceptEnvironment::default().accepts("LC_CTYPE"));
        assert!(!AcceptEnvironment::nothing().accepts("LANG"));
    }

    #[test]
    fn a_session_holds_a_bounded_environment() {
        let accept = AcceptEnvironment::new(["*"]);
        let mut environment = ClientEnvironment::default();
        let taken = (0..100_000)
            .filter(|n| environment.set(&accept, format!("V{n}").as_bytes(), b"x"))
            .count();
        assert_eq!(taken, MAX_ENVIRONMENT_VARIABLES);

        let mut environment = ClientEnvironment::default();
        assert!(!environment.set(&accept, b"BIG", &vec![b'x'; MAX_ENVIRONMENT_BYTES]));
        assert!(environment.set(&accept, b"BIG", &vec![b'x'; MAX_ENVIRONMENT_BYTES - 3]));
        assert!(!environment.set(&accept, b"A", b""));

        let mut environment = ClientEnvironment::default();
        assert!(!environment.set(&accept, b"NUL", b"a\0b"));
        assert!(!environment.set(&accept, b"\xff", b"a"));
        assert!(
            environment.set(&accept, b"LINES", b"a\nb"),
            "a newline is part of many honest values"
        );
        assert_eq!(environment.variables(), [("LINES".to_owned(), b"a\nb".to_vec())]);
    }
}
