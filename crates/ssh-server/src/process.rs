//! Real programs behind `exec` and `shell` (RFC 4254 §6.5), with a terminal or without. How they are served while they
//! run stands in `crate::attend`.
//!
//! Commands go through the account's login shell, `shell -c command`, byte for byte as the client wrote them. The
//! environment is made from nothing: the account's variables, those the server sets, those of the login, and those the
//! client may set.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use tokio::process::Command;

use crate::account::Account;
use crate::application::Login;
use crate::attend::attend;
use crate::child::{self, Child};
use crate::environment::ClientEnvironment;
use crate::pty::NewPty;
use crate::session::Session;

/// Runs programs as one account, which is the one this process runs as: the user is not changed here.
///
/// Signals that this process ignores, they ignore as well. A server that `nohup` (HUP) or a script's `&` (INT, QUIT) may
/// start catches those, as tokio's `signal` does: else no `^C` and no lost client ends them.
#[derive(Clone, Debug)]
pub struct Programs {
    account: Account,
    variables: Vec<(OsString, OsString)>,
    patience: Duration,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run<'a> {
    /// The login shell, as a login shell.
    Shell,
    /// A command of the login shell.
    Command(&'a [u8]),
}

impl Programs {
    /// Runs programs for `account`, in its home, by its shell.
    pub fn new(account: Account) -> Self {
        Self {
            account,
            variables: Vec::new(),
            patience: Duration::from_secs(5),
        }
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Sets a variable for every program.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// How long a program whose client has gone may take after HUP before it gets TERM, and after that before it gets
    /// KILL. Five seconds unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Starts a program, at `terminal` if there is one; fails at once where there is no shell, no process to be had, or
    /// an argument too long. `extra` are the session's own variables
    /// ([`Session::environment`](crate::Session::environment)).
    pub(crate) fn start(
        &self,
        run: Run<'_>,
        login: &Login,
        client: &ClientEnvironment,
        extra: &[(String, Vec<u8>)],
        original_command: Option<&[u8]>,
        terminal: Option<NewPty>,
    ) -> std::io::Result<Child> {
        let shell = child::base_name(&self.account.shell);
        let mut command = Command::new(&self.account.shell);
        match run {
            Run::Shell => {
                // A shell takes itself for a login shell when its name begins with a dash.
                let mut name = OsString::from("-");
                name.push(shell);
                command.arg0(name);
            }
            Run::Command(line) => {
                command.arg0(shell).arg("-c").arg(OsStr::from_bytes(line));
            }
        }
        command.env_clear();
        // Later ones win: what a client may set never replaces what the server says about the connection.
        for (name, value) in client.variables() {
            command.env(name, OsStr::from_bytes(value));
        }
        self.account_environment(&mut command);
        for (name, value) in &login.permissions.environment {
            command.env(name, OsStr::from_bytes(value));
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        connection_environment(&mut command, login);
        for (name, value) in extra {
            command.env(name, OsStr::from_bytes(value));
        }
        if let Some(original) = original_command {
            command.env("SSH_ORIGINAL_COMMAND", OsStr::from_bytes(original));
        }
        child::start(command, &self.account.home, terminal)
    }

    fn account_environment(&self, command: &mut Command) {
        let account = &self.account;
        command.env("HOME", &account.home).env("SHELL", &account.shell);
        command.env("USER", &account.name).env("LOGNAME", &account.name);
        let inherited = std::env::var_os("PATH").filter(|path| !path.is_empty());
        command.env("PATH", inherited.unwrap_or_else(|| DEFAULT_PATH.into()));
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
    }

    /// Serves a running program over its session's channel until both are over.
    pub(crate) async fn attend(&self, child: Child, session: Session) {
        attend(child, session, self.patience).await;
    }
}

/// The variables by which programs learn where their user comes from.
fn connection_environment(command: &mut Command, login: &Login) {
    if let (Some(remote), Some(local)) = (login.peer.remote(), login.peer.local()) {
        let (from, port) = (remote.ip(), remote.port());
        command.env("SSH_CLIENT", format!("{from} {port} {}", local.port()));
        command.env(
            "SSH_CONNECTION",
            format!("{from} {port} {} {}", local.ip(), local.port()),
        );
    }
}

/// Where programs are looked for when the server itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
