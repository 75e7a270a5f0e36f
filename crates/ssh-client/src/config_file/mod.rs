//! OpenSSH's client configuration, `ssh_config(5)`: its line form, its `Host` blocks, its keywords as typed options.
//!
//! ```text
//!  text ──words──▶ keyword + arguments ──options──▶ Options (first value wins) ──application──▶ Config, HostKeys, …
//! ```
//!
//! What stands here: the grammar, `Host` with patterns and negation, and the keywords listed in [`KEYWORDS`].
//! What does not, yet: `Match`, `Include` and the rest of OpenSSH's keywords; a keyword that is not known is an
//! error that names it, never a silent nothing.

mod choices;
mod forwards;
mod jump;
mod keywords;
mod options;
mod services;
mod tokens;
mod values;
mod words;

use crate::keys::pattern::matches;

pub use choices::{
    EscapeChar, ForwardAgent, RequestTty, SessionType, Tunnel, TunnelDevice, escape_char, tunnel_device,
};
pub use forwards::{ForwardListen, ForwardSpec, ForwardTarget, PermitRemoteOpen, dynamic, local, remote};
pub use jump::{JumpHost, jump_hosts};
pub use keywords::KEYWORDS;
pub use options::{OptionError, Options, StrictHostKeyChecking};
pub use tokens::{TokenError, Tokens, expand, expand_text};
pub use values::{
    LogLevel, MAX_ADDENDUM_BYTES, RekeyLimit, RekeyTime, ValueError, algorithms, list, log_level,
    rekey_limit, scaled_bytes, seconds, version_addendum, warn_weak_crypto, yes_no,
};
pub use words::{Line, SyntaxError, split_line, split_option};

/// The longest line of a configuration file, in bytes (the value of OpenSSH's own reader is 1 MiB; nobody writes more).
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// The most lines of a configuration file.
pub const MAX_LINES: usize = 200_000;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// The file and line, or the command line's option.
    pub place: String,
    /// What is wrong there.
    pub problem: OptionError,
}

/// Applies the settings of `text` that concern `host` to `options`; values that are set already stay.
///
/// `host` is the name as it was given on the command line, before `HostName` is looked at (`ssh_config(5)`, `Host`).
///
/// # Errors
/// The first line that is not understood, with `path` and its number.
pub fn apply(options: &mut Options, text: &str, path: &str, host: &str) -> Result<(), ConfigError> {
    let mut applies = true;
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{path} line {}", index.saturating_add(1));
        let fail = |problem| ConfigError {
            place: place(),
            problem,
        };
        if index >= MAX_LINES || line.len() > MAX_LINE_BYTES {
            return Err(fail(OptionError::TooLarge));
        }
        let Some(line) = split_line(line).map_err(|error| fail(OptionError::Syntax(error)))? else {
            continue;
        };
        if line.keyword.eq_ignore_ascii_case("host") {
            if line.arguments.is_empty() {
                return Err(fail(OptionError::NoValue(line.keyword)));
            }
            applies = host_matches(&line.arguments, host);
        } else if line.keyword.eq_ignore_ascii_case("match") {
            return Err(fail(OptionError::Unsupported("Match".to_owned())));
        } else if applies {
            options.set(&line).map_err(fail)?;
        } else {
            options::check_keyword(&line.keyword).map_err(fail)?;
        }
    }
    Ok(())
}

/// Whether the patterns of a `Host` line fit: one of them does, and none that begins with `!`.
fn host_matches(patterns: &[String], host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let fits = |pattern: &str| matches(pattern.to_ascii_lowercase().as_bytes(), host.as_bytes());
    let mut matched = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if fits(negated) => return false,
            Some(_) => {}
            None => matched |= fits(pattern),
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, host: &str) -> Result<Options, ConfigError> {
        let mut options = Options::default();
        apply(&mut options, text, "config", host)?;
        Ok(options)
    }

    #[test]
    fn first_value_wins_and_host_blocks_choose() {
        let text =
            "User first\nHost web* !web9\n  Port 2222\n  User second\nHost *\n Port 2200\n  ConnectTimeout 3";
        let options = applied(text, "web1").unwrap();
        assert_eq!(
            (options.user.as_deref(), options.port),
            (Some("first"), Some(2222))
        );
        assert_eq!(applied(text, "web9").unwrap().port, Some(2200));
        assert_eq!(applied(text, "WEB2").unwrap().port, Some(2222));
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_word() {
        let error = applied("\n# comment\nPrt 22\n", "x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "config line 3: Bad configuration option: Prt (did you mean Port?)"
        );
        // A keyword nobody knows is an error even in a block that does not apply, as in OpenSSH.
        assert!(applied("Host other\n  Nonsense yes\n", "x").is_err());
        assert!(
            applied("Port notanumber\n", "x")
                .unwrap_err()
                .to_string()
                .contains("notanumber")
        );
    }

    #[test]
    fn identity_files_add_up() {
        let options = applied("IdentityFile ~/a\nHost *\nIdentityFile \"~/b c\"\n", "x").unwrap();
        assert_eq!(options.identity_files, ["~/a", "~/b c"]);
    }
}
