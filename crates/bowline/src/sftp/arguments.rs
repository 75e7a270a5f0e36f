//! The command line of `bowline sftp`: sftp(1)'s flags.

use std::ffi::OsString;

use lexopt::Arg::{Long, Short, Value};

use crate::arguments::{Common, Destination, destination, text};

/// Where commands come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Commands {
    /// Standard input, by a person or a pipe: a failing command does not end the run.
    Interactive,
    /// `-b -`: standard input as a batch.
    BatchInput,
    /// `-b file`.
    BatchFile(OsString),
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) common: Common,
    pub(crate) destination: Destination,
    pub(crate) commands: Commands,
    /// `-p`: keep times and permissions.
    pub(crate) preserve: bool,
    /// `-r`: whole trees.
    pub(crate) recursive: bool,
}

pub(crate) const USAGE: &str =
    "usage: bowline sftp [-Cpqrv] [-b batchfile] [-c cipher] [-F configfile] [-i identity]
                    [-o Key=value] [-P port] [user@]host[:path]";

/// Reads the command line.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Arguments, String> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut common = Common::default();
    let mut commands = Commands::Interactive;
    let (mut preserve, mut recursive) = (false, false);
    let mut host = None;
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            // Unlike other flags this one wins over every setting, as in OpenSSH.
            Short('C') => common.options.compression = Some(true),
            Short('q') => common.quiet = true,
            Short('v') => common.verbose = common.verbose.saturating_add(1),
            Short('p') => preserve = true,
            Short('r') => recursive = true,
            Short('b') => {
                let file = parser.value().map_err(usage)?;
                commands = if file == "-" {
                    Commands::BatchInput
                } else {
                    Commands::BatchFile(file)
                };
                common.flag("BatchMode", "yes")?;
            }
            Short('F') => common.config(parser.value().map_err(usage)?),
            Short(letter @ ('c' | 'i' | 'o' | 'P')) => {
                let value = text(parser.value().map_err(usage)?)?;
                match letter {
                    'c' => common.flag("Ciphers", &value)?,
                    'i' => common.flag("IdentityFile", &value)?,
                    'P' => common.flag("Port", &value)?,
                    _ => common.option(&value)?,
                }
            }
            // Requests in flight and their size are chosen by measurement; the flags are taken and change nothing.
            Short('B' | 'R') => {
                parser.value().map_err(usage)?;
            }
            Value(word) if host.is_none() => host = Some(destination(&text(word)?, "sftp")?),
            Short(_) | Long(_) | Value(_) => return Err(usage(argument.unexpected())),
        }
    }
    let Some(destination) = host else {
        return Err(USAGE.to_owned());
    };
    Ok(Arguments {
        common,
        destination,
        commands,
        preserve,
        recursive,
    })
}

fn usage(error: lexopt::Error) -> String {
    format!("{error}\n{USAGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_as_sftp_takes_them() {
        let words = ["-CP2222", "-i", "key", "-b", "-", "-oUser=x", "host:dir"];
        let found = parse(words.iter().map(OsString::from).collect()).unwrap();
        assert_eq!(found.common.options.compression, Some(true));
        assert_eq!(found.common.options.port, Some(2222));
        assert_eq!(found.common.options.batch_mode, Some(true));
        assert_eq!(found.commands, Commands::BatchInput);
        assert_eq!(
            (found.destination.host.as_str(), found.destination.path.as_str()),
            ("host", "dir")
        );
        assert!(parse(vec!["host".into(), "extra".into()]).is_err());
    }
}
