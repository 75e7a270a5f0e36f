//! The command line of `bowline sshd`: sshd(8)'s flags.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use ssh_client::config_file::split_option;

use super::options::Options;
use crate::arguments::text;

/// What the command line asks for. The options hold the command line's settings first, then the file's.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) options: Options,
    /// `-f`, unless it says `none`.
    pub(crate) config_file: Option<PathBuf>,
    /// `-D`: stay in the foreground.
    pub(crate) foreground: bool,
    /// `-i`: one connection on standard input and output.
    pub(crate) inetd: bool,
    /// `-t`: check the configuration and the keys, then stop.
    pub(crate) test: bool,
    /// `-d`: show what happens.
    pub(crate) debug: u8,
    pub(crate) quiet: bool,
    /// `-e`: messages go to standard error. They do in any case, until `-E` says otherwise, but with `-i`.
    pub(crate) log_to_stderr: bool,
    /// `-E`: where messages go.
    pub(crate) log_file: Option<PathBuf>,
}

pub(crate) const USAGE: &str =
    "usage: bowline sshd [-Ddeiqt] [-E logfile] [-f configfile] [-g seconds] [-h hostkey]
                    [-o Key=value] [-p port]";

/// Reads the command line.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Arguments, String> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut found = Arguments::default();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('D') => found.foreground = true,
            Short('d') => found.debug = found.debug.saturating_add(1),
            Short('e') => found.log_to_stderr = true,
            Short('i') => found.inetd = true,
            Short('q') => found.quiet = true,
            Short('t') => found.test = true,
            Short('E') => found.log_file = Some(parser.value().map_err(usage)?.into()),
            Short('f') => {
                let file = parser.value().map_err(usage)?;
                found.config_file = (!file.eq_ignore_ascii_case("none")).then(|| file.into());
            }
            Short(letter @ ('g' | 'h' | 'o' | 'p')) => {
                let value = text(parser.value().map_err(usage)?)?;
                let option = match letter {
                    'g' => format!("LoginGraceTime \"{value}\""),
                    'h' => format!("HostKey \"{value}\""),
                    'p' => format!("Port \"{value}\""),
                    _ => value,
                };
                let line = split_option(&option).map_err(|error| format!("command-line: {error}"))?;
                let line = line.ok_or("command-line: -o needs Key=value")?;
                found.options.set(&line, "command-line")?;
            }
            Short(_) | Long(_) | Value(_) => return Err(usage(argument.unexpected())),
        }
    }
    Ok(found)
}

fn usage(error: lexopt::Error) -> String {
    format!("{error}\n{USAGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_as_sshd_takes_them() {
        let words = [
            "-De",
            "-p2222",
            "-h",
            "/a key",
            "-h",
            "/b",
            "-oListenAddress=127.0.0.1",
            "-o",
            "MaxAuthTries 3",
        ];
        let found = parse(words.iter().map(OsString::from).collect()).unwrap();
        assert!(found.foreground && found.log_to_stderr && !found.test);
        assert_eq!(found.options.ports, [2222]);
        assert_eq!(found.options.host_keys, ["/a key", "/b"]);
        assert_eq!(found.options.max_auth_tries, Some(3));
        assert!(
            parse(vec!["-o".into(), "Bogus=1".into()])
                .unwrap_err()
                .contains("Bogus")
        );
        assert!(parse(vec!["word".into()]).is_err());
    }
}
