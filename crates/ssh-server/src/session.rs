//! A session channel (RFC 4254 §6) as the application sees it: typed requests one by one, then streams.
//!
//! ```text
//!  next() ──▶ Environment, Terminal …     answered by accept() or refuse(); dropped is refused
//!         ──▶ Start ──accept──▶ the session is the program's standard input and output
//!         ──▶ Signal, WindowChange …      while it runs
//!  exit(status) ──▶ exit-status, EOF, CLOSE
//! ```
//!
//! What a login may not do never reaches the application: a forced command has already taken the place of what was asked
//! for, a forbidden terminal and a second program are refused.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::application::Login;
use crate::aside::Threads;
use crate::channel::{self, ChannelRequest, Env, ExitSignal, ExitStatus, PtyReq, WindowChange, X11Req};
use crate::pump::{self, Buffers};
use crate::timeouts::Started;
use crate::tokio_driver::{Channel, ChannelWriter, Handle, IncomingRequest};
use crate::visit::Extras;

/// A session that a client has opened. It reads what the client sends to standard input and writes to standard output.
///
/// Dropping it closes the channel.
pub struct Session {
    channel: Channel,
    login: Arc<Login>,
    started: Arc<Started>,
    environment: Vec<(String, Vec<u8>)>,
    extras: Arc<dyn Extras>,
    has_display: bool,
}

/// What a client asks of a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// A variable for the program (§6.4).
    Environment(Asked<Env>),
    /// A terminal for the program (§6.2).
    Terminal(Asked<PtyReq>),
    /// Start a program, a shell or a subsystem (§6.5).
    Start(Start),
    /// A signal for the program, its name without `SIG` (§6.9).
    Signal(Asked<channel::Signal>),
    /// The terminal has a new size (§6.7).
    WindowChange(Asked<WindowChange>),
    /// Anything else this crate can read.
    Other(Asked<ChannelRequest>),
}

/// A request and its answer to come. Dropped without one, it is refused.
pub struct Asked<T> {
    /// What is asked.
    pub what: T,
    reply: IncomingRequest,
}

impl<T> Asked<T> {
    /// Agrees.
    pub fn accept(self) {
        self.reply.accept();
    }

    /// Refuses.
    pub fn refuse(self) {
        self.reply.refuse();
    }
}

/// The request to start something. Dropped without an answer, it is refused, and the client may ask for something else.
pub struct Start {
    /// What to start: the login's forced command if it has one.
    pub program: Program,
    /// What the client asked for when a forced command took its place: the command, the name of the subsystem, or
    /// nothing for a shell.
    pub original_command: Option<Vec<u8>>,
    /// Whether the login's forced command took the place of what the client asked for.
    pub is_forced: bool,
    reply: IncomingRequest,
    started: Arc<Started>,
}

/// What can be started in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The user's shell.
    Shell,
    /// A command, byte for byte as the client wrote it.
    Command(Vec<u8>),
    /// A subsystem, by name.
    Subsystem(String),
}

impl Program {
    /// What the client wrote, if anything.
    fn words(self) -> Option<Vec<u8>> {
        match self {
            Self::Shell => None,
            Self::Command(command) => Some(command),
            Self::Subsystem(name) => Some(name.into_bytes()),
        }
    }
}

impl Start {
    /// Agrees: from now on the session is the program's. No other can be started in it.
    pub fn accept(self) {
        match &self.program {
            Program::Shell => self.started.set("shell"),
            Program::Command(_) => self.started.set("command"),
            Program::Subsystem(name) => self.started.set(&format!("subsystem:{name}")),
        }
        self.reply.accept();
    }

    /// Refuses.
    pub fn refuse(self) {
        self.reply.refuse();
    }
}

impl Session {
    pub(crate) fn new(channel: Channel, login: Arc<Login>, extras: Arc<dyn Extras>) -> Self {
        Self {
            channel,
            login,
            started: Arc::default(),
            environment: Vec::new(),
            extras,
            has_display: false,
        }
    }

    /// Says what was started in the session, even when the session is gone.
    pub(crate) fn started(&self) -> Arc<Started> {
        Arc::clone(&self.started)
    }

    /// Who opened the session.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The variables that lead the session's program to what the server has made for it, as `SSH_AUTH_SOCK` does to a
    /// forwarded agent. They come before whatever else sets a variable of the name.
    pub fn environment(&self) -> &[(String, Vec<u8>)] {
        &self.environment
    }

    /// Adds such a variable, or gives it another value.
    pub fn set_variable(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        let (name, value) = (name.into(), value.into());
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value));
    }

    /// The client's next request, or `None` when the session is closed. Answer each before asking for the next:
    /// answers leave in the order of the requests.
    pub async fn next(&mut self) -> Option<Request> {
        loop {
            let reply = self.channel.next_request().await?;
            match reply.request().clone() {
                // Rare, and in a place of their own: every session waits in here, and would hold room for them.
                ChannelRequest::AuthAgentReq => Box::pin(self.lead_to_agent(reply)).await,
                ChannelRequest::X11Req(wanted) => Box::pin(self.make_display(&wanted, reply)).await,
                _ => {
                    if let Some(request) = self.request(reply) {
                        return Some(request);
                    }
                }
            }
        }
    }

    async fn lead_to_agent(&mut self, reply: IncomingRequest) {
        if let Some(agent) = self.extras.agent().await {
            self.set_variable("SSH_AUTH_SOCK", agent.path().as_os_str().as_encoded_bytes());
            reply.accept();
        }
    }

    async fn make_display(&mut self, wanted: &X11Req, reply: IncomingRequest) {
        // A session has one display.
        if self.has_display {
            return;
        }
        if let Some(display) = self.extras.display(wanted).await {
            self.has_display = true;
            for (name, value) in display.environment() {
                self.set_variable(name, value);
            }
            reply.accept();
        }
    }

    /// A request for the application; `None` if it was refused here.
    fn request(&self, reply: IncomingRequest) -> Option<Request> {
        Some(match reply.request().clone() {
            ChannelRequest::Env(what) => Request::Environment(Asked { what, reply }),
            ChannelRequest::PtyReq(_) if !(self.login.permissions.terminal && self.extras.terminal()) => {
                return None;
            }
            ChannelRequest::PtyReq(what) => Request::Terminal(Asked { what, reply }),
            ChannelRequest::Signal(what) => Request::Signal(Asked { what, reply }),
            ChannelRequest::WindowChange(what) => Request::WindowChange(Asked { what, reply }),
            ChannelRequest::Shell => return self.start(Program::Shell, reply),
            ChannelRequest::Exec(exec) => return self.start(Program::Command(exec.command), reply),
            ChannelRequest::Subsystem(what) => return self.start(Program::Subsystem(what.name), reply),
            what => Request::Other(Asked { what, reply }),
        })
    }

    fn start(&self, asked: Program, reply: IncomingRequest) -> Option<Request> {
        if self.started.is_set() {
            return None;
        }
        let (program, original_command, is_forced) = match &self.login.permissions.forced_command {
            Some(forced) => (Program::Command(forced.clone()), asked.words(), true),
            None => (asked, None, false),
        };
        Some(Request::Start(Start {
            program,
            original_command,
            is_forced,
            reply,
            started: Arc::clone(&self.started),
        }))
    }

    /// The connection itself: what was agreed on, how often keys were changed, channels of any type. It does not end while
    /// such a handle is kept.
    pub fn connection(&self) -> Handle {
        self.channel.connection()
    }

    /// Refuses everything until the client gives up.
    pub async fn refuse_all(mut self) {
        while self.next().await.is_some() {}
    }

    /// What holds the bytes of its connection's streams.
    pub(crate) fn buffers(&self) -> Buffers {
        self.extras.buffers()
    }

    /// Its connection's threads for paths that the client names.
    pub(crate) fn threads(&self) -> Threads {
        self.extras.threads()
    }

    pub(crate) fn shared_login(&self) -> Arc<Login> {
        Arc::clone(&self.login)
    }

    /// The next request as it is, for a session in which something has been started.
    pub(crate) async fn next_request(&mut self) -> Option<IncomingRequest> {
        self.channel.next_request().await
    }

    /// The program's standard error.
    pub fn stderr(&self) -> ChannelWriter {
        self.channel.stderr_writer()
    }

    /// The channel itself, for those who want its parts. From then on its requests come as they are.
    pub fn into_channel(self) -> Channel {
        self.channel
    }

    /// Ends the session as a program ends that returns `status`: everything written so far still arrives.
    pub fn exit(mut self, status: u32) {
        pump::finish(self.channel.control(), ExitStatus { status }.into());
    }

    /// Ends the session as a program ends that a signal killed; `name` is without `SIG`.
    pub fn exit_by_signal(mut self, name: &str) {
        pump::finish(self.channel.control(), ExitSignal::new(name).into());
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("channel", &self.channel)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Asked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asked").field(&self.what).finish()
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("program", &self.program)
            .field("original_command", &self.original_command)
            .field("is_forced", &self.is_forced)
            .finish()
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_read(cx, into)
    }
}

impl AsyncWrite for Session {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.channel).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_shutdown(cx)
    }
}
