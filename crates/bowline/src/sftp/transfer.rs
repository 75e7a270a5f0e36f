//! `get` and `put`: patterns, whole trees, kept times and permissions, a progress bar.

use std::ffi::OsStr;
use std::future::Future;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ssh_client::Error;
use ssh_client::sftp_protocol::Attributes;
use ssh_client::sftp_protocol::OpenFlags;

use super::commands::TransferFlags;
use super::remote::{MAX_DEPTH, check_name, file_name, join, matching};
use super::session::{Problem, Session, failed};
use super::words::Word;
use crate::terminal::{harmless_name, say};

type Walk<'a> = Pin<Box<dyn Future<Output = Result<(), Problem>> + 'a>>;

impl Session {
    /// Fetches what `sources` matches into `target`, or into the local working directory.
    pub(crate) async fn get(
        &self,
        sources: &Word,
        target: Option<&Word>,
        flags: TransferFlags,
    ) -> Result<(), Problem> {
        let flags = self.with_always(flags);
        let found = matching(&self.sftp, &self.directory, sources).await?;
        let target = target.map(|word| PathBuf::from(&word.text));
        let into_folder = target.as_deref().is_some_and(Path::is_dir);
        if found.len() > 1 && target.is_some() && !into_folder {
            return Err(format!(
                "\"{}\" is not a local directory",
                target.unwrap_or_default().display()
            )
            .into());
        }
        for each in found {
            let name = file_name(&each.path);
            let local = match &target {
                Some(target) if !into_folder => target.clone(),
                folder => {
                    check_name(name)?;
                    folder.clone().unwrap_or_default().join(OsStr::from_bytes(name))
                }
            };
            let stat = self
                .sftp
                .stat(&each.path)
                .await
                .map_err(|error| failed("stat remote", &each.path, &error))?;
            if stat.is_directory() {
                if !flags.recursive {
                    return Err(
                        format!("download \"{}\": not a regular file", harmless_name(&each.path)).into(),
                    );
                }
                say(&format!("Retrieving {}", harmless_name(&each.path)));
                self.get_folder(each.path, local, flags, stat, 0).await?;
            } else {
                self.get_file(&each.path, &local, flags, &stat).await?;
            }
        }
        Ok(())
    }

    async fn get_file(
        &self,
        remote: &[u8],
        local: &Path,
        flags: TransferFlags,
        stat: &Attributes,
    ) -> Result<(), Problem> {
        say(&format!(
            "Fetching {} to {}",
            harmless_name(remote),
            harmless_name(local.as_os_str().as_bytes())
        ));
        let bar = self.bar(file_name(remote), stat.size);
        let done = self
            .sftp
            .get_with(remote, local, |progress| bar.set_position(progress.done))
            .await;
        finish(&bar, done.map(|_| ()), "download", remote)?;
        if flags.preserve {
            Ok(keep_local(local, stat)?)
        } else {
            Ok(())
        }
    }

    fn get_folder(
        &self,
        remote: Vec<u8>,
        local: PathBuf,
        flags: TransferFlags,
        stat: Attributes,
        depth: usize,
    ) -> Walk<'_> {
        Box::pin(async move {
            if depth > MAX_DEPTH {
                return Err(format!(
                    "\"{}\" lies deeper than {MAX_DEPTH} folders",
                    harmless_name(&remote)
                )
                .into());
            }
            match std::fs::create_dir(&local) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && local.is_dir() => {}
                Err(error) => return Err(format!("mkdir {}: {error}", local.display()).into()),
                Ok(()) => {}
            }
            let names = self
                .sftp
                .read_dir(&remote)
                .await
                .map_err(|error| failed("Can't ls:", &remote, &error))?;
            for name in names {
                if name.filename == b"." || name.filename == b".." {
                    continue;
                }
                check_name(&name.filename)?;
                let (from, to) = (
                    join(&remote, &name.filename),
                    local.join(OsStr::from_bytes(&name.filename)),
                );
                // A link that stands here already could lead anywhere: nothing is written through it.
                if to.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                    return Err(format!("{}: a symbolic link stands in the way", to.display()).into());
                }
                let stat = self
                    .sftp
                    .stat(&from)
                    .await
                    .map_err(|error| failed("stat remote", &from, &error))?;
                if stat.is_directory() {
                    self.get_folder(from, to, flags, stat, depth.saturating_add(1))
                        .await?;
                } else {
                    self.get_file(&from, &to, flags, &stat).await?;
                }
            }
            if flags.preserve {
                Ok(keep_local(&local, &stat)?)
            } else {
                Ok(())
            }
        })
    }

    /// Sends what `sources` matches to `target`, or to the remote working directory.
    pub(crate) async fn put(
        &self,
        sources: &Word,
        target: Option<&Word>,
        flags: TransferFlags,
    ) -> Result<(), Problem> {
        let flags = self.with_always(flags);
        let found = local_matches(sources)?;
        let target = target.map(|word| self.remote(word));
        let into_folder = match &target {
            Some(target) => self.sftp.stat(target).await.is_ok_and(|stat| stat.is_directory()),
            None => false,
        };
        if found.len() > 1
            && !into_folder
            && let Some(target) = &target
        {
            return Err(format!("\"{}\" is not a remote directory", harmless_name(target)).into());
        }
        for local in found {
            let name = local.file_name().map(OsStr::as_bytes).unwrap_or_default();
            let remote = match &target {
                Some(target) if !into_folder => target.clone(),
                folder => join(folder.as_ref().unwrap_or(&self.directory), name),
            };
            let kind =
                std::fs::metadata(&local).map_err(|error| format!("stat {}: {error}", local.display()))?;
            if kind.is_dir() {
                if !flags.recursive {
                    return Err(format!("local \"{}\" is not a regular file", local.display()).into());
                }
                say(&format!("Entering {}", local.display()));
                self.put_folder(local, remote, flags, 0).await?;
            } else {
                self.put_file(&local, &remote, flags, kind.len()).await?;
            }
        }
        Ok(())
    }

    async fn put_file(
        &self,
        local: &Path,
        remote: &[u8],
        flags: TransferFlags,
        size: u64,
    ) -> Result<(), Problem> {
        say(&format!(
            "Uploading {} to {}",
            harmless_name(local.as_os_str().as_bytes()),
            harmless_name(remote)
        ));
        let bar = self.bar(file_name(remote), Some(size));
        let done = self
            .sftp
            .put_with(local, remote, |progress| bar.set_position(progress.done))
            .await;
        finish(&bar, done.map(|_| ()), "upload", remote)?;
        if flags.preserve {
            self.keep_remote(local, remote).await?;
        }
        if flags.fsync {
            self.sync(remote).await
        } else {
            Ok(())
        }
    }

    fn put_folder(&self, local: PathBuf, remote: Vec<u8>, flags: TransferFlags, depth: usize) -> Walk<'_> {
        Box::pin(async move {
            if depth > MAX_DEPTH {
                return Err(format!("\"{}\" lies deeper than {MAX_DEPTH} folders", local.display()).into());
            }
            if let Err(error) = self.sftp.mkdir(&remote).await
                && !self
                    .sftp
                    .stat(&remote)
                    .await
                    .is_ok_and(|stat| stat.is_directory())
            {
                return Err(failed("remote mkdir", &remote, &error));
            }
            let entries =
                std::fs::read_dir(&local).map_err(|error| format!("{}: {error}", local.display()))?;
            for entry in entries {
                let entry = entry.map_err(|error| format!("{}: {error}", local.display()))?;
                let (from, to) = (entry.path(), join(&remote, entry.file_name().as_bytes()));
                let kind =
                    std::fs::metadata(&from).map_err(|error| format!("stat {}: {error}", from.display()))?;
                if kind.is_dir() {
                    self.put_folder(from, to, flags, depth.saturating_add(1)).await?;
                } else if kind.is_file() {
                    self.put_file(&from, &to, flags, kind.len()).await?;
                } else {
                    say(&format!("{}: not a regular file, left out", from.display()));
                }
            }
            Ok(())
        })
    }

    /// Gives a remote file the times and permissions of the local one.
    async fn keep_remote(&self, local: &Path, remote: &[u8]) -> Result<(), Problem> {
        let found = std::fs::metadata(local).map_err(|error| format!("stat {}: {error}", local.display()))?;
        let seconds = |time: i64| u32::try_from(time.max(0)).unwrap_or(u32::MAX);
        let attributes = Attributes {
            permissions: Some(found.mode() & 0o777),
            atime_mtime: Some((seconds(found.atime()), seconds(found.mtime()))),
            ..Attributes::default()
        };
        let set = self.sftp.set_stat(remote, attributes).await;
        set.map_err(|error| failed("remote setstat", remote, &error))
    }

    /// Has the server write the file to its disk.
    async fn sync(&self, remote: &[u8]) -> Result<(), Problem> {
        let fail = |error: Error| failed("fsync", remote, &error);
        let file = self
            .sftp
            .open_with(remote, OpenFlags::WRITE, Attributes::default())
            .await
            .map_err(fail)?;
        file.sync().await.map_err(fail)?;
        file.close().await.map_err(fail)
    }

    fn with_always(&self, flags: TransferFlags) -> TransferFlags {
        TransferFlags {
            recursive: flags.recursive || self.always.recursive,
            preserve: flags.preserve || self.always.preserve,
            fsync: flags.fsync,
        }
    }

    fn bar(&self, name: &[u8], size: Option<u64>) -> ProgressBar {
        if !self.shows_progress {
            return ProgressBar::hidden();
        }
        let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let shape = "{msg:30!} {percent:>3}% {bytes:>10} {binary_bytes_per_sec:>12} {eta:>6}";
        bar.set_style(ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(harmless_name(name));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

fn finish(bar: &ProgressBar, done: Result<(), Error>, what: &str, path: &[u8]) -> Result<(), Problem> {
    match done {
        Ok(()) => {
            bar.finish();
            Ok(())
        }
        Err(error) => {
            bar.abandon();
            Err(failed(what, path, &error))
        }
    }
}

/// Gives a file or folder the times and permissions it had on the other side, without any bit that grants more.
fn keep_local(path: &Path, stat: &Attributes) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some((atime, mtime)) = stat.atime_mtime {
        let at = |seconds: u32| std::time::UNIX_EPOCH + Duration::from_secs(seconds.into());
        let times = std::fs::FileTimes::new()
            .set_accessed(at(atime))
            .set_modified(at(mtime));
        std::fs::File::open(path)
            .and_then(|folder| folder.set_times(times))
            .map_err(fail)?;
    }
    // Last: a mode without the right to read would stand in the way of the times.
    if let Some(mode) = stat.plain_permissions() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o777)).map_err(fail)?;
    }
    Ok(())
}

/// The local paths that a word stands for.
fn local_matches(word: &Word) -> Result<Vec<PathBuf>, String> {
    if !word.is_pattern {
        return Ok(vec![PathBuf::from(std::ffi::OsString::from_vec(
            word.text.clone().into_bytes(),
        ))]);
    }
    let matches = glob::glob(&word.pattern).map_err(|error| format!("{}: {error}", word.text))?;
    let found: Vec<PathBuf> = matches
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if found.is_empty() {
        Err(format!("File \"{}\" not found.", word.text))
    } else {
        Ok(found)
    }
}
