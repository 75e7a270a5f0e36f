//! Remote programs: run one and collect what it says, or spawn it and talk to it.
//!
//! ```text
//!  client.run("cmd")  ──▶ Output { stdout, stderr, status }
//!  client.exec("cmd") ──▶ Exec: env, stdin, limits ──output()──▶ Output
//!                                                  └─spawn()──▶ Process { stdin, stdout, stderr }, wait, signal
//! ```
//!
//! Standard output and error share one window (RFC 4254 §5.2): [`Exec::output`] reads both while it writes standard
//! input, so none of the three can hold up another.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::channel::{self, ChannelRequest, ChannelType};
use crate::client::Client;
use crate::error::Error;
use crate::output::{ExitStatus, Output};
use crate::tokio_driver::{ChannelControl, ChannelReader, ChannelWriter, PendingReply};
use crate::wire::bytes::BytesMut;

/// The most bytes of each of standard output and error that [`Exec::output`] collects, unless told otherwise.
pub const DEFAULT_OUTPUT_LIMIT: usize = 1024 * 1024 * 1024;

/// What standard input is read by at once, in bytes.
const INPUT_BYTES: usize = 64 * 1024;

/// A program to be started, and how.
#[must_use = "nothing runs before `output` or `spawn`"]
pub struct Exec {
    client: Client,
    program: Program,
    env: Vec<(Vec<u8>, Vec<u8>)>,
    stdin: Input,
    timeout: Option<Duration>,
    output_limit: usize,
}

enum Program {
    Command(Vec<u8>),
    Shell,
    Subsystem(String),
}

enum Input {
    Bytes(Vec<u8>),
    Reader(Box<dyn AsyncRead + Send + Unpin>),
}

impl Exec {
    fn new(client: &Client, program: Program) -> Self {
        Self {
            client: client.clone(),
            program,
            env: Vec::new(),
            stdin: Input::Bytes(Vec::new()),
            timeout: None,
            output_limit: DEFAULT_OUTPUT_LIMIT,
        }
    }

    /// Sets an environment variable. Servers take only the names their policy allows: see
    /// [`Process::refused_env`].
    pub fn env(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// What [`output`](Self::output) writes to standard input, and then ends it.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// What [`output`](Self::output) copies to standard input until it ends.
    pub fn stdin_from(mut self, reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        self.stdin = Input::Reader(Box::new(reader));
        self
    }

    /// How long [`output`](Self::output) may take. What has come until then is in the error.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The most bytes of each of standard output and error that [`output`](Self::output) collects.
    pub const fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// [`Error::RequestRefused`] if the server will not start it, [`Error::OpenTimeout`] if it does not say within
    /// [`Timeouts::open`](crate::Timeouts::open).
    pub async fn spawn(self) -> Result<Process, Error> {
        let (purpose, start): (String, ChannelRequest) = match self.program {
            Program::Command(command) => (
                "to run the command".to_owned(),
                channel::Exec::new(command).into(),
            ),
            Program::Shell => ("to start a shell".to_owned(), ChannelRequest::Shell),
            Program::Subsystem(name) => (
                format!("the subsystem {name}"),
                channel::Subsystem::new(name).into(),
            ),
        };
        let channel = self.client.open(ChannelType::Session, "a session").await?;
        let parts = channel.split();
        let ask = async |request: ChannelRequest| -> Result<PendingReply, Error> {
            let asked = parts.control.ask(&request).await;
            asked.map_err(|source| self.client.channel_error("start", source))
        };
        // Everything leaves before the first answer is awaited: one round trip for all of it.
        let mut asked = Vec::new();
        for (name, value) in self.env {
            let reply = ask(channel::Env::new(name.clone(), value).into()).await?;
            asked.push((name, reply));
        }
        let started = ask(start).await?;
        let mut refused_env = Vec::new();
        let answers = async {
            for (name, reply) in asked {
                if !reply.answer().await? {
                    refused_env.push(name);
                }
            }
            started.answer().await
        };
        let accepted = self.client.in_time(&purpose, answers).await?;
        if !accepted.map_err(|error| self.client.channel_error("start", error))? {
            return Err(Error::RequestRefused {
                address: self.client.address().clone(),
                request: purpose,
            });
        }
        Ok(Process {
            stdin: parts.writer,
            stdout: parts.reader,
            stderr: parts.stderr_reader,
            control: ProcessControl {
                control: parts.control,
                client: self.client,
                refused_env,
                status: ExitStatus::None,
            },
        })
    }

    /// Runs the program to its end: standard input is written while both outputs are read.
    ///
    /// # Errors
    /// A program that fails is no error: see [`Output::status`].
    pub async fn output(mut self) -> Result<Output, Error> {
        let input = std::mem::replace(&mut self.stdin, Input::Bytes(Vec::new()));
        let (timeout, limit) = (self.timeout, self.output_limit);
        let client = self.client.clone();
        let mut output = Output::default();
        let run = async {
            let process = self.spawn().await?;
            process.collect(input, &mut output, limit).await
        };
        let finished = match timeout {
            None => Some(run.await),
            Some(limit) => tokio::time::timeout(limit, run).await.ok(),
        };
        match finished {
            Some(result) => result.map(|()| output),
            None => Err(Error::RunTimeout {
                address: client.address().clone(),
                limit: timeout.unwrap_or_default(),
                partial: Box::new(output),
            }),
        }
    }
}

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

/// Signals to a remote program, and its end.
pub struct ProcessControl {
    control: ChannelControl,
    client: Client,
    refused_env: Vec<Vec<u8>>,
    status: ExitStatus,
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

    /// Feeds the program, reads both its outputs and waits for its end, all at the same time.
    async fn collect(self, input: Input, output: &mut Output, limit: usize) -> Result<(), Error> {
        let Self {
            stdin,
            stdout,
            stderr,
            mut control,
        } = self;
        let client = control.client.clone();
        let feeding = async {
            // A program need not read its input to the end.
            if let Err(error) = feed(stdin, input).await {
                tracing::debug!(%error, "the program did not take all of its input");
            }
            std::future::pending().await
        };
        let waiting = async {
            output.status = control.wait().await?;
            Ok(())
        };
        let running = async {
            tokio::try_join!(
                gather(&client, stdout, &mut output.stdout, limit),
                gather(&client, stderr, &mut output.stderr, limit),
                waiting,
            )
        };
        tokio::select! {
            // An input that never ends is not waited for once the program has.
            ended = running => ended.map(|_| ()),
            never = feeding => never,
        }
    }
}

impl ProcessControl {
    /// The environment variables the server did not take.
    pub fn refused_env(&self) -> &[Vec<u8>] {
        &self.refused_env
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

    /// Waits until the program has ended and its channel is closed, and says how it ended.
    ///
    /// A program that fills its window with output ends only when somebody reads it: read `stdout` and `stderr`
    /// meanwhile, or use [`Exec::output`]. What lies unread is still there afterwards.
    ///
    /// # Errors
    /// If the connection ended first.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        while let Some(asked) = self.control.next_request().await {
            match asked.request() {
                ChannelRequest::ExitStatus(exit) => self.status = ExitStatus::Code(exit.status),
                ChannelRequest::ExitSignal(signal) => self.status = ExitStatus::Signal(signal.clone()),
                other => tracing::debug!(request = other.name(), "refused"),
            }
        }
        match self.control.lost() {
            Some(source) if self.status == ExitStatus::None => Err(Error::ConnectionLost {
                address: self.client.address().clone(),
                source,
            }),
            _ => Ok(self.status.clone()),
        }
    }
}

async fn feed(mut stdin: ChannelWriter, input: Input) -> std::io::Result<()> {
    match input {
        Input::Bytes(bytes) => stdin.write_all(&bytes).await?,
        Input::Reader(mut reader) => {
            let mut buffer = BytesMut::with_capacity(INPUT_BYTES);
            while reader.read_buf(&mut buffer).await? > 0 {
                stdin.write_all(&buffer).await?;
                buffer.clear();
            }
        }
    }
    stdin.shutdown().await
}

async fn gather(
    client: &Client,
    mut from: ChannelReader,
    into: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Error> {
    let failed = |source| client.channel_error("read the output", source);
    while let Some(chunk) = from.next_chunk().await.map_err(failed)? {
        if into.len().saturating_add(chunk.len()) > limit {
            return Err(Error::OutputTooLong {
                address: client.address().clone(),
                limit,
            });
        }
        into.extend_from_slice(&chunk);
    }
    Ok(())
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
