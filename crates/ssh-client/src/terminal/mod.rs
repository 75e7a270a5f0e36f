//! Terminals: what a remote program is given (RFC 4254 §6.2), and the local one a person sits at.
//!
//! ```no_run
//! use ssh_client::{Client, Error, terminal::LocalTerminal};
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let local = LocalTerminal::stdio()?;
//! let mut process = client.shell().terminal(local.describe()?).spawn().await?;
//! let status = process.interact(&local).await?;
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!  LocalTerminal ──describe()──▶ Terminal ──Exec::terminal──▶ pty-req
//!       │ raw()   ──▶ RawMode, restored on drop
//!       │ sizes() ──▶ SizeChanges ──Process::resize──▶ window-change
//!       └ Process::interact: all of it, until the remote program ends
//! ```
//!
//! No setting of the terminal but its modes is changed, and those only while a [`RawMode`] lives: its descriptors stay
//! blocking, because other programs share them. A signal that ends this program from outside runs no destructor: a
//! program that wants its terminal back then catches the signal and drops the future.

mod interact;
mod keyboard;
mod keys;
mod keystrokes;

pub use interact::Typed;
pub(crate) use keyboard::Keyboard;
pub use keystrokes::KeystrokeTiming;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios};
use rustix::termios::{isatty, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::channel::{PtyReq, TerminalModes, WindowChange};
use crate::tokio_driver::terminal as tty;

/// What `TERM` says where the environment does not.
const UNKNOWN_TERM: &str = "dumb";

/// A terminal for a remote program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terminal {
    /// The value of `TERM` for the program.
    pub term: String,
    /// Width in characters.
    pub columns: u32,
    /// Height in rows.
    pub rows: u32,
    /// Width in pixels; 0 where it is not known.
    pub width_pixels: u32,
    /// Height in pixels; 0 where it is not known.
    pub height_pixels: u32,
    /// Its modes; the server has defaults for what is not in the list.
    pub modes: TerminalModes,
}

impl Terminal {
    /// A terminal of this kind and size, with the modes the server likes.
    pub fn new(term: impl Into<String>, columns: u32, rows: u32) -> Self {
        Self {
            term: term.into(),
            columns,
            rows,
            ..Self::default()
        }
    }

    /// Its size.
    pub const fn size(&self) -> WindowChange {
        WindowChange {
            columns: self.columns,
            rows: self.rows,
            width_pixels: self.width_pixels,
            height_pixels: self.height_pixels,
        }
    }
}

impl From<Terminal> for PtyReq {
    fn from(terminal: Terminal) -> Self {
        Self {
            terminal: terminal.term,
            columns: terminal.columns,
            rows: terminal.rows,
            width_pixels: terminal.width_pixels,
            height_pixels: terminal.height_pixels,
            modes: terminal.modes,
        }
    }
}

/// The terminal a person sits at: where keys come from, and where output and errors go.
#[derive(Debug)]
pub struct LocalTerminal {
    input: OwnedFd,
    output: OwnedFd,
    errors: OwnedFd,
    timing: KeystrokeTiming,
}

impl LocalTerminal {
    /// This program's standard streams. Only standard input need be a terminal.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn stdio() -> io::Result<Self> {
        let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
        Self::over(
            input.as_fd().try_clone_to_owned()?,
            output.as_fd().try_clone_to_owned()?,
            errors.as_fd().try_clone_to_owned()?,
        )
    }

    /// The terminal this program was started at, whatever its standard streams are.
    ///
    /// # Errors
    /// There is none: a program started by the system, for instance.
    pub fn controlling() -> io::Result<Self> {
        let tty: OwnedFd = File::options().read(true).write(true).open("/dev/tty")?.into();
        Self::over(tty.try_clone()?, tty.try_clone()?, tty)
    }

    /// Descriptors of your own. Only `input` need be a terminal.
    ///
    /// # Errors
    /// `input` is no terminal.
    pub fn over(input: OwnedFd, output: OwnedFd, errors: OwnedFd) -> io::Result<Self> {
        if !isatty(&input) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is no terminal"));
        }
        Ok(Self {
            input,
            output,
            errors,
            timing: KeystrokeTiming::default(),
        })
    }

    /// The same terminal, whose keys leave at other times than usual (every 20 milliseconds) when it
    /// [interacts](crate::Process::interact) with a program that has a terminal.
    #[must_use]
    pub const fn keystroke_timing(mut self, timing: KeystrokeTiming) -> Self {
        self.timing = timing;
        self
    }

    /// What a remote program is to be given so that it finds the same terminal: `TERM`, the size, the modes. Ask before
    /// [`raw`](Self::raw).
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn describe(&self) -> io::Result<Terminal> {
        let size = self.size()?;
        let term = std::env::var("TERM").ok().filter(|term| !term.is_empty());
        Ok(Terminal {
            term: term.unwrap_or_else(|| UNKNOWN_TERM.to_owned()),
            columns: size.columns,
            rows: size.rows,
            width_pixels: size.width_pixels,
            height_pixels: size.height_pixels,
            modes: self.modes()?,
        })
    }

    /// The size.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn size(&self) -> io::Result<WindowChange> {
        tty::size(&self.input)
    }

    /// The modes.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn modes(&self) -> io::Result<TerminalModes> {
        tty::modes(&self.input)
    }

    /// Hands every key to this program as it is typed, unechoed and without a meaning of its own, until the guard is
    /// dropped.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn raw(&self) -> io::Result<RawMode> {
        let tty = self.input.try_clone()?;
        let before = tcgetattr(&tty)?;
        let mut raw = before.clone();
        make_raw(&mut raw);
        tcsetattr(&tty, OptionalActions::Drain, &raw)?;
        Ok(RawMode { tty, before })
    }

    /// The sizes the terminal will have. Needs tokio's I/O driver.
    ///
    /// # Errors
    /// The system lets nobody listen to `SIGWINCH`, or the terminal is gone.
    pub fn sizes(&self) -> io::Result<SizeChanges> {
        // In this order no change is missed.
        let changes = signal(SignalKind::window_change())?;
        Ok(SizeChanges {
            last: self.size()?,
            tty: self.input.try_clone()?,
            changes,
        })
    }

    /// The terminal itself.
    pub fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

/// A terminal in raw mode. Dropping it gives the terminal the modes it had before.
#[must_use = "the terminal is raw only as long as this lives"]
#[derive(Debug)]
pub struct RawMode {
    tty: OwnedFd,
    before: Termios,
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Not after the output has drained: nobody may be reading it, and a destructor must not wait.
        if let Err(error) = tcsetattr(&self.tty, OptionalActions::Now, &self.before) {
            tracing::debug!(%error, "the terminal keeps its raw modes");
        }
    }
}

/// Keys come one by one and untouched; what is shown is untouched as well.
fn make_raw(termios: &mut Termios) {
    termios.input_modes.remove(
        InputModes::ISTRIP
            | InputModes::INLCR
            | InputModes::IGNCR
            | InputModes::ICRNL
            | InputModes::IXON
            | InputModes::IXANY
            | InputModes::IXOFF,
    );
    #[cfg(target_os = "linux")]
    termios.input_modes.remove(InputModes::IUCLC);
    termios.input_modes.insert(InputModes::IGNPAR);
    termios.output_modes.remove(OutputModes::OPOST);
    termios.local_modes.remove(
        LocalModes::ISIG
            | LocalModes::ICANON
            | LocalModes::ECHO
            | LocalModes::ECHOE
            | LocalModes::ECHOK
            | LocalModes::ECHONL
            | LocalModes::IEXTEN,
    );
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
}

/// The sizes a terminal takes on.
#[derive(Debug)]
pub struct SizeChanges {
    tty: OwnedFd,
    last: WindowChange,
    changes: Signal,
}

impl SizeChanges {
    /// Waits until the terminal has another size than the last one that was told here. `None`: it is gone.
    pub async fn next(&mut self) -> Option<WindowChange> {
        loop {
            self.changes.recv().await?;
            let size = tty::size(&self.tty).ok()?;
            if size != self.last {
                self.last = size.clone();
                return Some(size);
            }
        }
    }
}
