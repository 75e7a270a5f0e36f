//! The command line of `bowline ssh`: ssh(1)'s flags.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use lexopt::Arg::{Long, Short, Value};

use crate::arguments::{Common, Destination, destination, text};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) common: Common,
    pub(crate) destination: Destination,
    /// The words behind the host, joined by spaces as ssh(1) does; empty asks for a shell.
    pub(crate) command: Vec<u8>,
    /// `-s`: the command is a subsystem's name.
    pub(crate) subsystem: bool,
    /// `-n`: nothing is read from standard input.
    pub(crate) null_input: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// `-Q`: tell which algorithms there are.
    Query(String),
    /// Log in.
    Login(Box<Arguments>),
}

pub(crate) const USAGE: &str =
    "usage: bowline ssh [-CnqsTv] [-c cipher] [-E logfile] [-F configfile] [-i identity]
                   [-l user] [-m macs] [-o Key=value] [-p port] [user@]host [command]
       bowline ssh -Q query";

/// Reads the command line. Flags may stand before and behind the host, until the command begins.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Wanted, String> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut common = Common::default();
    let (mut subsystem, mut null_input) = (false, false);
    let mut host = None;
    let mut command: Vec<Vec<u8>> = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('s') => subsystem = true,
            Short('n') => null_input = true,
            // Without a terminal on the other side there is nothing to turn off yet.
            Short('T') => {}
            // Unlike other flags this one wins over every setting, as in OpenSSH.
            Short('C') => common.options.compression = Some(true),
            // Whatever stands behind it is not looked at, as in OpenSSH.
            Short('Q') => return Ok(Wanted::Query(text(parser.value().map_err(usage)?)?)),
            Short('q') => common.quiet = true,
            Short('v') => common.verbose = common.verbose.saturating_add(1),
            Short(letter @ ('b' | 'c' | 'E' | 'F' | 'i' | 'l' | 'm' | 'o' | 'p')) => {
                let value = parser.value().map_err(usage)?;
                with_value(&mut common, letter, value)?;
            }
            Value(word) if host.is_none() => {
                host = Some(destination(&text(word)?, "ssh")?);
            }
            Value(word) => {
                command.push(word.as_bytes().to_vec());
                let rest = parser.raw_args().map_err(usage)?;
                command.extend(rest.map(|word| word.as_bytes().to_vec()));
            }
            Short(_) | Long(_) => return Err(usage(argument.unexpected())),
        }
    }
    let Some(destination) = host else {
        return Err(USAGE.to_owned());
    };
    if subsystem && command.is_empty() {
        return Err("You must specify a subsystem to invoke.".to_owned());
    }
    Ok(Wanted::Login(Box::new(Arguments {
        common,
        destination,
        command: command.join(&b' '),
        subsystem,
        null_input,
    })))
}

fn with_value(common: &mut Common, letter: char, value: OsString) -> Result<(), String> {
    match letter {
        'F' => common.config(value),
        'E' => common.log_file = Some(value.into()),
        'o' => return common.option(&text(value)?),
        'c' => return common.flag("Ciphers", &text(value)?),
        'i' => return common.flag("IdentityFile", &text(value)?),
        'l' => return common.flag("User", &text(value)?),
        'm' => return common.flag("MACs", &text(value)?),
        'p' => return common.flag("Port", &text(value)?),
        _ => return Err(format!("the flag -{letter} is not supported yet")),
    }
    Ok(())
}

fn usage(error: lexopt::Error) -> String {
    format!("{error}\n{USAGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<Arguments, String> {
        match parse(line.iter().map(OsString::from).collect())? {
            Wanted::Login(arguments) => Ok(*arguments),
            Wanted::Query(question) => panic!("a query for {question}"),
        }
    }

    #[test]
    fn flags_in_every_way_openssh_takes_them() {
        for line in [
            &["-p22", "-lalice", "-qn", "host"][..],
            &["-p", "22", "-l", "alice", "-q", "-n", "host"],
            &["-nqp22", "-o", "User=alice", "host"],
            &["host", "-p", "22", "-oUser=alice", "-nq"],
            &["-qnoPort=22", "-o", "User alice", "--", "host"],
        ] {
            let found = parsed(line).unwrap();
            assert_eq!(found.common.options.port, Some(22), "{line:?}");
            assert_eq!(found.common.options.user.as_deref(), Some("alice"), "{line:?}");
            assert!(found.common.quiet && found.null_input, "{line:?}");
            assert_eq!(found.destination.host, "host", "{line:?}");
        }
    }

    #[test]
    fn compression_is_asked_for_as_openssh_takes_it() {
        for line in [
            &["-C", "host"][..],
            &["-qC", "host"],
            &["-oCompression=yes", "host"],
        ] {
            assert_eq!(parsed(line).unwrap().common.options.compression, Some(true));
        }
        assert_eq!(parsed(&["host"]).unwrap().common.options.compression, None);
        assert!(parsed(&["-oCompression=maybe", "host"]).is_err());
    }

    #[test]
    fn everything_behind_the_command_belongs_to_it() {
        let found = parsed(&["-p", "22", "host", "-v", "ls", "-p", "9", "--", "a b"]).unwrap();
        assert_eq!(found.command, b"ls -p 9 -- a b");
        assert_eq!((found.common.options.port, found.common.verbose), (Some(22), 1));
        assert_eq!(parsed(&["host", "--", "-x"]).unwrap().command, b"-x");
    }

    #[test]
    fn mistakes_are_told() {
        assert!(parsed(&[]).unwrap_err().starts_with("usage:"));
        assert!(parsed(&["-s", "host"]).unwrap_err().contains("subsystem"));
        assert!(parsed(&["-Z", "host"]).unwrap_err().contains("-Z"));
        assert!(parsed(&["-p", "0", "host"]).unwrap_err().contains("port"));
        assert!(parsed(&["-o", "Bogus=1", "host"]).unwrap_err().contains("Bogus"));
        assert!(parsed(&["-p"]).is_err());
    }
}
