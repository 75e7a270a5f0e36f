//! Ready-made sessions: programs of the system and files, for applications that want what a login server gives.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::channel::PtyReq;
use crate::child::Child;
use crate::environment::{AcceptEnvironment, ClientEnvironment};
use crate::filesystem::Filesystem;
use crate::peer::Printable;
use crate::process::{Programs, Run};
use crate::pty::NewPty;
use crate::session::{Asked, Program, Request, Session, Start};
use crate::sftp_subsystem;
use crate::terminal::Terminal;

/// What a server offers in its sessions. It offers nothing until told to.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use ssh_server::filesystem::Local;
/// use ssh_server::{Account, Programs, Services};
///
/// let account = Account::current()?;
/// let services = Services::new().sftp(Local::new(&account.home)).programs(Programs::new(account));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Services {
    programs: Option<Programs>,
    files: Option<Arc<dyn Filesystem>>,
    subsystems: Vec<(String, Vec<u8>)>,
    accept_environment: AcceptEnvironment,
}

impl Services {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs programs: `exec`, `shell`, forced commands.
    #[must_use]
    pub fn programs(self, programs: Programs) -> Self {
        Self {
            programs: Some(programs),
            ..self
        }
    }

    /// Serves the subsystem `sftp`, and a forced command of the name `internal-sftp`, from `files`.
    #[must_use]
    pub fn sftp(self, files: impl Filesystem) -> Self {
        Self {
            files: Some(Arc::new(files)),
            ..self
        }
    }

    /// Serves the subsystem `name` by a command (`internal-sftp`: by the files of [`sftp`](Self::sftp)). A later one
    /// of the same name counts for nothing.
    #[must_use]
    pub fn subsystem(mut self, name: impl Into<String>, command: impl Into<Vec<u8>>) -> Self {
        self.subsystems.push((name.into(), command.into()));
        self
    }

    /// Which variables clients may set for their programs.
    #[must_use]
    pub fn accept_environment(self, accept_environment: AcceptEnvironment) -> Self {
        Self {
            accept_environment,
            ..self
        }
    }

    /// Serves one session until it is over.
    pub async fn serve(&self, mut session: Session) {
        let mut surroundings = Surroundings::default();
        while let Some(request) = session.next().await {
            match request {
                Request::Environment(asked) => {
                    let variables = &mut surroundings.environment;
                    if variables.set(&self.accept_environment, &asked.what.name, &asked.what.value) {
                        asked.accept();
                    }
                }
                Request::Terminal(asked) if self.programs.is_some() => {
                    surroundings.open_terminal(asked, &session)
                }
                Request::WindowChange(asked) => {
                    if let Some(terminal) = &surroundings.terminal {
                        terminal.resize(&asked.what);
                        asked.accept();
                    }
                }
                Request::Start(start) => {
                    // Refused: the client may ask for something else.
                    if let Some(running) = self.start(start, &session, &mut surroundings) {
                        return Self::attend(running, session).await;
                    }
                }
                // Before there is a program nothing else means anything.
                refused => drop(refused),
            }
        }
    }

    /// Serves a session on from a start that the application has looked at and does not want to serve itself.
    pub async fn serve_start(&self, start: Start, session: Session) {
        match self.start(start, &session, &mut Surroundings::default()) {
            Some(running) => Self::attend(running, session).await,
            None => self.serve(session).await,
        }
    }

    /// The future lives in a place of its own: a session that runs nothing yet should cost next to nothing.
    fn attend<'a>(running: Running<'a>, session: Session) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        match running {
            Running::Program(child, programs) => Box::pin(programs.attend(*child, session)),
            Running::Files(files) => {
                let (client, threads) = (session.login().agreed.quirks, session.threads());
                Box::pin(sftp_subsystem::serve(
                    session.into_channel(),
                    files,
                    threads,
                    client,
                ))
            }
        }
    }

    /// Starts what is asked for and agrees; `None` refuses.
    fn start(&self, start: Start, session: &Session, surroundings: &mut Surroundings) -> Option<Running<'_>> {
        let login = session.login();
        let line = match &start.program {
            Program::Shell => None,
            Program::Command(line) => Some(line.as_slice()),
            Program::Subsystem(name) => Some(self.command_of(name)?),
        };
        let may_be_files = start.is_forced || matches!(start.program, Program::Subsystem(_));
        if may_be_files && line == Some(INTERNAL_SFTP) {
            let files = Arc::clone(self.files.as_ref()?);
            tracing::info!(peer = %login.peer, user = %Printable(login.user.as_bytes()), "sftp");
            start.accept();
            return Some(Running::Files(files));
        }
        let programs = self.programs.as_ref()?;
        let run = line.map_or(Run::Shell, Run::Command);
        let (environment, terminal) = (&surroundings.environment, surroundings.terminal.take());
        let (extra, original) = (session.environment(), start.original_command.as_deref());
        match programs.start(run, login, environment, extra, original, terminal) {
            Ok(child) => {
                let command = line.map(|line| Printable(line).to_string());
                tracing::info!(peer = %login.peer, user = %Printable(login.user.as_bytes()), "program started");
                // People write secrets on command lines: as in OpenSSH, a log has them only where it is asked for all.
                tracing::debug!(?command, "the command of the program");
                start.accept();
                Some(Running::Program(Box::new(child), programs))
            }
            Err(error) => {
                tracing::warn!(peer = %login.peer, %error, "program could not be started");
                None
            }
        }
    }

    /// The command behind a subsystem.
    fn command_of(&self, name: &str) -> Option<&[u8]> {
        let listed = self
            .subsystems
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, command)| command.as_slice());
        listed.or_else(|| (name == "sftp" && self.files.is_some()).then_some(INTERNAL_SFTP))
    }
}

/// What a client has asked for its program before it asked for the program.
#[derive(Default)]
struct Surroundings {
    environment: ClientEnvironment,
    terminal: Option<NewPty>,
}

impl Surroundings {
    /// Gives the session a terminal. It has one at most, and none of a name that no terminal has.
    fn open_terminal(&mut self, asked: Asked<PtyReq>, session: &Session) {
        let Some(wanted) = Terminal::of(&asked.what) else {
            return;
        };
        if self.terminal.is_some() {
            return;
        }
        match NewPty::open(&wanted) {
            Ok(terminal) => {
                self.terminal = Some(terminal);
                asked.accept();
            }
            Err(error) => {
                tracing::warn!(peer = %session.login().peer, %error, "no terminal to be had");
            }
        }
    }
}

/// What a session has become.
enum Running<'a> {
    Program(Box<Child>, &'a Programs),
    Files(Arc<dyn Filesystem>),
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("programs", &self.programs)
            .field("sftp", &self.files.is_some())
            .field("subsystems", &self.subsystems)
            .field("accept_environment", &self.accept_environment)
            .finish()
    }
}

/// The command that stands for the SFTP server inside this process, as in OpenSSH.
const INTERNAL_SFTP: &[u8] = b"internal-sftp";
