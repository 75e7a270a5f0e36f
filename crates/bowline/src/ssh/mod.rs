//! `bowline ssh`: a command, a shell or a subsystem on a host, with this program's standard streams: ssh(1).

mod arguments;
mod query;

use std::ffi::OsString;
use std::io::{stderr, stdin, stdout};
use std::process::ExitCode;

use ssh_client::{Client, ExitStatus, Process};

use self::arguments::{Arguments, Wanted};
use crate::client::{Plan, plan};
use crate::stdio::{Out, pump_in};
use crate::terminal::{complain, harmless, harmless_name, print};

/// The exit status for this program's own failures, as in ssh(1).
const FAILED: u8 = 255;

pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let done = arguments::parse(words).and_then(|wanted| match wanted {
        Wanted::Query(question) => {
            print(&query::answer(&question)?);
            Ok(0)
        }
        Wanted::Login(arguments) => crate::runtime()?.block_on(run(*arguments)),
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            complain(&problem);
            ExitCode::from(FAILED)
        }
    }
}

async fn run(arguments: Arguments) -> Result<u8, String> {
    let Arguments {
        common,
        destination,
        command,
        subsystem,
        null_input,
    } = arguments;
    let plan = plan(common, &destination)?;
    let client = plan.connect().await?;
    let process = start(&plan, &client, command, subsystem).await?;
    let status = attend(process, null_input).await?;
    client.disconnect().await;
    Ok(exit_code(&status, plan.is_quiet()))
}

async fn start(plan: &Plan, client: &Client, command: Vec<u8>, subsystem: bool) -> Result<Process, String> {
    let tell = |error: ssh_client::Error| harmless(&error.to_string());
    let mut wanted = match (subsystem, command.is_empty()) {
        (true, _) => client.subsystem(String::from_utf8_lossy(&command).into_owned()),
        (false, true) => client.shell(),
        (false, false) => client.exec(command),
    };
    for (name, value) in &plan.options.set_env {
        wanted = wanted.env(name.as_str(), value.as_str());
    }
    let process = wanted.spawn().await.map_err(tell)?;
    for name in process.refused_env() {
        tracing::debug!("the server did not take the variable {}", harmless_name(name));
    }
    Ok(process)
}

/// Connects the remote program's streams with ours until it has ended and all it said is written.
async fn attend(process: Process, null_input: bool) -> Result<ExitStatus, String> {
    let Process {
        stdin: remote_in,
        stdout: remote_out,
        stderr: remote_err,
        mut control,
    } = process;
    let output = crate::stdio::drain(
        remote_out,
        Out::start(stdout()).map_err(|error| format!("stdout: {error}"))?,
    );
    let errors = crate::stdio::drain(
        remote_err,
        Out::start(stderr()).map_err(|error| format!("stderr: {error}"))?,
    );
    let input = async move {
        if null_input {
            return crate::stdio::end(remote_in).await;
        }
        pump_in(stdin(), remote_in).await
    };
    let input = tokio::spawn(input);
    let ended = async { control.wait().await.map_err(|error| harmless(&error.to_string())) };
    let (status, output, errors) = tokio::join!(ended, output, errors);
    // What a terminal still types belongs to nobody once the program has ended.
    input.abort();
    output.map_err(|error| format!("writing to standard output: {error}"))?;
    errors.map_err(|error| format!("writing to standard error: {error}"))?;
    status
}

/// The remote program's own status, as far as a status of this system can say it.
fn exit_code(status: &ExitStatus, quiet: bool) -> u8 {
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
