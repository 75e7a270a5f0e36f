//! One run of `sftp`: the connection, where both sides stand, and what each command does.

use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use ssh_client::sftp_protocol::Attributes;
use ssh_client::sftp_protocol::extension::{HardLink, LSetStat};
use ssh_client::{Address, Client, Sftp};

use super::commands::{Command, HELP, ListFlags, TransferFlags};
use super::listing::{Shown, lines};
use super::remote::{file_name, join, matching};
use super::words::Word;
use crate::terminal::{harmless, harmless_name, say};

/// The state between two commands.
pub(crate) struct Session {
    client: Client,
    pub(crate) sftp: Sftp,
    /// The remote working directory: only this side knows it.
    pub(crate) directory: Vec<u8>,
    /// What `-r` and `-p` on the command line add to every transfer.
    pub(crate) always: TransferFlags,
    pub(crate) shows_progress: bool,
}

/// Why a command was not done: a sentence for the user, that harms no terminal where a server had a say in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    words: String,
    /// Whether the words begin with the host already.
    names_host: bool,
}

impl From<String> for Problem {
    /// About something on this side, or about a path.
    fn from(words: String) -> Self {
        Self {
            words,
            names_host: false,
        }
    }
}

impl Problem {
    /// The words, with the host in them.
    fn at(self, host: &Address) -> String {
        if self.names_host {
            self.words
        } else {
            format!("{host}: {}", self.words)
        }
    }
}

/// What a command's failure looks like to the user: what was done, to what, and why not.
pub(crate) fn failed(what: &str, path: &[u8], error: &ssh_client::Error) -> Problem {
    // The error of an SFTP call names the path itself; any other is about the connection.
    let words = match error {
        ssh_client::Error::Sftp(error) => format!("{what}: {error}"),
        error => format!("{what} \"{}\": {error}", harmless_name(path)),
    };
    Problem {
        words: harmless(&words),
        names_host: error.address().is_some(),
    }
}

impl Session {
    pub(crate) async fn start(client: Client, always: TransferFlags) -> Result<Self, String> {
        let sftp = client
            .sftp()
            .await
            .map_err(|error| harmless(&error.to_string()))?;
        let directory = sftp
            .real_path(".")
            .await
            .map_err(|error| failed("Need cwd", b".", &error).at(client.address()))?;
        Ok(Self {
            client,
            sftp,
            directory,
            always,
            shows_progress: false,
        })
    }

    /// Says goodbye. True unless the connection had broken before.
    pub(crate) async fn close(self) -> bool {
        let whole = !self.is_over();
        self.client.disconnect().await;
        whole
    }

    /// Waits until nothing more can be done on this connection; why, in words that harm no terminal.
    pub(crate) async fn lost(&self) -> String {
        let why = self.client.closed().await;
        harmless(&format!("{}: {why}", self.client.address()))
    }

    /// Whether nothing more can be done: the connection is over, or the server's side of this session is.
    pub(crate) fn is_over(&self) -> bool {
        self.client.handle().why_closed().is_some() || self.sftp.why_ended().is_some()
    }

    pub(crate) fn remote(&self, word: &Word) -> Vec<u8> {
        join(&self.directory, word.text.as_bytes())
    }

    pub(crate) async fn is_directory(&self, path: &str) -> bool {
        let path = join(&self.directory, path.as_bytes());
        self.sftp
            .stat(&path)
            .await
            .is_ok_and(|attributes| attributes.is_directory())
    }

    /// Does one command. Dropped, it is given up where it stands.
    ///
    /// # Errors
    /// A sentence for the user: the step, what it was done to, and, where the connection is lost in it, the host.
    pub(crate) async fn run(&mut self, command: Command) -> Result<(), String> {
        let done = self.follow(command).await;
        done.map_err(|problem| match self.is_over() {
            true => problem.at(self.client.address()),
            false => problem.words,
        })
    }

    async fn follow(&mut self, command: Command) -> Result<(), Problem> {
        match command {
            Command::Get {
                sources,
                target,
                flags,
            } => self.get(&sources, target.as_ref(), flags).await,
            Command::Put {
                sources,
                target,
                flags,
            } => self.put(&sources, target.as_ref(), flags).await,
            Command::List { path, flags } => self.list(path.as_ref(), flags).await,
            Command::ChangeDirectory(path) => self.change_directory(path.as_ref()).await,
            Command::WorkingDirectory => {
                say(&format!(
                    "Remote working directory: {}",
                    harmless_name(&self.directory)
                ));
                Ok(())
            }
            Command::Stat { path, follow } => self.stat(&path, follow).await,
            other => self.run_change(other).await,
        }
    }

    /// The commands that change something on the other side.
    async fn run_change(&mut self, command: Command) -> Result<(), Problem> {
        match command {
            Command::MakeDirectory(path) => {
                let path = self.remote(&path);
                self.sftp
                    .mkdir(&path)
                    .await
                    .map_err(|error| failed("remote mkdir", &path, &error))
            }
            Command::RemoveDirectory(path) => {
                let path = self.remote(&path);
                self.sftp
                    .rmdir(&path)
                    .await
                    .map_err(|error| failed("remote rmdir", &path, &error))
            }
            Command::Remove(word) => self.remove(&word).await,
            Command::Rename(from, to) => {
                let (from, to) = (self.remote(&from), self.remote(&to));
                self.sftp
                    .rename(&from, &to)
                    .await
                    .map_err(|error| failed("remote rename", &from, &error))
            }
            Command::Link {
                existing,
                new,
                symbolic,
            } => self.link(&existing, &new, symbolic).await,
            Command::ChangeMode { mode, path, links } => {
                let attributes = Attributes {
                    permissions: Some(mode),
                    ..Attributes::default()
                };
                self.set_attributes(&path, |_| attributes.clone(), links).await
            }
            Command::ChangeOwner { owner, path } => {
                self.set_attributes(&path, |now| with_ids(Some(owner), None, now), false)
                    .await
            }
            Command::ChangeGroup { group, path } => {
                self.set_attributes(&path, |now| with_ids(None, Some(group), now), false)
                    .await
            }
            local_or_none => self.run_local(local_or_none).await,
        }
    }

    /// The commands that need no server.
    async fn run_local(&mut self, command: Command) -> Result<(), Problem> {
        match command {
            Command::LocalChangeDirectory(path) => {
                let path = path
                    .map(|word| word.text)
                    .or_else(|| std::env::var("HOME").ok())
                    .unwrap_or_default();
                std::env::set_current_dir(&path)
                    .map_err(|error| format!("Couldn't change local directory to \"{path}\": {error}"))?;
                Ok(())
            }
            Command::LocalWorkingDirectory => {
                let directory =
                    std::env::current_dir().map_err(|error| format!("Couldn't get local cwd: {error}"))?;
                say(&format!("Local working directory: {}", directory.display()));
                Ok(())
            }
            Command::LocalMakeDirectory(path) => {
                std::fs::create_dir(&path.text)
                    .map_err(|error| format!("Couldn't create local directory \"{}\": {error}", path.text))?;
                Ok(())
            }
            Command::LocalList(words) => {
                let words: Vec<_> = words.into_iter().map(|word| word.text).collect();
                Ok(shell_out(std::process::Command::new("ls").args(words)).await?)
            }
            Command::Shell(line) => {
                let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
                let mut command = std::process::Command::new(shell);
                if !line.is_empty() {
                    command.arg("-c").arg(line);
                }
                Ok(shell_out(&mut command).await?)
            }
            Command::Progress => {
                self.shows_progress = !self.shows_progress;
                say(if self.shows_progress {
                    "Progress meter enabled"
                } else {
                    "Progress meter disabled"
                });
                Ok(())
            }
            Command::Version => {
                say("SFTP protocol version 3");
                Ok(())
            }
            _ => {
                say(HELP);
                Ok(())
            }
        }
    }

    async fn change_directory(&mut self, path: Option<&Word>) -> Result<(), Problem> {
        let wanted = match path {
            Some(word) => self.remote(word),
            None => b".".to_vec(),
        };
        let real = self
            .sftp
            .real_path(&wanted)
            .await
            .map_err(|error| failed("Couldn't canonicalize", &wanted, &error))?;
        let attributes = self
            .sftp
            .stat(&real)
            .await
            .map_err(|error| failed("Couldn't stat remote directory", &real, &error))?;
        if !attributes.is_directory() {
            return Err(format!(
                "Can't change directory: \"{}\" is not a directory",
                harmless_name(&real)
            )
            .into());
        }
        self.directory = real;
        Ok(())
    }

    async fn remove(&self, word: &Word) -> Result<(), Problem> {
        for found in matching(&self.sftp, &self.directory, word).await? {
            if word.is_pattern {
                say(&format!("Removing {}", harmless_name(&found.path)));
            }
            self.sftp
                .remove(&found.path)
                .await
                .map_err(|error| failed("remote delete", &found.path, &error))?;
        }
        Ok(())
    }

    async fn link(&self, existing: &Word, new: &Word, symbolic: bool) -> Result<(), Problem> {
        let new = self.remote(new);
        let made = if symbolic {
            // What a symbolic link says is kept as it was written.
            self.sftp.symlink(existing.text.as_bytes(), &new).await
        } else {
            let link = HardLink {
                old_path: self.remote(existing),
                new_path: new.clone(),
            };
            self.sftp.request(link, "link", &new).await
        };
        made.map_err(|error| failed("remote link", &new, &error))
    }

    async fn set_attributes(
        &self,
        word: &Word,
        wanted: impl Fn(&Attributes) -> Attributes,
        links: bool,
    ) -> Result<(), Problem> {
        for found in matching(&self.sftp, &self.directory, word).await? {
            let fail = |error: ssh_client::Error| failed("remote setstat", &found.path, &error);
            let now = self.sftp.stat(&found.path).await.map_err(fail)?;
            let attributes = wanted(&now);
            if links {
                let request = LSetStat {
                    path: found.path.clone(),
                    attributes,
                };
                self.sftp
                    .request(request, "set attributes", &found.path)
                    .await
                    .map_err(fail)?;
            } else {
                self.sftp.set_stat(&found.path, attributes).await.map_err(fail)?;
            }
        }
        Ok(())
    }

    async fn stat(&self, word: &Word, follow: bool) -> Result<(), Problem> {
        let path = self.remote(word);
        let asked = if follow {
            self.sftp.stat(&path).await
        } else {
            self.sftp.lstat(&path).await
        };
        let attributes = asked.map_err(|error| failed("remote stat", &path, &error))?;
        let shown = Shown {
            name: path,
            longname: Vec::new(),
            attributes,
        };
        let flags = ListFlags {
            long: true,
            numeric: true,
            all: true,
            ..ListFlags::default()
        };
        lines(vec![shown], flags).iter().for_each(|line| say(line));
        Ok(())
    }

    async fn list(&self, word: Option<&Word>, flags: ListFlags) -> Result<(), Problem> {
        let Some(word) = word else {
            return self.list_folder(&self.directory, flags).await;
        };
        let found = matching(&self.sftp, &self.directory, word).await?;
        if let [only] = found.as_slice() {
            let stat = self
                .sftp
                .stat(&only.path)
                .await
                .map_err(|error| failed("Can't ls:", &only.path, &error))?;
            if stat.is_directory() {
                return self.list_folder(&only.path, flags).await;
            }
        }
        let mut files = Vec::new();
        for each in found {
            let attributes = match each.attributes {
                Some(attributes) => attributes,
                None => self
                    .sftp
                    .lstat(&each.path)
                    .await
                    .map_err(|error| failed("Can't ls:", &each.path, &error))?,
            };
            let name = relative(&each.path, &self.directory, word);
            files.push(Shown {
                name,
                longname: Vec::new(),
                attributes,
            });
        }
        let flags = ListFlags { all: true, ..flags };
        lines(files, flags).iter().for_each(|line| say(line));
        Ok(())
    }

    async fn list_folder(&self, path: &[u8], flags: ListFlags) -> Result<(), Problem> {
        let names = self
            .sftp
            .read_dir(path)
            .await
            .map_err(|error| failed("Can't ls:", path, &error))?;
        let files = names
            .into_iter()
            .map(|name| Shown {
                name: name.filename,
                longname: name.longname,
                attributes: name.attributes,
            })
            .collect();
        lines(files, flags).iter().for_each(|line| say(line));
        Ok(())
    }
}

/// A path as the user would write it: as it was asked for, else without the working directory.
fn relative(path: &[u8], directory: &[u8], word: &Word) -> Vec<u8> {
    if word.text.starts_with('/') {
        return path.to_vec();
    }
    let inside = path
        .strip_prefix(directory)
        .and_then(|rest| rest.strip_prefix(b"/"));
    inside.unwrap_or_else(|| file_name(path)).to_vec()
}

fn with_ids(owner: Option<u32>, group: Option<u32>, now: &Attributes) -> Attributes {
    let (uid, gid) = now.uid_gid.unwrap_or((0, 0));
    let uid_gid = Some((owner.unwrap_or(uid), group.unwrap_or(gid)));
    Attributes {
        uid_gid,
        ..Attributes::default()
    }
}

async fn shell_out(command: &mut std::process::Command) -> Result<(), String> {
    let name = command.get_program().as_bytes().to_vec();
    let mut child = command
        .stdin(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("{}: {error}", harmless_name(&name)))?;
    let ended = tokio::task::spawn_blocking(move || child.wait())
        .await
        .map_err(|error| error.to_string())?;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("Shell exited with {status}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ssh_client::Error;
    use ssh_client::sftp::{SftpError, SftpFault};

    use super::*;

    fn sftp_error(remote: &str) -> Error {
        Error::Sftp(SftpError {
            operation: "get",
            remote: remote.to_owned(),
            local: None,
            source: SftpFault::NotAFile,
        })
    }

    #[test]
    fn the_host_is_named_once_whatever_the_path_is_called() {
        let host = Address {
            host: "host.example".to_owned(),
            port: 22,
        };
        let check = |problem: Problem, expected: &str| assert_eq!(problem.at(&host), expected);
        check(
            failed("download", b"/a", &sftp_error("/a")),
            "host.example:22: download: get /a: not a regular file",
        );
        // A path with the host's name in it says nothing about where the connection went.
        check(
            failed("download", b"/x", &sftp_error("/backup/host.example:22/x")),
            "host.example:22: download: get /backup/host.example:22/x: not a regular file",
        );
        check(
            "host.example:22: a symbolic link".to_owned().into(),
            "host.example:22: host.example:22: a symbolic link",
        );
        let refused = Error::RequestRefused {
            address: host.clone(),
            request: "subsystem sftp".to_owned(),
        };
        check(
            failed("download", b"/a", &refused),
            "download \"/a\": host.example:22: the server refused subsystem sftp",
        );
    }
}
