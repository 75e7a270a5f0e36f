//! A program to be started: what it gets, and how it is run.

use std::time::Duration;

use tokio::io::AsyncRead;

use super::redirect::{Input, Sink};
use super::run::Redirections;
use super::{Process, ProcessControl};
use crate::channel::{self, ChannelRequest, ChannelType, PtyReq};
use crate::client::Client;
use crate::error::Error;
use crate::forward::X11Request;
use crate::output::ExitStatus;
use crate::terminal::Terminal;
use crate::tokio_driver::{ChannelControl, ChannelError, Parts, PendingReply};

/// The most bytes of each of standard output and error that [`Exec::output`] collects, unless told otherwise.
pub const DEFAULT_OUTPUT_LIMIT: usize = 1024 * 1024 * 1024;

/// A program to be started, and how.
#[must_use = "nothing runs before `output` or `spawn`"]
pub struct Exec {
    pub(super) client: Client,
    program: Program,
    env: Vec<(Vec<u8>, Vec<u8>)>,
    requests: Vec<ChannelRequest>,
    displays: Vec<X11Request>,
    terminal: Option<Asked>,
    pub(super) redirections: Redirections,
    pub(super) check: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) output_limit: usize,
}

/// A terminal, and whether the program is to run without it if it has to.
struct Asked {
    terminal: Terminal,
    is_optional: bool,
}

pub(super) enum Program {
    Command(Vec<u8>),
    Shell,
    Subsystem(String),
}

impl Exec {
    pub(super) fn new(client: &Client, program: Program) -> Self {
        Self {
            client: client.clone(),
            program,
            env: Vec::new(),
            requests: Vec::new(),
            displays: Vec::new(),
            terminal: None,
            redirections: Redirections::none(),
            check: false,
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

    /// Gives the program a terminal: its standard error then comes as standard output, and its input has line editing
    /// and echo. The program is not started if the server refuses it.
    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(Asked {
            terminal,
            is_optional: false,
        });
        self
    }

    /// The same, but if the server refuses the terminal the program is started without:
    /// see [`ProcessControl::is_terminal_refused`].
    pub fn terminal_if_allowed(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(Asked {
            terminal,
            is_optional: true,
        });
        self
    }

    /// Asks for something else on the session's channel before the program is started. If the server refuses, it is
    /// started all the same: see [`ProcessControl::refused_requests`].
    pub fn request(mut self, request: impl Into<ChannelRequest>) -> Self {
        self.requests.push(request.into());
        self
    }

    /// Asks for a display, with a cookie that is good as long as the session is: see
    /// [`X11Forward::request`](crate::X11Forward::request). If the server refuses, the program is started all the same,
    /// and [`ProcessControl::refused_requests`] has `x11-req`.
    pub fn x11(mut self, display: X11Request) -> Self {
        self.displays.push(display);
        self
    }

    /// Where standard input comes from: bytes, or any other [`Input`]. Nothing, unless set.
    pub fn stdin(mut self, input: impl Into<Input>) -> Self {
        self.redirections.stdin = input.into();
        self
    }

    /// Copies a reader to standard input until it ends.
    pub fn stdin_from(self, reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        self.stdin(Input::reader(reader))
    }

    /// Where standard output goes. [`output`](Self::output) collects it, unless set.
    pub fn stdout(mut self, sink: Sink) -> Self {
        self.redirections.stdout = sink;
        self
    }

    /// Where standard error goes. [`output`](Self::output) collects it, unless set.
    pub fn stderr(mut self, sink: Sink) -> Self {
        self.redirections.stderr = sink;
        self
    }

    /// Makes a program that does not end with code 0 an error: [`Error::CommandFailed`].
    pub const fn check(mut self) -> Self {
        self.check = true;
        self
    }

    /// How long [`output`](Self::output) may take. What has come until then is in the error; the program is told to
    /// end.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The most bytes of each of standard output and error that [`output`](Self::output) collects.
    pub const fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Starts the program with all three streams in the caller's hands; [`start`](Self::start) is for redirected ones.
    ///
    /// # Errors
    /// [`Error::RequestRefused`] if the server will not start it, or give it the terminal it needs;
    /// [`Error::OpenTimeout`] if it does not say within [`Timeouts::open`](crate::Timeouts::open);
    /// [`Error::Redirected`] if one of its streams does not belong to the [`Process`].
    pub async fn spawn(self) -> Result<Process, Error> {
        if let Some(stream) = self.redirections.first() {
            let address = self.client.address().clone();
            return Err(Error::Redirected { address, stream });
        }
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
        let client = self.client;
        let channel = client.open(ChannelType::Session, "a session").await?;
        let bound = self
            .displays
            .into_iter()
            .map(|display| display.bound_to(channel.watch()));
        let requests = bound.chain(self.requests).collect();
        let Parts {
            reader,
            stderr_reader,
            writer,
            control,
            ..
        } = channel.split();
        let asking = Asking {
            control: &control,
            client: &client,
        };
        let told_size = self.terminal.as_ref().map(|asked| asked.terminal.size());
        let prepared = asking.prepare(requests, self.terminal, self.env).await?;
        let started = asking.ask(&start).await?;
        let answers = async {
            let refused = prepared.answers().await?;
            Ok((refused, started.answer().await?))
        };
        let answers: Result<_, ChannelError> = client.in_time(&purpose, answers).await?;
        let (refused, accepted) = answers.map_err(|error| client.channel_error("start", error))?;
        if !accepted {
            return Err(Error::RequestRefused {
                address: client.address().clone(),
                request: purpose,
            });
        }
        Ok(Process {
            stdin: writer,
            stdout: reader,
            stderr: stderr_reader,
            control: ProcessControl {
                control,
                client,
                refused_env: refused.env,
                refused_requests: refused.requests,
                is_terminal_refused: refused.terminal,
                told_size: told_size.filter(|_| !refused.terminal),
                status: ExitStatus::None,
            },
        })
    }
}

/// A session's channel before its program is started.
struct Asking<'a> {
    control: &'a ChannelControl,
    client: &'a Client,
}

/// What has been asked for and is to be answered.
struct Prepared {
    requests: Vec<(String, PendingReply)>,
    terminal: Option<PendingReply>,
    env: Vec<(Vec<u8>, PendingReply)>,
}

/// What the server did not grant.
struct Refused {
    requests: Vec<String>,
    terminal: bool,
    env: Vec<Vec<u8>>,
}

impl Asking<'_> {
    async fn ask(&self, request: &ChannelRequest) -> Result<PendingReply, Error> {
        let asked = self.control.ask(request).await;
        asked.map_err(|source| self.client.channel_error("start", source))
    }

    /// Everything leaves before the first answer is awaited, one round trip for all of it; only a terminal that the
    /// program needs is waited for, so that the program never runs without.
    async fn prepare(
        &self,
        requests: Vec<ChannelRequest>,
        terminal: Option<Asked>,
        env: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Prepared, Error> {
        let mut prepared = Prepared {
            requests: Vec::new(),
            terminal: None,
            env: Vec::new(),
        };
        for request in requests {
            let reply = self.ask(&request).await?;
            prepared.requests.push((request.name().to_owned(), reply));
        }
        if let Some(asked) = terminal {
            let reply = self.ask(&PtyReq::from(asked.terminal).into()).await?;
            if asked.is_optional {
                prepared.terminal = Some(reply);
            } else {
                self.need_terminal(reply).await?;
            }
        }
        for (name, value) in env {
            let reply = self.ask(&channel::Env::new(name.clone(), value).into()).await?;
            prepared.env.push((name, reply));
        }
        Ok(prepared)
    }

    async fn need_terminal(&self, reply: PendingReply) -> Result<(), Error> {
        let answer = self.client.in_time("a terminal", reply.answer()).await?;
        if answer.map_err(|source| self.client.channel_error("start", source))? {
            return Ok(());
        }
        Err(Error::RequestRefused {
            address: self.client.address().clone(),
            request: "a terminal".to_owned(),
        })
    }
}

impl Prepared {
    async fn answers(self) -> Result<Refused, ChannelError> {
        let mut refused = Refused {
            requests: Vec::new(),
            terminal: false,
            env: Vec::new(),
        };
        for (name, reply) in self.requests {
            if !reply.answer().await? {
                refused.requests.push(name);
            }
        }
        if let Some(reply) = self.terminal {
            refused.terminal = !reply.answer().await?;
        }
        for (name, reply) in self.env {
            if !reply.answer().await? {
                refused.env.push(name);
            }
        }
        Ok(refused)
    }
}
