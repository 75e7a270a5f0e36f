//! A session once something is to be started in it, for applications that serve it themselves: what was asked for as one
//! value, then streams and events.
//!
//! ```text
//!  Session::process(&Offer) ──▶ Process, with its Invocation
//!     reads are its standard input, writes its standard output, stderr() beside them
//!     next_event() ──▶ Signal, Resized, Break      exit(status), redirect(local program)
//!     split()      ──▶ Streams, for those who read and listen at once
//!  Session::serve_events(&Offer, handler)          the same by calls of a SessionHandler
//! ```

use std::future::{Future, ready};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::process::Command;

use crate::application::Login;
use crate::attend::attend;
use crate::channel::{ChannelRequest, ExitSignal, ExitStatus, WindowChange};
use crate::child;
use crate::environment::{AcceptEnvironment, ClientEnvironment};
use crate::pty::NewPty;
use crate::pump;
use crate::session::{Program, Request, Session};
use crate::terminal::Terminal;
use crate::tokio_driver::{ChannelControl, ChannelReader, ChannelWriter, IncomingRequest, Parts};

/// What an application takes in its sessions. The default takes a terminal, the usual variables and anything to start.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Which variables a client may set.
    pub environment: AcceptEnvironment,
    /// Whether a client may have a terminal: one that the application shows it, unless the session is redirected.
    pub terminal: bool,
    /// Whether a subsystem may be asked for, by name; `None` takes every name.
    pub subsystems: Option<Vec<String>>,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            environment: AcceptEnvironment::default(),
            terminal: true,
            subsystems: None,
        }
    }
}

/// A session in which something has been started: the application is the program.
///
/// Reading and writing are its standard input and output. Dropping it closes the channel without a status.
#[derive(Debug)]
pub struct Process {
    session: Session,
    invocation: Invocation,
}

/// What was asked for, by whom, and what came before it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// What was asked for: the login's forced command if it has one.
    pub program: Program,
    /// What the client asked for when a forced command took its place.
    pub original_command: Option<Vec<u8>>,
    /// The variables the client has set; of a name that occurs twice the later one counts.
    pub environment: Vec<(String, Vec<u8>)>,
    /// The client's terminal, if it has one.
    pub terminal: Option<Terminal>,
    /// Who it is.
    pub login: Arc<Login>,
}

/// What happens to a program beside its input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessEvent {
    /// A signal, its name without `SIG`: whatever the client wrote.
    Signal(String),
    /// The terminal has a new size.
    Resized(WindowChange),
    /// A break, of so many milliseconds.
    Break(u32),
}

/// The parts of a process, for those who read and listen at the same time.
pub struct Streams {
    /// Standard input.
    pub stdin: ChannelReader,
    /// Standard output.
    pub stdout: ChannelWriter,
    /// Standard error.
    pub stderr: ChannelWriter,
    /// What happens beside the input, and the end.
    pub events: ProcessEvents,
}

/// What happens to a process beside its input, and its end.
pub struct ProcessEvents {
    control: ChannelControl,
    has_terminal: bool,
}

impl Session {
    /// Takes the client's requests as `offer` says until something is to be started, and agrees to that. `None`: the
    /// client closed the session first.
    pub async fn process(mut self, offer: &Offer) -> Option<Process> {
        let mut environment = ClientEnvironment::default();
        let mut terminal: Option<Terminal> = None;
        while let Some(request) = self.next().await {
            match request {
                Request::Environment(asked) => {
                    if environment.set(&offer.environment, &asked.what.name, &asked.what.value) {
                        asked.accept();
                    }
                }
                Request::Terminal(asked) if offer.terminal && terminal.is_none() => {
                    terminal = Terminal::of(&asked.what);
                    if terminal.is_some() {
                        asked.accept();
                    }
                }
                Request::WindowChange(asked) => {
                    if let Some(terminal) = &mut terminal {
                        terminal.size = asked.what.clone();
                        asked.accept();
                    }
                }
                Request::Start(start) if offer.takes(&start.program) => {
                    let (program, original_command) = (start.program.clone(), start.original_command.clone());
                    start.accept();
                    let invocation = Invocation {
                        program,
                        original_command,
                        environment: environment.variables().to_vec(),
                        terminal,
                        login: self.shared_login(),
                    };
                    return Some(Process {
                        session: self,
                        invocation,
                    });
                }
                // Before there is a program nothing else means anything.
                refused => drop(refused),
            }
        }
        None
    }

    /// Serves the session by calls of `handler`, one at a time, until it or the client ends it.
    pub async fn serve_events(self, offer: &Offer, mut handler: impl SessionHandler) {
        let Some(process) = self.process(offer).await else {
            return;
        };
        let invocation = process.invocation.clone();
        let Streams {
            mut stdin,
            stdout,
            stderr,
            mut events,
        } = process.split();
        let mut output = Output {
            stdout,
            stderr,
            end: None,
        };
        handler.started(&invocation, &mut output).await;
        let mut is_open = true;
        while output.end.is_none() {
            tokio::select! {
                chunk = stdin.next_chunk(), if is_open => match chunk {
                    Ok(Some(data)) => handler.data(&data, &mut output).await,
                    Ok(None) => {
                        is_open = false;
                        handler.eof(&mut output).await;
                    }
                    Err(_gone) => break,
                },
                event = events.next() => match event {
                    Some(event) => handler.event(event, &mut output).await,
                    None => break,
                },
            }
        }
        match output.end.take() {
            Some(how) => pump::finish(&events.control, how),
            None => handler.lost().await,
        }
    }
}

impl Invocation {
    /// The command, where one was asked for; `None` for a shell and a subsystem.
    pub fn command(&self) -> Option<&[u8]> {
        match &self.program {
            Program::Command(command) => Some(command),
            Program::Shell | Program::Subsystem(_) => None,
        }
    }

    /// The value of a variable the client has set.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let mut latest = self.environment.iter().rev();
        latest
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_slice())
    }
}

impl Offer {
    fn takes(&self, program: &Program) -> bool {
        match (program, &self.subsystems) {
            (Program::Subsystem(name), Some(known)) => known.contains(name),
            _ => true,
        }
    }
}

impl Process {
    /// What was asked for, by whom, and what came before it. The terminal's size in it follows
    /// [`next_event`](Self::next_event).
    pub const fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// A writer to standard error.
    pub fn stderr(&self) -> ChannelWriter {
        self.session.stderr()
    }

    /// What happens next beside the input; `None` when the client is gone. Cancel safe.
    pub async fn next_event(&mut self) -> Option<ProcessEvent> {
        loop {
            let request = self.session.next_request().await?;
            let Some(event) = event_of(request, self.invocation.terminal.is_some()) else {
                continue;
            };
            if let (Some(terminal), ProcessEvent::Resized(size)) = (&mut self.invocation.terminal, &event) {
                terminal.size = size.clone();
            }
            return Some(event);
        }
    }

    /// Everything apart.
    pub fn split(self) -> Streams {
        let has_terminal = self.invocation.terminal.is_some();
        let Parts {
            reader,
            writer,
            stderr_writer,
            control,
            ..
        } = self.session.into_channel().split();
        Streams {
            stdin: reader,
            stdout: writer,
            stderr: stderr_writer,
            events: ProcessEvents {
                control,
                has_terminal,
            },
        }
    }

    /// Ends it as a program ends that returns `status`: everything written so far still arrives.
    pub fn exit(self, status: u32) {
        self.session.exit(status);
    }

    /// Ends it as a program ends that a signal killed; `name` is without `SIG`.
    pub fn exit_by_signal(self, name: &str) {
        self.session.exit_by_signal(name);
    }

    /// Hands the session over to a local program until both are over: with a terminal like the client's if it has one,
    /// with three pipes otherwise. Output, the end of the input, sizes, signals and the exit status go through; the
    /// program ends with the session, after HUP, and where that is not enough after TERM and KILL, `patience` apart.
    ///
    /// What `command` says of its standard streams and its process group counts for nothing; its environment and its
    /// directory are the caller's.
    ///
    /// # Errors
    /// What the system says of a program or a terminal that is not to be had. The session has then ended with status
    /// 127, as a shell's would.
    pub async fn redirect(self, command: Command, patience: Duration) -> io::Result<()> {
        let pty = self.invocation.terminal.as_ref().map(NewPty::open).transpose();
        let directory = command
            .as_std()
            .get_current_dir()
            .unwrap_or(Path::new("."))
            .to_owned();
        match pty.and_then(|pty| child::start(command, &directory, pty)) {
            Ok(child) => {
                attend(child, self.session, patience).await;
                Ok(())
            }
            Err(error) => {
                self.exit(127);
                Err(error)
            }
        }
    }
}

impl ProcessEvents {
    /// What happens next; `None` when the client is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<ProcessEvent> {
        loop {
            let request = self.control.next_request().await?;
            if let Some(event) = event_of(request, self.has_terminal) {
                return Some(event);
            }
        }
    }

    /// Ends the process with `status`: everything written so far still arrives.
    pub fn exit(self, status: u32) {
        pump::finish(&self.control, ExitStatus { status }.into());
    }

    /// Ends it as a program ends that a signal killed; `name` is without `SIG`.
    pub fn exit_by_signal(self, name: &str) {
        pump::finish(&self.control, ExitSignal::new(name).into());
    }
}

/// A request as an event; what means nothing to a running program is refused.
fn event_of(request: IncomingRequest, has_terminal: bool) -> Option<ProcessEvent> {
    let event = match request.request() {
        ChannelRequest::Signal(signal) => ProcessEvent::Signal(signal.name.clone()),
        ChannelRequest::WindowChange(size) if has_terminal => ProcessEvent::Resized(size.clone()),
        ChannelRequest::Break(wanted) if has_terminal => ProcessEvent::Break(wanted.milliseconds),
        _ => return None,
    };
    request.accept();
    Some(event)
}

/// A session served by calls, one at a time and in order. Each may take its time: what the client sends meanwhile waits
/// in its window. All do nothing unless overridden.
pub trait SessionHandler: Send {
    /// Something has been started.
    fn started(&mut self, invocation: &Invocation, output: &mut Output) -> impl Future<Output = ()> + Send {
        let _ = (invocation, output);
        ready(())
    }

    /// The client sent this to standard input.
    fn data(&mut self, data: &[u8], output: &mut Output) -> impl Future<Output = ()> + Send {
        let _ = (data, output);
        ready(())
    }

    /// Nothing more will come on standard input.
    fn eof(&mut self, output: &mut Output) -> impl Future<Output = ()> + Send {
        let _ = output;
        ready(())
    }

    /// A signal, a new size, a break.
    fn event(&mut self, event: ProcessEvent, output: &mut Output) -> impl Future<Output = ()> + Send {
        let _ = (event, output);
        ready(())
    }

    /// The client went away before the handler had ended the session.
    fn lost(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Where a handler writes, and how it ends its session.
pub struct Output {
    stdout: ChannelWriter,
    stderr: ChannelWriter,
    end: Option<ChannelRequest>,
}

impl Output {
    /// Writes to standard output, as fast as the client takes it.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn write(&mut self, data: impl AsRef<[u8]> + Send) -> io::Result<()> {
        self.stdout.write_all(data.as_ref()).await
    }

    /// Writes to standard error.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn write_error(&mut self, data: impl AsRef<[u8]> + Send) -> io::Result<()> {
        self.stderr.write_all(data.as_ref()).await
    }

    /// Ends the session with `status` once the handler's call is over.
    pub fn exit(&mut self, status: u32) {
        self.end = Some(ExitStatus { status }.into());
    }

    /// Ends it as a program ends that a signal killed.
    pub fn exit_by_signal(&mut self, name: &str) {
        self.end = Some(ExitSignal::new(name).into());
    }
}

impl AsyncRead for Process {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_read(cx, into)
    }
}

impl AsyncWrite for Process {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.session).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_shutdown(cx)
    }
}
