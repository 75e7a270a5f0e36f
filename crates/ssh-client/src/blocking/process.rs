//! Remote programs, by calls that wait.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, ReadStream, WriteStream};
use crate::channel::{ChannelRequest, WindowChange};
use crate::error::Error;
use crate::output::{ExitStatus, Output};
use crate::process::{Input, ProcessEvent, RemoteOutput, Sink};
use crate::terminal::{LocalTerminal, Terminal};
use crate::tokio_driver::{ChannelReader, ChannelWriter};

/// A program to be started, and how: [`crate::Exec`].
#[must_use = "nothing runs before `output`, `spawn` or `start`"]
pub struct Exec {
    engine: Arc<Engine>,
    inner: crate::Exec,
}

/// A remote program that runs: [`crate::Process`]. Move its streams to threads to use more than one at the same time.
pub struct Process {
    /// Its standard input. [`WriteStream::shutdown`] ends it.
    pub stdin: WriteStream<ChannelWriter>,
    /// Its standard output.
    pub stdout: ReadStream<ChannelReader>,
    /// Its standard error.
    pub stderr: ReadStream<ChannelReader>,
    /// Signals to it, and its end.
    pub control: ProcessControl,
}

/// Signals to a remote program, what the server says about it, and its end: [`crate::ProcessControl`].
pub struct ProcessControl {
    engine: Arc<Engine>,
    inner: crate::ProcessControl,
}

/// A remote program that runs with streams redirected: [`crate::Job`].
pub struct Job {
    /// Its standard input, if nothing else writes there.
    pub stdin: Option<WriteStream<ChannelWriter>>,
    /// Its standard output, if it goes nowhere else.
    pub stdout: Option<ReadStream<RemoteOutput>>,
    /// Its standard error, if it goes nowhere else.
    pub stderr: Option<ReadStream<RemoteOutput>>,
    engine: Arc<Engine>,
    inner: crate::Job,
}

impl Exec {
    pub(super) fn new(engine: &Arc<Engine>, inner: crate::Exec) -> Self {
        Self {
            engine: Arc::clone(engine),
            inner,
        }
    }

    fn with(self, change: impl FnOnce(crate::Exec) -> crate::Exec) -> Self {
        Self {
            inner: change(self.inner),
            ..self
        }
    }

    /// Sets an environment variable.
    pub fn env(self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.with(|exec| exec.env(name, value))
    }

    /// Gives the program a terminal.
    pub fn terminal(self, terminal: Terminal) -> Self {
        self.with(|exec| exec.terminal(terminal))
    }

    /// The same, but goes on without if the server refuses it.
    pub fn terminal_if_allowed(self, terminal: Terminal) -> Self {
        self.with(|exec| exec.terminal_if_allowed(terminal))
    }

    /// Asks for something else before the program is started.
    pub fn request(self, request: impl Into<ChannelRequest>) -> Self {
        self.with(|exec| exec.request(request))
    }

    /// Where standard input comes from.
    pub fn stdin(self, input: impl Into<Input>) -> Self {
        self.with(|exec| exec.stdin(input))
    }

    /// Where standard output goes.
    pub fn stdout(self, sink: Sink) -> Self {
        self.with(|exec| exec.stdout(sink))
    }

    /// Where standard error goes.
    pub fn stderr(self, sink: Sink) -> Self {
        self.with(|exec| exec.stderr(sink))
    }

    /// Makes a program that does not end with code 0 an error.
    pub fn check(self) -> Self {
        self.with(crate::Exec::check)
    }

    /// How long [`output`](Self::output) may take.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|exec| exec.timeout(limit))
    }

    /// The most bytes of each of standard output and error that [`output`](Self::output) collects.
    pub fn output_limit(self, bytes: usize) -> Self {
        self.with(|exec| exec.output_limit(bytes))
    }

    /// Runs the program to its end: standard input is written while both outputs are read.
    ///
    /// # Errors
    /// Those of [`crate::Exec::output`].
    pub fn output(self) -> Result<Output, Error> {
        let Self { engine, inner } = self;
        engine.run(inner.output())
    }

    /// Starts the program with all three streams in the caller's hands.
    ///
    /// # Errors
    /// Those of [`crate::Exec::spawn`].
    pub fn spawn(self) -> Result<Process, Error> {
        let Self { engine, inner } = self;
        let process = engine.run(inner.spawn())?;
        Ok(Process {
            stdin: WriteStream::new(&engine, process.stdin),
            stdout: ReadStream::new(&engine, process.stdout),
            stderr: ReadStream::new(&engine, process.stderr),
            control: ProcessControl {
                engine,
                inner: process.control,
            },
        })
    }

    /// Starts the program with its redirections at work.
    ///
    /// # Errors
    /// Those of [`crate::Exec::start`].
    pub fn start(self) -> Result<Job, Error> {
        let Self { engine, inner } = self;
        let mut inner = engine.run(inner.start())?;
        Ok(Job {
            stdin: inner.stdin.take().map(|stdin| WriteStream::new(&engine, stdin)),
            stdout: inner.stdout.take().map(|stdout| ReadStream::new(&engine, stdout)),
            stderr: inner.stderr.take().map(|stderr| ReadStream::new(&engine, stderr)),
            engine,
            inner,
        })
    }
}

impl Process {
    /// Waits until the program has ended, and says how. A program that fills its window ends only when somebody reads
    /// what it says: on another thread, meanwhile.
    ///
    /// # Errors
    /// If the connection ended first.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.control.wait()
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        self.control.signal(name)
    }

    /// Joins the remote program and a local terminal until the program ends, as [`crate::Process::interact`].
    ///
    /// # Errors
    /// Those of the same.
    pub fn interact(self, terminal: &LocalTerminal) -> Result<ExitStatus, Error> {
        let ProcessControl { engine, inner } = self.control;
        let mut process = crate::Process {
            stdin: self.stdin.into_async(),
            stdout: self.stdout.into_async(),
            stderr: self.stderr.into_async(),
            control: inner,
        };
        engine.run(process.interact(terminal))
    }
}

impl ProcessControl {
    /// The environment variables the server did not take.
    pub fn refused_env(&self) -> &[Vec<u8>] {
        self.inner.refused_env()
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        self.inner.signal(name)
    }

    /// Tells the program that its terminal has a new size.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn resize(&self, size: WindowChange) -> Result<(), Error> {
        self.inner.resize(size)
    }

    /// Sends a break, and says whether the server could pass it on.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn send_break(&self, length: Duration) -> Result<bool, Error> {
        self.engine.run(self.inner.send_break(length))
    }

    /// What the server says next about the program; `None` when its channel is closed.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn next_event(&mut self) -> Result<Option<ProcessEvent>, Error> {
        self.engine.block_on(self.inner.next_event())
    }

    /// Waits until the program has ended, and says how.
    ///
    /// # Errors
    /// If the connection ended first.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.engine.run(self.inner.wait())
    }

    /// Closes the channel in both directions.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Job {
    /// Waits until the program has ended and everything it said is where it belongs.
    ///
    /// # Errors
    /// Those of [`crate::Job::wait`].
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.engine.run(self.inner.wait())
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Errors
    /// If the program has ended or the connection is over.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        self.inner.control.signal(name)
    }
}
