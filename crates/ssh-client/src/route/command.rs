//! A program whose standard input and output lead to the server (`ProxyCommand` of `ssh_config(5)`).

use std::ffi::{OsStr, OsString};
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::address::Address;
use crate::config_file::{TokenError, Tokens, expand};
use crate::error::Error;

/// How long a program may take to end by itself when its input has ended; then it is killed. Also how long its exit
/// status is waited for when its output has ended.
const GRACE: Duration = Duration::from_secs(1);

/// A program that connects to the server. Its standard error is this process's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCommand {
    program: OsString,
    arguments: Vec<OsString>,
}

/// Why a configured command is not run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It holds a `%` token that is not known.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A name that goes into the command holds what a shell, or the program, could take for something else.
    #[error("the {what} {text:?} does not go into a command: it holds what a shell could run")]
    Unsafe {
        /// What it is the name of.
        what: &'static str,
        /// The name.
        text: String,
    },
}

impl ProxyCommand {
    /// A program with its arguments, run without a shell.
    pub fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// A line for the shell, run by `/bin/sh` as it stands: nothing of it may come from a stranger.
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        // The program takes the shell's place, so that ending the one ends the other.
        let mut script = OsString::from("exec ");
        script.push(line.as_ref());
        Self::new("/bin/sh", [OsString::from("-c"), script])
    }

    /// A line for the shell with `%` tokens. Host and user names that stand in it and could be taken for anything but a
    /// name are refused (CVE-2023-51385, CVE-2025-61984): they may come from a link somebody clicked on.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn from_template(template: &str, tokens: &Tokens) -> Result<Self, CommandError> {
        for (token, what, text) in [
            ('h', "host name", &tokens.host),
            ('n', "host name", &tokens.original_host),
            ('k', "host name", &tokens.host_key_alias),
            ('r', "user name", &tokens.remote_user),
        ] {
            if names(template, token) && !is_harmless(text) {
                return Err(CommandError::Unsafe {
                    what,
                    text: text.clone(),
                });
            }
        }
        Ok(Self::shell(expand(template, tokens)?.as_os_str()))
    }

    /// Starts it.
    pub(super) fn start(&self, to: &Address) -> Result<CommandStream, Error> {
        let failed = |source| Error::ProxyCommand {
            address: to.clone(),
            program: self.program.to_string_lossy().into_owned(),
            source,
        };
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        Ok(CommandStream {
            input: Some(input),
            output,
            child: Some(child),
            ending: None,
        })
    }
}

/// Whether `%` and `token` stand in the template, and not behind another `%`.
fn names(template: &str, token: char) -> bool {
    let mut characters = template.chars();
    while let Some(each) = characters.next() {
        if each == '%' && characters.next() == Some(token) {
            return true;
        }
    }
    false
}

/// Letters, digits and what names are made of besides; no option.
fn is_harmless(name: &str) -> bool {
    !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+@:%".contains(&byte))
}

type Ending = Pin<Box<dyn Future<Output = Option<ExitStatus>> + Send>>;

/// The program's input and output as one stream. When it is dropped, the program is ended.
pub(super) struct CommandStream {
    input: Option<ChildStdin>,
    output: ChildStdout,
    child: Option<Child>,
    /// Its output has ended; how it ends itself.
    ending: Option<Ending>,
}

impl Drop for CommandStream {
    fn drop(&mut self) {
        drop(self.input.take());
        let Some(mut child) = self.child.take() else {
            return;
        };
        // What it still has of ours may leave; without a runtime it is killed by being dropped.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ended = tokio::time::timeout(GRACE, child.wait()).await;
            });
        }
    }
}

impl AsyncRead for CommandStream {
    /// An end of the output that comes with a bad exit status is an error: it says more than that the server is silent.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.output).poll_read(cx, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let child = &mut this.child;
        let ending = this.ending.get_or_insert_with(|| match child.take() {
            Some(mut child) => Box::pin(async move {
                let ended = tokio::time::timeout(GRACE, child.wait()).await;
                ended.ok()?.ok()
            }),
            None => Box::pin(std::future::ready(None)),
        });
        let status = ready!(ending.as_mut().poll(cx));
        this.ending = Some(Box::pin(std::future::ready(None)));
        match status {
            Some(status) if !status.success() => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the proxy command ended with {status}"),
            ))),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(input) = &mut self.input {
            ready!(Pin::new(input).poll_shutdown(cx))?;
        }
        // Only without its last holder does a pipe end.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_could_run_go_into_no_command() {
        let tokens = |host: &str, user: &str| Tokens {
            host: host.to_owned(),
            original_host: host.to_owned(),
            remote_user: user.to_owned(),
            port: 22,
            ..Tokens::default()
        };
        let made = ProxyCommand::from_template("nc -- %h %p # %r", &tokens("fe80::1%eth0", "al.ice"));
        let line = ProxyCommand::shell("nc -- fe80::1%eth0 22 # al.ice");
        assert_eq!(made, Ok(line));
        for name in [
            "`id`", "$(id)", "a;b", "a|b", "a&b", "a b", "a\nb", "a\tb", "'", "\"", "a>b", "a<b", "-oProxy",
            "a\\", "{a,b}", "*", "?", "~", "#", "!", "a\0b", "\u{e9}", "a/b", "a=b",
        ] {
            for (template, tokens) in [
                ("nc %h", tokens(name, "me")),
                ("nc %%%n", tokens(name, "me")),
                ("nc %h %r", tokens("host", name)),
            ] {
                let refused = ProxyCommand::from_template(template, &tokens);
                assert!(
                    matches!(refused, Err(CommandError::Unsafe { .. })),
                    "{template} {name:?}"
                );
            }
        }
        // A name that the line does not hold can do nothing there: `DOMAIN\user` is one that people have.
        for template in ["nc %h %p", "nc %h %%r"] {
            let made = ProxyCommand::from_template(template, &tokens("host", "CORP\\me"));
            assert!(made.is_ok(), "{template}: {made:?}");
        }
        let unknown = ProxyCommand::from_template("nc %Q", &tokens("host", "me"));
        assert!(matches!(unknown, Err(CommandError::Token(_))));
    }
}
