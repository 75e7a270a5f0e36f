//! Remote programs: run one and collect what it says, or spawn it and talk to it.
//!
//! ```text
//!  client.run("cmd")  ──▶ Output { stdout, stderr, status }
//!  client.exec("cmd") ──▶ Exec: env, terminal, stdin, limits ─┬ output() ─▶ Output
//!                                                             ├ spawn()  ─▶ Process { stdin, stdout, stderr }, wait, signal
//!                                                             └ start()  ─▶ Job: as Process, with streams redirected
//! ```
//!
//! Standard output and error share one window (RFC 4254 §5.2): [`Exec::output`] reads both while it writes standard
//! input, so none of the three can hold up another.

mod exec;
mod redirect;
mod run;

pub use exec::{DEFAULT_OUTPUT_LIMIT, Exec};
pub use redirect::{Input, RemoteOutput, Sink};
pub use run::Job;

use std::time::Duration;

use crate::address::Address;
use crate::channel::{self, Break, ChannelRequest, WindowChange};
use crate::client::Client;
use crate::error::Error;
use crate::output::{ExitStatus, Output};
use crate::tokio_driver::{ChannelControl, ChannelReader, ChannelWriter, Handle};

use exec::Program;

/// A remote program that runs. Take it apart to use its parts in tasks of their own. When the last part is dropped its
/// channel is closed; most servers then end the program.
pub struct Process {
    /// Its standard input. `shutdown` ends it.
    pub stdin: ChannelWriter,
    /// Its standard output.
    pub stdout: ChannelReader,
    /// Its standard error.
    pub stderr: ChannelReader,
    /// Signals to it, and its end.
    pub control: ProcessControl,
}

/// Signals to a remote program, what the server says about it, and its end.
pub struct ProcessControl {
    control: ChannelControl,
    client: Client,
    refused_env: Vec<Vec<u8>>,
    refused_requests: Vec<String>,
    is_terminal_refused: bool,
    /// The size the terminal was asked for with.
    told_size: Option<WindowChange>,
    status: ExitStatus,
}

/// What a server says about a program that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessEvent {
    /// Nobody there reads the program's standard input any more: sending more of it is in vain (OpenSSH `PROTOCOL` §2.1).
    InputUnread,
    /// Whether this side may stop and start the output at the user's keys, or shall leave them to the program
    /// (RFC 4254 §6.8).
    FlowControl {
        /// Whether it may.
        client_can_do: bool,
    },
    /// The program has ended; [`wait`](ProcessControl::wait) says how. Output may still come.
    Ended,
}

impl Process {
    /// See [`ProcessControl::refused_env`].
    pub fn refused_env(&self) -> &[Vec<u8>] {
        self.control.refused_env()
    }

    /// See [`ProcessControl::signal`].
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        self.control.signal(name)
    }

    /// See [`ProcessControl::wait`].
    ///
    /// # Errors
    /// If the connection ended first.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.control.wait().await
    }

    /// See [`ProcessControl::resize`].
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn resize(&self, size: WindowChange) -> Result<(), Error> {
        self.control.resize(size)
    }

    /// See [`ProcessControl::send_break`].
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub async fn send_break(&self, length: Duration) -> Result<bool, Error> {
        self.control.send_break(length).await
    }
}

impl ProcessControl {
    /// The environment variables the server did not take.
    pub fn refused_env(&self) -> &[Vec<u8>] {
        &self.refused_env
    }

    /// The names of the requests of [`Exec::request`] that the server refused.
    pub fn refused_requests(&self) -> &[String] {
        &self.refused_requests
    }

    /// Whether the server refused the terminal of [`Exec::terminal_if_allowed`].
    pub const fn is_terminal_refused(&self) -> bool {
        self.is_terminal_refused
    }

    /// Sends a signal, by its name without `SIG` (see [`signals`](crate::channel::signals)). Whether it arrives is for
    /// the server to decide, and it does not say.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        self.control
            .send_request(&channel::Signal::new(name).into())
            .map_err(|source| self.client.channel_error("signal", source))
    }

    /// Tells the program that its terminal has a new size (RFC 4254 §6.7); the server does not answer.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn resize(&self, size: WindowChange) -> Result<(), Error> {
        self.control
            .send_request(&size.into())
            .map_err(|source| self.client.channel_error("window change", source))
    }

    /// Sends a break, as of a serial line (RFC 4335); a length of zero leaves it to the server. Says whether the server
    /// could pass it on: only programs with a terminal take one.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub async fn send_break(&self, length: Duration) -> Result<bool, Error> {
        let milliseconds = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        let asked = self.control.request(&Break { milliseconds }.into()).await;
        asked.map_err(|source| self.client.channel_error("break", source))
    }

    /// Tells the server that nobody here reads the program's standard output any more: the program's next write there
    /// fails, as that to a broken pipe does (OpenSSH `PROTOCOL` §2.1). Servers other than OpenSSH's may not know the
    /// message.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn output_unread(&self) -> Result<(), Error> {
        self.control
            .send_request(&ChannelRequest::Eow)
            .map_err(|source| self.client.channel_error("end of write", source))
    }

    /// Closes the channel in both directions: what was not read is gone. Most servers then end the program.
    pub fn close(&self) {
        self.control.close();
    }

    /// What the server says next about the program; `None` when its channel is closed. May be dropped: nothing is lost.
    pub async fn next_event(&mut self) -> Option<ProcessEvent> {
        while let Some(asked) = self.control.next_request().await {
            match asked.request() {
                ChannelRequest::ExitStatus(exit) => self.status = ExitStatus::Code(exit.status),
                ChannelRequest::ExitSignal(signal) => self.status = ExitStatus::Signal(signal.clone()),
                ChannelRequest::Eow => return Some(ProcessEvent::InputUnread),
                ChannelRequest::XonXoff(flow) => {
                    return Some(ProcessEvent::FlowControl {
                        client_can_do: flow.client_can_do,
                    });
                }
                other => {
                    tracing::debug!(request = other.name(), "refused");
                    continue;
                }
            }
            return Some(ProcessEvent::Ended);
        }
        None
    }

    /// Waits until the program has ended and its channel is closed, and says how it ended.
    ///
    /// A program that fills its window with output ends only when somebody reads it: read `stdout` and `stderr`
    /// meanwhile, or use [`Exec::output`]. What lies unread is still there afterwards. May be dropped and asked again.
    ///
    /// # Errors
    /// If the connection ended first.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        while let Some(event) = self.next_event().await {
            tracing::trace!(?event, "not waited for");
        }
        match self.control.lost() {
            Some(source) if self.status == ExitStatus::None => Err(Error::ConnectionLost {
                address: self.client.address().clone(),
                source,
            }),
            _ => Ok(self.status.clone()),
        }
    }

    pub(crate) const fn handle(&self) -> &Handle {
        self.client.handle()
    }

    pub(crate) fn address(&self) -> &Address {
        self.client.address()
    }

    /// The size the program's terminal was asked for with; `None` if it has no terminal.
    pub(crate) const fn told_size(&self) -> Option<&WindowChange> {
        self.told_size.as_ref()
    }
}

impl Client {
    /// Runs a command through the user's shell, without input, and collects what it says.
    ///
    /// # Errors
    /// A program that fails is no error: see [`Output::status`].
    pub async fn run(&self, command: impl Into<Vec<u8>>) -> Result<Output, Error> {
        self.exec(command).output().await
    }

    /// A command to be run through the user's shell. Quoting is the caller's business.
    pub fn exec(&self, command: impl Into<Vec<u8>>) -> Exec {
        Exec::new(self, Program::Command(command.into()))
    }

    /// The user's login shell, without a terminal.
    pub fn shell(&self) -> Exec {
        Exec::new(self, Program::Shell)
    }

    /// A subsystem of the server, by name (RFC 4254 §6.5).
    pub fn subsystem(&self, name: impl Into<String>) -> Exec {
        Exec::new(self, Program::Subsystem(name.into()))
    }
}
