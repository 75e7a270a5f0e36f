//! A child process as the server needs it: pipes or a terminal of its own, a process group of its own, an end for
//! certain.
//!
//! ```text
//!  start ──▶ running ──(its output is at its end)──▶ exit() ──▶ Exit       reaped: its number may be used again
//!               │
//!               └──hang_up(): HUP, then TERM, then KILL to the group, as long as the child itself lives
//! ```
//!
//! The child is never reaped while someone may still signal its group: a process number is only safe to signal as long
//! as the process (or its corpse) holds it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;
use tokio::process::{Child as TokioChild, Command};

use crate::pty::{NewPty, Pty, spawning};

/// A running child with our ends of what it reads and writes.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) ends: Ends,
    pub(crate) process: Process,
}

/// Our ends of a child's standard streams.
#[derive(Debug)]
pub(crate) enum Ends {
    Pipes(Pipes),
    Terminal(Pty),
}

/// Our ends of three pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: pipe::Sender,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
}

/// The process itself. Dropped while it runs, it is sent HUP and TERM with its group.
#[derive(Debug)]
pub(crate) struct Process {
    child: TokioChild,
    /// `None` once reaped: nobody may be signalled under this number any more.
    group: Option<Pid>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(u32),
    Signal { number: i32, core_dumped: bool },
}

/// Starts `command` in `directory` (in `/` when that is not a directory) at `terminal`, or with three new pipes; in a
/// process group of its own. Everything else about `command` is the caller's.
pub(crate) fn start(mut command: Command, directory: &Path, terminal: Option<NewPty>) -> io::Result<Child> {
    let home = fs::metadata(directory).is_ok_and(|found| found.is_dir());
    command.current_dir(if home { directory } else { Path::new("/") });
    let (ends, child) = match terminal {
        Some(terminal) => {
            let (pty, child) = terminal.spawn(command)?;
            (Ends::Terminal(pty), child)
        }
        None => {
            let (pipes, child) = with_pipes(command)?;
            (Ends::Pipes(pipes), child)
        }
    };
    let process = Process::new(child);
    Ok(Child { ends, process })
}

fn with_pipes(mut command: Command) -> io::Result<(Pipes, TokioChild)> {
    let (stdin_child, stdin) = io::pipe()?;
    let (stdout, stdout_child) = io::pipe()?;
    let (stderr, stderr_child) = io::pipe()?;
    let (stdin, stdout, stderr) = (OwnedFd::from(stdin), OwnedFd::from(stdout), OwnedFd::from(stderr));
    for pipe in [&stdin, &stdout] {
        // A larger pipe saves a switch of context per 64 KiB. The system may refuse (a user's pipes have a budget);
        // the pipe is then the size it was.
        let _refused = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
    }
    command
        .stdin(Stdio::from(OwnedFd::from(stdin_child)))
        .stdout(Stdio::from(OwnedFd::from(stdout_child)))
        .stderr(Stdio::from(OwnedFd::from(stderr_child)))
        .process_group(0);
    let child = spawning(|| command.spawn())?;
    // `command` holds the child's ends: while one is open here, our end would never see the end of the file.
    drop(command);
    let pipes = Pipes {
        stdin: pipe::Sender::from_owned_fd(stdin)?,
        stdout: pipe::Receiver::from_owned_fd(stdout)?,
        stderr: pipe::Receiver::from_owned_fd(stderr)?,
    };
    Ok((pipes, child))
}

impl Process {
    /// A child that leads its process group.
    fn new(child: TokioChild) -> Self {
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self { child, group }
    }

    /// The child's group, as long as its number is the child's.
    pub(crate) const fn group(&self) -> Option<Pid> {
        self.group
    }

    /// Sends `signal` to the child's group; nothing happens once the child is reaped.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails only if the whole group is gone, which is what a signal is for.
            let _gone = kill_process_group(group, signal);
        }
    }

    /// Waits for the child's end and reaps it. Cancel safe.
    pub(crate) async fn exit(&mut self) -> io::Result<Exit> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(Exit::of(status))
    }

    /// Ends the child because nobody listens any more: HUP to its group at once, TERM after `patience`, KILL after
    /// another. What has outlived the child (`nohup` and the like) is left in peace.
    pub(crate) async fn hang_up(mut self, patience: Duration) {
        for signal in [Signal::HUP, Signal::TERM, Signal::KILL] {
            self.signal(signal);
            // A stopped process takes its signal only when it continues.
            self.signal(Signal::CONT);
            if let Ok(Ok(_)) = tokio::time::timeout(patience, self.exit()).await {
                return;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for signal in [Signal::HUP, Signal::TERM, Signal::CONT] {
            self.signal(signal);
        }
    }
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(u32::try_from(code).unwrap_or(u32::MAX)),
            (None, Some(number)) => Self::Signal {
                number,
                core_dumped: status.core_dumped(),
            },
            // wait(2) knows no third way to end; a client takes 255 for "something went wrong on the way".
            (None, None) => Self::Code(255),
        }
    }
}

/// The signals RFC 4254 §6.10 names, without the `SIG` prefix.
pub(crate) fn signal_named(name: &[u8]) -> Option<Signal> {
    SIGNALS
        .iter()
        .find(|(known, _)| known.as_bytes() == name)
        .map(|(_, signal)| *signal)
}

/// The name to report for the signal `number`; one that the RFC does not name is given the form it asks of private names.
pub(crate) fn signal_name(number: i32) -> String {
    SIGNALS
        .iter()
        .find(|(_, signal)| signal.as_raw() == number)
        .map_or_else(|| format!("{number}@bowline"), |(name, _)| (*name).to_owned())
}

/// `path`'s last component, for a shell's `argv[0]`.
pub(crate) fn base_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

const SIGNALS: [(&str, Signal); 13] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("TERM", Signal::TERM),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
];

/// What the pipes that carry bulk data are grown to: as much as an unprivileged process may ask for.
const PIPE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    fn started(script: &str) -> (Pipes, Process) {
        started_in(script, "/")
    }

    fn started_in(script: &str, directory: &str) -> (Pipes, Process) {
        let child = start(shell(script), Path::new(directory), None).unwrap();
        match child.ends {
            Ends::Pipes(pipes) => (pipes, child.process),
            Ends::Terminal(_) => panic!("a terminal"),
        }
    }

    async fn output((mut pipes, mut process): (Pipes, Process)) -> (String, String, Exit) {
        drop(pipes.stdin);
        let (mut out, mut err) = (String::new(), String::new());
        pipes.stdout.read_to_string(&mut out).await.unwrap();
        pipes.stderr.read_to_string(&mut err).await.unwrap();
        (out, err, process.exit().await.unwrap())
    }

    #[tokio::test]
    async fn a_child_has_three_pipes_and_an_exit_status() {
        let child = started("echo out; echo err >&2; exit 7");
        assert_eq!(
            output(child).await,
            ("out\n".into(), "err\n".into(), Exit::Code(7))
        );
        let child = started("kill -TERM $$");
        assert_eq!(
            output(child).await.2,
            Exit::Signal {
                number: 15,
                core_dumped: false
            }
        );
    }

    #[tokio::test]
    async fn stdin_ends_when_it_is_dropped() {
        let (mut pipes, process) = started("cat; echo end");
        pipes.stdin.write_all(b"hello ").await.unwrap();
        assert_eq!(output((pipes, process)).await.0, "hello end\n");
    }

    #[tokio::test]
    async fn a_missing_directory_becomes_the_root() {
        let child = started_in("pwd", "/no/such/directory");
        assert_eq!(output(child).await.0, "/\n");
    }

    #[tokio::test]
    async fn a_missing_program_is_an_error_at_once() {
        assert!(start(Command::new("/no/such/shell"), Path::new("/"), None).is_err());
        let mut nul = Command::new("/bin/sh");
        nul.arg("-c").arg("echo \0");
        assert_eq!(
            start(nul, Path::new("/"), None).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[tokio::test]
    async fn hanging_up_ends_the_whole_group() {
        let (mut pipes, process) = started("sleep 300 & echo $!; wait");
        let mut line = [0; 32];
        let count = pipes.stdout.read(&mut line).await.unwrap();
        let sleeper: i32 = std::str::from_utf8(&line[..count])
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        process.hang_up(Duration::from_secs(5)).await;
        wait_until_gone(sleeper).await;
    }

    #[tokio::test]
    async fn who_ignores_hup_is_terminated_and_who_ignores_that_is_killed() {
        for script in [
            "trap '' HUP; echo x; while :; do sleep 0.1; done",
            "trap '' HUP TERM; echo x; while :; do sleep 0.1; done",
        ] {
            let (mut pipes, process) = started(script);
            pipes.stdout.read_u8().await.unwrap();
            let begin = Instant::now();
            process.hang_up(Duration::from_millis(50)).await;
            // Otherwise it would never end.
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
    }

    #[tokio::test]
    async fn a_dropped_process_is_ended() {
        let (mut pipes, process) = started("echo $$; exec sleep 300");
        let mut line = [0; 32];
        let count = pipes.stdout.read(&mut line).await.unwrap();
        let pid: i32 = std::str::from_utf8(&line[..count])
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        drop(process);
        wait_until_gone(pid).await;
    }

    async fn wait_until_gone(pid: i32) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(120) {
            // A process that ended but is not reaped yet (by this test's runtime or by init) is as good as gone.
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid} is still there");
    }

    #[test]
    fn signals_have_the_names_of_the_rfc() {
        for (name, signal) in SIGNALS {
            assert_eq!(signal_named(name.as_bytes()), Some(signal));
            assert_eq!(signal_name(signal.as_raw()), name);
        }
        for name in ["", "SIGTERM", "term", "STOP", "INFO@openssh.com", "TERM\0"] {
            assert_eq!(signal_named(name.as_bytes()), None);
        }
        assert_eq!(
            signal_name(Signal::BUS.as_raw()),
            format!("{}@bowline", Signal::BUS.as_raw())
        );
    }
}
