//! The commands of `sftp`, read from a line: what is asked for, not how it is done.

use super::words::{Word, split};

/// One command with its flags and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Get {
        sources: Word,
        target: Option<Word>,
        flags: TransferFlags,
    },
    Put {
        sources: Word,
        target: Option<Word>,
        flags: TransferFlags,
    },
    List {
        path: Option<Word>,
        flags: ListFlags,
    },
    ChangeDirectory(Option<Word>),
    WorkingDirectory,
    LocalChangeDirectory(Option<Word>),
    LocalWorkingDirectory,
    LocalList(Vec<Word>),
    LocalMakeDirectory(Word),
    MakeDirectory(Word),
    RemoveDirectory(Word),
    Remove(Word),
    Rename(Word, Word),
    Link {
        existing: Word,
        new: Word,
        symbolic: bool,
    },
    ChangeMode {
        mode: u32,
        path: Word,
        links: bool,
    },
    ChangeOwner {
        owner: u32,
        path: Word,
    },
    ChangeGroup {
        group: u32,
        path: Word,
    },
    Stat {
        path: Word,
        follow: bool,
    },
    Progress,
    Version,
    Help,
    Shell(String),
    Quit,
}

impl Command {
    /// Whether it is another program on this side, which has the terminal meanwhile.
    pub(crate) const fn is_a_program(&self) -> bool {
        matches!(self, Self::LocalList(_) | Self::Shell(_))
    }
}

/// The flags of `get` and `put`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TransferFlags {
    /// `-r`, `-R`: whole trees.
    pub(crate) recursive: bool,
    /// `-p`, `-P`: keep times and permissions.
    pub(crate) preserve: bool,
    /// `-f`: have the data on the disk before success is told.
    pub(crate) fsync: bool,
}

/// The flags of `ls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ListFlags {
    /// `-l`: one line each with its attributes.
    pub(crate) long: bool,
    /// `-n`: the same, with numbers for owner and group.
    pub(crate) numeric: bool,
    /// `-1`: one name a line.
    pub(crate) single: bool,
    /// `-a`: names that begin with a dot too.
    pub(crate) all: bool,
    /// `-f`: in the server's order.
    pub(crate) unsorted: bool,
    /// `-h`: sizes for people.
    pub(crate) human: bool,
    /// `-S`: by size.
    pub(crate) by_size: bool,
    /// `-t`: by time.
    pub(crate) by_time: bool,
    /// `-r`: the other way round.
    pub(crate) reverse: bool,
}

/// A line of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) command: Command,
    /// `-` before a command: its failure does not end a batch.
    pub(crate) may_fail: bool,
    /// `@` before a command: it is not shown in a batch.
    pub(crate) silent: bool,
}

pub(crate) const HELP: &str = "\
Available commands:
bye                                Quit sftp
cd path                            Change remote directory to 'path'
chgrp gid path                     Change group of file 'path' to 'gid'
chmod [-h] mode path               Change permissions of file 'path' to 'mode'
chown uid path                     Change owner of file 'path' to 'uid'
exit                               Quit sftp
get [-fpr] remote [local]          Download file
help                               Display this help text
lcd path                           Change local directory to 'path'
lls [path]                         Display local directory listing
lmkdir path                        Create local directory
ln [-s] oldpath newpath            Link remote file (-s for symlink)
lpwd                               Print local working directory
ls [-1afhlnrSt] [path]             Display remote directory listing
mkdir path                         Create remote directory
progress                           Toggle display of progress meter
put [-fpr] local [remote]          Upload file
pwd                                Display remote working directory
quit                               Quit sftp
rename oldpath newpath             Rename remote file
rm path                            Delete remote file
rmdir path                         Remove remote directory
stat path                          Display the attributes of a remote file
lstat path                         The same for a link itself
symlink oldpath newpath            Symlink remote file
version                            Show SFTP version
!command                           Execute 'command' in local shell
?                                  Synonym for help";

/// Reads a line; `None` where there is nothing to do.
///
/// # Errors
/// A command that is not known or lacks its words, in a sentence for the user.
pub(crate) fn parse(line: &str) -> Result<Option<Line>, String> {
    let mut rest = line.trim();
    let (mut may_fail, mut silent) = (false, false);
    loop {
        match rest.chars().next() {
            None | Some('#') => return Ok(None),
            Some('-') => may_fail = true,
            Some('@') => silent = true,
            Some(_) => break,
        }
        rest = rest.get(1..).unwrap_or_default().trim_start();
    }
    if let Some(shell) = rest.strip_prefix('!') {
        return Ok(Some(Line {
            command: Command::Shell(shell.trim().to_owned()),
            may_fail,
            silent,
        }));
    }
    let mut words = split(rest)?.into_iter();
    let Some(name) = words.next() else { return Ok(None) };
    let command = command(&name.text.to_ascii_lowercase(), words.collect())?;
    Ok(Some(Line {
        command,
        may_fail,
        silent,
    }))
}

fn command(name: &str, words: Vec<Word>) -> Result<Command, String> {
    let arguments = Arguments {
        name,
        letters: String::new(),
        words,
    };
    match name {
        "get" | "put" | "mget" | "mput" => transfer(arguments),
        "ls" | "dir" => list(arguments),
        "ln" | "symlink" | "rename" | "mv" => two_paths(arguments),
        "chmod" | "chown" | "chgrp" => change(arguments),
        "cd" | "chdir" => Ok(Command::ChangeDirectory(arguments.optional()?)),
        "lcd" | "lchdir" => Ok(Command::LocalChangeDirectory(arguments.optional()?)),
        "pwd" => arguments.none(Command::WorkingDirectory),
        "lpwd" => arguments.none(Command::LocalWorkingDirectory),
        "lls" => Ok(Command::LocalList(arguments.words)),
        "lmkdir" => Ok(Command::LocalMakeDirectory(arguments.one()?)),
        "mkdir" => Ok(Command::MakeDirectory(arguments.one()?)),
        "rmdir" => Ok(Command::RemoveDirectory(arguments.one()?)),
        "rm" | "delete" => Ok(Command::Remove(arguments.one()?)),
        "stat" => Ok(Command::Stat {
            path: arguments.one()?,
            follow: true,
        }),
        "lstat" => Ok(Command::Stat {
            path: arguments.one()?,
            follow: false,
        }),
        "progress" => arguments.none(Command::Progress),
        "version" => arguments.none(Command::Version),
        "help" | "?" => Ok(Command::Help),
        "quit" | "exit" | "bye" => arguments.none(Command::Quit),
        _ => Err("Invalid command.".to_owned()),
    }
}

fn transfer(mut arguments: Arguments<'_>) -> Result<Command, String> {
    arguments.take_flags("afpPrR")?;
    if arguments.has("a") {
        return Err(format!(
            "{}: resuming a transfer is not supported yet",
            arguments.name
        ));
    }
    let flags = TransferFlags {
        recursive: arguments.has("rR"),
        preserve: arguments.has("pP"),
        fsync: arguments.has("f"),
    };
    let upload = arguments.name.ends_with("put");
    let (sources, target) = match arguments.words.as_slice() {
        [source] => (source.clone(), None),
        [source, target] => (source.clone(), Some(target.clone())),
        _ => return Err(format!("{}: one or two paths are needed", arguments.name)),
    };
    Ok(if upload {
        Command::Put {
            sources,
            target,
            flags,
        }
    } else {
        Command::Get {
            sources,
            target,
            flags,
        }
    })
}

fn list(mut arguments: Arguments<'_>) -> Result<Command, String> {
    arguments.take_flags("1afhlnrSt")?;
    let flags = ListFlags {
        long: arguments.has("l"),
        numeric: arguments.has("n"),
        single: arguments.has("1"),
        all: arguments.has("a"),
        unsorted: arguments.has("f"),
        human: arguments.has("h"),
        by_size: arguments.has("S"),
        by_time: arguments.has("t"),
        reverse: arguments.has("r"),
    };
    Ok(Command::List {
        path: arguments.optional()?,
        flags,
    })
}

fn two_paths(mut arguments: Arguments<'_>) -> Result<Command, String> {
    arguments.take_flags(if arguments.name == "ln" { "s" } else { "" })?;
    let symbolic = arguments.name == "symlink" || arguments.has("s");
    match <[Word; 2]>::try_from(arguments.words) {
        Ok([from, to]) if matches!(arguments.name, "rename" | "mv") => Ok(Command::Rename(from, to)),
        Ok([existing, new]) => Ok(Command::Link {
            existing,
            new,
            symbolic,
        }),
        Err(_) => Err(format!("{}: two paths are needed", arguments.name)),
    }
}

fn change(mut arguments: Arguments<'_>) -> Result<Command, String> {
    let name = arguments.name;
    arguments.take_flags(if name == "chmod" { "h" } else { "" })?;
    let links = arguments.has("h");
    let Ok([number, path]) = <[Word; 2]>::try_from(arguments.words) else {
        return Err(format!("{name}: a number and a path are needed"));
    };
    let (radix, most) = if name == "chmod" {
        (8, 0o7777)
    } else {
        (10, u32::MAX)
    };
    let value = u32::from_str_radix(&number.text, radix)
        .ok()
        .filter(|value| *value <= most);
    let value = value.ok_or_else(|| format!("{name}: \"{}\" is not a number it takes", number.text))?;
    Ok(match name {
        "chmod" => Command::ChangeMode {
            mode: value,
            path,
            links,
        },
        "chown" => Command::ChangeOwner { owner: value, path },
        _ => Command::ChangeGroup { group: value, path },
    })
}

/// The words behind a command's name.
struct Arguments<'a> {
    name: &'a str,
    letters: String,
    words: Vec<Word>,
}

impl Arguments<'_> {
    /// Takes the flags off the front; `allowed` are their letters.
    fn take_flags(&mut self, allowed: &str) -> Result<(), String> {
        while let Some(word) = self
            .words
            .first()
            .filter(|word| word.text.starts_with('-') && word.text.len() > 1)
        {
            let letters = word.text.get(1..).unwrap_or_default().to_owned();
            self.words.remove(0);
            if letters == "-" {
                break;
            }
            if let Some(unknown) = letters.chars().find(|each| !allowed.contains(*each)) {
                return Err(format!("{}: Invalid flag -{unknown}", self.name));
            }
            self.letters.push_str(&letters);
        }
        Ok(())
    }

    fn has(&self, any_of: &str) -> bool {
        self.letters.chars().any(|each| any_of.contains(each))
    }

    fn one(mut self) -> Result<Word, String> {
        self.take_flags("")?;
        match <[Word; 1]>::try_from(self.words) {
            Ok([word]) => Ok(word),
            Err(_) => Err(format!("{}: one path is needed", self.name)),
        }
    }

    fn optional(mut self) -> Result<Option<Word>, String> {
        match self.words.len() {
            0 | 1 => Ok(self.words.pop()),
            _ => Err(format!("{}: too many paths", self.name)),
        }
    }

    fn none(self, command: Command) -> Result<Command, String> {
        if self.words.is_empty() {
            Ok(command)
        } else {
            Err(format!("{}: takes no path", self.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Command {
        parse(line).unwrap().unwrap().command
    }

    fn plain(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            pattern: text.to_owned(),
            is_pattern: false,
        }
    }

    #[test]
    fn commands_are_understood() {
        let flags = TransferFlags {
            recursive: true,
            preserve: true,
            fsync: false,
        };
        assert_eq!(
            read("get -rp a b"),
            Command::Get {
                sources: plain("a"),
                target: Some(plain("b")),
                flags
            }
        );
        assert_eq!(
            read("PUT a"),
            Command::Put {
                sources: plain("a"),
                target: None,
                flags: TransferFlags::default()
            }
        );
        assert_eq!(
            read("chmod 644 f"),
            Command::ChangeMode {
                mode: 0o644,
                path: plain("f"),
                links: false
            }
        );
        assert_eq!(
            read("ln -s a b"),
            Command::Link {
                existing: plain("a"),
                new: plain("b"),
                symbolic: true
            }
        );
        assert_eq!(read("!ls -l"), Command::Shell("ls -l".to_owned()));
        assert_eq!(read("cd"), Command::ChangeDirectory(None));
        assert!(matches!(read("ls -la dir"), Command::List { flags, .. } if flags.long && flags.all));
    }

    #[test]
    fn marks_before_a_command() {
        let line = parse("-@rm x").unwrap().unwrap();
        assert!(line.may_fail && line.silent);
        assert_eq!(parse("  # nothing").unwrap(), None);
        assert_eq!(parse("").unwrap(), None);
    }

    #[test]
    fn mistakes_are_told() {
        for line in [
            "frobnicate",
            "get",
            "get a b c",
            "chmod 9 x",
            "chmod 10000 x",
            "ls -Z",
            "rename a",
            "pwd x",
            "rm",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
