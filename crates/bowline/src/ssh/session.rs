//! The remote program: what is started, whether it gets a terminal, and our standard streams on its own.

use std::io::{stderr, stdin, stdout};

use ssh_client::config_file::{Options, RequestTty, SessionType};
use ssh_client::terminal::{LocalTerminal, Terminal};
use ssh_client::{Client, ExitStatus, Process};

use tokio::sync::oneshot;

use super::FAILED;
use super::environment;
use super::guests::Guests;
use crate::client::Plan;
use crate::stdio::{Out, drain, end, pump_in};
use crate::terminal::{complain, harmless, harmless_name};

/// Whether the remote program gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tty {
    /// None was asked for.
    No,
    /// One was, and our standard input is none.
    NotHere,
    /// It does.
    Yes,
}

/// Decides it as ssh(1) does: a shell gets one unless told otherwise, a command only if told so.
pub(super) fn tty(options: &Options, has_command: bool, stdin_is_terminal: bool) -> Tty {
    let request = options.request_tty.unwrap_or_default();
    let wanted = match request {
        RequestTty::No => false,
        RequestTty::Yes | RequestTty::Force => true,
        RequestTty::Auto => !has_command,
    };
    let has_session = options.session_type != Some(SessionType::None);
    let here = stdin_is_terminal && options.stdin_null != Some(true);
    match (wanted && has_session, here || request == RequestTty::Force) {
        (false, _) => Tty::No,
        (true, false) => Tty::NotHere,
        (true, true) => Tty::Yes,
    }
}

/// Starts the program, with a terminal like ours if it is to have one.
pub(super) async fn start(
    plan: &Plan,
    client: &Client,
    command: &[u8],
    terminal: Option<Terminal>,
    guests: &Guests,
) -> Result<Process, String> {
    let tell = |error: ssh_client::Error| harmless(&error.to_string());
    let mut wanted = match (plan.options.session_type, command.is_empty()) {
        (Some(SessionType::Subsystem), _) => client.subsystem(String::from_utf8_lossy(command).into_owned()),
        (_, true) => client.shell(),
        (_, false) => client.exec(command),
    };
    for (name, value) in environment::to_send(&plan.options, std::env::vars_os()) {
        wanted = wanted.env(name, value);
    }
    wanted = guests.asked_by(wanted)?;
    if let Some(terminal) = terminal {
        wanted = wanted.terminal_if_allowed(terminal);
    }
    let process = wanted.spawn().await.map_err(tell)?;
    if process.control.is_terminal_refused() {
        complain("PTY allocation request failed on channel 0");
    }
    Guests::tell_refused(&process);
    for name in process.refused_env() {
        tracing::debug!("the server did not take the variable {}", harmless_name(name));
    }
    Ok(process)
}

/// The terminal the remote program is given: like ours, or, where ours is none and one is wanted all the same, of no size.
/// `SetEnv` may name its kind.
pub(super) fn terminal(options: &Options, local: Option<&LocalTerminal>) -> Result<Terminal, String> {
    let mut terminal = match local {
        Some(local) => local
            .describe()
            .map_err(|error| format!("the terminal: {error}"))?,
        None => Terminal::new(std::env::var("TERM").unwrap_or_default(), 0, 0),
    };
    let set = options
        .set_env
        .iter()
        .find(|(name, value)| name == "TERM" && !value.is_empty());
    if let Some((_, term)) = set {
        terminal.term.clone_from(term);
    }
    Ok(terminal)
}

/// Our output streams, taken before anything may put others in their place.
pub(super) struct Outputs {
    out: Out,
    err: Out,
}

impl Outputs {
    pub(super) fn take() -> Result<Self, String> {
        Ok(Self {
            out: Out::start(stdout()).map_err(|error| format!("stdout: {error}"))?,
            err: Out::start(stderr()).map_err(|error| format!("stderr: {error}"))?,
        })
    }

    pub(super) fn parts(self) -> (Out, Out) {
        (self.out, self.err)
    }
}

/// Connects the remote program's streams with ours until it has ended and all it said is written. A server that
/// `knows_openssh`'s messages can tell it that nobody reads its output any more.
pub(super) async fn attend(
    process: Process,
    outputs: Outputs,
    null_input: bool,
    knows_openssh: bool,
) -> Result<ExitStatus, String> {
    let Process {
        stdin: remote_in,
        stdout: remote_out,
        stderr: remote_err,
        mut control,
        ..
    } = process;
    let (unread, is_unread) = oneshot::channel();
    let output = async {
        let written = drain(remote_out, outputs.out).await;
        if written.is_err() {
            let _over_already = unread.send(());
        }
        written
    };
    let errors = drain(remote_err, outputs.err);
    let input = async move {
        if null_input {
            return end(remote_in).await;
        }
        pump_in(stdin(), remote_in).await
    };
    let input = tokio::spawn(input);
    let ended = async {
        tokio::select! {
            status = control.wait() => return status,
            Ok(()) = is_unread => {}
        }
        // As at the end of a pipe here; a server that does not know the message may let the program run for ever.
        if knows_openssh {
            control.output_unread()?;
        } else {
            control.close();
        }
        control.wait().await
    };
    let ended = async { ended.await.map_err(|error| harmless(&error.to_string())) };
    let (status, output, errors) = tokio::join!(ended, output, errors);
    // What a terminal still types belongs to nobody once the program has ended.
    input.abort();
    output.map_err(|error| format!("writing to standard output: {error}"))?;
    errors.map_err(|error| format!("writing to standard error: {error}"))?;
    status
}

/// The remote program's own status, as far as a status of this system can say it.
pub(super) fn exit_code(status: &ExitStatus, quiet: bool) -> u8 {
    match status {
        ExitStatus::Code(code) => u8::try_from(code & 0xff).unwrap_or(FAILED),
        ExitStatus::Signal(signal) => {
            if !quiet {
                complain(&harmless(&format!(
                    "the remote program was ended by SIG{}",
                    signal.name
                )));
            }
            FAILED
        }
        ExitStatus::None => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_asked_for_as_ssh_does() {
        use RequestTty::{Auto, Force, No, Yes};
        for (request, has_command, is_terminal, expected) in [
            (None, false, true, Tty::Yes),
            (None, true, true, Tty::No),
            (None, false, false, Tty::NotHere),
            (None, true, false, Tty::No),
            (Some(Auto), false, true, Tty::Yes),
            (Some(Yes), true, true, Tty::Yes),
            (Some(Yes), true, false, Tty::NotHere),
            (Some(Force), true, false, Tty::Yes),
            (Some(No), false, true, Tty::No),
        ] {
            let mut options = Options {
                request_tty: request,
                ..Options::default()
            };
            let found = tty(&options, has_command, is_terminal);
            assert_eq!(found, expected, "{request:?} {has_command} {is_terminal}");
            options.stdin_null = Some(true);
            if expected == Tty::Yes && request != Some(Force) {
                assert_eq!(tty(&options, has_command, is_terminal), Tty::NotHere);
            }
            options.session_type = Some(SessionType::None);
            assert_eq!(tty(&options, has_command, is_terminal), Tty::No);
        }
    }
}
