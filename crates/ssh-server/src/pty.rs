//! A terminal of this system for a program (RFC 4254 §6.2): the near end, which the server reads and writes, and the far
//! end, which becomes the program's standard streams and its controlling terminal.
//!
//! ```text
//!  NewPty::open ──spawn──▶ the program leads a session of its own, whose terminal this is
//!     Keyboard ──▶  the terminal's own rules (echo, ^C, lines) stand in between
//!     Screen  ◀──   what it shows; at its end when nobody has the far end open any more
//!     Line          its size and modes, breaks, who is in the foreground
//!     all dropped: the system hangs up, SIGHUP to the session
//! ```
//!
//! Making a program the leader of its session has to happen in the child, between fork and exec, where only unsafe code
//! can be. This crate has none: the crate `pty-process` does it (docs/decisions/0009).

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::pin::Pin;
use std::sync::{PoisonError, RwLock};

use pty_process::{OwnedReadPty, OwnedWritePty};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{InputModes, SpecialCodeIndex, tcgetattr, tcgetpgrp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::process::{Child, Command};

use crate::channel::WindowChange;
use crate::terminal::Terminal;
use crate::tokio_driver::terminal;

/// A terminal whose program is still to come.
pub(crate) struct NewPty {
    near: Pty,
    far: pty_process::Pts,
    path: OsString,
    name: String,
}

/// The near end of a terminal. When all three are dropped, it is hung up.
#[derive(Debug)]
pub(crate) struct Pty {
    pub(crate) keyboard: Keyboard,
    pub(crate) screen: Screen,
    pub(crate) line: Line,
}

/// Where keys are typed.
#[derive(Debug)]
pub(crate) struct Keyboard(OwnedWritePty);

/// What the programs show.
#[derive(Debug)]
pub(crate) struct Screen(OwnedReadPty);

/// Everything about the terminal that is no byte.
#[derive(Debug)]
pub(crate) struct Line(OwnedFd);

/// Held for writing while a terminal is opened: `pty-process` asks for its near end first and says afterwards that no
/// program shall inherit it, so none may be started in between. A program with somebody's near end in its hands would
/// keep the terminal from being hung up.
static OPENING: RwLock<()> = RwLock::new(());

/// Runs `spawn`, which starts a program, while no terminal is being opened.
pub(crate) fn spawning<T>(spawn: impl FnOnce() -> T) -> T {
    let _none_opening = OPENING.read().unwrap_or_else(PoisonError::into_inner);
    spawn()
}

impl NewPty {
    /// A terminal like the client's, with its size and its modes.
    pub(crate) fn open(terminal: &Terminal) -> io::Result<Self> {
        let (near, far) = {
            let _alone = OPENING.write().unwrap_or_else(PoisonError::into_inner);
            pty_process::open().map_err(as_io)?
        };
        let line = near.as_fd().try_clone_to_owned()?;
        let path = rustix::pty::ptsname(&line, Vec::new())?;
        terminal::set_modes(&line, &terminal.modes)?;
        terminal::set_size(&line, &terminal.size)?;
        let (screen, keyboard) = near.into_split();
        Ok(Self {
            near: Pty {
                keyboard: Keyboard(keyboard),
                screen: Screen(screen),
                line: Line(line),
            },
            far,
            path: OsString::from_vec(path.into_bytes()),
            name: terminal.name.clone(),
        })
    }

    /// Gives it a new size.
    pub(crate) fn resize(&self, size: &WindowChange) {
        self.near.line.resize(size);
    }

    /// Starts `command` at it, as the leader of a session of its own. `TERM` and `SSH_TTY` are set.
    pub(crate) fn spawn(self, mut command: Command) -> io::Result<(Pty, Child)> {
        if !self.name.is_empty() {
            command.env("TERM", self.name);
        }
        command.env("SSH_TTY", self.path);
        let command = pty_process::Command::from(command);
        let child = spawning(|| command.spawn(self.far)).map_err(as_io)?;
        Ok((self.near, child))
    }
}

impl Keyboard {
    /// Types `keys`, as fast as the terminal takes them.
    pub(crate) async fn write_all(&mut self, keys: &[u8]) -> io::Result<()> {
        self.0.write_all(keys).await
    }
}

impl Screen {
    /// What is shown next, once something is: until then no buffer is held. `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        poll_fn(|cx| Pin::new(&mut self.0).poll_read(cx, &mut ReadBuf::new(&mut []))).await?;
        let mut shown = Vec::with_capacity(SHOWN_BYTES);
        match self.0.read_buf(&mut shown).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(shown)),
            // So the system says that nobody has the far end open.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Line {
    /// Gives the terminal a new size; its programs hear of it by `SIGWINCH`.
    pub(crate) fn resize(&self, size: &WindowChange) {
        if let Err(error) = terminal::set_size(&self.0, size) {
            tracing::debug!(%error, "the terminal keeps its size");
        }
    }

    /// The key that says "no more" to a program that reads lines; `None` where the program has switched it off.
    pub(crate) fn end_of_input(&self) -> Option<u8> {
        let code = tcgetattr(&self.0).ok()?.special_codes[SpecialCodeIndex::VEOF];
        (code != 0).then_some(code)
    }

    /// The processes that a key like ^C would reach.
    pub(crate) fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.0).ok()
    }

    /// What a break on a serial line does (RFC 4335, termios(3)): nothing, an interrupt, or a byte 0 in the input, as
    /// the program has set `IGNBRK` and `BRKINT`. The system itself does nothing of this for a terminal without a line,
    /// and it would double the mark that `PARMRK` asks for, so there is none. A terminal whose input is full loses the
    /// byte, as a line does.
    pub(crate) fn send_break(&self) -> io::Result<()> {
        let modes = tcgetattr(&self.0)?.input_modes;
        if modes.contains(InputModes::IGNBRK) {
            return Ok(());
        }
        if modes.contains(InputModes::BRKINT) {
            if let Some(group) = self.foreground() {
                // It fails only if nobody is there any more.
                let _gone = kill_process_group(group, Signal::INT);
            }
            return Ok(());
        }
        match rustix::io::write(&self.0, b"\0") {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn as_io(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        pty_process::Error::Rustix(error) => error.into(),
        other => io::Error::other(other.to_string()),
    }
}

/// What one look at the screen may bring: the system gives no more than 4 KiB at once.
const SHOWN_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::signal::unix::{SignalKind, signal};

    use super::*;
    use crate::channel::{PtyReq, TerminalModes, opcode};
    use crate::child::{self, Ends, Exit, Process};

    fn request(modes: TerminalModes) -> Terminal {
        Terminal::of(&PtyReq {
            terminal: "vt100".to_owned(),
            columns: 80,
            rows: 24,
            width_pixels: 0,
            height_pixels: 0,
            modes,
        })
        .unwrap()
    }

    fn started(script: &str, terminal: &Terminal) -> (Pty, Process) {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        let pty = NewPty::open(terminal).unwrap();
        let child = child::start(command, Path::new("/"), Some(pty)).unwrap();
        match child.ends {
            Ends::Terminal(pty) => (pty, child.process),
            Ends::Pipes(_) => panic!("pipes"),
        }
    }

    /// Reads until `end` is shown, or everything.
    async fn shown(pty: &mut Pty, end: &str) -> String {
        let mut all = String::new();
        loop {
            let more = tokio::time::timeout(Duration::from_secs(120), pty.screen.next()).await;
            match more.unwrap_or_else(|_| panic!("no {end:?}: {all:?}")).unwrap() {
                Some(more) => all += std::str::from_utf8(&more).unwrap(),
                None => return all,
            }
            if !end.is_empty() && all.contains(end) {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn a_program_leads_a_session_at_its_terminal() {
        let modes = TerminalModes::new([(opcode::ECHO, 0), (opcode::VINTR, 7)]);
        let script = "tty; echo $SSH_TTY $TERM; stty -a; stty size; ps -o pid=,sid=,tpgid= -p $$; exit 3";
        let (mut pty, mut process) = started(script, &request(modes));
        let all = shown(&mut pty, "").await;
        let mut lines = all.lines();
        let tty = lines.next().unwrap();
        assert!(tty.starts_with("/dev/pts/"), "{all}");
        assert_eq!(lines.next().unwrap(), format!("{tty} vt100"));
        assert!(
            all.contains("intr = ^G") && all.contains(" -echo ") && all.contains("24 80"),
            "{all}"
        );
        let numbers: Vec<&str> = lines.next_back().unwrap().split_whitespace().collect();
        assert!(
            numbers.len() == 3 && numbers.iter().all(|each| *each == numbers[0]),
            "{all}"
        );
        assert_eq!(process.exit().await.unwrap(), Exit::Code(3));
    }

    #[tokio::test]
    async fn keys_reach_the_program_and_an_end_too() {
        let script = "read line; echo got $line; read line || echo end";
        let (mut pty, _process) = started(script, &request(TerminalModes::default()));
        pty.keyboard.write_all(b"hello\r").await.unwrap();
        let _ = shown(&mut pty, "got hello").await;
        let end = pty.line.end_of_input().unwrap();
        pty.keyboard.write_all(&[end]).await.unwrap();
        assert!(shown(&mut pty, "").await.contains("end"));
    }

    #[tokio::test]
    async fn a_new_size_is_told_by_a_signal() {
        let script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done";
        let (mut pty, _process) = started(script, &request(TerminalModes::default()));
        let _ = shown(&mut pty, "ready").await;
        pty.line.resize(&WindowChange::new(100, 30));
        assert!(shown(&mut pty, "").await.contains("30 100"));
    }

    #[tokio::test]
    async fn a_break_is_what_the_program_made_of_it() {
        let read = "dd bs=1 count=3 2>/dev/null | od -An -tx1";
        let wait = "while :; do sleep 0.02; done";
        for (set, then, keys, expected) in [
            ("brkint -ignbrk", wait, "", "interrupted"),
            ("-brkint ignbrk", read, "abc", "61 62 63"),
            ("-brkint -ignbrk", read, "ab", "00 61 62"),
        ] {
            let script =
                format!("trap 'echo interrupted; exit' INT; stty raw -echo isig {set}; echo ready; {then}");
            let (mut pty, _process) = started(&script, &request(TerminalModes::default()));
            let _ = shown(&mut pty, "ready").await;
            pty.line.send_break().unwrap();
            pty.keyboard.write_all(keys.as_bytes()).await.unwrap();
            let shown = shown(&mut pty, "").await;
            assert!(shown.contains(expected), "{set}: {shown:?}");
        }
    }

    #[tokio::test]
    async fn a_terminal_that_is_dropped_ends_its_session() {
        let _not_ignored = signal(SignalKind::hangup()).unwrap();
        let (mut pty, mut process) =
            started("echo ready; exec sleep 300", &request(TerminalModes::default()));
        let _ = shown(&mut pty, "ready").await;
        drop(pty);
        let exit = tokio::time::timeout(Duration::from_secs(120), process.exit()).await;
        let hung_up = Exit::Signal {
            number: Signal::HUP.as_raw(),
            core_dumped: false,
        };
        assert_eq!(exit.unwrap().unwrap(), hung_up);
    }

    #[tokio::test]
    async fn no_program_inherits_somebody_s_near_end() {
        let (pty, _process) = started("sleep 300", &request(TerminalModes::default()));
        let (mut other, _its_process) = started("ls -l /proc/$$/fd", &request(TerminalModes::default()));
        let listed = shown(&mut other, "").await;
        assert!(!listed.contains("ptmx"), "{listed}");
        drop(pty);
    }
}
