//! What `ssh` and `sftp` share on their command lines: options in every way OpenSSH takes them, destinations.

use std::ffi::OsString;
use std::path::PathBuf;

use ssh_client::config_file::{Line, Options, split_option};

/// Where settings come from besides the command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ConfigFile {
    /// No `-F`, or `-F none`.
    #[default]
    None,
    /// `-F file`.
    File(PathBuf),
}

/// What every client command takes.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) options: Options,
    pub(crate) config_file: ConfigFile,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    pub(crate) quiet: bool,
    /// `-E`: where messages go instead of standard error.
    pub(crate) log_file: Option<PathBuf>,
}

/// `[user@]host`, or `ssh://[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// What stands behind the host: a path for `sftp`, empty otherwise.
    pub(crate) path: String,
}

impl Common {
    /// `-o Key=value` or `-o "Key value"`.
    pub(crate) fn option(&mut self, text: &str) -> Result<(), String> {
        match split_option(text) {
            Ok(Some(line)) => self.set(&line),
            Ok(None) => Err("command-line: -o needs Key=value".to_owned()),
            Err(error) => Err(format!("command-line: {error}")),
        }
    }

    /// A setting that a flag of its own stands for.
    pub(crate) fn flag(&mut self, keyword: &str, value: &str) -> Result<(), String> {
        self.set(&Line {
            keyword: keyword.to_owned(),
            arguments: vec![value.to_owned()],
            rest: value.to_owned(),
        })
    }

    fn set(&mut self, line: &Line) -> Result<(), String> {
        self.options
            .set(line)
            .map_err(|error| format!("command-line: {error}"))
    }

    /// `-F`.
    pub(crate) fn config(&mut self, path: OsString) {
        self.config_file = if path.eq_ignore_ascii_case("none") {
            ConfigFile::None
        } else {
            ConfigFile::File(path.into())
        };
    }
}

/// The text of an argument; arguments that are compared or parsed must be UTF-8.
pub(crate) fn text(value: OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|raw| format!("the argument {} is not UTF-8", raw.to_string_lossy()))
}

/// Reads a destination; names that could be taken for options or steer a shell are refused, as in OpenSSH.
pub(crate) fn destination(word: &str, scheme: &str) -> Result<Destination, String> {
    let uri = word
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"));
    let (user, rest) = match uri.unwrap_or(word).rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, uri.unwrap_or(word)),
    };
    let (host, port, path) = if uri.is_some() {
        split_uri(rest)?
    } else {
        split_word(rest, scheme)
    };
    check_host(&host)?;
    if let Some(user) = &user {
        check_user(user)?;
    }
    Ok(Destination {
        user,
        host,
        port,
        path,
    })
}

/// `host[:port][/path]`.
fn split_uri(rest: &str) -> Result<(String, Option<u16>, String), String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
    {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port
        .map(|port| port.parse().map_err(|_| format!("\"{port}\" is not a port")))
        .transpose()?;
    Ok((host.to_owned(), port, path.to_owned()))
}

/// For `ssh` the whole word is the host; for `sftp` a path may follow a colon.
fn split_word(rest: &str, scheme: &str) -> (String, Option<u16>, String) {
    if let Some((host, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (
            host.to_owned(),
            None,
            after.strip_prefix(':').unwrap_or_default().to_owned(),
        );
    }
    match rest.split_once(':') {
        Some((host, path)) if scheme == "sftp" => (host.to_owned(), None, path.to_owned()),
        _ => (rest.to_owned(), None, String::new()),
    }
}

/// A host's name may hold nothing that a shell, a log or an option parser would take for its own.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    let allowed = |each: char| each.is_alphanumeric() || matches!(each, '.' | '-' | '_' | ':' | '%' | '+');
    if host.is_empty() || host.starts_with('-') || !host.chars().all(allowed) {
        return Err(format!(
            "hostname contains invalid characters: {}",
            host.escape_default()
        ));
    }
    Ok(())
}

/// A user's name may hold no control characters, quotes or shell marks, nor begin with `-`.
pub(crate) fn check_user(user: &str) -> Result<(), String> {
    let bad = |each: char| each.is_control() || "'`\";&<>|(){}$".contains(each);
    if user.is_empty() || user.starts_with('-') || user.chars().any(bad) || user.ends_with('\\') {
        return Err(format!(
            "remote username contains invalid characters: {}",
            user.escape_default()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(word: &str, scheme: &str) -> (Option<String>, String, Option<u16>, String) {
        let found = destination(word, scheme).unwrap();
        (found.user, found.host, found.port, found.path)
    }

    #[test]
    fn destinations_in_every_form() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("host", "ssh"), (None, "host".into(), None, String::new()));
        assert_eq!(
            parts("a@b@host", "ssh"),
            (some("a@b"), "host".into(), None, String::new())
        );
        assert_eq!(parts("::1", "ssh"), (None, "::1".into(), None, String::new()));
        assert_eq!(
            parts("ssh://u@host:2222", "ssh"),
            (some("u"), "host".into(), Some(2222), String::new())
        );
        assert_eq!(
            parts("ssh://[::1]:22", "ssh"),
            (None, "::1".into(), Some(22), String::new())
        );
        assert_eq!(
            parts("u@host:dir/x", "sftp"),
            (some("u"), "host".into(), None, "dir/x".into())
        );
        assert_eq!(
            parts("[::1]:/etc", "sftp"),
            (None, "::1".into(), None, "/etc".into())
        );
    }

    #[test]
    fn names_that_could_do_harm_are_refused() {
        for word in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a;b",
            "$(x)",
            "a`b",
            "h\n",
            "u;x@h",
            "-u@h",
            "u$@h",
            "h|x",
            "u\n@h",
        ] {
            assert!(destination(word, "ssh").is_err(), "{word:?}");
        }
        assert!(destination("ssh://-oProxyCommand=x/", "ssh").is_err());
        assert!(destination("ssh://h:99999", "ssh").is_err());
    }

    #[test]
    fn options_are_taken_in_every_writing() {
        for text in ["Port=2222", "Port 2222", "port = 2222", "PORT=\"2222\""] {
            let mut common = Common::default();
            common.option(text).unwrap();
            assert_eq!(common.options.port, Some(2222), "{text}");
        }
        let error = Common::default().option("Nonsense=1").unwrap_err();
        assert!(error.contains("Nonsense"), "{error}");
    }
}
