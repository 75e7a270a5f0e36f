//! `bowline ssh`: a command, a shell or a subsystem on a host, with this program's standard streams: ssh(1).
//!
//! ```text
//!  arguments ──▶ Plan ──connects──▶ Client ┬─▶ stdio_forward   -W: our streams lead to a place behind the server
//!                  │                       ├─▶ nothing (-N)    until the connection or a signal ends it
//!                  └─ background: -f       └─▶ session         a program with our streams, its status ours
//! ```

mod arguments;
mod background;
mod command_line;
mod environment;
mod escapes;
mod forwards;
mod guests;
mod interactive;
mod piped;
mod query;
mod session;
mod stdio_forward;
mod tunnel;

use std::ffi::OsString;
use std::io::{IsTerminal, stdin};
use std::process::ExitCode;

use ssh_client::channel::{GlobalRequest, NO_MORE_SESSIONS};
use ssh_client::config_file::{Options, SessionType};
use ssh_client::terminal::LocalTerminal;
use ssh_client::{Client, Process};

use self::arguments::{Arguments, Wanted};
use self::forwards::Forwards;
use self::guests::Guests;
use self::interactive::{Ending, Interaction};
use self::session::{Outputs, Tty};
use crate::client::{Plan, plan};
use crate::signals::Signals;
use crate::terminal::{complain, harmless, print, print_error, stop_asking};

/// The exit status for this program's own failures, as in ssh(1).
const FAILED: u8 = 255;

pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let done = arguments::parse(words.clone()).and_then(|wanted| match wanted {
        Wanted::Query(question) => {
            print(&query::answer(&question)?);
            Ok(0)
        }
        Wanted::Login(arguments) => login(*arguments, &words),
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            complain(&problem);
            ExitCode::from(FAILED)
        }
    }
}

fn login(arguments: Arguments, words: &[OsString]) -> Result<u8, String> {
    let Arguments {
        common,
        destination,
        command,
        stdio_forward,
    } = arguments;
    let loud = common.verbose > 0;
    let plan = plan(common, &destination)?;
    check(&plan.options, &command)?;
    let is_copy = background::is_copy();
    if plan.options.fork_after_authentication == Some(true) && !is_copy {
        return background::go(words);
    }
    let work = Work {
        plan,
        command,
        lets_go: is_copy.then_some(loud),
    };
    let runtime = crate::runtime()?;
    let done = runtime.block_on(async {
        let mut signals = Signals::watch()?;
        tokio::select! {
            done = async {
                match &stdio_forward {
                    Some(target) => work.forward_stdio(target).await,
                    None => work.run().await,
                }
            } => done,
            signal = signals.next() => {
                tracing::info!("Killed by signal {}.", signal.as_raw_value());
                Ok(FAILED)
            }
        }
    });
    // A thread that waits for an answer, for a name's address or for a reader of our output cannot be woken: it is left
    // behind.
    stop_asking();
    runtime.shutdown_background();
    done
}

/// What does not go together.
fn check(options: &Options, command: &[u8]) -> Result<(), String> {
    let has_session = options.session_type != Some(SessionType::None);
    if options.fork_after_authentication == Some(true) && command.is_empty() && has_session {
        return Err("Cannot fork into background without a command to execute.".to_owned());
    }
    if options.session_type == Some(SessionType::Subsystem) && command.is_empty() {
        return Err("You must specify a subsystem to invoke.".to_owned());
    }
    tunnel::check(options)
}

/// What is to be done with a connection.
struct Work {
    plan: Plan,
    command: Vec<u8>,
    /// This process goes into the background when it works, and whether its messages stay on standard error.
    lets_go: Option<bool>,
}

impl Work {
    async fn run(&self) -> Result<u8, String> {
        let Self { plan, command, .. } = self;
        let tty = session::tty(&plan.options, !command.is_empty(), stdin().is_terminal());
        if tty == Tty::NotHere && !plan.is_quiet() {
            complain("Pseudo-terminal will not be allocated because stdin is not a terminal.");
        }
        let null_input = plan.options.stdin_null == Some(true) || self.lets_go.is_some();
        let client = plan.connect().await?;
        let mut forwards = Forwards::start(plan, &client, false).await?;
        if plan.options.session_type == Some(SessionType::None) {
            no_more_sessions(&client);
            self.let_go()?;
            let why = client.closed().await;
            return Err(harmless(&format!("{}: {why}", client.address())));
        }
        let terminal = LocalTerminal::stdio()
            .ok()
            .filter(|_| tty == Tty::Yes && !null_input)
            .map(|terminal| {
                terminal.keystroke_timing(plan.options.obscure_keystroke_timing.unwrap_or_default())
            });
        let wanted = (tty == Tty::Yes).then(|| session::terminal(&plan.options, terminal.as_ref()));
        let guests = Guests::invite(plan, &client).await?;
        let process = session::start(plan, &client, command, wanted.transpose()?, &guests).await?;
        no_more_sessions(&client);
        let seat = match &terminal {
            Some(terminal) => Seat::Terminal(terminal),
            None => Seat::Pipes(Outputs::take()?, null_input),
        };
        self.let_go()?;
        let outputs = match seat {
            Seat::Pipes(outputs, _) if tty != Tty::Yes || process.control.is_terminal_refused() => outputs,
            seat => {
                return self.interact(&client, seat, &mut forwards, guests, process).await;
            }
        };
        let status = session::attend(process, outputs, null_input, knows_openssh(&client)).await?;
        forwards.drain().await;
        guests.drain().await;
        client.disconnect().await;
        Ok(session::exit_code(&status, plan.is_quiet()))
    }

    /// With a terminal there, and a person at ours or a program in a person's place.
    async fn interact(
        &self,
        client: &Client,
        seat: Seat<'_>,
        forwards: &mut Forwards,
        guests: Guests,
        process: Process,
    ) -> Result<u8, String> {
        let plan = &self.plan;
        let mut interaction = Interaction {
            plan,
            client,
            forwards,
        };
        let ending = match seat {
            Seat::Terminal(terminal) => interaction.run(terminal, process).await?,
            Seat::Pipes(outputs, null_input) => interaction.run_piped(process, outputs, null_input).await?,
        };
        if matches!(ending, Ending::Program(_)) {
            forwards.drain().await;
            guests.drain().await;
        }
        client.disconnect().await;
        if !plan.is_quiet() {
            print_error(&format!("Connection to {} closed.\r\n", plan.host()));
        }
        Ok(match ending {
            Ending::Program(status) => session::exit_code(&status, plan.is_quiet()),
            Ending::Disconnected => FAILED,
        })
    }

    async fn forward_stdio(&self, target: &ssh_client::config_file::ForwardListen) -> Result<u8, String> {
        let client = self.plan.connect().await?;
        let _forwards = Forwards::start(&self.plan, &client, true).await?;
        let channel = stdio_forward::open(&client, target).await?;
        no_more_sessions(&client);
        let out = stdio_forward::output()?;
        let null_input = self.lets_go.is_some();
        self.let_go()?;
        stdio_forward::relay(channel, out, null_input).await?;
        client.disconnect().await;
        Ok(0)
    }

    /// Into the background, if that was asked for: everything is ready.
    fn let_go(&self) -> Result<(), String> {
        self.lets_go.map_or(Ok(()), background::let_go)
    }
}

/// Who uses a remote terminal.
enum Seat<'a> {
    /// Whoever sits at ours.
    Terminal(&'a LocalTerminal),
    /// Nobody: our standard streams are something else, and whether their input counts as empty.
    Pipes(Outputs, bool),
}

/// Whether the server heeds the messages of OpenSSH's that nothing announces: those that stumble over unknown ones get
/// none.
fn knows_openssh(client: &Client) -> bool {
    let software = client.server_identification();
    ["OpenSSH", "Bowline"].iter().any(|name| software.contains(name))
}

/// Tells servers that know the request that whoever takes this connection over gets no further session with it.
fn no_more_sessions(client: &Client) {
    if !knows_openssh(client) {
        return;
    }
    if let Err(error) = client
        .handle()
        .send_global_request(&GlobalRequest::NoMoreSessions)
    {
        tracing::debug!(%error, "{NO_MORE_SESSIONS} was not sent");
    }
}
